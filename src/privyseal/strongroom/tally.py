"""How often each key in a cloud was asked to sign, and how often it did, by the minute, in the signer's journal.

What is asked is counted in the transaction that spends the intents, before the key is used. What was made is written
with the next batch, so that it costs no sync of its own: a crash forgets some, and the lower bound is lower then.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from datetime import UTC, datetime

from privyseal.strongroom.durable import Database

SLOT = 60
"""Seconds that are counted together, and by which two clocks may differ."""
KEPT = 100 * 86400
"""Seconds for which counts are kept; of the clouds' logs CloudTrail's goes back 90 days."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS tally (
    key_id TEXT, slot INTEGER, asked INTEGER NOT NULL, made INTEGER NOT NULL, PRIMARY KEY (key_id, slot)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally_begun (id INTEGER PRIMARY KEY CHECK (id = 1), slot INTEGER NOT NULL);
"""
"""The tables of a tally, in SQL of SQLite."""
_ADD = (
    "INSERT INTO tally VALUES (?, ?, ?, ?) ON CONFLICT (key_id, slot) "
    "DO UPDATE SET asked = asked + excluded.asked, made = made + excluded.made"
)


class Tally:
    """The counts of one signer; safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        """Count in a journal, whose schema has :data:`SCHEMA`."""
        self._database = database
        self._guard = threading.Lock()
        self._made = Counter[tuple[str, int]]()

    def begin(self, transaction: sqlite3.Connection, now: datetime) -> None:
        """Note since when is counted, once, and write down what was made since the last batch."""
        transaction.execute("INSERT OR IGNORE INTO tally_begun VALUES (1, ?)", (slot_of(now),))
        with self._guard:
            made, self._made = self._made, Counter()
        transaction.executemany(_ADD, [(key_id, slot, 0, count) for (key_id, slot), count in made.items()])

    @staticmethod
    def ask(transaction: sqlite3.Connection, key_id: str, now: datetime, count: int) -> None:
        """Count signatures that a key is about to be asked for."""
        transaction.execute(_ADD, (key_id, slot_of(now), count, 0))

    def make(self, key_id: str, now: datetime, count: int) -> None:
        """Count signatures that came and were verified."""
        with self._guard:
            self._made[key_id, slot_of(now)] += count

    @staticmethod
    def forget(transaction: sqlite3.Connection, now: datetime) -> None:
        """Forget what is too old to be held against anything."""
        transaction.execute("DELETE FROM tally WHERE slot < ?", (slot_of(now) - KEPT,))

    def begun(self) -> datetime | None:
        """Return since when all that is asked is counted, also in the slot before; None where nothing is yet."""
        rows = self._database.read("SELECT slot FROM tally_begun")
        return datetime.fromtimestamp(rows[0][0] + 2 * SLOT, UTC) if rows else None

    def bounds(self, key_id: str, since: datetime, until: datetime) -> tuple[int, int]:
        """Return how many were made within a period, and how many asked for in it and one slot around it."""
        first, last = slot_of(since), slot_of(until)
        read = "SELECT COALESCE(SUM({}), 0) FROM tally WHERE key_id = ? AND slot >= ? AND slot < ?"
        (made,) = self._database.read(read.format("made"), (key_id, first + SLOT, last - SLOT))
        (asked,) = self._database.read(read.format("asked"), (key_id, first - SLOT, last + SLOT))
        return int(made[0]), int(asked[0])


def slot_of(at: datetime) -> int:
    """Return the beginning of the slot that a moment is in, in seconds since 1970."""
    return int(at.timestamp()) // SLOT * SLOT
