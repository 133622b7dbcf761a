"""Statements of the walk, compiled once for each kind of database and carried out for all rows of a batch in one call.

SQLAlchemy builds the parameters of a statement anew each time: for the rows of a batch that costs several times what
SQLite takes to write them. PostgreSQL is sent one statement with a column of values in each parameter, because it
parses and plans each statement it gets (a pooler forbids prepared ones), and a process that freezes between two of them
would hold the rows of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import BigInteger, Connection, Dialect, Insert, LargeBinary, String, Update, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import visitors
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
        return connection.exec_driver_sql(compiled.sql, compiled.parameters(rows)).rowcount


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
    columns = [func.unnest(bindparam(name, type_=ARRAY(_element(kind)))).label(name) for name, kind in given.items()]
    return select(*columns).subquery("given")


def _element(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type of an array's elements: moments are numbers by then, and a cast to a length would cut off."""
    if isinstance(kind, Moment):
        return BigInteger()
    return String() if isinstance(kind, String) else kind


class _RowByRow:
    """A statement in the words of one driver, carried out for one row after the other."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self.sql = str(compiled)
        self._names: list[str] = list(compiled.positiontup or compiled.params)
        self._positional = compiled.positiontup is not None
        self._given: list[tuple[int, str, _Converter | None]] = []
        self._constants: list[Any] = [None] * len(self._names)
        for place, name in enumerate(self._names):
            bind = compiled.binds[name]
            # sqlite3 takes octets as they are; SQLAlchemy would wrap each in a view of itself.
            octets = isinstance(bind.type, LargeBinary)
            convert = None if octets else bind.type.dialect_impl(dialect).bind_processor(dialect)
            if bind.required:
                self._given.append((place, name, convert))
            else:
                self._constants[place] = bind.value if convert is None else convert(bind.value)

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return what the driver is given for each row; KeyError for a row that lacks a parameter."""
        made = []
        for row in rows:
            values = self._constants.copy()
            for place, name, convert in self._given:
                values[place] = row[name] if convert is None else convert(row[name])
            made.append(tuple(values) if self._positional else dict(zip(self._names, values, strict=True)))
        return made
