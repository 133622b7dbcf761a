"""Broken PE files by the thousand, from a seed: what a child process of ``test_pe_hostile`` reads under a memory limit.

``python mutating.py FOLDER FIRST COUNT LIMIT`` mutates the files in FOLDER, reads each mutant in every way there is,
and prints one JSON object: how often each outcome came, the longest time one took, and what went wrong.
"""

from __future__ import annotations

import collections
import json
import random
import resource
import struct
import sys
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

NOW = datetime(2026, 11, 30, tzinfo=UTC)

EDGES = (0, 1, 2, 4, 7, 8, 0x10, 0x40, 0x7F, 0x80, 0xFF, 0x100, 0x1FF, 0x200, 0x3FF, 0x7FFF, 0x8000, 0xFFFF, 0x10000)
LARGE_EDGES = (0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFE, 0xFFFFFFFF)


def mutant(original: bytes, chance: random.Random) -> bytes:
    """Return the file with one to three things broken: in headers, table or signature, or cut and moved."""
    octets = bytearray(original)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        end = _table(octets)
        way = chance.choice(("field", "field", "octet", "der", "der", "der", "length", "cut", "copy", "entry", "grow"))
        if way == "field":
            size = chance.choice((2, 4))
            at = chance.randrange(0, min(0x200, len(octets) - size), 2)
            value = chance.choice((*EDGES, *LARGE_EDGES, len(octets), chance.getrandbits(32)))
            octets[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
        elif way == "octet":
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        elif way == "der" and end < len(octets):
            octets[chance.randrange(end, len(octets))] ^= 1 << chance.randrange(8)
        elif way == "length" and end < len(octets) - 6:
            at = chance.randrange(end + 8, len(octets) - 5)
            octets[at : at + 5] = chance.choice((b"\x30\x80\0\0\0", b"\x30\x84\xff\xff\xff", b"\x24\x80\x24\x80\x24"))
        elif way == "cut":
            del octets[chance.randrange(64, len(octets)) :]
        elif way == "copy":
            a, b = sorted(chance.randrange(len(octets)) for _ in range(2))
            octets[a:a] = octets[a : min(b, a + 5000)]
        elif way == "entry" and end + 8 < len(octets):
            value = chance.choice((*EDGES, *LARGE_EDGES, len(octets) - end, len(octets) - end - 1))
            struct.pack_into("<I", octets, end, value)
        elif way == "grow" and end < len(octets):
            octets += bytes(chance.choice((1, 7, 8, 4096)))
        if chance.random() < 0.5:
            _mend_directory(octets, end)
        if len(octets) < 64:
            break
    return bytes(octets)


def _directory(octets: bytearray) -> int:
    pe = int.from_bytes(octets[0x3C:0x40], "little")
    return pe + 24 + (112 if octets[pe + 24 : pe + 26] == b"\x0b\x02" else 96) + 32


def _table(octets: bytearray) -> int:
    at = _directory(octets)
    return min(int.from_bytes(octets[at : at + 4], "little"), len(octets))


def _mend_directory(octets: bytearray, end: int) -> None:
    """Have the directory say where the table ends now, so that what is broken inside it is reached."""
    at = _directory(octets)
    if at + 8 <= len(octets):
        struct.pack_into("<I", octets, at + 4, max(0, len(octets) - end))


def read_every_way(octets: bytes) -> str:
    """Inspect, prepare, examine, add a signature; return what came of it. Only our own errors are let through."""
    from tests.formats.test_pe_layout import Held

    from privyseal.errors import BadInput, MalformedCode, VerificationFailed
    from privyseal.formats import catalogue
    from privyseal.formats.examine import examine
    from privyseal.formats.protocol import Identity
    from privyseal.terms.signatures import Options, TimestampToken
    from privyseal.timestamp.token import verify_token

    code = Held(octets)
    try:
        code_format = catalogue.recognise(code)
        examined = examine(code_format, code)
    except MalformedCode as error:
        assert error.detail.endswith("."), error.detail
        assert "\n" not in error.detail and len(error.detail) < 500, error.detail
        return "malformed"
    try:
        prepared = code_format.prepare(code, examined.layout, Identity((), ""), Options(), "sha256")
        plan = code_format.apply(code, prepared, Options(mode="append"), [b"\x30\x03abc"])
        assert plan.size < len(octets) + 1000
    except BadInput:
        pass
    try:
        paged = Options(page_hashes="sha256")
        prepared = code_format.prepare(code, examined.layout, Identity((), ""), paged, "sha256")
        assert len(prepared.enclosed[0]) % 36 == 0
    except MalformedCode:
        pass
    assert code_format.remove(code, examined.layout).size <= len(octets)
    assert examined.layout.carries_signature is bool(examined.signatures)
    code_format.summarise(code, examined.layout)
    try:
        plan = code_format.timestamped(code, examined.layout, {0: TimestampToken(b"\x05\0", NOW, "", "")})
        assert examined.signatures and plan.size < len(octets) + 1000
    except BadInput:
        pass
    problems = [problem.code for one in examined.signatures for problem in one.problems]
    problems += [problem.code for problem in examined.problems]
    for one in examined.signatures:
        if one.timestamp is not None:
            try:
                verify_token(one.timestamp, octets=one.signature_value)
            except (BadInput, VerificationFailed):
                problems.append("timestamp")
    return "objected to" if problems else "accepted" if examined.signatures else "unsigned"


def main(folder: Path, first: int, count: int, limit: int) -> None:
    """Read ``count`` mutants from seed ``first`` on under ``limit`` MiB of address space, and print what came of it."""
    originals = [path.read_bytes() for path in sorted(folder.iterdir())]
    read_every_way(originals[0])  # imports everything, so that the limit is about the files
    resource.setrlimit(resource.RLIMIT_AS, (limit << 20, limit << 20))
    warnings.filterwarnings("ignore", "Parsed a serial number")
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    longest = 0.0
    for seed in range(first, first + count):
        chance = random.Random(seed)
        original = chance.choice(originals)
        octets = mutant(original, chance)
        start = time.perf_counter()
        try:
            outcome = read_every_way(octets)
        except BaseException as error:
            outcome = "failed"
            wrong.append(f"{seed}: {type(error).__name__}: {error}")
        if outcome == "accepted" and octets != original:
            wrong.append(f"{seed}: a mutant was accepted")
        outcomes[outcome] += 1
        longest = max(longest, time.perf_counter() - start)
    print(json.dumps({"outcomes": outcomes, "longest": longest, "wrong": wrong[:20]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:5]))
