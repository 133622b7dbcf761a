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

SLICES = 4
"""The faults are dealt out to this many tests for each way, so that two workers share them."""


def _two_clients(world: World) -> None:
    world.client(1)
    world.client(2, timestamp=False)


def _one_client_the_longer_way(world: World) -> None:
    world.longer_way = True
    world.client(1)


def _told(world: World, nth: int) -> str:
    return f"fault at write {nth} of {len(world.writes)}: {world.writes[nth] if nth < len(world.writes) else 'none'}"


def _stride(founded: Path) -> int:
    """Return 1 on SQLite; on PostgreSQL every third fault is met, for each takes a database of its own."""
    return 3 if (founded / "database").exists() else 1


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
def test_no_fault_breaks_a_promise(founded: Path, tmp_path: Path, way: Way, crash: bool, part: int) -> None:
    """Whatever write fails however, clients are served in the end and an outsider finds nothing wrong."""
    _suffer(
        founded, tmp_path, range(part, 1000, SLICES * _stride(founded)), lambda nth: Plan(nth, way, crash), _two_clients
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
def test_no_fault_breaks_a_promise_where_others_take_what_was_written(
    founded: Path, tmp_path: Path, way: Way, crash: bool
) -> None:
    """The same where the request is written down in one transaction and taken in another, as after an approval."""
    _suffer(
        founded,
        tmp_path,
        range(0, 1000, _stride(founded)),
        lambda nth: Plan(nth, way, crash),
        _one_client_the_longer_way,
    )


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("founded", ["postgresql"], indirect=True)
@pytest.mark.parametrize("story", ["two at once", "one, taken by another walk"])
def test_no_fault_breaks_a_promise_on_postgresql(
    founded: Path, tmp_path: Path, way: Way, crash: bool, story: str
) -> None:
    """The same for every single write, with the records in PostgreSQL."""
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
