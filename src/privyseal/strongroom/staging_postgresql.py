"""The logger's journal in PostgreSQL, which two loggers share so that one takes over from the other.

Only the holder of the lease stages (``lease_postgresql.py``): a batch is one statement that swaps the head only where
head, holder and fence are still the ones it began with, so a logger that was frozen and wakes up stages nothing. One
statement is one message and one answer. It holds no lock while it is on its way, so who freezes in the middle of
sending it locks nobody out, and it is the fewest round trips a batch can have.

No lock outlives its transaction and no setting its transaction either, so this works through a pooler. What no
database can promise stands in ``ledger.py``: after a failover that lost commits, the database is behind what was
signed, and then mark, published head and witnesses say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from privyseal.errors import LogUnavailable
from privyseal.strongroom.lease_postgresql import LEASE_SECONDS, LOCAL, Lease, connected, standby, unavailable
from privyseal.strongroom.messages import Submission
from privyseal.strongroom.staging import Place
from privyseal.tlog.entry import CompletionSubmission, IntentSubmission
from privyseal.tlog.log import EMPTY, Head

_TRANSACTION = (
    # What is more than one statement: made at the start, or by the recovery. A commit is on the disk (and at the
    # synchronous standby, where there is one) before it is told.
    "SET LOCAL synchronous_commit = on; SET LOCAL idle_in_transaction_session_timeout = '2s'; "
    "SET LOCAL lock_timeout = '4s'; SET LOCAL statement_timeout = '30s'"
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS privyseal_log_head (
    log text PRIMARY KEY, size bigint NOT NULL, root bytea NOT NULL,
    floor_size bigint NOT NULL, floor_root bytea NOT NULL,
    holder text NOT NULL, fence bigint NOT NULL, until timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS privyseal_log_staged (
    log text NOT NULL, entry bigint NOT NULL, octets bytea NOT NULL, PRIMARY KEY (log, entry));
CREATE TABLE IF NOT EXISTS privyseal_log_places (
    log text NOT NULL, entry bigint NOT NULL, submission bytea NOT NULL, key_tag text NOT NULL,
    key_seq bigint, intent bigint,
    PRIMARY KEY (log, entry), UNIQUE (log, submission), UNIQUE (log, intent));
CREATE TABLE IF NOT EXISTS privyseal_log_sequences (
    log text NOT NULL, key_tag text NOT NULL, next bigint NOT NULL, PRIMARY KEY (log, key_tag));
"""
_OURS = "log = %(log)s AND holder = %(holder)s AND fence = %(fence)s"
_SWAP = f"""
UPDATE privyseal_log_head SET size = %(size)s, root = %(root)s, floor_size = %(floor_size)s,
    floor_root = %(floor_root)s, until = clock_timestamp() + make_interval(secs => {LEASE_SECONDS})
WHERE {_OURS} AND size = %(was_size)s AND root = %(was_root)s"""  # noqa: S608 - literals of this file
_STAGE = f"""
WITH local AS MATERIALIZED ({LOCAL}),
swapped AS ({_SWAP} AND EXISTS (SELECT 1 FROM local) RETURNING log),
staged AS (
    INSERT INTO privyseal_log_staged
    SELECT log, entry, octets FROM swapped, unnest(%(entries)s::bigint[], %(octets)b::bytea[]) AS new (entry, octets)),
placed AS (
    INSERT INTO privyseal_log_places
    SELECT log, entry, submission, key_tag, key_seq, intent FROM swapped,
        unnest(%(entries)s::bigint[], %(submissions)b::bytea[], %(tags)s::text[], %(sequence)s::bigint[],
            %(intents)s::bigint[]) AS new (entry, submission, key_tag, key_seq, intent)),
counted AS (
    INSERT INTO privyseal_log_sequences
    SELECT log, key_tag, next FROM swapped, unnest(%(counted)s::text[], %(next)s::bigint[]) AS new (key_tag, next)
    ON CONFLICT (log, key_tag) DO UPDATE SET next = excluded.next),
dropped AS (
    DELETE FROM privyseal_log_staged AS old USING swapped WHERE old.log = swapped.log AND entry < %(floor_size)s)
SELECT (SELECT count(*) FROM swapped), (SELECT count(*) FROM privyseal_log_head WHERE {_OURS})
"""  # noqa: S608 - literals of this file
_SEQUENCES = "SELECT NULL, NULL, key_tag, next, NULL FROM privyseal_log_sequences WHERE log = %s AND key_tag = ANY(%s)"
_PLACE = "SELECT entry, submission, key_tag, key_seq, intent FROM privyseal_log_places WHERE log = %s AND "


class PostgresqlStaging:
    """The journal of one log in one database; a ``LogJournal``.

    The sequencer's thread uses ``_connection`` and what was read ahead; the lease has a thread and a connection of its
    own.
    """

    def __init__(self, url: str, origin: str, *, keep: bool = True) -> None:
        """Connect, make the tables where they are not there, and try to become the holder; ``keep`` renews the lease.

        LogUnavailable if the database cannot be reached.
        """
        self._url = url
        self._log = origin
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._ahead: _Ahead | None = None
        with self._transaction() as connection:
            if connection.execute("SELECT to_regclass('privyseal_log_sequences')").fetchall()[0][0] is None:
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('privyseal_log'))")
                connection.execute(_SCHEMA)
            connection.execute(
                "INSERT INTO privyseal_log_head VALUES (%s, 0, %s, 0, %s, '', 0, '-infinity') ON CONFLICT DO NOTHING",
                (origin, EMPTY.head.root, EMPTY.head.root),
            )
        self.lease = Lease(url, origin)
        self.lease.begin(keep=keep)

    @property
    def lost(self) -> bool:
        """Return False: a disk that fails is the database server's to notice, which then ends itself."""
        return False

    def term(self) -> int:
        """Return the fence; LogStandby where another process holds the lease, as far as is known here."""
        return self.lease.term()

    def wait_for_term(self, seconds: float) -> None:
        """Wait until this process holds the lease; LogStandby if another one still has it after ``seconds``."""
        self.lease.wait_for_term(seconds)

    def confirm_term(self) -> None:
        """Ask the database whether the lease is still ours; LogStandby if not."""
        if not self._read(f"SELECT 1 FROM privyseal_log_head WHERE {_OURS}", self.lease.ours()):  # noqa: S608
            raise standby()

    # -- reading -------------------------------------------------------------------------------------------------------
    def head(self) -> Head:
        """Return the head of all entries that have an index."""
        return Head(*self._read("SELECT size, root FROM privyseal_log_head WHERE log = %s", (self._log,))[0])

    def floor(self) -> Head:
        """Return the head below the first staged entry, whose tiles are on the disk."""
        return Head(
            *self._read("SELECT floor_size, floor_root FROM privyseal_log_head WHERE log = %s", (self._log,))[0]
        )

    def staged(self, floor: Head, head: Head) -> list[bytes]:
        """Return the staged entries; LogUnavailable unless they are all those from ``floor`` to ``head``."""
        rows = self._read(
            "SELECT entry, octets FROM privyseal_log_staged WHERE log = %s AND entry BETWEEN %s AND %s ORDER BY entry",
            (self._log, floor.size, head.size - 1),
        )
        if [row[0] for row in rows] != list(range(floor.size, head.size)):
            raise LogUnavailable(
                f"The logger's journal does not hold every entry from {floor.size} to {head.size}.",
                hint="it was altered; restore it and the tiles from one backup, and compare with the mark",
            )
        return [row[1] for row in rows]

    def prepare(self, submissions: Sequence[Submission], identities: Sequence[bytes]) -> None:
        """Read in one question what the places of these will be looked up by."""
        ahead = _Ahead()
        tags = {each.key_tag for each in submissions if isinstance(each, IntentSubmission)}
        intents = [each.intent for each in submissions if isinstance(each, CompletionSubmission)]
        rows = self._read(
            f"{_PLACE} (submission = ANY(%s) OR entry = ANY(%s) OR intent = ANY(%s)) UNION ALL {_SEQUENCES}",
            (self._log, list(identities), intents, intents, self._log, sorted(tags)),
        )
        ahead.take(Place(*row) for row in rows if row[0] is not None)
        ahead.submissions.update(dict.fromkeys(set(identities) - set(ahead.submissions)))
        ahead.entries.update(dict.fromkeys(set(intents) - set(ahead.entries)))
        ahead.completions.update(dict.fromkeys(set(intents) - set(ahead.completions)))
        ahead.sequences = dict.fromkeys(tags, 0) | {row[2]: row[3] for row in rows if row[0] is None}
        self._ahead = ahead

    def place_of(self, submission: bytes) -> Place | None:
        """Return where a submission stands, by its identity, or None if it was never logged."""
        if self._ahead is not None and submission in self._ahead.submissions:
            return self._ahead.submissions[submission]
        return self._place("submission = %s", submission)

    def place_at(self, index: int) -> Place | None:
        """Return what stands at an index, or None."""
        if self._ahead is not None and index in self._ahead.entries:
            return self._ahead.entries[index]
        return self._place("entry = %s", index)

    def completion_of(self, intent: int) -> Place | None:
        """Return the completion of the intent at this index, or None."""
        if self._ahead is not None and intent in self._ahead.completions:
            return self._ahead.completions[intent]
        return self._place("intent = %s", intent)

    def next_in_sequence(self, key_tag: str) -> int:
        """Return the sequence number that the next intent under a key tag gets."""
        if self._ahead is not None and key_tag in self._ahead.sequences:
            return self._ahead.sequences[key_tag]
        rows = self._read(
            "SELECT next FROM privyseal_log_sequences WHERE log = %s AND key_tag = %s", (self._log, key_tag)
        )
        return int(rows[0][0]) if rows else 0

    # -- writing -------------------------------------------------------------------------------------------------------
    def stage(self, was: Head, becomes: Head, places: Sequence[Place], entries: Sequence[bytes], floor: Head) -> None:
        """Give new entries their indexes; LogUnavailable if the head is not ``was``, LogStandby if the fence is not.

        Staged entries below ``floor``, whose tiles are on the disk by now, are dropped in the same transaction.
        """
        self._ahead = None
        sequences = _following(places)
        asked = self._swap(was, becomes, floor) | {
            "entries": [place.index for place in places],
            "octets": list(entries),
            "submissions": [place.submission for place in places],
            "tags": [place.key_tag for place in places],
            "sequence": [place.key_seq for place in places],
            "intents": [place.intent for place in places],
            "counted": list(sequences),
            "next": list(sequences.values()),
        }
        swapped, ours = self._read(_STAGE, asked)[0]
        if not swapped:
            raise _not_swapped(was, ours)

    def advance(self, was: Head, becomes: Head, floor: Head, places: Iterable[Place], entries: Sequence[bytes]) -> None:
        """Take in what was logged without this journal: the places after ``was``, and the entries from ``floor`` on."""
        staged = [(self._log, floor.size + at, entry) for at, entry in enumerate(entries)]
        taken = list(places)  # before the transaction, which must not idle while they are read from the disk
        with self._transaction() as connection, connection.cursor() as cursor:
            if cursor.execute(_SWAP, self._swap(was, becomes, floor)).rowcount != 1:
                held = f"SELECT 1 FROM privyseal_log_head WHERE {_OURS}"  # noqa: S608
                raise _not_swapped(was, len(cursor.execute(held, self.lease.ours()).fetchall()))
            cursor.executemany(
                "INSERT INTO privyseal_log_places VALUES (%s, %s, %s, %s, %s, %s)",
                [(self._log, one.index, one.submission, one.key_tag, one.key_seq, one.intent) for one in taken],
            )
            cursor.executemany(
                "INSERT INTO privyseal_log_sequences VALUES (%s, %s, %s) "
                "ON CONFLICT (log, key_tag) DO UPDATE SET next = excluded.next",
                [(self._log, tag, following) for tag, following in _following(taken).items()],
            )
            cursor.execute("DELETE FROM privyseal_log_staged WHERE log = %s", (self._log,))
            cursor.executemany("INSERT INTO privyseal_log_staged VALUES (%s, %s, %s)", staged)

    def close(self) -> None:
        """Give the lease up, so that a standby need not wait for its end, and close the connections."""
        self._drop()  # which may be to a server that is gone
        self.lease.close()

    def _swap(self, was: Head, becomes: Head, floor: Head) -> dict[str, Any]:
        """Return the parameters of what swaps the head, under our fence."""
        return self.lease.ours() | {
            "size": becomes.size,
            "root": becomes.root,
            "floor_size": floor.size,
            "floor_root": floor.root,
            "was_size": was.size,
            "was_root": was.root,
        }

    # -- the connection ------------------------------------------------------------------------------------------------
    def _place(self, which: str, value: bytes | int) -> Place | None:
        rows = self._read(_PLACE + which, (self._log, value))
        return Place(*rows[0]) if rows else None

    def _read(self, statement: str, parameters: Any) -> list[tuple[Any, ...]]:
        """Carry out one statement, a transaction of its own, and return its rows."""
        with self._connected() as connection:
            return connection.execute(statement, parameters).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        with self._connected() as connection, connection.transaction():
            connection.execute(_TRANSACTION)
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Hand out the connection. After any failure of the database it is thrown away: an error from the commit says
        nothing of whether it is done, and the caller must read again what it believes."""
        try:
            if self._connection is None:
                self._connection = connected(self._url)
            yield self._connection
        except psycopg.Error as error:
            self._drop()
            raise unavailable(error) from None

    def _drop(self) -> None:
        connection, self._connection, self._ahead = self._connection, None, None
        if connection is not None:
            connection.close()


class _Ahead:
    """What was read ahead of one question: an absent thing is None, or 0, an unasked one is not in here."""

    def __init__(self) -> None:
        self.submissions: dict[bytes, Place | None] = {}
        self.entries: dict[int, Place | None] = {}
        self.completions: dict[int, Place | None] = {}
        self.sequences: dict[str, int] = {}

    def take(self, places: Iterable[Place]) -> None:
        for place in places:
            self.submissions[place.submission] = place
            self.entries[place.index] = place
            if place.intent is not None:
                self.completions[place.intent] = place


def _following(places: Sequence[Place]) -> dict[str, int]:
    """Return the sequence number after these places, for each key tag among them."""
    return {one.key_tag: one.key_seq + 1 for one in places if one.key_seq is not None}


def _not_swapped(was: Head, ours: int) -> LogUnavailable:
    if not ours:
        return standby()
    return LogUnavailable(
        f"The journal's head is no longer the one of size {was.size} that this batch began from.",
        hint="the database was put back, or another process writes to it",
    )
