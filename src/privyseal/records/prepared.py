"""Statements of the walk, compiled once for each kind of database and carried out for all rows of a batch in one call.

SQLAlchemy builds the parameters of a statement anew each time: for the rows of a batch that costs several times what
SQLite takes to write them, and ten times what it takes to find one row. So SQLite's driver is given them as they are.
PostgreSQL is sent one statement with a column of values in each parameter, because it parses and plans each statement
it gets (a pooler forbids prepared ones), and a process that freezes between two of them would hold the rows of the
first.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Connection,
    Dialect,
    Insert,
    LargeBinary,
    Select,
    String,
    Update,
    bindparam,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import Compiled
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.sql.selectable import Subquery
from sqlalchemy.types import TypeEngine

from privyseal.records.tables import Moment

_Converter = Callable[[Any], Any]


class Prepared:
    """One INSERT or UPDATE, for many rows at a time; safe to use from several threads."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None = None) -> None:
        """Take the statement; an INSERT without values says which ``columns`` its rows have."""
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _AtOnce | _RowByRow] = {}

    def carry_out(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Carry the statement out for every row; return how many rows of the table were written.

        Each row names all parameters of the statement. Raises what SQLAlchemy raises.
        """
        if not rows:
            return 0
        name = connection.dialect.name
        compiled = self._compiled.get(name)
        if compiled is None:
            kind = _AtOnce if name == "postgresql" else _RowByRow
            compiled = self._compiled[name] = kind(self._statement, self._columns, connection.dialect)
        return compiled.carry_out(connection, rows)


class Question:
    """One SELECT of what every batch has to know; safe to use from several threads."""

    def __init__(self, statement: Select[Any]) -> None:
        """Take the statement, which has no IN; its parameters are named at each asking."""
        self._statement = statement
        self._direct: _Direct | None = None

    def all(self, connection: Connection, **given: Any) -> Sequence[Any]:
        """Return every row, whose columns are its attributes. Raises what SQLAlchemy raises."""
        if connection.dialect.name == "postgresql":
            return connection.execute(self._statement, given).all()
        if self._direct is None:
            self._direct = _Direct(self._statement, connection.dialect)
        return self._direct.all(connection, given)

    def first(self, connection: Connection, **given: Any) -> Any:
        """Return the first row; None where there is none."""
        rows = self.all(connection, **given)
        return rows[0] if rows else None


class _AtOnce:
    """A statement in which each parameter is an array, with a value for each row."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None, dialect: Dialect) -> None:
        given: dict[str, TypeEngine[Any]]
        if isinstance(statement, Insert):
            table = statement.table
            given = {name: table.c[name].type for name in columns or ()}
            whole: Insert | Update = statement.from_select(list(given), select(*_arrays(given).c))
        else:
            binds = statement.compile(dialect=dialect).binds
            given = {name: bind.type for name, bind in binds.items() if bind.required}
            rows = _arrays(given)

            def _of_the_row(element: Any, **more: Any) -> ColumnElement[Any] | None:
                return rows.c[element.key] if isinstance(element, BindParameter) and element.required else None

            whole = cast("Update", visitors.replacement_traverse(statement, {}, _of_the_row))
        compiled = whole.compile(dialect=dialect)
        self.sql = _in_binary(str(compiled), given)
        self._given = [
            (name, kind.dialect_impl(dialect).bind_processor(dialect) if isinstance(kind, Moment) else None)
            for name, kind in given.items()
        ]
        self._constants = {name: value for name, value in compiled.params.items() if name not in given}

    def carry_out(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Carry it out for all rows; return how many rows of the table were written."""
        return connection.exec_driver_sql(self.sql, self.parameters(rows)).rowcount

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the driver is given for all rows; KeyError for a row that lacks a parameter."""
        columns: dict[str, Any] = dict(self._constants)
        for name, convert in self._given:
            columns[name] = [row[name] if convert is None else convert(row[name]) for row in rows]
        return columns


def _in_binary(sql: str, given: Mapping[str, TypeEngine[Any]]) -> str:
    """Have the arrays sent in the server's own form: as text each octet of a blob would travel, and be read, twice."""
    for name in given:
        sql = sql.replace(f"%({name})s", f"%({name})b")
    return sql


def _arrays(given: Mapping[str, TypeEngine[Any]]) -> Subquery:
    """Return the rows that arrays of values make, one array for each column."""
    from sqlalchemy.dialects.postgresql import ARRAY  # a tenth of all that records import, and SQLite needs none of it

    columns = [func.unnest(bindparam(name, type_=ARRAY(_element(kind)))).label(name) for name, kind in given.items()]
    return select(*columns).subquery("given")


def _element(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type of an array's elements: moments are numbers by then, and a cast to a length would cut off."""
    if isinstance(kind, Moment):
        return BigInteger()
    return String() if isinstance(kind, String) else kind


@contextmanager
def _cursor(connection: Connection, sql: str) -> Iterator[sqlite3.Cursor]:
    """Yield a cursor of the driver itself; what the driver raises comes as SQLAlchemy's error for it."""
    cursor = cast("sqlite3.Cursor", connection.connection.cursor())
    try:
        yield cursor
    except sqlite3.Error as error:
        dialect = connection.dialect
        raise DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=dialect) from error
    finally:
        cursor.close()


class _Values:
    """What sqlite3 is given for the parameters of a statement, in their order."""

    def __init__(self, compiled: Compiled, dialect: Dialect) -> None:
        self._names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
        binds: Mapping[str, BindParameter[Any]] = getattr(compiled, "binds", {})
        self._constants = {name: bind.value for name, bind in binds.items() if not bind.required}
        self._converters: list[tuple[int, _Converter]] = []
        for place, name in enumerate(self._names):
            kind = binds[name].type
            # SQLAlchemy would wrap octets in a view of themselves.
            convert = None if isinstance(kind, LargeBinary) else kind.dialect_impl(dialect).bind_processor(dialect)
            if convert is not None:
                self._converters.append((place, convert))
        plain = len(self._names) > 1 and not self._constants and not self._converters
        self._plain = itemgetter(*self._names) if plain else None

    def of(self, row: Mapping[str, Any]) -> Sequence[Any]:
        """Return them for one row; KeyError for a row that lacks a parameter."""
        if self._plain is not None:  # hundreds of short rows come with one release
            return cast("Sequence[Any]", self._plain(row))
        whole = {**self._constants, **row}
        values = [whole[name] for name in self._names]
        for place, convert in self._converters:
            values[place] = convert(values[place])
        return values


class _RowByRow:
    """A statement in SQLite's words, carried out for one row after the other."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self._sql = str(compiled)
        self._values = _Values(compiled, dialect)

    def carry_out(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Carry it out for all rows; return how many rows of the table were written."""
        with _cursor(connection, self._sql) as cursor:
            return cursor.executemany(self._sql, map(self._values.of, rows)).rowcount


class _Direct:
    """A SELECT in SQLite's words."""

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._values = _Values(compiled, dialect)
        columns = list(statement.selected_columns)
        self._row: Callable[..., Any] = namedtuple("Row", [column.name for column in columns])  # type: ignore[misc]
        found = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._converters = [(place, convert) for place, convert in enumerate(found) if convert is not None]

    def all(self, connection: Connection, given: Mapping[str, Any]) -> list[Any]:
        """Return every row."""
        with _cursor(connection, self._sql) as cursor:
            cursor.execute(self._sql, self._values.of(given))
            return [self._row(*self._converted(row)) for row in cursor.fetchall()]

    def _converted(self, row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for place, convert in self._converters:
            values[place] = convert(values[place])
        return values
