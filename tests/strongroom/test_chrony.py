"""Time by way of chronyd: a real one is asked, also under NTS, and a made-up one that does what real ones rarely do."""

from __future__ import annotations

import ipaddress
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.chronyd import OFTEN, chronyd, free_port
from tests.strongroom.processes import wait_until
from tests.timeservers import TimeServer, time_servers

from privyseal.errors import BadInput
from privyseal.strongroom.chrony import Chrony
from privyseal.strongroom.timesource import Asker, TimeServers, steady
from privyseal.timestamp import timesources
from privyseal.timestamp.clock import Heard, Timekeeper
from privyseal.timestamp.sntp import Reading, Silence

NAMES = [f"127.0.0.{number}" for number in range(2, 6)]
SOURCES = [f"chrony:{name}" for name in NAMES]


def lines(servers: list[TimeServer], more: str = "") -> list[str]:
    return [f"server {each.address.replace(':', ' port ')} {OFTEN} {more}" for each in servers]


def offset(heard: Heard) -> float | None:
    """Return by how much UTC, as it was told, is ahead of this machine's clock."""
    return heard.utc - (time.time() - steady()) if isinstance(heard, Reading) else None


def until_all(asker: Asker, whether: Callable[[tuple[Heard, ...]], bool]) -> tuple[Heard, ...]:
    heard: list[tuple[Heard, ...]] = []

    def found() -> bool:
        heard.append(asker.round())
        return whether(heard[-1])

    wait_until(found, 30)
    return heard[-1]


def test_a_real_chronyd_tells_what_it_measured(tmp_path: Path) -> None:
    """Of four servers, two of them ahead by different amounts: each comes through with its own time, to 50 ms."""
    with time_servers(apart=True) as servers:
        for server, ahead in zip(servers, (0.0, 0.0, 2.5, -40.0), strict=True):
            server.offset = ahead
        with chronyd(tmp_path / "c", lines(servers)) as port:
            asker = Asker([*SOURCES, "chrony:nobody.example"], port)
            *heard, nobody = until_all(asker, lambda all_of: sum(isinstance(each, Reading) for each in all_of) == 4)
            for server, each in zip(servers, heard, strict=True):
                found = offset(each)
                assert found is not None and server.offset is not None and abs(found - server.offset) < 0.05, each
            assert [each.source for each in heard] == SOURCES
            assert all(isinstance(each, Reading) and 0 < each.distance < 0.5 and each.stratum == 2 for each in heard)
            assert isinstance(nobody, Silence) and "no source of this name" in nobody.why
        gone = asker.round()
        assert all(isinstance(each, Silence) and "chronyd cannot be asked" in each.why for each in gone)


def test_a_correction_that_is_under_way_is_added(tmp_path: Path) -> None:
    """chronyd believes four that are 0.5 s ahead, and its own time is corrected, while the machine's clock is not."""
    with time_servers(apart=True) as servers:
        for server in servers:
            server.offset = 0.5
        with chronyd(tmp_path / "c", lines(servers)) as port:
            asker = Asker(SOURCES, port)
            time.sleep(2)  # it corrects itself by the first answers; without the correction we would hear 0.0 now
            heard = until_all(asker, lambda all_of: all(isinstance(each, Reading) for each in all_of))
            assert all(abs((offset(each) or 0.0) - 0.5) < 0.05 for each in heard), heard


def test_time_under_nts(tmp_path: Path) -> None:
    """A server that speaks NTS and four associations with it; what is not authenticated does not count."""
    key, certificate = authority(tmp_path)
    ntp, nts = free_port(), free_port(socket.SOCK_STREAM)
    server = [
        f"port {ntp}", f"ntsport {nts}", f"ntsservercert {certificate}", f"ntsserverkey {key}", "local stratum 1",
        "allow 127.0.0.0/8",
    ]  # fmt: skip
    with chronyd(tmp_path / "s", server), time_servers(1) as (plain,):
        client = [f"server {name} port {ntp} nts ntsport {nts} {OFTEN}" for name in NAMES]
        client += [*lines([plain]), f"ntstrustedcerts {certificate}", "authselectmode require"]
        with chronyd(tmp_path / "c", client) as port:
            asker = Asker([*SOURCES, "chrony:127.0.0.1"], port)
            *heard, other = until_all(asker, lambda all_of: sum(isinstance(each, Reading) for each in all_of) == 4)
            assert all(abs(offset(each) or 1.0) < 0.05 for each in heard)
            assert isinstance(other, Silence) and "not authenticated" in other.why and plain.asked


def test_the_stamper_s_child_asks_it(tmp_path: Path) -> None:
    """The confined process that asks time servers reaches chronyd, and a timekeeper agrees on what it says."""
    with time_servers(apart=True) as servers, chronyd(tmp_path / "c", lines(servers)) as port:
        child = TimeServers(SOURCES, 1.0, port)
        try:
            keeper = Timekeeper(SOURCES)

            def agreed() -> bool:
                heard = child.round(1.0)
                assert heard is not None
                keeper.hear(heard)
                return keeper.judge(time.time(), steady()) == ""

            wait_until(agreed, 30)
        finally:
            child.close()


def authority(folder: Path) -> tuple[Path, Path]:
    """Write a key and a certificate for the four addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "NTS on loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(n)) for n in NAMES]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "nts.key", folder / "nts.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[0].write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    paths[0].chmod(0o600)
    paths[1].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return paths


# -- one that is made up, by the layout of the answers alone -------------------------------------------------------
@dataclass
class Sample:
    """What it last measured of one source."""

    ahead: float = 0.0
    age: int = 3
    error: float = 0.01
    number: int = 1
    """Of the measurement."""
    state: int = 0
    stratum: int = 2


@dataclass
class MadeUp:
    """A chronyd of which every answer can be changed on the way out."""

    door: socket.socket
    samples: dict[str, Sample] = field(default_factory=lambda: {name: Sample() for name in NAMES})
    correction: float = 0.0
    leap: int = 0
    change: Callable[[bytes], bytes] = lambda octets: octets
    """What becomes of each answer."""

    @property
    def port(self) -> int:
        return int(self.door.getsockname()[1])

    def answer(self) -> None:
        octets, where = self.door.recvfrom(2048)
        command, number = int.from_bytes(octets[4:6], "big"), octets[8:12]
        kind, body = getattr(self, f"_{command}")(octets[20:])
        status = 0 if kind else 4  # no such source
        head = bytes([6, 2, 0, 0]) + struct.pack(">HHH", command, kind or 1, status) + bytes(6) + number + bytes(8)
        assert not kind or len(octets) == len(head + body), "chronyd answers nothing that is longer than the question"
        self.door.sendto(self.change(head + body), where)

    def _14(self, asked: bytes) -> tuple[int, bytes]:
        return 2, struct.pack(">I", len(self.samples))

    def _15(self, asked: bytes) -> tuple[int, bytes]:
        place = int.from_bytes(asked[:4], "big")
        if place >= len(self.samples):
            return 0, b""
        name, each = list(self.samples.items())[place]
        numbers = b"".join(map(as_chrony, (each.number / 8, each.ahead, each.error)))
        head = struct.pack(">hHHHHHI", 6, each.stratum, each.state, 0, 0, 255, each.age & 0xFFFFFFFF)
        return 3, ipaddress.ip_address(name).packed + bytes(12) + struct.pack(">HH", 1, 0) + head + numbers

    def _33(self, asked: bytes) -> tuple[int, bytes]:
        return 5, bytes(24) + struct.pack(">HH", 3, self.leap) + bytes(12) + as_chrony(self.correction) + bytes(32)

    def _65(self, asked: bytes) -> tuple[int, bytes]:
        return 19, str(ipaddress.IPv4Address(asked[:4])).encode().ljust(256, b"\0")


def as_chrony(value: float) -> bytes:
    """Write a number as chrony does: the largest coefficient of 24 bits and a sign, times a power of 2."""
    exponent = 0
    while value and abs(value) < 0.5:
        value, exponent = value * 2, exponent - 1
    while abs(value) >= 1:
        value, exponent = value / 2, exponent + 1
    coefficient, exponent = round(value * (1 << 24)), exponent + 1
    return (((exponent & 127) << 25) | (coefficient & (1 << 25) - 1)).to_bytes(4, "big")


@pytest.fixture
def made_up() -> Iterator[MadeUp]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door, running(MadeUp(door)) as it:
        yield it


@contextmanager
def running(it: MadeUp) -> Iterator[MadeUp]:
    it.door.bind(("127.0.0.1", 0))
    it.door.settimeout(0.05)
    end = threading.Event()

    def serve() -> None:
        while not end.is_set():
            with suppress(TimeoutError):
                it.answer()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield it
    end.set()
    thread.join(10)


@dataclass
class Clocks:
    """The machine's clock, which somebody sets, and the steady count."""

    now: float = 5000.0
    set_by: float = 0.0

    def wall(self) -> float:
        return 1_800_000_000 + self.now + self.set_by

    def count(self) -> float:
        return self.now


def asked(made_up: MadeUp, clocks: Clocks | None = None) -> Chrony:
    clocks = clocks or Clocks()
    return Chrony(SOURCES, made_up.port, clocks.wall, clocks.count)


def whys(heard: dict[str, Heard]) -> set[str]:
    return {each.why if isinstance(each, Silence) else "" for each in heard.values()}


def measure(made_up: MadeUp, **more: object) -> None:
    for each in made_up.samples.values():
        each.number += 1
        for name, value in more.items():
            setattr(each, name, value)


@pytest.mark.parametrize("by", [2.0, -30.0, 3600.0])
def test_what_was_measured_before_the_clock_was_set_is_void(made_up: MadeUp, by: float) -> None:
    """chronyd tells the old measurement until it makes another; believing it would make any clock right."""
    clocks = Clocks()
    one = asked(made_up, clocks)
    assert whys(one.round()) == {"chronyd has not measured it since the clock was set, or since we look."}
    measure(made_up)
    first = one.round()
    assert whys(first) == {""}
    clocks.set_by, clocks.now = by, clocks.now + 5
    for _ in range(3):
        assert whys(one.round()) == {"chronyd has not measured it since the clock was set, or since we look."}
        clocks.now += 5
    measure(made_up, ahead=by)
    again = one.round()
    for source in SOURCES:
        before, after = first[source], again[source]
        assert isinstance(before, Reading) and isinstance(after, Reading) and abs(before.utc - after.utc) < 1e-3


def test_small_steps_add_up(made_up: MadeUp) -> None:
    """Ten times 20 ms are seen, though 20 ms are not."""
    clocks = Clocks()
    one = asked(made_up, clocks)
    one.round()
    measure(made_up)
    said = []
    for _ in range(10):
        clocks.set_by += 0.02
        clocks.now += 1
        said.append(whys(one.round()) == {""})
    assert said[0] and not said[-1]


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        ({"state": 1}, "out of reach, or not authenticated"),
        ({"age": -1}, "never measured"),
        ({"age": 2049}, "not measured it for 2049 s"),
        ({"stratum": 16}, "not synchronised itself"),
        ({"error": 1.5}, "1.5 s off itself"),
        ({"error": -0.1}, "off itself"),
        ({"ahead": 2e11}, "decades apart"),
    ],
)
def test_what_says_too_little_does_not_count(made_up: MadeUp, sample: dict[str, float], why: str) -> None:
    """One sentence for each."""
    one = asked(made_up)
    one.round()
    measure(made_up, **sample)
    (said,) = whys(one.round())
    assert why in said, said


def test_leap_second_age_and_correction_come_through(made_up: MadeUp) -> None:
    """A reading is of the moment at which was measured; what it may be off grows by 15 millionths since."""
    clocks = Clocks()
    one = asked(made_up, clocks)
    one.round()
    measure(made_up, age=1000, ahead=0.25)
    made_up.correction, made_up.leap = -0.5, 1
    heard = one.round()[SOURCES[0]]
    assert isinstance(heard, Reading) and heard.leap == "insert" and heard.at == clocks.now - 1000
    assert abs(heard.utc - (1_800_000_000 - 0.75)) < 1e-6 and abs(heard.distance - 0.025) < 1e-6


def test_2000_changed_answers_end_in_silence_or_a_reading(made_up: MadeUp) -> None:
    """Octets changed, cut, repeated: no exception, and nothing is believed beyond bounds."""
    dice = random.Random(323)
    changed = 0

    def change(octets: bytes) -> bytes:
        nonlocal changed
        if dice.random() < 0.7:
            return octets
        changed += 1
        some = bytearray(octets)
        for _ in range(dice.randrange(1, 4)):
            some[dice.choice([*range(16), *range(20, len(some))])] = dice.randrange(256)
        return bytes(some[: dice.choice((len(some), len(some), 30, 20, 5 + 15))])

    made_up.change = change
    clocks = Clocks()
    one = asked(made_up, clocks)
    while changed < 2000:
        measure(made_up)
        clocks.now += 1
        for each in one.round().values():
            assert isinstance(each, Silence) or (0 <= each.distance < 1 and each.stratum <= 15), each


@pytest.mark.parametrize("source", ["chrony:", "chrony:a b", "chrony:" + "a" * 300, "chrony:-x", "chrony:\u00e4"])
def test_a_name_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(BadInput, match="no source of chronyd's"):
        timesources.place(source)


def test_kinds_are_told_by_how_they_are_written() -> None:
    """``chrony:123`` is a server of that name at a port, as it always was."""
    assert timesources.place("chrony:123") == ("chrony", 123)
    assert timesources.place("chrony:Time.Example") == ("chrony:", "time.example")
    assert timesources.place("chrony:2001:db8::1") == ("chrony:", "2001:db8::1")
    assert timesources.place("time.example") == ("time.example", 123)
