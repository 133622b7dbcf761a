"""The logger as a real process: killed under load, drained, restarted, beside a second one."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.strongroom.logroom import completion, intent
from tests.strongroom.processes import Process, wait_until

from privyseal.errors import LogRolledBack, LogUnavailable, PrivySealError
from privyseal.strongroom.client import LoggerClient, SocketAsk
from privyseal.strongroom.founding import create_logger
from privyseal.strongroom.messages import Appended
from privyseal.tlog.audit import fsck
from privyseal.tlog.checkpoint import open_checkpoint
from privyseal.tlog.entry import CompletionSubmission, IntentSubmission, decode, encode
from privyseal.tlog.merkle import leaf_hash, verify_inclusion
from privyseal.tlog.note import Verifier, parse_vkey
from privyseal.tlog.reader import Reader
from privyseal.tlog.tilestore import DirectoryTileStore


class Site:
    """A founded logger and the processes that run it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.public = directory / "public"
        vkey = create_logger(directory / "logger", self.public, directory / "marks/log", "log.example/real")
        self.verifier: Verifier = parse_vkey(vkey)
        self.socket = directory / "s"
        self._asks: list[SocketAsk] = []

    def start(self) -> Process:
        process = Process("logger", self.directory / "logger/logger.toml", self.socket)
        assert process.ready, process.said()
        return process

    def client(self) -> LoggerClient:
        self._asks.append(SocketAsk(self.socket, 20))
        return LoggerClient(self._asks[-1])

    def close(self) -> None:
        for ask in self._asks:
            ask.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


class Load:
    """Clients that append without pause, try again what was not answered, and keep every answer they got."""

    def __init__(self, site: Site, threads: int) -> None:
        self.site = site
        self.acknowledged: dict[IntentSubmission | CompletionSubmission, set[int]] = {}
        self.heads: dict[int, set[bytes]] = {}
        self.wrong: list[str] = []
        self._guard = threading.Lock()
        self._going = True
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._going = False
        for thread in self._threads:
            thread.join(30)

    def _run(self, name: int) -> None:
        client = self.site.client()
        number = 0
        while self._going:
            submissions = tuple(intent(f"{name}/{number}/{n}", f"key {name % 3}") for n in range(name % 4 + 1))
            answer = self._insist(client, submissions)
            if answer is not None and number % 3 == 0:
                done = tuple(completion(one.index, tag=f"key {name % 3}") for one in answer.items)
                self._insist(client, done)
            number += 1

    def _insist(self, client: LoggerClient, submissions: tuple) -> Appended | None:
        while True:
            try:
                answer = client.append(submissions, 0)
            except LogRolledBack as error:
                self.wrong.append(str(error))
                return None
            except LogUnavailable:
                if not self._going:
                    return None
                time.sleep(0.01)
                continue
            except PrivySealError as error:
                self.wrong.append(str(error))
                return None
            self._note(answer, submissions)
            return answer

    def _note(self, answer: Appended, submissions: tuple) -> None:
        head = open_checkpoint(answer.checkpoint, self.site.verifier)
        with self._guard:
            self.heads.setdefault(head.size, set()).add(head.root)
            for logged, submission in zip(answer.items, submissions, strict=True):
                self.acknowledged.setdefault(submission, set()).add(logged.index)
                seq = () if logged.key_seq is None else (logged.key_seq,)
                leaf = leaf_hash(encode(submission.entry(*seq)))
                if not verify_inclusion(leaf, logged.index, head.size, logged.path, head.root):
                    self.wrong.append(f"entry {logged.index} is not proven")


def audit(site: Site, load: Load) -> int:
    """Recompute the whole log as an outsider and compare it with all that the clients were ever told."""
    store = DirectoryTileStore(site.public)
    note = store.read("checkpoint")
    assert note is not None
    assert [f for f in fsck(store.read, note, site.verifier, store.widths) if f.severity == "problem"] == []
    head = open_checkpoint(note, site.verifier)
    reader = Reader(store.read)
    assert load.wrong == []
    assert all(len(roots) == 1 for roots in load.heads.values()), "two heads of one size"
    for size, roots in load.heads.items():
        assert reader.root(size) in roots
    for submission, indexes in load.acknowledged.items():
        assert len(indexes) == 1, "one submission has two places"
        stored = decode(reader.entry(min(indexes), head.size))
        assert (stored.commitment, stored.key_tag) == (submission.commitment, submission.key_tag)
    return head.size


@pytest.mark.parametrize("kills", [22, pytest.param(300, marks=pytest.mark.nightly)])
def test_killed_under_load_nothing_acknowledged_is_lost(site: Site, kills: int):
    """kill -9 at random moments, again and again: every acknowledged entry keeps its place, one head for each size."""
    process = site.start()
    load = Load(site, 8)
    chance = random.Random(20260101)
    for _ in range(kills):
        known = len(load.acknowledged)
        wait_until(lambda known=known: len(load.acknowledged) > known)
        time.sleep(chance.random() * 0.12)
        process.kill()
        process = site.start()
    known = len(load.acknowledged)
    wait_until(lambda: len(load.acknowledged) > known)
    load.stop()
    before = dict(load.acknowledged)
    client = site.client()
    for submission, indexes in before.items():
        assert [one.index for one in client.append((submission,), 0).items] == list(indexes)
    assert process.terminate() == 0
    assert audit(site, load) >= len(before) > kills
    assert process.said() == ""


def test_told_to_end_it_answers_what_was_asked_and_exits_with_0(site: Site):
    """SIGTERM under load: whoever was answered is in the log, the exit code is 0, nothing is said."""
    process = site.start()
    load = Load(site, 16)
    wait_until(lambda: len(load.acknowledged) > 50)
    assert process.terminate() == 0
    assert not site.socket.exists()
    load.stop()
    assert audit(site, load) >= len(load.acknowledged)
    assert process.said() == ""


def test_it_does_not_outlive_who_started_it(site: Site):
    """When the lifeline is cut the process ends as if it had been told to."""
    process = site.start()
    assert process.abandon() == 0


def test_a_log_that_was_put_back_is_said_at_the_start_and_to_everybody(site: Site):
    """The process runs and refuses, so whoever asks learns why; the operator reads both sizes on standard error."""
    journal = site.directory / "logger/journal.sqlite3"
    older = b""
    for name in ("a", "b"):
        process = site.start()
        site.client().append((intent(name),), 0)
        assert process.terminate() == 0
        assert process.said() == ""
        if name == "a":
            older = journal.read_bytes()
    journal.write_bytes(older)
    process = site.start()
    for _ in range(2):
        with pytest.raises(LogRolledBack, match="holds 1 entries, and a head of 2"):
            site.client().append((intent("c"),), 0)
    assert process.terminate() == 0
    assert "holds 1 entries, and a head of 2" in process.said()


def test_a_second_logger_in_the_same_room_does_not_start(site: Site, tmp_path: Path):
    """One logger is active; a second one, at whatever socket, is refused and the first goes on."""
    process = site.start()
    second = Process("logger", tmp_path / "logger/logger.toml", tmp_path / "t")
    assert not second.ready
    assert second.popen.wait(20) == 8
    second.forget()
    assert "Another process is using" in second.said()
    assert site.client().append((intent("a"),), 0).size == 1
    assert process.terminate() == 0


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda room: (room / "logger.toml").chmod(0o640), "Others than its owner can read"),
        (lambda room: (room / "log.key").chmod(0o604), "Others than its owner can read"),
        (lambda room: (room / "logger.toml").write_text('origin = "secret canary'), "is not TOML"),
        (lambda room: (room / "logger.toml").write_text('origin = "x"\ncolour = "secret canary"\n'), "unknown field"),
        (lambda room: (room / "logger.toml").unlink(), "There are no settings"),
    ],
    ids=["settings open to others", "key open to others", "not TOML", "unknown name", "none"],
)
def test_wrong_settings_are_told_in_words(site: Site, tmp_path: Path, spoil: object, said: str):
    """Exit 2, one sentence on standard error, and no value from the file in it."""
    spoil(tmp_path / "logger")  # type: ignore[operator]
    process = Process("logger", tmp_path / "logger/logger.toml", tmp_path / "t")
    assert not process.ready
    assert process.popen.wait(20) == 2
    process.forget()
    assert said in process.said() and "canary" not in process.said() and "Traceback" not in process.said()
    assert not site.socket.exists()


def test_a_logger_is_founded_once(site: Site, tmp_path: Path):
    """A room, a mark or a public directory that is in use is not taken over."""
    for room, public, mark in (
        ("logger", "other", "marks/other"),
        ("logger2", "other", "marks/log"),
    ):
        with pytest.raises(PrivySealError, match=r"not empty|exists already"):
            create_logger(tmp_path / room, tmp_path / public, tmp_path / mark, "log.example/again")
    process = site.start()
    site.client().append((intent("a"),), 0)
    assert process.terminate() == 0
    with pytest.raises(PrivySealError, match="exists already"):
        create_logger(tmp_path / "logger3", site.public, tmp_path / "marks/other", "log.example/again")
