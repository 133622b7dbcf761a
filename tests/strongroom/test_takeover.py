"""Two loggers on one database: one is active, the other takes over within seconds, and the log never forks."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.strongroom.cluster import Cluster, folder
from tests.strongroom.logroom import intent
from tests.strongroom.processes import Process, wait_until
from tests.strongroom.test_logger_process import Load, audit
from tests.strongroom.witnessroom import WitnessProcess
from tests.tlog.sumdb_verifier import verify_with_go

from privyseal.errors import LogStandby, LogUnavailable, Unavailable
from privyseal.strongroom.client import LOGGER_SECONDS, ActiveLogger, LoggerClient, SocketAsk
from privyseal.strongroom.founding import add_witness, create_logger, create_standby
from privyseal.strongroom.messages import Answer, LogHealth, LogState, Question
from privyseal.tlog.log import Head
from privyseal.tlog.note import Verifier, parse_vkey


class Site:
    """A log with two loggers and a witness, as ``test_logger_process`` wants a site for its load."""

    def __init__(self, directory: Path, url: str, *, witnessed: bool = True) -> None:
        self.directory = directory
        self.public = directory / "public"
        vkey = create_logger(directory / "a", self.public, directory / "marks/a", "log.example/two", journal=url)
        self.verifier: Verifier = parse_vkey(vkey)
        self.witness: WitnessProcess | None = None
        if witnessed:
            self.witness = WitnessProcess(directory, "w")
            self.witness.admit(vkey)
            self.witness.start()
            add_witness(directory / "a", self.witness.vkey, self.witness.url, 1)
        create_standby(directory / "b", directory / "a", directory / "marks/b")
        self.sockets = {name: directory / f"{name}.s" for name in "ab"}
        self.running: dict[str, Process] = {}
        self._asks: list[SocketAsk] = []

    def start(self, name: str) -> Process:
        process = Process("logger", self.directory / name / "logger.toml", self.sockets[name])
        assert process.ready, process.said()
        self.running[name] = process
        return process

    def ask(self, name: str, seconds: float = 20) -> SocketAsk:
        self._asks.append(SocketAsk(self.sockets[name], seconds))
        return self._asks[-1]

    def client(self) -> LoggerClient:
        return LoggerClient(ActiveLogger([self.ask(name, LOGGER_SECONDS) for name in "ab"]))

    def active(self) -> str | None:
        """Which logger says that it is the active one."""
        for name in self.running:
            ask = self.ask(name, 5)
            try:
                answer = ask(LogHealth())
            except LogUnavailable:
                continue
            except Exception:  # noqa: S112 - it is being killed
                continue
            if isinstance(answer, LogState) and not answer.standby:
                return name
        return None

    def wait_active(self) -> str:
        """The same, once there is one: on a busy machine a lease may lapse and be taken again."""
        until = time.monotonic() + 60
        while (name := self.active()) is None:
            assert time.monotonic() < until, self.said()
            time.sleep(0.05)
        return name

    def end(self) -> None:
        """Have both loggers end in order, so that nothing is tidied up any more while the log is looked at."""
        for process in self.running.values():
            assert process.terminate() == 0

    def said(self) -> str:
        return "".join(process.said() for process in self.running.values())

    def close(self) -> None:
        for ask in self._asks:
            ask.close()
        for process in self.running.values():
            process.popen.send_signal(signal.SIGCONT)
            process.kill()
        if self.witness is not None:
            self.witness.kill()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with folder() as where:
        cluster = Cluster(where).create().start()
        yield cluster
        cluster.stop()


@pytest.fixture
def site(tmp_path: Path, cluster: Cluster) -> Iterator[Site]:
    cluster.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    site = Site(tmp_path, cluster.url)
    yield site
    site.close()


def progressed(load: Load, since: int) -> float:
    """Wait for an acknowledgement of something new; return how long that took."""
    began = time.monotonic()
    wait_until(lambda: len(load.acknowledged) > since, 30)
    return time.monotonic() - began


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.nightly)])
def test_killed_or_frozen_the_active_logger_is_replaced_and_nothing_forks(site: Site, rounds: int):
    """kill -9 and SIGSTOP of the active one by turns, under load: the other goes on, who wakes up stages nothing, each
    size has one root over all that clients and witness saw, and Go's own packages verify the log."""
    for name in "ab":
        site.start(name)
    wait_until(lambda: site.active() is not None, 20)
    load = Load(site, 6)
    chance = random.Random(20260202)
    took: list[float] = []
    for turn in range(rounds):
        progressed(load, len(load.acknowledged))
        time.sleep(chance.random() * 0.3)
        name = site.wait_active()
        frozen = turn % 2 == 1
        if frozen:
            site.running[name].popen.send_signal(signal.SIGSTOP)
        else:
            site.running[name].kill()
        began = time.monotonic()
        progressed(load, len(load.acknowledged) + 6)  # what was answered already may still be on its way
        took.append(time.monotonic() - began)
        assert site.wait_active() != name
        if frozen:
            site.running[name].popen.send_signal(signal.SIGCONT)
            wait_until(lambda name=name: _standby(site, name), 20)
        else:
            site.start(name)
    progressed(load, len(load.acknowledged))
    load.stop()
    site.end()
    assert audit(site, load) > 0
    size = int(verify_with_go(site.public, site.verifier.vkey).split()[0])
    assert site.witness is not None
    site.witness.kill()
    assert site.witness.latest("log.example/two") == Head(size, _root(site, size))
    each = ", ".join(f"{seconds:.2f}" for seconds in took)
    print(f"{rounds} takeovers, {len(load.acknowledged)} acknowledged, {size} entries; seconds: {each}")


def _standby(site: Site, name: str) -> bool:
    try:
        answer = site.ask(name, 5)(LogHealth())
    except Exception:
        return False
    return isinstance(answer, LogState) and answer.standby


def _root(site: Site, size: int) -> bytes:
    from privyseal.tlog.reader import Reader
    from privyseal.tlog.tilestore import DirectoryTileStore

    return Reader(DirectoryTileStore(site.public).read).root(size)


def test_told_to_end_the_active_logger_hands_over_at_once(site: Site):
    """SIGTERM gives the lease up; the standby is active without waiting for the lease's end."""
    for name in "ab":
        site.start(name)
    wait_until(lambda: site.active() == "a", 20)
    client = site.client()
    before = client.append((intent("a"),), 0)
    assert site.running["a"].terminate() == 0
    after = client.append((intent("b"), intent("a")), 1)
    assert (before.items[0].index, [one.index for one in after.items]) == (0, [1, 0])
    assert site.active() == "b"
    assert site.said() == ""


def test_the_client_asks_the_active_one_and_waits_while_there_is_none():
    """Standby and unreachable lead to the next; a refusal by the active one is told at once; the last one that
    answered is asked first."""
    asked: list[str] = []
    state = {"a": "active", "b": "standby"}

    def way(name: str) -> object:
        def ask(question: Question) -> Answer:
            asked.append(name)
            if state[name] == "standby":
                raise LogStandby("no")
            if state[name] == "broken":
                raise LogUnavailable("The witnesses are away.")
            return LogState(1, name, "v")

        return ask

    both = ActiveLogger([way("a"), way("b")], 0.3)  # type: ignore[list-item]
    assert both(LogHealth()).origin == "a"  # type: ignore[union-attr]
    state.update(a="standby", b="active")
    assert both(LogHealth()).origin == "b"  # type: ignore[union-attr]
    assert both(LogHealth()).origin == "b"  # type: ignore[union-attr]
    assert asked == ["a", "a", "b", "b"]
    state.update(b="broken")
    with pytest.raises(LogUnavailable, match="witnesses"):
        both(LogHealth())
    state.update(b="standby")
    with pytest.raises(LogStandby):
        both(LogHealth())
    threading.Timer(0.1, lambda: state.update(a="active")).start()
    assert both(LogHealth()).origin == "a"  # type: ignore[union-attr]


def test_who_does_not_answer_keeps_nobody_waiting_for_another():
    """A frozen logger is asked beside the others: as soon as another one is active it is heard, however long the frozen
    one is silent, and when the silent one was only slow its answer counts."""
    frozen, asked = threading.Event(), threading.Event()
    state = {"b": "standby"}

    def silent(question: Question) -> Answer:
        if asked.is_set():
            frozen.wait(30)
        asked.set()
        if not frozen.is_set():
            raise Unavailable("it did not answer in time")
        return LogState(2, "a", "v")

    def other(question: Question) -> Answer:
        if state["b"] == "standby":
            raise LogStandby("no")
        return LogState(1, "b", "v")

    both = ActiveLogger([silent, other], 30)
    threading.Timer(0.3, lambda: state.update(b="active")).start()
    assert both(LogHealth()).origin == "b"  # type: ignore[union-attr]
    assert not frozen.is_set()
    state.update(b="standby")
    threading.Timer(0.3, frozen.set).start()
    assert both(LogHealth()).origin == "a"  # type: ignore[union-attr]


def test_what_a_slow_active_logger_refuses_is_told():
    """Also where it is asked beside the others, a refusal by the active one ends the search."""
    said: list[Exception] = [Unavailable("it did not answer in time"), LogUnavailable("The witnesses are away.")]

    def slow(question: Question) -> Answer:
        raise said.pop(0)

    def other(question: Question) -> Answer:
        raise LogStandby("no")

    with pytest.raises(LogUnavailable, match="witnesses"):
        ActiveLogger([slow, other], 30)(LogHealth())
