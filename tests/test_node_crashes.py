"""Three nodes with a logger each on one PostgreSQL, under load: whatever dies or freezes, all agree (I5)."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.crash.clients import Client, House, ledgers
from tests.crash.invariants import Outsider
from tests.town import LEASE_S, Node, Town, logger_of

from privyseal.errors import PrivySealError
from privyseal.strongroom.client import SocketAsk
from privyseal.strongroom.messages import LogHealth, LogState

PATIENCE = 180.0
CLIENTS = 5


class Anywhere(House):
    """A service whose every question goes to a node of its own choosing."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.chance = random.Random(20261125)
        self.only: Node | None = None
        super().__init__(town.first, "")

    @property
    def url(self) -> str:  # type: ignore[override]
        """The address of any node, or of the one that was chosen."""
        return (self.only or self.chance.choice(self.town.nodes)).url

    @url.setter
    def url(self, value: str) -> None:
        """Take none: nodes come back at other addresses."""


class Crowd:
    """Clients without end, and what they were given."""

    def __init__(self, town: Town, folder: Path, first: int) -> None:
        self.house = Anywhere(town)
        self.folder = folder
        self.done: list[Client] = []
        self._numbers = itertools.count(first)
        self._going = True
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def progress(self, count: int = CLIENTS + 1) -> None:
        """Wait until so many more were served: some answers were on their way already."""
        until, since = time.monotonic() + PATIENCE, len(self.done)
        while len(self.done) < since + count:
            assert time.monotonic() < until, "nobody is served any more"
            self.house.look()
            time.sleep(0.02)

    def stop(self) -> None:
        self._going = False
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _run(self) -> None:
        while self._going:
            client = Client(self.house, next(self._numbers), self.folder)
            if client.insist():
                self.done.append(client)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Return the one town of these tests: each leaves three nodes running, whatever it did to them."""
    made = Town(tmp_path_factory.mktemp("town"), loggers=True)
    yield made
    for node in made.nodes:
        with suppress(AssertionError, OSError):
            os.kill(logger_of(node), signal.SIGCONT)
    made.stop()


def _restart(town: Town, at: int) -> None:
    """Start a node again, as often as systemd would: the rooms of the dead one may not be empty yet."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            town.nodes[at] = Node(town.nodes[at].directory)
            return
        except AssertionError:
            assert time.monotonic() < until
            time.sleep(0.3)


def kill_a_node(town: Town, crowd: Crowd, at: int) -> None:
    """With all its processes: those of the first are the signer and a logger."""
    town.nodes[at].kill()
    if at != 0:
        crowd.progress()
    _restart(town, at)


def freeze_a_node(town: Town, crowd: Crowd, at: int) -> None:
    """Its ``serve``, for longer than its lease; the guarded processes go on."""
    process = town.nodes[at].process
    process.send_signal(signal.SIGSTOP)
    time.sleep(LEASE_S * 1.5)
    process.send_signal(signal.SIGCONT)


def kill_a_logger(town: Town, crowd: Crowd, at: int) -> None:
    """The node starts another one."""
    os.kill(logger_of(town.nodes[at]), signal.SIGKILL)


def freeze_a_logger(town: Town, crowd: Crowd, at: int) -> None:
    """Until another one has taken over and answered, if it was the active one."""
    pid = logger_of(town.nodes[at])
    os.kill(pid, signal.SIGSTOP)
    try:
        crowd.progress()
    finally:
        os.kill(pid, signal.SIGCONT)


HARMS: tuple[Callable[[Town, Crowd, int], None], ...] = (freeze_a_logger, kill_a_node, freeze_a_node, kill_a_logger)


def active(town: Town) -> int:
    """Which node's logger is the active one."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for at, node in enumerate(town.nodes):
            ask = SocketAsk(node.directory / "run" / ("logger.sock" if at == 0 else "logger2.sock"), 5)
            try:
                answer = ask(LogHealth())
            except PrivySealError:
                continue
            finally:
                ask.close()
            if isinstance(answer, LogState) and not answer.standby:
                return at
        time.sleep(0.1)
    raise AssertionError("no logger is active")


def agree(town: Town, crowd: Crowd, outsider: Outsider) -> int:
    """I5, and all others: each key has one answer from whichever node, each size one root over all nodes' heads."""
    for node in town.nodes:
        crowd.house.only = node
        crowd.house.look()
        for client in crowd.done[:: max(1, len(crowd.done) // 20)]:
            client.ask_again()
    crowd.house.only = None
    outsider.saw(crowd.house.heads)
    return outsider.check(ledgers(crowd.folder, set()))


@pytest.mark.parametrize("turns", [4, pytest.param(60, marks=pytest.mark.nightly)])
def test_nodes_and_loggers_die_and_freeze_and_all_agree(town: Town, tmp_path: Path, turns: int) -> None:
    """Whoever has the active logger, or any node, is killed or frozen under load, and somebody is served all the time;
    in the end all nodes give the same answers, and an outsider finds one whole log."""
    (tmp_path / "clients").mkdir()
    crowd = Crowd(town, tmp_path / "clients", turns * 100_000)
    outsider, chance = Outsider(town.first), random.Random(20261125)
    crowd.progress()
    for turn in range(turns):
        at = active(town) if turn % 2 == 0 else chance.randrange(3)
        HARMS[turn % 4 if turns == 4 else chance.randrange(4)](town, crowd, at)
        crowd.progress()
    crowd.stop()
    size = agree(town, crowd, outsider)
    assert size >= 2 * len(crowd.done)
    print(f"{turns} harms, {len(crowd.done)} served, {len(crowd.house.heads)} heads seen, {size} entries")


def test_the_node_with_the_active_logger_dies_and_another_ones_logger_goes_on(town: Town, tmp_path: Path) -> None:
    """kill -9 of a node whose own logger is the active one: without any restart, the others answer, with its log."""
    house = Anywhere(town)
    frozen = logger_of(town.nodes[0])
    os.kill(frozen, signal.SIGSTOP)
    try:
        assert Client(house, 1, tmp_path).insist()
        at = active(town)
        assert at != 0
    finally:
        os.kill(frozen, signal.SIGCONT)
    town.nodes[at].kill()
    left = town.nodes[3 - at]
    house.only = left
    client = Client(house, 2, tmp_path)
    assert client.insist()
    client.ask_again()
    house.only = town.nodes[0]
    client.ask_again()
    assert active(town) != at
    Outsider(town.first).check(ledgers(tmp_path, set()))
    _restart(town, at)
