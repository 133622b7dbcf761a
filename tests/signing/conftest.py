"""A founded rehearsal to copy worlds from, and worlds that are closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.world import Plan, World, found


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Found one rehearsal service for all worlds of this process."""
    return found(tmp_path_factory.mktemp("founded") / "seal")


@pytest.fixture
def make_world(founded: Path, tmp_path: Path) -> Iterator[Callable[[Plan | None], World]]:
    """Return a function that makes worlds; each is closed after the test."""
    made: list[World] = []

    def make(plan: Plan | None = None) -> World:
        made.append(World(founded, tmp_path / f"world-{len(made)}", plan))
        return made[-1]

    yield make
    for world in made:
        world.stop()


@pytest.fixture
def world(make_world: Callable[[Plan | None], World]) -> World:
    """Return a world in which nothing fails."""
    return make_world(None)
