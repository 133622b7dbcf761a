"""ZIP archives, octet for octet: what is in one, held against itself.

Source: PKWARE, "APPNOTE.TXT" 6.3.10, sections 4.3 to 4.5. A ZIP file says most things twice: in each entry's own header
and in the central directory, and with ZIP64 a third time. Readers differ in whom they believe, so a signature over what
one reader sees may say nothing about what another does. Therefore an archive is read only where all of it agrees: the
entries stand one behind the other from the first octet to the directory, without gap or overlap, each header says what
the directory says, and there is one end.

Nothing is unpacked but by :func:`unpacked`, which holds what comes out against the size and checksum that are stated.
What an archive becomes with other entries is for ``zipdir_writing.py``.
This file is longer than others because all that an archive says of itself is held against each other in one place.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn
from urllib.parse import unquote_to_bytes

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats.protocol import Source

MAX_ENTRIES: Final = 1 << 17
"""Entries of one archive; the largest app packages have some 60,000."""
MAX_DIRECTORY: Final = 32 << 20
"""Octets of the central directory, so 256 for each of that many entries."""
MAX_NAME: Final = 4096
"""Octets of a name, as of a path in Linux (PATH_MAX)."""
STORED: Final = 0
"""Compression method 0 (APPNOTE 4.4.5): the octets as they are."""
DEFLATED: Final = 8
"""Compression method 8: deflate."""
LOCAL: Final = b"PK\x03\x04"
CENTRAL: Final = b"PK\x01\x02"
END: Final = b"PK\x05\x06"
END64: Final = b"PK\x06\x06"
LOCATOR: Final = b"PK\x06\x07"
"""With what headers, directory entries, and the records of the end begin (APPNOTE 4.3.7 to 4.3.16)."""
_DESCRIPTOR = b"PK\x07\x08"
RECORD: Final = struct.Struct("<4sHHHHIIIIHHHHHII")
"""Of the directory: made by, needed, flags, method, time, crc, sizes, lengths, disk, attributes, offset."""
HEADER: Final = struct.Struct("<4sHHHIIIIHH")
"""Before an entry: needed, flags, method, time, crc, sizes, lengths."""
LAST: Final = struct.Struct("<4sHHHHIIH")
"""The end: disk, its directory, entries on it, entries, size, offset, comment."""
LAST64: Final = struct.Struct("<4sQHHIIQQQQ")
"""The end of ZIP64: size of the rest, made by, needed, disks, entries, size, offset."""
LOCATE: Final = struct.Struct("<4sIQI")
"""Where that stands: disk, offset, disks."""
_MOST_COMMENT = 0xFFFF
FULL16: Final = 0xFFFF
FULL32: Final = 0xFFFFFFFF
"""What stands where a number has no room: it is in the ZIP64 field or record."""
_ENCRYPTED, _STREAMED, _STRONG, _MASKED = 1, 8, 0x40, 0x2000
_COMPARED = _ENCRYPTED | _STREAMED | _STRONG | 0x800 | _MASKED
_NEAR, _CLOSE, _AROUND = 1 << 9, 1 << 12, 1 << 16
"""Octets read around an entry's header: some, or many where entries of less than ``_CLOSE`` octets are packed close."""
_FIRST, _PIECE = 1 << 12, 1 << 16
"""Octets read at a time when something is unpacked, and the most that come out at a time; at first few, for who only
wants to see what it is."""


class Entry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One entry: what the directory says of it, and where it stands.

    There may be 131,072 of them, twice: what few ask for is read from the record each time.
    """

    name: bytes
    packed: int
    """Octets as they stand in the archive."""
    size: int
    """Octets unpacked."""
    at: int
    """Where its header begins."""
    data_at: int
    end: int
    """Where the next one begins: behind the data, and the descriptor if there is one."""
    record: bytes
    """Its record in the directory as it stands."""

    @property
    def flags(self) -> int:
        """Return its general purpose bits (APPNOTE 4.4.4)."""
        return int.from_bytes(self.record[8:10], "little")

    @property
    def method(self) -> int:
        """Return how it is packed."""
        return int.from_bytes(self.record[10:12], "little")

    @property
    def time(self) -> int:
        """Return MS-DOS time in the lower half, date in the upper."""
        return int.from_bytes(self.record[12:16], "little")

    @property
    def crc(self) -> int:
        """Return the checksum of what is unpacked."""
        return int.from_bytes(self.record[16:20], "little")

    @property
    def text(self) -> str:
        """Return its name; octets that are no UTF-8 become U+FFFD."""
        return self.name.decode("utf-8", "replace")

    @property
    def shown(self) -> str:
        """Return its name for a sentence."""
        return _shown(self.name)

    @property
    def made(self) -> datetime | None:
        """Return its time, which has no zone and is taken for UTC; None where it is none (APPNOTE 4.4.6)."""
        date, clock = divmod(self.time, 1 << 16)
        fields = (1980 + (date >> 9), date >> 5 & 15, date & 31, clock >> 11, clock >> 5 & 63, 2 * (clock & 31))
        try:
            return datetime(*fields, tzinfo=UTC)
        except ValueError:
            return None


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """One archive; its entries stand in the order of the directory."""

    entries: tuple[Entry, ...]
    start: int
    """Where the first entry begins: 0 but for formats that put something of their own before it."""
    at: int
    """Where the directory begins."""
    end: int
    """Where the end records begin."""
    zip64: bytes
    """The ZIP64 end record as it stands, without its locator; empty where there is none."""
    last: bytes
    """The end record with its comment, as it stands."""

    def find(self, name: bytes) -> Entry | None:
        """Return the entry of exactly that name."""
        return next((entry for entry in self.entries if entry.name == name), None)


# -- reading -----------------------------------------------------------------------------------------------------------
def read(code: Source, start: int = 0, stop: int | None = None) -> Archive:
    """Read the archive from ``start`` to ``stop`` (the end of the file); MalformedCode where anything contradicts."""
    at, end, count, zip64, last = _ends(code, start, code.size if stop is None else stop)
    if count > MAX_ENTRIES or end - at > MAX_DIRECTORY:
        _refuse(code, f"has {count} entries in {end - at} octets; {MAX_ENTRIES} in {MAX_DIRECTORY} are read")
    entries = tuple(_entries(code, code.pread(at, end - at), count, start))
    _check_names(code, entries)
    return Archive(entries=_placed(code, entries, start, at), start=start, at=at, end=end, zip64=zip64, last=last)


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} {why}.")


def _shown(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _ends(code: Source, start: int, stop: int) -> tuple[int, int, int, bytes, bytes]:
    """Return where the directory begins and ends, how many entries it has, and the end records."""
    tail_at = max(start, stop - LAST.size - _MOST_COMMENT)
    tail = code.pread(tail_at, stop - tail_at) if stop > tail_at else b""
    found = tail.rfind(END)
    if found < 0 or len(tail) - found < LAST.size:
        _refuse(code, "is no whole ZIP archive: it has no end of a central directory")
    last, last_at = tail[found:], tail_at + found
    _, disk, its, here, count, size, at, comment = LAST.unpack_from(last)
    if len(last) != LAST.size + comment:
        _refuse(code, "has octets behind the end of its ZIP archive, or a second end in its comment")
    zip64, end = b"", last_at
    if last_at - LOCATE.size - LAST64.size >= start and code.pread(last_at - LOCATE.size, 4) == LOCATOR:
        end = last_at - LOCATE.size - LAST64.size
        zip64 = code.pread(end, LAST64.size)
        disk, its, here, count, size, at = _of_zip64(code, (disk, its, here, count, size, at), end, start)
    elif FULL32 in (size, at) or FULL16 in (disk, its):
        _refuse(code, "announces a ZIP64 end record and has none where it belongs")
    at += start
    if disk or its or here != count:
        _refuse(code, "is one of several volumes, or says so; only whole archives are read")
    if at + size != end:
        _refuse(code, f"has its central directory from {at} to {at + size}, and the end records begin at {end}")
    return at, end, count, zip64, last


def _of_zip64(code: Source, stated: tuple[int, ...], end: int, start: int) -> tuple[int, ...]:
    """Return what the ZIP64 end record at ``end`` says in place of ``stated``; both have to agree."""
    _, locator_disk, record_at, disks = LOCATE.unpack(code.pread(end + LAST64.size, LOCATE.size))
    mark, rest, _, _, disk, its, here, count, size, at = LAST64.unpack(code.pread(end, LAST64.size))
    if mark != END64 or rest != LAST64.size - 12 or record_at + start != end or locator_disk or disks > 1:
        _refuse(code, "has a ZIP64 locator that does not lead to the record before it")
    larger = (disk, its, here, count, size, at)
    for one, other, full in zip(stated, larger, (FULL16,) * 4 + (FULL32,) * 2, strict=True):
        if one not in (other, full):
            _refuse(code, f"has two ends that contradict each other: {one} in one, {other} in its ZIP64 record")
    return larger


def _entries(code: Source, directory: bytes, count: int, start: int) -> Iterator[Entry]:
    """Yield what the directory says; where data begin and end is not known yet."""
    at = 0
    for _ in range(count):
        if len(directory) - at < RECORD.size or directory[at : at + 4] != CENTRAL:
            _refuse(code, f"has {count} entries by its end record, and fewer in its central directory")
        fields = RECORD.unpack_from(directory, at)
        packed, size, named, extra, comment, disk, _, _, offset = fields[7:]
        size = packed if packed == size else size  # one number for both
        name_at = at + RECORD.size
        stop = name_at + named + extra + comment
        if stop > len(directory) or not 0 < named <= MAX_NAME:
            _refuse(code, f"has an entry whose name has {named} octets; from 1 to {MAX_NAME} within it are read")
        name = directory[name_at : name_at + named]
        if extra == disk == 0 and FULL32 not in (size, packed, offset):
            yield Entry(
                name=name, packed=packed, size=size, at=start + offset, data_at=0, end=0, record=directory[at:stop]
            )  # fmt: skip
            at = stop
            continue
        wide = _zip64_of(code, name, directory[name_at + named : name_at + named + extra])
        needed = [value == FULL32 for value in (size, packed, offset)] + [disk == FULL16]
        if len(wide) != 8 * sum(needed[:3]) + 4 * needed[3]:
            _refuse(code, f"has a ZIP64 field at {_shown(name)} that does not hold what is missing elsewhere")
        values = iter(struct.unpack(f"<{sum(needed[:3])}Q", wide[: 8 * sum(needed[:3])]))
        size, packed, offset = (
            next(values) if one else old for one, old in zip(needed, (size, packed, offset), strict=False)
        )
        if (int.from_bytes(wide[-4:], "little") if needed[3] else disk) != 0:
            _refuse(code, f"says that {_shown(name)} is in another volume")
        yield Entry(
            name=name, packed=packed, size=size, at=start + offset, data_at=0, end=0, record=directory[at:stop]
        )  # fmt: skip
        at = stop
    if at != len(directory):
        _refuse(code, f"has more in its central directory than the {count} entries of its end record")


def _zip64_of(code: Source, name: bytes, extra: bytes) -> bytes:
    """Return what the ZIP64 field among the extra ones holds, empty where there is none."""
    found: list[bytes] = []
    at = 0
    while at < len(extra):
        if len(extra) - at < 4:
            _refuse(code, f"has extra fields at {_shown(name)} that do not end where they should")
        kind, size = struct.unpack_from("<HH", extra, at)
        at += 4 + size
        if at > len(extra):
            _refuse(code, f"has extra fields at {_shown(name)} that do not end where they should")
        if kind == 1:
            found.append(extra[at - size : at])
    if len(found) > 1:
        _refuse(code, f"has {len(found)} ZIP64 fields at {_shown(name)}")
    return found[0] if found else b""


def _check_names(code: Source, entries: Sequence[Entry]) -> None:
    """Refuse names that lead elsewhere, and two that Windows takes for one."""
    seen: set[bytes] = set()
    for entry in entries:
        plain = entry.name
        if b"%" in plain or b"\\" in plain:
            plain = _plain(plain)
        climbs = b".." in plain and b".." in plain.split(b"/")
        if climbs or b"\0" in plain or plain.startswith(b"/") or plain[1:2] == b":":
            _refuse(code, f"has an entry whose name leads out of it: {entry.shown}")
        if (folded := plain.lower()) in seen:
            other = next(one for one in entries if _plain(one.name).lower() == folded)
            _refuse(code, f"has two entries of one name: {other.shown} and {entry.shown}")
        seen.add(folded)
        if entry.flags & (_ENCRYPTED | _STRONG | _MASKED):
            _refuse(code, f"has an encrypted entry: {entry.shown}")
        if entry.method not in (STORED, DEFLATED):
            _refuse(code, f"has an entry packed by method {entry.method}, which is not read here: {entry.shown}")
        if entry.method == STORED and entry.packed != entry.size:
            _refuse(code, f"stores {entry.size} octets of {entry.shown} in {entry.packed}")


def _plain(name: bytes) -> bytes:
    return unquote_to_bytes(name).replace(b"\\", b"/")


class _Near:
    """Small pieces of a file in the order of their places, those that stand close together read at once."""

    def __init__(self, code: Source) -> None:
        self._code = code
        self._at, self._octets = 0, b""

    def read(self, at: int, count: int, most: int) -> bytes:
        """Return ``count`` octets from ``at``; where they are not held, up to ``most`` are read."""
        start = at - self._at
        if start < 0 or start + count > len(self._octets):
            self._octets = self._code.pread(at, max(count, min(most, self._code.size - at)))
            self._at, start = at, 0
        return self._octets[start : start + count]


def _placed(code: Source, entries: tuple[Entry, ...], start: int, stop: int) -> tuple[Entry, ...]:
    """Hold each entry's own header against the directory; they have to fill the room from ``start`` to ``stop``."""
    order = sorted(range(len(entries)), key=lambda number: entries[number].at)
    placed = list(entries)
    near = _Near(code)
    expected = start
    for place, number in enumerate(order):
        entry = entries[number]
        if entry.at != expected:
            what = "overlaps the one before it" if entry.at < expected else "has octets before it that are no entry's"
            _refuse(code, f"has an entry at {entry.at} that {what}: {entry.shown}")
        end = entries[order[place + 1]].at if place + 1 < len(order) else stop
        placed[number] = _held(code, near, entry, end)
        expected = end
    if expected != stop:
        _refuse(code, f"has no entries, and {stop - start} octets before its central directory")
    return tuple(placed)


def _held(code: Source, near: _Near, entry: Entry, end: int) -> Entry:
    """Return the entry with the place of its data, its header having been compared; it ends at ``end``."""
    whole = entry.at + HEADER.size + len(entry.name)
    if whole > end:
        _refuse(code, f"has an entry that reaches into the next: {entry.shown}")
    most = _AROUND if end - entry.at < _CLOSE else _NEAR
    octets = near.read(entry.at, whole - entry.at, most)
    later, told = entry.flags & _STREAMED, entry.record[8:32]
    if later:
        told = told[:8] + bytes(12) + told[20:]
    # Most say the same in the same order: flags, method, time, checksum, sizes, the name's length and no extra fields.
    same = octets[6:30] == told and told.endswith(b"\0\0") and octets.startswith(LOCAL) and octets.endswith(entry.name)
    data_at = whole if same else _compared(code, entry, octets, end)
    if data_at + entry.packed > end:
        _refuse(code, f"has an entry that overlaps the next: {entry.shown}")
    behind = min(end - data_at - entry.packed, 25)
    if (later or behind) and not (later and _describes(near.read(end - behind, behind, most), entry)):
        _refuse(code, f"has something else behind the data of {entry.shown} than what belongs there")
    return msgspec.structs.replace(entry, data_at=data_at, end=end)


def _compared(code: Source, entry: Entry, octets: bytes, end: int) -> int:
    """Return where the data begin behind a header of which ``octets`` are the first, and the name; hold it to all."""
    mark, _, flags, method, _, crc, packed, size, named, extra = HEADER.unpack_from(octets)
    same = (mark, flags & _COMPARED, method, named) == (LOCAL, entry.flags & _COMPARED, entry.method, len(entry.name))
    if not same or octets[HEADER.size :] != entry.name:
        _refuse(code, f"has an entry whose own header says other things than the directory: {entry.shown}")
    data_at = entry.at + len(octets) + int(extra)
    if data_at + entry.packed > end:
        _refuse(code, f"has an entry that overlaps the next: {entry.shown}")
    wide = _zip64_of(code, entry.name, code.pread(data_at - extra, extra)) if extra else b""
    if wide and len(wide) != 16 and (FULL32 in (packed, size) or wide.count(0) != len(wide)):
        _refuse(code, f"has a ZIP64 field of {len(wide)} octets before the data of {entry.shown}; 16 were expected")
    if FULL32 in (packed, size) and len(wide) == 16:
        larger = struct.unpack("<QQ", wide)
        size, packed = (larger[0] if size == FULL32 else size, larger[1] if packed == FULL32 else packed)
    later = entry.flags & _STREAMED
    for one, other in ((crc, entry.crc), (packed, entry.packed), (size, entry.size)):
        if one != other and not (later and one == 0):
            _refuse(code, f"has an entry whose own header says other things than the directory: {entry.shown}")
    return data_at


def _describes(octets: bytes, entry: Entry) -> bool:
    """Tell whether octets are a data descriptor (APPNOTE 4.3.9): of 32 or 64 bits, with its mark or without."""
    if len(octets) in (16, 24) and octets.startswith(_DESCRIPTOR):
        octets = octets[4:]
    numbers = (entry.crc, entry.packed, entry.size)
    return octets == struct.pack("<IQQ", *numbers) or (
        max(numbers) <= FULL32 and octets == struct.pack("<III", *numbers)
    )


def newest(entries: Iterable[Entry]) -> datetime:
    """Return when the newest of these is from; 1 January 1980, the first day of MS-DOS, where none says so sensibly."""
    return max((one.made for one in entries if one.made is not None), default=datetime(1980, 1, 1, tzinfo=UTC))


def unpacked(code: Source, entry: Entry, limit: int) -> Iterator[bytes]:
    """Yield the entry's octets, unpacked, piece by piece; MalformedCode unless they are what is stated, all of it."""
    if entry.size > limit:
        _refuse(code, f"has {entry.size} octets in {entry.shown}; at most {limit} are read")
    inflating = zlib.decompressobj(-15) if entry.method == DEFLATED else None
    at, end, size, crc, most = entry.data_at, entry.data_at + entry.packed, 0, 0, _FIRST
    while at < end:
        piece = code.pread(at, min(most, end - at))
        at += len(piece)
        for octets in (piece,) if inflating is None else _inflated(code, entry, inflating, piece):
            most = _PIECE
            size += len(octets)
            if size > entry.size:
                _refuse(code, f"has more octets in {entry.shown} than the {entry.size} that it states")
            crc = zlib.crc32(octets, crc)
            yield octets
    if inflating is not None and (not inflating.eof or inflating.unused_data):
        _refuse(code, f"has packed octets in {entry.shown} that do not end where they should")
    if (size, crc) != (entry.size, entry.crc):
        _refuse(code, f"has octets in {entry.shown} that are not those of its checksum")


def _inflated(code: Source, entry: Entry, inflating: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    most = _PIECE if inflating.unconsumed_tail or len(piece) > _FIRST else _FIRST
    try:
        while piece and not inflating.eof:  # at its end Python keeps as unconsumed what it does not take, for ever
            yield inflating.decompress(piece, most)
            piece, most = inflating.unconsumed_tail, _PIECE
    except zlib.error:
        _refuse(code, f"has octets in {entry.shown} that cannot be unpacked")
    if piece or inflating.unused_data:
        _refuse(code, f"has packed octets in {entry.shown} that do not end where they should")


def whole(code: Source, entry: Entry, limit: int) -> bytes:
    """Return all of a small entry, unpacked, at most ``limit`` octets; raises as :func:`unpacked`."""
    return b"".join(unpacked(code, entry, limit))
