"""How the database is opened, what its migrations build, and what a batch promises."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text

from privyseal.errors import Conflict, Unavailable
from privyseal.records import events, parties
from privyseal.records.database import Records, open_records
from privyseal.records.events import Event
from privyseal.records.schema import migrate, require_fit
from privyseal.records.sqlite import WRITER_CACHE_KIB
from privyseal.records.tables import metadata, subscribers
from privyseal.terms.parties import Subscriber

NOW = datetime(2026, 11, 24, 11, tzinfo=UTC)


def _names(records: Records) -> set[str]:
    with records.reading_all_subscribers() as connection:
        return {row.name for row in connection.execute(select(subscribers.c.name))}


def test_migrations_build_what_the_tables_say(records: Records) -> None:
    """Alembic finds no difference between the migrated database and the tables in the code."""
    with records.reading_all_subscribers() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_again_changes_nothing(records: Records) -> None:
    """A second start finds the newest schema and leaves the rows alone."""
    before = _names(records)
    owner = "privyseal_owner" if records.dialect.shared else None
    migrate(str(records.engine.url.set(username=owner) if owner else records.engine.url), "privyseal")
    assert _names(records) == before == {"demo", "other"}


def test_sqlite_is_told_to_survive_power_loss(sqlite_records: Records) -> None:
    """WAL with synchronous=FULL (2) and foreign keys, on every connection of the pool."""
    for _ in range(3):
        with sqlite_records.reading_all_subscribers() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    with sqlite_records.writing("demo") as tx:
        assert tx.connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert tx.connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert tx.connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_sqlite_is_written_by_one_connection(sqlite_records: Records) -> None:
    """Whatever reads meanwhile: a page that another connection wrote would have to be read anew."""
    found = set()
    for _ in range(3):
        with sqlite_records.reading("demo") as one, sqlite_records.batch() as batch, batch.item("demo") as tx:
            found.add(id(tx.connection.connection.dbapi_connection))
            assert tx.connection.execute(text("PRAGMA cache_size")).scalar() == -WRITER_CACHE_KIB
            assert id(one.connection.connection.dbapi_connection) not in found
    assert len(found) == 1


def test_a_bad_item_undoes_itself_alone(records: Records) -> None:
    """In one batch the neighbours of a failing item are written, and nothing that it wrote before it failed."""
    with records.batch() as batch:
        for name in ("a", "demo", "b"):
            with suppress(Conflict), batch.item(name) as tx:
                if name == "demo":
                    events.record(tx, Event(NOW, "M-1", "tried", name))
                parties.add_subscriber_of_all_subscribers(tx.connection, Subscriber(name, "x", b""))
    assert _names(records) == {"demo", "other", "a", "b"}
    with records.reading("demo") as tx:
        assert events.events_about(tx, "demo") == []


@pytest.mark.parametrize("before", [False, True])
def test_a_bad_item_that_is_the_first_undoes_itself_alone(records: Records, before: bool) -> None:
    """Twice in a row, and what was written across Subscribers before it stays."""
    with records.batch() as batch:
        if before:
            parties.add_subscriber_of_all_subscribers(batch.across_subscribers(), Subscriber("early", "x", b""))
        for _ in range(2):
            with pytest.raises(Conflict), batch.item("demo") as tx:
                events.record(tx, Event(NOW, "M-1", "tried", "demo"))
                raise Conflict("no")
        with batch.item("demo") as tx:
            events.record(tx, Event(NOW, "M-1", "done", "demo"))
        with pytest.raises(Conflict), batch.item("demo") as tx:
            events.record(tx, Event(NOW, "M-1", "tried again", "demo"))
            raise Conflict("no")
    assert _names(records) == {"demo", "other", *(["early"] if before else [])}
    with records.reading("demo") as tx:
        assert [each.what for each in events.events_about(tx, "demo")] == ["done"]


def test_what_the_database_refuses_undoes_its_item_alone(records: Records) -> None:
    """A row that contradicts another one is Conflict for its item; the items before and after it are written."""
    outcomes = []
    with records.batch() as batch:
        for name in ("a", "demo", "b"):
            try:
                with batch.item(name) as tx:
                    tx.connection.execute(insert(subscribers).values(name=name, display_name="x", tag_key=b""))
                outcomes.append("written")
            except Conflict:
                outcomes.append("refused")
    assert outcomes == ["written", "refused", "written"]
    assert _names(records) == {"demo", "other", "a", "b"}


def test_a_batch_that_raises_writes_nothing(records: Records) -> None:
    """What the body raises goes to the caller, and not one of its rows stays."""
    with pytest.raises(RuntimeError, match="in the middle"), records.batch() as batch:
        parties.add_subscriber_of_all_subscribers(batch.across_subscribers(), Subscriber("c", "C", b""))
        raise RuntimeError("in the middle")
    assert _names(records) == {"demo", "other"}


def test_a_database_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """A missing folder is one sentence, not the driver's traceback."""
    opened = open_records(f"sqlite:///{tmp_path / 'nowhere' / 'records.db'}")
    with pytest.raises(Unavailable, match="unable to open database file"), opened.batch():
        pass


@pytest.mark.parametrize("at", [0, 4096])
def test_a_file_that_is_damaged_is_told_as_such(at: int, tmp_path: Path) -> None:
    """And not as a row that contradicts another one, which would be asked for again and again."""
    path = tmp_path / "records.db"
    migrate(f"sqlite:///{path}")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xaa" * 30_000)
    opened = open_records(f"sqlite:///{path}")
    try:
        with pytest.raises(Unavailable, match="The file of the records is damaged") as caught:
            require_fit(opened)
        assert caught.value.hint is not None and "from a backup" in caught.value.hint
    finally:
        opened.close()
