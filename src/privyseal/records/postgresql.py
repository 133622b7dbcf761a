"""The records in PostgreSQL: several ``serve`` processes, row-level security, and pgbouncer in between if you like.

Nothing here outlives a transaction, so that a pooler may hand each one to another session (pgbouncer's transaction
mode): no prepared statements, no session's advisory locks, no SET without LOCAL. Who is served is a setting of the
transaction, ``privyseal.tenant``; the policies that ``schema.py`` lays on every table compare it with the row's
Subscriber, and a transaction that forgot to set it sees nothing. It is set together with BEGIN or SAVEPOINT, in one
message, so it costs no round trip of its own.

A process that is frozen in the middle of a transaction would hold its row locks for ever; the server ends its session
after ``IDLE_LIMIT_S``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from privyseal.errors import Conflict, Misused, PrivySealError, Unavailable
from privyseal.records.dialect import ALL_SUBSCRIBERS

IDLE_LIMIT_S = 10
"""Seconds a transaction may stand still; a batch takes a few milliseconds, and SQLite's writers wait as long."""
LOCK_LIMIT_S = 10
"""Seconds to wait for a row that another transaction holds, which is at most as long as that one may stand still."""
CONNECT_LIMIT_S = 5
"""Seconds to wait for a connection: a failover takes longer, and callers are told to come again meanwhile."""

CHANNEL = "privyseal_requests"
"""The channel on which changed requests are announced."""
_IDS_IN_A_NOTICE = 250
"""Ids of 26 octets in one payload, which must stay below 8,000 octets (NOTIFY in PostgreSQL's manual)."""

_CAN_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")
_DURABLE = ("on", "remote_write", "remote_apply")
"""Values of synchronous_commit under which a commit is on our own disk, at least, when it is reported."""

_STANDBY, _DISK_FULL, _NO_RIGHT = "25006", "53100", "42501"
_UNKNOWN_SCHEMA = ("42P01", "42703")
"""SQLSTATE of a missing table and of a missing column (PostgreSQL manual, appendix A)."""


class PostgreSQL:
    """See :class:`privyseal.records.dialect.Dialect`."""

    shared = True

    def engine(self, url: URL) -> Engine:
        """Prepare to connect through psycopg, which is told to leave transactions and statements to us."""
        engine = create_engine(
            url,
            pool_size=8,
            max_overflow=8,
            pool_timeout=30,
            use_native_hstore=False,  # it would ask for the type's number on every new connection
            connect_args={
                "prepare_threshold": None,
                "connect_timeout": CONNECT_LIMIT_S,
                "application_name": "privyseal",
            },
        )

        @event.listens_for(engine, "connect")
        def _connect(dbapi: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
            dbapi.autocommit = True  # the driver would send a BEGIN of its own, a round trip before ours

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            options = connection.get_execution_options()
            begin = "BEGIN" if options.get("privyseal_writes", False) else "BEGIN READ ONLY"
            limits = f"SET LOCAL idle_in_transaction_session_timeout='{IDLE_LIMIT_S}s'"
            limits += f"; SET LOCAL lock_timeout='{LOCK_LIMIT_S}s'"
            across = options.get("privyseal_across", False)
            tenant = _ACROSS if across else _tenant(options.get("privyseal_tenant", ""))
            _send(connection, f"{begin}; {limits}; {tenant}")

        return engine

    def writers(self, engine: Engine) -> Engine:
        """Return the same engine: the pages are the server's."""
        return engine

    def open_item(self, connection: Connection, subscriber: str, *, first: bool, alone: bool) -> None:
        """Release the last item's savepoint, set one, and set the tenant: one message."""
        release = "" if first else "RELEASE SAVEPOINT item; "
        _send(connection, f"{release}SAVEPOINT item; {_tenant(subscriber)}")

    def close_item(self, connection: Connection, *, alone: bool) -> None:
        """Do nothing yet: the next item releases the savepoint, or the commit does."""

    def undo_item(self, connection: Connection, *, alone: bool) -> None:
        """Go back to the savepoint, which also undoes the tenant that it set, and release it."""
        _send(connection, "ROLLBACK TO SAVEPOINT item; RELEASE SAVEPOINT item")

    def look_across(self, connection: Connection) -> None:
        """Set the tenant that the policies let see everything."""
        _send(connection, _ACROSS)

    def announce(self, connection: Connection, requests: Sequence[str]) -> None:
        """Notify whoever listens; the server delivers it when the transaction is committed."""
        for start in range(0, len(requests), _IDS_IN_A_NOTICE):
            ids = ",".join(requests[start : start + _IDS_IN_A_NOTICE])
            connection.execute(text("SELECT pg_notify(:channel, :ids)"), {"channel": CHANNEL, "ids": ids})

    def require_whole(self, connection: Connection) -> None:
        """Raise Unavailable where a statement failed before: COMMIT would then roll back and report no error."""
        from psycopg.pq import TransactionStatus

        driver: Any = connection.connection.driver_connection
        if driver.info.transaction_status is not TransactionStatus.INTRANS:
            raise Unavailable("The transaction had failed and was not committed.", hint="safe to run again")

    def error(self, error: DBAPIError) -> PrivySealError:
        """Tell apart what may pass, what needs a person, and a row that contradicts another one."""
        state = getattr(error.orig, "sqlstate", None)
        reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        if state == _STANDBY:
            return Unavailable(f"The database takes no writes: {reason}.", hint="point the records at the primary")
        if state == _DISK_FULL:
            return Unavailable(f"The database's disk is full: {reason}.", hint="make room; nothing was half written")
        if state in _UNKNOWN_SCHEMA:
            return Unavailable(f"The database has another schema than this version: {reason}.", hint=_MIGRATE)
        if state == _NO_RIGHT:
            return Unavailable(f"The database does not let serve's role do this: {reason}.", hint=_MIGRATE)
        if isinstance(error, IntegrityError):
            return Conflict("The database refused a row that contradicts another one.", hint="run it again")
        if isinstance(error, OperationalError) or error.connection_invalidated:
            return Unavailable(f"The database did not carry out a statement: {reason}.", hint="safe to run again")
        return Conflict(f"The database refused a statement: {reason}.", hint="run it again")

    def require_fit(self, connection: Connection, tables: Collection[str]) -> None:
        """Refuse a server or role that forgets commits, and a role or table that shows everybody everything."""
        durable = _setting(connection, "synchronous_commit")
        if durable not in _DURABLE:
            raise Misused(
                f"synchronous_commit is {durable} for serve's role, so acknowledged signatures could be lost.",
                hint="ALTER ROLE ... RESET synchronous_commit, or set it to on, remote_write or remote_apply",
            )
        for name in ("fsync", "full_page_writes"):
            if _setting(connection, name) != "on":
                raise Unavailable(f"The database server runs with {name}=off; a power cut could destroy the records.")
        if connection.execute(text("SELECT pg_is_in_recovery()")).scalar():
            raise Unavailable("The database is a standby and takes no writes.", hint="point the records at the primary")
        above = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        if connection.execute(text(above)).scalar():
            raise Misused(
                "serve's role is a superuser or has BYPASSRLS, so nothing would keep Subscribers apart.",
                hint="give serve a role of its own; docs/how-to/run-on-postgresql.md",
            )
        guarded = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity AND relkind = 'r'"
        bare = set(tables) - set(connection.execute(text(guarded)).scalars())
        if bare:
            raise Misused(f"Without row-level security: {', '.join(sorted(bare))}.", hint=_MIGRATE)

    def weaknesses(self, connection: Connection) -> list[str]:
        """Say where serve's role owns the tables, and where nobody stands by."""
        found = []
        owns = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user"
        if connection.execute(text(owns)).scalar():
            found.append("serve's role owns the tables, so it could take their row-level security away")
        if not _setting(connection, "synchronous_standby_names"):
            found.append("no synchronous standby, so the newest records are on one disk only")
        return found


_MIGRATE = "privyseal migrate --dir D"
_ACROSS = f"SET LOCAL privyseal.tenant='{ALL_SUBSCRIBERS}'"


def _tenant(subscriber: str) -> str:
    """Return the statement that sets the tenant; what cannot name a Subscriber sees nothing, like nobody."""
    return f"SET LOCAL privyseal.tenant='{subscriber if _CAN_NAME.fullmatch(subscriber) else ''}'"


def _send(connection: Connection, statements: str) -> None:
    """Send several statements without parameters in one message (PostgreSQL's simple query protocol)."""
    connection.exec_driver_sql(statements, execution_options={"no_parameters": True})


def _setting(connection: Connection, name: str) -> str:
    return str(connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar())
