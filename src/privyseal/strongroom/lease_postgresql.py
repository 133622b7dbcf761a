"""The lease of the active logger, a row of the journal in PostgreSQL, and how it changes hands.

The row says who holds the lease, under which number, the *fence*, and until when, by the database's clock and never by
one of ours. The holder renews it twice a second, and with each batch; a standby takes it when its time is over, and
counts the fence up. Two seconds without a renewal end it: a frozen logger is replaced in two to three, a logger that
was only slow finds itself on standby, and nothing is lost by that.

A holder may freeze while its transaction has the row locked. ``idle_in_transaction_session_timeout`` does not end
that: in the middle of a pipeline a session counts as active although it waits for its client, and no timeout of
PostgreSQL 15 knows it. So who finds the time over ends the session that has the row locked and stands still.
"""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from privyseal.errors import LogStandby, LogUnavailable

LEASE_SECONDS = 2
"""How long the lease lasts without being renewed: so long is nothing logged after the holder died."""
RENEW_SECONDS = 0.5
"""Between two renewals."""
WATCH_SECONDS = 0.2
"""Between two looks of a standby at the lease."""
CONNECT_SECONDS = 3
"""Seconds for a connection to the database."""
LOCAL = (
    # Settings of one statement's own transaction, which a pooler does not carry over to another's. A commit is on the
    # disk, and at the synchronous standby where there is one, before it is told.
    "SELECT set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '1s', true)"
)
"""The settings of a statement that changes the log's head."""
_UNTIL = f"until = clock_timestamp() + make_interval(secs => {LEASE_SECONDS})"
_MINE = "log = %(log)s AND holder = %(holder)s AND fence = %(fence)s"
_OVER = "log = %(log)s AND until < clock_timestamp()"
_IN_FORCE = "AND EXISTS (SELECT 1 FROM local)"
_RENEW = f"WITH local AS MATERIALIZED ({LOCAL}) UPDATE privyseal_log_head SET {_UNTIL} WHERE {_MINE} {_IN_FORCE}"  # noqa: S608
_TAKE = (
    f"WITH local AS MATERIALIZED ({LOCAL}) UPDATE privyseal_log_head "  # noqa: S608
    f"SET holder = %(holder)s, fence = fence + 1, {_UNTIL} WHERE {_OVER} {_IN_FORCE} RETURNING fence"
)
_END_STANDSTILL = f"""
SELECT pg_terminate_backend(session.pid)
FROM privyseal_log_head AS head
JOIN pg_locks AS held ON held.locktype = 'transactionid' AND held.transactionid = head.xmax AND held.granted
    AND held.mode = 'ExclusiveLock'
JOIN pg_stat_activity AS session ON session.pid = held.pid
WHERE {_OVER} AND session.wait_event_type = 'Client' AND session.state_change < clock_timestamp() - interval '1 s'
"""  # noqa: S608


class Lease:
    """This process's part in the lease of one log; ``_fence`` is written by the lease's thread alone once it runs."""

    def __init__(self, url: str, log: str) -> None:
        """Take the database and the log's name; nothing is connected yet."""
        self._url = url
        self._log = log
        self._holder = uuid.uuid4().hex
        self._fence: int | None = None
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)

    def begin(self, *, keep: bool = True) -> None:
        """Try to become the holder; ``keep`` goes on trying, and renews. LogUnavailable without a database."""
        self.look()
        if keep:
            self._keeper.start()

    def term(self) -> int:
        """Return the fence; LogStandby where another process holds the lease, as far as is known here."""
        fence = self._fence
        if fence is None:
            raise standby()
        return fence

    def ours(self) -> dict[str, Any]:
        """Return log, holder and fence, by which a statement finds the row as long as the lease is ours."""
        return {"log": self._log, "holder": self._holder, "fence": self.term()}

    def wait_for_term(self, seconds: float) -> None:
        """Wait until this process holds the lease; LogStandby if another one still has it after ``seconds``."""
        until = time.monotonic() + seconds
        while self._fence is None and time.monotonic() < until:
            time.sleep(0.05)
        self.term()

    def look(self) -> None:
        """Look at the lease once, over a connection of its own; LogUnavailable without a database."""
        with connected(self._url) as connection:
            self._look(connection)

    def close(self) -> None:
        """Give the lease up, so that a standby need not wait for its end."""
        self._ending.set()
        if self._keeper.is_alive():
            self._keeper.join(CONNECT_SECONDS + 1)
        if self._fence is None:
            return
        asked = self.ours()
        self._fence = None
        with suppress(psycopg.Error, LogUnavailable), connected(self._url) as connection:  # or it ends by itself
            connection.execute(f"UPDATE privyseal_log_head SET until = '-infinity' WHERE {_MINE}", asked)  # noqa: S608

    def _keep(self) -> None:
        """Renew the lease, or wait for it; after any trouble with the database try again on a new connection."""
        while not self._ending.is_set():
            try:
                with connected(self._url) as connection:
                    while not self._ending.wait(WATCH_SECONDS if self._fence is None else RENEW_SECONDS):
                        self._look(connection)
            except (psycopg.Error, LogUnavailable):
                # The fence is kept: if nobody took the lease meanwhile it is still ours, and if somebody did, nothing
                # can be staged under it.
                self._ending.wait(WATCH_SECONDS)

    def _look(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Renew the lease if it is ours, take it if its time is over."""
        asked = {"log": self._log, "holder": self._holder, "fence": self._fence}
        with suppress(psycopg.errors.LockNotAvailable):  # a batch is being written, or see _END_STANDSTILL
            if self._fence is not None:
                if connection.execute(_RENEW, asked).rowcount == 1:
                    return
                self._fence = None
            # Looked at first, so that a waiting standby writes nothing.
            if connection.execute(f"SELECT 1 FROM privyseal_log_head WHERE {_OVER}", asked).fetchall():  # noqa: S608
                connection.execute(_END_STANDSTILL, asked)
                taken = connection.execute(_TAKE, asked).fetchall()
                self._fence = int(taken[0][0]) if taken else None


def connected(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Return a connection on which each statement is a transaction; LogUnavailable if there is none to be had."""
    try:
        return psycopg.connect(
            url,
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
        raise unavailable(error) from None


def standby() -> LogStandby:
    """Return what a logger says that does not hold the lease."""
    return LogStandby("This logger is on standby; another one is active.", hint="ask the active one")


def unavailable(error: psycopg.Error) -> LogUnavailable:
    """Return what a client is told: the server's first line, which names no password."""
    lines = str(error).strip().splitlines()
    return LogUnavailable(
        f"The logger's database could not be used: {lines[0] if lines else type(error).__name__}.".replace("..", "."),
        hint="look at the database, then try again",
    )
