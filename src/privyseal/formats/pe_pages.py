"""Page hashes of a PE file: a digest of each page as Windows loads it, for drivers and protected processes.

They stand in the signed content, as the ``file`` of its SpcPeImageData: a moniker of the class CLASS whose data is a
SET of one attribute, the table under SpcPeImagePageHashes1 (SHA-1) or 2 (SHA-256). The table has a row for the headers,
one for each page of each section in the order of the file, and an end: offset, little-endian, then digest. A page is as
long as SectionAlignment and is filled up with zeros; the headers' row leaves out what the image hash leaves out; the
end's digest is zero. Microsoft names the attributes only ("Windows Authenticode Portable Executable Signature Format"
2008, "Page hashes"); the rest is what signtool /ph writes and osslsigncode -ph has after it.

The signer needs the whole table, 36 octets for each 4 KiB: it travels beside the description, which names its SHA-256.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, Literal, get_args

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode
from privyseal.formats.authenticode import Subject
from privyseal.formats.pe_layout import PeLayout
from privyseal.formats.protocol import MAX_ENCLOSED, Source
from privyseal.pki import der

PageAlgorithm = Literal["sha1", "sha256"]
"""Digests that page hashes are by; Windows knows no others."""
ATTRIBUTES: Final[dict[PageAlgorithm, str]] = {
    "sha1": "1.3.6.1.4.1.311.2.3.1",
    "sha256": "1.3.6.1.4.1.311.2.3.2",
}
"""SpcPeImagePageHashes1 and 2: the attribute for each digest."""
SIZES: Final[dict[PageAlgorithm, int]] = {"sha1": 20, "sha256": 32}
"""Octets of a digest (FIPS 180-4)."""
CLASS = bytes.fromhex("a6b586d5 b4a12466 ae05a217 da8e60d6")
"""Class of the moniker, in the order of its octets."""

_FLAGS = (der.bit_string(b""), der.bit_string(b"\x80", 7))
"""Of the SpcPeImageData: none, as signtool has it, or includeResources, as osslsigncode has it."""
PAGE = 4096
"""Octets of a page on every machine that Windows runs on now. Where pages are another size, or sections leave gaps, no
two tools agree on what is hashed, and nobody could tell which one Windows is with: such files get no page hashes."""
MAX_TABLE = MAX_ENCLOSED - (256 << 10)
"""Octets: it has to fit into a certificate table beside certificates and timestamp."""


def refusal(layout: PeLayout, algorithm: PageAlgorithm) -> str | None:
    """Say why this file gets no page hashes, or None."""
    if layout.alignment != PAGE:
        return f"its sections are aligned to {layout.alignment} octets; pages have {PAGE}"
    if layout.headers > PAGE:
        return f"its headers have {layout.headers} octets, more than a page"
    if not layout.spans or not layout.in_order:
        return "its sections do not stand in the file as in their table" if layout.spans else "it has no sections"
    if layout.gap is not None:  # osslsigncode hashes the sections, signify what is up to the next
        return f"it has {layout.gap[1] - layout.gap[0]} octets at {layout.gap[0]} that belong to no section"
    rows = 2 + sum(-(-(end - start) // PAGE) for start, end in layout.spans)
    if (size := rows * (4 + SIZES[algorithm])) > MAX_TABLE:
        return f"the table would have {size} octets; it may have {MAX_TABLE}"
    return None


def require(code: Source, layout: PeLayout, algorithm: PageAlgorithm) -> None:
    """Raise MalformedCode where this file gets no page hashes."""
    if (why := refusal(layout, algorithm)) is not None:
        raise MalformedCode(f"{code.filename} gets no page hashes: {why}.", hint="sign it without")


def _pages(layout: PeLayout) -> Iterator[tuple[int, int]]:
    yield 0, layout.headers
    for start, end in layout.spans:
        for at in range(start, end, PAGE):
            yield at, min(at + PAGE, end)


class Table:
    """A sink that hashes pages; it is fed what a signature covers, from the beginning to the end."""

    def __init__(self, layout: PeLayout, algorithm: PageAlgorithm) -> None:
        """Begin a table for a file that :func:`refusal` says nothing against."""
        self.algorithm = algorithm
        self._pages = _pages(layout)
        self._start, self._end = next(self._pages)
        self._hash = hashlib.new(algorithm)
        self._at = 0
        self._skips = {layout.checksum_at: 4, layout.directory_at: 8}
        self._rows = bytearray()
        self._last = struct.pack("<I", layout.spans[-1][1]) + bytes(SIZES[algorithm])

    def __call__(self, octets: memoryview) -> None:
        """Take the next octets."""
        base, end = self._at, self._at + len(octets)
        while self._start < end:
            first, stop = max(self._start, self._at), min(self._end, end)
            self._hash.update(octets[first - base : stop - base])
            self._at = stop
            if stop < self._end:
                break
            self._hash.update(bytes(PAGE - (self._end - self._start)))
            self._rows += struct.pack("<I", self._start) + self._hash.digest()
            self._hash = hashlib.new(self.algorithm)
            self._start, self._end = next(self._pages, (1 << 64, 1 << 64))
        self._at = end + self._skips.get(end, 0)

    def done(self) -> bytes:
        """Return the table."""
        return bytes(self._rows) + self._last


def subject(algorithm: PageAlgorithm, table: bytes) -> Subject:
    """Return what a signature with page hashes says it is about."""
    return Subject(authenticode.ID_PE_IMAGE_DATA, der.sequence(_FLAGS[0], _file(algorithm, table)))


def _file(algorithm: PageAlgorithm, table: bytes) -> bytes:
    attribute = der.sequence(der.oid(ATTRIBUTES[algorithm]), der.set_of(der.octet_string(table)))
    return der.explicit(0, der.implicit(1, der.octet_string(CLASS) + der.octet_string(der.set_of(attribute))))


def found_in(found: Subject) -> tuple[PageAlgorithm, bytes] | None:
    """Return the page hashes that a signature states; None where it states none, or in a way nobody writes."""
    # What leads to the table has one encoding, so the table is what is left, and is right if all of it comes back.
    table = _last_string(found.value)
    for algorithm in get_args(PageAlgorithm):
        if table is not None and found.value in (der.sequence(one, _file(algorithm, table)) for one in _FLAGS):
            return algorithm, table
    return None


def _last_string(value: bytes) -> bytes | None:
    """Return what stands innermost at the end of a DER value."""
    try:
        elements = der.split(value)
        while elements:
            last = elements[-1]
            if last.tag == der.OCTET_STRING and last.content[:1] != b"\x31":
                return last.content
            elements = der.split(last.content)
    except BadInput:
        pass
    return None


def check(algorithm: PageAlgorithm, table: bytes, size: int) -> None:
    """Refuse with BadInput what is no table for a file of which a signature covers ``size`` octets."""
    row = 4 + SIZES[algorithm]
    if not 3 * row <= len(table) <= MAX_TABLE or len(table) % row:
        raise BadInput(f"No table of page hashes by {algorithm} has {len(table)} octets.")
    offsets = [offset for (offset,) in struct.iter_unpack(f"<I{SIZES[algorithm]}x", table)]
    if offsets[0] != 0 or any(one >= other for one, other in pairwise(offsets)):
        raise BadInput("The offsets of the page hashes do not rise from zero.")
    if offsets[-1] > size + 12 or any(table[4 - row :]):
        raise BadInput("The page hashes do not end as such a table does.")
