"""A real stamper asks real time servers on loopback: their disagreement, or a clock that is turned, stops it."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.strongroom.processes import Process, wait_until
from tests.timeservers import TimeServer, time_servers

from privyseal.errors import TimestampUnavailable
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.strongroom import founding
from privyseal.strongroom.client import SocketAsk, StamperClient
from privyseal.strongroom.settings import SoftFileSection, StamperSettings
from privyseal.strongroom.stamps import Stamps
from privyseal.strongroom.timekeeping import Timekeeping
from privyseal.strongroom.timesource import Asker, TimeServers
from privyseal.timestamp.clock import Timekeeper
from privyseal.timestamp.sntp import Reading, Silence
from privyseal.timestamp.token import verify_token

DIGEST = hashlib.sha256(b"x").digest()


class Site:
    """A stamper's room, its process, and who asks it."""

    def __init__(self, directory: Path, servers: list[TimeServer]) -> None:
        now = datetime.now(UTC)
        authority = RehearsalAuthority.create(now, "Timekeeping")
        self.room = directory / "stamper"
        spki = founding.create_stamper(
            self.room, lambda: now, "ecdsa-p256", time_servers=[each.address for each in servers]
        )
        founding.install_stamper_chain(
            self.room, spki, (authority.issue_timestamp_authority(spki, now), authority.timestamp_issuer)
        )
        toml = self.room / "stamper.toml"
        toml.write_text("time_period = 1\n" + toml.read_text())
        self.directory = directory
        self.start()

    def start(self) -> None:
        turned = Path(__file__).with_name("turned_clock.py")
        socket = self.directory / "s.sock"
        self.process = Process("stamper", self.room / "stamper.toml", socket, str(turned))
        self.ask = SocketAsk(socket, 30)
        self.client = StamperClient(self.ask)

    def end(self) -> int:
        self.ask.close()
        return self.process.terminate()

    def turn(self, seconds: float) -> None:
        (self.room / "ahead").write_text(str(seconds))

    def stamps(self) -> bool:
        try:
            (token,) = self.client.stamp("sha256", [DIGEST])
        except TimestampUnavailable:
            return False
        verify_token(token, octets=b"x")
        return True

    def noted(self) -> list[str]:
        return [each.what for each in self.client.books(0, 0).entries]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[TimeServer]]:
    with time_servers() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, servers: list[TimeServer]) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("t"), servers)
    yield found
    found.end()


def test_it_stamps_once_they_agree_and_says_who_did(site: Site, servers: list[TimeServer]) -> None:
    assert site.process.ready, site.process.said()
    wait_until(site.stamps, 20)
    clock = site.client.health().clock
    assert clock is not None and clock.standing == "agreed" and clock.offset is not None and abs(clock.offset) < 0.2
    assert [each.name for each in clock.sources] == [each.address for each in servers]
    assert not any(each.why for each in clock.sources)
    assert site.noted()[:3] == ["started", "configured", "trusted"]


@pytest.mark.parametrize("jump", [1.5, -1.5, 3600.0, -3600.0])
def test_a_clock_that_is_turned_stops_it_within_a_second(site: Site, jump: float) -> None:
    """Both ways; the health says why, the diary has both the step and the refusal; turned back, it goes on."""
    wait_until(site.stamps, 20)
    before = len(site.noted())
    began = time.monotonic()
    site.turn(jump)
    assert not site.stamps() and time.monotonic() - began < 1
    state = site.client.health()
    assert not state.ready and ("ahead of" if jump > 0 else "behind") in state.why
    assert site.noted()[before:] == ["adjusted", "refused"]
    site.turn(0)
    assert site.stamps() and site.client.health().ready
    assert site.noted()[before:] == ["adjusted", "refused", "adjusted", "trusted"]


def test_nobody_has_to_ask_for_the_time(site: Site) -> None:
    """A clock that is turned while nothing is stamped is noted within a second, too."""
    wait_until(site.stamps, 20)
    before = len(site.noted())
    site.turn(90)
    wait_until(lambda: site.noted()[before:] == ["adjusted", "refused"], 5)
    site.turn(0)
    wait_until(site.stamps, 5)


def test_servers_that_disagree_stop_it(site: Site, servers: list[TimeServer]) -> None:
    """One that lies, or is silent, or forges: no matter. Two: no time; until three agree again."""
    wait_until(site.stamps, 20)
    servers[0].offset = 7.0
    wait_until(lambda: _whys(site)[0] == "It disagrees.", 20)
    assert site.stamps()
    servers[1].offset = -7.0
    wait_until(lambda: not site.stamps(), 20)
    assert "no more than 2 agree" in site.client.health().why
    servers[1].offset, servers[0].offset = 0.0, None
    wait_until(site.stamps, 20)
    wait_until(lambda: _whys(site)[0] == "It did not answer.", 20)
    servers[0].offset, servers[0].forged = 0.0, True
    time.sleep(1.5)
    assert _whys(site)[0] == "It did not answer." and site.stamps()
    servers[0].forged = False
    wait_until(lambda: not any(_whys(site)), 20)


def test_without_the_process_that_asks_it_starts_anew(site: Site) -> None:
    """Its end is the stamper's, with exit 8; the next one asks again and keeps the books of the first."""
    wait_until(site.stamps, 20)
    (child,) = _children(site.process.popen.pid)
    before = site.noted()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: site.process.popen.poll() is not None or _asked(site), 20)
    assert site.process.popen.wait(20) == 8
    site.process.forget()
    site.ask.close()
    assert "asks the time servers has ended" in site.process.said()
    site.start()
    wait_until(site.stamps, 20)
    after = site.noted()
    assert after[: len(before)] == before and after[len(before) :][:2] == ["stopped", "started"]


def test_it_leaves_no_process_behind(tmp_path: Path, servers: list[TimeServer]) -> None:
    found = Site(tmp_path, servers)
    (child,) = _children(found.process.popen.pid)
    assert found.end() == 0
    wait_until(lambda: not Path(f"/proc/{child}").exists(), 10)


def test_who_asks_to_be_left_alone_is_left_alone() -> None:
    """A kiss of death is obeyed for an hour (RFC 5905 7.4); an unknown name is a silence."""
    with time_servers(2) as (rude, good):
        rude.stratum, rude.name = 0, b"DENY"
        asker = Asker((rude.address, good.address, "no-such-name.invalid"))
        for _ in range(3):
            first, second, third = asker.round()
            assert isinstance(first, Silence) and "left alone (DENY)" in first.why
            assert isinstance(second, Reading) and isinstance(third, Silence)
        assert len(rude.asked) == 1 and len(good.asked) == 3
        assert len({each[40:] for each in good.asked}) == 3  # a fresh cookie each time


def test_a_diary_that_cannot_be_written_stops_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is given where what became of the clock cannot be noted."""
    books = Stamps(tmp_path / "s")
    now = datetime(2026, 11, 30, tzinfo=UTC)
    keeping = Timekeeping(Timekeeper(()), books, lambda: now, lambda: 5.0)

    def failing(*_: object) -> None:
        raise TimestampUnavailable("injected")

    with monkeypatch.context() as broken:
        broken.setattr(books, "note", failing)
        with pytest.raises(TimestampUnavailable, match="injected"):
            keeping()
        with pytest.raises(TimestampUnavailable, match="injected"):
            keeping()
    assert keeping() == now and [each.what for each in books.entries(0)] == ["trusted"]
    keeping.end()
    keeping.watch(TimeServers(()))
    books.close()


def test_settings_ask_for_four_servers() -> None:
    """Four different ones, or a rehearsal."""
    home = SoftFileSection(directory="keys", passphrase="p")
    four = ("a.example", "b.example", "c.example:124", "[2001:db8::1]")
    assert StamperSettings(key="k", softfile=home, time_servers=four).time_servers == four
    for servers, why in (((), "4 were expected"), (four[:3], "4 were expected"), ((*four, "A.example"), "twice")):
        with pytest.raises(ValueError, match=why):
            StamperSettings(key="k", softfile=home, time_servers=servers)
    with pytest.raises(ValueError, match="no time server"):
        StamperSettings(key="k", softfile=home, time_servers=(*four[:3], "a b"))
    with pytest.raises(ValueError, match="policy"):
        StamperSettings(key="k", softfile=home, rehearsal=True, other_policies=("1.2.x",))


def _asked(site: Site) -> bool:
    """Ask how it is, as /readyz does now and then; tell whether it was there no more."""
    try:
        site.client.health()
    except TimestampUnavailable:
        return True
    return False


def _whys(site: Site) -> list[str]:
    clock = site.client.health().clock
    return [] if clock is None else [each.why for each in clock.sources]


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
