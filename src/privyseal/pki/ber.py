"""Foreign BER turned into DER, for reading only: indefinite and long-winded lengths, octet strings in pieces (X.690 8).

Java's signers and ``openssl cms -stream`` write such CMS. One pass, each octet copied once a level, everything counted;
asn1crypto's parser was tried first and takes quadratic time for hostile tags and lengths.
"""

from __future__ import annotations

from typing import NoReturn

from privyseal.errors import BadInput
from privyseal.pki import der

MAX_BER_OCTETS = 4 << 20
"""Octets of BER we turn into DER; the largest signature of this kind we met, a driver catalog's, has 1.5 MiB."""
MAX_BER_ELEMENTS = 50_000
"""Elements in all; a signature with a timestamp token and six certificates has about 1,500."""
MAX_BER_DEPTH = 32
"""Levels; a CMS signature with a timestamp token in it has 20."""

_STRING_IN_PIECES = 0x20 | der.OCTET_STRING


def to_der(buf: bytes) -> bytes:
    """Return the same value with definite, minimal lengths and octet strings in one piece; BadInput if it is not BER.

    Other primitive values and the order of sets stay as they are, so what was DER inside comes out octet for octet the
    same.
    """
    if len(buf) > MAX_BER_OCTETS:
        raise BadInput(f"The BER data has {len(buf)} octets; at most {MAX_BER_OCTETS} are read.")
    conversion = _Conversion(buf)
    converted, stop = conversion.element(0, len(buf), MAX_BER_DEPTH)
    if stop != len(buf):
        _refuse(stop, f"{len(buf) - stop} octets follow the end of the value")
    return converted


def _refuse(offset: int, why: str) -> NoReturn:
    raise BadInput(f"The data is neither DER nor BER: at octet {offset} {why}.")


class _Conversion:
    """One walk over one input; it owns the count of elements still allowed."""

    def __init__(self, buf: bytes) -> None:
        self.buf = buf
        self.left = MAX_BER_ELEMENTS

    def element(self, at: int, end: int, depth: int) -> tuple[bytes, int]:
        """Return the element at ``at`` as DER and where it ends."""
        self.left -= 1
        if self.left < 0 or depth == 0:
            raise BadInput(f"The BER data has more than {MAX_BER_ELEMENTS} elements or {MAX_BER_DEPTH} levels.")
        tag, start, stop = self._head(at, end)
        if not tag & 0x20:
            if stop is None:
                _refuse(at, "a primitive element has no length")
            return der.tlv(tag, self.buf[start:stop]), stop
        pieces: list[bytes] = []
        position = start
        limit = end if stop is None else stop
        while position != stop:
            if stop is None and self.buf[position : position + 2] == b"\0\0" and position + 2 <= end:
                return self._close(tag, pieces), position + 2
            piece, position = self.element(position, limit, depth - 1)
            pieces.append(piece)
        return self._close(tag, pieces), position

    @staticmethod
    def _close(tag: int, pieces: list[bytes]) -> bytes:
        if tag != _STRING_IN_PIECES:
            return der.tlv(tag, *pieces)
        return der.octet_string(b"".join(der.octets_of(der.read(piece)) for piece in pieces))

    def _head(self, at: int, end: int) -> tuple[int, int, int | None]:
        """Return the tag, where the value starts and where it ends; None: at the end-of-contents octets."""
        if end - at < 2:
            _refuse(at, "the input ends inside an element's head")
        tag, size, start = self.buf[at], self.buf[at + 1], at + 2
        if tag & 0x1F == 0x1F or tag == 0:
            _refuse(at, "stands a tag that nothing we read uses")
        if size == 0x80:
            return tag, start, None
        if size > 0x80:
            count = size & 0x7F
            if count > 8 or end - start < count:
                _refuse(at, "stands an oversized length")
            size = int.from_bytes(self.buf[start : start + count], "big")
            start += count
        if size > end - start:
            _refuse(at, f"an element announces {size} octets where {end - start} are left")
        return tag, start, start + size
