"""The stamper's books out of a backup: the log gets no number twice, and no time is before one that was given.

The whole service is in memory here; ``tests/test_backup_service.py`` has the drill with real processes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from tests.strongroom.processes import wait_until
from tests.world import SUBSCRIBER, World, found

from privyseal.compliance.statements_of_timestamps import StamperNoted, TokensGiven
from privyseal.errors import NotFound, TimestampUnavailable
from privyseal.records import events, statements
from privyseal.signing import duties, stamps
from privyseal.strongroom.backing_up import House, take
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.restoring_books import BooksBrought, bring_books_forward
from privyseal.timestamp.token import read_token
from privyseal.tlog import merkle


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service to copy."""
    return found(tmp_path_factory.mktemp("books") / "founded")


def give(world: World, count: int = 2) -> list[bytes]:
    digests = [hashlib.sha256(b"%d %d" % (number, world.now.timestamp())).digest() for number in range(count)]
    return list(world.seal.stamper.stamp("sha256", digests))


def told(token: bytes) -> tuple[str, bytes]:
    signed, info = read_token(token)
    return f"{info.time:%Y%m%d%H%M%SZ}", merkle.leaf_hash(signed.content_octets or b"")


def hours(world: World, count: float = 2) -> None:
    """Let time go by, and take over what the stamper wrote down; twice, for what is told is confirmed by asking on."""
    world.now += timedelta(hours=count)
    duties.recover(world.seal)
    duties.recover(world.seal)


def proven(world: World, token: bytes) -> bool:
    """Tell whether the records and the books lead a token to a root that was stated."""
    time, leaf = told(token)
    try:
        place, written = stamps.place(world.seal, time, leaf)
    except NotFound as error:
        assert "put back to an older state" in str(error) and error.hint is None
        return False
    given = statements.said_in(written.octets).matter
    assert isinstance(given, TokensGiven) and given.number == place.batch
    assert merkle.verify_inclusion(leaf, place.index, given.count, place.path, bytes.fromhex(given.root))
    return True


def roots(world: World) -> dict[int, str]:
    """Return the root of each batch that was stated; none has two."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        given = [each.said.matter for each in statements.listed(tx, "timestamp")]
        diary = [each.said.matter for each in statements.listed(tx, "clock")]
    batches = [each for each in given if isinstance(each, TokensGiven)]
    numbers = [each.number for each in batches]
    assert numbers == sorted(set(numbers))
    entries = [each.number for each in diary if isinstance(each, StamperNoted)]
    assert entries == sorted(set(entries))
    return {each.number: each.root for each in batches}


def restored(world: World, missed: Callable[[World], object], folder: Path, *, records: bool) -> BooksBrought:
    """Copy as a backup does, let something happen, lose the rest, and put the copy back, the records with it or not."""
    folder.mkdir()
    taken = take(House.of(world.directory), world.directory / "records.db", folder)
    made = world.now
    missed(world)
    world.stop()
    assert taken.books is not None and taken.records is not None
    put(taken.books, world.directory / "stamper" / "stamps.sqlite3")
    if records:
        put(taken.records, world.directory / "records.db")
    house = House.of(world.directory)
    world.now += timedelta(minutes=1)
    brought = bring_books_forward(house, world.checkpoint().size, made, world.now)
    world._start()
    return brought


def put(copy: Path, place: Path) -> None:
    for end in ("", "-wal", "-shm"):
        place.with_name(place.name + end).unlink(missing_ok=True)
    shutil.copy(copy, place)


def test_nothing_is_lost_by_a_backup_that_is_the_newest(founded: Path, tmp_path: Path) -> None:
    """Every token is proven, those of the running hour too, and the numbers go on above the log's size."""
    world = World(founded, tmp_path / "world")
    tokens = give(world)
    hours(world)
    tokens += give(world)
    size = world.checkpoint().size
    brought = restored(world, lambda it: None, tmp_path / "copy", records=True)
    assert brought.lost is not None and (brought.lost.first, brought.lost.last) == (2, size)
    assert brought.stated == ()
    tokens += give(world)
    hours(world, 1)
    hours(world)
    assert [proven(world, each) for each in tokens] == [True] * len(tokens)
    assert sorted(roots(world)) == [1, size + 1]
    with world.seal.records.reading(SUBSCRIBER) as tx:
        diary = [each.said.matter for each in statements.listed(tx, "clock")]
        (said,) = [each for each in diary if isinstance(each, StamperNoted) and each.what == "restored"]
        assert [each.what for each in events.events_about(tx, said.detail)] == ["stamper restored"]
    world.stop()


@pytest.mark.parametrize("records", [True, False], ids=["old records", "newest records"])
def test_what_came_after_a_backup_is_lost_and_no_number_comes_twice(
    founded: Path, tmp_path: Path, records: bool
) -> None:
    """Whether the records are as old, as in SQLite, or outlived the machine, as in PostgreSQL."""
    world = World(founded, tmp_path / "world")
    before = give(world)
    hours(world)
    before += give(world)
    missed: list[bytes] = []

    def more(it: World) -> None:
        missed.extend(give(it))
        hours(it)
        it._rooms["stamper"]._stamps.note(it.now, [("adjusted", "The clock was set by +1.000 s.")])
        missed.extend(give(it))
        hours(it)
        missed.extend(give(it))

    known: dict[int, str] = {}
    brought = restored(world, lambda it: (more(it), known.update(roots(it))), tmp_path / "copy", records=records)
    assert brought.lost is not None and len(brought.stated) == 2 and brought.lost.last >= 3
    after = give(world)
    hours(world)
    assert [proven(world, each) for each in before + after] == [True] * 6
    assert [proven(world, each) for each in missed] == [False] * 6
    now = roots(world)
    assert set(now) & set(known) == ({1} if records else {1, 2, 3})
    assert {number: root for number, root in now.items() if number in known} == {
        number: known[number] for number in set(now) & set(known)
    }
    assert min(set(now) - set(known)) > max(known)
    (lost,) = world.seal.stamper.health().lost
    assert lost == brought.lost
    again = restored(world, more, tmp_path / "again", records=records)
    assert again.lost is not None and again.lost.last > brought.lost.last
    hours(world)
    assert min(set(roots(world)) - set(now), default=again.lost.last + 1) > max(now)
    world.stop()


def test_an_old_file_that_somebody_put_there_is_noticed_by_what_was_stated(founded: Path, tmp_path: Path) -> None:
    """Without a restore: the service says what it stated last, and the books see that they are older."""
    world = World(founded, tmp_path / "world")
    tokens = give(world)
    hours(world)
    world.stop()
    books = world.directory / "stamper" / "stamps.sqlite3"
    shutil.copy(books, tmp_path / "old")
    world._start()
    lost = give(world)
    hours(world)
    known = roots(world)
    world.stop()
    put(tmp_path / "old", books)
    world._start()
    tokens += give(world)
    hours(world)
    assert [proven(world, each) for each in tokens] == [True] * 4
    assert [proven(world, each) for each in lost] == [False] * 2
    assert {number: roots(world)[number] for number in known} == known and len(roots(world)) == 3
    world.stop()


def test_a_copy_that_is_taken_while_tokens_are_given_is_whole(founded: Path, tmp_path: Path) -> None:
    """It has every token that was answered before it was begun, and none in part; the stamper does not wait for it."""
    world = World(founded, tmp_path / "world")
    answered: list[bytes] = []
    ending, client = threading.Event(), world.seal.stamper

    def work() -> None:
        while not ending.is_set():
            answered.extend(client.stamp("sha256", [os.urandom(32) for _ in range(20)]))

    thread = threading.Thread(target=work)
    thread.start()
    house = House.of(world.directory)
    try:
        for number in range(4):
            folder = tmp_path / f"copy{number}"
            folder.mkdir()
            until = len(answered) + 60
            wait_until(lambda until=until: len(answered) >= until, 30)
            before = [told(each)[1] for each in list(answered)]
            taken = take(house, None, folder)
            assert taken.books is not None
            with closing(sqlite3.connect(taken.books)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                ((count,),) = database.execute("SELECT count FROM batches")
                rows = database.execute("SELECT hashes FROM leaves ORDER BY place").fetchall()
            leaves = b"".join(row[0] for row in rows)
            assert len(leaves) == 32 * count
            assert set(before) <= {leaves[at : at + 32] for at in range(0, len(leaves), 32)}
    finally:
        ending.set()
        thread.join()
    world.stop()


def test_time_goes_on_from_the_newest_that_anybody_knows(founded: Path, tmp_path: Path) -> None:
    """The backup's own moment, the books' last token, the mark that came with it or outlived the machine."""
    world = World(founded, tmp_path / "world")
    give(world)
    world.now += timedelta(seconds=30)
    made = world.now
    restored(world, lambda it: None, tmp_path / "copy", records=True)
    world.now = made - timedelta(seconds=2)
    with pytest.raises(TimestampUnavailable, match="given out already"):
        give(world)
    world.now = made
    assert len(give(world)) == 2
    world.stop()
    mark, house = world.directory / "stamper" / "time.mark", House.of(world.directory)
    elsewhere = tmp_path / "other disk" / "time.mark"
    elsewhere.parent.mkdir()
    MarkFile.create(elsewhere, Mark(int(made.timestamp()) + 100, bytes(32)))
    toml = world.directory / "stamper" / "stamper.toml"
    toml.write_text(f'mark = "{elsewhere}"\n' + toml.read_text())
    house = House.of(world.directory)
    bring_books_forward(house, world.checkpoint().size, made, world.now)
    assert _second(elsewhere) == int(made.timestamp()) + 100 and not mark.exists()
    elsewhere.unlink()
    MarkFile.create(mark, Mark(int(made.timestamp()) + 50, bytes(32)))
    bring_books_forward(house, world.checkpoint().size, made, world.now)
    assert _second(elsewhere) == int(made.timestamp()) + 50 and not mark.exists()


def test_a_mark_alone_that_is_older_does_not_turn_time_back(founded: Path, tmp_path: Path) -> None:
    """The books know the last second, too."""
    world = World(founded, tmp_path / "world")
    mark = world.directory / "stamper" / "time.mark"
    shutil.copy(mark, tmp_path / "old.mark")
    last = told(give(world)[0])[0]
    world.stop()
    shutil.copy(tmp_path / "old.mark", mark)
    world._start()
    world.now -= timedelta(seconds=5)
    with pytest.raises(TimestampUnavailable, match="given out already"):
        give(world)
    world.now += timedelta(seconds=4, milliseconds=500)
    assert told(give(world)[0])[0] == last
    world.stop()


def test_books_on_another_disk_that_outlived_the_machine_are_used(founded: Path, tmp_path: Path) -> None:
    """And where they did not, the backup's come to where the settings want them."""
    world = World(founded, tmp_path / "world")
    toml = world.directory / "stamper" / "stamper.toml"
    elsewhere = tmp_path / "other disk" / "books"
    toml.write_text(f'stamps = "{elsewhere}"\n' + toml.read_text())
    elsewhere.parent.mkdir()
    world.crash()
    give(world)
    (tmp_path / "copy").mkdir()
    taken = take(House.of(world.directory), world.directory / "records.db", tmp_path / "copy")
    tokens = give(world)
    world.stop()
    house, came = House.of(world.directory), world.directory / "stamper" / "books"
    assert taken.books is not None
    shutil.copy(taken.books, came)
    assert bring_books_forward(house, world.checkpoint().size, world.now, world.now) == BooksBrought(
        None, outlived=True
    )
    assert not came.exists()
    for path in elsewhere.parent.iterdir():
        path.unlink()
    shutil.copy(taken.books, came)
    brought = bring_books_forward(house, world.checkpoint().size, world.now, world.now)
    assert brought.lost is not None and elsewhere.exists() and not came.exists()
    world._start()
    hours(world)
    assert [proven(world, each) for each in tokens] == [False, False]
    world.stop()


def test_a_backup_without_books_begins_new_ones(founded: Path, tmp_path: Path) -> None:
    """As those that were made before they were in it: under another name, so that no number is the same."""
    world = World(founded, tmp_path / "world")
    give(world)
    name = world.seal.stamper.health().books
    world.stop()
    for path in (world.directory / "stamper").glob("stamps.sqlite3*"):
        path.unlink()
    brought = bring_books_forward(House.of(world.directory), world.checkpoint().size, world.now, world.now)
    assert brought == BooksBrought(None)
    world._start()
    assert world.seal.stamper.health().books != name
    world.stop()


def _second(path: Path) -> int:
    file = MarkFile(path)
    try:
        return file.read().number
    finally:
        file.close()
