"""Compound files by the second book: written from MS-CFB for the tests, without a line of what is under test.

A tree is a dict of names: octets or a number of zeros for a stream, a dict for a storage. Sectors are laid out in the
order of the tree, or scattered from a seed. With an even seed the first stream still begins in sector 0: osslsigncode
cannot read a chain that goes on there.
"""

from __future__ import annotations

import itertools
import random
import struct
from array import array
from pathlib import Path
from typing import Any

INSTALLER = bytes.fromhex("84100c0000000000c000000000000046")
END, FREE, FATSECT, DIFSECT, NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFC, 0xFFFFFFFF
LOCK = 0x7FFFFF00

Tree = dict[str, Any]


def tables(count: int = 12, size: int = 300) -> Tree:
    """Return streams as an installer has them: many small ones, a summary, and one that is large."""
    names = [chr(0x4840) + chr(0x3800 + 7 * number) + chr(0x4800 + number % 64) for number in range(count)]
    tree: Tree = {name: bytes([number + 1]) * (size + number * 37) for number, name in enumerate(names)}
    tree["\5SummaryInformation"] = b"summary" * 60
    tree["Data"] = bytes(range(251)) * 40
    return tree


def build(
    path: Path,
    tree: Tree,
    *,
    major: int = 4,
    clsid: bytes = INSTALLER,
    scatter: int | None = None,
    leftovers: bytes = b"",
) -> Path:
    """Write a compound file to ``path``; ``leftovers`` fill what belongs to nothing in the last sector of streams."""
    return _Builder(major, scatter, leftovers).write(path, tree, clsid)


class _Builder:
    def __init__(self, major: int, scatter: int | None, leftovers: bytes) -> None:
        self.major = major
        self.sector = 512 if major == 3 else 4096
        self.chance = None if scatter is None else random.Random(scatter)
        self.first_at_0 = scatter is not None and scatter % 2 == 0
        self.leftovers = leftovers
        self.entries: list[list[Any]] = []
        self.mini = bytearray()
        self.mini_links: list[int] = []
        self.large: list[tuple[int, bytes | int]] = []

    def write(self, path: Path, tree: Tree, clsid: bytes) -> Path:
        self.entries.append(["Root Entry", 5, clsid, NONE, NONE, NONE, END, 0])
        self.entries[0][5] = self._children(tree)
        chains: list[tuple[int, bytes | int]] = list(self.large)
        if self.mini:
            self.entries[0][7] = len(self.mini)
            chains.append((0, bytes(self.mini)))
        directory_sectors = -(-len(self.entries) * 128 // self.sector)
        mini_fat_sectors = -(-len(self.mini_links) * 4 // self.sector)
        data = [-(-(one if isinstance(one, int) else len(one)) // self.sector) for _, one in chains]
        places = self._places(sum(data) + directory_sectors + mini_fat_sectors)
        links, fat_at, difat_at = self._fat(max(places) + 1)
        with path.open("wb") as out:
            out.truncate((max(fat_at + difat_at) + 2) * self.sector)
            taken = 0
            for (number, octets), count in zip(chains, data, strict=True):
                mine = places[taken : taken + count]
                taken += count
                self._chain(links, mine)
                self.entries[number][6] = mine[0]
                if isinstance(octets, bytes):
                    self._put(out, mine, octets, self.leftovers if number else b"")
            directory_at, mini_fat_at = places[taken : taken + directory_sectors], places[taken + directory_sectors :]
            self._chain(links, directory_at)
            self._chain(links, mini_fat_at)
            mini_fat = self.mini_links + [FREE] * (mini_fat_sectors * self.sector // 4 - len(self.mini_links))
            self._put(out, mini_fat_at, array("I", mini_fat).tobytes())
            self._put(out, directory_at, self._directory(directory_sectors * self.sector // 128))
            self._put(out, fat_at, links.tobytes())
            self._put_difat(out, fat_at, difat_at)
            out.seek(0)
            out.write(self._header(directory_at, fat_at, mini_fat_at, difat_at))
        return path

    def _fat(self, total: int) -> tuple[array[int], list[int], list[int]]:
        """Return a FAT for so many sectors and those it is in itself, and the sectors of FAT and DIFAT."""
        a_sector = self.sector // 4
        fat_sectors = difat_sectors = 0
        while fat_sectors * a_sector < total + fat_sectors + difat_sectors + 1:
            fat_sectors += 1
            difat_sectors = max(0, -(-(fat_sectors - 109) // (a_sector - 1)))
        behind = [at for at in range(total, total + fat_sectors + difat_sectors + 1) if not self._lock(at)]
        fat_at, difat_at = behind[:fat_sectors], behind[fat_sectors : fat_sectors + difat_sectors]
        links = array("I", [FREE]) * (fat_sectors * a_sector)
        if self._lock((LOCK >> 12) - 1) and behind[-1] >= LOCK >> 12:
            links[(LOCK >> 12) - 1] = END
        for at in fat_at:
            links[at] = FATSECT
        for at in difat_at:
            links[at] = DIFSECT
        return links, fat_at, difat_at

    def _put_difat(self, out: Any, fat_at: list[int], difat_at: list[int]) -> None:
        room = self.sector // 4 - 1
        for number, at in enumerate(difat_at):
            part = fat_at[109 + number * room : 109 + (number + 1) * room]
            follows = difat_at[number + 1] if number + 1 < len(difat_at) else END
            self._put(out, [at], array("I", part + [FREE] * (room - len(part)) + [follows]).tobytes())

    def _header(self, directory_at: list[int], fat_at: list[int], mini_fat_at: list[int], difat_at: list[int]) -> bytes:
        fields = struct.pack(
            "<8s16sHHHHH6sIIIIIIIII",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            bytes(16),
            0x3E,
            self.major,
            0xFFFE,
            9 if self.major == 3 else 12,
            6,
            bytes(6),
            0 if self.major == 3 else len(directory_at),
            len(fat_at),
            directory_at[0],
            0,
            4096,
            mini_fat_at[0] if mini_fat_at else END,
            len(mini_fat_at),
            difat_at[0] if difat_at else END,
            len(difat_at),
        )
        return fields + array("I", fat_at[:109] + [FREE] * (109 - len(fat_at[:109]))).tobytes()

    def _lock(self, at: int) -> bool:
        return self.major == 4 and (at + 1) * self.sector <= LOCK < (at + 2) * self.sector

    def _places(self, count: int) -> list[int]:
        places = list(range(count + 1))
        if self.major == 4 and count > LOCK >> 12:
            places.remove((LOCK >> 12) - 1)
        places = places[:count]
        if self.chance is not None:
            self.chance.shuffle(places)
            if self.first_at_0:
                where = places.index(0)
                places[0], places[where] = places[where], places[0]
        return places

    @staticmethod
    def _chain(links: array[int], mine: list[int]) -> None:
        if len(mine) > 10_000 and mine[-1] - mine[0] == len(mine) - 1:
            links[mine[0] : mine[-1]] = array("I", range(mine[0] + 1, mine[-1] + 1))
        else:
            for at, follows in itertools.pairwise(mine):
                links[at] = follows
        if mine:
            links[mine[-1]] = END

    def _put(self, out: Any, mine: list[int], octets: bytes, leftovers: bytes = b"") -> None:
        if leftovers:
            room = len(mine) * self.sector - len(octets)
            octets += (leftovers * (room // len(leftovers) + 1))[:room]
        for number, at in enumerate(mine):
            out.seek((at + 1) * self.sector)
            out.write(octets[number * self.sector : (number + 1) * self.sector])

    def _children(self, tree: Tree) -> int:
        numbers: dict[str, int] = {}
        for name, one in tree.items():
            numbers[name] = len(self.entries)
            if isinstance(one, dict):
                self.entries.append([name, 1, bytes(range(16)), NONE, NONE, NONE, 0, 0])
                self.entries[numbers[name]][5] = self._children(one)
                continue
            size = one if isinstance(one, int) else len(one)
            entry = [name, 2, bytes(16), NONE, NONE, NONE, END, size]
            self.entries.append(entry)
            if size >= 4096:
                self.large.append((numbers[name], one))
            elif size:
                entry[6] = len(self.mini) // 64
                count = -(-size // 64)
                self.mini_links += [*range(entry[6] + 1, entry[6] + count), END]
                octets = bytes(one) if isinstance(one, bytes) else bytes(size)
                room = count * 64 - size
                filled = (self.leftovers * (room // len(self.leftovers) + 1))[:room] if self.leftovers else bytes(room)
                self.mini += octets + filled
        # By code units in upper case, the shorter name first: here all names are their own upper case or ASCII.
        order = sorted(numbers, key=lambda name: (len(name.encode("utf-16-le")), name.upper()))
        return self._balanced([numbers[name] for name in order])

    def _balanced(self, numbers: list[int]) -> int:
        if not numbers:
            return NONE
        middle = len(numbers) // 2
        self.entries[numbers[middle]][3] = self._balanced(numbers[:middle])
        self.entries[numbers[middle]][4] = self._balanced(numbers[middle + 1 :])
        return numbers[middle]

    def _directory(self, count: int) -> bytes:
        made = bytearray()
        for name, kind, clsid, left, right, child, start, size in self.entries:
            raw = name.encode("utf-16-le")
            times = bytes(16) if kind == 2 else bytes(8) + struct.pack("<Q", 0x01D2A741E1929AC0)
            made += struct.pack(
                "<64sHBBIII16s4s16sIQ",
                raw,
                len(raw) + 2,
                kind,
                1,
                left,
                right,
                child,
                clsid,
                bytes(4),
                times,
                start,
                size,
            )
        unused = bytes(68) + b"\xff" * 12 + bytes(48)
        return bytes(made + unused * (count - len(self.entries)))
