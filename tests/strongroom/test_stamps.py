"""Every token is in a batch before it is signed; each batch has one root, and each token a path to it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymerkle import InmemoryTree

from privyseal.errors import NotFound, NotYet, TimestampUnavailable, TooLarge
from privyseal.strongroom.stamps import MOST_AT_ONCE, Stamps
from privyseal.tlog import merkle

HOUR = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def at(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%SZ}"


@pytest.fixture
def stamps(tmp_path: Path) -> Iterator[Stamps]:
    books = Stamps(tmp_path / "stamps.sqlite3")
    yield books
    books.close()


def give(books: Stamps, infos: list[bytes], moment: datetime = HOUR) -> None:
    books.account([at(moment)] * len(infos), infos)


def close(books: Stamps, after: int = 0, hours: int = 2) -> list[tuple[int, bytes]]:
    return [(each.count, each.root) for each in books.batches(after, HOUR + timedelta(hours=hours))]


@pytest.mark.parametrize("count", [1, 2, 3, 1023, 1024, 1025, 2048, 3000, 4097])
def test_the_root_is_rfc_6962_s(stamps: Stamps, count: int) -> None:
    """As pymerkle has it, in however many pieces the tokens came; each path leads to it."""
    infos = [b"%d" % number for number in range(count)]
    for start in range(0, count, 700):
        give(stamps, infos[start : start + 700], HOUR + timedelta(seconds=start // 700))
    ((found, root),) = close(stamps)
    tree = InmemoryTree(algorithm="sha256")
    for info in infos:
        tree.append_entry(info)
    assert (found, root) == (count, tree.get_root())
    for index in {0, count // 2, count - 1, min(count - 1, 1023)}:
        moment = HOUR + timedelta(seconds=index // 700)
        batch, place, path = stamps.place(at(moment), merkle.leaf_hash(infos[index]))
        assert (batch, place) == (1, index)
        assert merkle.verify_inclusion(merkle.leaf_hash(infos[index]), index, count, path, root)


def test_an_hour_has_its_batch(stamps: Stamps) -> None:
    """The next hour's tokens close it, and so does its end; what is closed is told once it is asked for."""
    give(stamps, [b"a", b"b"])
    assert stamps.batches(0, HOUR + timedelta(minutes=30)) == ()
    with pytest.raises(NotYet, match=r"not in the log yet: the tokens of its hour are logged from 13:01 UTC on"):
        stamps.place(at(HOUR), merkle.leaf_hash(b"a"))
    give(stamps, [b"c"], HOUR + timedelta(hours=1))
    (first,) = stamps.batches(0, HOUR + timedelta(hours=1))
    assert (first.hour, first.count, first.first, first.last) == ("2026113012", 2, at(HOUR), at(HOUR))
    (second,) = stamps.batches(first.number, HOUR + timedelta(hours=3))
    assert second.number == first.number + 1 and second.count == 1
    give(stamps, [b"late"], HOUR + timedelta(hours=1))  # a clock that was ahead closed the hour too early
    assert [each.hour for each in stamps.batches(second.number, HOUR + timedelta(hours=5))] == ["2026113013"]
    with pytest.raises(NotFound, match="No such token"):
        stamps.place(at(HOUR), merkle.leaf_hash(b"never"))


def test_a_batch_outlives_a_crash(tmp_path: Path) -> None:
    """What was written down is there again, and the batch goes on where it stood."""
    infos = [b"%d" % number for number in range(2500)]
    for start in range(0, 2500, 500):
        books = Stamps(tmp_path / "s")
        give(books, infos[start : start + 500])  # never closed: the process dies
    ((count, root),) = close(Stamps(tmp_path / "s"))
    leaves = [merkle.leaf_hash(info) for info in infos]
    tree = InmemoryTree(algorithm="sha256")
    for info in infos:
        tree.append_entry(info)
    assert (count, root) == (len(leaves), tree.get_root())


@pytest.mark.parametrize("done", [False, True], ids=["lost", "unreported"])
def test_a_write_that_fails_signs_nothing_and_leaves_no_gap(
    stamps: Stamps, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """Whether it was done or not; the next one finds out what is on the disk."""
    give(stamps, [b"a"])
    commit = stamps.database.commit

    def failing(connection: sqlite3.Connection) -> None:
        if done:
            commit(connection)
        raise sqlite3.OperationalError("injected")

    monkeypatch.setattr(stamps.database, "commit", failing)
    with pytest.raises(TimestampUnavailable):
        give(stamps, [b"b"])
    monkeypatch.undo()
    give(stamps, [b"c"])
    leaves = [merkle.leaf_hash(each) for each in ([b"a", b"b", b"c"] if done else [b"a", b"c"])]
    ((count, root),) = close(stamps)
    assert count == len(leaves)
    _, index, path = stamps.place(at(HOUR), leaves[-1])
    assert merkle.verify_inclusion(leaves[-1], index, count, path, root)


def test_too_many_at_once(stamps: Stamps) -> None:
    with pytest.raises(TooLarge):
        give(stamps, [b""] * (MOST_AT_ONCE + 1))
    assert close(stamps) == []


def test_the_diary_has_no_gap(stamps: Stamps, tmp_path: Path) -> None:
    """Numbered from 1; what stands as it stood is not said again."""
    stamps.note(HOUR, [("started", "x"), ("refused", "y")])
    stamps.note_once(HOUR, "configured", "one")
    stamps.note_once(HOUR, "configured", "one")
    stamps.note_once(HOUR, "configured", "two")
    assert [(each.number, each.what) for each in stamps.entries(0)] == [
        (1, "started"), (2, "refused"), (3, "configured"), (4, "configured"),
    ]  # fmt: skip
    assert [each.number for each in stamps.entries(3)] == [4] and stamps.entries(0)[0].at == HOUR


@pytest.mark.nightly
def test_a_million_tokens_in_an_hour(stamps: Stamps) -> None:
    """The root of a million and a path of 20 hashes, without the leaves in memory."""
    leaf = hashlib.sha256
    for start in range(0, 1_000_000, 4_000):
        give(stamps, [leaf(b"%d" % (start + number)).digest() for number in range(4_000)])
    ((count, root),) = close(stamps)
    _, index, path = stamps.place(at(HOUR), merkle.leaf_hash(leaf(b"777777").digest()))
    assert (count, index, len(path)) == (1_000_000, 777_777, 20)
    assert merkle.verify_inclusion(merkle.leaf_hash(leaf(b"777777").digest()), index, count, path, root)
