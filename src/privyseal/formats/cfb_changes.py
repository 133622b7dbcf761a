"""Changing a compound file: streams of the root are set or removed, and nothing that stays is moved.

The outcome is a plan of copies and inserts. What is added goes behind the end of the file, into new sectors, and behind
the end of the mini stream; the FAT, the DIFAT, the MiniFAT and the directory grow there as well. What is removed leaves
zeros; where it stood at the end, the file gets shorter, with every sector of FAT, MiniFAT and directory that it alone
had needed. So what was added by this module and is removed by it leaves the very file that there was, where that file
was tidy (``cfb_tidy``); where it was not, it is tidied by the first change.

Memory: a second FAT while the plan is made, and what is inserted.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

from privyseal.errors import MalformedCode
from privyseal.formats import cfb, cfb_directory, cfb_table, cfb_tidy
from privyseal.formats.cfb import CUTOFF, MINI_SECTOR, Compound
from privyseal.formats.cfb_table import DIFAT_SECTOR, END_OF_CHAIN, FAT_SECTOR, FREE
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source

_ZEROS = bytes(1 << 20)


def change(code: Source, found: Compound, streams: Mapping[str, bytes | None]) -> PatchPlan:
    """Plan the file in which the root's streams are as ``streams`` says: None removes one, octets replace it.

    All other streams and storages keep their place. MalformedCode where the outcome would be larger than a file of its
    version may be.
    """
    draft = _Draft(code, found)
    for name in streams:
        one = found.named(name)
        if one is not None:
            draft.remove(one)
    draft.shrink()
    for name, octets in streams.items():
        if octets is not None:
            draft.add(name, octets)
    draft.grow_fat()
    return draft.plan()


class _Draft:
    """The structure of the file to come, and what is to be put where."""

    def __init__(self, code: Source, found: Compound) -> None:
        self._code = code
        self._found = found
        self._sector = found.header.sector
        self._a_sector = self._sector // 4
        self._sectors = found.sectors
        self._links = cfb_tidy.links(found)
        self._fat_at, self._difat_at = found.fat_at[:], found.difat_at[:]
        self._header = cfb_tidy.header(found, code.pread(0, cfb.HEADER))
        self._directory = cfb_tidy.directory(found)
        self._directory_at = array("I", cfb_table.sectors_of(found.directory_runs))
        self._mini_links = cfb_tidy.mini_links(found)
        self._mini_fat_at = array("I", cfb_table.sectors_of(found.mini_fat_runs))
        self._mini_at = array("I", cfb_table.sectors_of(found.mini_runs))
        self._mini_size = cfb_tidy.mini_size(found)
        self._freed: set[int] = set()
        self._freed_mini: set[int] = set()
        self._emptied: set[int] = set()
        """Places in the directory that were used before."""
        self._patches: list[tuple[int, bytes]] = [(at, _ZEROS[:count]) for at, count in cfb_tidy.dirt(code, found)]

    # -- taking away ---------------------------------------------------------------------------------------------------
    def remove(self, one: cfb_directory.Entry) -> None:
        """Free what a stream of the root has, and take it out of the directory."""
        runs = self._found.runs.get(one.number, array("I"))
        table, freed = (self._links, self._freed) if one.size >= CUTOFF else (self._mini_links, self._freed_mini)
        for at in cfb_table.sectors_of(runs):
            table[at] = FREE
            freed.add(at)
        if one.size < CUTOFF:
            for first, count in cfb_table.pairs(runs):
                end = min((first + count) * MINI_SECTOR, self._mini_size)
                self._put_in_mini(first * MINI_SECTOR, bytes(end - first * MINI_SECTOR))
        cfb_directory.take_down(self._directory, one.number, 0)
        self._emptied.add(one.number)

    def shrink(self) -> None:
        """Give back what stood at the end only for what was removed: mini stream, MiniFAT, directory, FAT, file."""
        self._shrink_mini()
        in_one = self._sector // cfb_directory.SIZE
        while len(self._directory_at) > 1:
            first = (len(self._directory_at) - 1) * in_one
            used = any(self._directory[n * cfb_directory.SIZE + 66] for n in range(first, first + in_one))
            if used or self._emptied.isdisjoint(range(first, first + in_one)):
                break
            del self._directory[first * cfb_directory.SIZE :]
            self._drop_last(self._directory_at)
        if self._freed:
            lock = cfb.LOCK_AT // self._sector - 1
            if lock < self._sectors and self._links[lock] == END_OF_CHAIN and cfb_tidy.is_lock(self._found, lock):
                self._freed.add(lock)  # given back if the file ends before it (MS-CFB 2.8)
            self._shrink_fat()
            while self._sectors - 1 in self._freed:
                self._sectors -= 1
                self._mark(self._sectors, FREE)
            self._freed.discard(lock)
        for at in sorted(self._freed):
            if at < self._sectors:
                self._patches.append((self._found.offset(at), _ZEROS[: self._sector]))

    def _shrink_mini(self) -> None:
        kept = -(-self._mini_size // MINI_SECTOR)
        if kept - 1 not in self._freed_mini:
            return
        while kept and self._mini_links[kept - 1] == FREE:
            kept -= 1
        before = -(-self._mini_size // self._sector)
        self._mini_size = kept * MINI_SECTOR
        for _ in range(before - -(-self._mini_size // self._sector) if kept else len(self._mini_at)):
            self._drop_last(self._mini_at)
        while self._mini_fat_at and (len(self._mini_fat_at) - 1) * self._a_sector >= kept:
            first = (len(self._mini_fat_at) - 1) * self._a_sector
            if self._freed_mini.isdisjoint(range(first, first + self._a_sector)):
                break
            del self._mini_links[first:]
            self._drop_last(self._mini_fat_at)

    def _drop_last(self, chain: array[int]) -> None:
        at = chain.pop()
        self._links[at] = FREE
        self._freed.add(at)
        if chain:
            self._links[chain[-1]] = END_OF_CHAIN

    def _shrink_fat(self) -> None:
        """Drop the FAT sectors, with their DIFAT sectors, that nothing needs but they themselves and what was freed."""
        last = self._sectors - 1
        while last in self._freed or self._links[last] in (FREE, FAT_SECTOR, DIFAT_SECTOR):
            last -= 1
        for kept in range(last // self._a_sector + 1, len(self._fat_at)):
            difat = self._difat_needed(kept)
            if max((*self._fat_at[:kept], *self._difat_at[:difat])) < kept * self._a_sector:
                going = [*self._fat_at[kept:], *self._difat_at[difat:]]
                del self._fat_at[kept:], self._difat_at[difat:], self._links[kept * self._a_sector :]
                self._freed.update(going)
                for at in going:
                    if at < len(self._links):
                        self._links[at] = FREE
                return

    def _difat_needed(self, fat_sectors: int) -> int:
        return max(0, -(-(fat_sectors - cfb.IN_HEADER) // (self._a_sector - 1)))

    # -- adding --------------------------------------------------------------------------------------------------------
    def add(self, name: str, octets: bytes) -> None:
        """Append a stream to the file and hang it into the root's tree."""
        place = cfb_directory.free_place(self._directory)
        if place is None:
            place = len(self._directory) // cfb_directory.SIZE
            self._directory += cfb_directory.EMPTY * (self._sector // cfb_directory.SIZE)
            self._lengthen(self._directory_at, 1)
        start = self._add_mini(octets) if len(octets) < CUTOFF else self._add_sectors(octets)
        at = place * cfb_directory.SIZE
        self._directory[at : at + cfb_directory.SIZE] = cfb_directory.written(name, start, len(octets))
        cfb_directory.hang(self._directory, place, 0)

    def _add_sectors(self, octets: bytes) -> int:
        chain = array("I")
        self._lengthen(chain, -(-len(octets) // self._sector))
        for place, at in enumerate(chain):
            part = octets[place * self._sector : (place + 1) * self._sector]
            self._patches.append((self._found.offset(at), part + bytes(self._sector - len(part))))
        return chain[0]

    def _add_mini(self, octets: bytes) -> int:
        if not octets:
            return END_OF_CHAIN
        first = -(-self._mini_size // MINI_SECTOR)
        end = first + -(-len(octets) // MINI_SECTOR)
        self._lengthen(self._mini_at, max(0, -(-end * MINI_SECTOR // self._sector) - len(self._mini_at)))
        self._lengthen(self._mini_fat_at, max(0, -(-end // self._a_sector) - len(self._mini_fat_at)))
        self._mini_links.extend([FREE] * (len(self._mini_fat_at) * self._a_sector - len(self._mini_links)))
        for at in range(first, end):
            self._mini_links[at] = at + 1 if at + 1 < end else END_OF_CHAIN
        self._mini_size = end * MINI_SECTOR
        self._put_in_mini(first * MINI_SECTOR, octets + bytes(-len(octets) % MINI_SECTOR))
        return first

    def _put_in_mini(self, at: int, octets: bytes) -> None:
        while octets:
            place, into = divmod(at, self._sector)
            part = octets[: self._sector - into]
            self._patches.append((self._found.offset(self._mini_at[place]) + into, part))
            octets = octets[len(part) :]
            at += len(part)

    def _lengthen(self, chain: array[int], count: int) -> None:
        """Append new sectors to a chain; they are zero until something is put into them."""
        for _ in range(count):
            at = self._take(END_OF_CHAIN)
            if chain:
                self._links[chain[-1]] = at
            chain.append(at)

    def _take(self, mark: int) -> int:
        """Return the number of a new sector at the end of the file, and mark it in the FAT."""
        if cfb.reserved(self._found.header, self._sectors):
            self._mark(self._sectors, END_OF_CHAIN)
            self._sectors += 1
        self._mark(self._sectors, mark)
        if self._sectors < self._found.sectors:  # its octets are those of something that was removed
            self._patches.append((self._found.offset(self._sectors), _ZEROS[: self._sector]))
        self._sectors += 1
        return self._sectors - 1

    def _mark(self, at: int, mark: int) -> None:
        self._links.extend([FREE] * (at + 1 - len(self._links)))
        self._links[at] = mark

    def grow_fat(self) -> None:
        """Add FAT and DIFAT sectors until every sector has its place in the FAT, these as well."""
        while len(self._fat_at) * self._a_sector < self._sectors:
            if self._difat_needed(len(self._fat_at) + 1) > len(self._difat_at):
                self._difat_at.append(self._take(DIFAT_SECTOR))
            self._fat_at.append(self._take(FAT_SECTOR))

    # -- writing down --------------------------------------------------------------------------------------------------
    def plan(self) -> PatchPlan:
        """Return the copies and inserts that make the file."""
        size = (self._sectors + 1) * self._sector
        if self._sectors > cfb.MAX_SECTORS or (self._found.header.major == 3 and size > cfb.MAX_FILE_3):
            raise MalformedCode(
                f"{self._code.filename} would get {size} octets, more than a compound file of version "
                f"{self._found.header.major} may have.",
                hint="build it with sectors of 4096 octets",
            )
        patches = [*self._patches, *self._structure()]
        return PatchPlan(tuple(_steps(layered(patches, size), self._code.size, size)))

    def _structure(self) -> Iterator[tuple[int, bytes]]:
        """Yield every sector of structure that is other than it was, and the header if it is."""
        self._links.extend([FREE] * (len(self._fat_at) * self._a_sector - len(self._links)))
        yield from self._changed(self._fat_at, self._found.fat_at, self._links, self._found.fat.links)
        mini_before = array("I", cfb_table.sectors_of(self._found.mini_fat_runs))
        yield from self._changed(self._mini_fat_at, mini_before, self._mini_links, self._found.mini.links)
        for place, at in enumerate(self._difat_at):
            yield self._found.offset(at), cfb_tidy.difat_sector(self._fat_at, self._difat_at, place, self._sector)
        root_start = self._mini_at[0] if self._mini_at else self._root_without_mini()
        cfb_directory.set_stream(self._directory, 0, root_start, self._mini_size)
        for place, at in enumerate(self._directory_at):
            yield self._found.offset(at), bytes(self._directory[place * self._sector : (place + 1) * self._sector])
        yield 0, self._written_header()

    def _root_without_mini(self) -> int:
        """Return where a mini stream begins that is not there; as it was, if it was not there before."""
        return END_OF_CHAIN if self._found.mini_size else self._found.entries[0].start

    def _changed(
        self, now_at: array[int], before_at: array[int], now: array[int], before: array[int]
    ) -> Iterator[tuple[int, bytes]]:
        new, old = memoryview(now).cast("B"), memoryview(before).cast("B")
        for place, at in enumerate(now_at):
            start, end = place * self._sector, (place + 1) * self._sector
            same = place < len(before_at) and before_at[place] == at and new[start:end] == old[start:end]
            if not same:
                yield self._found.offset(at), cfb_table.octets_of(now[start // 4 : end // 4])

    def _written_header(self) -> bytes:
        made = self._header
        struct.pack_into("<I", made, 44, len(self._fat_at))
        if self._found.header.major == 4:
            struct.pack_into("<I", made, 40, len(self._directory_at))
        struct.pack_into("<II", made, 60, *_first_and_count(self._mini_fat_at))
        struct.pack_into("<II", made, 68, *_first_and_count(self._difat_at))
        there = self._fat_at[: cfb.IN_HEADER]
        there.extend([FREE] * (cfb.IN_HEADER - len(there)))
        made[76:] = cfb_table.octets_of(there)
        return bytes(made)


def _first_and_count(chain: array[int]) -> tuple[int, int]:
    return (chain[0] if chain else END_OF_CHAIN), len(chain)


def layered(patches: Iterable[tuple[int, bytes]], end: int) -> list[tuple[int, bytes]]:
    """Return patches in the order of their offsets, none over another: of two over one octet the later one counts."""
    starts: list[int] = []
    made: list[tuple[int, bytes]] = []
    for at, octets in reversed(list(patches)):
        octets = octets[: max(0, end - at)]
        while octets:
            place = bisect_left(starts, at + 1)
            if place and (over := starts[place - 1] + len(made[place - 1][1]) - at) > 0:
                at, octets = at + over, octets[over:]
                continue
            room = starts[place] - at if place < len(starts) else len(octets)
            if room > 0:
                starts.insert(place, at)
                made.insert(place, (at, octets[:room]))
            at, octets = at + room, octets[room:]
    return made


def _steps(patches: list[tuple[int, bytes]], there: int, size: int) -> Iterator[Copy | Insert]:
    """Yield the file of ``size`` octets: patches, copies of the ``there`` octets between, zeros behind those."""
    at = 0
    for start, octets in [*patches, (size, b"")]:
        if at < min(start, there):
            yield Copy(at, min(start, there) - at)
            at = min(start, there)
        while at < start:
            many = min(len(_ZEROS), start - at)
            yield Insert(_ZEROS[:many])
            at += many
        if octets:
            yield Insert(octets)
            at += len(octets)
