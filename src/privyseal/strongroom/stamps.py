"""What the stamper gave out, and what its clock did: written down before a token is signed, so that none is missing.

Of each token its leaf (RFC 6962: SHA-256 over a zero octet and the TSTInfo) goes into the batch of its hour, on the
disk before the key is used. A batch that is closed has a Merkle root; the log has that, and whoever holds a token can
be shown its place. The TSTInfo carries 158 random bits, so that a leaf tells nobody which data was stamped.

Leaves stand in pieces as they came. Of each 1,024 of a batch the subtree's hash is kept beside them: a root or a path
is then a few thousand hashes, however many tokens an hour had.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from privyseal.errors import BadInput, NotFound, NotYet, TimestampUnavailable, TooLarge
from privyseal.strongroom import older_books
from privyseal.strongroom.durable import Database
from privyseal.strongroom.messages_of_stamps import BooksAsked, DiaryEntry, LostLeaves, StampBatch
from privyseal.strongroom.older_books import Ends
from privyseal.tlog import merkle
from privyseal.tlog.merkle import HASH_SIZE

HEIGHT = 10
BUNDLE = 1 << HEIGHT
"""Leaves of a subtree whose hash is kept."""
GRACE = timedelta(seconds=60)
"""How long after its hour a batch stays open, for a thread that was slow to write."""
MOST_AT_ONCE = 4096
"""Leaves of one piece."""
MOST_TOLD = 256
"""Batches, or entries, that are told at once."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
  number INTEGER PRIMARY KEY, hour TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL,
  count INTEGER NOT NULL, root BLOB, nodes BLOB);
CREATE TABLE IF NOT EXISTS leaves (
  batch INTEGER NOT NULL, place INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (batch, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS books (name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS logged (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), batch INTEGER, place INTEGER);
CREATE TABLE IF NOT EXISTS diary (
  number INTEGER PRIMARY KEY, at TEXT NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL);
"""


class _Open:
    """The batch that tokens go into now: how many leaves, the subtrees that are full, and the leaves behind them."""

    def __init__(self, number: int, hour: str, count: int, nodes: bytes, tail: list[bytes]) -> None:
        self.number, self.hour, self.count = number, hour, count
        self.nodes, self.tail = bytearray(nodes), tail

    def add(self, leaves: Sequence[bytes]) -> None:
        self.count += len(leaves)
        self.tail += leaves
        while len(self.tail) >= BUNDLE:
            self.nodes += _top(self.tail[:BUNDLE])
            del self.tail[:BUNDLE]

    def root(self) -> bytes:
        whole = [bytes(self.nodes[at : at + HASH_SIZE]) for at in range(0, len(self.nodes), HASH_SIZE)]

        def subtree(level: int, index: int) -> bytes:
            if level >= HEIGHT:
                return _above(whole, level - HEIGHT, index)
            start = (index << level) - (len(whole) << HEIGHT)
            return _top(self.tail[start : start + (1 << level)])

        return merkle.root(self.count, subtree)


class Stamps:
    """The stamper's books in one SQLite file; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; a batch that was open goes on."""
        self.database = Database(path, _SCHEMA + older_books.SCHEMA, TimestampUnavailable)
        self._guard = threading.Lock()
        self.name = self._named()
        """32 hex digits that no other books have: numbers of batches and entries are unique in these alone."""
        self.lost_leaves = older_books.lost(self.database)
        """What they lack because they were put back to an older state."""
        self._open: _Open | None = None
        self._known = False
        self._current()

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, so that this process must end."""
        return self.database.lost

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def account(self, times: Sequence[str], infos: Sequence[bytes]) -> None:
        """Write down tokens that are about to be signed, by TSTInfo, DER; ``times`` are their genTimes, all alike.

        A time is ``YYYYMMDDHHMMSSZ``. TimestampUnavailable if they may not be on the disk; then nothing is signed.
        """
        leaves = [merkle.leaf_hash(info) for info in infos]
        first, last = min(times), max(times)
        if len(leaves) > MOST_AT_ONCE:
            raise TooLarge(f"{len(leaves)} tokens were to be written down at once; {MOST_AT_ONCE} are the most.")
        with self._guard:
            current = self._current()
            self._known = False  # until it is committed; if that fails, nobody knows whether it is
            if current is not None and last[:10] > current.hour:
                self._close(current)
                current = None
            place = 0 if current is None else current.count
            with self.database.writing() as connection:
                if current is None:
                    (number,) = connection.execute(older_books.NUMBER_OF_NEXT).fetchone()
                    connection.execute(
                        "INSERT INTO batches (number, hour, first, last, count) VALUES (?, ?, ?, ?, 0)",
                        (number, last[:10], first, last),
                    )
                    current = _Open(number, last[:10], 0, b"", [])
                connection.execute(
                    "UPDATE batches SET count = ?, first = min(first, ?), last = max(last, ?) WHERE number = ?",
                    (place + len(leaves), first, last, current.number),
                )
                connection.execute("INSERT INTO leaves VALUES (?, ?, ?)", (current.number, place, b"".join(leaves)))
            current.add(leaves)
            self._open, self._known = current, True

    def newest(self) -> str:
        """Return the last genTime that a token was written down with; empty where none was."""
        ((last,),) = self.database.read("SELECT ifnull(max(last), '') FROM batches")
        return str(last)

    def compare(self, stated: BooksAsked, now: datetime) -> None:
        """Hold the books against what was stated of them last; where they are older, they go on above that.

        BadInput for a number that nothing can have.
        """
        with self._guard:
            entry, batch = older_books.fit(self.database, stated)
            if entry and batch:
                older_books.note_told(self.database, stated)
                return
            if max(stated.entry, stated.batch) > older_books.HIGHEST:
                raise BadInput("Nothing was ever stated of the stamper's books under such a number.")
            told = older_books.told(self.database)
            after = Ends(
                max(told.entry, stated.entry) if entry else min(told.entry, stated.entry - 1),
                max(told.batch, stated.batch) if batch else min(told.batch, stated.batch - 1),
            )
            asked = "SELECT ifnull(max(last), '19700101000000Z') FROM batches WHERE number <= ?"
            ((since,),) = self.database.read(asked, (after.batch,))
            above = Ends(max(told.entry, stated.entry), max(told.batch, stated.batch))
            self._go_on(after, above, since, now)

    def put_back(self, size: int, now: datetime) -> LostLeaves | None:
        """Go on, where this is a copy, above what a log of this size can have of it; None where it is none.

        Each number was stated by an entry of the log, in their order, and after each putting back they went on above
        its size then. So no number that the log has is above the count of its entries.
        """
        with self._guard:
            copied = older_books.copied(self.database)
            if copied is None:
                return None
            told = older_books.told(self.database)
            above = Ends(max(told.entry, size), max(told.batch, size))
            since = self.newest() or f"{copied.at.astimezone(UTC):%Y%m%d%H%M%SZ}"
            return self._go_on(told, above, since, now)

    def _go_on(self, after: Ends, above: Ends, since: str, now: datetime) -> LostLeaves:
        self._known = False
        with self.database.writing() as connection:
            gap = older_books.go_on(connection, after, above, since, now)
        self.lost_leaves = older_books.lost(self.database)
        return gap

    def note(self, at: datetime, entries: Sequence[tuple[str, str]]) -> None:
        """Write down what happened: what, and in which words."""
        when = at.astimezone(UTC).isoformat(timespec="seconds")
        with self.database.writing() as connection:
            connection.executemany(
                "INSERT INTO diary (at, what, detail) VALUES (?, ?, ?)", [(when, *each) for each in entries]
            )

    def note_once(self, at: datetime, what: str, detail: str) -> None:
        """Write down how something is, where that is otherwise than when it was written down last."""
        with self.database.writing() as connection:
            _note_once(connection, at, what, detail)

    def entries(self, after: int) -> tuple[DiaryEntry, ...]:
        """Return what was noted behind the entry ``after``, the oldest first."""
        asked = "SELECT number, at, what, detail FROM diary WHERE number > ? ORDER BY number LIMIT ?"
        rows = self.database.read(asked, (after, MOST_TOLD))
        return tuple(DiaryEntry(number, datetime.fromisoformat(at), what, detail) for number, at, what, detail in rows)

    def batches(self, after: int, now: datetime) -> tuple[StampBatch, ...]:
        """Return the batches that are closed behind the batch ``after``, once one whose hour is over is closed."""
        with self._guard:
            current = self._current()
            if current is not None and not _still(current.hour, now):
                self._known = False
                self._close(current)
                self._open, self._known = None, True
        asked = "SELECT number, hour, first, last, count, root FROM batches WHERE number > ? AND root IS NOT NULL"
        rows = self.database.read(f"{asked} ORDER BY number LIMIT ?", (after, MOST_TOLD))
        return tuple(StampBatch(*row) for row in rows)

    def unlogged(self) -> tuple[int, int, tuple[bytes, ...]]:
        """Return the next leaves that do not stand in the log each by itself, with their batch and the first's place.

        As many as came at once, so at most MOST_AT_ONCE; none where all do.
        """
        rows = self.database.read("SELECT batch, place FROM logged")
        batch, place = rows[0] if rows else (0, 0)
        asked = "SELECT batch, place, hashes FROM leaves WHERE (batch, place) >= (?, ?) ORDER BY batch, place LIMIT 1"
        for number, start, hashes in self.database.read(asked, (batch, place)):
            found = tuple(hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE))
            return number, start, found
        return batch, place, ()

    def note_logged(self, batch: int, place: int) -> None:
        """Remember that all leaves before this place of this batch stand in the log."""
        with self.database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO logged VALUES (1, ?, ?)", (batch, place))

    def place(self, time: str, leaf: bytes) -> tuple[int, int, tuple[bytes, ...]]:
        """Return batch, place and audit path of a token's leaf; ``time`` is its genTime.

        NotFound for a leaf that was never written down, NotYet for one whose batch is still open.
        """
        asked = "SELECT number, hour, count, root, nodes FROM batches WHERE first <= ? AND last >= ? ORDER BY number"
        still_open = ""
        # A batch that is open has no root yet, and its count grows.
        for number, hour, count, root, nodes in self.database.read(asked, (time, time)):
            index = self._index(number, leaf)
            if index is not None and root is not None:
                return number, index, self._path(number, index, count, nodes)
            still_open = hour if index is not None else still_open
        if still_open:
            raise NotYet(
                "The token is not in the log yet: the tokens of its hour are logged from "
                f"{_end(still_open):%H:%M} UTC on.",
                hint="run this again then",
            )
        for gap in self.lost_leaves:
            if gap.since <= time <= gap.until:
                raise NotFound(
                    "The books do not have this token, and if it was given out here, nothing leads from it to the log:"
                    f" they were put back to an older state. {older_books.said(gap)}"
                )
        raise NotFound("No such token was given out here.")

    def _index(self, batch: int, leaf: bytes) -> int | None:
        """Return the place of a leaf in its batch, reading a piece at a time."""
        after = -1
        while rows := self.database.read(
            "SELECT place, hashes FROM leaves WHERE batch = ? AND place > ? ORDER BY place LIMIT 64", (batch, after)
        ):
            place: int
            hashes: bytes
            for place, hashes in rows:
                at = hashes.find(leaf)
                while at >= 0 and at % HASH_SIZE:
                    at = hashes.find(leaf, at + 1)
                if at >= 0:
                    return place + at // HASH_SIZE
                after = place
        return None

    def _path(self, batch: int, index: int, count: int, nodes: bytes) -> tuple[bytes, ...]:
        whole = [nodes[at : at + HASH_SIZE] for at in range(0, len(nodes), HASH_SIZE)]
        kept: dict[int, list[bytes]] = {}

        def subtree(level: int, at: int) -> bytes:
            if level >= HEIGHT:
                return _above(whole, level - HEIGHT, at)
            bundle = at << level >> HEIGHT
            if bundle not in kept:
                kept[bundle] = self._leaves(batch, bundle << HEIGHT, min(count, bundle + 1 << HEIGHT))
            start = (at << level) - (bundle << HEIGHT)
            return _top(kept[bundle][start : start + (1 << level)])

        return merkle.inclusion(index, count, subtree)

    def _leaves(self, batch: int, start: int, end: int) -> list[bytes]:
        """Return the leaves of a batch from ``start`` up to ``end``."""
        asked = "SELECT place, hashes FROM leaves WHERE batch = ? AND place > ? AND place < ? ORDER BY place"
        found: list[bytes] = []
        for place, hashes in self.database.read(asked, (batch, start - MOST_AT_ONCE, end)):
            for number in range(max(0, start - place), min(len(hashes) // HASH_SIZE, end - place)):
                found.append(hashes[number * HASH_SIZE : (number + 1) * HASH_SIZE])
        return found

    def _close(self, batch: _Open) -> None:
        with self.database.writing() as connection:
            _closed(connection, batch)

    def _named(self) -> str:
        with self.database.writing() as connection:
            connection.execute(
                "INSERT INTO books SELECT ? WHERE NOT EXISTS (SELECT 1 FROM books)", (secrets.token_hex(16),)
            )
        return str(self.database.read("SELECT name FROM books")[0][0])

    def _current(self) -> _Open | None:
        """Return the open batch, read anew where the last write may or may not be done."""
        if not self._known:
            self._open, self._known = self._reopened(), True
        return self._open

    def _reopened(self) -> _Open | None:
        rows = self.database.read("SELECT number, hour, count FROM batches WHERE root IS NULL ORDER BY number")
        opened = None
        for number, hour, count in rows:
            opened = _Open(number, hour, 0, b"", [])
            for start in range(0, count, BUNDLE):
                opened.add(self._leaves(number, start, min(count, start + BUNDLE)))
        return opened


def note_beside(path: Path, at: datetime, what: str, detail: str) -> None:
    """Write into the diary of a stamper that may be running, from another process; twice in a row is as once.

    TimestampUnavailable where that may not be on the disk.
    """
    database = Database(path, _SCHEMA, TimestampUnavailable)
    try:
        with database.writing() as connection:
            _note_once(connection, at, what, detail)
    finally:
        database.close()


def _note_once(connection: sqlite3.Connection, at: datetime, what: str, detail: str) -> None:
    last = "SELECT detail FROM diary WHERE what = ? ORDER BY number DESC LIMIT 1"
    before = connection.execute(last, (what,)).fetchone()
    if before is None or before[0] != detail:
        when = at.astimezone(UTC).isoformat(timespec="seconds")
        connection.execute("INSERT INTO diary (at, what, detail) VALUES (?, ?, ?)", (when, what, detail))


def _closed(connection: sqlite3.Connection, batch: _Open) -> None:
    connection.execute(
        "UPDATE batches SET root = ?, nodes = ? WHERE number = ?", (batch.root(), bytes(batch.nodes), batch.number)
    )


def _still(hour: str, now: datetime) -> bool:
    """Tell whether a batch of this hour may still get tokens."""
    return now < _end(hour)


def _end(hour: str) -> datetime:
    """Return when the batch of an hour, ``YYYYMMDDHH``, is closed."""
    return datetime.strptime(hour, "%Y%m%d%H").replace(tzinfo=UTC) + timedelta(hours=1) + GRACE


def _top(leaves: Sequence[bytes]) -> bytes:
    """Return the hash of a full subtree."""
    nodes = list(leaves)
    while len(nodes) > 1:
        nodes = merkle.parents(nodes)
    return nodes[0]


def _above(nodes: Sequence[bytes], level: int, index: int) -> bytes:
    return _top(nodes[index << level : (index + 1) << level])
