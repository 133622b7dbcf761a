"""A time server's answer is read strictly: it must be to our question, from one who knows the time itself."""

from __future__ import annotations

import random
import struct

import pytest

from privyseal.errors import BadInput
from privyseal.timestamp import sntp
from privyseal.timestamp.sntp import Answer, Kiss

COOKIE = b"\x01\x02\x03\x04\x05\x06\x07\x08"
AT = 1_796_040_000.25


def packet(
    at: float = AT, *, leap: int = 0, version: int = 4, mode: int = 4, stratum: int = 2, cookie: bytes = COOKIE,
    delay: int = 0, dispersion: int = 0, name: bytes = b"GPS\0", received: int | None = None,
) -> bytes:  # fmt: skip
    stamp = int((at + 2_208_988_800) * (1 << 32)) & (1 << 64) - 1
    origin = int.from_bytes(cookie, "big")
    head = leap << 6 | version << 3 | mode
    came = stamp if received is None else received
    return struct.pack(">BBbbII4sQQQQ", head, stratum, 6, -20, delay, dispersion, name, 0, origin, came, stamp)


def test_a_question_tells_nothing_of_our_clock() -> None:
    """48 octets, mode 3, version 4, and nothing but the cookie."""
    asked = sntp.question(COOKIE)
    assert len(asked) == 48 and asked[0] == 0x23 and asked[40:] == COOKIE and not any(asked[1:40])


def test_an_answer_is_read() -> None:
    said = sntp.read(packet(delay=1 << 15, dispersion=1 << 14), COOKIE)
    assert isinstance(said, Answer) and abs(said.sent - AT) < 1e-6 and said.root == 0.5 and said.leap == ""
    assert sntp.read(packet(leap=1), COOKIE).leap == "insert"  # type: ignore[union-attr]
    assert sntp.read(packet(leap=2, version=3), COOKIE).leap == "delete"  # type: ignore[union-attr]


def test_the_count_that_began_anew_in_2036() -> None:
    """Era 1 of NTP begins on 7 February 2036."""
    later = 2_085_978_496.0 + 86_400 * 1_000
    said = sntp.read(packet(later), COOKIE)
    assert isinstance(said, Answer) and abs(said.sent - later) < 1e-6


def test_who_asks_to_be_left_alone() -> None:
    assert sntp.read(packet(stratum=0, name=b"RATE"), COOKIE) == Kiss("RATE")
    assert sntp.read(packet(stratum=0, name=b"\x1b[2J"), COOKIE) == Kiss("?[2J")


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "has 0 octets"),
        (packet()[:47], "has 47 octets"),
        (packet(mode=3), "not that of a server"),
        (packet(mode=5), "not that of a server"),
        (packet(version=2), "not that of a server"),
        (packet(cookie=bytes(8)), "not to our question"),
        (packet(leap=3), "not synchronised"),
        (packet(stratum=16), "not synchronised"),
        (packet(received=0), "not synchronised"),
        (packet(delay=3 << 16), "1.5 s off"),
    ],
)
def test_what_is_no_answer(octets: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        sntp.read(octets, COOKIE)


def test_mutations_never_get_past_the_cookie() -> None:
    """20,000 packets with octets changed: BadInput or an answer, and never one to another question."""
    rng = random.Random(7)
    whole = packet()
    for _ in range(20_000):
        octets = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        octets = octets[: rng.choice((48, 48, 48, rng.randrange(49)))]
        try:
            sntp.read(bytes(octets), COOKIE)
            assert bytes(octets[24:32]) == COOKIE
        except BadInput:
            pass


def test_a_reading_is_the_middle_of_the_way() -> None:
    """Half of the way there and back is the distance; the machine's own clock plays no part."""
    answer = Answer(AT, AT + 0.01, 0.05, 2, "")
    read = sntp.reading("a", answer, 100.0, 100.21)
    assert abs(read.utc - (AT - 100.1)) < 1e-6 and abs(read.distance - 0.15) < 1e-6
    with pytest.raises(BadInput, match="too little"):
        sntp.reading("a", answer, 100.0, 103.0)
    with pytest.raises(BadInput, match="before it was asked"):
        sntp.reading("a", Answer(AT, AT - 5, 0, 2, ""), 100.0, 100.1)
    with pytest.raises(BadInput, match="before it was asked"):
        sntp.reading("a", Answer(AT, AT + 5, 0, 2, ""), 100.0, 100.1)


def test_addresses() -> None:
    assert sntp.address("ntp.example") == ("ntp.example", 123)
    assert sntp.address("ntp.example:1123") == ("ntp.example", 1123)
    assert sntp.address("[2001:db8::1]:124") == ("2001:db8::1", 124)
    for wrong in ("", "a b", "a b/c", "user@host", "host:port", "host:99999", "http://x", "x/y", "x?y", "h" * 300):
        with pytest.raises(BadInput):
            sntp.address(wrong)
