"""The checksum in a PE header, which Windows asks of drivers, boot code and what it loads into critical processes.

It is the file as a row of 16-bit little-endian words, the field itself taken as zero, added with every carry brought
back in (so modulo 65535, as in RFC 1071), plus the size of the file. Microsoft describes it only as what IMAGHELP.DLL's
CheckSumMappedFile computes ("PE Format", "Optional Header Windows-Specific Fields").

The sum of a row of words is, modulo 65535, the row as one large number, for 65536 is 1: Python adds up 1.2 GB/s that
way, and numpy 6. But numpy takes 0.1 s and 12 MiB to import, so it is imported when what has been added without it has
cost as much (renting until the rent equals the price: never more than twice the best).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

WITHOUT_NUMPY = 256 << 20
"""Octets this process adds up before numpy pays: 0.65 s per GB saved against 0.1 s and 12 MiB for the import."""

_BLOCK = 1 << 12
"""Octets turned into one number at a time: less costs calls, more a long division at the end."""

Adder = Callable[[memoryview], int]
"""Adds the 16-bit words of octets up, as far as the checksum needs them."""


class _Rent:
    """How much has been added without numpy; the lock guards the choice, which threads make."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.paid = 0
        self.bought: Adder | None = None


_rent = _Rent()


def adder(octets_to_come: int) -> Adder:
    """Return what adds up a row of words best when so many octets are to come.

    It takes octets that begin at an even offset of the file, the last call perhaps an odd number of them, and returns a
    number that is their sum modulo 65535. Calls from several threads are independent.
    """
    with _rent.lock:
        if _rent.bought is None:
            if _rent.paid + octets_to_come <= WITHOUT_NUMPY:
                _rent.paid += octets_to_come
                return _add_plainly
            _rent.bought = _with_numpy()
        return _rent.bought


def _add_plainly(octets: memoryview) -> int:
    total = 0
    for at in range(0, len(octets), _BLOCK):
        total += int.from_bytes(octets[at : at + _BLOCK], "little")
    return total % 0xFFFF


def _with_numpy() -> Adder:
    import numpy  # here, because only large files need it

    def add(octets: memoryview) -> int:
        whole = len(octets) & ~3
        rest = int.from_bytes(octets[whole:], "little")
        if not whole:
            return rest
        words = numpy.frombuffer(octets[:whole], dtype="<u4")
        return (int(numpy.add.reduce(words, dtype=numpy.uint64)) + rest) % 0xFFFF

    return add


def checksum(total: int, size: int) -> int:
    """Return the checksum of a file of ``size`` octets whose words, the field itself left out, add up to ``total``.

    ``total`` may be reduced modulo 65535; an MZ header is never all zero, so a remainder of zero means 65535.
    """
    return ((total % 0xFFFF or 0xFFFF) + size) & 0xFFFFFFFF
