"""The compression of a VBA project undone: the texts of its modules, and the stream that says what there is.

Source: Microsoft, "[MS-OVBA]: Office VBA File Format Structure", 2.4.1. A container is a mark and chunks, each of which
gives at most 4096 octets; within a chunk octets stand as they are, or say how far back they stood before. Some
thousand octets can come out of five, so what comes out is counted. What the document does not provide for is refused:
another reader might make something else of it. (Excel itself has written chunks whose last repetition runs over 4096
octets, in a test file of EPPlus; readers differ in whether the rest counts.)
"""

from __future__ import annotations

from typing import Final, NoReturn

from privyseal.errors import MalformedCode

_CHUNK: Final = 4096
"""Octets that a chunk gives at most."""
_MARK: Final = 1


def decompressed(octets: bytes, limit: int, what: str) -> bytes:
    """Return what a container holds; MalformedCode, naming ``what``, where it is none or holds more than ``limit``."""
    if not octets or octets[0] != _MARK:
        _refuse(what, "does not begin as something packed")
    if len(octets) > limit + limit // 8 + _CHUNK:  # nothing grows by more than a bit an octet; chunks can be empty
        _refuse(what, f"has {len(octets)} octets packed, and would have at most {limit} unpacked")
    out, at = bytearray(), 1
    while at < len(octets):
        head = int.from_bytes(octets[at : at + 2], "little")
        end = at + (head & 0xFFF) + 3
        if head >> 12 & 7 != 3 or end > len(octets):
            _refuse(what, f"has no chunk that can be unpacked at {at}")
        if not head & 0x8000:
            if end - at - 2 != _CHUNK:
                _refuse(
                    what, f"has a chunk of {end - at - 2} octets at {at} that is not packed; {_CHUNK} were expected"
                )
            out += octets[at + 2 : end]
        else:
            _unpack(octets, at + 2, end, out, what)
        if len(out) > limit:
            _refuse(what, f"would have more than {limit} octets unpacked, and no more is read")
        at = end
    return bytes(out)


def _unpack(octets: bytes, at: int, end: int, out: bytearray, what: str) -> None:
    """Append what a chunk's tokens from ``at`` to ``end`` give."""
    start = len(out)
    while at < end:
        flags = octets[at]
        at += 1
        if not flags:
            out += octets[at : min(at + 8, end)]
            at += 8
            continue
        for bit in range(8):
            if at >= end:
                break
            if not flags >> bit & 1:
                out.append(octets[at])
                at += 1
                continue
            done = len(out) - start
            bits = max(4, (done - 1).bit_length())  # of the offset: enough for all that was given
            token = int.from_bytes(octets[at : at + 2], "little")
            back, count = (token >> 16 - bits) + 1, (token & 0xFFFF >> bits) + 3
            at += 2
            if at > end or back > done:
                _refuse(what, "has a chunk that repeats what is not there")
            if done + count > _CHUNK:
                _refuse(what, f"has a chunk that gives more than {_CHUNK} octets")
            piece = out[-back:] if back <= count else out[-back : len(out) - back + count]
            out += (piece * (count // back + 1))[:count]
    if len(out) - start > _CHUNK:
        _refuse(what, f"has a chunk that gives more than {_CHUNK} octets")


def _refuse(what: str, why: str) -> NoReturn:
    raise MalformedCode(f"{what} {why}.")
