"""The catalogue of odd programs: what linkers, packers and other signers leave behind, each signed and judged."""

import subprocess
from pathlib import Path

import lief
import pytest
from tests.formats.pe_builder import EFI_APPLICATION, Image, program, sectioned_digest
from tests.formats.signing import APPEND, PE, PLAIN, look, sign, signatory, stamp, troubles
from tests.formats.test_pe_layout import Held
from tests.formats.test_pe_strangers import osslsigncode, verify

from privyseal.errors import MalformedCode
from privyseal.formats import authenticode, authenticode_blob, catalogue, pe_table
from privyseal.formats.source import FileSource
from privyseal.pki import certificates, cms, der

ODD = {
    "a gap between sections": program(sections=(b"a" * 512, b"b" * 512, b"c" * 512), fields={"section_1_size": 0}),
    "no sections": Image(sections=()).build(),
    "sections in another order": program(fields={"section_0_at": 0x400, "section_1_at": 0x200, "section_0_size": 512}),
    "one section without octets": program(fields={"section_1_size": 0}),
    "five data directories": program(directories=5),
    "headers far behind": program(pe_at=0x3F0),
    "headers not at a multiple of 4": program(pe_at=0x82),
    "a zip behind it": program(overlay=b"PK\x05\x06" + bytes(18)),
    "an overlay of one octet": program(overlay=b"\0"),
    "x86 with an overlay": program("x86", overlay=b"data"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_programs(tmp_path: Path, name: str):
    """Signed, timestamped and signed once more; others find the digest that we found; it comes off again.

    osslsigncode judges all: like Windows it hashes from front to back. lief walks section by section, leaves out what
    is in none, and so is no oracle for the first two; nor is the document's own walk for gaps.
    """
    path = tmp_path / "odd.exe"
    path.write_bytes(ODD[name])
    sign(path, signatory(), stamped=True)
    sign(path, signatory("ecdsa-p256"), options=APPEND)
    found = look(path)
    assert not troubles(found) and len(found.signatures) == 2
    assert len(verify(path, tmp_path)) == 2
    if name not in list(ODD)[:2]:
        binary = lief.PE.parse(str(path))
        assert binary is not None
        assert binary.authentihash(lief.PE.ALGORITHMS.SHA_256) == found.signatures[0].digest
    if name != "a gap between sections":
        assert sectioned_digest(path.read_bytes()) == found.signatures[0].digest
    code = Held(path.read_bytes())
    left = PE.remove(code, PE.inspect(code))
    assert len(ODD[name]) <= left.size < len(ODD[name]) + 8


def test_a_dos_program_is_none():
    """MORE.EXE of jsign's fixtures is MZ and nothing else: recognised, and refused in a sentence."""
    code = Held((b"MZ" + bytes(58) + b"\x40\0\0\0").ljust(3000, b"\x90"))
    assert catalogue.recognise(code) is PE
    with pytest.raises(MalformedCode, match="DOS program"):
        PE.inspect(code)


def signed(path: Path) -> bytes:
    path.write_bytes(program())
    sign(path, signatory("ecdsa-p256"))
    return look(path).signatures[0].blob


def with_entry(path: Path, entry: bytes) -> set[str]:
    path.write_bytes(program(table=entry))
    return troubles(look(path)) - {"checksum"}


def test_a_signature_without_signed_attributes(tmp_path: Path):
    """jsign crashes on it and signify refuses it: the content is signed directly. We say so, and it can be replaced."""
    path = tmp_path / "p.exe"
    blob = authenticode_blob.read(signed(path))
    who = signatory("ecdsa-p256")
    content = authenticode.indirect_data(blob.subject, "sha256", blob.digest)
    info = cms.signer_info(
        certificate=who.identity.chain[0], digest_algorithm="sha256", signed_attributes=(), signature=b"x"
    )
    bare = cms.build_signed_data(
        content_type=authenticode.ID_INDIRECT_DATA,
        content=content,
        digest_algorithm="sha256",
        certificates=who.identity.chain,
        signers=(info,),
        version=1,
    )
    assert "signed-attributes" in with_entry(path, pe_table.write_entry(bare))
    sign(path, who)
    assert not troubles(look(path))


def test_a_legacy_countersignature(tmp_path: Path):
    """The timestamp of before RFC 3161 is not read as one, and is said to be an attribute that nothing covers."""
    path = tmp_path / "p.exe"
    old = cms.with_unsigned_attribute(signed(path), "1.2.840.113549.1.9.6", der.sequence(der.integer(1)))
    assert with_entry(path, pe_table.write_entry(old)) == {"unsigned-attribute", "not-canonical"}
    assert look(path).signatures[0].timestamp is None


def test_an_entry_that_is_not_filled_up(tmp_path: Path):
    """Some signers leave the last entry's length as it is: read, told, and in order again after a timestamp."""
    path = tmp_path / "p.exe"
    blob = signed(path)
    entry = (8 + len(blob)).to_bytes(4, "little") + b"\0\2\2\0" + blob
    assert with_entry(path, entry) <= {"padding", "alignment"}
    code = Held(path.read_bytes())
    layout = PE.inspect(code)
    (one,) = PE.signatures(code, layout)
    plan = PE.timestamped(code, layout, {0: stamp().token(one.signature_value)})
    assert plan.size % 8 == 0


def test_the_checksum_of_others(tmp_path: Path):
    """A checksum that is wrong before is right afterwards, for the loader looks at it in drivers."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(fields={"checksum": 0xDEADBEEF}))
    sign(path, signatory("ecdsa-p256"))
    assert not troubles(look(path))


def test_an_efi_image_with_a_gap_can_lose_its_signature(tmp_path: Path):
    """It is not signed here, but what somebody else signed comes off."""
    gap = {"sections": (b"a" * 512, b"b" * 512, b"c" * 512), "fields": {"section_1_size": 0}}
    blob = signed(tmp_path / "p.exe")
    code = Held(program(subsystem=EFI_APPLICATION, table=pe_table.write_entry(blob), **gap))
    layout = PE.inspect(code)
    with pytest.raises(MalformedCode, match="belong to no section"):
        PE.prepare(code, layout, signatory("ecdsa-p256").identity, PLAIN, "sha256")
    assert PE.remove(code, layout).size == layout.content_end


LARGE = 9 << 28
"""2.25 GiB: offsets beyond 31 bits."""


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_more_than_2_gib(tmp_path: Path):
    """Signed, judged by osslsigncode and by us; the content is what it was, and comes off again."""
    path, out, root = tmp_path / "large.exe", tmp_path / "signed.exe", tmp_path / "root.pem"
    with path.open("wb") as large:
        large.write(program())
        large.truncate(LARGE)
    sign(path, signatory("ecdsa-p256"), target=out)
    root.write_bytes(certificates.pem(signatory("ecdsa-p256").root))
    said = osslsigncode("verify", "-CAfile", root, "-in", out, seconds=900)
    assert "MISMATCH" not in said and "Signature verification: ok" in said, said
    with FileSource.open(out) as code:
        layout = PE.inspect(code)
        (one,) = PE.signatures(code, layout)
        assert not one.problems and layout.content_end == LARGE
        assert PE.remove(code, layout).size == LARGE
    done = subprocess.run(["cmp", "-n", str(LARGE - 1024), "-i", "1024", path, out], check=False)
    assert done.returncode == 0
