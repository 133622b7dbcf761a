"""Apps of Business Central: ``.app`` files that begin with NAVX.

A header of 40 octets says how long the content is; the signature stands behind it, between two marks. What is hashed is
header and content. Microsoft documents none of this; jsign found it out (``NAVXFile``, held against Business Central).

There is no verifier on Linux but jsign, which was not run here: the tests write its rules down again.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NoReturn

from privyseal.errors import MalformedCode
from privyseal.formats import authenticode
from privyseal.formats.authenticode_behind import MAX_SIGNATURE, BehindLayout, SignedBehind
from privyseal.formats.protocol import Operation, Source

NAME: Final = "navx"
MAX_CONTENT: Final = 0x7FFFFFFF - 40
"""Octets of content: the signature says by 32 bits where it begins."""

_HEADER = struct.Struct("<4s24sQ4s")  # NAVX, its version and identifier, octets of content, NAVX
_MAGIC, _MARK = b"NAVX", b"NXSB"


class NavxApp(SignedBehind):
    """The format ``navx``."""

    name = NAME
    title = "Business Central app (NAVX)"
    cannot: Mapping[Operation, str] = {
        "append": "A Business Central app carries one signature, as far as is known: replace it instead."
    }
    noun = "Business Central app"
    subject = authenticode.SUBJECTS[NAME]
    sizes = range(_HEADER.size, _HEADER.size + MAX_CONTENT + 1)
    around = (4, 8)  # a mark before it; where that begins, and the mark again, behind it

    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for the two marks in the header; the name adds 5."""
        return (90 + 5 * filename.lower().endswith(".app")) * (head[:4] == _MAGIC == head[36:40])

    def inspect(self, code: Source) -> BehindLayout:
        """Read the header and what stands around the signature; MalformedCode with one sentence where it is wrong."""
        if code.size < _HEADER.size:
            _refuse(code, f"it has {code.size} octets, and its header alone has {_HEADER.size}")
        magic, _, size, again = _HEADER.unpack(code.pread(0, _HEADER.size))
        end = _HEADER.size + size
        if magic != _MAGIC or again != _MAGIC or size > MAX_CONTENT or end > code.size:
            _refuse(code, f"its header states {size} octets of content, and {code.size - _HEADER.size} follow it")
        rest, least = code.size - end, sum(self.around)
        if rest and not least < rest <= MAX_SIGNATURE + least:
            _refuse(code, f"{rest} octets follow its content, which are no signature")
        if rest and (code.pread(end, 4), code.pread(code.size - 8, 8)) != (_MARK, struct.pack("<I", end) + _MARK):
            _refuse(code, f"{rest} octets follow its content that are not marked as a signature")
        return BehindLayout(format=NAME, size=code.size, end=end, holds=f"{size} octets of content")

    def enveloped(self, end: int, blob: bytes) -> bytes:
        """Return a signature between the two marks, with where the first stands before the second."""
        return _MARK + blob + struct.pack("<I", end) + _MARK


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no Business Central app that can be signed: {why}.")
