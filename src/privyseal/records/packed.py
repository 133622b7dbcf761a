"""Octets of many pieces of code in one column: MessagePack, and deflated where that is worth it.

The hundred signature blobs of one request hold the same certificates a hundred times. As they are they would be 180 KB,
which each later change of the row writes anew; deflated they are 21, for 0.4 ms.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from privyseal.errors import Unavailable
from privyseal.terms.signatures import TimestampToken

T = TypeVar("T")

WORTH_IT: Final = 16 * 1024
"""Octets from which on they are deflated; one blob has about 2 KiB, and nothing in it repeats."""
MOST: Final = 64 << 20
"""Octets that are inflated: 128 blobs, each with a chain of 16 certificates and a timestamp, have a tenth of that."""
_DEFLATED: Final = b"\x78"
"""What zlib's format begins with (RFC 1950 2.2, a window of 32 KiB); an array in MessagePack never does."""

_octets: Final = msgspec.msgpack.Decoder(tuple[bytes, ...])
_tokens: Final = msgspec.msgpack.Decoder(tuple[TimestampToken, ...])


def pack(values: Sequence[bytes] | Sequence[TimestampToken]) -> bytes:
    """Return the values, in their order, as one column holds them."""
    packed = msgspec.msgpack.encode(tuple(values))
    return zlib.compress(packed, 1) if len(packed) > WORTH_IT else packed


def octets(packed: bytes | None) -> tuple[bytes, ...]:
    """Return what :func:`pack` was given, nothing where nothing stands yet; Unavailable for what it never wrote."""
    return () if packed is None else _decoded(_octets, packed)


def tokens(packed: bytes | None) -> tuple[TimestampToken, ...]:
    """Return timestamp tokens, as :func:`octets`."""
    return () if packed is None else _decoded(_tokens, packed)


def _decoded(decoder: msgspec.msgpack.Decoder[T], packed: bytes) -> T:
    try:
        return decoder.decode(_inflated(packed) if packed.startswith(_DEFLATED) else packed)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Unavailable(f"A column of the records cannot be read: {error}.", hint="restore the records") from None


def _inflated(packed: bytes) -> bytes:
    inflating = zlib.decompressobj()
    whole = inflating.decompress(packed, MOST)
    if not inflating.eof:
        raise Unavailable("A column of the records is cut short, or larger than can be.", hint="restore the records")
    return whole
