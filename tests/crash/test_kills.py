"""Real processes die of ``kill -9``, at every named point and at random ones, and every promise is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.crash.injection.crash_points import POINTS
from tests.crash.kills import at_random, named_points
from tests.crash.victim import HOMES

NIGHTLY = pytest.mark.nightly
GO_EACH = 8
"""Crashes from one look of Go at the log to its next; nightly it looks after each."""


def test_the_points_cover_the_walk() -> None:
    """At least thirty different points, in every process, none of them twice."""
    assert len({point.name for point in POINTS}) == len(POINTS) >= 30
    by_role = Counter(point.role for point in POINTS)
    assert min(by_role[role] for role in ("serve", "logger", "signer", "stamper")) >= 6


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize(
    ("home", "rounds"),
    [("sqlite", 1), *(pytest.param(home, 16, marks=NIGHTLY) for home in HOMES)],
)
def test_a_death_at_any_named_point_breaks_no_promise(folder: Path, home: str, rounds: int) -> None:
    """Each process dies at each of its points; each point is reached; after each death the outsider is content."""
    figures = named_points(folder, home, rounds, go_each=GO_EACH if rounds == 1 else 1)
    print(figures)
    assert figures.kills >= rounds * len(POINTS)


@pytest.mark.timeout(900)
def test_a_death_of_serve_at_any_named_point_breaks_no_promise_on_postgresql(folder: Path) -> None:
    """Who writes the records dies before and after each commit; the guarded processes know of no PostgreSQL here."""
    points = tuple(point for point in POINTS if point.role == "serve")
    figures = named_points(folder, "postgresql", points=points, go_each=GO_EACH)
    print(figures)
    assert figures.kills >= len(points)


@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize(
    ("home", "kills"),
    [("sqlite", 72), ("postgresql", 18), *(pytest.param(home, 1500, marks=NIGHTLY) for home in HOMES)],
)
def test_a_death_at_any_moment_under_load_breaks_no_promise(folder: Path, home: str, kills: int) -> None:
    """serve, its rooms and the database server die at random, alone and together, while clients ask without pause."""
    figures = at_random(folder, home, kills, seed=20261128 + kills)
    print(figures)
    assert figures.kills >= kills
    assert {"serve", "logger", "signer", "stamper"} <= set(figures.by)
    assert home == "sqlite" or {"postgresql", "a session", "a backend"} <= set(figures.by)
    assert figures.answers > kills / 2
