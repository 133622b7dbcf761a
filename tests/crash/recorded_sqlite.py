"""SQLite as the code uses it, through a VFS that notes every write, sync and truncation.

Python's own ``sqlite3`` offers no VFS; apsw does. So this is as much of the DB-API over apsw as
``strongroom/durable.py`` and SQLAlchemy's dialect ask for, to be put in the place of the module ``sqlite3``: schema and
statements are the code's own.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import apsw.ext
import msgspec
from tests.crash.disk import Trace

CHECKPOINT_PAGES = 20
"""Pages after which the journal is worked into the file, so that a short run meets it often; SQLite's own is 1,000."""


class _Vfs(apsw.VFS):
    """Hands out files that note what is done to them."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.title = f"noted-{id(trace)}"
        super().__init__(self.title, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's own name
        return _VfsFile(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        super().xDelete(name, sync)
        self.trace.removed(name)
        if sync and (known := self.trace.name(name)) is not None:
            self.trace.ops.append(("syncdir", os.path.dirname(known)))


class _VfsFile(apsw.VFSFile):
    def __init__(self, vfs: _Vfs, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._trace = vfs.trace
        known = self._trace.name(path) if path else None
        super().__init__("unix", name, flags)
        self._file = None if known is None else self._trace.file(known)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._note("write", offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._note("truncate", size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._note("sync", True)

    def _note(self, kind: str, *more: object) -> None:
        if self._file is not None:
            self._trace.ops.append((kind, self._file, *more))


class Cursor:
    """What the code asks of a cursor."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid = 0

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Carry out one statement, and all its rows at once."""
        statement = self.connection.module.rewritten(statement)
        inner = self.connection.inner
        cursor = inner.cursor()
        try:
            cursor.execute(statement, tuple(parameters))
            try:
                self.description = tuple((each[0], None, None, None, None, None, None) for each in cursor.description)
            except apsw.ExecutionCompleteError:  # no row is left; whether there could be any the statement says
                columns = apsw.ext.query_info(inner, statement).description
                self.description = tuple((each[0], None, None, None, None, None, None) for each in columns) or None
            self._rows = list(cursor.fetchall())
        except apsw.Error as error:
            kind = sqlite3.IntegrityError if isinstance(error, apsw.ConstraintError) else sqlite3.OperationalError
            raise kind(str(error)) from error
        self.rowcount = inner.changes() if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE") else -1
        self.lastrowid = inner.last_insert_rowid()
        if statement.strip().upper() == "COMMIT":
            self.connection.committed()
        return self

    def executemany(self, statement: str, many: Iterable[Sequence[Any]]) -> Cursor:
        """Carry out one statement for each."""
        count = 0
        for parameters in many:
            count += max(0, self.execute(statement, parameters).rowcount)
        self.rowcount = count
        return self

    def fetchone(self) -> Any:
        """Return the next row or None."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[Any]:
        """Return the next rows."""
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def fetchall(self) -> list[Any]:
        """Return the other rows."""
        rows, self._rows = self._rows, []
        return rows

    def close(self) -> None:
        """Do nothing: the rows are here."""


class Connection:
    """What the code asks of a connection."""

    isolation_level: Any = None

    def __init__(self, module: Module, path: str) -> None:
        self.module = module
        self.path = path
        self.inner = apsw.Connection(path, vfs=module.vfs.title)
        self.inner.set_busy_timeout(10_000)
        self.inner.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if path not in module.states and self.inner.execute("SELECT count(*) FROM sqlite_master").get:
            self.committed()

    def cursor(self, factory: Any = None) -> Cursor:
        """Return a cursor."""
        return Cursor(self)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        """Carry out a statement with a cursor of its own."""
        return Cursor(self).execute(statement, parameters)

    def executemany(self, statement: str, many: Iterable[Sequence[Any]]) -> Cursor:
        """Carry out a statement for each, with a cursor of its own."""
        return Cursor(self).executemany(statement, many)

    def executescript(self, script: str) -> None:
        """Carry out several statements."""
        self.inner.execute(script)

    def commit(self) -> None:
        """Commit what is open."""
        if self.inner.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        """Roll back what is open."""
        if self.inner.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        self.inner.close()

    def create_function(self, *given: Any, **named: Any) -> None:
        """Do without: the walks call none."""

    def committed(self) -> None:
        """Take down what the database holds from now on, whatever befalls."""
        states = self.module.states.setdefault(self.path, [])
        states.append(digest(lambda statement: list(self.inner.execute(statement))))
        name = self.module.vfs.trace.name(self.path)
        self.module.vfs.trace.acknowledge(f"commit {name}", len(states) - 1)


class Module:
    """Stands in for the module ``sqlite3``; ``synchronous`` replaces what the code asks for."""

    def __init__(self, trace: Trace, synchronous: str = "FULL") -> None:
        self.vfs = _Vfs(trace)
        self.states: dict[str, list[str]] = {}
        self._synchronous = synchronous

    def __getattr__(self, name: str) -> Any:
        return getattr(sqlite3, name)  # errors, constants, versions

    def connect(self, path: object, *given: Any, **named: Any) -> Connection:
        """Open a database."""
        return Connection(self, os.fspath(path))  # type: ignore[arg-type]

    def rewritten(self, statement: str) -> str:
        """Return the statement, or the one with less care in its place."""
        if statement.upper().replace(" ", "") == "PRAGMASYNCHRONOUS=FULL":
            return f"PRAGMA synchronous = {self._synchronous}"
        return statement


def digest(ask: Any) -> str:
    """Return a digest of all rows of all tables; ``ask`` carries out a SELECT."""
    state = hashlib.sha256()
    for (table,) in ask(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    ):
        rows = sorted(map(msgspec.msgpack.encode, ask(f'SELECT * FROM "{table}"')))
        state.update(msgspec.msgpack.encode((table, rows)))
    return state.hexdigest()
