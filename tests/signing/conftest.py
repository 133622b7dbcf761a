"""A founded rehearsal to copy worlds from, and worlds that are closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.world import HOMES, Plan, World, found


@pytest.fixture(scope="session", params=HOMES)
def founded(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Found one rehearsal service for all worlds of this process, for either kind of database."""
    return found(tmp_path_factory.mktemp("founded") / "seal", home=request.param)


@pytest.fixture
def make_world(founded: Path, tmp_path: Path) -> Iterator[Callable[[Plan | None], World]]:
    """Return a function that makes worlds; each is closed after the test."""
    made: list[World] = []

    def make(plan: Plan | None = None) -> World:
        made.append(World(founded, tmp_path / f"world-{len(made)}", plan))
        return made[-1]

    yield make
    for world in made:
        world.discard()


@pytest.fixture
def world(make_world: Callable[[Plan | None], World]) -> World:
    """Return a world in which nothing fails."""
    return make_world(None)
