"""What is said to be on the disk is there, and a disk that failed is not believed again."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from privyseal.errors import Conflict, KeyStoreUnavailable, LogRolledBack, LogUnavailable
from privyseal.strongroom import mark as mark_module
from privyseal.strongroom.durable import Database, lock_room, write_whole
from privyseal.strongroom.mark import Mark, MarkFile

SCHEMA = "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY);"


@pytest.fixture
def database(tmp_path: Path):
    database = Database(tmp_path / "d.sqlite3", SCHEMA, KeyStoreUnavailable)
    yield database
    database.close()


def put(database: Database, *numbers: int) -> None:
    with database.writing() as transaction:
        for number in numbers:
            transaction.execute("INSERT INTO t VALUES (?)", (number,))


def held(database: Database) -> list[int]:
    return [row[0] for row in database.read("SELECT n FROM t ORDER BY n")]


def test_commits_are_synced(database: Database):
    """The file is in WAL mode with synchronous=FULL (2), which alone survives a power cut."""
    assert database.read("PRAGMA journal_mode") == [("wal",)]
    assert database.read("PRAGMA synchronous") == [(2,)]


def test_a_transaction_is_whole_or_not_at_all(database: Database):
    """What its body raises takes back what it wrote, and the next one is not disturbed."""
    put(database, 1)
    with pytest.raises(Conflict), database.writing() as transaction:
        transaction.execute("INSERT INTO t VALUES (2)")
        raise Conflict("changed my mind")
    with pytest.raises(KeyStoreUnavailable):
        put(database, 3, 1)
    put(database, 4)
    assert held(database) == [1, 4]


@pytest.mark.parametrize("done", [False, True])
def test_after_a_commit_of_unknown_outcome_the_disk_is_read_anew(database: Database, done: bool):
    """A commit that fails, done or not done, is an error; what is true afterwards is what the file says."""
    real = Database.commit

    def failing(self: Database, connection: sqlite3.Connection) -> None:
        if done:
            real(self, connection)
        raise sqlite3.OperationalError("injected")

    Database.commit = failing  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyStoreUnavailable):
            put(database, 1)
    finally:
        Database.commit = real  # type: ignore[method-assign]
    assert held(database) == ([1] if done else [])
    assert not database.lost


def test_a_disk_error_loses_the_file_for_this_process(database: Database, monkeypatch: pytest.MonkeyPatch):
    """After a failed sync nothing is written or read any more, however often one asks (fsyncgate)."""

    def failing(self: Database, connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(Database, "commit", failing)
        with pytest.raises(KeyStoreUnavailable):
            put(database, 1)
    assert database.lost
    for use in (lambda: put(database, 2), lambda: held(database)):
        with pytest.raises(KeyStoreUnavailable, match="not known"):
            use()


def test_a_file_that_is_no_database_is_refused_in_words(tmp_path: Path):
    """Damage is the adaptor's own kind of Unavailable, not a traceback."""
    (tmp_path / "d").write_bytes(b"not a database" * 1000)
    with pytest.raises(LogUnavailable, match="d could not be used"):
        Database(tmp_path / "d", SCHEMA, LogUnavailable)


def test_a_whole_file_replaces_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The content and mode are as asked; a failure in between leaves the old file and no temporary one."""
    write_whole(tmp_path / "f", b"one", mode=0o644)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(tmp_path / "f", b"two")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"one")]


def test_a_room_belongs_to_one_process(tmp_path: Path):
    """A second process waits and is refused; when the first ends, however it ends, the room is free."""
    code = "import sys, pathlib; from privyseal.strongroom.durable import lock_room;"
    code += " lock_room(pathlib.Path(sys.argv[1])); print('mine', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"mine\n"
        with pytest.raises(Conflict, match="Another process"):
            lock_room(tmp_path, seconds=0.2)
        other.kill()
    os.close(lock_room(tmp_path, seconds=0.2))


def test_a_mark_rises_and_is_found_again(tmp_path: Path):
    """Each mark is what the file says when it is opened anew."""
    MarkFile.create(tmp_path / "m", Mark(0, b"\0" * 32))
    file = MarkFile(tmp_path / "m")
    for number in (1, 2, 3, 1000, 2**60):
        file.raise_to(Mark(number, b"%032d" % number))
        other = MarkFile(tmp_path / "m")
        assert file.read() == other.read() == Mark(number, b"%032d" % number)
        other.close()
    file.close()


def test_a_torn_write_leaves_the_mark_before(tmp_path: Path):
    """Whatever a power cut makes of the record being written, the one before it is still there: each octet tried."""
    MarkFile.create(tmp_path / "m", Mark(0, b"\0" * 32))
    file = MarkFile(tmp_path / "m")
    for number in (1, 2, 3):
        file.raise_to(Mark(number, b"%032d" % number))
    before = (tmp_path / "m").read_bytes()
    file.raise_to(Mark(4, b"%032d" % 4))
    after = (tmp_path / "m").read_bytes()
    changed = [at for at in range(len(after)) if before[at] != after[at]]
    for count in range(len(changed)):
        torn = bytearray(before)
        for at in changed[:count]:
            torn[at] = after[at]
        (tmp_path / "m").write_bytes(torn)
        assert file.read().number == 3
    (tmp_path / "m").write_bytes(after)
    assert file.read().number == 4
    file.close()


def test_a_mark_that_is_gone_or_destroyed_is_not_taken_for_a_low_one(tmp_path: Path):
    """Without it an older state could not be told: LogRolledBack, never zero."""
    with pytest.raises(LogRolledBack, match="missing"):
        MarkFile(tmp_path / "m")
    (tmp_path / "m").write_bytes(bytes(8192))
    file = MarkFile(tmp_path / "m")
    with pytest.raises(LogRolledBack, match="destroyed"):
        file.read()
    file.close()


def test_a_mark_whose_sync_failed_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A sync that failed, for whatever reason, loses the file for this process; a write that did not fit does not."""
    MarkFile.create(tmp_path / "m", Mark(0, b"\0" * 32))
    file = MarkFile(tmp_path / "m")
    for call, number, lost in (("pwrite", 28, False), ("fdatasync", 28, True)):

        def failing(*_: object, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as broken:
            broken.setattr(mark_module.os, call, failing)
            with pytest.raises(LogUnavailable):
                file.raise_to(Mark(1, bytes(32)))
        assert file.lost is lost
    with pytest.raises(LogUnavailable, match="before"):
        file.raise_to(Mark(2, bytes(32)))
    file.close()
