"""Octets of many pieces of code in one column: MessagePack, and smaller where that is worth it.

The hundred signature blobs of one request hold the same certificates a hundred times. As they are they would be 180 KB
or more, which each later change of the row writes anew. So what blobs of one length have in common stands once, and of
each only the rest; where that is not worth it they are deflated. Of a hundred blobs of 3.7 KB the former makes 26 KB in
0.2 ms, the latter 20 in 0.8.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from privyseal.errors import Unavailable
from privyseal.terms.signatures import TimestampToken

T = TypeVar("T")

WORTH_IT: Final = 16 * 1024
"""Octets from which on they are made smaller; one blob has about 2 KiB, and nothing in it repeats."""
MOST: Final = 64 << 20
"""Octets that are inflated: 128 blobs, each with a chain of 16 certificates and a timestamp, have a tenth of that."""
_DEFLATED: Final = b"\x78"
"""What zlib's format begins with (RFC 1950 2.2, a window of 32 KiB); an array in MessagePack never does."""
_ALIKE: Final = b"\x00"
"""What stands before groups of alike values; neither of the others begins with it."""
_SAME: Final = re.compile(rb"\0{24,}")
"""Where two values are the same for so long, it is for a reason."""
_BY_CHANCE: Final = 4
"""Octets at either end of such a place that may be the same in two values and not in the others."""

_UNFIT: Final = "its parts do not fit together"


class _Group(msgspec.Struct, frozen=True, array_like=True):
    """Values of one length that are alike."""

    places: list[int]
    """Where each of them stands among all values."""
    common: list[tuple[int, bytes]]
    """What all of them have: where it begins, and the octets."""
    rests: list[bytes]
    """Of each the other octets, in their order."""


_octets: Final = msgspec.msgpack.Decoder(tuple[bytes, ...])
_tokens: Final = msgspec.msgpack.Decoder(tuple[TimestampToken, ...])
_groups: Final = msgspec.msgpack.Decoder(list[_Group])


def pack(values: Sequence[bytes] | Sequence[TimestampToken]) -> bytes:
    """Return the values, in their order, as one column holds them."""
    packed = msgspec.msgpack.encode(tuple(values))
    if len(packed) <= WORTH_IT:
        return packed
    alike = msgspec.msgpack.encode(_grouped([each for each in values if isinstance(each, bytes)]))
    return _ALIKE + alike if 2 < 2 * len(alike) < len(packed) else zlib.compress(packed, 1)


def octets(packed: bytes | None) -> tuple[bytes, ...]:
    """Return what :func:`pack` was given, nothing where nothing stands yet; Unavailable for what it never wrote."""
    if packed is None:
        return ()
    if not packed.startswith(_ALIKE):
        return _decoded(_octets, packed)
    groups = _decoded(_groups, memoryview(packed)[len(_ALIKE) :])
    places = [place for group in groups for place in group.places]
    size = sum(len(group.rests) * sum(len(each) for _, each in group.common) for group in groups)
    if sorted(places) != list(range(len(places))) or size > MOST:
        raise _unreadable(_UNFIT)
    found = dict(zip(places, [value for group in groups for value in _whole(group)], strict=True))
    return tuple([found[place] for place in range(len(places))])


def tokens(packed: bytes | None) -> tuple[TimestampToken, ...]:
    """Return timestamp tokens, as :func:`octets`."""
    return () if packed is None else _decoded(_tokens, packed)


def _grouped(values: Sequence[bytes]) -> list[_Group]:
    """Return the values by their lengths; those that have nothing in common as they are."""
    by_length: dict[int, list[int]] = {}
    for place, value in enumerate(values):
        by_length.setdefault(len(value), []).append(place)
    return [_group(places, [values[place] for place in places]) for places in by_length.values()]


def _group(places: list[int], values: Sequence[bytes]) -> _Group:
    spans = _alike(values[0], values[1]) if len(values) > 1 else []
    for span in spans:
        if [each[span] for each in values].count(values[0][span]) != len(values):
            spans = []
            break
    holes = [slice(0, None)]
    if spans:
        starts = [0, *(span.stop for span in spans)]
        holes = [slice(start, end) for start, end in zip(starts, [*(span.start for span in spans), None], strict=True)]
    return _Group(
        places,
        [(span.start, values[0][span]) for span in spans],
        [b"".join([each[hole] for hole in holes]) for each in values],
    )


def _alike(one: bytes, other: bytes) -> list[slice]:
    """Return where two values of one length are the same."""
    differing = (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
    return [slice(each.start() + _BY_CHANCE, each.end() - _BY_CHANCE) for each in _SAME.finditer(differing)]


def _whole(group: _Group) -> Iterator[bytes]:
    """Yield the values of a group; Unavailable where its parts do not fit together."""
    before = 0  # octets of the rest before each common part
    cuts: list[tuple[slice, bytes]] = []
    begun = 0
    for start, octets in group.common:
        cuts.append((slice(before, before + start - begun), octets))
        before, begun = before + start - begun, start + len(octets)
    if len(group.places) != len(group.rests) or any(cut.stop < cut.start for cut, _ in cuts):
        raise _unreadable(_UNFIT)
    for rest in group.rests:
        if len(rest) < before:
            raise _unreadable(_UNFIT)
        yield b"".join([*(part for cut, octets in cuts for part in (rest[cut], octets)), rest[before:]])


def _decoded(decoder: msgspec.msgpack.Decoder[T], packed: bytes | memoryview) -> T:
    try:
        return decoder.decode(_inflated(packed) if packed[:1] == _DEFLATED else packed)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise _unreadable(str(error)) from None


def _inflated(packed: bytes | memoryview) -> bytes:
    inflating = zlib.decompressobj()
    whole = inflating.decompress(packed, MOST)
    if not inflating.eof:
        raise Unavailable("A column of the records is cut short, or larger than can be.", hint="restore the records")
    return whole


def _unreadable(why: str) -> Unavailable:
    return Unavailable(f"A column of the records cannot be read: {why}.", hint="restore the records")
