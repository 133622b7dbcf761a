"""The database: how it is opened, and the only ways to begin a transaction on it.

A batch is one transaction in which each item can be undone by itself, with a savepoint where it is not the first, so
that one bad item does not fail its neighbours and many share one fsync. What differs between the kinds of database
stands in ``sqlite.py`` and ``postgresql.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from privyseal.errors import Misused, PrivySealError, Unavailable
from privyseal.records.dialect import Dialect, Tell
from privyseal.records.postgresql import PostgreSQL
from privyseal.records.sqlite import SQLite

DIALECTS: dict[str, Dialect] = {"sqlite": SQLite(), "postgresql": PostgreSQL()}
"""The databases that can be the home of the records, by the name that stands first in their URL."""

DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
"""What a URL may begin with; ``postgresql`` alone means psycopg as well."""


class Transaction:
    """A transaction opened for one Subscriber: what every function of this package asks for."""

    __slots__ = ("changed", "connection", "subscriber")

    def __init__(self, connection: Connection, subscriber: str, changed: list[str] | None = None) -> None:
        """Bind an open connection to the Subscriber whose rows it may see."""
        self.connection = connection
        self.subscriber = subscriber
        self.changed = [] if changed is None else changed
        """Ids of requests that others may be waiting for, told to them once this is committed."""


class Batch:
    """One transaction for many items of perhaps many Subscribers."""

    __slots__ = ("_connection", "_dialect", "_fresh", "_lost", "_untouched", "changed")

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        """Wrap a connection whose transaction has begun."""
        self._connection = connection
        self._dialect = dialect
        self._fresh = self._untouched = True
        self._lost: PrivySealError | None = None
        self.changed: list[str] = []

    @contextmanager
    def item(self, subscriber: str) -> Iterator[Transaction]:
        """Open what one item does; what it raises undoes it alone and goes on to the caller.

        What the database itself refuses comes as Conflict or Unavailable. If the whole transaction is lost with it,
        every further item and the batch itself raise that too.
        """
        self.require_alive()
        told, alone = len(self.changed), self._untouched
        with self._losing():
            self._dialect.open_item(self._connection, subscriber, first=self._fresh, alone=alone)
            self._fresh = self._untouched = False
        try:
            yield Transaction(self._connection, subscriber, self.changed)
        except BaseException as error:
            del self.changed[told:]
            self._undo(error, alone=alone)
            if isinstance(error, DBAPIError):
                raise self._dialect.error(error) from error
            raise
        with self._losing():
            self._dialect.close_item(self._connection, alone=alone)

    def across_subscribers(self) -> Connection:
        """Return the bare connection for the few functions whose name ends in ``of_all_subscribers``."""
        self.require_alive()
        self._untouched = False
        with self._losing():
            self._dialect.look_across(self._connection)
        return self._connection

    def require_alive(self) -> None:
        """Raise again what broke the transaction as a whole, if anything did."""
        if self._lost is not None:
            raise type(self._lost)(self._lost.detail, hint=self._lost.hint)

    def _undo(self, error: BaseException, *, alone: bool) -> None:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            self._lost = self._dialect.error(error)
        elif self._lost is None:
            with self._losing():
                self._dialect.undo_item(self._connection, alone=alone)
                self._fresh = True
                self._untouched = alone

    @contextmanager
    def _losing(self) -> Iterator[None]:
        """What goes wrong between items is the end of the transaction."""
        try:
            yield
        except DBAPIError as error:
            self._lost = self._dialect.error(error)
            raise self._lost from error


class Records:
    """The database of one running Privy Seal. Failures of the database itself are Unavailable."""

    def __init__(self, engine: Engine) -> None:
        """Use ``engine``; see :func:`open_records`."""
        self.engine = engine
        self.dialect = DIALECTS[engine.dialect.name]
        self._writers = self.dialect.writers(engine)
        self.tell: Tell = lambda requests: None
        """Called, in whatever thread, with the requests whose state this process has changed."""
        # SQLite has one writer at a time, and who finds it busy sleeps for up to 100 ms between two looks; a lock of
        # our own wakes the next one at once. Its busy timeout is left for other processes.
        self._turn: AbstractContextManager[object] = (
            threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        )

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Begin one writing transaction for many items, commit it at the end, roll it back if the body raises."""
        with self._turn, self._transaction(writes=True) as connection:
            batch = Batch(connection, self.dialect)
            yield batch
            batch.require_alive()
            self._finish(connection, batch.changed)
        if batch.changed:
            self.tell(batch.changed)

    @contextmanager
    def writing(self, subscriber: str) -> Iterator[Transaction]:
        """Begin a writing transaction for one Subscriber and commit it at the end."""
        with self._turn, self._transaction(writes=True, tenant=subscriber) as connection:
            tx = Transaction(connection, subscriber)
            yield tx
            self._finish(connection, tx.changed)
        if tx.changed:
            self.tell(tx.changed)

    @contextmanager
    def reading(self, subscriber: str) -> Iterator[Transaction]:
        """Begin a transaction that only reads, for one Subscriber."""
        with self._transaction(tenant=subscriber) as connection:
            yield Transaction(connection, subscriber)

    @contextmanager
    def reading_all_subscribers(self) -> Iterator[Connection]:
        """Begin a transaction that only reads, for the few questions that look across Subscribers."""
        with self._transaction(across=True) as connection:
            yield connection

    def commit(self, connection: Connection) -> None:
        """Make the transaction durable: the one place through which every write passes, so that tests can break it."""
        connection.commit()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self._writers.dispose()

    def _finish(self, connection: Connection, changed: list[str]) -> None:
        if changed:
            self.dialect.announce(connection, changed)
        self.dialect.require_whole(connection)
        self.commit(connection)

    @contextmanager
    def _transaction(self, *, writes: bool = False, tenant: str = "", across: bool = False) -> Iterator[Connection]:
        options = {"privyseal_writes": writes, "privyseal_tenant": tenant, "privyseal_across": across}
        try:
            with self._begun(self._writers if writes else self.engine, options) as connection:
                yield connection
        except DBAPIError as error:
            raise self.dialect.error(error) from error
        except PoolExhausted as error:
            raise Unavailable("Every connection to the database is in use.", hint="try again in a moment") from error
        except InvalidRequestError as error:  # SQLAlchemy's word for a connection that went away meanwhile
            raise Unavailable("The connection to the database was lost.", hint="safe to run again") from error

    def _begun(self, engine: Engine, options: dict[str, object]) -> Connection:
        """Connect and begin; a connection that went stale in the pool fails here, and a fresh one is taken, once."""
        for last in (False, True):
            connection = engine.connect().execution_options(**options)
            try:
                connection.begin()
                return connection
            except DBAPIError as error:
                connection.close()
                if last or not error.connection_invalidated:
                    raise
        raise AssertionError("unreachable")


def open_records(url: str) -> Records:
    """Open the database at a URL such as ``sqlite:////var/lib/privyseal/records.db`` or ``postgresql+psycopg:///seal``.

    Nothing is connected yet. Raises Misused where the URL is none, or of a database that cannot be used.
    """
    parsed = make_url_or_refuse(url)
    return Records(DIALECTS[parsed.get_backend_name()].engine(parsed))


def make_url_or_refuse(url: str) -> URL:
    """Read the URL of a database; raise Misused where it is none, or of a kind that cannot be used."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Misused("The URL of the records is not one.", hint="see docs/reference/configuration.md") from error
    if parsed.drivername not in DRIVERS:
        raise Misused(
            f"The records cannot be kept in {parsed.drivername!r}.", hint=f"known are {', '.join(DRIVERS)} URLs"
        )
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed
