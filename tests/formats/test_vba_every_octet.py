"""Every octet of macros and of their signatures is flipped; what nobody objects to has to be on the list of loose ones.

Unlike other formats this one leaves octets to nobody, by Microsoft's design: the list below says which. It is read with
the tests' own unpacking, so a flip within what is packed counts by what comes out of it.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest
from tests.formats import vba_builder
from tests.formats.signing import signatory
from tests.formats.test_windows_every_octet import objections
from tests.formats.vba_builder import SHEET, Code, Macros, document, packed, project
from tests.formats.walking import sign
from tests.formats.zip_builder import File, archive

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

SMALL = Macros(
    modules=(
        Code("Sheet1", SHEET + 'Attribute VB_Description = "x"\r\n', procedural=False),
        Code("Module1", 'Sub Hello()\r\n    MsgBox "Hello"\r\nEnd Sub\r\n'),
        Code("Form1", "Sub Click()\r\nEnd Sub\r\n", procedural=False, private=True),
    ),
    forms={"Form1": {"f": b"frame" * 13, "\3VBFrame": b"VERSION 5.00\r\n" * 5}},
)
LOOSE_RECORDS = {0x01, 0x4A, 0x03, 0x05, 0x40, 0x07, 0x13, 0x19, 0x1A, 0x1C, 0x48, 0x31, 0x1E, 0x2C}
"""Records of dir whose value V3 does not cover (2.4.2.5): system, code page, descriptions, cookies, help, offsets, and
a module's name in the code page where there is one in Unicode."""
LOOSE_PROPERTIES = (b"ID=", b"Document=", b"CMG=", b"DPB=", b"GC=")


def unpack(octets: bytes) -> bytes:
    """Undo the compression, as MS-OVBA 2.4.1.3.1 tells it, one octet at a time."""
    out, at = [], 1
    while at < len(octets):
        (head,) = struct.unpack_from("<H", octets, at)
        end, begin, at = at + (head % 4096) + 3, len(out), at + 2
        while at < end:
            flags, at = octets[at], at + 1
            for bit in range(8):
                if at < end and flags & 1 << bit:
                    (token,) = struct.unpack_from("<H", octets, at)
                    width = 4
                    while 1 << width < len(out) - begin:
                        width += 1
                    for _ in range(token % (1 << 16 - width) + 3):
                        out.append(out[-(token >> 16 - width) - 1])
                    at += 2
                elif at < end:
                    out.append(octets[at])
                    at += 1
    return bytes(out)


def unnamed(text: bytes) -> list[bytes]:
    """Return a module's lines without the one that says its name, which stands in dir, and is covered there."""
    return [line for line in text.split(b"\r\n") if not line.startswith(b"Attribute VB_Name = ")]


def records(octets: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(octets):
        kind, size = struct.unpack_from("<HI", octets, at)
        size += 2 * (kind == 9)
        found.append((kind, octets[at + 6 : at + 6 + size]))
        at += 6 + size
    return found


def with_project(parts: dict[str, bytes], octets: bytes) -> bytes:
    return archive(
        [
            File(name.encode(), octets if name == "xl/vbaProject.bin" else one, packed=False)
            for name, one in parts.items()
        ]
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("signed") / "x.xlsm"
    path.write_bytes(document(octets=project(SMALL)))
    sign(path, signatory("ecdsa-p256"), stamped=True)
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def silent(parts: dict[str, bytes], places: range, flip: int = 1) -> list[int]:
    """Return at which places of the project nobody objects to a flip."""
    whole = bytearray(parts["xl/vbaProject.bin"])
    assert not objections(with_project(parts, bytes(whole)), "x.xlsm")
    found = []
    for at in places:
        whole[at] ^= flip
        if not objections(with_project(parts, bytes(whole)), "x.xlsm"):
            found.append(at)
        whole[at] ^= flip
    return found


def place(parts: dict[str, bytes], octets: bytes) -> range:
    """Return where a stream of one run stands in the project."""
    whole = parts["xl/vbaProject.bin"]
    assert whole.count(octets) == 1
    return range(whole.index(octets), whole.index(octets) + len(octets))


def test_every_octet_of_the_code_counts(parts: dict[str, bytes]):
    """What stands packed in a module, and the streams of forms: all of it, but for the name that the text repeats."""
    for one in SMALL.modules:
        where = place(parts, packed(one.whole))
        for at in silent(parts, where):
            flipped = bytearray(packed(one.whole))
            flipped[at - where.start] ^= 1
            assert unnamed(unpack(bytes(flipped))) == unnamed(one.whole), (one.name, at - where.start)
    for octets in SMALL.forms["Form1"].values():
        assert silent(parts, place(parts, octets)) == []


def test_every_octet_of_dir_counts_but_for_some_records(parts: dict[str, bytes]):
    directory = vba_builder.directory(SMALL)
    where = place(parts, packed(directory))
    loose = silent(parts, where)
    for at in loose:
        flipped = bytearray(packed(directory))
        flipped[at - where.start] ^= 1
        pairs = zip(records(unpack(bytes(flipped))), records(directory), strict=True)
        differing = {old[0] for new, old in pairs if new != old}
        assert differing <= LOOSE_RECORDS, (at - where.start, differing)
    assert len(loose) < len(where) / 2


def test_every_octet_of_the_properties_counts_but_for_some(parts: dict[str, bytes]):
    text = vba_builder.text(SMALL)
    where = place(parts, text)
    workspace = text.index(b"[Workspace]")
    for at in silent(parts, where):
        line = text[text.rfind(b"\n", 0, at - where.start) + 1 :]
        assert line.startswith(LOOSE_PROPERTIES) or at - where.start >= workspace - 2, line[:20]


def test_what_is_compiled_is_loose(parts: dict[str, bytes]):
    """Said here so that nobody believes otherwise: nothing covers it, as nothing does in what Office signs."""
    for octets in (SMALL.modules[1].compiled, b"performance cache" * 9):
        at = parts["xl/vbaProject.bin"].index(octets)
        assert silent(parts, range(at, at + 3)) == [at, at + 1, at + 2]


@pytest.mark.parametrize("name", ["V3", "Agile"])
def test_every_octet_of_a_signature_counts(parts: dict[str, bytes], name: str):
    """All that stands around the message, the message in samples."""
    key = f"xl/vbaProjectSignature{name}.bin"
    part = parts[key]
    size = int.from_bytes(part[:4], "little")
    for at in [*range(50), *range(50, size, 41), *range(size, len(part), 3), *range(len(part) - 8, len(part))]:
        flipped = part[:at] + bytes([part[at] ^ 0x80]) + part[at + 1 :]
        changed = archive([File(n.encode(), flipped if n == key else one, packed=False) for n, one in parts.items()])
        assert objections(changed, "x.xlsm"), at
    for other in (part + b"\0\0\0\0", part[:-4], part[:-1]):
        changed = archive([File(n.encode(), other if n == key else one, packed=False) for n, one in parts.items()])
        assert objections(changed, "x.xlsm")


def test_the_document_is_free_to_change(parts: dict[str, bytes], tmp_path: Path):
    """A signature of macros says nothing of the rest."""
    changed = {name: octets + b" " if name.startswith("xl/work") else octets for name, octets in parts.items()}
    assert changed != parts
    assert not objections(with_project(changed, parts["xl/vbaProject.bin"]), "x.xlsm")
