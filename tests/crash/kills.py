"""The campaigns of kills on real processes: ``python -m tests.crash.kills [KILLS [named|random|both [HOME]]]``."""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.clients import Client, House, ledgers, together
from tests.crash.injection.crash_points import POINTS, Point
from tests.crash.invariants import Outsider
from tests.crash.victim import ROOMS, Victim, victim

from privyseal.errors import LogUnavailable
from privyseal.strongroom.client import LoggerClient, SocketAsk
from privyseal.tlog.entry import CompletionSubmission, IntentSubmission

ATTEMPTS = 8
"""How often a point is tried that not every walk comes by, such as the one second in which a mark is raised."""


@dataclass
class Figures:
    """What a campaign did."""

    kills: int = 0
    by: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    entries: int = 0
    checks: int = 0
    seconds: float = 0.0
    reached: dict[Point, int] = field(default_factory=dict)

    def __str__(self) -> str:
        who = ", ".join(f"{name} {count}" for name, count in sorted(self.by.items()))
        return (
            f"{self.kills} kills ({who}) in {self.seconds:.0f} s: {self.answers} answers held, {self.entries} entries, "
            f"{self.checks} checks, nothing lost"
        )


class Campaign:
    """A victim, its clients, and the outsider who looks after each crash."""

    def __init__(self, running: Victim, folder: Path, go_each: int = 1) -> None:
        self.victim = running
        self.go_each = go_each
        """Go looks at the whole log after the first crash, after so many more each time, and at the end."""
        self.folder = folder
        self.house = House(running.directory, running.url)
        self.outsider = Outsider(running.directory)
        self.figures = Figures()
        self._started = time.monotonic()
        self._read: set[Path] = set()
        self._number = 0
        self._guard = threading.Lock()
        self._filled = 0

    def client(self) -> Client:
        """Bring in one more client."""
        with self._guard:
            self._number += 1
            number = self._number
        return Client(self.house, number, self.folder)

    def kill(self, who: str) -> bool:
        """Kill somebody and count it."""
        done = self.victim.kill(who)
        if done:
            self.died(who)
        return done

    def died(self, who: str) -> None:
        """Count a death."""
        self.figures.kills += 1
        self.figures.by[who] += 1

    def look(self, *, last: bool = False) -> None:
        """Hold the invariants against everything, while nobody asks for anything."""
        self.house.look()
        self.outsider.saw(self.house.heads)
        with_go = last or self.outsider.checks % self.go_each == 0
        self.figures.entries = self.outsider.check(ledgers(self.folder, self._read), with_go=with_go)
        self.figures.answers = len(self.outsider.answers)
        self.figures.checks = self.outsider.checks

    def close(self) -> Figures:
        """Look once more with the command that operators have, and return the figures."""
        self.look(last=True)
        self.victim.fsck()
        assert "Traceback" not in self.victim.said(), self.victim.said()[-4000:]
        assert self.victim.stop() == 0
        self.figures.seconds = time.monotonic() - self._started
        if self.victim.page is not None:
            self.figures.reached = self.victim.page.reached()
        return self.figures

    def fill(self) -> None:
        """Fill the log beyond its next full tile by entries of a key of our own, each with its completion."""
        ask = SocketAsk(self.victim.directory / "run" / "logger.sock", 30)
        logger = LoggerClient(ask)
        tag = hashlib.sha256(b"the campaign's own key").hexdigest()
        try:
            size = _insisting(lambda: logger.append((), 0).size)
            count = (256 - size % 256) // 2 + 2
            self._filled += 1
            intents = tuple(
                IntentSubmission(
                    verb="sign", key_tag=tag, uses=1, commitment=hashlib.sha256(b"%d %d" % (self._filled, n)).digest()
                )
                for n in range(count)
            )
            placed = _insisting(lambda: logger.append(intents, 0)).items
            done = tuple(
                CompletionSubmission(key_tag=tag, intent=one.index, outcome="aborted", commitment=bytes(32))
                for one in placed
            )
            _insisting(lambda: logger.append(done, 0))
        finally:
            ask.close()


def _insisting(question):  # type: ignore[no-untyped-def]
    until = time.monotonic() + 60
    while True:
        try:
            return question()
        except LogUnavailable:
            assert time.monotonic() < until
            time.sleep(0.05)


def named_points(
    folder: Path, home: str, rounds: int = 1, points: tuple[Point, ...] = POINTS, *, go_each: int = 1
) -> Figures:
    """Let every process die at every named point once a round; AssertionError for a point that nobody reaches."""
    (folder / "clients").mkdir(parents=True)
    with victim(folder / "seal", home, points=True) as running:
        campaign = Campaign(running, folder / "clients", go_each)
        for number in range(rounds):
            for point in points:
                often = number > 0 and point.trigger != "start"  # a process starts once each time it is ended
                _die_at(campaign, point, 1 + number % 2 if often else 1)
            print(f"round {number + 1} of {rounds}: {campaign.figures.kills} kills", file=sys.stderr, flush=True)
        figures = campaign.close()
    never = [point.name for point in points if not figures.reached[point]]
    assert not never, f"these points were never reached: {never}"
    return figures


def _die_at(campaign: Campaign, point: Point, nth: int) -> None:
    """Have a process die at a point, and everybody served and satisfied after it."""
    running, page = campaign.victim, campaign.victim.page
    assert page is not None
    clients: list[Client] = []
    for attempt in range(ATTEMPTS):
        time.sleep(1.05 if attempt else 0)  # the stamper raises its mark once in a second, for whoever is first
        fresh = [campaign.client() for _ in range(2 * nth)]
        clients += fresh
        page.arm(point, nth if attempt < 2 else 1)  # full tiles settle once in a calm, and others once in a batch
        threads = _provoke(campaign, point, fresh)
        until = time.monotonic() + 20
        # Full tiles are made durable once nobody has asked for a while, so after the last client was answered.
        calm = time.monotonic() + 10 if point.trigger == "full tile" else 0
        while not page.fired() and time.monotonic() < until:
            if not any(thread.is_alive() for thread in threads) and time.monotonic() > calm:
                break
            time.sleep(0.01)
        fired = page.fired()
        page.disarm()
        if fired:
            campaign.died(point.role)
        running.revive()
        for thread in threads:
            thread.join(200)
            assert not thread.is_alive(), f"a client was not served after a death {point.name}"
        if fired:
            break
    else:
        raise AssertionError(f"nobody died {point.name}")
    for client in clients:
        client.ask_again()
    campaign.look()


def _provoke(campaign: Campaign, point: Point, clients: list[Client]) -> list[threading.Thread]:
    """Do what leads a process to its point, and let the clients ask."""
    if point.trigger == "start":
        campaign.kill(point.role)
        if point.role == "serve":
            campaign.victim.process.wait(30)
            campaign.victim.revive()
    elif point.trigger == "full tile":
        campaign.fill()
    return together(clients)


def at_random(folder: Path, home: str, kills: int, seed: int, clients: int = 4) -> Figures:
    """Kill real processes at random moments under load, and look whenever the load has paused."""
    (folder / "clients").mkdir(parents=True)
    chance = random.Random(seed)
    with victim(folder / "seal", home, points=True) as running:  # none is armed
        campaign = Campaign(running, folder / "clients")
        while campaign.figures.kills < kills:
            with _Load(campaign, clients) as load:
                for _ in range(8):
                    load.await_progress()
                    time.sleep(chance.random() * 0.25)
                    for who in _victims(chance, list(running.others)):
                        campaign.kill(who)
                    running.revive()
                    campaign.house.look()
            campaign.look()
            print(f"{campaign.figures.kills} of {kills} kills at random", file=sys.stderr, flush=True)
        return campaign.close()


def _victims(chance: random.Random, others: list[str]) -> list[str]:
    """Choose who dies: serve once in five times, else one room or several at once, or what they stand on."""
    if others and chance.random() < 0.4:
        return [chance.choice(others), *chance.sample(("serve", *ROOMS), chance.choice((0, 0, 1)))]
    if chance.random() < 0.2:
        return ["serve"]
    return chance.sample(ROOMS, chance.choice((1, 1, 1, 2, 2, 3)))


class _Load:
    """Clients that come one after the other, several at a time."""

    def __init__(self, campaign: Campaign, count: int) -> None:
        self._campaign = campaign
        self._ending = threading.Event()
        self._served = 0
        self._lost: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(200)
        assert not self._lost and not any(thread.is_alive() for thread in self._threads), self._lost

    def await_progress(self) -> None:
        """Wait until one more client was served."""
        known, until = self._served, time.monotonic() + 120
        while self._served == known:
            assert time.monotonic() < until and not self._lost, f"no client is served any more: {self._lost}"
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._ending.is_set():
            client = self._campaign.client()
            try:
                if not client.insist():
                    self._lost.append(f"{client.path.name} was never served")
                    return
                client.ask_again() if self._served % 4 == 0 else None
            except (AssertionError, OSError) as error:
                if "not answered again" not in str(error):
                    self._lost.append(f"{client.path.name}: {error}")
                    return
            self._served += 1
            self._ending.wait(0.03)


def main(kills: int, which: str = "both", home: str = "sqlite") -> None:
    """Run both campaigns, or one, until about so many processes were killed, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        rounds = max(1, kills // 2 // len(POINTS))
        if which != "random":
            print("named points:", named_points(Path(folder) / "n", home, rounds), flush=True)
        if which != "named":
            print("at random:", at_random(Path(folder) / "r", home, kills // 2, 20261125), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000, *sys.argv[2:4])
