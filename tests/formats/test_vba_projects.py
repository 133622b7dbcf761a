"""VBA projects as they are hashed: by the second book, by Excel's own digests; and what is refused, in a sentence."""

from __future__ import annotations

import functools
import hashlib
import struct
from pathlib import Path

import pytest
from tests.formats import vba_builder
from tests.formats.samples import sample
from tests.formats.signing import signatory
from tests.formats.test_vba import P256, message, parts_of, prepared
from tests.formats.vba_builder import SHEET, Code, Macros, changed, document, files, packed, project, relations
from tests.formats.walking import look, sign, wrong
from tests.formats.zip_builder import File, archive

from privyseal.errors import MalformedCode
from privyseal.formats import vba_blob, vba_hash, vba_project
from privyseal.formats.vba_compression import decompressed
from privyseal.formats.vba_package import Unpacked

OLD = {name: functools.partial(hashlib.new, name, usedforsecurity=False) for name in ("md5", "sha1")}
"""What Excel hashed with; only to be held against it."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.xlsm"
    path.write_bytes(document())
    return path


# -- Excel's own -------------------------------------------------------------------------------------------------------
def project_in(octets: bytes) -> vba_project.Project:
    return vba_project.read(Unpacked(octets, "vbaProject.bin"))


def test_a_workbook_that_excel_signed(tmp_path: Path):
    """All three hashes come out as Excel has them: by MD5 for before 2016, by SHA-1 (its choice then) for the others.

    ``src/EPPlusTest/Workbooks/SignedWorkbook1.xlsm`` of EPPlus (PolyForm Noncommercial, so not kept here): forms in
    forms, a control, every kind of reference.
    """
    path = tmp_path / "signed.xlsm"
    path.write_bytes(sample("epplus/SignedWorkbook1.xlsm"))
    there = parts_of(path)
    found = project_in(there["xl/vbaProject.bin"])
    assert OLD["md5"](b"".join(vba_hash.contents(found))).hexdigest() == "9d0b12c616dea8cc3ec4f80f59f90b34"
    for kind, expected in (
        ("agile", "2e7b16b8979e553f93e5ba2846e1af67988df7a7"),
        ("v3", "7675cabbef44719f0d9e8f1d4793a528e7804bc2"),
    ):
        assert OLD["sha1"](b"".join(vba_hash.covered(found, kind))).hexdigest() == expected
    for name in ("", "Agile", "V3"):
        assert vba_blob.within(there[f"xl/vbaProjectSignature{name}.bin"]) == message(
            there[f"xl/vbaProjectSignature{name}.bin"]
        )
    assert "weak-digest" in wrong(path) and "digest-mismatch" not in wrong(path)
    assert [one.digest.hex()[:8] for one in look(path).signatures] == ["7675cabb", "2e7b16b8", "9d0b12c6"]
    sign(path, signatory(P256))
    assert not wrong(path) and "xl/vbaProjectSignature.bin" not in parts_of(path)


HELLO = Macros(
    modules=(
        Code("Module1", 'Sub say_hello()\r\n    MsgBox "Hello, World!"\r\nEnd Sub\r\n'),
        Code("ThisWorkbook", SHEET, procedural=False),
        Code("Sheet1", SHEET + "\r\n", procedural=False),
    ),
    references=(("registered", "stdole", "*\\G{00020430}"), ("registered", "Office", "*\\G{2DF8D04C}")),
    forms={},
    constants="",
)
"""What XlsxWriter's signed project holds, as far as the oldest hash covers it."""
EPPLUS = Macros(
    modules=(
        Code("ThisWorkbook", SHEET, procedural=False),
        Code(
            "Sheet1",
            SHEET + "Private Sub Worksheet_SelectionChange(ByVal Target As Range)\r\n\r\nEnd Sub\r\n",
            procedural=False,
        ),
        Code("Class1", 'Function EPPlusTestFunction()\r\n    MsgBox "test"\r\nEnd Function\r\n', procedural=False),
    ),
    references=(
        ("registered", "stdole", "*\\G{00020430}"),
        ("registered", "Office", "*\\G{2DF8D04C}"),
        ("control", "MSForms", "*\\G{0D452EE1}", "*\\G{0}", "*\\G{0EC9BE0E}"),
        ("project", "ExpToOWS", "*\\C" + "x" * 65, "*\\C."),
    ),
    forms={},
    constants="",
)
"""The same of EPPlus' signed workbook: of the reference to a project, only how long its path is."""


@pytest.mark.parametrize(
    ("macros", "digest"),
    [(HELLO, "ef6e6531b9b48c7452e86103dc4b9c5e"), (EPPLUS, "9d0b12c616dea8cc3ec4f80f59f90b34")],
    ids=["XlsxWriter", "EPPlus"],
)
def test_excels_own_digests_of_two_small_projects(macros: Macros, digest: str):
    """The digests stand in these projects' signatures, which Excel made; the projects are written down here again."""
    assert OLD["md5"](b"".join(vba_hash.contents(project_in(project(macros))))).hexdigest() == digest


def test_a_project_that_excel_signed():
    """The first part of Agile is what the oldest hash is over, by Excel (XlsxWriter's test files, BSD-2-Clause)."""
    found = project_in(sample("xlsxwriter/vbaProject05.bin"))
    signed = message(sample("xlsxwriter/vbaProject05Signature.bin"))
    assert OLD["md5"](b"".join(vba_hash.contents(found))).digest() in signed


# -- the hashes --------------------------------------------------------------------------------------------------------
MICROSOFTS = {
    "none": ("0119b000616263646566676800696a6b6c6d6e6f70007172737475762e", b"abcdefghijklmnopqrstuv."),
    "normal": (
        "012fb000236161616263646582660070616768696a013808616b6c00306d6e6f700671027004107273747576107778797a003c",
        b"#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa",
    ),
    "maximum": ("0103b002614500", b"a" * 73),
}
"""The examples of MS-OVBA 3.2."""


@pytest.mark.parametrize("which", MICROSOFTS)
def test_microsofts_examples_of_compression(which: str):
    octets, expected = MICROSOFTS[which]
    assert decompressed(bytes.fromhex(octets), 100, "it") == expected


@pytest.mark.parametrize("size", [0, 1, 3, 4095, 4096, 4097, 9000])
def test_what_is_packed_comes_back(size: int):
    for octets in (bytes(size), bytes(range(256)) * (size // 256 + 1), b"Sub A()\r\n" * (size // 9 + 1)):
        for raw in (False, True):
            assert decompressed(packed(octets, raw=raw), len(octets), "it") == octets


def test_chunks_of_nothing_are_not_gone_through():
    """Eleven million of them fit into the largest project, and took 15 s; nothing that is packed grows like this."""
    octets = b"\1" + b"\x00\xb0\x00" * 100_000
    with pytest.raises(MalformedCode, match="300001 octets packed, and would have at most 200000"):
        decompressed(octets, 200_000, "it")
    assert decompressed(octets, 300_000, "it") == b""


VARIANTS: dict[str, Macros] = {
    "as it is": Macros(),
    "no forms": Macros(modules=Macros().modules[:3], forms={}),
    "no references": Macros(references=()),
    "nothing": Macros(modules=(), references=(), forms={}, constants=""),
    "old": Macros(compatible=False, name="Grüße", constants="ü = 1"),
    "long": Macros(modules=(Code("Long", "Dim a As Long ' something to say\r\n" * 4000),), forms={}),
    "a wide name": Macros(references=(("registered", "x", "*\\G{0}#Übersicht"),)),
    "described": Macros(extra='Description="a = b"'),
    "empty module": Macros(modules=(Code("Empty", ""), Code("Sheet9", SHEET, procedural=False)), forms={}),
}


@pytest.mark.parametrize("which", VARIANTS)
def test_the_hashes_are_those_of_the_second_book(which: str):
    found = project_in(project(VARIANTS[which]))
    assert b"".join(vba_hash.covered(found, "v3")) == vba_builder.v3(VARIANTS[which])
    assert b"".join(vba_hash.covered(found, "agile")) == vba_builder.agile(VARIANTS[which])


def test_sectors_of_both_sizes_and_scattered_ones_give_the_same():
    expected = vba_builder.digests(Macros())
    for how in ({"major": 4}, {"scatter": 7}, {"scatter": 8, "leftovers": b"left over"}):
        found = project_in(project(Macros(), **how))
        assert (vba_hash.digest(found, "v3", "sha256")[0], vba_hash.digest(found, "agile", "sha256")[0]) == expected


def test_what_v3_covers_and_agile_does_not():
    """A line that begins with "attribute" runs as code; the size of a reference; a module's kind. Why both are made."""
    plain = Macros()
    first, second, *rest = plain.modules
    for other in (
        changed(plain, modules=(first, Code(second.name, "AttributeShell = 1\r\n" + second.text), *rest)),
        changed(plain, modules=(first, Code(second.name, second.text, procedural=False), *rest)),
        changed(plain, references=(("registered", "evil", "*\\G{1}#c:\\evil.dll"), *plain.references[1:])),
        changed(plain, modules=(first, Code("Other", second.text), *rest)),
    ):
        v3, agile = vba_builder.digests(other)
        found = project_in(project(other))
        assert (vba_hash.digest(found, "v3", "sha256")[0], vba_hash.digest(found, "agile", "sha256")[0]) == (v3, agile)
        assert agile == vba_builder.digests(plain)[1] and v3 != vba_builder.digests(plain)[0]


def test_what_is_compiled_is_under_no_signature_but_in_the_description(path: Path):
    """As Microsoft has it. The description holds the digest of the whole project, so what was approved can be shown."""
    sign(path, signatory(P256))
    first = prepared(path)
    (one, other) = first.described
    assert one.facts["project"] == other.facts["project"] == hashlib.sha256(project()).hexdigest()
    assert (one.facts["name"], one.facts["modules"], one.facts["hash"], other.facts["hash"]) == (
        "VBAProject", 4, "v3", "agile",
    )  # fmt: skip
    modules = Macros().modules
    stomped = changed(
        Macros(), modules=(*modules[:1], Code(modules[1].name, modules[1].text, compiled=b"evil" * 9), *modules[2:])
    )
    path.write_bytes(document(octets=project(stomped)))
    assert [each.digest for each in prepared(path).described] == [each.digest for each in first.described]
    assert prepared(path).described[0].facts["project"] != one.facts["project"]


# -- refusals ----------------------------------------------------------------------------------------------------------
def streams(**how: object) -> bytes:
    """Return a project some of whose streams are others; None leaves one out."""
    whole = vba_builder.tree(Macros())
    for name, octets in how.items():
        place = whole["VBA"] if name in whole["VBA"] else whole
        place[name] = octets
        if octets is None:
            del place[name]
    return project(streams=whole)


def with_text(text: str) -> bytes:
    return project(Macros(modules=(Code("Module1", text),), forms={}))


def renumbered(octets: bytes, numbers: dict[int, int]) -> bytes:
    """Return a project whose entries of the directory stand at other places; the trees are the same."""
    whole = bytearray(octets)
    start = (int.from_bytes(octets[48:52], "little") + 1) * 512
    for old, new in numbers.items():
        whole[start + 128 * new : start + 128 * new + 128] = octets[start + 128 * old : start + 128 * old + 128]
    for link in range(start + 68, start + 19 * 128, 128):
        for at in (link, link + 4, link + 8):
            number = int.from_bytes(whole[at : at + 4], "little")
            whole[at : at + 4] = numbers.get(number, number).to_bytes(4, "little")
    return bytes(whole)


DIRECTORY = vba_builder.directory(Macros())
UNSETTLED: dict[str, tuple[bytes, str]] = {
    "ends in LF": (with_text("Sub A()\nEnd Sub\n"), "does not end with CRLF"),
    "ends in nothing": (with_text("Sub A()\r\nEnd Sub"), "does not end with CRLF"),
    "ends in CR": (with_text("Sub A()\rEnd Sub\r\n"), "does not end with CRLF"),
    "case of an attribute": (with_text("Attribute VB_Exposed = true\r\n"), "in other letters than Office's"),
    "case of a name": (with_text('attribute VB_Name = "x"\r\n'), "in other letters than Office's"),
    "order of a form": (
        project(changed(Macros(), forms={"UserForm1": {"\1CompObj": b"c", "f": b"f"}})),
        "in the order of its names",
    ),
    "order of what is in a frame": (
        # the streams of i01 behind the last two of the form, and each storage by itself still in its order
        renumbered(project(), {14: 16, 15: 17, 16: 18, 17: 14, 18: 15}),
        "put there later than others",
    ),
    "quotes": (streams(PROJECT=b'Description="a ""b"""\r\n'), "not as the document has it"),
    "no equals": (streams(PROJECT=b"Something\r\n"), "not as the document has it"),
    "code page": (
        project(changed(Macros(), page=0, references=(("registered", "x", "Übersicht"),))),
        "project's code page",
    ),
    "code page lies": (
        project(changed(Macros(), page=65001, references=(("registered", "x", "Übersicht"),))),
        "project's code page",
    ),
}
BROKEN: dict[str, tuple[bytes, str]] = {
    "no VBA": (project(streams={"PROJECT": b""}), "names no storage VBA"),
    "no dir": (streams(dir=None), "names no stream dir"),
    "no module": (streams(Module1=None), "names no stream Module1"),
    "no PROJECT": (streams(PROJECT=None), "names no stream PROJECT"),
    "form missing": (streams(PROJECT=b"BaseClass=Nowhere\r\n"), "names no storage Nowhere"),
    "form twice": (streams(PROJECT=b"BaseClass=UserForm1\r\n" * 2), "names twice the same storage UserForm1"),
    "form is none": (streams(PROJECT=b"BaseClass=PROJECTwm\r\n"), "names no storage PROJECTwm"),
    "module not packed": (streams(Module1=b"x" * 80), "does not begin as something packed"),
    "module cut": (streams(Module1=b"x"), "does not begin as something packed"),
    "dir not packed": (streams(dir=b"dir"), "does not begin as something packed"),
    "dir cut": (streams(dir=packed(DIRECTORY[:-3])), "octets after"),
    "dir goes on": (streams(dir=packed(DIRECTORY + b"\x10\0\0\0\0\0")), "behind its end"),
    "dir out of order": (streams(dir=packed(DIRECTORY[20:])), "has a record 0x2 where 0x1 was expected"),
    "dir ends early": (streams(dir=packed(DIRECTORY[:60])), "a record of its stream dir would have|octets after"),
    "record too long": (
        streams(dir=packed(DIRECTORY[:10] + b"\x02\0\xff\xff\xff\x7f")),
        "would have 2147483647 octets",
    ),
    "reference lies": (
        streams(dir=packed(DIRECTORY.replace(struct.pack("<I", len(Macros().references[0][2])), b"\5\0\0\0", 1))),
        "states other sizes within",
    ),
    "modules lie": (
        streams(dir=packed(DIRECTORY.replace(b"\x0f\0\2\0\0\0\4", b"\x0f\0\2\0\0\0\5"))),
        "has a record 0x10",
    ),
    "mark holds something": (
        streams(dir=packed(DIRECTORY.replace(b"\x2b\0\0\0\0\0\x10", b"\x2b\0\1\0\0\0\0\x10"))),
        "holds something",
    ),
    "no compound file": (b"not a compound file" * 200, "does not begin as one"),
    "empty": (b"", "too few"),
    "chunk of no kind": (streams(dir=b"\1\0\0aaa"), "no chunk that can be unpacked"),
    "chunk repeats nothing": (streams(dir=b"\1\2\xb0\1\0\0"), "repeats what is not there"),
    "chunk too long": (streams(dir=b"\1" + b"\4\xb0\2a\xff\x0f" + b""), "no chunk|more than 4096|octets after"),
    "chunk not packed": (streams(dir=b"\1\1\x30aaaa"), "is not packed; 4096"),
}


@pytest.mark.parametrize("how", [*UNSETTLED, *BROKEN])
def test_projects_that_are_not_signed(path: Path, how: str):
    """What Office would hash is not settled, or there is nothing to hash: one sentence, and the file as it was."""
    octets, why = (UNSETTLED | BROKEN)[how]
    path.write_bytes(document(octets=octets))
    before = path.read_bytes()
    with pytest.raises(MalformedCode, match=why) as refused:
        sign(path, signatory(P256))
    assert path.read_bytes() == before
    assert ("not settled" in refused.value.detail) == (how in UNSETTLED), refused.value.detail
    assert look(path).signatures == ()  # unsigned is all that is said of it


def without(*names: bytes) -> list[File]:
    return [one for one in files() if one.name not in names]


def instead(name: bytes, octets: bytes) -> list[File]:
    return [File(one.name, octets) if one.name == name else one for one in files()]


OFFICE, MICROSOFT = vba_builder.OFFICE, vba_builder.MICROSOFT
SIGNATURE = "http://schemas.microsoft.com/office/2020/07/relationships/vbaProjectSignatureV3"
ELSEWHERE = relations((MICROSOFT + "vbaProject", "http://192.0.2.1/x")).replace(b"/>", b' TargetMode="External"/>')
DOCUMENTS: dict[str, tuple[list[File], str]] = {
    "no macros": (instead(b"xl/_rels/workbook.xml.rels", relations()), "has no macros"),
    "no relationships": (without(b"xl/_rels/workbook.xml.rels", b"xl/vbaProject.bin"), "has no macros"),
    "project missing": (without(b"xl/vbaProject.bin"), "one that is there, was expected"),
    "two projects": (
        instead(b"xl/_rels/workbook.xml.rels", relations(*[(MICROSOFT + "vbaProject", "vbaProject.bin")] * 2)),
        "names 2 VBA projects",
    ),
    "two documents": (
        instead(b"_rels/.rels", relations(*[(OFFICE + "officeDocument", "xl/workbook.xml")] * 2)),
        "names 2 documents",
    ),
    "document missing": (without(b"xl/workbook.xml"), "its document is not in it"),
    "no root": (without(b"_rels/.rels"), "names 0 documents"),
    "no types": (without(b"[Content_Types].xml"), "no list of content types"),
    "macros elsewhere": (instead(b"xl/_rels/workbook.xml.rels", ELSEWHERE), "its document or macros are not in it"),
    "signature elsewhere": (
        [*files(), File(b"xl/_rels/vbaProject.bin.rels", relations((SIGNATURE, "workbook.xml")))],
        "where Office puts none",
    ),
    "signature twice": (
        [
            *files(),
            File(b"xl/vbaProjectSignatureV3.bin", b"x"),
            File(b"xl/_rels/vbaProject.bin.rels", relations(*[(SIGNATURE, "vbaProjectSignatureV3.bin")] * 2)),
        ],
        "where Office puts none",
    ),
    "signature of tomorrow": (
        [*files(), File(b"xl/_rels/vbaProject.bin.rels", relations((SIGNATURE.replace("V3", "V4"), "x")))],
        "a signature of a kind that is not known",
    ),
    "signature too large": (
        [
            *files(),
            File(b"xl/vbaProjectSignatureV3.bin", bytes(vba_blob.MAX_PART + 1)),
            File(b"xl/_rels/vbaProject.bin.rels", relations((SIGNATURE, "vbaProjectSignatureV3.bin"))),
        ],
        "at most 1048576 are read",
    ),
    "entities": (
        instead(b"[Content_Types].xml", b'<!DOCTYPE a [<!ENTITY b "c">]><Types>&b;</Types>'),
        "a document type",
    ),
    "UTF-16": (instead(b"[Content_Types].xml", "<Types></Types>".encode("utf-16")), "UTF-8 was expected"),
    "other types": (instead(b"[Content_Types].xml", b"<Types></Types>"), "is not what it should be"),
    "a script": (instead(b"_rels/.rels", relations().replace(b"</R", b"<x/></R")), "something else than relationships"),
}


@pytest.mark.parametrize("how", DOCUMENTS)
def test_documents_that_are_not_signed(path: Path, how: str):
    made, why = DOCUMENTS[how]
    path.write_bytes(archive(made))
    before = path.read_bytes()
    with pytest.raises(MalformedCode, match=why):
        sign(path, signatory(P256))
    assert path.read_bytes() == before


def test_a_document_that_is_signed_itself(path: Path):
    """Its own signature covers the list of content types; whoever signs the macros afterwards breaks it."""
    origin = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/origin"
    root = relations((OFFICE + "officeDocument", "xl/workbook.xml"), (origin, "_xmlsignatures/origin.sigs"))
    path.write_bytes(archive([*instead(b"_rels/.rels", root), File(b"_xmlsignatures/origin.sigs", b"x")]))
    with pytest.raises(MalformedCode, match="would break that one"):
        sign(path, signatory(P256))
    assert not look(path).signatures


def test_limits_hold(path: Path):
    """Bombs: some thousand octets come out of five; what comes out is counted before it is used."""
    chunk = b"\3\xb0\2a" + struct.pack("<H", 4092)
    assert decompressed(b"\1" + chunk, 5000, "it") == b"a" * 4096
    bomb = b"\1" + chunk * (vba_project.MAX_TEXT // 4096 + 1)
    first = Macros().modules[1]
    whole = vba_builder.tree(Macros())
    whole["VBA"][first.name] = first.compiled + bomb
    path.write_bytes(document(octets=project(streams=whole)))
    with pytest.raises(MalformedCode, match="no more is read"):
        sign(path, signatory(P256))
    line = "\r\n" * (vba_project.MAX_LINES + 1)
    whole["VBA"][first.name] = (
        first.compiled
        + b"\1"
        + b"".join(b"\4\xb0\4\r\n" + struct.pack("<H", 1 << 12 | 4091) for _ in range(len(line) // 4096 + 1))
    )
    path.write_bytes(document(octets=project(streams=whole)))
    with pytest.raises(MalformedCode, match="more than 1048576 lines"):
        sign(path, signatory(P256))
    path.write_bytes(archive(instead(b"xl/vbaProject.bin", bytes((32 << 20) + 1))))
    with pytest.raises(MalformedCode, match="at most 33554432 are read"):
        sign(path, signatory(P256))
