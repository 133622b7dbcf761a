"""Statements of the walk, compiled once for each kind of database and carried out for all rows of a batch in one call.

SQLAlchemy builds the parameters of a statement anew each time: for the rows of a batch that costs several times what
SQLite takes to write them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Update

_Converter = Callable[[Any], Any]


class Prepared:
    """One INSERT or UPDATE, for many rows at a time; safe to use from several threads."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None = None) -> None:
        """Take the statement; an INSERT without values says which ``columns`` its rows have."""
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def carry_out(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Carry the statement out for every row; return how many rows of the table were written.

        Each row names all parameters of the statement. Raises what SQLAlchemy raises.
        """
        if not rows:
            return 0
        name = connection.dialect.name
        compiled = self._compiled.get(name)
        if compiled is None:
            compiled = self._compiled[name] = _Compiled(self._statement, self._columns, connection.dialect)
        return connection.exec_driver_sql(compiled.sql, compiled.parameters(rows)).rowcount


class _Compiled:
    """A statement in the words of one driver."""

    def __init__(self, statement: Insert | Update, columns: Sequence[str] | None, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self.sql = str(compiled)
        self._names: list[str] = list(compiled.positiontup or compiled.params)
        self._positional = compiled.positiontup is not None
        self._given: list[tuple[int, str, _Converter | None]] = []
        self._constants: list[Any] = [None] * len(self._names)
        for place, name in enumerate(self._names):
            bind = compiled.binds[name]
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
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
