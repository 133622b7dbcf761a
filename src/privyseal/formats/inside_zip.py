"""ZIP archives as containers: their entries as members, and the archive with some of them replaced.

Source: PKWARE, "APPNOTE.TXT" 6.3.10. An entry that stays keeps every octet, its extra fields included; one that is
replaced keeps its name, time, attributes and comment, and is deflated where it was before. Central directory and ends
are written anew as ``zipdir_writing.py`` writes them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from privyseal.errors import MalformedCode
from privyseal.formats import zipdir, zipdir_writing
from privyseal.formats.protocol import Layout, Source
from privyseal.formats.zipdir import Archive, Entry
from privyseal.formats.zipdir_writing import Placed

MAX_MEMBER = 4 << 30
"""Octets of one entry; what is larger is no code that can be signed (PE, CAB and MSI in them have 32-bit offsets)."""
PIECE = 1 << 20
"""Octets copied or packed at a time."""
_LEVEL = 9
"""Of zlib: packages are made once and fetched often."""
_KEPT_FLAGS = 0x800
"""The names are in UTF-8 (APPNOTE 4.4.4, bit 11)."""


class ZipContainer:
    """A ZIP archive, and packages that are one."""

    def __init__(self, code: Source, layout: Layout | None = None) -> None:
        """Read the directory, unless a layout has it; MalformedCode where it contradicts itself."""
        self.code = code
        self.spend: Callable[[int], object] = int
        known = getattr(layout, "archive", None)
        self.archive: Archive = known if isinstance(known, Archive) else zipdir.read(code)
        self.members: Sequence[Entry] = [
            one.entry for one in zipdir_writing.in_order(self.archive) if not one.entry.name.endswith(b"/")
        ]

    def octets(self, number: int) -> Iterator[bytes]:
        """Yield the content of an entry, unpacked, held against its size and checksum."""
        for octets in zipdir.unpacked(self.code, self.members[number], MAX_MEMBER):
            self.spend(len(octets))
            yield octets

    def rebuild(self, replaced: Mapping[int, Source], out: IO[bytes]) -> None:
        """Write the archive with these entries replaced."""
        by_name = {self.members[number].name: code for number, code in replaced.items()}
        placed = [
            packed(one.entry, by_name[one.entry.name], out)[0] if one.entry.name in by_name else self.copied(one, out)
            for one in zipdir_writing.in_order(self.archive)
        ]
        out.write(zipdir_writing.directory(self.archive, placed))

    def unchanged(self, number: int, other: ZipContainer) -> bool:
        """Tell whether an entry is the same in another archive, by what its directory says."""
        mine, theirs = self.members[number], other.members[number]
        return (mine.name, mine.crc, mine.size, mine.packed) == (theirs.name, theirs.crc, theirs.size, theirs.packed)

    def copied(self, one: Placed, out: IO[bytes]) -> Placed:
        """Write an entry as it stands."""
        at = one.entry.at
        while at < one.entry.end:
            octets = self.code.pread(at, min(PIECE, one.entry.end - at))
            out.write(octets)
            at += len(octets)
        return one


def packed(entry: Entry, code: Source, out: IO[bytes], block: int | None = None) -> tuple[Placed, tuple[int, ...]]:
    """Write an entry with new content, packed as it was before; return it with its new record, and its blocks.

    With ``block``, every so many octets deflate begins anew, so that each of these blocks can be unpacked by itself;
    how long each became is the second value, empty where the entry is not packed. MalformedCode where it would need
    ZIP64 in its header.
    """
    if code.size >= zipdir.FULL32:
        raise MalformedCode(f"{entry.shown} would have {code.size} octets, and only ZIP64 holds as many.")
    at = out.tell()
    flags = entry.flags & _KEPT_FLAGS
    head = zipdir.HEADER.pack(zipdir.LOCAL, 20, flags, entry.method, entry.time, 0, 0, 0, len(entry.name), 0)
    out.write(head + entry.name)
    crc, size, blocks = _content(entry, code, out, block)
    end = out.tell()
    if size >= zipdir.FULL32:
        raise MalformedCode(f"{entry.shown} would have {size} octets packed, and only ZIP64 holds as many.")
    out.seek(at + 14)
    out.write(struct.pack("<III", crc, size, code.size))
    out.seek(end)
    record = _record(entry, flags, crc, size, code.size)
    written = Entry(
        name=entry.name, packed=size, size=code.size,
        at=0, data_at=len(head) + len(entry.name), end=end - at, record=record,
    )  # fmt: skip
    return Placed(written), blocks


def _content(entry: Entry, code: Source, out: IO[bytes], block: int | None) -> tuple[int, int, tuple[int, ...]]:
    """Write the content; return its checksum, how long it became, and how long each of its blocks."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15) if entry.method == zipdir.DEFLATED else None
    crc, size, at = 0, 0, 0
    blocks: list[int] = []
    while at < code.size:
        octets = code.pread(at, min(block or PIECE, code.size - at))
        at += len(octets)
        crc = zlib.crc32(octets, crc)
        if packer is not None:
            octets = packer.compress(octets) + (packer.flush(zlib.Z_FULL_FLUSH) if block else b"")
        out.write(octets)
        blocks.append(len(octets))
        size += len(octets)
    if packer is not None:
        octets = packer.flush()
        out.write(octets)
        size += len(octets)
    return crc, size, tuple(blocks) if block and packer is not None else ()


def _record(entry: Entry, flags: int, crc: int, size: int, plain: int) -> bytes:
    """Return the directory's record of new content: its extra fields go, as they speak of the old."""
    fields = list(zipdir.RECORD.unpack_from(entry.record))
    comment = entry.record[zipdir.RECORD.size + fields[9] + fields[10] :]
    fields[2], fields[3], fields[6], fields[7], fields[8] = 20, flags, crc, size, plain
    fields[10], fields[12], fields[15] = 0, 0, 0
    return zipdir.RECORD.pack(*fields) + entry.name + comment
