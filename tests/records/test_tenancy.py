"""PostgreSQL keeps Subscribers apart by itself, whatever statement it is given: row-level security on every table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Boolean, Column, Connection, LargeBinary, String, Table, Text, func, insert, select, text
from tests import postgres

from privyseal.errors import Unavailable
from privyseal.records.database import Records, open_records
from privyseal.records.schema import guarded_tables
from privyseal.records.tables import Moment, metadata

TABLES = [table.name for table in metadata.sorted_tables]


def _row(table: Table, of: str) -> dict[str, Any]:
    return {column.name: _value(column, of) for column in table.columns}


def _value(column: Column[Any], of: str) -> Any:
    """Make a value that only this Subscriber's rows have; a foreign key's is the one of the row it points to."""
    for key in column.foreign_keys:
        return _value(key.column, of)
    if column.name == "subscriber" or (column.table.name == "subscribers" and column.name == "name"):
        return of
    if isinstance(column.type, String | Text):
        return f"{column.name[:20]}-{of}"[: column.type.length or 40]
    if isinstance(column.type, LargeBinary):
        return of.encode()
    if isinstance(column.type, Boolean):
        return False
    return datetime(2026, 1, len(of), tzinfo=UTC) if isinstance(column.type, Moment) else len(of)


@pytest.fixture
def two(database: postgres.Database) -> Iterator[Records]:
    """Open records with one row of ``a`` and one of ``bb`` in every table, written past every policy."""
    above = open_records(database.cluster.url(database.name, "postgres"))
    with above.batch() as batch:
        for table in metadata.sorted_tables:
            batch.across_subscribers().execute(insert(table), [_row(table, of) for of in ("a", "bb")])
    above.close()
    opened = open_records(database.url)
    yield opened
    opened.close()


def _count(connection: Connection, name: str) -> int:
    return int(connection.execute(select(func.count()).select_from(metadata.tables[name])).scalar_one())


def test_no_table_is_forgotten() -> None:
    """Every table has rows of a Subscriber, and so every one has a policy."""
    assert set(guarded_tables()) == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_a_transaction_for_one_sees_and_changes_nothing_of_another(two: Records, name: str) -> None:
    """Raw SQL without any WHERE: one's own row is read and changed, the other's is not there; nor can one be made."""
    column = metadata.tables[name].columns.keys()[0]
    with two.writing("a") as tx:
        assert [row[0] for row in tx.connection.execute(text(f"SELECT count(*) FROM {name}"))] == [1]
        assert tx.connection.execute(text(f"UPDATE {name} SET {column} = {column}")).rowcount == 1
    with pytest.raises(Unavailable, match="row-level security"), two.writing("a") as tx:
        tx.connection.execute(insert(metadata.tables[name]), _row(metadata.tables[name], "bb"))
    with two.reading_all_subscribers() as connection:
        assert _count(connection, name) == 2


def test_deleting_everything_deletes_only_ones_own(two: Records) -> None:
    """DELETE without WHERE on every table, children first: all rows of the other are still there."""
    with two.writing("a") as tx:
        for name in reversed(TABLES):
            assert tx.connection.execute(text(f"DELETE FROM {name}")).rowcount == 1, name
    with two.reading_all_subscribers() as connection:
        assert {name: _count(connection, name) for name in TABLES} == dict.fromkeys(TABLES, 1)
    with two.reading("bb") as tx:
        assert all(_count(tx.connection, name) == 1 for name in TABLES)


def test_a_row_cannot_be_given_away(two: Records) -> None:
    """An UPDATE that would make one's own row another's is refused."""
    with pytest.raises(Unavailable, match="row-level security"), two.writing("a") as tx:
        tx.connection.execute(text("UPDATE members SET subscriber = 'bb'"))


@pytest.mark.parametrize("who", ["", "nobody", "*", "a' OR true --", "a'; SET LOCAL privyseal.tenant='*", "a\0", "ä"])
def test_who_is_nobody_sees_nothing(two: Records, who: str) -> None:
    """A name that no Subscriber has, or could have, shows no row of any table; nor is it taken for SQL."""
    with two.reading(who) as tx:
        assert {name: _count(tx.connection, name) for name in TABLES} == dict.fromkeys(TABLES, 0)
    with two.batch() as batch, batch.item(who) as tx:
        assert {name: _count(tx.connection, name) for name in TABLES} == dict.fromkeys(TABLES, 0)


def test_a_forgotten_tenant_sees_nothing(two: Records) -> None:
    """A transaction that nobody opened for anybody sees no row, also after others used the same connection."""
    with two.reading("a"):
        pass
    with two.engine.connect() as connection:
        assert {name: _count(connection, name) for name in TABLES} == dict.fromkeys(TABLES, 0)


def test_each_item_of_a_batch_is_for_its_own_subscriber(two: Records) -> None:
    """Also after an item was undone, and after looking across, the next one sees its own rows only."""
    with two.batch() as batch:
        for who in ("a", "bb", "a"):
            with pytest.raises(RuntimeError), batch.item(who) as tx:
                raise RuntimeError
            with batch.item(who) as tx:
                assert tx.connection.execute(text("SELECT subscriber FROM members")).scalars().all() == [who]
            assert _count(batch.across_subscribers(), "members") == 2


def test_serves_role_cannot_take_the_policies_away(two: Records, database: postgres.Database) -> None:
    """It owns nothing: no policy, no table, no trigger of it can be changed, and no table emptied at once."""
    for statement in (
        "ALTER TABLE requests DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE requests NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON requests",
        "TRUNCATE events",
        "CREATE TABLE mine ()",
        "UPDATE alembic_version SET version_num = '0000'",
        "SET ROLE privyseal_owner",
    ):
        with database.connect("privyseal") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_the_owner_is_bound_too(two: Records, database: postgres.Database) -> None:
    """Row-level security is forced: without a tenant the tables' owner sees nothing either."""
    with database.connect("privyseal_owner") as connection:
        assert [connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES] == [[] for _ in TABLES]
