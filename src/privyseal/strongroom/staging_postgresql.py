"""The logger's journal in PostgreSQL, which two loggers share so that one takes over from the other.

Only the holder of the lease stages: a row says who holds it, under which number, the *fence*, and until when. The
holder renews it each second; a standby takes it when its time is over, by the database's clock, never by one of
ours, and counts the fence up. Every transaction that stages swaps the head only where head, holder and fence are still
the ones it began with, so a logger that was frozen and wakes up stages nothing.

No lock outlives its transaction and no setting its transaction either, so this works through a pooler. What no
database can promise stands in ``ledger.py``: after a failover that lost commits, the database is behind what was
signed, and then mark, published head and witnesses say so.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from privyseal.errors import LogStandby, LogUnavailable
from privyseal.strongroom.messages import Submission
from privyseal.strongroom.staging import Place
from privyseal.tlog.entry import CompletionSubmission, IntentSubmission
from privyseal.tlog.log import EMPTY, Head

LEASE_SECONDS = 3
"""How long the lease lasts without being renewed: so long is nothing logged after the holder died."""
RENEW_SECONDS = 1.0
"""Between two renewals."""
WATCH_SECONDS = 0.25
"""Between two looks of a standby at the lease."""
CONNECT_SECONDS = 3
_TRANSACTION = (
    # A commit is on the disk (and at the synchronous standby, where there is one) before it is told. A transaction that
    # its logger left open, frozen, is ended by the server, or its row lock would outlast the lease.
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
_PLACE = "SELECT entry, submission, key_tag, key_seq, intent FROM privyseal_log_places WHERE log = %s AND "


class PostgresqlStaging:
    """The journal of one log in one database; a ``LogJournal``.

    The sequencer's thread uses ``_connection`` and what was read ahead, the lease's thread a connection of its own;
    ``_fence`` is written by the lease's thread alone.
    """

    def __init__(self, url: str, origin: str, *, keep: bool = True) -> None:
        """Connect, make the tables where they are not there, and try to become the holder; ``keep`` renews the lease.

        LogUnavailable if the database cannot be reached.
        """
        self._url = url
        self._log = origin
        self._holder = uuid.uuid4().hex
        self._fence: int | None = None
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._ahead: _Ahead | None = None
        self._ending = threading.Event()
        with self._transaction() as connection:
            if connection.execute("SELECT to_regclass('privyseal_log_sequences')").fetchall()[0][0] is None:
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('privyseal_log'))")
                connection.execute(_SCHEMA)
            connection.execute(
                "INSERT INTO privyseal_log_head VALUES (%s, 0, %s, 0, %s, '', 0, '-infinity') ON CONFLICT DO NOTHING",
                (origin, EMPTY.head.root, EMPTY.head.root),
            )
        with self._connected_apart() as connection:
            self._look(connection)
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        if keep:
            self._keeper.start()

    @property
    def lost(self) -> bool:
        """Return False: a disk that fails is the database server's to notice, which then ends itself."""
        return False

    # -- the lease -----------------------------------------------------------------------------------------------------
    def term(self) -> int:
        """Return the fence; LogStandby where another process holds the lease, as far as is known here."""
        fence = self._fence
        if fence is None:
            raise _standby()
        return fence

    def wait_for_term(self, seconds: float) -> None:
        """Wait until this process holds the lease; LogStandby if another one still has it after ``seconds``."""
        until = time.monotonic() + seconds
        while self._fence is None and time.monotonic() < until:
            time.sleep(0.05)
        self.term()

    def confirm_term(self) -> None:
        """Ask the database whether the lease is still ours; LogStandby if not."""
        with self._transaction() as connection:
            held = connection.execute(
                "SELECT 1 FROM privyseal_log_head WHERE log = %s AND holder = %s AND fence = %s",
                (self._log, self._holder, self.term()),
            ).fetchall()
        if not held:
            raise _standby()

    def _keep(self) -> None:
        """Renew the lease, or wait for it; after any trouble with the database try again on a new connection."""
        while not self._ending.is_set():
            try:
                with self._connected_apart() as connection:
                    while not self._ending.wait(WATCH_SECONDS if self._fence is None else RENEW_SECONDS):
                        self._look(connection)
            except (psycopg.Error, LogUnavailable):
                # The fence is kept: if nobody took the lease meanwhile it is still ours, and if somebody did, nothing
                # can be staged under it.
                self._ending.wait(WATCH_SECONDS)

    def _look(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Renew the lease if it is ours, take it if its time is over."""
        asked = {"log": self._log, "me": self._holder, "fence": self._fence, "seconds": LEASE_SECONDS}
        until = "until = clock_timestamp() + make_interval(secs => %(seconds)s)"
        if self._fence is not None:
            renewed = connection.execute(
                f"UPDATE privyseal_log_head SET {until} WHERE log = %(log)s AND holder = %(me)s AND fence = %(fence)s",  # noqa: S608
                asked,
            )
            if renewed.rowcount == 1:
                return
            self._fence = None
        free = connection.execute(
            "SELECT 1 FROM privyseal_log_head WHERE log = %(log)s AND until < clock_timestamp()", asked
        ).fetchall()
        if free:  # looked at first, so that a waiting standby writes nothing
            taken = connection.execute(
                f"UPDATE privyseal_log_head SET holder = %(me)s, fence = fence + 1, {until} "  # noqa: S608
                "WHERE log = %(log)s AND until < clock_timestamp() RETURNING fence",
                asked,
            ).fetchall()
            self._fence = int(taken[0][0]) if taken else None

    # -- reading -------------------------------------------------------------------------------------------------------
    def head(self) -> Head:
        """Return the head of all entries that have an index."""
        return Head(*self._read("SELECT size, root FROM privyseal_log_head WHERE log = %s", self._log)[0])

    def floor(self) -> Head:
        """Return the head below the first staged entry, whose tiles are on the disk."""
        return Head(*self._read("SELECT floor_size, floor_root FROM privyseal_log_head WHERE log = %s", self._log)[0])

    def staged(self, floor: Head, head: Head) -> list[bytes]:
        """Return the staged entries; LogUnavailable unless they are all those from ``floor`` to ``head``."""
        rows = self._read(
            "SELECT entry, octets FROM privyseal_log_staged WHERE log = %s AND entry BETWEEN %s AND %s ORDER BY entry",
            self._log,
            floor.size,
            head.size - 1,
        )
        if [row[0] for row in rows] != list(range(floor.size, head.size)):
            raise LogUnavailable(
                f"The logger's journal does not hold every entry from {floor.size} to {head.size}.",
                hint="it was altered; restore it and the tiles from one backup, and compare with the mark",
            )
        return [row[1] for row in rows]

    def prepare(self, submissions: Sequence[Submission]) -> None:
        """Read in three questions what the places of these will be looked up by."""
        ahead = _Ahead()
        identities = [each.submission_id() for each in submissions]
        tags = {each.key_tag for each in submissions if isinstance(each, IntentSubmission)}
        intents = [each.intent for each in submissions if isinstance(each, CompletionSubmission)]
        rows = self._read(
            _PLACE + "(submission = ANY(%s) OR entry = ANY(%s) OR intent = ANY(%s))",
            self._log,
            identities,
            intents,
            intents,
        )
        ahead.take(Place(*row) for row in rows)
        ahead.submissions.update(dict.fromkeys(set(identities) - set(ahead.submissions)))
        ahead.entries.update(dict.fromkeys(set(intents) - set(ahead.entries)))
        ahead.completions.update(dict.fromkeys(set(intents) - set(ahead.completions)))
        if tags:
            rows = self._read(
                "SELECT key_tag, next FROM privyseal_log_sequences WHERE log = %s AND key_tag = ANY(%s)",
                self._log,
                sorted(tags),
            )
            ahead.sequences = dict.fromkeys(tags, 0) | dict(rows)
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
            "SELECT next FROM privyseal_log_sequences WHERE log = %s AND key_tag = %s", self._log, key_tag
        )
        return int(rows[0][0]) if rows else 0

    # -- writing -------------------------------------------------------------------------------------------------------
    def stage(self, was: Head, becomes: Head, places: Sequence[Place], entries: Sequence[bytes], floor: Head) -> None:
        """Give new entries their indexes; LogUnavailable if the head is not ``was``, LogStandby if the fence is not.

        Staged entries below ``floor``, whose tiles are on the disk by now, are dropped in the same transaction.
        """
        staged = [(self._log, place.index, entry) for place, entry in zip(places, entries, strict=True)]
        with self._writing(was, becomes, floor) as cursor:
            cursor.executemany("INSERT INTO privyseal_log_staged VALUES (%s, %s, %s)", staged)
            self._insert_places(cursor, places)
            cursor.execute("DELETE FROM privyseal_log_staged WHERE log = %s AND entry < %s", (self._log, floor.size))

    def advance(self, was: Head, becomes: Head, floor: Head, places: Iterable[Place], entries: Sequence[bytes]) -> None:
        """Take in what was logged without this journal: the places after ``was``, and the entries from ``floor`` on."""
        staged = [(self._log, floor.size + at, entry) for at, entry in enumerate(entries)]
        taken = list(places)  # before the transaction, which must not idle while they are read from the disk
        with self._writing(was, becomes, floor) as cursor:
            self._insert_places(cursor, taken)
            cursor.execute("DELETE FROM privyseal_log_staged WHERE log = %s", (self._log,))
            cursor.executemany("INSERT INTO privyseal_log_staged VALUES (%s, %s, %s)", staged)

    def close(self) -> None:
        """Give the lease up, so that a standby need not wait for its end, and close the connections."""
        self._ending.set()
        if self._keeper.is_alive():
            self._keeper.join(CONNECT_SECONDS + 1)
        fence, self._fence = self._fence, None
        self._drop()  # which may be to a server that is gone
        try:
            if fence is not None:
                with self._transaction() as connection:
                    connection.execute(
                        "UPDATE privyseal_log_head SET until = '-infinity' "
                        "WHERE log = %s AND holder = %s AND fence = %s",
                        (self._log, self._holder, fence),
                    )
        except LogUnavailable:
            return  # it ends by itself
        finally:
            self._drop()

    @contextmanager
    def _writing(self, was: Head, becomes: Head, floor: Head) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
        """Run the body in one transaction that began by swapping the head, under our fence, and commit it durably."""
        fence = self.term()
        self._ahead = None
        with self._transaction() as connection, connection.cursor() as cursor:
            cursor.execute(
                "UPDATE privyseal_log_head SET size = %s, root = %s, floor_size = %s, floor_root = %s "
                "WHERE log = %s AND size = %s AND root = %s AND holder = %s AND fence = %s",
                (
                    *(becomes.size, becomes.root, floor.size, floor.root),
                    *(self._log, was.size, was.root, self._holder, fence),
                ),
            )
            if cursor.rowcount != 1:
                held = cursor.execute(
                    "SELECT 1 FROM privyseal_log_head WHERE log = %s AND holder = %s AND fence = %s",
                    (self._log, self._holder, fence),
                ).fetchall()
                if not held:
                    raise _standby()
                raise LogUnavailable(
                    f"The journal's head is no longer the one of size {was.size} that this batch began from.",
                    hint="the database was put back, or another process writes to it",
                )
            yield cursor

    def _insert_places(self, cursor: psycopg.Cursor[tuple[Any, ...]], places: Sequence[Place]) -> None:
        cursor.executemany(
            "INSERT INTO privyseal_log_places VALUES (%s, %s, %s, %s, %s, %s)",
            [(self._log, one.index, one.submission, one.key_tag, one.key_seq, one.intent) for one in places],
        )
        sequences = {one.key_tag: one.key_seq + 1 for one in places if one.key_seq is not None}
        cursor.executemany(
            "INSERT INTO privyseal_log_sequences VALUES (%s, %s, %s) "
            "ON CONFLICT (log, key_tag) DO UPDATE SET next = excluded.next",
            [(self._log, tag, following) for tag, following in sorted(sequences.items())],
        )

    # -- the connection ------------------------------------------------------------------------------------------------
    def _place(self, which: str, value: bytes | int) -> Place | None:
        rows = self._read(_PLACE + which, self._log, value)
        return Place(*rows[0]) if rows else None

    def _read(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._transaction() as connection:
            return connection.execute(statement, parameters).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Run the body in a transaction. After any failure of the database the connection is thrown away: an error from
        the commit says nothing of whether it is done, and the caller must read again what it believes."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.transaction():
                self._connection.execute(_TRANSACTION)
                yield self._connection
        except psycopg.Error as error:
            self._drop()
            raise _unavailable(error) from None

    @contextmanager
    def _connected_apart(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        connection = self._connect()
        try:
            yield connection
        finally:
            connection.close()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            return psycopg.connect(
                self._url,
                autocommit=True,
                row_factory=tuple_row,
                prepare_threshold=None,  # a pooler hands the next transaction to another server process
                connect_timeout=CONNECT_SECONDS,
                keepalives_idle=2,
                keepalives_interval=1,
                keepalives_count=2,
                tcp_user_timeout=4000,
            )
        except psycopg.Error as error:
            raise _unavailable(error) from None

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


def _standby() -> LogStandby:
    return LogStandby("This logger is on standby; another one is active.", hint="ask the active one")


def _unavailable(error: psycopg.Error) -> LogUnavailable:
    """Return what a client is told: the server's first line, which names no password."""
    lines = str(error).strip().splitlines()
    return LogUnavailable(
        f"The logger's database could not be used: {lines[0] if lines else type(error).__name__}.".replace("..", "."),
        hint="look at the database, then try again",
    )
