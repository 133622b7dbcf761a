"""Compound files (OLE structured storage): a small file system in a file, of storages and streams.

Source: Microsoft, "[MS-CFB]: Compound File Binary File Format". Installers (MSI, MSP, MSM) are such files, and so are
the elder documents of Office. Nothing here knows what is in them.

Version 3 has sectors of 512 octets and at most 2 GiB, version 4 has sectors of 4096. Streams of less than 4096 octets
share one chain of sectors, the mini stream, which is cut into mini sectors of 64. Reading takes memory for the FAT
(four octets a sector), the directory and one pair of numbers for each run of sectors, never for content; each chain is
walked once and by its runs (``cfb_table``). What is wrong is said before anything is read that depends on it.

Read here; hung up and taken down in ``cfb_directory``; changed, by appending only, in ``cfb_changes``; what of a file
belongs to nothing is found by ``cfb_loose``.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats import cfb_directory, cfb_table
from privyseal.formats.cfb_directory import STREAM, Entry
from privyseal.formats.cfb_table import Table
from privyseal.formats.protocol import Source

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
HEADER = 512
MINI_SECTOR = 64
CUTOFF = 4096
"""Octets from which a stream has sectors of its own."""
IN_HEADER = 109
"""FAT sectors whose numbers stand in the header."""
LOCK_AT = 0x7FFFFF00
"""Where Windows locks ranges: the sector over this offset holds nothing (MS-CFB 2.8)."""
MAX_FILE_3 = 1 << 31
"""Octets of a file of version 3 (MS-CFB 2.8)."""
MAX_SECTORS = 1 << 23
"""Sectors read: 32 GiB in version 4. A cabinet in an installer has at most 2 GiB; the FAT of so many takes 32 MiB."""

_FIELDS = struct.Struct("<8s16sHHHHH6sIIIIIIIII")


class Header(msgspec.Struct, frozen=True):
    """What the first 512 octets say, without the numbers of FAT sectors that follow in them."""

    major: int
    sector: int
    """Octets of a sector."""
    directory_sectors: int
    """Of the directory; version 3 does not say."""
    fat_sectors: int
    directory: int
    mini_fat: int
    mini_fat_sectors: int
    difat: int
    difat_sectors: int


class Compound(msgspec.Struct, frozen=True):
    """A compound file whose structure has been read and every chain of which has been walked."""

    header: Header
    sectors: int
    """Sectors that the file has, a last one that is cut short included; the header is none."""
    fat: Table
    fat_at: array[int]
    """Sectors in which the FAT is."""
    difat_at: array[int]
    mini: Table
    mini_fat_runs: array[int]
    mini_runs: array[int]
    """Of the mini stream."""
    directory: bytes
    directory_runs: array[int]
    entries: dict[int, Entry]
    """Every entry that hangs in a tree, by its number; 0 is the root."""
    children: dict[int, tuple[int, ...]]
    """Of each storage, in the order of its tree."""
    runs: dict[int, array[int]]
    """Of each stream that has any: sectors, or mini sectors where it is small."""

    def offset(self, sector: int) -> int:
        """Return where in the file a sector begins: the header takes the place of one."""
        return (sector + 1) * self.header.sector

    @property
    def mini_size(self) -> int:
        """How many octets the mini stream has."""
        return self.entries[0].size

    def named(self, name: str) -> Entry | None:
        """Return the root's child of this name; None where there is none."""
        return cfb_directory.named(self.entries, self.children[0], name)


def reserved(header: Header, sector: int) -> bool:
    """Tell whether a sector is the one that Windows keeps for locking (MS-CFB 2.8); version 3 ends before it."""
    return header.major == 4 and (sector + 1) * header.sector <= LOCK_AT < (sector + 2) * header.sector


# -- reading structure -------------------------------------------------------------------------------------------------
def read(code: Source) -> Compound:
    """Read a compound file's structure; MalformedCode with one sentence that names what is wrong."""

    def refuse(why: str) -> MalformedCode:
        return MalformedCode(f"{code.filename} is no compound file that can be read: {why}.")

    header, in_header = _read_header(code, refuse)
    sectors = -(-code.size // header.sector) - 1
    if sectors > MAX_SECTORS or (header.major == 3 and code.size > MAX_FILE_3):
        raise refuse(
            f"it has {code.size} octets in sectors of {header.sector}; at most "
            f"{MAX_FILE_3 if header.major == 3 else MAX_SECTORS * header.sector} are read"
        )
    fat, fat_at, difat_at = _read_fat(code, header, in_header, sectors, refuse)
    directory_runs = fat.walk(header.directory, 1, "the directory")
    if cfb_table.length(directory_runs) * header.sector > cfb_directory.MAX_ENTRIES * cfb_directory.SIZE:
        raise refuse(f"its directory has more than {cfb_directory.MAX_ENTRIES} entries")
    directory = _octets(code, header, directory_runs, refuse)
    entries, children = cfb_directory.read_tree(directory, header.major, refuse)
    root = entries[0]
    mini_runs = fat.walk(root.start, -(-root.size // header.sector), "the mini stream") if root.size else array("I")
    mini, mini_fat_runs = _read_mini_fat(code, header, fat, root.size, refuse)
    runs: dict[int, array[int]] = {}
    for number, one in entries.items():
        if one.kind == STREAM and one.size:
            table, unit = (fat, header.sector) if one.size >= CUTOFF else (mini, MINI_SECTOR)
            # Before the walk: a size that lies must not be believed, and no stream is larger than its file.
            if one.size > code.size:
                raise refuse(f"the stream {one.text} is said to have {one.size} octets, and the file has {code.size}")
            runs[number] = table.walk(one.start, -(-one.size // unit), f"the stream {one.text}")
    found = Compound(
        header=header,
        sectors=sectors,
        fat=fat,
        fat_at=fat_at,
        difat_at=difat_at,
        mini=mini,
        mini_fat_runs=mini_fat_runs,
        mini_runs=mini_runs,
        directory=directory,
        directory_runs=directory_runs,
        entries=entries,
        children=children,
        runs=runs,
    )
    _check_ends(code, found, refuse)
    lock = LOCK_AT // header.sector - 1
    if lock < sectors and reserved(header, lock) and not fat.owned[lock]:
        fat.owned[lock] = 1
    return found


def _read_header(code: Source, refuse: cfb_table.Refusal) -> tuple[Header, array[int]]:
    if code.size < 3 * HEADER:
        raise refuse(f"it has {code.size} octets, too few for header, FAT and directory")
    raw = code.pread(0, HEADER)
    fields = _FIELDS.unpack_from(raw)
    magic, _, _, major, order, shift, mini_shift, _, in_directory, in_fat, directory, _, cutoff = fields[:13]
    if magic != MAGIC:
        raise refuse("it does not begin as one")
    if (major, shift) not in ((3, 9), (4, 12)) or order != 0xFFFE or mini_shift != 6 or cutoff != CUTOFF:
        raise refuse(
            f"it is of version {major} with sectors of 2^{shift} octets, mini sectors of 2^{mini_shift} and a limit of "
            f"{cutoff}; version 3 with 2^9 or 4 with 2^12, and both with 2^6 and {CUTOFF} were expected"
        )
    header = Header(major, 1 << shift, in_directory, in_fat, directory, *fields[13:17])
    if code.size < 3 * header.sector:
        raise refuse(f"it has {code.size} octets, too few for header, FAT and directory")
    return header, cfb_table.numbers(raw[_FIELDS.size :])


def _read_fat(
    code: Source, header: Header, in_header: array[int], sectors: int, refuse: cfb_table.Refusal
) -> tuple[Table, array[int], array[int]]:
    """Read the FAT by way of the header and the DIFAT, and claim the sectors that both are in."""
    a_sector = header.sector // 4
    if not 1 <= header.fat_sectors <= 2 * (sectors // a_sector) + 16:
        raise refuse(f"it is said to have {header.fat_sectors} FAT sectors for {sectors} sectors")
    least = max(0, -(-(header.fat_sectors - IN_HEADER) // (a_sector - 1)))
    if not least <= header.difat_sectors <= least + 1:
        raise refuse(f"it is said to have {header.difat_sectors} DIFAT sectors; {least} were expected")
    fat = Table(array("I"), sectors, refuse)
    fat_at, difat_at, at = in_header[:], array("I"), header.difat
    for _ in range(header.difat_sectors):
        fat.claim(at, "the DIFAT")
        difat_at.append(at)
        more = cfb_table.numbers(_sector(code, header, at))
        at = more.pop()
        fat_at += more
    fat_at = fat_at[: header.fat_sectors]
    for at in fat_at:
        fat.claim(at, "the FAT")
    links = array("I")
    for first, count in _as_runs(fat_at):
        for part in range(first, first + count, 2048):
            many = min(2048, first + count - part)
            links += cfb_table.numbers(code.pread((part + 1) * header.sector, many * header.sector))
    fat.links = links
    return fat, fat_at, difat_at


def _read_mini_fat(
    code: Source, header: Header, fat: Table, size: int, refuse: cfb_table.Refusal
) -> tuple[Table, array[int]]:
    if not header.mini_fat_sectors:
        return Table(array("I"), 0, refuse), array("I")
    count = -(-size // MINI_SECTOR)
    runs = fat.walk(header.mini_fat, header.mini_fat_sectors, "the MiniFAT")
    if cfb_table.length(runs) > 2 * (count * 4 // header.sector) + 16:
        raise refuse(f"it has {cfb_table.length(runs)} sectors of MiniFAT for {count} mini sectors")
    return Table(cfb_table.numbers(_octets(code, header, runs, refuse)), count, refuse), runs


def _as_runs(sectors: array[int]) -> Iterator[tuple[int, int]]:
    first = count = 0
    for at in sectors:
        if count and at == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = at, 1
    if count:
        yield first, count


def _sector(code: Source, header: Header, number: int) -> bytes:
    return code.pread((number + 1) * header.sector, header.sector)


def _octets(code: Source, header: Header, runs: array[int], refuse: cfb_table.Refusal) -> bytes:
    """Return all of a chain of structure, whose length has been looked at before."""
    return b"".join(
        code.pread((first + 1) * header.sector, count * header.sector) for first, count in cfb_table.pairs(runs)
    )


def _check_ends(code: Source, found: Compound, refuse: cfb_table.Refusal) -> None:
    """Refuse a file whose last sector is cut short before the end of the stream in it."""
    last = found.sectors - 1
    if code.size % found.header.sector == 0 or not found.fat.owned[last]:
        return
    for number, one in (*((number, found.entries[number]) for number in found.runs), (0, found.entries[0])):
        for at, count in pieces(found, one) if number else chunks(found, found.mini_runs, one.size):
            if at + count > code.size:
                raise refuse(f"the stream {one.text} ends at {at + count}, and the file ends at {code.size}")


# -- reading streams ---------------------------------------------------------------------------------------------------
def pieces(found: Compound, one: Entry) -> Iterator[tuple[int, int]]:
    """Yield offset and count in the file of each piece of a stream, in its order."""
    runs = found.runs.get(one.number)
    if runs is None:
        return
    yield from chunks(found, runs, one.size) if one.size >= CUTOFF else mini_chunks(found, runs, one.size)


def chunks(found: Compound, runs: array[int], size: int) -> Iterator[tuple[int, int]]:
    """Yield offset and count of the first ``size`` octets of a chain of sectors."""
    for first, count in cfb_table.pairs(runs):
        take = min(size, count * found.header.sector)
        if not take:
            return
        yield found.offset(first), take
        size -= take


def mini_chunks(found: Compound, runs: array[int], size: int) -> Iterator[tuple[int, int]]:
    """Yield offset and count of the first ``size`` octets of a chain of mini sectors."""
    for first, count in cfb_table.pairs(runs):
        take = min(size, count * MINI_SECTOR)
        if not take:
            return
        yield from within_mini(found, first * MINI_SECTOR, take)
        size -= take


def within_mini(found: Compound, at: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield offset and count in the file of ``count`` octets from ``at`` on of the mini stream."""
    starts = _starts(found.mini_runs)
    while count:
        place = bisect_right(starts, at // found.header.sector) - 1
        into = at - starts[place] * found.header.sector
        take = min(count, found.mini_runs[2 * place + 1] * found.header.sector - into)
        yield found.offset(found.mini_runs[2 * place]) + into, take
        at += take
        count -= take


def _starts(runs: array[int]) -> list[int]:
    """Return for each run how many sectors of its chain come before it."""
    starts, total = [], 0
    for count in runs[1::2]:
        starts.append(total)
        total += count
    return starts


def stream(code: Source, found: Compound, one: Entry, limit: int) -> bytes:
    """Return all of a small stream; MalformedCode where it has more than ``limit`` octets."""
    if one.size > limit:
        raise MalformedCode(
            f"The stream {one.text} of {code.filename} has {one.size} octets; at most {limit} are read."
        )
    return b"".join(code.pread(at, count) for at, count in pieces(found, one))
