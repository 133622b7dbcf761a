"""What the signer must never forget: the newest head it has seen, and every intent it has spent.

Both change in one transaction, so one sync serves a batch, and it is done before any key is used: a crash at
any later moment finds the intents spent, and nobody can have a second signature out of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from privyseal.errors import KeyStoreUnavailable
from privyseal.strongroom.durable import Database
from privyseal.strongroom.mark import Mark
from privyseal.tlog.merkle import EMPTY_ROOT

_SCHEMA = """
CREATE TABLE IF NOT EXISTS mark (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS spent (entry INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS agreed (digest BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
    key_id TEXT PRIMARY KEY, label TEXT NOT NULL UNIQUE, destroyed INTEGER NOT NULL, holding BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS births (label TEXT PRIMARY KEY, attempts INTEGER NOT NULL);
"""


class Journal:
    """The signer's SQLite file; ``charters.py`` keeps its tables ``keys`` and ``births`` in it as well."""

    def __init__(self, path: Path) -> None:
        """Open or make the file."""
        self.database = Database(path, _SCHEMA, KeyStoreUnavailable)

    def mark(self) -> Mark:
        """Return size and root of the newest head this signer has acted under; the empty tree before the first."""
        rows = self.database.read("SELECT size, root FROM mark")
        return Mark(rows[0][0], rows[0][1]) if rows else Mark(0, EMPTY_ROOT)

    @contextmanager
    def writing(self, mark: Mark) -> Iterator[sqlite3.Connection]:
        """Run the body in one durable transaction that also raises the mark."""
        with self.database.writing() as transaction:
            transaction.execute("INSERT OR REPLACE INTO mark VALUES (1, ?, ?)", (mark.number, mark.digest))
            yield transaction

    @staticmethod
    def spend(transaction: sqlite3.Connection, entry: int) -> bool:
        """Mark the intent at this index of the log spent; False if it was already."""
        return transaction.execute("INSERT OR IGNORE INTO spent VALUES (?)", (entry,)).rowcount == 1

    @staticmethod
    def use_agreement(transaction: sqlite3.Connection, digest: bytes, expires: datetime) -> bool:
        """Mark what was approved under this digest as done; False if it was already. It is kept until it expires."""
        row = (digest, int(expires.timestamp()))
        return transaction.execute("INSERT OR IGNORE INTO agreed VALUES (?, ?)", row).rowcount == 1

    @staticmethod
    def forget_agreements(transaction: sqlite3.Connection, before: datetime) -> None:
        """Forget agreements that have expired, which the signer refuses for that reason."""
        transaction.execute("DELETE FROM agreed WHERE expires < ?", (int(before.timestamp()) - 1,))

    def close(self) -> None:
        """Close the file."""
        self.database.close()
