"""One question to a time server and its answer (SNTP: RFC 5905 section 14), octets only.

A question tells nothing of our clock: where the time of sending would stand are 64 random bits, which an answer must
repeat (RFC 5905 section 8, test 2; draft-ietf-ntp-data-minimization). Whoever does not see the question cannot answer.
Time is measured against a *steady* count of seconds that nobody sets; the clock of the machine plays no part.
"""

from __future__ import annotations

import re
import struct
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from privyseal.errors import BadInput

COOKIE_OCTETS = 8
"""Random octets of a question."""
PACKET_OCTETS = 48
"""Octets of a question and of an answer; extension fields behind them are not read."""
MAX_ANSWER_OCTETS = 512
"""Octets of a datagram that are read."""
MAX_DISTANCE = 1.0
"""Seconds: an answer that may be as far off is of no use (RFC 5905: MAXDIST is 1.5)."""
MAX_STRATUM = 15
"""16 is a server that is not synchronised itself (RFC 5905, MAXSTRAT)."""

PORT = 123
"""UDP port of NTP."""
MAX_SOURCE = 260
"""Characters of a server's name and port."""

Leap = Literal["", "insert", "delete"]
"""What is announced for the end of this month in UTC: nothing, a second more, a second less."""

_SOURCE = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?", re.ASCII)
_PACKET = struct.Struct(">BBbbII4sQQQQ")
_SINCE_1900 = 2_208_988_800
"""Seconds from 1900 to 1970."""
_ERA = 1 << 32
_LEAPS: tuple[Leap, ...] = ("", "insert", "delete")


class Answer(msgspec.Struct, frozen=True):
    """What a server said: seconds since 1970, UTC."""

    received: float
    """When our question came."""
    sent: float
    """When its answer left."""
    root: float
    """How far off it may be itself: half its way to the reference, and what it lost on it."""
    stratum: int
    leap: Leap


class Kiss(msgspec.Struct, frozen=True):
    """The server asks to be left alone (RFC 5905 section 7.4), by a code such as ``RATE`` or ``DENY``."""

    code: str


class Reading(msgspec.Struct, frozen=True, tag="reading"):
    """UTC as one server had it, against the steady count."""

    source: str
    at: float
    """On the steady count."""
    utc: float
    """UTC minus the steady count, in seconds since 1970."""
    distance: float
    """Seconds by which ``utc`` may be wrong if the server is right."""
    stratum: int
    leap: Leap


class Silence(msgspec.Struct, frozen=True, tag="silence"):
    """A server that gave no reading."""

    source: str
    at: float
    why: str


def address(source: str) -> tuple[str, int]:
    """Return host and UDP port of a source written ``host``, ``host:port`` or ``[v6]:port``; BadInput if it is none."""
    parts = urlsplit(f"//{source}")
    try:
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, PORT
    if not host or len(source) > MAX_SOURCE or not _SOURCE.fullmatch(source):
        raise BadInput(f"{source[:80]!r} is no time server; host or host:port was expected.")
    return host, port


def question(cookie: bytes) -> bytes:
    """Return the octets to send; ``cookie`` is 8 random octets, never zero."""
    return _PACKET.pack(0x23, 0, 0, 0, 0, 0, bytes(4), 0, 0, 0, int.from_bytes(cookie, "big"))


def read(octets: bytes, cookie: bytes) -> Answer | Kiss:
    """Read an answer to the question with this cookie; BadInput if it is none, or the server knows no time itself."""
    if len(octets) < PACKET_OCTETS:
        raise BadInput(f"The answer has {len(octets)} octets; {PACKET_OCTETS} were expected.")
    head, stratum, _, _, delay, dispersion, name, _, origin, received, sent = _PACKET.unpack_from(octets)
    if head & 7 != 4 or head >> 3 & 7 not in (3, 4):
        raise BadInput("The answer is not that of a server of NTP 3 or 4.")
    if origin != int.from_bytes(cookie, "big"):
        raise BadInput("The answer is not to our question.")
    if stratum == 0:
        return Kiss("".join(chr(each) if 0x20 < each < 0x7F else "?" for each in name))
    if head >> 6 == 3 or stratum > MAX_STRATUM or not received or not sent:
        raise BadInput("The server is not synchronised itself.")
    root = (delay / 2 + dispersion) / (1 << 16)
    if root >= MAX_DISTANCE:
        raise BadInput(f"The server may be {root:.1f} s off itself.")
    return Answer(_seconds(received), _seconds(sent), root, stratum, _LEAPS[head >> 6])


def reading(source: str, answer: Answer, asked: float, answered: float) -> Reading:
    """Return what an answer says of UTC; ``asked`` and ``answered`` are on the steady count.

    BadInput where it took so long that it says nothing, or the server's own times cannot be.
    """
    there = answer.sent - answer.received
    way = answered - asked - there
    if there < -0.001 or way < -0.001:
        raise BadInput("The server answered before it was asked.")
    distance = max(way, 0.0) / 2 + answer.root
    if distance >= MAX_DISTANCE:
        raise BadInput(f"The answer took {way:.1f} s and says too little.")
    utc = (answer.received - asked + answer.sent - answered) / 2
    return Reading(source, answered, utc, distance, answer.stratum, answer.leap)


def _seconds(timestamp: int) -> float:
    """Return seconds since 1970; the count begins anew in 2036, which the top bit tells (RFC 4330 section 3)."""
    whole = timestamp >> 32
    era = 0 if whole & 1 << 31 else _ERA
    return whole + era - _SINCE_1900 + (timestamp & 0xFFFFFFFF) / _ERA
