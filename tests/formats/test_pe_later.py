"""What is done to a signed program later: a timestamp put into it, its signatures taken off again."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.formats.pe_builder import EFI_APPLICATION, Image, program, slow_checksum
from tests.formats.signing import APPEND, PE, look, sign, signatory, stamp, troubles
from tests.formats.test_pe import launcher
from tests.formats.test_pe_layout import Held
from tests.formats.test_pe_strangers import osslsigncode, verify

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import authenticode, authenticode_later, operations, pe_table
from privyseal.formats.patch import carry_out
from privyseal.formats.pe import PortableExecutable
from privyseal.formats.protocol import Operation
from privyseal.formats.source import FileSource
from privyseal.pki import cms, der
from privyseal.terms.signatures import Options, TimestampToken


def with_checksum(octets: bytes) -> bytes:
    """Return a program of the builder's with the checksum that a linker's /RELEASE writes."""
    at = Image().places()["checksum"][0]
    return octets[:at] + slow_checksum(octets, at).to_bytes(4, "little") + octets[at + 4 :]


def removed(path: Path) -> bytes:
    """Take the signatures off a file and return what is left."""
    with FileSource.open(path) as code:
        carry_out(PE.remove(code, PE.inspect(code)), code, path)
    return path.read_bytes()


def stamp_later(path: Path, which: tuple[int, ...]) -> Mapping[int, TimestampToken]:
    """Timestamp signatures of a file in place, and return the tokens."""
    with FileSource.open(path) as code:
        layout = PE.inspect(code)
        found = list(PE.signatures(code, layout))
        tokens = {number: stamp().token(found[number].signature_value) for number in which}
        carry_out(PE.timestamped(code, layout, tokens), code, path)
    return tokens


@pytest.fixture
def exe(tmp_path: Path) -> Path:
    path = tmp_path / "program.exe"
    path.write_bytes(with_checksum(program(overlay=b"an overlay of 24 octets.")))
    return path


def test_a_timestamp_later_gives_what_one_at_once_would_have(exe: Path, tmp_path: Path):
    """The octets are those of a signature that had its timestamp from the beginning, but for the token's own."""
    sign(exe, signatory())
    before = look(exe).signatures[0]
    tokens = stamp_later(exe, (0,))
    after = look(exe)
    assert not troubles(after) and after.signatures[0].timestamp == tokens[0].der
    assert after.signatures[0].signature_value == before.signature_value
    assert (
        cms.with_unsigned_attribute(before.blob, authenticode.ID_TIMESTAMP, tokens[0].der) == after.signatures[0].blob
    )
    (one,) = verify(exe, tmp_path)
    assert one["stamped"] == "True"


def test_every_signature_is_reached_by_its_number(exe: Path, tmp_path: Path):
    """Of three, nested in the first: the second and third get one, the first keeps its octets; then it gets one too."""
    sign(exe, signatory())
    sign(exe, signatory("ecdsa-p384"), options=APPEND, digest="sha384")
    sign(exe, signatory("ecdsa-p256"), options=APPEND)
    before = look(exe).signatures
    stamp_later(exe, (1, 2))
    after = look(exe)
    assert not troubles(after) and [one.timestamp is not None for one in after.signatures] == [False, True, True]
    assert after.signatures[0].blob == before[0].blob
    stamp_later(exe, (0, 1, 2))
    assert not troubles(look(exe))
    assert [one["stamped"] for one in verify(exe, tmp_path)] == ["True"] * 3


def test_a_token_takes_the_place_of_the_one_there(exe: Path):
    """Windows reads one; two would be one too many."""
    sign(exe, signatory("ecdsa-p256"), stamped=True)
    first = look(exe).signatures[0].timestamp
    tokens = stamp_later(exe, (0,))
    assert look(exe).signatures[0].timestamp == tokens[0].der != first
    assert not troubles(look(exe))


def test_entries_of_an_efi_image(tmp_path: Path):
    """Each entry of the table is a signature of its own; one of another type is left alone."""
    path = tmp_path / "boot.efi"
    path.write_bytes(program(subsystem=EFI_APPLICATION))
    sign(path, signatory("ecdsa-p256"))
    sign(path, signatory(), options=APPEND)
    stamp_later(path, (1,))
    found = look(path)
    assert not troubles(found) and [one.timestamp is not None for one in found.signatures] == [False, True]
    blob = found.signatures[0].blob
    table = pe_table.write_entry(b"other", kind=0xEF1) + pe_table.write_entry(blob)
    code = Held(program(subsystem=EFI_APPLICATION, table=table))
    plan = PE.timestamped(code, PE.inspect(code), {0: stamp().token(found.signatures[0].signature_value)})
    assert pe_table.write_entry(b"other", kind=0xEF1) in plan.steps[-1].octets  # type: ignore[union-attr]


def test_what_cannot_be_timestamped(exe: Path):
    """No such signature, no signature at all, one that is none, one in BER: a sentence each, and nothing is planned."""
    token = {0: stamp().token(b"x")}
    with FileSource.open(exe) as code, pytest.raises(BadInput, match="carries 0 signatures"):
        PE.timestamped(code, PE.inspect(code), token)
    sign(exe, signatory("ecdsa-p256"))
    with FileSource.open(exe) as code, pytest.raises(BadInput, match="carries 1 signatures; there is no number 3"):
        PE.timestamped(code, PE.inspect(code), {3: token[0]})
    rubbish = Held(program(table=pe_table.write_entry(b"\x30\x03abc")))
    with pytest.raises(MalformedCode, match="Signature 0 cannot take a timestamp"):
        PE.timestamped(rubbish, PE.inspect(rubbish), token)
    blob = look(exe).signatures[0].blob
    inner = der.read(blob).content
    with pytest.raises(MalformedCode, match="not in DER"):
        authenticode_later.timestamped([b"\x30\x80" + inner + b"\0\0"], token)
    whole = blob
    for _ in range(8):
        whole = cms.with_unsigned_attribute(blob, authenticode.ID_NESTED_SIGNATURE, whole)
    with pytest.raises(MalformedCode, match="more signatures than are read"):
        authenticode_later.timestamped([whole], token)


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_sign_verify_remove_gives_the_original(exe: Path, tmp_path: Path, digest: str):
    """With a right checksum and a size that is a multiple of 8, every octet comes back."""
    original = exe.read_bytes()
    sign(exe, signatory(), stamped=True, digest=digest)
    sign(exe, signatory("ecdsa-p256"), options=APPEND)
    assert len(verify(exe, tmp_path)) == 2
    assert removed(exe) == original
    assert removed(exe) == original


@pytest.mark.parametrize("name", ["t32.exe", "t64-arm.exe", "w64.exe"])
def test_real_programs_come_back(tmp_path: Path, name: str):
    """distlib's launchers have a checksum of their own or none; all but that comes back."""
    path = tmp_path / name
    original = launcher(name)
    path.write_bytes(original)
    at = PE.inspect(Held(original)).checksum_at
    sign(path, signatory("ecdsa-p256"))
    left = removed(path)
    assert left[:at] + left[at + 4 :] == original[:at] + original[at + 4 :]
    assert int.from_bytes(left[at : at + 4], "little") == slow_checksum(original, at)


@pytest.mark.parametrize("odd", range(8))
def test_the_zeros_that_signing_added(tmp_path: Path, odd: int):
    """Behind the last section they go again; behind an overlay nobody can tell, and the digest is the same."""
    sections = (b"\xc3" * 512, b"d" * (512 + odd))
    original = Image(sections=sections).build()
    size = PE.inspect(Held(original)).sections_end
    raw = 512 + odd or 512
    row = Image(sections=sections).section_table + 40
    original = original[: size - 512 + odd] if odd else original
    original = bytearray(original)
    original[row + 16 : row + 20] = raw.to_bytes(4, "little")
    at = Image().places()["checksum"][0]
    original[at : at + 4] = slow_checksum(bytes(original), at).to_bytes(4, "little")
    path = tmp_path / "p.exe"
    path.write_bytes(original)
    sign(path, signatory("ecdsa-p256"))
    assert path.stat().st_size % 8 == 0
    assert removed(path) == original
    overlay = with_checksum(program(overlay=b"1234567"))
    path.write_bytes(overlay)
    sign(path, signatory("ecdsa-p256"))
    assert removed(path)[len(overlay) :] == b"\0"


def test_other_peoples_signatures_come_off_too(tmp_path: Path):
    """What osslsigncode signed, and what it removes: ours is the same file."""
    chain, key, _ = signatory().write_pem(tmp_path)
    source, signed, theirs = tmp_path / "in.exe", tmp_path / "1.exe", tmp_path / "2.exe"
    source.write_bytes(with_checksum(program(overlay=b"an overlay of 24 octets.")))
    assert "Succeeded" in osslsigncode("sign", "-certs", chain, "-key", key, "-in", source, "-out", signed)
    assert "Succeeded" in osslsigncode("remove-signature", "-in", signed, "-out", theirs)
    assert removed(signed) == source.read_bytes() == theirs.read_bytes()


def test_a_timestamp_takes_the_place_of_an_old_countersignature(exe: Path):
    """What signtool wrote before RFC 3161 goes, so that nothing that nobody judges is left."""
    sign(exe, signatory("ecdsa-p256"))
    found = look(exe).signatures[0]
    old = cms.with_unsigned_attribute(found.blob, authenticode_later.ID_COUNTERSIGNATURE, der.sequence())
    token = stamp().token(found.signature_value)
    at_once = cms.with_unsigned_attribute(found.blob, authenticode.ID_TIMESTAMP, token.der)
    assert authenticode_later.timestamped([old], {0: token}) == [at_once]


class OneSignature(PortableExecutable):
    """A format that carries one signature and never loses it."""

    cannot: Mapping[Operation, str] = {
        "append": "A format of the tests carries one signature.",
        "remove": "It keeps it.",
    }


def test_what_a_format_cannot_do_it_says():
    """Its own sentence, typed; and what it does not name, it can."""
    with pytest.raises(Impossible, match=r"^A format of the tests carries one signature\.$"):
        operations.require_for(OneSignature(), APPEND)
    with pytest.raises(Impossible, match="It keeps it"):
        operations.require(OneSignature(), "remove")
    operations.require_for(OneSignature(), Options())
    operations.require(PE, "remove")


def test_wishes_of_another_format():
    """Page hashes are of programs; any other format says so before anything is signed."""
    operations.require_for(PE, Options(page_hashes="sha256"))
    other = OneSignature()
    other.name = "cab"
    operations.require_for(other, Options())
    with pytest.raises(BadInput, match="The format cab has no page hashes; only pe has"):
        operations.require_for(other, Options(page_hashes="sha256"))
