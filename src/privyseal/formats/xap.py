"""Silverlight applications: ``.xap``, of browsers and of the first phones with Windows.

A XAP is a ZIP archive; the signature stands behind it, between a header and a trailer that each say how long it is.
What is hashed is the archive, octet for octet. Microsoft documents none of this; relic found it out (``lib/signxap``).

There is no verifier on Linux but relic, which was not run here: the tests write its rules down again.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NoReturn

from privyseal.errors import MalformedCode
from privyseal.formats import authenticode, zipdir
from privyseal.formats.authenticode_behind import MAX_SIGNATURE, BehindLayout, SignedBehind
from privyseal.formats.protocol import Operation, Source

NAME: Final = "xap"
MANIFEST: Final = b"AppManifest.xaml"
"""The entry by which an application of Silverlight is told."""

_HEADER = struct.Struct("<HHI")  # 1, 1, octets of the signature
_TRAILER = struct.Struct("<4sHI")  # XapS, 1, octets of header and signature
_MAGIC = b"XapS"
_MANIFESTS = (MANIFEST, b"WMAppManifest.xml")
"""Of Silverlight, and of Windows Phone besides."""


class SilverlightApplication(SignedBehind):
    """The format ``xap``."""

    name = NAME
    title = "Silverlight application (XAP)"
    cannot: Mapping[Operation, str] = {
        "append": "A Silverlight application carries one signature, as far as is known: replace it instead."
    }
    noun = "Silverlight application"
    subject = authenticode.SUBJECTS[NAME]
    sizes = range(zipdir.LAST.size + 1, 1 << 63)  # as many as a file can have
    around = (_HEADER.size, _TRAILER.size)

    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 85 for an archive with the trailer, or with a manifest of its own; the name adds 5."""
        if not head.startswith(zipdir.LOCAL):
            return 0
        named = filename.lower().endswith(".xap")
        marked = tail[-_TRAILER.size :].startswith(_MAGIC) or any(one in head or one in tail for one in _MANIFESTS)
        return 85 + 5 * named if marked else 20 * named

    def inspect(self, code: Source) -> BehindLayout:
        """Read what stands around the signature, and the archive; MalformedCode with one sentence where it is wrong."""
        end = _end(code)
        entries = zipdir.read(code, 0, end).entries
        if not any(entry.name in _MANIFESTS for entry in entries):
            _refuse(code, f"it has no {MANIFEST.decode()}")
        return BehindLayout(format=NAME, size=code.size, end=end, holds=f"{len(entries)} entries")

    def enveloped(self, end: int, blob: bytes) -> bytes:
        """Return a signature between header and trailer, which both say how long it is."""
        header, trailer = _HEADER.pack(1, 1, len(blob)), _TRAILER.pack(_MAGIC, 1, _HEADER.size + len(blob))
        return header + blob + trailer


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no Silverlight application that can be signed: {why}.")


def _end(code: Source) -> int:
    """Return where the archive ends; what follows it has to be a signature, whole, or nothing."""
    least = _HEADER.size + _TRAILER.size
    if code.size < least:
        return code.size
    magic, one, size = _TRAILER.unpack(code.pread(code.size - _TRAILER.size, _TRAILER.size))
    if magic != _MAGIC:
        return code.size
    end = code.size - _TRAILER.size - int(size)
    if one != 1 or not _HEADER.size < size <= MAX_SIGNATURE + _HEADER.size or end < 0:
        _refuse(code, f"its trailer states a signature of {size} octets, which no application has")
    if _HEADER.unpack(code.pread(end, _HEADER.size)) != (1, 1, size - _HEADER.size):
        _refuse(code, "its trailer and the header before its signature contradict each other")
    return end
