"""Macros signed, replaced, timestamped later, taken apart again, refused; their hashes by a second book, and Excel's.

No program on Linux judges all of a VBA signature. The rules are written down a second time in ``vba_builder``, openssl
judges the messages, and Excel's own hashes are held against ours where the machine has files that it signed.
"""

from __future__ import annotations

import re
import struct
import subprocess
import zipfile
from pathlib import Path

import msgspec
import pytest
from tests.formats import vba_builder
from tests.formats.samples import sample
from tests.formats.signing import APPEND, PLAIN, signatory
from tests.formats.vba_builder import Kind, Macros, document, files, relations
from tests.formats.walking import look, remove, sign, stamp_later, wrong
from tests.formats.zip_builder import File, archive
from tests.pki import mint

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import operations, vba_blob
from privyseal.formats.catalogue import BY_NAME
from privyseal.formats.protocol import Identity, Prepared
from privyseal.formats.source import FileSource
from privyseal.pki import cms
from privyseal.terms.signatures import Options

VBA = BY_NAME["vba"]
P256 = "ecdsa-p256"
FOLDERS = {"xlsm": "xl", "docm": "word", "pptm": "ppt"}


def parts_of(path: Path) -> dict[str, bytes]:
    """Return what is in a document, entry by entry."""
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def message(part: bytes) -> bytes:
    """Return the message in a signature's part, by the fields of DigSigInfoSerialized."""
    size, offset = struct.unpack_from("<II", part)
    return part[offset - 8 : offset - 8 + size]


def signed_hash(part: bytes) -> bytes:
    """Return the hash of the source in a part: the last octets of the OCTET STRING behind SHA-256's name."""
    found = re.search(rb"2\.16\.840\.1\.101\.3\.4\.2\.1\0(.{32})", message(part), re.DOTALL)
    assert found is not None
    return found[1]


def openssl_accepts(octets: bytes, folder: Path, root: Path) -> bool:
    """Have openssl verify a message against a root; its content it takes without tag and length, as PKCS#7 has it."""
    (folder / "message.p7").write_bytes(octets)
    (folder / "content.bin").write_bytes(cms.parse(octets).content_octets or b"")
    command = ["openssl", "smime", "-verify", "-inform", "DER", "-in", folder / "message.p7", "-binary", "-content"]
    command += [folder / "content.bin", "-CAfile", root, "-purpose", "any", "-out", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def prepared(path: Path) -> Prepared:
    with FileSource.open(path) as code:
        return VBA.prepare(code, VBA.inspect(code), Identity((), ""), PLAIN, "sha256")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.xlsm"
    path.write_bytes(document())
    return path


@pytest.mark.parametrize("kind", ["xlsm", "docm", "pptm"])
def test_there_and_back(tmp_path: Path, kind: Kind):
    """Signed, timestamped later, signed anew, removed: every entry is what it was; the hashes are the second book's."""
    path = tmp_path / f"example.{kind}"
    path.write_bytes(document(kind))
    before, folder = parts_of(path), FOLDERS[kind]
    assert tuple(one.digest for one in prepared(path).described) == vba_builder.digests(Macros())
    sign(path, signatory(P256))
    once, after = path.read_bytes(), parts_of(path)
    for name, digest in zip(("V3", "Agile"), vba_builder.digests(Macros()), strict=True):
        assert signed_hash(after[f"{folder}/vbaProjectSignature{name}.bin"]) == digest
    assert not wrong(path) and [one.digest for one in look(path).signatures] == [*vba_builder.digests(Macros())]
    changed_parts = {name for name in after if before.get(name) != after[name]}
    here = f"{folder}/_rels/vbaProject.bin.rels"
    new = {here, *(f"{folder}/vbaProjectSignature{name}.bin" for name in ("V3", "Agile"))}
    assert changed_parts == {"[Content_Types].xml", *new} and before.keys() <= after.keys()
    stamp_later(path, 0, 1)
    assert not wrong(path) and all(one.timestamp for one in look(path).signatures)
    sign(path, signatory(P256))
    assert {name: octets for name, octets in parts_of(path).items() if name not in new} == {
        name: octets for name, octets in after.items() if name not in new
    }
    sign(path, signatory("ecdsa-p384"), digest="sha384", stamped=True)
    assert not wrong(path) and {one.digest_algorithm for one in look(path).signatures} == {"sha384"}
    remove(path)
    assert parts_of(path) == before and not look(path).signatures
    bare = path.read_bytes()
    remove(path)
    assert path.read_bytes() == bare and len(once) > len(bare)


def test_what_the_parts_are_announced_as(path: Path):
    """The relationships and content types are those of a workbook that Excel signed, each once."""
    sign(path, signatory(P256))
    sign(path, signatory(P256))
    there = parts_of(path)
    said = there["xl/_rels/vbaProject.bin.rels"].decode()
    for kind, name in (("2014/relationships/", "Agile"), ("2020/07/relationships/", "V3")):
        row = f'Type="http://schemas.microsoft.com/office/{kind}vbaProjectSignature{name}" '
        assert said.count(f'{row}Target="vbaProjectSignature{name}.bin"') == 1
        types = there["[Content_Types].xml"].decode()
        row = f'<Override PartName="/xl/vbaProjectSignature{name}.bin" '
        assert types.count(f'{row}ContentType="application/vnd.ms-office.vbaProjectSignature{name}"/>') == 1
    assert sorted(re.findall('Id="(rId[0-9]+)"', said)) == ["rId1", "rId2"]


@pytest.mark.parametrize("scheme", ["rsa-3072", P256])
def test_openssl_accepts_both_messages(path: Path, tmp_path: Path, scheme: str):
    """With their certificates against the root; and refuses one of whose content a bit is another."""
    who = signatory(scheme)
    sign(path, who, stamped=True)
    _, _, root = who.write_pem(tmp_path)
    for name in ("V3", "Agile"):
        octets = message(parts_of(path)[f"xl/vbaProjectSignature{name}.bin"])
        assert openssl_accepts(octets, tmp_path, root)
        (tmp_path / "content.bin").write_bytes(b"other")
        at = octets.index(b"2.16.840.1.101.3.4.2.1\0") + 30
        assert not openssl_accepts(octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :], tmp_path, root)


def test_openssl_knows_what_is_in_a_message(path: Path, tmp_path: Path):
    """PKCS#7 of SpcIndirectDataContentV2, one signer, SHA-256, no MD5 anywhere."""
    sign(path, signatory(P256))
    (tmp_path / "m").write_bytes(message(parts_of(path)["xl/vbaProjectSignatureV3.bin"]))
    said = mint.run("openssl", "asn1parse", "-inform", "DER", "-in", tmp_path / "m").stdout
    for words in ("pkcs7-signedData", "1.3.6.1.4.1.311.2.1.4", "1.3.6.1.4.1.311.2.1.31", ":0C0000000100000001000000"):
        assert words in said
    assert "md5" not in said.lower() and "sha1" not in said.lower()


# -- signatures that do not hold ---------------------------------------------------------------------------------------
def rewritten(path: Path, **how: bytes | None) -> None:
    """Write the document anew with other parts beside the project; None leaves one out, as does its relationship."""
    there = parts_of(path)
    for name, octets in how.items():
        whole = f"xl/vbaProjectSignature{name}.bin"
        if octets is None:
            del there[whole]
            said = there["xl/_rels/vbaProject.bin.rels"].decode()
            there["xl/_rels/vbaProject.bin.rels"] = re.sub(f'<Relationship [^>]*{name}.bin"/>', "", said).encode()
        else:
            there[whole] = octets
    path.write_bytes(archive([File(name.encode(), octets) for name, octets in there.items()]))


def test_signatures_that_changed_places_or_are_gone(path: Path):
    """Agile's in the place of V3's, one by somebody else, one taken away, one broken: both are made together."""
    sign(path, signatory(P256), stamped=True)
    there = parts_of(path)
    v3, agile = there["xl/vbaProjectSignatureV3.bin"], there["xl/vbaProjectSignatureAgile.bin"]
    signed = path.read_bytes()
    rewritten(path, V3=agile, Agile=v3)
    assert wrong(path) == {"digest-mismatch"}
    path.write_bytes(signed)
    rewritten(path, V3=None)
    assert wrong(path) == {"several-signers"} and len(look(path).signatures) == 1
    path.write_bytes(signed)
    rewritten(path, Agile=agile[:-1] + b"x")
    assert wrong(path) == {"signature-part"}
    rewritten(path, Agile=b"x" * 50)
    assert wrong(path) == {"malformed-signature"}
    path.write_bytes(signed)
    sign(path, signatory("ecdsa-p384"))
    other = parts_of(path)["xl/vbaProjectSignatureAgile.bin"]
    path.write_bytes(signed)
    rewritten(path, Agile=other)
    assert wrong(path) == {"several-signers"}
    at = agile.index(b"2.16.840.1.101.3.4.2.1\0") + 25
    rewritten(path, Agile=agile[:at] + bytes([agile[at] ^ 1]) + agile[at + 1 :])
    v3_found, agile_found = look(path).signatures
    assert "digest-mismatch" in {one.code for one in agile_found.problems}
    assert {one.code for one in v3_found.problems} == {"other-signature"}


def test_a_signature_of_before_2016_is_called_weak_and_replaced(path: Path):
    """Whatever algorithm it names, its hash is by MD5 (MS-OSHARED 4.3), so it is not looked at further."""
    part = sample("xlsxwriter/vbaProject05Signature.bin")
    kind = vba_builder.MICROSOFT + "vbaProjectSignature"
    rows = [File(b"xl/vbaProjectSignature.bin", part)]
    rows += [File(b"xl/_rels/vbaProject.bin.rels", relations((kind, "vbaProjectSignature.bin")))]
    path.write_bytes(archive([*files(), *rows]))
    assert "weak-digest" in wrong(path)
    sign(path, signatory(P256))
    assert not wrong(path) and "xl/vbaProjectSignature.bin" not in parts_of(path)


MESSAGE, CERTIFICATE = b"m" * 40, b"c" * 21
PART = vba_blob.around(MESSAGE, CERTIFICATE)
HASH = vba_blob.source_hash("sha256", bytes(32), b"compiled")


def test_what_stands_around_a_message():
    """Laid out as DigSigInfoSerialized says, and read back; not where a number lies."""
    fields = struct.unpack_from("<9I", PART)
    assert fields == (40, 44, 53, 84, 0, 137, 0, 0, 139) and len(PART) % 4 == 0
    assert PART[36:76] == MESSAGE and PART[76:84] == b"\0\0\0\0CERT" and vba_blob.within(PART) == MESSAGE
    for at, value in ((0, 0), (0, 41), (0, 1 << 31), (4, 36), (8, 1 << 20), (12, 83), (12, 1 << 31)):
        with pytest.raises(BadInput, match="does not say where"):
            vba_blob.within(PART[:at] + struct.pack("<I", value) + PART[at + 4 :])
    with pytest.raises(BadInput, match="too few"):
        vba_blob.within(PART[:35])


def test_what_is_signed_in_place_of_a_digest():
    """SigDataV1Serialized as Excel writes it, with a hash of what is compiled; not where a number lies."""
    assert vba_blob.read_hash(HASH) == vba_blob.SourceHash("2.16.840.1.101.3.4.2.1", b"compiled", bytes(32))
    plain = vba_blob.source_hash("sha256", bytes(32))
    without = plain[:16] + bytes(4) + plain[20:]  # as OfficeIMO leaves it out
    assert vba_blob.read_hash(plain) == vba_blob.read_hash(without) and b"compiled" not in plain
    for at in range(0, 24, 4):
        for value in (0, 1, 0xFFFFFFFF):
            with pytest.raises(BadInput):
                vba_blob.read_hash(HASH[:at] + struct.pack("<I", value) + HASH[at + 4 :])
    for octets in (b"", HASH[:23], HASH[:-1], HASH + b"x", HASH.replace(b".1\0", b".1x")):
        with pytest.raises(BadInput):
            vba_blob.read_hash(octets)


def test_descriptions_that_no_macros_give(path: Path):
    one, _ = prepared(path).described
    who = signatory(P256).identity
    assert len(VBA.to_be_signed(one, who, PLAIN)) == 1
    for other in (
        msgspec.structs.replace(one, format="pe"),
        msgspec.structs.replace(one, facts={}),
        msgspec.structs.replace(one, facts={**one.facts, "hash": "legacy"}),
        msgspec.structs.replace(one, facts={**one.facts, "project": "x" * 64}),
        msgspec.structs.replace(one, facts={**one.facts, "modules": 1 << 20}),
        msgspec.structs.replace(one, facts={**one.facts, "more": 1}),
        msgspec.structs.replace(one, digest=one.digest[1:]),
        msgspec.structs.replace(one, size=0),
    ):
        with pytest.raises(BadInput):
            VBA.to_be_signed(other, who, PLAIN)
    with pytest.raises(BadInput, match="one signature of each kind"):
        VBA.to_be_signed(one, who, Options(mode="append"))
    with pytest.raises(Impossible):
        operations.require_for(VBA, APPEND)
    with pytest.raises(BadInput, match="Windows knows no Authenticode"):
        VBA.to_be_signed(one, signatory("ed25519").identity, PLAIN)
    with FileSource.open(path) as code, pytest.raises(BadInput, match="2 signatures; 1 came"):
        VBA.apply(code, prepared(path), PLAIN, [b""])


def test_the_two_hashes_are_not_signed_alike(path: Path):
    """A description of one cannot stand for the other: each signature is over its own hash and nothing else."""
    one, other = prepared(path).described
    who = signatory(P256).identity
    octets = [VBA.to_be_signed(each, who, PLAIN)[0].octets for each in (one, other)]
    assert octets[0] != octets[1]


def test_by_what_they_are_told(tmp_path: Path):
    """By a project near the end of the directory, whatever the name; where much follows it, by the name."""
    few, many = document(), archive([*files(), *(File(b"xl/media/%d.png" % n, b"x") for n in range(100))])
    for name, octets, known in (("a.zip", few, True), ("a.xlsm", many, True), ("a.zip", many, False)):
        (tmp_path / name).write_bytes(octets)
        if known:
            assert not look(tmp_path / name).signatures
        else:
            with pytest.raises(MalformedCode, match=r"of no format|is a document of Office"):
                look(tmp_path / name)


def test_what_is_said_of_it(path: Path):
    with FileSource.open(path) as code:
        said = VBA.summarise(code, VBA.inspect(code))
    assert said.kind == "macros of Excel, not signed" and said.parts[0][0] == "xl/vbaProject.bin"
    sign(path, signatory(P256))
    with FileSource.open(path) as code:
        said = VBA.summarise(code, VBA.inspect(code))
    assert said.kind == "macros of Excel, v3, agile signature" and len(said.parts) == 3
