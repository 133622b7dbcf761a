"""A database with two Subscribers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from privyseal.records import parties
from privyseal.records.database import Records, migrate, open_records
from privyseal.terms.parties import Subscriber


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Open a migrated SQLite database that knows the Subscribers demo and other."""
    url = f"sqlite:///{tmp_path / 'records.db'}"
    migrate(url)
    opened = open_records(url)
    with opened.batch() as batch:
        for name in ("demo", "other"):
            parties.add_subscriber_of_all_subscribers(
                batch.across_subscribers(), Subscriber(name, name.title(), b"\1" * 32)
            )
    yield opened
    opened.close()
