"""What a ZIP archive becomes with entries added, replaced or taken out: entries that stay are copied as they stand.

Source: PKWARE, "APPNOTE.TXT" 6.3.10. Central directory and end records are written anew, in one of two ways: each
record as it stands but for where its entry begins, or as signtool writes those of an app package.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import zipdir
from privyseal.formats.protocol import Copy, Insert
from privyseal.formats.zipdir import FULL16, FULL32, Archive, Entry

_VERSIONS = (20, 45)
"""Of the specification by which an entry is made: 2.0 as .NET writes, 4.5 as signtool does."""
_SYSTEMS = (0, 3)
"""MS-DOS and Unix (APPNOTE 4.4.2)."""


_FULL = FULL32.to_bytes(4, "little")


class Placed(msgspec.Struct, frozen=True, gc=False):
    """An entry of an archive to be written: copied from where it stands, or with these octets, header included."""

    entry: Entry
    octets: bytes | None = None


def new(name: bytes, octets: bytes, method: int, time: int) -> Placed:
    """Return an entry to be written, as signtool writes those it adds: made by 4.5, needing 2.0, sizes in its header.

    What is "deflated" is put into deflate's blocks as it is (RFC 1951 3.2.4), so that the same octets come of the same
    content everywhere: packing depends on the version of zlib.
    """
    data = octets if method == zipdir.STORED else _blocks(octets)
    crc, sizes = zlib.crc32(octets), (len(data), len(octets))
    head = zipdir.HEADER.pack(zipdir.LOCAL, 20, 0, method, time, crc, *sizes, len(name), 0)
    record = zipdir.RECORD.pack(zipdir.CENTRAL, 45, 20, 0, method, time, crc, *sizes, len(name), 0, 0, 0, 0, 0, 0)
    entry = Entry(
        name=name, packed=len(data), size=len(octets),
        at=0, data_at=len(head) + len(name), end=len(head) + len(name) + len(data), record=record + name,
    )  # fmt: skip
    return Placed(entry, head + name + data)


def _blocks(octets: bytes) -> bytes:
    """Return deflate's blocks of the type that does not pack; there is at least one."""
    parts = [octets[at : at + FULL16] for at in range(0, len(octets), FULL16)] or [b""]
    return b"".join(
        struct.pack("<BHH", number == len(parts), len(part), len(part) ^ FULL16) + part
        for number, part in enumerate(parts, 1)
    )


def same_but_for_place(one: Entry, other: Entry) -> bool:
    """Tell whether two records say the same but for where their entries begin."""
    return (one.record[:42], one.record[46:]) == (other.record[:42], other.record[46:])


def plain(entry: Entry, stands: bytes) -> bool:
    """Tell whether an entry, its octets as they stand given, has nothing but what an entry needs.

    No descriptor, no extra fields, no comment, no attributes, and what both of its headers say is the same. Then only
    the time, in both of them, could be another, and how the octets are packed.
    """
    sizes = (entry.crc, entry.packed, entry.size)
    told = (20, entry.flags, entry.method, entry.time, *sizes, len(entry.name))
    head = zipdir.HEADER.pack(zipdir.LOCAL, *told, 0) + entry.name
    record = zipdir.RECORD.pack(zipdir.CENTRAL, entry.record[4], *told, 0, 0, 0, 0, 0, 0) + entry.name
    made_by, system = entry.record[4:6]
    written = entry.record[:5] + b"\0" + entry.record[6:42] + bytes(4) + entry.record[46:]
    whole = stands.startswith(head) and len(stands) == len(head) + entry.packed
    return whole and entry.flags == 0 and written == record and made_by in _VERSIONS and system in _SYSTEMS


def steps(placed: Sequence[Placed]) -> list[Copy | Insert]:
    """Return how the entries are written, one behind the other, in as few steps as can be."""
    found: list[Copy | Insert] = []
    start = end = 0
    for one in placed:
        if one.octets is None and one.entry.at == end:
            end = one.entry.end
            continue
        if start < end:
            found.append(Copy(start, end - start))
        start = end = 0
        if one.octets is None:
            start, end = one.entry.at, one.entry.end
        else:
            found.append(Insert(one.octets))
    if start < end:
        found.append(Copy(start, end - start))
    return found


def in_order(archive: Archive) -> list[Placed]:
    """Return the entries as they stand in the file."""
    return [Placed(entry) for entry in sorted(archive.entries, key=lambda one: one.at)]


def directory(archive: Archive, placed: Sequence[Placed]) -> bytes:
    """Return central directory and end records of these entries, written from ``archive.start`` on in their order.

    Records of the archive stay but for their offsets, in the order that they have there; those that are new follow.
    MalformedCode where ZIP64 would be needed and the archive has none.
    """
    offsets, at = _offsets(placed)
    pairs = zip(placed, offsets, strict=True)
    records = bytearray()  # a list of tens of thousands would be twice as large
    for one, offset in pairs if _as_listed(archive, placed) else _in_its_order(archive, pairs):
        records += _moved_record(one.entry, offset) if one.octets is None else _normal_record(one.entry, offset)
    count, size = len(placed), len(records)
    if not archive.zip64 and (count >= FULL16 or max(size, at) >= FULL32):
        raise MalformedCode(f"The archive would have {count} entries and its directory at {at}, which needs ZIP64.")
    disk, its, here, total, old_size, old_at, comment = zipdir.LAST.unpack_from(archive.last)[1:]
    old = ((here, count, FULL16), (total, count, FULL16), (old_size, size, FULL32), (old_at, at, FULL32))
    numbers = [full if was == full and archive.zip64 else now for was, now, full in old]
    last = zipdir.LAST.pack(zipdir.END, disk, its, *numbers, comment) + archive.last[zipdir.LAST.size :]
    return b"".join((records, _zip64_end(archive, count, size, at) if archive.zip64 else b"", last))


def _as_listed(archive: Archive, placed: Sequence[Placed]) -> bool:
    """Tell whether entries are all the archive's own, in the order of its directory."""
    listed = iter(archive.entries)
    return all(any(one.entry is each for each in listed) for one in placed)


def _in_its_order(archive: Archive, pairs: Iterable[tuple[Placed, int]]) -> list[tuple[Placed, int]]:
    """Return entries in the order of the archive's directory, those that it does not have behind them."""
    rank = {entry.name: number for number, entry in enumerate(archive.entries)}
    return sorted(pairs, key=lambda pair: rank.get(pair[0].entry.name, len(rank)))


def normal_directory(archive: Archive, placed: Sequence[Placed], wide: bool) -> bytes:
    """Return the same as signtool writes it: in the order of the entries, without extra fields and disk numbers.

    A record gets a ZIP64 field only where a number needs it; the end gets a ZIP64 record if ``wide``.
    """
    offsets, at = _offsets(placed)
    records = bytearray()
    for one, offset in zip(placed, offsets, strict=True):
        records += _normal_record(one.entry, offset)
    count, size = len(placed), len(records)
    if not wide and (count >= FULL16 or max(size, at) >= FULL32):
        raise MalformedCode(f"The archive would have {count} entries and its directory at {at}, which needs ZIP64.")
    numbers = (FULL16, FULL16, FULL32, FULL32) if wide else (count, count, size, at)
    behind = archive.last[zipdir.LAST.size - 2 :]
    last = zipdir.LAST.pack(zipdir.END, 0, 0, *numbers, 0)[:-2] + behind
    return b"".join((records, _zip64_end(archive, count, size, at) if wide else b"", last))


def _offsets(placed: Sequence[Placed]) -> tuple[list[int], int]:
    """Return where each entry will begin, and where the last ends; counted from the archive's beginning."""
    at, offsets = 0, []
    for one in placed:
        offsets.append(at)
        at += one.entry.end - one.entry.at if one.octets is None else len(one.octets)
    return offsets, at


def _moved_record(entry: Entry, offset: int) -> bytes:
    """Return a record as it stands, with another offset."""
    if entry.record[42:46] != _FULL:
        if offset >= FULL32:
            raise MalformedCode(f"The entry {entry.shown} would begin at {offset}, where only ZIP64 reaches.")
        return entry.record[:42] + offset.to_bytes(4, "little") + entry.record[46:]
    record = bytearray(entry.record)
    # The ZIP64 field holds the sizes that are missing, then the offset (APPNOTE 4.5.3).
    at = zipdir.RECORD.size + len(entry.name)
    while struct.unpack_from("<H", record, at)[0] != 1:
        at += 4 + int(struct.unpack_from("<H", record, at + 2)[0])
    missing = sum(value == FULL32 for value in struct.unpack_from("<II", record, 20))
    struct.pack_into("<Q", record, at + 4 + 8 * missing, offset)
    return bytes(record)


def _normal_record(entry: Entry, offset: int) -> bytes:
    """Return a record without extra fields, unless a number needs ZIP64; the comment stays."""
    record = entry.record
    if record[30:32] == b"\0\0" and offset < FULL32:  # without extra fields its sizes are whole
        return b"".join((record[:34], b"\0\0", record[36:42], offset.to_bytes(4, "little"), record[46:]))
    fields = list(zipdir.RECORD.unpack_from(entry.record))
    values = (entry.size, entry.packed, offset)
    wide = b"".join(struct.pack("<Q", value) for value in values if value >= FULL32)
    extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
    fields[8], fields[7], fields[15] = (min(value, FULL32) for value in values)
    behind = entry.record[zipdir.RECORD.size + len(entry.name) + fields[10] :]
    fields[10], fields[12] = len(extra), 0
    return zipdir.RECORD.pack(*fields) + entry.name + extra + behind


def _zip64_end(archive: Archive, count: int, size: int, at: int) -> bytes:
    made, needed = struct.unpack_from("<HH", archive.zip64, 12) if archive.zip64 else (45, 45)
    rest = zipdir.LAST64.size - 12
    record = zipdir.LAST64.pack(zipdir.END64, rest, made, needed, 0, 0, count, count, size, at)
    return record + zipdir.LOCATE.pack(zipdir.LOCATOR, 0, at + size, 1)
