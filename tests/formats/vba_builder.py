"""Documents with macros made by hand, and what their signatures cover, by the second book.

A project is a :class:`Macros`: texts, references, forms. :func:`project` writes the compound file of it,
:func:`document` a package around that, and :func:`agile` and :func:`v3` say what is hashed: from the model itself, by
the pseudocode of MS-OVBA 2.4.2, without a line of what is under test and without reading any file.
"""

from __future__ import annotations

import functools
import hashlib
import struct
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tests.formats import cfb_builder
from tests.formats.zip_builder import File, archive

Tree = dict[str, Any]
Reference = tuple[str, ...]
"""What kind, then the name and the libraries' names: registered, project (absolute, relative), or control (original,
twiddled, extended)."""

SHEET = (
    'Attribute VB_Base = "0{00020820-0000-0000-C000-000000000046}"\r\nAttribute VB_GlobalNameSpace = False\r\n'
    "Attribute VB_Creatable = False\r\nAttribute VB_PredeclaredId = True\r\nAttribute VB_Exposed = True\r\n"
    "Attribute VB_TemplateDerived = False\r\nAttribute VB_Customizable = True\r\n"
)
"""What every sheet of Excel begins with, behind its name."""


@dataclass(frozen=True)
class Code:
    """One module."""

    name: str
    text: str
    procedural: bool = True
    private: bool = False
    read_only: bool = False
    compiled: bytes = b"what the compiler left " * 3

    @property
    def whole(self) -> bytes:
        return f'Attribute VB_Name = "{self.name}"\r\n{self.text}'.encode("cp1252")


@dataclass(frozen=True)
class Macros:
    """One project."""

    modules: tuple[Code, ...] = (
        Code("ThisWorkbook", SHEET, procedural=False),
        Code("Module1", 'Sub Hello()\r\n    MsgBox "Grüß Gott, Welt"\r\nEnd Sub\r\n' * 3),
        Code("Sheet1", SHEET + 'Attribute VB_Description = "x"\r\nSub Again()\r\nEnd Sub\r\n', procedural=False),
        Code("UserForm1", SHEET.replace("00020820", "0002E157"), procedural=False, private=True, read_only=True),
    )
    references: tuple[Reference, ...] = (
        ("registered", "stdole", "*\\G{00020430-0000-0000-C000-000000000046}#2.0#0#C:\\Windows\\stdole2.tlb#Bücher"),
        (
            "control",
            "MSForms",
            "*\\G{0D452EE1}#2.0#0#C:\\FM20.DLL#Forms",
            "*\\G{0}#0.0#0##",
            "*\\G{0EC9}#2.0#0#exd#Forms",
        ),
        ("project", "Other", "*\\CC:\\Docs\\Other.xlam", "*\\COther.xlam"),
    )
    forms: dict[str, Tree] = field(
        default_factory=lambda: {
            "UserForm1": {
                "f": b"frame" * 40,
                "o": b"object" * 500,
                "i01": {"f": b"inner", "o": b"", "\1CompObj": b"c" * 1023},
                "\1CompObj": b"comp" * 20,
                "\3VBFrame": b"VERSION 5.00\r\n",
            }
        }
    )
    constants: str = "Debugging = 1"
    name: str = "VBAProject"
    page: int = 1252
    compatible: bool = True
    extra: str = ""
    """More lines of PROJECT's first part."""


# -- packing -----------------------------------------------------------------------------------------------------------
@functools.lru_cache(maxsize=64)
def packed(octets: bytes, *, raw: bool = False) -> bytes:
    """Compress as MS-OVBA 2.4.1.3 says; ``raw``: whole chunks stand as they are."""
    out = bytearray(b"\1")
    for start in range(0, len(octets), 4096):
        chunk = octets[start : start + 4096]
        if raw and len(chunk) == 4096:
            out += struct.pack("<H", 0x3000 | 4095) + chunk
            continue
        tokens = _tokens(chunk)
        out += struct.pack("<H", 0xB000 | len(tokens) - 1) + tokens
    return bytes(out)


def _tokens(chunk: bytes) -> bytes:
    made, at = bytearray(), 0
    while at < len(chunk):
        flags, group = 0, bytearray()
        for bit in range(8):
            if at >= len(chunk):
                break
            wide = next(n for n in range(4, 13) if at <= 1 << n) if at else 4
            longest = (0xFFFF >> wide) + 3
            count = 0
            while (
                count < longest
                and at + count < len(chunk)
                and chunk[: at + count].rfind(chunk[at : at + count + 1]) >= 0
            ):
                count += 1
            if count < 3:
                group.append(chunk[at])
                at += 1
                continue
            back = at - chunk[: at + count - 1].rfind(chunk[at : at + count])
            flags |= 1 << bit
            group += struct.pack("<H", back - 1 << 16 - wide | count - 3)
            at += count
        made += bytes([flags]) + group
    return bytes(made)


# -- the compound file -------------------------------------------------------------------------------------------------
def _record(kind: int, octets: bytes) -> bytes:
    return struct.pack("<HI", kind, len(octets)) + octets


def _sized(octets: bytes) -> bytes:
    return struct.pack("<I", len(octets)) + octets


def _both(first: int, second: int, text: str) -> bytes:
    return _record(first, text.encode("cp1252")) + _record(second, text.encode("utf-16-le"))


def directory(macros: Macros) -> bytes:
    """Return the stream dir, not packed."""
    out = _record(0x01, struct.pack("<I", 3)) + (_record(0x4A, struct.pack("<I", 3)) if macros.compatible else b"")
    out += _record(0x02, struct.pack("<I", 0x409)) + _record(0x14, struct.pack("<I", 0x409))
    out += _record(0x03, struct.pack("<H", macros.page)) + _record(0x04, macros.name.encode("cp1252"))
    out += _both(0x05, 0x40, "about it") + _record(0x06, b"") + _record(0x3D, b"")
    out += _record(0x07, bytes(4)) + _record(0x08, bytes(4)) + struct.pack("<HIIH", 0x09, 4, 0x655E4EA1, 2)
    out += _both(0x0C, 0x3C, macros.constants)
    for kind, name, *libraries in macros.references:
        out += _both(0x16, 0x3E, name)
        names = [one.encode("cp1252") for one in libraries]
        if kind == "registered":
            out += _record(0x0D, _sized(names[0]) + bytes(6))
        elif kind == "project":
            out += _record(0x0E, _sized(names[0]) + _sized(names[1]) + struct.pack("<IH", 7, 3))
        else:
            out += _record(0x33, names[0]) + _record(0x2F, _sized(names[1]) + bytes(6)) + _both(0x16, 0x3E, name)
            out += _record(0x30, _sized(names[2]) + bytes(6) + bytes(range(16)) + struct.pack("<I", 99))
    out += _record(0x0F, struct.pack("<H", len(macros.modules))) + _record(0x13, b"\xff\xff")
    for one in macros.modules:
        out += _both(0x19, 0x47, one.name) + _both(0x1A, 0x32, one.name) + _both(0x1C, 0x48, "")
        out += (
            _record(0x31, struct.pack("<I", len(one.compiled))) + _record(0x1E, bytes(4)) + _record(0x2C, b"\xff\xff")
        )
        out += _record(0x21 if one.procedural else 0x22, b"")
        out += (_record(0x25, b"") if one.read_only else b"") + (_record(0x28, b"") if one.private else b"")
        out += _record(0x2B, b"")
    return out + _record(0x10, b"")


def text(macros: Macros) -> bytes:
    """Return the stream PROJECT."""
    lines = ['ID="{E69C45F3-E944-4B9D-95E3-64BFD21BA7F9}"']
    for one in macros.modules:
        if one.name in macros.forms:
            lines += ["Package={AC9F2F90-E877-11CE-9F68-00AA00574A4F}", f"BaseClass={one.name}"]
        else:
            lines += [f"Module={one.name}" if one.procedural else f"Document={one.name}/&H00000000"]
    lines += [f'Name="{macros.name}"', 'HelpContextID="0"', *filter(None, [macros.extra])]
    lines += ['VersionCompatible32="393222000"', 'CMG="797B"', 'DPB="F2F0"', 'GC="6B69"', "", "[Host Extender Info]"]
    lines += ["&H00000001={3832D640-CF90-11CF-8E43-00A0C911005A};VBE;&H00000000", "", "[Workspace]"]
    lines += [f"{one.name}=0, 0, 0, 0, C" for one in macros.modules]
    return "".join(line + "\r\n" for line in lines).encode("cp1252")


def tree(macros: Macros) -> Tree:
    """Return the storages and streams of a project."""
    modules: Tree = {one.name: one.compiled + packed(one.whole) for one in macros.modules}
    rest: Tree = {
        "_VBA_PROJECT": b"\xcc\x61\xff\xff\0\0\0" + b"performance cache" * 9,
        "dir": packed(directory(macros)),
    }
    return {"VBA": modules | rest, "PROJECT": text(macros), "PROJECTwm": b"names" * 9, **macros.forms}


def project(macros: Macros | None = None, *, streams: Tree | None = None, **how: Any) -> bytes:
    """Return the compound file ``vbaProject.bin``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vbaProject.bin"
        whole = streams if streams is not None else tree(macros or Macros())
        return cfb_builder.build(path, whole, **{"major": 3, "clsid": bytes(16), **how}).read_bytes()


# -- what is covered ---------------------------------------------------------------------------------------------------
def agile(macros: Macros) -> bytes:
    """Return what the Agile hash is over (2.4.2.4)."""
    out = macros.name.encode("cp1252") + macros.constants.encode("cp1252")
    for kind, _, *libraries in macros.references:
        if kind == "registered":
            out += b"\x7b"
        elif kind == "project":
            out += struct.pack("<I", len(libraries[0])).split(b"\0")[0]
    for one in macros.modules:
        for line in one.whole.decode("cp1252").splitlines():
            out += b"" if line.lower().startswith("attribute") else line.encode("cp1252")
    return out + b"".join(_form(macros.forms[one.name]) for one in macros.modules if one.name in macros.forms)


def _form(streams: Tree) -> bytes:
    out = b""
    for name in sorted(streams, key=lambda name: (len(name), name.upper())):
        one = streams[name]
        if isinstance(one, dict):
            out += _form(one)
        else:
            blocks = [one[at : at + 1023] for at in range(0, len(one), 1023)]
            out += b"".join(block.ljust(1023, b"\0") for block in blocks)
    return out


def v3(macros: Macros) -> bytes:
    """Return what the V3 hash is over (2.4.2.7)."""
    out = b"\x01\0\4\0\0\0" + b"\x02\0\4\0\0\0\x09\4\0\0" + b"\x14\0\4\0\0\0\x09\4\0\0" + b"\x03\0\2\0\0\0"
    out += b"\4\0" + _sized(macros.name.encode("cp1252")) + b"\5\0\x08\0\0\0" + b"\x40\0\x10\0\0\0"
    out += b"\6\0\0\0\0\0" + b"\x3d\0\0\0\0\0" + b"\7\0\4\0\0\0" + b"\x08\0\4\0\0\0\0\0\0\0"
    out += b"\x09\0\4\0\0\0\xa1\x4e\x5e\x65\2\0"
    out += (
        b"\x0c\0" + _sized(macros.constants.encode("cp1252")) + b"\x3c\0" + _sized(macros.constants.encode("utf-16-le"))
    )
    for kind, name, *libraries in macros.references:
        named = b"\x16\0" + _sized(name.encode("cp1252")) + b"\x3e\0" + _sized(name.encode("utf-16-le"))
        out += named
        if kind == "registered":  # the size of one, the octets of the other
            out += b"\x0d\0" + struct.pack("<I", len(libraries[0])) + libraries[0].encode("utf-16-le") + bytes(6)
        elif kind == "project":
            out += b"\x0e\0" + b"".join(_sized(one.encode("cp1252")) for one in libraries) + b"\7\0\0\0\3\0"
        else:
            original, twiddled, extended = (_sized(one.encode("cp1252")) for one in libraries)
            out += b"\x33\0" + original + b"\x2f\0" + twiddled + bytes(6) + named
            out += b"\x30\0" + extended + bytes(6) + bytes(range(16)) + b"\x63\0\0\0"
    out += b"\x0f\0\2\0\0\0" + b"\x13\0\2\0\0\0"
    for one in macros.modules:
        out += (b"\x21\0" + bytes(4)) * one.procedural + (b"\x25\0" + bytes(4)) * one.read_only
        out += (b"\x28\0" + bytes(4)) * one.private
        lines = [line for line in one.text.splitlines() if line + "\r\n" not in SHEET]
        out += b"".join(line.encode("cp1252") + b"\n" for line in lines)
        out += one.name.encode("utf-16-le") + b"\n" if lines else b""
    out += b"\x10\0\0\0\0\0"
    for line in text(macros).decode("cp1252").split("\r\n\r\n")[0].splitlines():
        key, _, value = line.partition("=")
        out += _form(macros.forms[value]) if key == "BaseClass" else b""
        if key not in ("ID", "Document", "CMG", "DPB", "GC"):
            out += (key + value.strip('"')).encode("cp1252")
    return out + b"Host Extender Info&H00000001={3832D640-CF90-11CF-8E43-00A0C911005A};VBE;&H00000000"


def digests(macros: Macros, algorithm: str = "sha256") -> tuple[bytes, bytes]:
    """Return both hashes, V3 first."""
    return hashlib.new(algorithm, v3(macros)).digest(), hashlib.new(algorithm, agile(macros)).digest()


# -- documents ---------------------------------------------------------------------------------------------------------
Kind = Literal["xlsm", "docm", "pptm"]
_MAIN: dict[str, tuple[str, str, str]] = {
    "xlsm": ("xl", "workbook.xml", "application/vnd.ms-excel.sheet.macroEnabled.main+xml"),
    "docm": ("word", "document.xml", "application/vnd.ms-word.document.macroEnabled.main+xml"),
    "pptm": ("ppt", "presentation.xml", "application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml"),
}
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"
MICROSOFT = "http://schemas.microsoft.com/office/2006/relationships/"


def relations(*rows: tuple[str, str]) -> bytes:
    """Return relationships of these types and targets."""
    made = "".join(f'<Relationship Id="rId{n}" Type="{kind}" Target="{to}"/>' for n, (kind, to) in enumerate(rows, 1))
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'{HEAD}<Relationships xmlns="{space}">{made}</Relationships>'.encode()


def files(kind: Kind = "xlsm", octets: bytes | None = None) -> list[File]:
    """Return what a document of Excel, Word or PowerPoint holds; Word's macros have relationships of their own."""
    folder, main, content = _MAIN[kind]
    types = (
        f'{HEAD}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/>'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/><Override PartName="/{folder}/{main}" '
        f'ContentType="{content}"/></Types>'
    )
    found = [
        File(b"[Content_Types].xml", types.encode(), extra=b"\x20\xa2\x04\0\0\0\0\0" if kind == "xlsm" else b""),
        File(b"_rels/.rels", relations((OFFICE + "officeDocument", f"{folder}/{main}"))),
        File(f"{folder}/{main}".encode(), b"<document/>" * 50),
        File(f"{folder}/_rels/{main}.rels".encode(), relations((MICROSOFT + "vbaProject", "vbaProject.bin"))),
        File(f"{folder}/vbaProject.bin".encode(), project() if octets is None else octets),
    ]
    if kind == "docm":
        data = relations((MICROSOFT + "wordVbaData", "vbaData.xml"))
        found += [File(b"word/_rels/vbaProject.bin.rels", data), File(b"word/vbaData.xml", b"<vbaSuppData/>")]
    return found


def document(kind: Kind = "xlsm", octets: bytes | None = None) -> bytes:
    """Return a document with macros, not signed."""
    return archive(files(kind, octets))


def changed(macros: Macros, **how: Any) -> Macros:
    """Return a project with some things otherwise."""
    return replace(macros, **how)
