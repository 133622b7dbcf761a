"""The logger's journal: which entry has which index, and every entry whose tiles are not yet known to be on the disk.

An index is given in one durable transaction together with all that follows from it, so a crash finds it given
or not given. From the staged entries, and the head below the first of them, the newest tiles are made again,
octet for octet.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from privyseal.errors import LogUnavailable
from privyseal.strongroom.durable import Database
from privyseal.strongroom.messages import Submission
from privyseal.tlog.entry import CompletionSubmission
from privyseal.tlog.log import EMPTY, Head

CHECKPOINT_PAGES = 4096
"""Pages that SQLite's write-ahead log gathers, 16 MiB, before they go into the file itself. That takes two syncs of its
own within a commit that somebody waits for, and with SQLite's 1,000 it came with every twentieth batch."""
OF_NO_KEY = ""
"""What stands for the key tag where a statement has its place. The column was made NOT NULL before there were any, so
journals of both kinds are the same."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS floor (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS staged (entry INTEGER PRIMARY KEY, octets BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS places (
    entry INTEGER PRIMARY KEY,
    submission BLOB NOT NULL UNIQUE,
    key_tag TEXT NOT NULL,
    key_seq INTEGER,
    intent INTEGER UNIQUE
);
CREATE TABLE IF NOT EXISTS sequences (key_tag TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
"""


class Place(Struct, frozen=True):
    """Where a submission stands in the log."""

    index: int
    submission: bytes
    key_tag: str
    """:data:`OF_NO_KEY` for a statement."""
    key_seq: int | None
    """Of an intent."""
    intent: int | None
    """Of a completion: the index of the intent that it completes."""


class LogJournal(Protocol):
    """Where indexes are given out: a SQLite file (here), or a database that a standby shares.

    Only the sequencer's thread uses it. What is committed by :meth:`stage` and :meth:`advance` is durable.
    """

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, so that this process must end."""
        ...

    def term(self) -> int:
        """Return under which term this process may stage, and read anew what it believes when that changes.

        LogStandby where another process holds the journal.
        """
        ...

    def wait_for_term(self, seconds: float) -> None:
        """Wait until this process holds the journal; LogStandby if another one still does after ``seconds``."""
        ...

    def confirm_term(self) -> None:
        """Ask the journal itself whether this process still holds it; LogStandby if not."""
        ...

    def head(self) -> Head:
        """Return the head of all entries that have an index."""
        ...

    def floor(self) -> Head:
        """Return the head below the first staged entry, whose tiles are on the disk."""
        ...

    def staged(self, floor: Head, head: Head) -> list[bytes]:
        """Return the staged entries; LogUnavailable unless they are all those from ``floor`` to ``head``."""
        ...

    def prepare(self, submissions: Sequence[Submission], identities: Sequence[bytes]) -> None:
        """Read at once what the places of these will be looked up by; ``identities`` are theirs, in the same order."""
        ...

    def place_of(self, submission: bytes) -> Place | None:
        """Return where a submission stands, by its identity, or None if it was never logged."""
        ...

    def place_at(self, index: int) -> Place | None:
        """Return what stands at an index, or None."""
        ...

    def completion_of(self, intent: int) -> Place | None:
        """Return the completion of the intent at this index, or None."""
        ...

    def next_in_sequence(self, key_tag: str) -> int:
        """Return the sequence number that the next intent under a key tag gets."""
        ...

    def stage(self, was: Head, becomes: Head, places: Sequence[Place], entries: Sequence[bytes], floor: Head) -> None:
        """Give new entries their indexes; LogUnavailable if the head is not ``was`` (by compare-and-swap).

        Staged entries below ``floor``, whose tiles are on the disk by now, are dropped in the same transaction.
        """
        ...

    def advance(self, was: Head, becomes: Head, floor: Head, places: Iterable[Place], entries: Sequence[bytes]) -> None:
        """Take in what was logged without this journal: the places after ``was``, and the entries from ``floor`` on."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Staging:
    """The journal's file. Only the sequencer's thread uses it."""

    def __init__(self, path: Path) -> None:
        """Open or make the file."""
        self.database = Database(path, _SCHEMA, LogUnavailable, checkpoint_pages=CHECKPOINT_PAGES)
        # What was read ahead of one question, None for what is not there; forgotten before anything is written.
        self._submissions: dict[bytes, Place | None] = {}
        self._entries: dict[int, Place | None] = {}
        self._completions: dict[int, Place | None] = {}

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, so that this process must end."""
        return self.database.lost

    def term(self) -> int:
        """Return 0: the lock on the logger's directory keeps every other process away."""
        return 0

    def wait_for_term(self, seconds: float) -> None:
        """Do nothing, as :meth:`term`."""

    def confirm_term(self) -> None:
        """Do nothing, as :meth:`term`."""

    def prepare(self, submissions: Sequence[Submission], identities: Sequence[bytes]) -> None:
        """Read in three questions what the places of these will be looked up by: each takes the file's locks once."""
        intents = [each.intent for each in submissions if isinstance(each, CompletionSubmission)]
        self._submissions = dict.fromkeys(identities) | self._found("submission", identities, "submission")
        self._entries = dict.fromkeys(intents) | self._found("entry", intents, "index")
        self._completions = dict.fromkeys(intents) | self._found("intent", intents, "intent")

    def head(self) -> Head:
        """Return the head of all entries that have an index."""
        return self._head("SELECT size, root FROM head")

    def floor(self) -> Head:
        """Return the head below the first staged entry, whose tiles are on the disk."""
        return self._head("SELECT size, root FROM floor")

    def staged(self, floor: Head, head: Head) -> list[bytes]:
        """Return the staged entries; LogUnavailable unless they are all those from ``floor`` to ``head``."""
        rows = self.database.read("SELECT entry, octets FROM staged WHERE entry >= ? ORDER BY entry", (floor.size,))
        if [row[0] for row in rows] != list(range(floor.size, head.size)):
            raise LogUnavailable(
                f"The logger's journal does not hold every entry from {floor.size} to {head.size}.",
                hint="it was altered; restore it and the tiles from one backup, and compare with the mark",
            )
        return [row[1] for row in rows]

    def place_of(self, submission: bytes) -> Place | None:
        """Return where a submission stands, by its identity, or None if it was never logged."""
        if submission in self._submissions:
            return self._submissions[submission]
        return self._found("submission", [submission], "submission").get(submission)

    def place_at(self, index: int) -> Place | None:
        """Return what stands at an index, or None."""
        if index in self._entries:
            return self._entries[index]
        return self._found("entry", [index], "index").get(index)

    def completion_of(self, intent: int) -> Place | None:
        """Return the completion of the intent at this index, or None."""
        if intent in self._completions:
            return self._completions[intent]
        return self._found("intent", [intent], "intent").get(intent)

    def next_in_sequence(self, key_tag: str) -> int:
        """Return the sequence number that the next intent under a key tag gets."""
        rows = self.database.read("SELECT next FROM sequences WHERE key_tag = ?", (key_tag,))
        return int(rows[0][0]) if rows else 0

    def stage(self, was: Head, becomes: Head, places: Sequence[Place], entries: Sequence[bytes], floor: Head) -> None:
        """Give new entries their indexes, durably; LogUnavailable if the head is not ``was`` (by compare-and-swap).

        Staged entries below ``floor``, whose tiles are on the disk by now, are dropped in the same transaction.
        """
        sequences = {place.key_tag: place.key_seq + 1 for place in places if place.key_seq is not None}
        self._forget()
        with self.database.writing() as transaction:
            _swap_head(transaction, was, becomes)
            transaction.executemany(
                "INSERT INTO staged VALUES (?, ?)",
                [(place.index, entry) for place, entry in zip(places, entries, strict=True)],
            )
            transaction.executemany(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?)",
                [(one.index, one.submission, one.key_tag, one.key_seq, one.intent) for one in places],
            )
            transaction.executemany("INSERT OR REPLACE INTO sequences VALUES (?, ?)", list(sequences.items()))
            transaction.execute("INSERT OR REPLACE INTO floor VALUES (1, ?, ?)", (floor.size, floor.root))
            transaction.execute("DELETE FROM staged WHERE entry < ?", (floor.size,))

    def advance(self, was: Head, becomes: Head, floor: Head, places: Iterable[Place], entries: Sequence[bytes]) -> None:
        """Take in what was logged without this journal: the places after ``was``, and the entries from ``floor`` on."""
        self._forget()
        with self.database.writing() as transaction:
            _swap_head(transaction, was, becomes)
            for one in places:
                transaction.execute(
                    "INSERT INTO places VALUES (?, ?, ?, ?, ?)",
                    (one.index, one.submission, one.key_tag, one.key_seq, one.intent),
                )
                if one.key_seq is not None:
                    transaction.execute(
                        "INSERT OR REPLACE INTO sequences VALUES (?, ?)", (one.key_tag, one.key_seq + 1)
                    )
            transaction.execute("DELETE FROM staged")
            transaction.executemany("INSERT INTO staged VALUES (?, ?)", list(enumerate(entries, start=floor.size)))
            transaction.execute("INSERT OR REPLACE INTO floor VALUES (1, ?, ?)", (floor.size, floor.root))

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def _head(self, statement: str) -> Head:
        rows = self.database.read(statement)
        return Head(rows[0][0], rows[0][1]) if rows else EMPTY.head

    def _found(self, column: str, values: Sequence[Any], key: str) -> dict[Any, Place]:
        """Return the places whose ``column`` is one of ``values``, by the field of theirs that holds it."""
        # `column` is one of three literals above; values are at most MAX_SUBMISSIONS, SQLite takes 32,766.
        if not values:
            return {}
        places = f"SELECT entry, submission, key_tag, key_seq, intent FROM places WHERE {column} IN "  # noqa: S608
        rows = self.database.read(places + "(?" + ", ?" * (len(values) - 1) + ")", values)
        return {getattr(place, key): place for place in (Place(*row) for row in rows)}

    def _forget(self) -> None:
        self._submissions, self._entries, self._completions = {}, {}, {}


def _swap_head(transaction: sqlite3.Connection, was: Head, becomes: Head) -> None:
    if was.size == 0:
        transaction.execute("INSERT OR IGNORE INTO head VALUES (1, 0, ?)", (was.root,))
    changed = transaction.execute(
        "UPDATE head SET size = ?, root = ? WHERE size = ? AND root = ?",
        (becomes.size, becomes.root, was.size, was.root),
    )
    if changed.rowcount != 1:
        raise LogUnavailable(
            f"The journal's head is no longer the one of size {was.size} that this batch began from.",
            hint="another process writes to it; only one logger may",
        )
