"""Broken containers by the thousand, looked into and made anew: what a child of ``test_inside_hostile`` reads.

``python mutating_inside.py FOLDER FIRST COUNT LIMIT`` as ``mutating_documents.py``, whose other half this uses.
"""

from __future__ import annotations

import contextlib
import io
import random
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

from tests.formats import mutating_documents, mutating_packages, pe_builder
from tests.formats.mutating_packages import FORMS, NAMES
from tests.formats.zip_builder import File, app_files, archive, block_map

PROGRAM = pe_builder.program()
REPLACEMENT = b"MZ" + bytes(range(256)) * 300
LARGEST = 1 << 20
"""Octets that may be unpacked of one mutant, all of which are small."""


def _number(octets: bytearray, chance: random.Random) -> None:
    """Break a number of a cabinet's header, folders, files or blocks."""
    at = chance.randrange(min(len(octets), 400))
    size = chance.choice((1, 2, 2, 4))
    value = chance.choice((*mutating_documents.EDGES, *mutating_documents.LARGE_EDGES, len(octets), at))
    octets[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


mutating_documents.OWN.update({".zip": mutating_packages._number, ".cab": _number})


def made_up(suffix: str, chance: random.Random) -> bytes:
    """Return a container of the kind that nobody ever wrote: odd names and maps, nests, bombs, lies about sizes."""
    if suffix == ".cab":
        octets = bytearray(_cab(suffix, chance))
        if chance.random() < 0.5 and len(octets) > 60:
            struct.pack_into("<H", octets, chance.choice((42, 50)), chance.choice((1, 2, 3, 0x1503, 15)))
        return bytes(octets)
    inner = archive([File(b"in.exe", PROGRAM)])
    for _ in range(chance.choice((0, 1, 3, 7))):
        inner = archive([File(b"in.zip", inner)])
    files = [
        File(chance.choice((b"a.exe", *NAMES)), PROGRAM, chance.random() < 0.5, chance.choice(FORMS)),
        File(b"b.zip", inner),
        File(b"bomb.zip", b"PK\5\6" + bytes(chance.choice((100, 2 << 20)))),
        File(b"bomb.exe", PROGRAM[:1024] + bytes(chance.choice((100, 2 << 20)))),
        File(b"c.ps1", chance.choice((b"x", b"# SIG # Begin signature block\r\n", chance.randbytes(50)))),
    ]
    if suffix == ".msix":
        described = [("data.bin", PROGRAM), (chance.choice(("data.bin", "x", "a&amp;b")), b"y")]
        odd = chance.choice((block_map(described), block_map(described[1:]), b"<a/>", b""))
        own = app_files("CN=X", content=PROGRAM)
        files = [File(one.name, odd) if b"BlockMap" in one.name else one for one in own] + files[:1]
    octets = archive(files, zip64=chance.random() < 0.3)
    at = octets.find(b"PK\1\2")
    if chance.random() < 0.3:  # the directory and the header say the same lie about how much it is unpacked
        lie = struct.pack("<I", chance.choice((0, 1, 1 << 20, 0x7FFFFFFF)))
        octets = octets[:22] + lie + octets[26 : at + 24] + lie + octets[at + 28 :]
    return octets


_cab = mutating_documents.made_up


def read_every_way(octets: bytes, filename: str) -> str:
    """Look into it, and make it anew with its first member replaced; only our own errors are let through."""
    from tests.formats.test_pe_layout import Held

    from privyseal.errors import BadInput, MalformedCode
    from privyseal.formats import inside

    def fit(text: str) -> None:
        assert text.endswith(".") and "\n" not in text and len(text) < 600, text
        assert all(each.isprintable() for each in text), text

    code = Held(octets)
    code.filename = filename
    kind = Path(filename).suffix[1:].replace("msix", "appx")
    try:
        container: Any = inside.CONTAINERS[kind](code, None)
    except MalformedCode as error:
        fit(error.detail)
        return "malformed"
    found = inside.look(container, inside.Allowance(LARGEST))
    for name in found.unsigned:
        assert all(each.isprintable() for each in name) and len(name) <= 4 * inside.MAX_SHOWN
    if found.unseen:
        fit(found.unseen)
    if not container.members:
        return "empty"
    new = Held(REPLACEMENT)
    out = io.BytesIO()
    try:
        container.spend = inside.Allowance(LARGEST).take
        container.rebuild({0: new}, out)
        anew: Any = inside.CONTAINERS[kind](Held(out.getvalue()), None)
        assert b"".join(anew.octets(0)) == REPLACEMENT
        assert all(container.unchanged(number, anew) for number in range(1, len(container.members)))
    except BadInput as error:
        fit(error.detail)
        return "refused"
    if kind != "cab":  # zipfile does not read what needs a version that there is none of
        with contextlib.suppress(NotImplementedError), zipfile.ZipFile(out) as judge:
            first = min((one for one in judge.infolist() if not one.is_dir()), key=lambda one: one.header_offset)
            assert judge.read(first) == REPLACEMENT
    return "partly seen" if found.unseen else "rebuilt"


mutating_documents.made_up = made_up
mutating_documents.read_every_way = read_every_way

if __name__ == "__main__":
    mutating_documents.main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:5]))
