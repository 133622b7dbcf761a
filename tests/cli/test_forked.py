"""Several files at once in child processes: in order, and broken off in order."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from privyseal.cli.forked import Lost, Tell, each


def nothing(_octets: int) -> None:
    """Count nothing."""


@pytest.mark.parametrize("workers", [1, 2, 7, 50])
def test_outcomes_come_in_order_and_each_once(workers: int, tmp_path: Path) -> None:
    """Whoever is ready first, the first named is told first; every position is taken by exactly one child."""

    def work(position: int, tell: Tell) -> bytes:
        with (tmp_path / str(position)).open("x"):
            time.sleep(0.002 if position % 3 == 0 else 0)
        return b"x" * (position * 1000)

    assert [len(brought) for brought in each(work, 100, workers, nothing)] == [n * 1000 for n in range(100)]
    assert len(list(tmp_path.iterdir())) == 100


def test_turns_are_taken_as_they_are_given(tmp_path: Path) -> None:
    """What takes longest is begun first, and told of when its turn comes."""
    order = tmp_path / "order"

    def work(position: int, tell: Tell) -> bytes:
        with order.open("a") as file:
            file.write(f"{position} ")
        return str(position).encode()

    assert list(each(work, 5, 1, nothing, [3, 4, 0, 1, 2])) == [b"0", b"1", b"2", b"3", b"4"]
    assert order.read_text() == "3 4 0 1 2 "


def test_what_work_counts_arrives() -> None:
    """The parent's progress hears of octets while they are worked through."""
    counted: list[int] = []

    def work(position: int, tell: Tell) -> bytes:
        tell(position)
        tell(1 << 40)
        return b""

    list(each(work, 10, 3, counted.append))
    assert sum(counted) == sum(range(10)) + 10 * (1 << 40)
    assert len(counted) == 10, "small counts travel with the next"


def test_an_unforeseen_error_comes_with_its_traceback(tmp_path: Path) -> None:
    """It is raised in the parent, and the other children are ended."""

    def work(position: int, tell: Tell) -> bytes:
        if position == 3:
            raise KeyError("here it was")
        time.sleep(0.01)
        (tmp_path / str(position)).touch()
        return b""

    with pytest.raises(RuntimeError, match=r"KeyError: 'here it was'"):
        list(each(work, 1000, 2, nothing))
    done = len(list(tmp_path.iterdir()))
    time.sleep(0.1)
    assert len(list(tmp_path.iterdir())) == done < 100


def all_ended(folder: Path) -> bool:
    """Tell whether every child that left its number in the folder has been waited for."""
    numbers = [int(name) for name in os.listdir(folder)]
    for number in numbers:
        with pytest.raises(ChildProcessError):
            os.waitpid(number, os.WNOHANG)
    return bool(numbers)


def test_a_child_that_is_killed_is_missed(tmp_path: Path) -> None:
    """The out-of-memory killer takes whom it likes; nobody waits for ever, and nothing is left running."""

    def work(position: int, tell: Tell) -> bytes:
        (tmp_path / str(os.getpid())).touch()
        if position == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return b"done"

    with pytest.raises(Lost):
        list(each(work, 5, 1, nothing))
    assert all_ended(tmp_path)


def test_whoever_stops_early_ends_the_children(tmp_path: Path) -> None:
    """An interrupt in the parent leaves no child behind, not even a sleeping one."""

    def work(position: int, tell: Tell) -> bytes:
        (tmp_path / str(os.getpid())).touch()
        time.sleep(0.2 if position == 0 else 60)
        return b""

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        for _ in each(work, 3, 3, nothing):
            raise KeyboardInterrupt
    assert time.monotonic() - started < 10
    assert all_ended(tmp_path)


def test_children_do_not_outlive_their_parent(tmp_path: Path) -> None:
    """kill -9 of the parent: each child finishes the file in its hands and takes no other."""

    def work(position: int, tell: Tell) -> bytes:
        time.sleep(0.05)
        (tmp_path / str(position)).touch()
        return b""

    parent = os.fork()
    if parent == 0:
        list(each(work, 1000, 2, nothing))
        os._exit(0)
    time.sleep(0.3)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    time.sleep(0.2)
    done = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert 0 < len(list(tmp_path.iterdir())) == done < 100


def test_nothing_to_do_is_nothing_done() -> None:
    """No positions, no children, no outcomes."""
    assert list(each(lambda position, tell: b"", 0, 4, nothing)) == []


def test_no_position_is_taken_twice(tmp_path: Path) -> None:
    """Fifty children at one queue of nothing but short work: without its lock, two rounds of three gave one twice."""
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()

        def work(position: int, tell: Tell, folder: Path = folder) -> bytes:
            (folder / str(position)).open("x").close()
            return b"x"

        assert len(list(each(work, 1000, 50, nothing))) == 1000
