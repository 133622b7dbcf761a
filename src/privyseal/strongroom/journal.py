"""What the signer must never forget: the newest head it has seen, and every intent it has spent.

Both change in one transaction, so one sync serves a batch, and it is done before any key is used: a crash at
any later moment finds the intents spent, and nobody can have a second signature out of them.

Whoever puts an older journal back would make the signer forget what it spent, and wake keys that were frozen or
destroyed. So it counts its changes, and a mark on another path, which such a restore leaves alone, keeps the count.
The mark is written when the change is on the disk and is not waited for: a power cut may leave it behind the
journal, which accuses nobody, and never before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from msgspec import UNSET

from privyseal.errors import KeyStoreUnavailable
from privyseal.strongroom.durable import Database
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.tally import SCHEMA as _TALLY
from privyseal.strongroom.tally import Tally
from privyseal.terms.keys import Charter
from privyseal.tlog.merkle import EMPTY_ROOT

_SCHEMA = """
CREATE TABLE IF NOT EXISTS mark (id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS spent (entry INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS agreed (digest BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys (
    key_id TEXT PRIMARY KEY, label TEXT NOT NULL UNIQUE, destroyed INTEGER NOT NULL, holding BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS changes (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS granted (
    digest BLOB PRIMARY KEY, used INTEGER NOT NULL, revoked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attesting (
    id INTEGER PRIMARY KEY CHECK (id = 1), uri TEXT NOT NULL, certificate BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS uses (
    key_id TEXT, since INTEGER, count INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (key_id, since)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS births (label TEXT PRIMARY KEY, attempts INTEGER NOT NULL);
"""


class Journal:
    """The signer's SQLite file; ``charters.py`` keeps its tables ``keys`` and ``births`` in it as well."""

    def __init__(self, path: Path, witness: MarkFile | None = None) -> None:
        """Open or make the file; ``witness`` is the mark that keeps the count of its changes, if there is one."""
        self.database = Database(path, _SCHEMA + _TALLY, KeyStoreUnavailable)
        self.tally = Tally(self.database)
        self._witness = witness

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, so that this process must end."""
        return self.database.lost or (self._witness is not None and self._witness.lost)

    def mark(self) -> Mark:
        """Return size and root of the newest head this signer has acted under; the empty tree before the first.

        KeyStoreUnavailable where the journal is older than its mark knows.
        """
        self._check_age()
        rows = self.database.read("SELECT size, root FROM mark")
        return Mark(rows[0][0], rows[0][1]) if rows else Mark(0, EMPTY_ROOT)

    @contextmanager
    def writing(self, mark: Mark) -> Iterator[sqlite3.Connection]:
        """Run the body in one durable transaction that also raises the mark; one thread at a time may."""
        with self.database.writing() as transaction:
            transaction.execute("INSERT OR REPLACE INTO mark VALUES (1, ?, ?)", (mark.number, mark.digest))
            count = self._changes() + 1
            transaction.execute("INSERT OR REPLACE INTO changes VALUES (1, ?)", (count,))
            yield transaction
        if self._witness is not None:
            self._witness.raise_to(Mark(count, mark.digest), durable=False)

    def _changes(self) -> int:
        rows = self.database.read("SELECT count FROM changes")
        return int(rows[0][0]) if rows else 0

    def _check_age(self) -> None:
        if self._witness is None:
            return
        known, count = self._witness.read().number, self._changes()
        if count < known:
            raise KeyStoreUnavailable(
                f"The signer's journal was put back to an older state: it holds {count} changes, and its mark knows of "
                f"{known}. It has forgotten what was signed, frozen or destroyed since.",
                hint="restore the newest journal; no key is used until then",
            )

    def attesting(self) -> tuple[str, bytes] | None:
        """Return where the key is with which Evidence is signed, and its certificate, DER; None before the first."""
        rows = self.database.read("SELECT uri, certificate FROM attesting")
        return (str(rows[0][0]), bytes(rows[0][1])) if rows else None

    def keep_attesting(self, uri: str, certificate: bytes) -> None:
        """Keep which key signs Evidence, for good."""
        with self.writing(self.mark()) as transaction:
            transaction.execute("INSERT INTO attesting VALUES (1, ?, ?)", (uri, certificate))

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
    def use_grant(transaction: sqlite3.Connection, digest: bytes, count: int, most: int) -> str | None:
        """Count signatures under a Grant, and return why they are too many or revoked; None where they are counted.

        Counts are kept for ever, so no clock that goes wrong makes one begin anew.
        """
        transaction.execute("INSERT OR IGNORE INTO granted (digest, used) VALUES (?, 0)", (digest,))
        used, revoked = transaction.execute("SELECT used, revoked FROM granted WHERE digest = ?", (digest,)).fetchone()
        if revoked:
            return f"The grant {digest.hex()[:16]} was revoked."
        if used + count > most:
            left = f"{most - used} of {most} signatures are left"
            return f"The grant {digest.hex()[:16]} does not reach: {left}, and {count} are asked for."
        transaction.execute("UPDATE granted SET used = used + ? WHERE digest = ?", (count, digest))
        return None

    @staticmethod
    def revoke_grant(transaction: sqlite3.Connection, digest: bytes) -> None:
        """Let nothing be signed under a Grant any more, also if it was never used."""
        transaction.execute(
            "INSERT INTO granted VALUES (?, 0, 1) ON CONFLICT (digest) DO UPDATE SET revoked = 1", (digest,)
        )

    @staticmethod
    def note_use(transaction: sqlite3.Connection, charter: Charter, now: datetime, count: int = 0) -> None:
        """Count signatures of a key whose limits ask for that, and remember when it was last used or woken."""
        if charter.limits is UNSET or not charter.limits.counted:
            return
        transaction.execute(
            "INSERT INTO uses VALUES (?, ?, ?, ?) ON CONFLICT (key_id, since) "
            "DO UPDATE SET count = count + excluded.count, last = max(last, excluded.last)",
            (charter.key_id, charter.limited_since, count, int(now.timestamp())),
        )

    @staticmethod
    def beyond(transaction: sqlite3.Connection, charter: Charter, now: datetime, count: int) -> str | None:
        """Return why so many signatures more are beyond a key's limits, as the end of a sentence; None where not.

        Counts are kept for ever, so no clock that goes wrong makes one begin anew.
        """
        limits = charter.limits
        if limits is UNSET or not limits.counted:
            return None
        asked = "SELECT count, last FROM uses WHERE key_id = ? AND since = ?"
        found = transaction.execute(asked, (charter.key_id, charter.limited_since)).fetchone()
        used, last = found or (0, int(now.timestamp()))
        if limits.signatures is not UNSET and used + count > limits.signatures:
            left = limits.signatures - used
            return f"has {left} of {limits.signatures} signatures left, and {count} are asked for"
        if limits.idle_days is not UNSET and now.timestamp() - last > limits.idle_days * 86400:
            return f"was not used for more than {limits.idle_days} days"
        return None

    @staticmethod
    def forget_agreements(transaction: sqlite3.Connection, before: datetime) -> None:
        """Forget agreements that have expired, which the signer refuses for that reason."""
        transaction.execute("DELETE FROM agreed WHERE expires < ?", (int(before.timestamp()) - 1,))

    def close(self) -> None:
        """Close the files."""
        self.database.close()
        if self._witness is not None:
            self._witness.close()
