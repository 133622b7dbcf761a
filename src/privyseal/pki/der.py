"""DER, written fast and read strictly (ITU-T X.690): the two halves that every other module of ``pki`` stands on.

The writer joins octets and knows no schema; the reader cuts octets and never copies an element into another form, so
that what was signed is what is verified. Reading is bounded: definite minimal lengths only, tag numbers below 31, a
limit on the whole and on the number of children, and no recursion, because a caller goes one level down at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NoReturn

import msgspec

from privyseal.errors import BadInput

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, ENUMERATED = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A
"""Tags of universal types (X.690 8), one octet each."""
UTF8_STRING, PRINTABLE_STRING, IA5_STRING, BMP_STRING = 0x0C, 0x13, 0x16, 0x1E
"""Tags of strings."""
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
"""Tags of times."""
SEQUENCE, SET = 0x30, 0x31
"""Tags of constructed types, with the bit that says so."""

MAX_OCTETS = 16 << 20
"""Octets of one DER value; as a frame between our processes. The page hashes of 200 MiB of code need 1 MiB."""
MAX_CHILDREN = 4096
"""Elements directly inside another; the longest honest list we meet, a certificate bag, has tens."""
MAX_INTEGER_OCTETS = 2100
"""An RSA modulus of 16384 bits, the largest OpenSSL uses, has 2049 octets with its sign."""
MAX_OID_OCTETS = 128
"""The longest OID in use has about 30; libksba stops at 128 arcs."""

MAX_TIME_OCTETS = 25
"""A GeneralizedTime with nine digits of fraction."""


# -- writing -----------------------------------------------------------------------------------------------------------
def tlv(tag: int, *parts: bytes) -> bytes:
    """Return one element: the identifier octet ``tag``, the minimal length, the parts joined."""
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    if size < 0x100:
        return bytes((tag, 0x81, size)) + content
    if size < 0x10000:
        return bytes((tag, 0x82, size >> 8, size & 0xFF)) + content
    return head(tag, size) + content


def head(tag: int, size: int) -> bytes:
    """Return what stands before ``size`` value octets: the identifier octet and the minimal length."""
    if size < 0x80:
        return bytes((tag, size))
    count = (size.bit_length() + 7) // 8
    return bytes((tag, 0x80 | count)) + size.to_bytes(count, "big")


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE of complete elements."""
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """Return a SET OF complete elements in DER order (X.690 11.6)."""
    return tlv(SET, *(parts if len(parts) == 1 else sorted(parts)))


def integer(number: int) -> bytes:
    """Return an INTEGER of any sign and size."""
    return tlv(INTEGER, number.to_bytes((number if number >= 0 else ~number).bit_length() // 8 + 1, "big", signed=True))


def enumerated(number: int) -> bytes:
    """Return an ENUMERATED below 128."""
    return bytes((ENUMERATED, 1, number))


@lru_cache(maxsize=1024)
def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER from dotted decimal text such as ``1.2.840.113549.1.7.2``."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    octets = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets.extend(reversed(groups))
    return tlv(OID, bytes(octets))


def octet_string(octets: bytes) -> bytes:
    """Return a primitive OCTET STRING."""
    return tlv(OCTET_STRING, octets)


def bit_string(octets: bytes, unused: int = 0) -> bytes:
    """Return a BIT STRING, of whose last octet the ``unused`` lowest bits do not count."""
    return tlv(BIT_STRING, bytes((unused,)), octets)


def null() -> bytes:
    """Return NULL."""
    return b"\x05\x00"


def boolean(value: bool) -> bytes:
    """Return a BOOLEAN as DER has it: 0xFF is true."""
    return b"\x01\x01\xff" if value else b"\x01\x01\x00"


def explicit(number: int, *parts: bytes) -> bytes:
    """Return complete elements inside ``[number] EXPLICIT``."""
    return tlv(0xA0 | number, *parts)


def implicit(number: int, content: bytes, constructed: bool = True) -> bytes:
    """Return value octets under ``[number] IMPLICIT``; ``constructed`` says whether they are elements themselves."""
    return tlv((0xA0 if constructed else 0x80) | number, content)


def utc_time(moment: datetime) -> bytes:
    """Return a UTCTime with whole seconds, for years 1950 to 2049 (RFC 5280 4.1.2.5.1)."""
    return tlv(UTC_TIME, moment.astimezone(UTC).strftime("%y%m%d%H%M%SZ").encode("ascii"))


def generalized_time(moment: datetime) -> bytes:
    """Return a GeneralizedTime with whole seconds (RFC 5280 4.1.2.5.2)."""
    return tlv(GENERALIZED_TIME, moment.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def utf8_string(text: str) -> bytes:
    """Return a UTF8String."""
    return tlv(UTF8_STRING, text.encode("utf-8"))


def ia5_string(text: str) -> bytes:
    """Return an IA5String; only ASCII fits, anything else is BadInput."""
    if not text.isascii():
        raise BadInput(f"{text!r} holds characters outside ASCII, which an IA5String cannot carry.")
    return tlv(IA5_STRING, text.encode("ascii"))


def bmp_string(text: str) -> bytes:
    """Return a BMPString, UTF-16 big endian; characters beyond the basic plane are BadInput."""
    if any(ord(character) > 0xFFFF for character in text):
        raise BadInput(f"{text!r} holds characters beyond U+FFFF, which a BMPString cannot carry.")
    return tlv(BMP_STRING, text.encode("utf-16-be"))


class Skeleton:
    """An encoding of which all but a few values is always the same: built once, then only filled in.

    It is cut out of what the ordinary writer builds, so nothing is spliced by hand. A hole keeps its size, and so every
    length around it stays true. What else could depend on a value is an order, that of a SET OF; one that is the same
    for the lowest and for the highest values is so for all between. ``form % values`` fills in whatever the sizes.
    """

    __slots__ = ("_sizes", "form")

    def __init__(self, build: Callable[..., bytes], *sizes: int) -> None:
        """Cut what ``build`` gives for values of these sizes, octets, which stand in it in the order of its arguments.

        ValueError where they do not, each once, or where more than the holes depends on them.
        """
        marks = [hashlib.shake_128(b"hole %d" % number).digest(size) for number, size in enumerate(sizes)]
        rest = build(*marks)
        fixed: list[bytes] = []
        for mark in marks:
            before, found, rest = rest.partition(mark) if mark else (b"", b"", rest)
            if found != mark:
                raise ValueError("a value does not stand in its encoding as it is, in the order of the arguments")
            fixed.append(before)
        self._sizes = sizes
        self.form = b"%b".join(part.replace(b"%", b"%%") for part in (*fixed, rest))
        for octet in (b"\x00", b"\xff"):
            values = [octet * size for size in sizes]
            if self.fill(*values) != build(*values):
                raise ValueError("more of an encoding than its holes depends on the values")

    def fill(self, *values: bytes) -> bytes:
        """Return the encoding of these values, the octets that ``build`` would give; ValueError for other sizes."""
        if tuple(map(len, values)) != self._sizes:
            raise ValueError(f"values of {[*map(len, values)]} octets do not fit into holes of {self._sizes}")
        return self.form % values


# -- reading -----------------------------------------------------------------------------------------------------------
class Element(msgspec.Struct, frozen=True, gc=False):
    """One element as it stands in the input: identifier octet, the whole of it, and its value octets."""

    tag: int
    raw: bytes
    content: bytes


def _refuse(offset: int, why: str) -> NoReturn:
    raise BadInput(f"The data is not DER: at octet {offset} {why}.")


def _bounds(buf: bytes, at: int, end: int) -> tuple[int, int]:
    """Return where the value of the element at ``at`` begins and ends, none of it past ``end``."""
    if end - at < 2:
        _refuse(at, "the input ends inside an element's head")
    if buf[at] & 0x1F == 0x1F:
        _refuse(at, "stands a tag number above 30, which nothing we read uses")
    size = buf[at + 1]
    start = at + 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            _refuse(at, "stands an indefinite or oversized length")
        if end - start < count:
            _refuse(at, "the input ends inside an element's length")
        size = int.from_bytes(buf[start : start + count], "big")
        if size < 0x80 or size >> (8 * (count - 1)) == 0:
            _refuse(at, "stands a length in more octets than it needs")
        start += count
    if size > end - start:
        _refuse(at, f"an element announces {size} octets where {end - start} are left")
    return start, start + size


def extent(buf: bytes, at: int = 0) -> tuple[int, int]:
    """Return where the value of the element at ``at`` begins and ends; BadInput where it passes the end of ``buf``."""
    return _bounds(buf, at, len(buf))


def read(buf: bytes, limit: int = MAX_OCTETS) -> Element:
    """Return the one element that ``buf`` is, whole and without anything behind it; BadInput otherwise."""
    if len(buf) > limit:
        raise BadInput(f"The data has {len(buf)} octets; at most {limit} are read.")
    start, stop = _bounds(buf, 0, len(buf))
    if stop != len(buf):
        _refuse(stop, f"{len(buf) - stop} octets follow the end of the value")
    return Element(buf[0], buf, buf[start:])


def children(element: Element, limit: int = MAX_CHILDREN) -> list[Element]:
    """Return the elements inside a constructed element; BadInput if it is primitive or they are more than ``limit``."""
    if not element.tag & 0x20:
        raise BadInput(f"The data is not as expected: an element of tag 0x{element.tag:02x} holds no other elements.")
    return split(element.content, limit)


def split(buf: bytes, limit: int = MAX_CHILDREN) -> list[Element]:
    """Return the elements that ``buf`` is a row of; BadInput when there are more than ``limit``."""
    found: list[Element] = []
    at, end = 0, len(buf)
    while at < end:
        if len(found) == limit:
            raise BadInput(f"An element holds more than {limit} others; that many are read.")
        tag, start = buf[at], at + 2
        # Nine elements in ten are short; a call for each would double the time. Any doubt goes to the careful reader.
        if start > end or tag & 0x1F == 0x1F or (size := buf[at + 1]) >= 0x80 or (stop := start + size) > end:
            start, stop = _bounds(buf, at, end)
        found.append(Element(tag, buf[at:stop], buf[start:stop]))
        at = stop
    return found


class Fields:
    """The fields of a SEQUENCE, taken in order; ``what`` names it in messages."""

    __slots__ = ("_at", "_elements", "_what")

    def __init__(self, element: Element, what: str, tag: int = SEQUENCE) -> None:
        """Open ``element``, whose own tag must be ``tag``; BadInput otherwise."""
        if element.tag != tag:
            raise BadInput(f"{what} should have tag 0x{tag:02x} and has 0x{element.tag:02x}.")
        self._elements = children(element)
        self._at = 0
        self._what = what

    def take(self, tag: int | None = None) -> Element:
        """Return the next field, which must be there and have ``tag`` (None: any); BadInput otherwise."""
        if self._at == len(self._elements):
            raise BadInput(f"{self._what} ends where another field should follow.")
        element = self._elements[self._at]
        if tag is not None and element.tag != tag:
            raise BadInput(f"{self._what} should have a field of tag 0x{tag:02x} where 0x{element.tag:02x} stands.")
        self._at += 1
        return element

    def maybe(self, tag: int) -> Element | None:
        """Return the next field if it has ``tag``, else None and stay."""
        if self._at < len(self._elements) and self._elements[self._at].tag == tag:
            self._at += 1
            return self._elements[self._at - 1]
        return None

    def rest(self) -> bytes | None:
        """Return the one field that is left as raw octets, or None; BadInput if more are left."""
        element = self.take() if self._at < len(self._elements) else None
        self.end()
        return None if element is None else element.raw

    def end(self) -> None:
        """Raise BadInput if a field is left."""
        if self._at != len(self._elements):
            raise BadInput(f"{self._what} holds {len(self._elements) - self._at} fields too many.")


def _value(element: Element, tag: int, name: str) -> bytes:
    if element.tag != tag:
        raise BadInput(f"An {name} should stand where an element of tag 0x{element.tag:02x} does.")
    return element.content


def integer_of(element: Element) -> int:
    """Return the number in an INTEGER, which must be minimal; BadInput otherwise."""
    octets = _value(element, INTEGER, "INTEGER")
    if not octets or len(octets) > MAX_INTEGER_OCTETS:
        raise BadInput(f"An INTEGER has {len(octets)} octets; from 1 to {MAX_INTEGER_OCTETS} are read.")
    if len(octets) > 1 and octets[0] in (0, 0xFF) and octets[0] >> 7 == octets[1] >> 7:
        raise BadInput("An INTEGER is not in its shortest form, as DER asks.")
    return int.from_bytes(octets, "big", signed=True)


def oid_of(element: Element) -> str:
    """Return an OBJECT IDENTIFIER in dotted decimal; BadInput if it is not one in its shortest form."""
    return _dotted(_value(element, OID, "OBJECT IDENTIFIER"))


@lru_cache(maxsize=1024)
def _dotted(octets: bytes) -> str:
    if not octets or len(octets) > MAX_OID_OCTETS or octets[-1] & 0x80:
        raise BadInput("An OBJECT IDENTIFIER is empty, too long or cut short.")
    arcs: list[int] = []
    arc, fresh = 0, True
    for octet in octets:
        if fresh and octet == 0x80:
            raise BadInput("An OBJECT IDENTIFIER is not in its shortest form, as DER asks.")
        arc = arc << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(number) for number in (first, arcs[0] - 40 * first, *arcs[1:]))


def boolean_of(element: Element) -> bool:
    """Return the truth in a BOOLEAN, 0x00 or 0xFF; BadInput otherwise."""
    octets = _value(element, BOOLEAN, "BOOLEAN")
    if octets not in (b"\x00", b"\xff"):
        raise BadInput("A BOOLEAN is neither 0x00 nor 0xFF, as DER asks.")
    return octets == b"\xff"


def octets_of(element: Element) -> bytes:
    """Return what a primitive OCTET STRING holds; BadInput if it is something else."""
    return _value(element, OCTET_STRING, "OCTET STRING")


def bits_of(element: Element) -> bytes:
    """Return the octets of a BIT STRING, its unused bits still zero in the last; BadInput if they are not."""
    octets = _value(element, BIT_STRING, "BIT STRING")
    if not octets or octets[0] > 7 or (octets[0] and (len(octets) == 1 or octets[-1] & ((1 << octets[0]) - 1))):
        raise BadInput("A BIT STRING miscounts its unused bits.")
    return octets[1:]


def time_of(element: Element) -> datetime:
    """Return the moment in a UTCTime or GeneralizedTime, in UTC.

    Seconds must be present and the zone ``Z``; a GeneralizedTime may carry a fraction without trailing zeros (RFC 3161
    2.4.2), which is cut to microseconds. BadInput otherwise, also for a date that no calendar has.
    """
    if element.tag not in (UTC_TIME, GENERALIZED_TIME):
        raise BadInput(f"A time should stand where an element of tag 0x{element.tag:02x} does.")
    if len(element.content) > MAX_TIME_OCTETS:
        raise BadInput(f"A time has {len(element.content)} octets; at most {MAX_TIME_OCTETS} are read.")
    return _moment(element.tag, element.content)


@lru_cache(maxsize=256)
def _moment(tag: int, octets: bytes) -> datetime:
    text = octets.decode("latin-1")
    year = 2 if tag == UTC_TIME else 4
    whole, dot, fraction = text[:-1].partition(".")
    plain = whole.isascii() and whole.isdigit() and len(whole) == year + 10 and text.endswith("Z")
    if dot:
        fits = tag == GENERALIZED_TIME and fraction.isascii() and fraction.isdigit() and fraction[-1] != "0"
        plain = plain and fits and len(fraction) <= 9
    if not plain:
        raise BadInput(f"{octets[:32]!r} is not a time as DER writes it.")
    if year == 2:
        whole = ("19" if whole >= "50" else "20") + whole
    numbers = [int(whole[0:4]), *(int(whole[at : at + 2]) for at in range(4, 14, 2))]
    try:
        year, month, day, hour, minute, second = numbers
        return datetime(year, month, day, hour, minute, second, int(fraction.ljust(6, "0")[:6] or 0), UTC)
    except ValueError:
        raise BadInput(f"{octets[:32]!r} is a time that no calendar has.") from None
