"""Broken scripts, cabinets and catalogues by the thousand: what a child of ``test_windows_hostile`` reads.

``python mutating_documents.py FOLDER FIRST COUNT LIMIT`` mutates the files in FOLDER, and makes some up; reads each in
every way there is, under a limit of memory; and prints one JSON object of what came of it.
"""

from __future__ import annotations

import collections
import json
import random
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privyseal.formats.protocol import EmbeddedSignature

EDGES = (0, 1, 2, 4, 7, 8, 0x0F, 0x10, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000)
LARGE_EDGES = (0x7FFFFFFF, 0x80000000, 0xFFFFFFF8, 0xFFFFFFFE, 0xFFFFFFFF)
LINES = (
    "\r\n# SIG # Begin signature block\r\n",
    "\n# SIG # Begin signature block\n",
    "# SIG # End signature block\r\n",
    "<!-- SIG # Begin signature block -->\r\n",
    "\r\n<!-- SIG # End signature block -->\r\n",
    "\r\n/* SIG # Begin signature block */\r\n",
    "\r\n'' SIG '' Begin signature block\r\n",
    "\r\n'' SIG '' End signature block\r\n",
    "\r\n// SIG // Begin signature block\r\n",
    "\r\n// SIG // End signature block\r\n",
    "\r\n<signature>\r\n",
    "\r\n</signature>\r\n",
    "</job>",
    "<job>",
    "# QUJD\r\n",
    "** SIG ** QUJD\r\n",
    "\r\n",
    "\r",
    "\n",
    "\ufeff",
    "\0",
    "\u4100",
    "\U0001f600",
    "=",
    "# ",
)
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\0\0\xfe\xff", b"\xef\xbb")


def break_anything(octets: bytearray, chance: random.Random) -> None:
    """Break something that any file has."""
    way = chance.choice(("octet", "bit", "cut", "copy", "drop", "grow", "length"))
    at = chance.randrange(len(octets))
    if way == "octet":
        octets[at] = chance.randrange(256)
    elif way == "bit":
        octets[at] ^= 1 << chance.randrange(8)
    elif way == "cut":
        del octets[at:]
    elif way == "copy":
        end = min(len(octets), at + chance.choice((1, 2, 64, 3000)))
        to = chance.randrange(len(octets))
        octets[to:to] = octets[at:end]
    elif way == "drop":
        del octets[at : at + chance.choice((1, 2, 3, 64, 3000))]
    elif way == "grow":
        octets += bytes(chance.choice((1, 7, 8, 4096))) if chance.random() < 0.5 else b"\r\nmore"
    else:
        octets[at : at + 5] = chance.choice((b"\x30\x80\0\0\0", b"\x30\x84\xff\xff\xff", b"\x24\x80\x24\x80\x24"))


def _text(octets: bytearray, chance: random.Random) -> None:
    """Break what only text has: lines of blocks, line ends, byte order marks, encodings."""
    way = chance.choice(("line", "line", "line", "mark", "ends", "case", "encoding", "twice"))
    wide = bytes(octets[:2]) in (b"\xff\xfe", b"\xfe\xff")
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(bytes(octets[:2]), "utf-8")
    if way == "line":
        piece = "".join(chance.choices(LINES, k=chance.choice((1, 1, 2, 5)))).encode(encoding, "replace")
        at = chance.randrange(len(octets))
        at -= at % 2 if wide and chance.random() < 0.9 else 0
        octets[at:at] = piece
    elif way == "mark":
        mark = chance.choice(MARKS)
        at = chance.choice((0, 0, chance.randrange(len(octets))))
        octets[at : at + chance.choice((0, 2, 3))] = mark
    elif way == "ends":
        from_end, to_end = chance.sample(("\r\n", "\n", "\r", ""), 2)
        old = from_end.encode(encoding)
        if old:
            octets[:] = bytes(octets).replace(old, to_end.encode(encoding), chance.choice((1, 3, -1)))
    elif way == "case":
        octets[:] = octets.swapcase()
    elif way == "encoding":
        text = bytes(octets).decode(encoding, "replace")
        octets[:] = text.encode(chance.choice(("utf-16", "utf-16-be", "utf-8-sig", "utf-32", "latin-1")), "replace")
    else:
        octets += octets[len(octets) // 2 :]


def _number(octets: bytearray, chance: random.Random) -> None:
    """Break a number of a cabinet's headers."""
    size = chance.choice((1, 2, 4))
    at = chance.randrange(0, min(0x60, max(1, len(octets) - size)))
    value = chance.choice((*EDGES, *LARGE_EDGES, len(octets), len(octets) - 1, chance.getrandbits(32)))
    octets[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


def break_element(octets: bytearray, chance: random.Random) -> None:
    """Break tag or length of something in a catalogue."""
    heads = [at for at in range(len(octets) - 2) if octets[at] in (0x30, 0x31, 0xA0, 0x06, 0x02)]
    if heads:
        at = chance.choice(heads)
        octets[at + chance.choice((0, 1, 1, 2))] = chance.choice((0, 1, 0x30, 0x7F, 0x80, 0x81, 0x84, 0xFF))


OWN: dict[str, Callable[[bytearray, random.Random], None]] = {".cab": _number, ".cat": break_element}

BLOBS: dict[str, bytes] = {}
"""What stands for a signature where a format looks into one that it is to put into a file; else anything does."""
GROWTH = 2000
"""Octets by which a file without signatures may be larger: XML that is changed is not packed again."""


def mutant(original: bytes, suffix: str, chance: random.Random) -> bytes:
    """Return the file with one to four things broken."""
    octets = bytearray(original)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if not octets:
            break
        (OWN.get(suffix, _text) if chance.random() < 0.6 else break_anything)(octets, chance)
    return bytes(octets)


def made_up(suffix: str, chance: random.Random) -> bytes:
    """Return a file of the kind that nobody ever wrote."""
    if suffix == ".cab":
        from tests.formats.cab_builder import cabinet

        folders = [[bytes(chance.choice((0, 1, 300))) for _ in range(chance.randrange(3))] for _ in range(3)]
        how: dict[str, object] = {"folders": folders[: chance.randrange(4)], "block": chance.choice((1, 7, 32768))}
        if chance.random() < 0.6:
            how["reserve"] = chance.randbytes(4) + bytes(chance.choice((0, 4, 16, 20, 300)))
        how["folder_reserve"], how["block_reserve"] = chance.choice((0, 0, 255)), chance.choice((0, 0, 9))
        how["flags"], how["number"] = chance.choice((0, 0, 0, 3)), chance.choice((0, 0, 0, 9))
        return cabinet(**how)
    if suffix == ".cat":
        from tests.formats.cat_builder import catalogue, member, wrapped

        content = chance.randbytes(chance.choice((0, 2, 40)))
        return chance.choice((catalogue(member(chance.randbytes(32))), wrapped(content), wrapped(content, content)))
    pieces = chance.choices((*LINES, "text", " ", "' quoted"), k=chance.randrange(1, 40))
    encoding = chance.choice(("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"))
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    return mark + "".join(pieces).encode(encoding, "replace")


ROOM: dict[str, int] = {}
"""By how many octets more a file may grow, also when signatures are removed: what was packed is written anew."""
BLOBS: dict[str, bytes] = {}
"""What is taken for a signature, where those of a kind are not in DER."""


def same(octets: bytes, original: bytes, suffix: str) -> bool:
    """Tell whether a file says the same as the original: in most formats, whether it is the same."""
    return octets == original


def read_every_way(octets: bytes, filename: str) -> str:
    """Inspect, examine, describe, add to, remove; return what came of it. Only our own errors are let through."""
    from tests.formats.test_pe_layout import Held

    from privyseal.errors import BadInput, MalformedCode
    from privyseal.formats import catalogue
    from privyseal.formats.examine import examine
    from privyseal.formats.protocol import Identity, Insert
    from privyseal.terms.signatures import Options

    code = Held(octets)
    code.filename = filename
    try:
        code_format = catalogue.recognise(code)
        examined = examine(code_format, code)
    except MalformedCode as error:
        assert error.detail.endswith("."), error.detail
        assert "\n" not in error.detail and len(error.detail) < 500, error.detail
        return "malformed"
    assert examined.layout.carries_signature in (None, bool(examined.signatures))
    code_format.summarise(code, examined.layout)
    try:
        prepared = code_format.prepare(code, examined.layout, Identity((), ""), Options(), "sha256")
        for mode in ("append", "replace"):
            blobs = [BLOBS.get(Path(filename).suffix, b"\x30\x03\x02\x01\x01")] * len(prepared.described)
            plan = code_format.apply(code, prepared, Options(mode=mode), blobs)  # type: ignore[arg-type]
            assert plan.size < 2 * len(octets) + 1000 + 2 * sum(map(len, blobs)) + ROOM.get(Path(filename).suffix, 0)
    except BadInput:
        pass
    bare = b"".join(
        step.octets if isinstance(step, Insert) else code.pread(step.offset, step.count)
        for step in code_format.remove(code, examined.layout).steps
    )
    assert len(bare) <= len(octets) + GROWTH * (Path(filename).suffix in BLOBS) + ROOM.get(Path(filename).suffix, 0)
    rest = Held(bare)
    rest.filename = filename
    assert not list(code_format.signatures(rest, code_format.inspect(rest))), "a signature is left"
    problems = [problem.code for one in examined.signatures for problem in one.problems]
    problems += [problem.code for problem in examined.problems]
    problems += ["timestamp" for one in examined.signatures if not timestamp_holds(one)]
    return "objected to" if problems else "accepted" if examined.signatures else "unsigned"


def timestamp_holds(one: EmbeddedSignature) -> bool:
    from privyseal.errors import BadInput, VerificationFailed
    from privyseal.timestamp.token import verify_token

    try:
        return one.timestamp is None or bool(verify_token(one.timestamp, octets=one.signature_value))
    except (BadInput, VerificationFailed):
        return False


def main(folder: Path, first: int, count: int, limit: int) -> None:
    """Read ``count`` files from seed ``first`` on under ``limit`` MiB of address space, and print what came of it."""
    originals = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    for name, octets in originals:
        read_every_way(octets, name)  # imports everything, so that the limit is about the files
    resource.setrlimit(resource.RLIMIT_AS, (limit << 20, limit << 20))
    warnings.filterwarnings("ignore", "Parsed a serial number")
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    longest = 0.0
    for seed in range(first, first + count):
        chance = random.Random(seed)
        name, original = originals[seed % len(originals)]
        suffix = Path(name).suffix
        octets = made_up(suffix, chance) if chance.random() < 0.15 else mutant(original, suffix, chance)
        start = time.perf_counter()
        try:
            outcome = read_every_way(octets, name)
        except BaseException as error:
            outcome = "failed"
            wrong.append(f"{seed} ({name}): {type(error).__name__}: {error}")
        if outcome == "accepted" and not same(octets, original, suffix):
            outcome = "accepted anew"
        outcomes[outcome] += 1
        longest = max(longest, time.perf_counter() - start)
    print(json.dumps({"outcomes": outcomes, "longest": longest, "wrong": wrong[:20]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:5]))
