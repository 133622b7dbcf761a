"""The chains of a compound file: FAT and MiniFAT say of each sector which one follows it.

Source: MS-CFB 2.1 (special values), 2.3 (FAT), 2.4 (MiniFAT). A chain is kept as runs of sectors that follow one
another, for most streams are written in one go: a gigabyte in 512-octet sectors is one pair of numbers instead of two
million. Every sector is noted as owned when a chain passes it, so a loop, and two chains that share a sector, are found
at once, and a walk always ends.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator

from privyseal.errors import MalformedCode

DIFAT_SECTOR = 0xFFFFFFFC
FAT_SECTOR = 0xFFFFFFFD
END_OF_CHAIN = 0xFFFFFFFE
FREE = 0xFFFFFFFF
"""DIFSECT, FATSECT, ENDOFCHAIN and FREESECT (MS-CFB 2.1): what a sector is, in the place of the next one's number."""

_MANY = 1024
"""Links compared at once."""
_ONES = sum(1 << 32 * place for place in range(_MANY))
_RISING = sum(place << 32 * place for place in range(_MANY))

Runs = array  # of "I": first sector and count, in turn
Refusal = Callable[[str], MalformedCode]
"""Makes the error that says why the file at hand cannot be read."""


def numbers(octets: bytes = b"") -> array[int]:
    """Return 32-bit little-endian numbers as an array."""
    found = array("I", octets)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def octets_of(links: array[int]) -> bytes:
    """Return the numbers as they stand in a file."""
    if sys.byteorder == "big":
        links = links[:]
        links.byteswap()
    return links.tobytes()


def pairs(runs: array[int]) -> Iterator[tuple[int, int]]:
    """Yield first sector and count of each run."""
    return zip(runs[::2], runs[1::2], strict=True)


def sectors_of(runs: array[int]) -> Iterator[int]:
    """Yield every sector of a chain, in its order."""
    for first, count in pairs(runs):
        yield from range(first, first + count)


def length(runs: array[int]) -> int:
    """Return how many sectors a chain has."""
    return sum(runs[1::2])


class Table:
    """What follows each sector, and which sectors belong to something."""

    __slots__ = ("_refuse", "links", "owned")

    def __init__(self, links: array[int], count: int, refuse: Refusal) -> None:
        """Take the ``links`` of ``count`` sectors; those behind belong to no sector that there is."""
        self.links = links
        self.owned = bytearray(count)
        self._refuse = refuse

    def claim(self, sector: int, what: str) -> None:
        """Note that one sector belongs to ``what``; MalformedCode where it is none or belongs to something else."""
        if sector >= len(self.owned):
            raise self._refuse(f"{what} is said to be in sector {sector}, and there are {len(self.owned)}")
        if self.owned[sector]:
            raise self._refuse(f"{what} is said to be in sector {sector}, which belongs to something else")
        self.owned[sector] = 1

    def walk(self, first: int, least: int, what: str) -> array[int]:
        """Return the runs of the chain of ``what`` that begins at ``first``; it must have ``least`` sectors or more.

        MalformedCode where it leaves the file, meets itself or another chain, or ends too early.
        """
        runs, total, at = array("I"), 0, first
        end = min(len(self.owned), len(self.links))
        while at != END_OF_CHAIN:
            if at >= end:
                raise self._refuse(f"the chain of {what} goes on at sector {at:#x}, and there are {end}")
            count = self._run(at, end)
            if (met := self.owned.find(1, at, at + count)) >= 0:
                raise self._refuse(f"the chain of {what} comes to sector {met}, which a chain has passed before")
            self.owned[at : at + count] = b"\1" * count
            runs.append(at)
            runs.append(count)
            total += count
            at = self.links[at + count - 1]
        if total < least:
            raise self._refuse(f"the chain of {what} has {total} sectors, and {least} were expected")
        return runs

    def _run(self, at: int, end: int) -> int:
        """Return how many sectors from ``at`` on, ``end`` left out, each lead to the next one."""
        links, now = self.links, at
        while now + 1 < end and links[now] == now + 1:
            if now + _MANY < end and links[now + _MANY - 1] == now + _MANY:
                many = int.from_bytes(octets_of(links[now : now + _MANY]), "little")
                if many == (now + 1) * _ONES + _RISING:
                    now += _MANY
                    continue
            now += 1
        return now - at + 1

    def strangers(self) -> Iterator[tuple[int, int]]:
        """Yield first sector and count of each run that belongs to nothing."""
        at = self.owned.find(0)
        while at >= 0:
            end = self.owned.find(1, at)
            end = len(self.owned) if end < 0 else end
            yield at, end - at
            at = self.owned.find(0, end)
