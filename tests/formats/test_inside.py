"""Containers: what is in them, and what they become with some of it replaced.

Judges: 7z, Info-ZIP's unzip and cabextract for what is written. Nobody in Debian reads an app package's block map; its
rules are written down here a second time.
"""

from __future__ import annotations

import base64
import hashlib
import io
import random
import struct
import subprocess
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.formats import cab_builder, pe_builder
from tests.formats.signing import signatory
from tests.formats.walking import sign
from tests.formats.zip_builder import (
    BLOCK,
    File,
    app_files,
    app_package,
    archive,
    block_map,
    manifest,
    nuget_files,
    nuget_package,
)

from privyseal.errors import MalformedCode
from privyseal.formats import inside, inside_cab
from privyseal.formats.source import FileSource

PROGRAM = pe_builder.program()
SCRIPT = b"Write-Host 'hello'\r\n"
NEW = pe_builder.program(sections=(bytes(range(256)) * 700,))


def signed_program(folder: Path, stamped: bool = False) -> bytes:
    path = folder / "signed-for-a-test.exe"
    path.write_bytes(PROGRAM)
    sign(path, signatory(), stamped=stamped)
    return path.read_bytes()


def look(path: Path, kind: str, octets: int = inside.LOOKED_AT) -> inside.Look:
    with FileSource.open(path) as code:
        return inside.look(inside.CONTAINERS[kind](code, None), inside.Allowance(octets))


def rebuild(path: Path, kind: str, replaced: dict[str, bytes], out: Path) -> None:
    """Replace members by their names, and check that the others are told to be unchanged."""
    sources = {}
    for name, octets in replaced.items():
        (out.parent / f"new-{len(sources)}").write_bytes(octets)
        sources[name] = FileSource.open(out.parent / f"new-{len(sources)}")
    with FileSource.open(path) as code, out.open("w+b") as file:
        old = inside.CONTAINERS[kind](code, None)
        numbers = {number: sources[one.text] for number, one in enumerate(old.members) if one.text in sources}
        assert len(numbers) == len(sources)
        old.rebuild(numbers, file)
        file.flush()
        with FileSource.open(out) as made:
            new = inside.CONTAINERS[kind](made, None)
            assert [one.text for one in new.members] == [one.text for one in old.members]
            for number, one in enumerate(new.members):
                if number in numbers:
                    assert b"".join(new.octets(number)) == replaced[one.text]
                    assert not old.unchanged(number, new)
                else:
                    assert old.unchanged(number, new)


def judged(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- looking -----------------------------------------------------------------------------------------------------------
def test_what_carries_no_signature(tmp_path: Path) -> None:
    """By content: a program without an extension counts, a text called .exe does not, nor does what is signed."""
    nested = archive([File(b"tool", PROGRAM), File(b"signed", signed_program(tmp_path))])
    files = [
        File(b"bin/app.exe", PROGRAM),
        File(b"bin/no-extension", PROGRAM, packed=False),
        File(b"bin/text.exe", b"no program"),
        File(b"bin/signed.dll", signed_program(tmp_path)),
        File(b"s.ps1", SCRIPT),
        File(b"page.js", b"alert(1)\n"),
        File(b"empty.exe", b""),
        File(b"folder/", b"", packed=False),
        File(b"lib.jar", archive([File(b"in.exe", PROGRAM)])),
        File(b"more.ZIP", nested),
        File(b"p.1.0.0.nupkg", archive([*nuget_files(), File(b"lib/x.dll", PROGRAM)])),
        File(b"c.cab", cab_builder.cabinet(folders=[[PROGRAM, b"text"]])),
    ]
    path = tmp_path / "all.zip"
    path.write_bytes(archive(files))
    found = look(path, "zip")
    assert found.unseen == ""
    assert found.unsigned == (
        "bin/app.exe",
        "bin/no-extension",
        "s.ps1",
        "more.ZIP!tool",
        "p.1.0.0.nupkg",
        "p.1.0.0.nupkg!lib/x.dll",
        "c.cab",
        "c.cab!file-0-0.txt",
    )


def test_packages_and_cabinets(tmp_path: Path) -> None:
    path = tmp_path / "a.msix"
    path.write_bytes(app_package("CN=X", content=PROGRAM))
    assert look(path, "appx") == inside.Look(("data.bin",))
    path.write_bytes(app_package("CN=X", content=signed_program(tmp_path)))
    assert look(path, "appx") == inside.Look()
    path.write_bytes(nuget_package(PROGRAM))
    assert look(path, "nuget") == inside.Look(("content/data.txt",))
    path.write_bytes(cab_builder.cabinet(folders=[[b"a" * 70_000, PROGRAM], [PROGRAM]]))
    assert look(path, "cab") == inside.Look(("file-0-1.txt", "file-1-0.txt"))


def test_names_are_shown_and_lead_nowhere(tmp_path: Path) -> None:
    """Control characters, bidirectional overrides and long names are shown as what they are not: harmless."""
    path = tmp_path / "a.cab"
    built = bytearray(cab_builder.cabinet(folders=[[PROGRAM]]))
    at = built.find(b"file-0-0.txt")
    built[at : at + 12] = b"..\\..\\\x1b[2Jxy"
    path.write_bytes(built)
    assert look(path, "cab").unsigned == ("..\\..\\_[2Jxy",)
    assert inside.last_of("..\\..\\_[2Jxy") == "_[2Jxy"
    assert inside.printable("a\u202eexe.txt") == "a_exe.txt"
    assert len(inside.printable("x" * 5000 + ".exe")) == inside.MAX_SHOWN
    assert inside.last_of("..") == ".." and inside.last_of("a/b/") == "b" and inside.last_of("/") == "?"


def test_bombs_stay_packed(tmp_path: Path) -> None:
    """What is zeros for 40 MiB costs its beginning; what has to be unpacked stops where the allowance does."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros.bin", bytes(40 << 20))
        made.writestr("app.exe", PROGRAM)
    assert path.stat().st_size < 1 << 20
    assert look(path, "zip", 1 << 20) == inside.Look(("app.exe",))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros.zip", b"PK\x05\x06" + bytes(20 << 20))
        made.writestr("app.exe", PROGRAM)
    found = look(path, "zip", 8 << 20)
    assert found.unsigned == () and "more than 8 MiB unpacked" in found.unseen


def test_containers_in_each_other_have_an_end(tmp_path: Path) -> None:
    octets = archive([File(b"app.exe", PROGRAM)])
    for _ in range(inside.MAX_DEPTH + 2):
        octets = archive([File(b"in.zip", octets)])
    (tmp_path / "a.zip").write_bytes(octets)
    assert look(tmp_path / "a.zip", "zip") == inside.Look((), "More than 4 containers are in each other.")


def test_what_cannot_be_looked_into_is_said(tmp_path: Path) -> None:
    """LZX is not unpacked here; the cabinet says which method it is."""
    built = bytearray(cab_builder.cabinet(folders=[[PROGRAM]]))
    struct.pack_into("<H", built, 36 + 6, 3 | 21 << 8)
    (tmp_path / "a.cab").write_bytes(built)
    assert look(tmp_path / "a.cab", "cab").unseen == "a.cab is packed by LZX, which is not read here."


def test_of_a_program_only_the_headers_are_unpacked(tmp_path: Path) -> None:
    program = pe_builder.program(sections=(random.Random(1).randbytes(3 << 20),))
    path = tmp_path / "big.exe"
    path.write_bytes(program)
    sign(path, signatory())
    (tmp_path / "a.zip").write_bytes(archive([File(b"one.exe", program), File(b"two.exe", path.read_bytes())]))
    assert look(tmp_path / "a.zip", "zip", 1 << 20) == inside.Look(("one.exe",))


# -- rebuilding --------------------------------------------------------------------------------------------------------
def test_an_archive_made_anew(tmp_path: Path) -> None:
    """Entries that stay keep every octet; 7z and unzip read all of it; the comment and the order stay."""
    files = [
        File(b"a.txt", b"text" * 500, descriptor="32"),
        File(b"app.exe", PROGRAM, extra=struct.pack("<HHI", 0x5455, 4, 1)),
        File(b"stored.exe", PROGRAM, packed=False, descriptor="64"),
        File(b"folder/", b"", packed=False),
        File(b"folder/z.bin", bytes(100_000), comment=b"a comment"),
    ]
    path, out = tmp_path / "a.zip", tmp_path / "b.zip"
    path.write_bytes(archive(files, comment=b"of the archive"))
    rebuild(path, "zip", {"app.exe": NEW, "stored.exe": NEW + b"more"}, out)
    judged("unzip", "-t", out)
    assert "Everything is Ok" in judged("7z", "t", out)
    with zipfile.ZipFile(out) as made:
        assert made.namelist() == [one.name.decode() for one in files]
        assert made.comment == b"of the archive" and made.getinfo("folder/z.bin").comment == b"a comment"
        assert made.read("app.exe") == NEW and made.read("stored.exe") == NEW + b"more"
        assert made.getinfo("stored.exe").compress_type == zipfile.ZIP_STORED
        assert made.getinfo("app.exe").compress_size < len(NEW)
    octets, old = out.read_bytes(), path.read_bytes()
    assert octets.startswith(old[: old.find(b"PK\3\4", 4)])


def test_zip64_records_stay(tmp_path: Path) -> None:
    path, out = tmp_path / "a.zip", tmp_path / "b.zip"
    path.write_bytes(archive([File(b"a.exe", PROGRAM, wide=True), File(b"b.txt", b"text", wide=True)], zip64=True))
    rebuild(path, "zip", {"a.exe": NEW}, out)
    assert "Everything is Ok" in judged("7z", "t", out)
    assert b"PK\6\6" in out.read_bytes()


@pytest.mark.parametrize("dialect", ["windows", "makemsix", "plain"])
@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_the_block_map_of_an_app_package(dialect: str, digest: str, tmp_path: Path) -> None:
    """Each file's blocks have the digests that the map states, and unpack by themselves from where it says."""
    path, out = tmp_path / "a.msix", tmp_path / "b.msix"
    content = pe_builder.program(sections=(random.Random(2).randbytes(30_000),))
    path.write_bytes(app_package("CN=X", content=content, dialect=dialect, digest=digest))
    new = pe_builder.program(sections=(random.Random(3).randbytes(50_000) + bytes(150_000),))
    rebuild(path, "appx", {"data.bin": new}, out)
    assert check_block_map(out, digest) == 4
    assert "Everything is Ok" in judged("7z", "t", out)


def check_block_map(path: Path, digest: str) -> int:
    """Hold a package against its block map by Microsoft's rules, written down again; return how many blocks fit."""
    octets, blocks = path.read_bytes(), 0
    space = "{http://schemas.microsoft.com/appx/2010/blockmap}"
    with zipfile.ZipFile(io.BytesIO(octets)) as package:
        for file in ElementTree.fromstring(package.read("AppxBlockMap.xml")):  # noqa: S314 - it is ours
            assert file.tag == f"{space}File"
            name = file.attrib["Name"].replace("\\", "/")
            entry, content = package.getinfo(name), package.read(name)
            assert int(file.attrib["Size"]) == len(content)
            lengths = struct.unpack_from("<HH", octets, entry.header_offset + 26)
            at = entry.header_offset + 30 + sum(lengths)
            if name == "data.bin":
                assert int(file.attrib["LfhSize"]) == at - entry.header_offset
            parts = [content[start : start + BLOCK] for start in range(0, len(content), BLOCK)]
            assert len(file) == len(parts)
            for part, block in zip(parts, file, strict=True):
                assert block.attrib["Hash"] == base64.b64encode(hashlib.new(digest, part).digest()).decode()
                if "Size" in block.attrib:
                    size = int(block.attrib["Size"])
                    assert zlib.decompressobj(-15).decompress(octets[at : at + size]) == part
                    at += size
                    blocks += 1
            if file[0].attrib.get("Size"):  # what ends the stream is in no block
                assert octets[at : at + 2] == b"\x03\x00"
    return blocks


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"bundle": True}, "is a bundle"),
        ({"catalogue": b"some catalogue"}, "code integrity catalogue"),
    ],
)
def test_app_packages_that_are_not_made_anew(how: dict[str, object], why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.msix"
    path.write_bytes(app_package("CN=X", content=PROGRAM, **how))
    with pytest.raises(MalformedCode, match=why) as refused:
        rebuild(path, "appx", {"data.bin": NEW}, tmp_path / "b.msix")
    assert "then sign the package" in (refused.value.hint or "")


def test_a_block_map_that_knows_more_or_less(tmp_path: Path) -> None:
    path = tmp_path / "a.msix"
    said = manifest("CN=X")
    whole = block_map([("data.bin", PROGRAM), ("AppxManifest.xml", said)])
    for wrong, why in (
        (whole.replace(b'<File Name="data.bin"', b'<File Id="7" Name="data.bin"'), "more of a file than is known"),
        (whole.replace(b"data.bin", b"other.bin"), "does not speak of every file"),
    ):
        files = app_files("CN=X", content=PROGRAM)
        path.write_bytes(archive([File(one.name, wrong) if b"BlockMap" in one.name else one for one in files]))
        with pytest.raises(MalformedCode, match=why):
            rebuild(path, "appx", {"data.bin": NEW}, tmp_path / "b.msix")


@pytest.mark.parametrize("how", [[], ["-z"]], ids=["stored", "mszip"])
def test_a_cabinet_made_anew(how: list[str], tmp_path: Path) -> None:
    """gcab has made it, cabextract and 7z read what became of it: each file, its time and attributes."""
    chance = random.Random(5)
    contents = {"a.txt": b"text " * 30_000, "app.exe": PROGRAM, "noise.bin": chance.randbytes(70_001), "z": b"z"}
    contents["far.bin"] = chance.randbytes(20_000) * 10  # packs well only with the block before as the dictionary
    for name, octets in contents.items():
        (tmp_path / name).write_bytes(octets)
    subprocess.run(["gcab", "-c", "-n", *how, "a.cab", *contents], cwd=tmp_path, check=True)
    rebuild(tmp_path / "a.cab", "cab", {"app.exe": NEW, "z": chance.randbytes(40_000)}, tmp_path / "b.cab")
    contents |= {"app.exe": NEW, "z": (tmp_path / "new-1").read_bytes()}
    assert "Everything is Ok" in judged("7z", "t", tmp_path / "b.cab")
    assert ((tmp_path / "b.cab").stat().st_size < 250_000) is bool(how)
    judged("cabextract", "-q", "-d", tmp_path / "out", tmp_path / "b.cab")
    assert {one.name: one.read_bytes() for one in (tmp_path / "out").iterdir()} == contents
    listed = [judged("7z", "l", tmp_path / name).splitlines()[-7:-2] for name in ("a.cab", "b.cab")]
    assert [line[:25] for line in listed[0]] == [line[:25] for line in listed[1]]


def test_only_the_folder_that_changes_is_packed_again(tmp_path: Path) -> None:
    """The blocks of the other folders keep their octets, also where they are packed in a way that is not read here."""
    folders = [[b"one" * 30_000], [PROGRAM, b"two"], [b"three" * 9000]]
    built = bytearray(cab_builder.cabinet(folders=folders, reserve=bytes(24), folder_reserve=2))
    struct.pack_into("<H", built, 64 + 6, 3 | 21 << 8)
    path, out = tmp_path / "a.cab", tmp_path / "b.cab"
    path.write_bytes(built)
    rebuild(path, "cab", {"file-1-0.txt": NEW}, out)
    assert b"one" * 10_000 in out.read_bytes() and b"three" * 6000 in out.read_bytes()
    with pytest.raises(MalformedCode, match="packed by LZX"):
        rebuild(path, "cab", {"file-0-0.txt": NEW}, out)


def test_a_signed_cabinet_loses_its_signature_only(tmp_path: Path) -> None:
    path, out = tmp_path / "a.cab", tmp_path / "b.cab"
    path.write_bytes(cab_builder.cabinet(folders=[[PROGRAM, b"text"]]))
    sign(path, signatory())
    rebuild(path, "cab", {"file-0-0.txt": NEW}, out)
    with FileSource.open(out) as code:
        assert inside.is_signed(inside.catalogue.BY_NAME["cab"], code) is False
    sign(out, signatory())
    judged("7z", "t", out)


def test_a_block_s_checksum_is_as_ms_cab_says() -> None:
    """The specification's own function, octet by octet."""

    def plainly(octets: bytes, seed: int) -> int:
        for at in range(0, len(octets) // 4 * 4, 4):
            seed ^= octets[at] | octets[at + 1] << 8 | octets[at + 2] << 16 | octets[at + 3] << 24
        rest, last = octets[len(octets) // 4 * 4 :], 0
        for place, octet in enumerate(reversed(rest)):
            last |= octet << 8 * place
        return seed ^ last

    chance = random.Random(4)
    for size in (0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 32768, 32767):
        data, head = chance.randbytes(size), chance.randbytes(4)
        assert inside_cab.checksum_of(head, data) == plainly(head, plainly(data, 0)), size


def test_a_block_with_a_wrong_checksum_is_not_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(PROGRAM * 3)
    subprocess.run(["gcab", "-c", "-n", "a.cab", "a", "b"], cwd=tmp_path, check=True)
    octets = bytearray((tmp_path / "a.cab").read_bytes())
    octets[-5] ^= 1
    (tmp_path / "a.cab").write_bytes(octets)
    with FileSource.open(tmp_path / "a.cab") as code, pytest.raises(MalformedCode, match="checksum is another"):
        list(inside_cab.CabContainer(code).octets(1))


def test_files_that_overlap_are_not_packed_again(tmp_path: Path) -> None:
    built = bytearray(cab_builder.cabinet(folders=[[PROGRAM, b"text" * 10]]))
    at = built.find(b"file-0-1.txt") - 16
    struct.pack_into("<I", built, at + 4, 7)
    (tmp_path / "a.cab").write_bytes(built)
    with pytest.raises(MalformedCode, match="overlap"):
        rebuild(tmp_path / "a.cab", "cab", {"file-0-0.txt": NEW}, tmp_path / "b.cab")
