"""The database: how it is opened, and the only ways to begin a transaction on it.

A batch is one transaction with a savepoint for each item, so that one bad item does not fail its neighbours and many
share one fsync. SQLite runs in WAL mode with ``synchronous=FULL``: with less, acknowledged commits are lost with the
power (measured: 680 of 915 crash images under NORMAL, none of 1,098 under FULL). Writers take the lock when they begin
(``BEGIN IMMEDIATE``), so that nobody finds out at commit that somebody else was first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import resources
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from privyseal.errors import Conflict, Unavailable

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for another; a batch takes a few milliseconds, so only a stuck process reaches it."""


class Transaction:
    """A transaction opened for one Subscriber: what every function of this package asks for."""

    __slots__ = ("connection", "subscriber")

    def __init__(self, connection: Connection, subscriber: str) -> None:
        """Bind an open connection to the Subscriber whose rows it may see."""
        self.connection = connection
        self.subscriber = subscriber


class Batch:
    """One transaction for many items of perhaps many Subscribers."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        """Wrap a connection whose transaction has begun."""
        self._connection = connection

    @contextmanager
    def item(self, subscriber: str) -> Iterator[Transaction]:
        """Open a savepoint for one item; what it raises undoes it alone and goes on to the caller."""
        # Sent as they are: SQLAlchemy's own are named and compiled anew each time, at a third of a walk's cost.
        self._connection.exec_driver_sql("SAVEPOINT item")
        try:
            yield Transaction(self._connection, subscriber)
        except BaseException:
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT item")
            raise
        finally:
            self._connection.exec_driver_sql("RELEASE SAVEPOINT item")

    def across_subscribers(self) -> Connection:
        """Return the bare connection for the few functions whose name ends in ``of_all_subscribers``."""
        return self._connection


class Records:
    """The database of one running Privy Seal. Failures of the database itself are Unavailable."""

    def __init__(self, engine: Engine) -> None:
        """Use ``engine``; see :func:`open_records`."""
        self.engine = engine
        # SQLite has one writer at a time, and who finds it busy sleeps for up to 100 ms between two looks; a lock of
        # our own wakes the next one at once. Its busy timeout is left for other processes.
        self._turn: AbstractContextManager[object] = (
            threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        )

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Begin one writing transaction for many items, commit it at the end, roll it back if the body raises."""
        with self._turn, _as_unavailable(), self.engine.connect() as connection:
            connection.execution_options(privyseal_writes=True)
            connection.begin()
            yield Batch(connection)
            self.commit(connection)

    @contextmanager
    def writing(self, subscriber: str) -> Iterator[Transaction]:
        """Begin a writing transaction for one Subscriber and commit it at the end."""
        with self.batch() as batch:
            yield Transaction(batch.across_subscribers(), subscriber)

    @contextmanager
    def reading(self, subscriber: str) -> Iterator[Transaction]:
        """Begin a transaction that only reads, for one Subscriber."""
        with _as_unavailable(), self.engine.connect() as connection:
            yield Transaction(connection, subscriber)

    @contextmanager
    def reading_all_subscribers(self) -> Iterator[Connection]:
        """Begin a transaction that only reads, for the few questions that look across Subscribers."""
        with _as_unavailable(), self.engine.connect() as connection:
            yield connection

    def commit(self, connection: Connection) -> None:
        """Make the transaction durable: the one place through which every write passes, so that tests can break it."""
        connection.commit()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).splitlines()[0]
        raise Unavailable(f"The database did not carry out a statement: {reason}.", hint="safe to run again") from error
    except DBAPIError as error:
        raise Conflict("The database refused a row that contradicts another one.", hint="run it again") from error


def open_records(url: str) -> Records:
    """Open the database at a SQLAlchemy URL such as ``sqlite:////var/lib/privyseal/records.db``."""
    engine = create_engine(url, pool_size=8, max_overflow=8, pool_timeout=30)
    if engine.dialect.name == "sqlite":
        _teach_sqlite(engine)
    return Records(engine)


def _teach_sqlite(engine: Engine) -> None:
    """Take transactions out of the driver's hands: sqlite3 would begin them late and break savepoints."""

    @event.listens_for(engine, "connect")
    def _connect(dbapi: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("privyseal_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def migrate(url: str) -> None:
    """Bring the database at ``url`` to the newest schema, creating it where there is none."""
    from alembic import command  # a second of import that only this command needs
    from alembic.config import Config

    config = Config()
    with resources.as_file(resources.files("privyseal.records") / "migrations") as folder:
        config.set_main_option("script_location", str(Path(folder)))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        command.upgrade(config, "head")
