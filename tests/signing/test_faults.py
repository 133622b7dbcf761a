"""Every write of the walk fails, both ways, with and without the death of the process; then four invariants hold.

1. Every signature a client holds has its intent leaf in the final tree.
2. One root per size, over every head that any client or the public was shown.
3. No two signatures per Idempotency-Key, and no key used more often than the intents say.
4. Every intent has exactly one completion.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.world import WAYS, Plan, Way, World

SLICES = 2
"""The faults are dealt out to this many tests for each way, so that two workers share them."""


def _two_clients(world: World) -> None:
    world.client(1)
    world.client(2, timestamp=False)


def _one_client_the_longer_way(world: World) -> None:
    world.longer_way = True
    world.client(1)


def _told(world: World, nth: int) -> str:
    return f"fault at write {nth} of {len(world.writes)}: {world.writes[nth] if nth < len(world.writes) else 'none'}"


def _sample(founded: Path, way: Way, crash: bool, part: int = 0, parts: int = 1) -> range:
    """Return the writes that fail in every run: each in two of the four ways.

    Even ones are lost in a crash and unreported without one, odd ones the other way round. On PostgreSQL it is every
    sixth, for each takes a database of its own.
    """
    stride = 6 if (founded / "database").exists() else 2
    return range(((way == "lost") ^ crash) + part * stride, 1000, parts * stride)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
def test_no_fault_breaks_a_promise(founded: Path, tmp_path: Path, way: Way, crash: bool, part: int) -> None:
    """Whatever write fails however, clients are served in the end and an outsider finds nothing wrong."""
    places = _sample(founded, way, crash, part, SLICES)
    _suffer(founded, tmp_path, places, lambda nth: Plan(nth, way, crash), _two_clients)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
def test_no_fault_breaks_a_promise_where_others_take_what_was_written(
    founded: Path, tmp_path: Path, way: Way, crash: bool
) -> None:
    """The same where the request is written down in one transaction and taken in another, as after an approval."""
    places = _sample(founded, way, crash)
    _suffer(founded, tmp_path, places, lambda nth: Plan(nth, way, crash), _one_client_the_longer_way)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("story", ["two at once", "one, taken by another walk"])
def test_no_fault_at_all_breaks_a_promise(founded: Path, tmp_path: Path, way: Way, crash: bool, story: str) -> None:
    """The same for every single write in every way, wherever the records are."""
    bring_in = _two_clients if story == "two at once" else _one_client_the_longer_way
    _suffer(founded, tmp_path, range(1000), lambda nth: Plan(nth, way, crash), bring_in)


def _suffer(
    founded: Path,
    directory: Path,
    places: Iterable[int],
    plan: Callable[[int], Plan],
    bring_in: Callable[[World], None],
) -> None:
    """Let the write at each of these places fail, one in each world, until the story is over before its turn."""
    told: list[str] = []
    for nth in places:
        world = World(founded, directory / str(nth), plan(nth))
        try:
            bring_in(world)
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
    print(f"{len(told)} faults met")
    least = 2 if (founded / "database").exists() else 4
    assert len(told) >= least, "too few writes were met for this to mean anything"


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
        "signer's mark",
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
