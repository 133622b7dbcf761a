"""What a chronyd says of its sources when it is asked for its state, octets only (version 6 of chrony's protocol).

chronyd answers whoever is on its machine at UDP port 323, and there it only tells. Its control socket would let us
command it, the setting of the clock included, so that is not used. The layout was taken from what chronyc 4.3 and
chronyd 4.3 send each other. chrony speaks NTS, which we do not; this is how authenticated time comes in.

A measurement is a source's clock held against chronyd's idea of the time, and that is the machine's clock and a
correction that is under way. chronyd notices by its next measurement only that somebody else has set the clock. Until
then what it says is of a clock that is no more; ``strongroom/chrony.py`` lets such a measurement count for nothing.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Any

import msgspec

from privyseal.errors import BadInput
from privyseal.timestamp.sntp import MAX_DISTANCE, MAX_STRATUM, Leap, Reading

PREFIX = "chrony:"
"""Before the name of a source that chronyd is asked about, in ``time_servers``."""
PORT = 323
"""UDP port at which chronyd tells its state."""
MAX_SOURCES = 64
"""Sources of one chronyd that are looked through."""
MAX_NAME = 253
"""Characters of a source's name: those of a name in the DNS (RFC 1035 2.3.4)."""
MAX_AGE = 2048
"""Seconds: an older measurement says nothing; chronyd's pauses are 1024 s at most unless it is told otherwise."""
MAX_OFF = 1e9
"""Seconds, 31 years, that a source may be away: further ones are no moments that can be written down."""
TOLERANCE = 15e-6
"""By how much a clock is taken to run wrong between a measurement and now (RFC 5905 A.1.1: PHI, 15 millionths)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*", re.ASCII)
_HEAD = struct.Struct(">BBxxHxxI8x")
_REPLY = struct.Struct(">BBxxHHHxxxxxxI8x")
_PLACE = struct.Struct(">16sHxx")
_VERSION, _ASKED, _ANSWERED = 6, 1, 2
_COUNT, _SOURCE, _TRACKING, _NAMED = 14, 15, 33, 65
_FORMS = {_COUNT: (2, ">I"), _SOURCE: (3, ">20shHHHHHIIII"), _TRACKING: (5, ">24xHH12xI32x"), _NAMED: (19, ">256s")}
"""Number of a question -> number and form of its answer."""
_NEVER = (1 << 32) - 1
_NOT_SELECTABLE = 1
_LEAPS: dict[int, Leap] = {1: "insert", 2: "delete"}


class Measured(msgspec.Struct, frozen=True):
    """What chronyd last measured of one of its sources."""

    place: bytes
    """The source's address, as chronyd has it; names are asked for by it."""
    stratum: int
    usable: bool
    """Whether chronyd might use it: it can be reached, and is authenticated where ``authselectmode`` asks for that."""
    age: int
    """Seconds since then; -1: never."""
    original: float
    """Seconds by which chronyd's time was ahead of the source when it measured; another number for each measurement."""
    ahead: float
    """The same, as it stands now that chronyd has corrected its time."""
    error: float
    """Seconds by which that may be wrong if the source is right."""

    @property
    def address(self) -> str:
        """The source's address in words; empty for what has none, as a clock that is attached."""
        octets, family = _PLACE.unpack(self.place)
        if family == 1:
            return str(ipaddress.IPv4Address(octets[:4]))
        return str(ipaddress.IPv6Address(octets)) if family == 2 else ""

    def reading(self, source: str, correction: float, leap: Leap, wall: float, steady: float) -> Reading:
        """Return what it says of UTC, with clock and steady count read together; BadInput where that is nothing."""
        if not self.usable:
            raise BadInput("chronyd does not use it: it is out of reach, or not authenticated as chronyd is to insist.")
        if not 0 <= self.age <= MAX_AGE:
            raise BadInput(
                f"chronyd has not measured it for {self.age} s." if self.age >= 0 else "It was never measured."
            )
        if self.stratum > MAX_STRATUM:
            raise BadInput("The server is not synchronised itself.")
        if abs(correction) + abs(self.ahead) > MAX_OFF:
            raise BadInput("chronyd's time and the source's are decades apart.")
        distance = self.error + self.age * TOLERANCE
        if not 0 <= distance < MAX_DISTANCE:
            raise BadInput(f"The server may be {distance:.1f} s off itself.")
        return Reading(source, steady - self.age, wall + correction - self.ahead - steady, distance, self.stratum, leap)


def name(source: str) -> tuple[str, str]:
    """Return the kind and the name of a source written ``chrony:NAME``; BadInput if it is none."""
    named = source.removeprefix(PREFIX)
    if named == source or len(named) > MAX_NAME or not _NAME.fullmatch(named):
        raise BadInput(f"{source[:80]!r} is no source of chronyd's; chrony:NAME, as chrony.conf has it, was expected.")
    return PREFIX, named.lower()


def ask_count(number: int) -> bytes:
    """Return the question how many sources there are; ``number``, 32 random bits, comes back in the answer."""
    return _question(_COUNT, number)


def ask_tracking(number: int) -> bytes:
    """Return the question how chronyd's time stands to the machine's clock."""
    return _question(_TRACKING, number)


def ask_source(number: int, place: int) -> bytes:
    """Return the question about the source at one place, from 0."""
    return _question(_SOURCE, number, struct.pack(">i", place))


def ask_name(number: int, source: Measured) -> bytes:
    """Return the question how chrony.conf calls a source."""
    return _question(_NAMED, number, source.place)


def read_count(octets: bytes, number: int) -> int:
    """Read the answer, of at most ``MAX_SOURCES``; BadInput if it is none, here and in the others."""
    return min(int(_answer(_COUNT, octets, number)[0]), MAX_SOURCES)


def read_tracking(octets: bytes, number: int) -> tuple[float, Leap]:
    """Return the seconds to add to the machine's clock to have chronyd's time, and the leap second it expects."""
    _, leap, correction = _answer(_TRACKING, octets, number)
    return _float(correction), _LEAPS.get(leap, "")


def read_source(octets: bytes, number: int) -> Measured:
    """Read what was last measured of one source."""
    place, _, stratum, state, _, _, _, age, original, ahead, error = _answer(_SOURCE, octets, number)
    return Measured(
        place,
        stratum,
        state != _NOT_SELECTABLE,
        -1 if age == _NEVER else age,
        _float(original),
        _float(ahead),
        _float(error),
    )


def read_name(octets: bytes, number: int) -> str:
    """Return how chrony.conf calls a source."""
    (octets_of_name,) = _answer(_NAMED, octets, number)
    return str(octets_of_name.partition(b"\0")[0].decode("ascii", "replace"))


def _question(command: int, number: int, more: bytes = b"") -> bytes:
    """Return a question as long as its answer: chronyd answers no shorter one, so that nobody floods others by it."""
    octets = _HEAD.pack(_VERSION, _ASKED, command, number) + more
    return octets.ljust(_REPLY.size + struct.calcsize(_FORMS[command][1]), b"\0")


def _answer(command: int, octets: bytes, number: int) -> tuple[Any, ...]:
    kind, form = _FORMS[command]
    if len(octets) < _REPLY.size:
        raise BadInput(f"The answer has {len(octets)} octets; {_REPLY.size} were expected at least.")
    version, what, asked, answered, status, repeated = _REPLY.unpack_from(octets)
    if (version, what, asked, repeated) != (_VERSION, _ANSWERED, command, number):
        raise BadInput("The answer is not to our question, or not that of a chronyd that we know.")
    if status:
        raise BadInput(f"chronyd refuses to tell (status {status}).")
    if answered != kind or len(octets) < _REPLY.size + struct.calcsize(form):
        raise BadInput("The answer is of another kind, or too short.")
    return struct.unpack_from(form, octets, _REPLY.size)


def _float(octets: int) -> float:
    """Read chrony's number: 7 bits of exponent and 25 of coefficient, both signed."""
    exponent, coefficient = octets >> 25, octets & (1 << 25) - 1
    exponent -= (exponent & 64) << 1
    coefficient -= (coefficient & 1 << 24) << 1
    return coefficient * 2.0 ** (exponent - 25)
