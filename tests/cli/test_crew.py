"""Several files at once, in order, and broken off in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from privyseal.cli.crew import each


@pytest.mark.parametrize("workers", [1, 2, 7, 50])
def test_outcomes_come_in_the_order_of_the_items(workers: int) -> None:
    """Whoever is ready first, the first named is told first; every item is worked on exactly once."""
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        time.sleep(0.002 if item % 3 == 0 else 0)
        return item * item

    assert list(each(work, range(40), workers)) == [n * n for n in range(40)]
    assert sorted(begun) == list(range(40))


def test_several_are_in_hand_at_once() -> None:
    """Four items that each wait for the three others."""
    together = threading.Barrier(4, timeout=10)
    assert len(list(each(lambda _: together.wait(), range(4), 4))) == 4


def test_an_unforeseen_error_ends_the_run() -> None:
    """It is raised in its turn, and what was not begun stays so."""
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise KeyError(item)
        time.sleep(0.01)
        return item

    told: list[int] = []
    with pytest.raises(KeyError):
        for outcome in each(work, range(1000), 2):
            told.append(outcome)
    assert told == [0, 1, 2]
    assert len(begun) < 50


def test_an_interrupted_run_does_not_wait_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that hangs is left behind after the moment of grace."""
    monkeypatch.setattr("privyseal.cli.crew.GRACE", 0.05)
    release = threading.Event()
    work: Callable[[int], object] = lambda item: release.wait(30) if item else item  # noqa: E731
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        for _ in each(work, range(3), 3):
            raise KeyboardInterrupt
    assert time.monotonic() - started < 5
    release.set()


def test_nothing_to_do_is_nothing_done() -> None:
    """No items, no threads, no outcomes."""
    assert list(each(lambda item: item, [], 4)) == []
