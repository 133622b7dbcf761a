"""Books that are put back to an older state give no number twice, prove what they have, and say what they lost.

Nobody else has such books, so the rules stand here a second time: a *log* that takes every number once, as the
service's statements do, and a list of all tokens that were ever given out.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from privyseal.errors import BadInput, NotFound
from privyseal.strongroom import older_books
from privyseal.strongroom.messages_of_stamps import BooksAsked, DiaryEntry, StampBatch
from privyseal.strongroom.older_books import HIGHEST, Copied
from privyseal.strongroom.stamps import Stamps
from privyseal.tlog import merkle

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


class Log:
    """What was stated: each number once, and what the records remember of it, which may be an older state too."""

    def __init__(self) -> None:
        self.batches: dict[int, StampBatch] = {}
        self.entries: dict[int, DiaryEntry] = {}
        self.known: tuple[DiaryEntry | None, StampBatch | None] = (None, None)

    @property
    def size(self) -> int:
        """Count the entries; a real log has others, too."""
        return len(self.entries) + len(self.batches)

    @property
    def last(self) -> tuple[DiaryEntry | None, StampBatch | None]:
        """Return what was stated last."""
        entries, batches = self.entries.values(), self.batches.values()
        newest = max(entries, key=lambda each: each.number, default=None)
        return newest, max(batches, key=lambda each: each.number, default=None)

    def take_over(self, books: Stamps, now: datetime) -> None:
        """Ask as the service does, and state what it answers."""
        entry, batch = self.known
        asked = BooksAsked(
            entry.number if entry else 0,
            batch.number if batch else 0,
            entry,
            batch.root if batch else b"",
        )
        books.compare(asked, now)
        for told in books.batches(asked.batch, now):
            assert self.batches.setdefault(told.number, told).root == told.root, "two roots for one number"
            batch = told
        for noted in books.entries(asked.entry):
            before = self.entries.setdefault(noted.number, noted)
            assert (before.what, before.detail) == (noted.what, noted.detail), "two entries for one number"
            entry = noted
        self.known = (entry, batch)


class Site:
    """Books in a file, the clock, and every token that was given out."""

    def __init__(self, directory: Path) -> None:
        self.path, self.now, self.log = directory / "stamps.sqlite3", NOON, Log()
        self.books = Stamps(self.path)
        self.given: list[tuple[str, bytes]] = []

    def give(self, count: int) -> None:
        infos = [b"%d of %d" % (len(self.given), number) for number in range(count)]
        time = f"{self.now:%Y%m%d%H%M%SZ}"
        self.books.account([time] * count, infos)
        self.given += [(time, merkle.leaf_hash(info)) for info in infos]

    def note(self, what: str) -> None:
        self.books.note(self.now, [("configured", what)])

    def copy(self, target: Path, size: int = 0) -> None:
        """Copy as a backup does."""
        with closing(sqlite3.connect(self.path)) as reading, closing(sqlite3.connect(target)) as writing:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE")
            older_books.note_copied(writing, Copied(self.now, size))

    def put_back(self, source: Path) -> None:
        """Put a file in the place of the books."""
        self.books.close()
        for end in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + end).unlink(missing_ok=True)
        shutil.copy(source, self.path)
        self.books = Stamps(self.path)

    def proven(self, time: str, leaf: bytes, unseen: bool = False) -> bool:
        """Tell whether a token is led to what the log has; one that is lost must be told so, unless ``unseen``."""
        try:
            number, index, path = self.books.place(time, leaf)
        except NotFound as error:
            assert unseen or "put back to an older state" in str(error), error
            assert error.hint is None, error
            return False
        stated = self.log.batches[number]
        assert merkle.verify_inclusion(leaf, index, stated.count, path, stated.root)
        return True


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_copy_goes_on_above_what_came_after_it(site: Site, tmp_path: Path) -> None:
    """The batch that was open in it gets a new number, because the log may have it with more leaves."""
    site.give(3)
    site.now += timedelta(hours=1)
    site.give(2)
    site.log.take_over(site.books, site.now)
    site.log.take_over(site.books, site.now)  # it asks for more, so the books know that what they told is stated
    site.copy(tmp_path / "copy")
    site.give(4)
    site.now += timedelta(hours=2)
    site.note("later")
    site.give(1)
    site.now += timedelta(hours=2)
    site.log.take_over(site.books, site.now)
    assert sorted(site.log.batches) == [1, 2, 3] and sorted(site.log.entries) == [1]
    site.put_back(tmp_path / "copy")
    gap = site.books.put_back(site.log.size, site.now)
    assert gap is not None and (gap.first, gap.last, gap.entry, gap.last_entry) == (2, 4, 1, 4)
    assert site.books.put_back(99, site.now) is None  # it is no copy any more
    site.give(1)
    site.now += timedelta(hours=3)
    site.log.known = (None, site.log.batches[1])  # what records know that were copied with it
    site.log.take_over(site.books, site.now)
    assert sorted(site.log.batches) == [1, 2, 3, 5, 6] and site.log.batches[5].count == 2
    assert site.log.entries[5].what == "restored" and "batches 2 to 4, entries 1 to 4" in site.log.entries[5].detail
    assert [site.proven(*each) for each in site.given] == [True] * 5 + [False] * 5 + [True]
    with pytest.raises(NotFound, match=r"^No such token was given out here\.$"):
        site.books.place("20270101000000Z", bytes(32))


def test_a_copy_that_missed_nothing_loses_no_number_but_the_open_one(site: Site, tmp_path: Path) -> None:
    site.give(1)
    site.now += timedelta(hours=2)
    site.log.take_over(site.books, site.now)
    site.log.take_over(site.books, site.now)
    site.copy(tmp_path / "copy")
    site.put_back(tmp_path / "copy")
    gap = site.books.put_back(1, site.now)
    assert gap is not None and (gap.first, gap.last) == (2, 1)
    assert (
        older_books.said(gap)
        == "Leaves of tokens given from 20261130120000Z to 20261130140000Z may be lost; numbers left out: entries 1."
    )
    site.give(1)
    site.now += timedelta(hours=2)
    site.log.take_over(site.books, site.now)
    assert sorted(site.log.batches) == [1, 2]


@pytest.mark.parametrize("hours", [0, 1, 5])
def test_an_old_file_that_was_put_back_by_hand_is_noticed(site: Site, tmp_path: Path, hours: int) -> None:
    """By what was stated last, however much it has grown again meanwhile; nothing that it gave out is lost by that."""
    site.give(2)
    site.now += timedelta(hours=2)
    site.log.take_over(site.books, site.now)
    site.give(1)
    site.books.close()
    shutil.copy(site.path, tmp_path / "old")
    site.books = Stamps(site.path)
    for _ in range(3):
        site.give(1)
        site.note("something")
        site.now += timedelta(hours=2)
        site.log.take_over(site.books, site.now)
    stated = dict(site.log.batches)
    site.put_back(tmp_path / "old")
    mine = len(site.given)
    for _ in range(hours):  # it serves, and nobody takes over
        site.give(2)
        site.note("again")
        site.now += timedelta(hours=2)
    site.log.take_over(site.books, site.now)
    site.now += timedelta(hours=2)
    site.log.take_over(site.books, site.now)
    assert {number: site.log.batches[number] for number in stated} == stated
    assert all(site.proven(*each) for each in [*site.given[:3], *site.given[mine:]])
    lost = [site.proven(*each) for each in site.given[3:mine]]
    assert lost == [False] * len(lost)
    assert [each.what for each in site.log.entries.values()].count("restored") == 1
    before = len(site.log.entries), len(site.log.batches)
    site.log.take_over(site.books, site.now)
    assert (len(site.log.entries), len(site.log.batches)) == before


@pytest.mark.parametrize("since", [[], ["another two"], ["another two", "three"]])
def test_an_old_diary_is_noticed(site: Site, tmp_path: Path, since: list[str]) -> None:
    """Though no token was given, and its next entry has the number and the time of one that was stated."""
    site.note("one")
    site.books.close()
    shutil.copy(site.path, tmp_path / "old")
    site.books = Stamps(site.path)
    site.note("two")
    site.log.take_over(site.books, site.now)
    site.put_back(tmp_path / "old")
    for each in since:
        site.note(each)
    site.log.take_over(site.books, site.now)
    assert [site.log.entries[number].detail for number in (1, 2)] == ["one", "two"]
    said = [each.detail for each in site.log.entries.values()]
    assert [said.count(each) for each in since] == [1] * len(since)
    assert [each.what for each in site.log.entries.values()].count("restored") == 1


def test_a_service_that_lies_does_not_use_up_the_numbers(site: Site) -> None:
    """It can make the books go on above what it says, and no further; no leaf is lost by that."""
    site.give(2)
    for asked in (BooksAsked(0, HIGHEST + 1), BooksAsked(2**53 - 1, 0)):
        with pytest.raises(BadInput, match="under such a number"):
            site.books.compare(asked, site.now)
    for number in (HIGHEST - 5, HIGHEST, HIGHEST - 1):
        site.books.compare(BooksAsked(0, number), site.now)
        site.give(1)
        site.now += timedelta(hours=2)
    assert len(site.books.lost_leaves) == 2
    site.log.known = (None, StampBatch(HIGHEST, "", "", "", 0, bytes(32)))
    site.log.take_over(site.books, site.now)
    assert all(site.proven(*each) for each in site.given)
    assert sorted(site.log.batches) == [HIGHEST + 1, HIGHEST + 2, HIGHEST + 3]  # one for each hour


def test_what_stands_in_the_log_token_by_token_is_not_forgotten(site: Site, tmp_path: Path) -> None:
    """The place up to which it does moves with its batch."""
    site.give(3)
    site.books.note_logged(1, 3)
    site.copy(tmp_path / "copy")
    site.put_back(tmp_path / "copy")
    site.books.put_back(6, site.now)
    assert site.books.unlogged() == (7, 3, ())
    site.give(2)
    assert site.books.unlogged()[:2] == (7, 3) and len(site.books.unlogged()[2]) == 2


@pytest.mark.parametrize("by_hand", [False, True], ids=["copies", "files"])
@pytest.mark.parametrize("seed", range(8))
def test_no_number_is_stated_twice_whatever_is_put_back(tmp_path: Path, seed: int, by_hand: bool) -> None:
    """Copies, old files, records that are older too, in any order: one root for a number, and every token is answered.

    Of an old file that somebody put there by hand before anything more was stated nobody can know.
    """
    rng, site = random.Random(seed), Site(tmp_path)
    since = 0
    kept: list[tuple[Path, tuple[DiaryEntry | None, StampBatch | None]]] = []
    for step in range(60):
        act = rng.random()
        if act < 0.35:
            site.give(rng.randint(1, 4))
        elif act < 0.6:
            site.now += timedelta(minutes=rng.choice([1, 30, 70]))
        elif act < 0.75:
            site.log.take_over(site.books, site.now)
        elif act < 0.82:
            site.note(f"note {step}")
        elif act < 0.92 or not kept:
            path = tmp_path / f"copy{step}"
            site.copy(path)
            kept.append((path, site.log.known))
        else:
            path, known = rng.choice(kept)
            site.now += timedelta(seconds=1)
            site.put_back(path)
            since = len(site.given)
            if by_hand and rng.random() < 0.4:  # the records live on, and they alone tell
                site.log.known = site.log.last
                with closing(sqlite3.connect(site.path)) as connection, connection:
                    connection.execute("DELETE FROM copied")
            else:
                site.log.known = known if rng.random() < 0.7 else site.log.known
                site.books.put_back(site.log.size, site.now)
    site.now += timedelta(hours=3)
    site.log.take_over(site.books, site.now)
    site.log.take_over(site.books, site.now)
    found = [site.proven(*each, unseen=by_hand) for each in site.given]
    assert all(found[since:]), "a token of the books as they are now is not led to the log"
    site.books.close()
