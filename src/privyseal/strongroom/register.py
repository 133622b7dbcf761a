"""What a rehearsal's CA has issued and revoked: one SQLite file, in which a certificate stands before it is given out.

So there is none of which its status would not be known, and what is revoked once is revoked in every list from then on
(RFC 5280 5: an entry stays until the certificate has expired; here it stays for good).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from privyseal.errors import Conflict, NotFound, Unavailable
from privyseal.pki import certificates
from privyseal.pki.rehearsal import Part, Revocation
from privyseal.pki.rehearsal_status import Known
from privyseal.strongroom.durable import Database

MOST_ISSUED = 100_000
"""Certificates that one rehearsal issues: a bound on its file, which nobody in a rehearsal meets."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS issued (
    serial TEXT PRIMARY KEY, part TEXT NOT NULL, certificate BLOB NOT NULL, revoked INTEGER, reason TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (id INTEGER PRIMARY KEY CHECK (id = 1), list INTEGER NOT NULL);
"""


class Register:
    """The file. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open or make it."""
        self.database = Database(path, _SCHEMA, Unavailable)

    def add(self, issued: Sequence[tuple[Part, bytes]]) -> None:
        """Write down certificates, DER; Conflict where the register is full. Those that stand there are left alone."""
        with self.database.writing() as transaction:
            (count,) = transaction.execute("SELECT count(*) FROM issued").fetchone()
            if count + len(issued) > MOST_ISSUED:
                raise Conflict(f"This rehearsal has issued {count} certificates.", hint="make a new one")
            for part, certificate in issued:
                row = (_serial(certificates.outline(certificate).serial), part, certificate)
                transaction.execute("INSERT OR IGNORE INTO issued (serial, part, certificate) VALUES (?, ?, ?)", row)

    def find(self, serial: int) -> Known | None:
        """Return what is known of a serial number; None where it was never issued."""
        rows = self.database.read("SELECT part, revoked, reason FROM issued WHERE serial = ?", (_serial(serial),))
        if not rows:
            return None
        part, revoked, reason = rows[0]
        return Known(part, None if revoked is None else datetime.fromtimestamp(revoked, UTC), reason or "unspecified")

    def revoke(self, certificate: bytes, reason: str, at: datetime) -> datetime:
        """Revoke a certificate from ``at`` on; return from when on it is revoked, as it was first said.

        NotFound for a certificate that was not issued here.
        """
        serial = _serial(certificates.outline(certificate).serial)
        with self.database.writing() as transaction:
            row = transaction.execute("SELECT certificate, revoked FROM issued WHERE serial = ?", (serial,)).fetchone()
            if row is None or bytes(row[0]) != certificate:
                raise NotFound("This rehearsal's CA has not issued the certificate.", hint="ask the CA that has")
            if row[1] is not None:
                return datetime.fromtimestamp(row[1], UTC)
            moment = int(at.timestamp())
            transaction.execute("UPDATE issued SET revoked = ?, reason = ? WHERE serial = ?", (moment, reason, serial))
            return datetime.fromtimestamp(moment, UTC)

    def revocations(self) -> list[Revocation]:
        """Return everything that is revoked, by serial number."""
        rows = self.database.read(
            "SELECT certificate, revoked, reason FROM issued WHERE revoked IS NOT NULL ORDER BY serial"
        )
        return [Revocation(bytes(row[0]), datetime.fromtimestamp(row[1], UTC), row[2]) for row in rows]

    def next_number(self, now: datetime) -> int:
        """Return the number of the next list: the time, and more than the last one's (RFC 5280 5.2.3)."""
        with self.database.writing() as transaction:
            row = transaction.execute("SELECT list FROM numbers").fetchone()
            number = max(int(now.timestamp()), 0 if row is None else row[0] + 1)
            transaction.execute("INSERT OR REPLACE INTO numbers VALUES (1, ?)", (number,))
            return number


def _serial(number: int) -> str:
    return f"{number:x}"
