"""Rows of octets in one column: MessagePack, and squeezed where there are many that are nearly the same.

The blobs of a hundred programs signed in one request repeat the certificates a hundred times. SQLite writes a row anew,
whole, whenever anything in it changes, and each time twice, into its log and then into the file; 205 KB become 17.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from privyseal.errors import Unavailable

SQUEEZED_FROM = 16 << 10
"""Octets below which squeezing costs more than writing: the blobs of one or two programs, or some SignerInfos."""
LARGEST = 64 << 20
"""Octets that are unpacked at most; 128 blobs, each with a timestamp of 8 KiB, have 2 MiB."""
_ZLIB = 0x78
"""The first octet of what zlib writes (RFC 1950 2.2, a window of 32 KiB); no MessagePack array begins with it."""

_decoder = msgspec.msgpack.Decoder(tuple[bytes, ...])


def pack(values: Sequence[bytes]) -> bytes:
    """Return values in one piece, squeezed if that pays."""
    packed = msgspec.msgpack.encode(tuple(values))
    return packed if len(packed) < SQUEEZED_FROM else zlib.compress(packed, 1)


def unpack(stored: bytes) -> tuple[bytes, ...]:
    """Return what was packed, squeezed or not; Unavailable where it was neither."""
    try:
        if stored[:1] == bytes((_ZLIB,)):
            reader = zlib.decompressobj()
            stored = reader.decompress(stored, LARGEST)
            if not reader.eof:
                raise zlib.error("it does not end")
        return _decoder.decode(stored)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Unavailable(
            f"A row of the records holds octets that were not packed here: {error}.", hint="restore a backup"
        ) from None
