"""A log that was put back to an older state is refused before anything is added to it, as long as the signer knows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.world import World, found

from privyseal.errors import LogRolledBack

LOG = ("logger/journal.sqlite3", "marks/log.mark")


def test_a_service_that_starts_over_an_older_log_adds_nothing_to_it(tmp_path: Path) -> None:
    """Journal, mark and tiles are put back together; the signer's mark is asked for first, and the head stays."""
    world = World(found(tmp_path / "founded"), tmp_path / "world")
    shutil.copytree(world.directory / "log", tmp_path / "log")
    world.stop()
    kept = {name: (world.directory / name).read_bytes() for name in LOG}
    world._start()
    world.ask([world.client(1)])
    assert world.ledgers[0].given
    world.stop()
    shutil.rmtree(world.directory / "log")
    shutil.copytree(tmp_path / "log", world.directory / "log")
    for name, octets in kept.items():
        (world.directory / name).write_bytes(octets)
    before = world.checkpoint()
    world._start()
    founding = len(world.entries())
    said = rf"has {founding} entries .*, and the records know an intent at entry {founding}\."
    with pytest.raises(LogRolledBack, match=said):
        world.ask([world.client(2)])
    world.seal.recollection = None  # records that are as old as the log do not know
    outcome = world.ask([world.client(2)])[0]
    assert isinstance(outcome, LogRolledBack), outcome
    assert "is known where this log has" in outcome.detail
    assert world.checkpoint() == before
    world.stop()


def test_one_who_claims_a_larger_head_stops_nobody_else(tmp_path: Path) -> None:
    """A question that names a head that never was is refused alone: nothing of it is logged, the next one is."""
    world = World(found(tmp_path / "founded"), tmp_path / "world")
    size = world.seal.logger.health().size
    with pytest.raises(LogRolledBack):
        world.seal.logger.append((), since=size + 1)
    world.ask([world.client(1)])
    assert world.ledgers[0].given
    assert world.seal.logger.health().size == size + 2
    world.stop()
