"""Broken variables and capsules of UEFI by the thousand: what a child of ``test_uefi_hostile`` reads.

``python mutating_uefi.py FOLDER FIRST COUNT LIMIT`` as ``mutating_documents.py``, whose other half this uses.
"""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

from tests.formats import mutating_documents
from tests.formats.mutating_documents import EDGES, LARGE_EDGES
from tests.formats.uefi_builder import PKCS7, SHA256, X509, capsule, signature_list


def _number(octets: bytearray, chance: random.Random) -> None:
    """Break a number of the first headers, or one of those that a mark stands before."""
    places = [octets.find(mark) + 16 for mark in (X509, SHA256) if mark in octets]
    places += (
        [octets.find(PKCS7) - 8, 16, 20, 24, 32, 36, 38, 40, 48, 56, 64, 68, 72, 88] if PKCS7 in octets else [16, 24]
    )
    places += [octets.rfind(PKCS7) - back for back in (8, 16, 36, 60)] if octets.count(PKCS7) > 1 else []
    size = chance.choice((1, 2, 4, 8))
    at = max(0, min(len(octets) - size, chance.choice(places) + chance.choice((0, 0, 1, 4, 8))))
    value = chance.choice((*EDGES, *LARGE_EDGES, len(octets), len(octets) - 1, chance.getrandbits(32), 28, 44, 48))
    octets[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


mutating_documents.OWN.update(dict.fromkeys((".esl", ".auth", ".var", ".cap"), _number))


def made_up(suffix: str, chance: random.Random) -> bytes:
    """Return a file of the kind that nobody ever wrote: lists in lists, signatures of nothing, capsules of capsules."""
    size = chance.choice((*EDGES, *LARGE_EDGES, 24, 25, 40))
    head = struct.pack("<IHH", size, chance.choice((0x200, 0x100)), chance.choice((0xEF1, 2))) + PKCS7
    if suffix == ".cap":
        inner = chance.choice((b"", b"x", bytes(8) + head, bytes(8) + head + bytes(300), capsule(), b"MZ" * 50))
        images = [inner] * chance.choice((0, 1, 1, 2, 70))
        drivers = [b"d" * chance.choice((1, 9))] * chance.choice((0, 0, 1, 3))
        octets = capsule(images, drivers, b"v" * chance.choice((0, 0, 5)), chance.choice((1, 2, 3)))
        return octets + chance.choice((b"", b"", b"more"))
    lists = [
        signature_list(chance.choice((X509, SHA256, bytes(16))), [chance.randbytes(chance.choice((0, 1, 32, 200)))])
        for _ in range(chance.choice((0, 1, 3)))
    ]
    time = struct.pack(
        "<HBBBBB9x", chance.choice((0, 2026, 0xFFFF)), chance.randrange(256), chance.randrange(40), 1, 2, 3
    )
    return chance.choice((b"", time + head, time + head + chance.randbytes(40))) + b"".join(lists)


mutating_documents.made_up = made_up

if __name__ == "__main__":
    mutating_documents.main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:5]))
