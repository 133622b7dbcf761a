"""The records in SQLite: one file, one process that writes.

SQLite runs in WAL mode with ``synchronous=FULL``: with less, acknowledged commits are lost with the power (measured:
680 of 915 crash images under NORMAL, none of 1,098 under FULL). Writers take the lock when they begin
(``BEGIN IMMEDIATE``), so that nobody finds out at commit that somebody else was first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from privyseal.errors import Conflict, PrivySealError, Unavailable

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for another; a batch takes a few milliseconds, so only a stuck process reaches it."""


CHECKPOINT_PAGES = 4000
"""Pages in the write-ahead log before they are moved into the database: 16 MB, some twelve batches, where SQLite's own
1,000 would put two further syncs into every third one."""

WRITER_CACHE_KIB = 32 * 1024
"""Of the pages that the connection that writes has seen, how much stays in memory. Each release looks for random pages
of the tree of ``signed_digests``; SQLite's own 2 MiB are the rows of 12,000 signatures."""

_TO_SAVEPOINT = ("ROLLBACK TO SAVEPOINT item", "RELEASE SAVEPOINT item")


_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_PUT_BACK = "stop the service, keep a copy, and put the records back from a backup"


class SQLite:
    """See :class:`privyseal.records.dialect.Dialect`. The WHERE of each statement alone keeps Subscribers apart."""

    shared = False

    def engine(self, url: URL) -> Engine:
        """Take transactions out of the driver's hands: sqlite3 would begin them late and break savepoints."""
        return _set_up(create_engine(url, pool_size=8, max_overflow=8, pool_timeout=30))

    def writers(self, engine: Engine) -> Engine:
        """Return an engine of one connection: a page that another one has written is forgotten by all but that one.

        Where writers took turns with connections, each would read the pages anew that the one before it had read.
        """
        alone = create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=30)
        return _set_up(alone, f"cache_size=-{WRITER_CACHE_KIB}", "temp_store=MEMORY")  # copies under savepoints

    # Savepoints are sent as they are: SQLAlchemy's own are named and compiled anew each time. Under one SQLite copies
    # each page before it changes it, which for a release of a hundred signatures took as long as the changes: so the
    # first item, which mostly is the only one, has none.
    def open_item(self, connection: Connection, subscriber: str, *, first: bool, alone: bool) -> None:
        """Set a savepoint, where there is anything that is to be kept if the item is not."""
        if not alone:
            _send(connection, "SAVEPOINT item")

    def close_item(self, connection: Connection, *, alone: bool) -> None:
        """Release the savepoint."""
        if not alone:
            _send(connection, "RELEASE SAVEPOINT item")

    def undo_item(self, connection: Connection, *, alone: bool) -> None:
        """Go back to the savepoint and release it, or begin anew."""
        for statement in ("ROLLBACK", "BEGIN IMMEDIATE") if alone else _TO_SAVEPOINT:
            _send(connection, statement)

    def look_across(self, connection: Connection) -> None:
        """Do nothing: SQLite knows no row-level security."""

    def announce(self, connection: Connection, requests: Sequence[str]) -> None:
        """Do nothing: no other process works on this file."""

    def require_whole(self, connection: Connection) -> None:
        """Do nothing: a transaction that SQLite gave up on says so at COMMIT."""

    def error(self, error: DBAPIError) -> PrivySealError:
        """Tell what may pass (locked, full), what needs a person, and a row that contradicts another one."""
        reason = (str(error.orig).splitlines() or ["no reason given"])[0]
        if getattr(error.orig, "sqlite_errorname", "").startswith(_DAMAGED):
            return Unavailable(f"The file of the records is damaged: {reason}.", hint=_PUT_BACK)
        if isinstance(error, OperationalError):
            return Unavailable(f"The database did not carry out a statement: {reason}.", hint="safe to run again")
        return Conflict("The database refused a row that contradicts another one.", hint="run it again")

    def require_fit(self, connection: Connection, tables: Collection[str]) -> None:
        """Do nothing: every connection is set up as it must be when it is made."""

    def weaknesses(self, connection: Connection) -> list[str]:
        """Say that there is one file."""
        return ["one file on one machine: its disk is the only copy, and only one serve can use it"]


def _set_up(engine: Engine, *more: str) -> Engine:
    """Have each connection set up with these pragmas as well, and transactions begun as the records ask for."""

    @event.listens_for(engine, "connect")
    def _connect(dbapi: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            *more,
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("privyseal_writes", False)
        _send(connection, "BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _send(connection: Connection, statement: str) -> None:
    """Have the driver carry out a statement without parameters or rows; a batch sends a dozen of these."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement)
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error
    finally:
        cursor.close()
