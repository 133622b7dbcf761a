"""What of a compound file belongs to nothing, and what the file is like where that holds nothing.

Between the streams there is room that no reader looks at: sectors that belong to nothing, the rest of the last sector
of a stream, entries that are not used, fields without meaning. Windows leaves there what was in its memory, and anybody
could put something there later. A file is *tidy* where all of it is zero, or what MS-CFB says stands there when there
is nothing. Left out are five things that a writer may choose and no reader heeds: the minor version, the transaction
number, the root's two times, and the colours of the tree. Where writers differ about what stands for nothing (an entry
that is not used, the start of one without content), either way is tidy.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from privyseal.formats import cfb, cfb_directory, cfb_table
from privyseal.formats.cfb import Compound
from privyseal.formats.cfb_directory import NOBODY, ROOT, SIZE, STREAM, Entry
from privyseal.formats.cfb_table import DIFAT_SECTOR, END_OF_CHAIN, FAT_SECTOR, FREE
from privyseal.formats.protocol import Source

STEP = 1 << 20
"""Octets looked at at once, and the most that one range of dirt has."""
_ZEROS = bytes(STEP)
_ROOT = "Root Entry".encode("utf-16-le")


def links(found: Compound) -> array[int]:
    """Return the FAT of the file as it would be if it were tidy: what belongs to nothing is free."""
    made = found.fat.links[:]
    made.extend([FREE] * (found.sectors - len(made)))
    for first, count in found.fat.strangers():
        _free(made, first, first + count)
    _free(made, found.sectors, len(made))
    for at in found.fat_at:
        made[at] = FAT_SECTOR
    for at in found.difat_at:
        made[at] = DIFAT_SECTOR
    lock = cfb.LOCK_AT // found.header.sector - 1
    if is_lock(found, lock):
        made[lock] = END_OF_CHAIN
    return made


def mini_links(found: Compound) -> array[int]:
    """Return the MiniFAT as it would be if the file were tidy."""
    made = found.mini.links[:]
    for first, count in found.mini.strangers():
        _free(made, first, first + count)
    _free(made, len(found.mini.owned), len(made))
    return made


def mini_size(found: Compound) -> int:
    """Return how many octets the mini stream has if the file is tidy: to the end of the last mini sector in use."""
    return (found.mini.owned.rfind(1) + 1) * cfb.MINI_SECTOR or found.mini_size


def directory(found: Compound) -> bytearray:
    """Return the directory as it would be if the file were tidy."""
    made = bytearray(found.directory)
    for number in range(len(made) // SIZE):
        at = number * SIZE
        one = found.entries.get(number)
        if one is None:
            if made[at : at + SIZE] not in (cfb_directory.EMPTY, cfb_directory.BLANK):
                made[at : at + SIZE] = cfb_directory.EMPTY
        else:
            made[at : at + SIZE] = _entry(one, mini_size(found) if one.kind == ROOT else one.size)
    return made


def header(found: Compound, raw: bytes) -> bytearray:
    """Return the header, of which ``raw`` are the octets, as it would be if the file were tidy."""
    made = bytearray(raw)
    made[8:24] = bytes(16)
    made[34:40] = bytes(6)
    directory_sectors = cfb_table.length(found.directory_runs) if found.header.major == 4 else 0
    struct.pack_into("<I", made, 40, directory_sectors)
    if not found.mini_fat_runs:
        struct.pack_into("<I", made, 60, END_OF_CHAIN)
    struct.pack_into("<I", made, 64, cfb_table.length(found.mini_fat_runs))
    if not found.difat_at:
        struct.pack_into("<I", made, 68, END_OF_CHAIN)
    for place in range(len(found.fat_at), cfb.IN_HEADER):
        struct.pack_into("<I", made, 76 + 4 * place, FREE)
    return made


def difat_sector(found_at: array[int], difat_at: array[int], place: int, size: int) -> bytes:
    """Return the DIFAT sector at ``place`` among them: numbers of FAT sectors, and of the DIFAT sector that follows."""
    a_sector = size // 4 - 1
    start = cfb.IN_HEADER + place * a_sector
    there = found_at[start : start + a_sector]
    there.extend([FREE] * (a_sector - len(there)))
    there.append(difat_at[place + 1] if place + 1 < len(difat_at) else END_OF_CHAIN)
    return cfb_table.octets_of(there)


def dirt(code: Source, found: Compound) -> Iterator[tuple[int, int]]:
    """Yield offset and count of what holds something where nothing belongs, in content; at most STEP at once."""
    yield from _dirty(code, cfb.HEADER, found.header.sector)
    for first, count in found.fat.strangers():
        yield from _dirty(code, found.offset(first), found.offset(first + count))
    lock = cfb.LOCK_AT // found.header.sector - 1
    if is_lock(found, lock):
        yield from _dirty(code, found.offset(lock), found.offset(lock + 1))
    for number, runs in found.runs.items():
        one = found.entries[number]
        if one.size >= cfb.CUTOFF:
            yield from _slack(code, found, runs, one.size)
            continue
        end = cfb_table.length(runs) * cfb.MINI_SECTOR
        if end > one.size:
            for at, count in _rest(cfb.mini_chunks(found, runs, end), one.size):
                yield from _dirty(code, at, at + count)
    for first, count in found.mini.strangers():
        start = first * cfb.MINI_SECTOR
        for at, there in cfb.within_mini(found, start, min(count * cfb.MINI_SECTOR, found.mini_size - start)):
            yield from _dirty(code, at, at + there)
    yield from _slack(code, found, found.mini_runs, found.mini_size)


def untidy(code: Source, found: Compound) -> Iterator[str]:
    """Say what of a file is not tidy, one sentence for each kind of it."""
    for at, count in dirt(code, found):
        yield f"{count} octets at {at} belong to no stream, and are not zero."
        break
    raw = code.pread(0, cfb.HEADER)
    if header(found, raw) != raw:
        yield "A field of the header that means nothing says something."
    if _differs(links(found), found.fat.links):
        yield "The FAT says something of sectors that belong to no stream."
    if _differs(mini_links(found), found.mini.links):
        yield "The MiniFAT says something of sectors that belong to no stream."
    for place, at in enumerate(found.difat_at):
        if difat_sector(found.fat_at, found.difat_at, place, found.header.sector) != code.pread(
            found.offset(at), found.header.sector
        ):
            yield "The DIFAT says something where it has nothing to say."
            break
    if directory(found) != found.directory:
        yield "The directory says something in entries or fields that are not used."
    if code.size % found.header.sector:
        yield "The file does not end with a whole sector."


def _free(made: array[int], start: int, end: int) -> None:
    if start < end:
        made[start:end] = array("I", [FREE]) * (end - start)


def _differs(tidy: array[int], there: array[int]) -> bool:
    many = min(len(tidy), len(there))
    same = memoryview(tidy).cast("B")[: 4 * many] == memoryview(there).cast("B")[: 4 * many]
    return not same


def is_lock(found: Compound, sector: int) -> bool:
    """Tell whether a sector is the one kept for locking and is kept: not where a writer has put something into it."""
    if sector >= found.sectors or not cfb.reserved(found.header, sector):
        return False
    if sector in found.fat_at or sector in found.difat_at:
        return False
    chains = (found.directory_runs, found.mini_fat_runs, found.mini_runs)
    large = (runs for number, runs in found.runs.items() if found.entries[number].size >= cfb.CUTOFF)
    return not any(
        first <= sector < first + count for runs in (*chains, *large) for first, count in cfb_table.pairs(runs)
    )


def _entry(one: Entry, size: int) -> bytes:
    """Return an entry that is in use as it stands in a tidy directory."""
    start, clsid, name = one.start, one.clsid, one.name
    left, right = one.left, one.right
    colour = 1 if one.colour else 0
    if one.kind == STREAM:
        clsid = bytes(16)
    if one.kind not in (STREAM, ROOT):
        size = 0
    if one.kind == ROOT:
        name, left, right = _ROOT, NOBODY, NOBODY
    if not size and start not in (0, END_OF_CHAIN):
        start = END_OF_CHAIN
    return cfb_directory.ENTRY.pack(
        name, len(name) + 2, one.kind, colour, left, right, one.child, clsid, one.state, one.times, start, size
    )


def _slack(code: Source, found: Compound, runs: array[int], size: int) -> Iterator[tuple[int, int]]:
    """Yield what is dirty behind the end of what a chain of sectors holds."""
    whole = cfb_table.length(runs) * found.header.sector
    if whole > size:
        for at, count in _rest(cfb.chunks(found, runs, whole), size):
            yield from _dirty(code, at, at + count)


def _rest(pieces: Iterator[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield of pieces what comes behind the first ``size`` octets."""
    for at, count in pieces:
        passed = min(size, count)
        size -= passed
        if passed < count:
            yield at + passed, count - passed


def _dirty(code: Source, start: int, end: int) -> Iterator[tuple[int, int]]:
    end = min(end, code.size)
    while start < end:
        count = min(STEP, end - start)
        if code.pread(start, count) != _ZEROS[:count]:
            yield start, count
        start += count
