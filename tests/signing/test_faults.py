"""Every write of the walk fails, both ways, with and without the death of the process; then four invariants hold.

1. Every signature a client holds has its intent leaf in the final tree.
2. One root per size, over every head that any client or the public was shown.
3. No two signatures per Idempotency-Key, and no key used more often than the intents say.
4. Every intent has exactly one completion.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.world import WAYS, Plan, Way, World

SLICES = 4
"""The faults are dealt out to this many tests for each way, so that two workers share them."""


def _two_clients(world: World) -> None:
    world.client(1)
    world.client(2, timestamp=False)


def _told(world: World, nth: int) -> str:
    return f"fault at write {nth} of {len(world.writes)}: {world.writes[nth] if nth < len(world.writes) else 'none'}"


SAMPLED = 3 * SLICES
"""On PostgreSQL every third fault; `./seal test -m nightly` has the others."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
def test_no_fault_breaks_a_promise(founded: Path, tmp_path: Path, way: Way, crash: bool, part: int) -> None:
    """Whatever write fails however, clients are served in the end and an outsider finds nothing wrong."""
    on_postgresql = (founded / "database").exists()
    _break(founded, tmp_path, part, SAMPLED if on_postgresql else SLICES, way, crash)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("founded", ["postgresql"], indirect=True)
def test_no_fault_breaks_a_promise_on_postgresql(founded: Path, tmp_path: Path, way: Way, crash: bool) -> None:
    """The same for every single write, with the records in PostgreSQL."""
    _break(founded, tmp_path, 0, 1, way, crash)


def _break(founded: Path, tmp_path: Path, start: int, step: int, way: Way, crash: bool) -> None:
    nth, told = start, []
    while True:
        world = World(founded, tmp_path / str(nth), Plan(nth, way, crash))
        try:
            _two_clients(world)
            world.story()
            if len(world.writes) <= nth:  # the story was over before this write's turn came
                break
            told.append(_told(world, nth))
            assert all(ledger.given for ledger in world.ledgers), told[-1]
            assert all(len(ledger.given) == 1 for ledger in world.ledgers), told[-1]
            world.check()
        except AssertionError as error:
            raise AssertionError(f"{_told(world, nth)}: {error}") from error
        finally:
            world.discard()
            shutil.rmtree(world.directory)
        nth += step
    assert len(told) > 1, "too few writes were met for this to mean anything"


def test_the_faults_reach_every_kind_of_write(make_world: Callable[[Plan | None], World]) -> None:
    """A story without faults meets every kind of write, or the test above proves little."""
    world = make_world(None)
    _two_clients(world)
    world.story()
    world.check()
    met = {name.split()[0] if name.startswith("tile") else name for name in world.writes}
    assert {
        "records",
        "log's journal",
        "log's mark",
        "tile",
        "signer's journal",
        "key",
        "logger: Append",
        "signer: SignBatch",
        "stamper: Stamp",
    } <= met


def test_the_check_can_fail(make_world: Callable[[Plan | None], World]) -> None:
    """A signature that no intent stands for, a forked head and a second use of a key are each noticed."""
    world = make_world(None)
    world.client(1)
    world.story()
    world.check()
    world.key_uses += 1
    with pytest.raises(AssertionError, match="more often"):
        world.check()
    world.key_uses -= 1
    world.heads[1] = {bytes(32)}
    with pytest.raises(AssertionError, match="two roots"):
        world.check()
