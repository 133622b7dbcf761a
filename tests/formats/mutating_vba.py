"""Broken documents with macros by the thousand: what a child of ``test_vba_hostile`` reads.

``python mutating_vba.py FOLDER FIRST COUNT LIMIT`` as ``mutating_documents.py``, whose other half this uses. A checksum
stands before most of a document, so most is broken where it is unpacked, and packed again with the right one.
"""

from __future__ import annotations

import io
import random
import struct
import sys
import zipfile
from pathlib import Path

from tests.formats import mutating_documents, vba_builder
from tests.formats.mutating_documents import EDGES, LARGE_EDGES
from tests.formats.mutating_packages import NAMES, XML
from tests.formats.vba_builder import Macros, files, packed, project, relations
from tests.formats.zip_builder import File, archive

SUFFIXES = (".xlsm", ".docm", ".pptm")
BOMB = b"\1" + (b"\3\xb0\2a" + struct.pack("<H", 4092)) * 1500
"""Some 9,000 octets that become 6 MiB."""
WORDS = (
    b"Attribute VB_Exposed = true",
    b"attribute VB_Name = x",
    b"\r",
    b"\n",
    b"BaseClass=UserForm1",
    b"[",
    b"=",
    b'"',
)


def _parts(octets: bytearray) -> list[File] | None:
    """Return what is in a document; None where it cannot be read any more."""
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as opened:
            return [File(name.encode(), opened.read(name), packed=False) for name in opened.namelist()]
    except Exception:  # whatever Python's reader says of it
        return None


def _document(octets: bytearray, chance: random.Random) -> None:
    """Break one part of a document: mostly the project, or a signature."""
    parts = _parts(octets)
    if not parts:
        mutating_documents.break_anything(octets, chance)
        return
    kinds = [number for number, one in enumerate(parts) if one.name.endswith(b".bin")]
    at = chance.choice(kinds) if kinds and chance.random() < 0.8 else chance.randrange(len(parts))
    part = bytearray(parts[at].octets)
    if parts[at].name.endswith(b"vbaProject.bin"):
        chance.choice((_compound, _compound, _packed, _stream))(part, chance)
    elif parts[at].name.endswith(b".bin"):
        chance.choice((_number, mutating_documents.break_anything, mutating_documents.break_element))(part, chance)
    elif chance.random() < 0.5:
        part[:] = chance.choice(XML)
    else:
        old, new = chance.choice(
            ((b"Target", b"target"), (b"V3", b"V4"), (b"rId", b"x"), (b".bin", b".xml"), (b"<", b""))
        )
        part[:] = part.replace(old, new, chance.choice((1, -1)))
    parts[at] = File(chance.choice(NAMES) if chance.random() < 0.03 else parts[at].name, bytes(part), packed=False)
    octets[:] = archive(parts)


def _compound(octets: bytearray, chance: random.Random) -> None:
    """Break a number of the compound file: of its header, FAT or directory."""
    size = chance.choice((1, 2, 4))
    at = chance.choice((chance.randrange(0x18, 0x60), 128 * chance.randrange(4, 1 + len(octets) // 128) + 64))
    at = min(at + chance.randrange(0, 64, 4), max(0, len(octets) - size))
    value = chance.choice((*EDGES, *LARGE_EDGES, len(octets) // 512, chance.getrandbits(32)))
    octets[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


def _packed(octets: bytearray, chance: random.Random) -> None:
    """Break what is packed, where it stands."""
    places = [at for at in range(len(octets) - 3) if octets[at] == 1 and octets[at + 2] & 0xF0 == 0xB0]
    if places:
        at = chance.choice(places) + chance.randrange(1, 200)
        octets[at : at + 1] = bytes([chance.randrange(256)])


def _number(octets: bytearray, chance: random.Random) -> None:
    """Break a number that stands before a message."""
    at = 4 * chance.randrange(9)
    value = chance.choice((*EDGES, *LARGE_EDGES, len(octets), len(octets) - 36, chance.getrandbits(32)))
    octets[at : at + 4] = struct.pack("<I", value % (1 << 32))


def _stream(octets: bytearray, chance: random.Random) -> None:
    """Put another project in the place of this one."""
    octets[:] = _project(chance)


def _project(chance: random.Random) -> bytes:
    """Return a project of the kind that nobody ever wrote."""
    macros = Macros()
    whole = vba_builder.tree(macros)
    modules = whole["VBA"]
    directory = bytearray(vba_builder.directory(macros))
    for _ in range(chance.choice((0, 1, 1, 3))):
        way = chance.choice(("record", "size", "cut", "twice", "text", "properties", "bomb", "drop", "form", "offset"))
        at = chance.randrange(len(directory))
        if way == "record":
            directory[at] = chance.randrange(256)
        elif way == "size":
            directory[at : at + 4] = struct.pack("<I", chance.choice((*EDGES, *LARGE_EDGES)) % (1 << 32))
        elif way == "cut":
            del directory[at:]
        elif way == "twice":
            directory[at:at] = directory[at : at + chance.choice((6, 40, 500))]
        elif way == "text":
            words = b"\r\n".join(chance.choices(WORDS, k=5)) + chance.choice((b"", b"\r\n"))
            modules["Module1"] = macros.modules[1].compiled + packed(words)
        elif way == "properties":
            whole["PROJECT"] = b"\r\n".join(chance.choices((*WORDS, b"[Host Extender Info]", b"Name=x"), k=9))
        elif way == "bomb":
            modules[chance.choice(("dir", "Module1"))] = BOMB
        elif way == "drop":
            place = chance.choice((whole, modules))
            if place:
                del place[chance.choice(sorted(place))]
        elif way == "form":
            whole["UserForm1"] = {"f": {"f": {"f": b"deep"}}, "A": b"", "i01": bytes(chance.choice((0, 1023, 9000)))}
        else:
            directory[:] = directory.replace(struct.pack("<I", len(macros.modules[0].compiled)), b"\xff\xff\0\0")
    if chance.random() < 0.8:
        modules["dir"] = packed(bytes(directory))
    return project(streams=whole, major=chance.choice((3, 3, 4)))


def made_up(suffix: str, chance: random.Random) -> bytes:
    """Return a document that nobody ever wrote: another project, parts that are twice there, relationships astray."""
    parts = files(suffix[1:], _project(chance))  # type: ignore[arg-type]
    at = chance.randrange(len(parts))
    way = chance.choice(("", "", "drop", "twice", "name", "xml", "many"))
    if way == "drop":
        del parts[at]
    elif way == "twice":
        parts.append(File(parts[at].name.swapcase(), parts[at].octets))
    elif way == "name":
        parts[at] = File(chance.choice(NAMES), parts[at].octets)
    elif way == "xml":
        parts[at] = File(parts[at].name, chance.choice(XML))
    elif way == "many":
        kinds = ("2006/relationships/vbaProjectSignature", "2020/07/relationships/vbaProjectSignatureV3")
        rows = [(f"http://schemas.microsoft.com/office/{kind}", f"{kind.split('/')[-1]}.bin") for kind in kinds]
        folder = {".xlsm": "xl", ".docm": "word", ".pptm": "ppt"}[suffix]
        parts = [one for one in parts if not one.name.endswith(b"vbaProject.bin.rels")]
        parts.append(File(f"{folder}/_rels/vbaProject.bin.rels".encode(), relations(*rows)))
        parts += [File(f"{folder}/{file}".encode(), chance.randbytes(chance.choice((0, 36, 400)))) for _, file in rows]
    return archive(parts)


mutating_documents.OWN.update(dict.fromkeys(SUFFIXES, _document))
mutating_documents.made_up = made_up

if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).iterdir()):
        with zipfile.ZipFile(path) as document:
            for name in document.namelist():
                if "Signature" in name:
                    part = document.read(name)
                    mutating_documents.BLOBS[path.suffix] = part[36 : 36 + int.from_bytes(part[:4], "little")]
    mutating_documents.main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:5]))
