"""A database with two Subscribers, of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import postgres

from privyseal.records import parties
from privyseal.records.database import Records, open_records
from privyseal.records.schema import migrate
from privyseal.terms.parties import Subscriber


def _with_two(url: str) -> Records:
    opened = open_records(url)
    with opened.batch() as batch:
        for name in ("demo", "other"):
            parties.add_subscriber_of_all_subscribers(
                batch.across_subscribers(), Subscriber(name, name.title(), b"\1" * 32)
            )
    return opened


@pytest.fixture
def sqlite_records(tmp_path: Path) -> Iterator[Records]:
    """Open a migrated SQLite database that knows the Subscribers demo and other."""
    url = f"sqlite:///{tmp_path / 'records.db'}"
    migrate(url)
    opened = _with_two(url)
    yield opened
    opened.close()


@pytest.fixture
def database() -> Iterator[postgres.Database]:
    """Return a migrated PostgreSQL database without rows."""
    made = postgres.cluster().migrated()
    yield made
    made.drop()


@pytest.fixture
def postgres_records(database: postgres.Database) -> Iterator[Records]:
    """Open a migrated PostgreSQL database, as serve's role, that knows the Subscribers demo and other."""
    opened = _with_two(database.url)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest) -> Records:
    """Return the records in either kind of database."""
    found: Records = request.getfixturevalue("sqlite_records" if request.param == "sqlite" else "postgres_records")
    return found
