"""Houses for the tests of the web: one for each test, or one for a module that leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.house import House, build_house
from tests.world import HOMES

from privyseal.records.schema import migrate


@pytest.fixture(scope="session", params=HOMES)
def empty_database(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path | None:
    """Return an empty SQLite file to copy; None where houses shall have a PostgreSQL database each."""
    if request.param == "postgresql":
        return None
    path = tmp_path_factory.mktemp("web") / "records.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def house(empty_database: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Build a house for one test."""
    yield from build_house(empty_database, tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def shared_house(empty_database: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Build a house for all tests of a module that leave it as it was."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield from build_house(empty_database, tmp_path_factory.mktemp("house"), monkeypatch)
