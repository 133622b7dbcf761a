"""A database that is full says so in one sentence, and nobody loses anything by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import postgres
from tests.crash import full_database
from tests.crash.full_database import Figures
from tests.crash.full_disk import small_disk
from tests.world import found


def _founding(directory: Path) -> Path:
    return found(directory, home="postgresql")


@pytest.fixture
def room(folder: Path) -> Path:
    """Give a folder that the database server may pass through."""
    folder.chmod(0o755)
    return folder


@pytest.fixture
def own_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[postgres.Cluster], None]]:
    """Return what puts a cluster in the place of the one that all tests share."""

    def use(cluster: postgres.Cluster) -> None:
        monkeypatch.setattr(postgres, "cluster", lambda: cluster)

    yield use


def _is_one_sentence_each(figures: Figures) -> None:
    assert set(figures.refused) <= {"unavailable", "failed"}, figures
    for said in figures.said:
        assert said.endswith(".") and "\n" not in said and len(said) < 400, said


@pytest.mark.timeout(900)
def test_a_full_disk_of_the_tables_is_said_and_nothing_is_lost(
    room: Path, own_cluster: Callable[[postgres.Cluster], None]
) -> None:
    """At whatever write the room ends, the server lives, clients are told, and with room again all are served."""
    own_cluster(postgres.Cluster())
    figures = full_database.tables(room, _founding, (0, 8192, 16384, 32768, 65536, 131072))
    print(figures)
    assert figures.refused["unavailable"] >= figures.times
    assert not figures.deaths
    assert any("disk is full" in said for said in figures.said)
    _is_one_sentence_each(figures)


@pytest.mark.timeout(900)
def test_a_full_disk_of_the_servers_log_is_said_and_nothing_is_lost(
    room: Path, own_cluster: Callable[[postgres.Cluster], None]
) -> None:
    """PostgreSQL dies of it; clients are told that it is away, and with room again all are served."""
    with small_disk(room / "log", 48, "755"):
        own_cluster(postgres.Cluster("min_wal_size=2MB", "max_wal_size=16MB", wal=room / "log"))
        figures = full_database.log(room, _founding, 3)
    print(figures)
    assert figures.refused["unavailable"] >= figures.times
    assert figures.deaths
    _is_one_sentence_each(figures)
