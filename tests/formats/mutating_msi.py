"""Broken installers by the thousand, from a seed: what a child process of ``test_msi_hostile`` reads and signs.

``python mutating_msi.py FOLDER FIRST COUNT LIMIT``, as ``mutating.py``. What can be read is signed, signed besides and
taken off too, and what comes of it must be readable and tidy.
"""

from __future__ import annotations

import collections
import contextlib
import json
import random
import resource
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from tests.formats.mutating import EDGES, LARGE_EDGES, NOW

SPECIAL = (0xFFFFFFFA, 0xFFFFFFFB, 0xFFFFFFFC, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF)
_HEADER_FIELDS = (24, 26, 28, 30, 32, 40, 44, 48, 52, 56, 60, 64, 68, 72, 76, 80, 84, 508)
_ENTRY_FIELDS = ((64, 2), (66, 1), (67, 1), (68, 4), (72, 4), (76, 4), (96, 4), (100, 8), (116, 4), (120, 4), (124, 4))


def mutant(original: bytes, chance: random.Random) -> bytes:
    """Return the file with one to three things broken: structure or signature, or cut and moved."""
    octets = bytearray(original)
    sector = 4096 if octets[26] == 4 else 512
    many = len(octets) // sector
    values: Sequence[int] = (*EDGES, *LARGE_EDGES, *SPECIAL, many - 1, many, many + 1, len(octets))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        way = chance.choice(
            ("header", "fat", "fat", "minifat", "entry", "entry", "entry", "octet", "der", "cut", "copy")
        )
        value = chance.choice((chance.choice(values), chance.randrange(many + 2)))
        if way == "header":
            _set(octets, chance.choice(_HEADER_FIELDS), chance.choice((2, 4)), value)
        elif way == "fat":
            fat = (_number(octets, 76) + 1) * sector
            _set(octets, fat + 4 * chance.randrange(many + 1), 4, value)
        elif way == "minifat":
            _set(octets, (_number(octets, 60) + 1) * sector + 4 * chance.randrange(60), 4, value)
        elif way == "entry":
            at, size = chance.choice(_ENTRY_FIELDS)
            directory = (_number(octets, 48) + 1) * sector
            _set(octets, directory + 128 * chance.randrange(sector // 128) + at, size, value)
        elif way == "octet":
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        elif way == "der":
            at = original.find(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
            _set(octets, max(0, at) + chance.randrange(1500), 1, chance.randrange(256))
        elif way == "cut":
            del octets[chance.randrange(64, len(octets)) :]
            break
        else:
            a, b = sorted(chance.randrange(0, len(octets), sector) for _ in range(2))
            octets[a : a + min(b - a, 3 * sector)] = octets[b : b + min(b - a, 3 * sector)]
            octets = octets[: len(original)]
    return bytes(octets)


def _number(octets: bytearray, at: int) -> int:
    return int.from_bytes(octets[at : at + 4], "little") & 0xFFFFF


def _set(octets: bytearray, at: int, size: int, value: int) -> None:
    if at + size <= len(octets):
        octets[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


def read_every_way(octets: bytes) -> str:
    """Inspect, examine, sign, add, timestamp, remove; return what came of it. Only our own errors are let through."""
    from tests.formats.test_cfb_changes import carried_out
    from tests.formats.test_pe_layout import Held

    from privyseal.errors import BadInput, MalformedCode, VerificationFailed
    from privyseal.formats import catalogue, cfb, cfb_tidy
    from privyseal.formats.examine import examine
    from privyseal.formats.protocol import Identity, PatchPlan
    from privyseal.terms.signatures import Options, TimestampToken
    from privyseal.timestamp.token import verify_token

    def made(plan: PatchPlan) -> None:
        outcome = Held(carried_out(plan, octets))
        assert outcome.size == plan.size < len(octets) + 200_000
        assert list(cfb_tidy.untidy(outcome, cfb.read(outcome))) == []

    code = Held(octets)
    try:
        msi = catalogue.BY_NAME["msi"]
        catalogue.recognise(code)
        examined = examine(msi, code)
    except MalformedCode as error:
        assert error.detail.endswith("."), error.detail
        assert "\n" not in error.detail and len(error.detail) < 500, error.detail
        return "malformed"
    msi.summarise(code, examined.layout)
    ways = (Options(), Options(mode="append"), Options(extended=False))
    for options in (ways[len(octets) % 3], ways[sum(octets[512:600]) % 3]):
        try:
            prepared = msi.prepare(code, examined.layout, Identity((), ""), options, "sha256")
            made(msi.apply(code, prepared, options, [b"\x30\x03abc" * 1000]))
        except BadInput:
            assert options.mode == "append"
    if examined.signatures:
        made(msi.remove(code, examined.layout))
    with contextlib.suppress(BadInput):
        made(msi.timestamped(code, examined.layout, {0: TimestampToken(b"\x05\0", NOW, "", "")}))
    problems = [problem.code for one in examined.signatures for problem in one.problems]
    problems += [problem.code for problem in examined.problems]
    for one in examined.signatures:
        if one.timestamp is not None:
            try:
                verify_token(one.timestamp, octets=one.signature_value)
            except (BadInput, VerificationFailed):
                problems.append("timestamp")
    return "objected to" if problems else "accepted" if examined.signatures else "unsigned"


def differs(octets: bytes, original: bytes) -> bool:
    """Tell whether a mutant differs in more than what a writer may choose."""
    from tests.formats.test_msi_every_octet import chosen

    if len(octets) != len(original):
        return True
    free = chosen(original) | empty_starts(original)
    return any(one != other and at not in free for at, (one, other) in enumerate(zip(octets, original, strict=True)))


def empty_starts(octets: bytes) -> set[int]:
    """Return where entries without content say that they begin: nowhere, in either of two ways."""
    from tests.formats.test_pe_layout import Held

    from privyseal.formats import cfb, cfb_directory, cfb_table

    found = cfb.read(Held(octets))
    sectors = list(cfb_table.sectors_of(found.directory_runs))
    places: set[int] = set()
    for one in found.entries.values():
        if not one.size:
            at = one.number * cfb_directory.SIZE + 116
            start = found.offset(sectors[at // found.header.sector]) + at % found.header.sector
            places |= set(range(start, start + 4))
    return places


def main(folder: Path, first: int, count: int, limit: int) -> None:
    """Read ``count`` mutants from seed ``first`` on under ``limit`` MiB of address space, and print what came of it."""
    paths = sorted(folder.iterdir())
    originals = [path.read_bytes() for path in paths]
    # In the others, signed plainly or by another, not every octet is bound.
    bound = {octets for octets, path in zip(originals, paths, strict=True) if path.name.startswith("v")}
    for original in originals:  # imports everything, so that the limit is about the files
        read_every_way(original)
        differs(original, original)
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
        if outcome == "accepted" and original in bound and differs(octets, original):
            wrong.append(f"{seed}: a mutant was accepted")
        outcomes[outcome] += 1
        longest = max(longest, time.perf_counter() - start)
    print(json.dumps({"outcomes": outcomes, "longest": longest, "wrong": wrong[:20]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:5]))
