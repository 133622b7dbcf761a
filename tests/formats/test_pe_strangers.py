"""Other people's programs judge what we sign, and we judge what they sign."""

import re
import subprocess
from importlib import resources
from pathlib import Path

import lief
import pytest
from tests.formats.pe_builder import EFI_APPLICATION, program
from tests.formats.signing import APPEND, PE, look, sign, signatory, stamp, troubles

from privyseal.formats.source import FileSource
from privyseal.pki import certificates
from privyseal.terms.signatures import Options

SCHEMES = ("rsa-3072", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521")


def launcher(name: str) -> bytes:
    return (resources.files("distlib") / name).read_bytes()


def osslsigncode(*arguments: object, seconds: float = 60) -> str:
    """Run it and return all it said; its exit code says little, so the callers read."""
    command = ["osslsigncode", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    return done.stdout + done.stderr


def wrong_checksum(said: str) -> bool:
    """Tell whether it complains of the checksum, as release 2.9 or as release 2.5 puts it."""
    return "invalid PE checksum" in said or re.search(r"Calculated PE checksum: \S+\s+MISMATCH", said) is not None


def verify(path: Path, folder: Path, scheme: str = "rsa-3072") -> list[dict[str, str]]:
    """Have osslsigncode verify every signature, and return what it says of each."""
    roots = folder / "roots.pem"
    known = [certificates.pem(signatory(scheme).root), certificates.pem(stamp().root)]
    roots.write_bytes(b"".join(known))
    said = osslsigncode("verify", "-CAfile", roots, "-TSA-CAfile", roots, "-in", path)
    assert not wrong_checksum(said) and "MISMATCH" not in said, said
    assert "Failed" not in said and "Succeeded" in said, said
    parts = re.split(r"Signature Index: \d+", said)[1:]
    found = []
    for part in parts:
        one = dict(re.findall(r"^(Current message digest|Calculated message digest)\s*: (\S+)", part, re.M))
        assert one["Current message digest"] == one["Calculated message digest"], said
        assert "Signature verification: ok" in part, said
        one["algorithm"] = re.findall(r"^Message digest algorithm\s*: (\S+)", part, re.M)[0].lower()
        one["stamped"] = str("Timestamp Server Signature verification: ok" in part)
        found.append(one)
    assert len(found) == len(parts) > 0
    return found


@pytest.mark.parametrize("name", ["t32.exe", "t64.exe", "t64-arm.exe", "w32.exe", "w64.exe", "w64-arm.exe"])
def test_osslsigncode_accepts_real_programs(tmp_path: Path, name: str):
    """Every launcher of distlib, timestamped: digest, signature, timestamp and checksum are what it computes."""
    path = tmp_path / name
    path.write_bytes(launcher(name))
    sign(path, signatory(), stamped=True, options=Options(program_name="Launcher", program_url="https://example.com/"))
    (one,) = verify(path, tmp_path)
    assert one["stamped"] == "True" and one["Current message digest"].lower() == look(path).signatures[0].digest.hex()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_osslsigncode_accepts_every_scheme(tmp_path: Path, scheme: str, digest: str):
    """RSA and the three curves, with every digest, over an overlay of odd size."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(overlay=b"odd"))
    sign(path, signatory(scheme), digest=digest)
    (one,) = verify(path, tmp_path, scheme)
    assert one["algorithm"] == digest


def test_osslsigncode_accepts_nested_signatures(tmp_path: Path):
    """Three signatures, the first and last timestamped: it counts and accepts all of them."""
    path = tmp_path / "t64.exe"
    path.write_bytes(launcher("t64.exe"))
    sign(path, signatory(), stamped=True)
    sign(path, signatory("ecdsa-p384"), options=APPEND, digest="sha384")
    sign(path, signatory("ecdsa-p256"), options=APPEND, digest="sha512", stamped=True)
    found = verify(path, tmp_path)
    assert found[0]["algorithm"] == "sha256" and found[0]["stamped"] == "True"
    assert sorted(one["algorithm"] + one["stamped"] for one in found) == ["sha256True", "sha384False", "sha512True"]


def test_osslsigncode_accepts_an_efi_image(tmp_path: Path):
    """It reads the first entry of the table; the second one is for firmware."""
    path = tmp_path / "boot.efi"
    path.write_bytes(program(subsystem=EFI_APPLICATION))
    sign(path, signatory(), stamped=True)
    assert len(verify(path, tmp_path)) == 1


def test_osslsigncode_refuses_what_we_refuse(tmp_path: Path):
    """The witness is awake: a changed octet and a wrong checksum are seen by it and by us."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(overlay=b"overlay"))
    sign(path, signatory())
    good = path.read_bytes()
    roots = tmp_path / "root.pem"
    roots.write_bytes(certificates.pem(signatory().root))
    changed = bytearray(good)
    changed[0x210] ^= 1
    path.write_bytes(changed)
    said = osslsigncode("verify", "-CAfile", roots, "-in", path)
    assert "MISMATCH" in said and "Failed" in said and "digest-mismatch" in troubles(look(path))
    at = look(path).layout.checksum_at  # type: ignore[attr-defined]
    changed = bytearray(good)
    changed[at] ^= 1
    path.write_bytes(changed)
    assert wrong_checksum(osslsigncode("verify", "-CAfile", roots, "-in", path))
    assert troubles(look(path)) == {"checksum"}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_we_accept_osslsigncode(tmp_path: Path, scheme: str, digest: str):
    """What it signs verifies, and its layout is the one we would have written."""
    chain, key, _ = signatory(scheme).write_pem(tmp_path)
    source, path = tmp_path / "in.exe", tmp_path / "out.exe"
    source.write_bytes(program("arm64", overlay=b"odd"))
    names = ("-n", "A name", "-i", "https://example.com/")
    said = osslsigncode("sign", "-certs", chain, "-key", key, "-h", digest, *names, "-in", source, "-out", path)
    assert "Succeeded" in said
    found = look(path)
    assert not troubles(found)
    one = found.signatures[0]
    assert (one.digest_algorithm, one.program_name, one.program_url) == (digest, "A name", "https://example.com/")
    assert one.signer == signatory(scheme).identity.chain[0]


def test_we_accept_osslsigncodes_nested_and_timestamped(tmp_path: Path):
    """Its own timestamp authority, its nested signatures; then ours on top, and both of us accept all three."""
    chain, key, _ = signatory().write_pem(tmp_path)
    source, once, twice = tmp_path / "in.exe", tmp_path / "1.exe", tmp_path / "2.exe"
    source.write_bytes(launcher("t32.exe"))
    assert "Succeeded" in osslsigncode(
        "sign", "-certs", chain, "-key", key, "-h", "sha256", "-in", source, "-out", once
    )
    nest = ("sign", "-nest", "-certs", chain, "-key", key, "-h", "sha512")
    assert "Succeeded" in osslsigncode(*nest, "-in", once, "-out", twice)
    found = look(twice)
    assert not troubles(found)
    assert [(one.digest_algorithm, one.nested) for one in found.signatures] == [("sha256", False), ("sha512", True)]
    first = found.signatures[0]
    sign(twice, signatory("ecdsa-p384"), options=APPEND, digest="sha384", stamped=True)
    found = look(twice)
    assert not troubles(found) and len(found.signatures) == 3 and found.signatures[0] == first
    assert len(verify(twice, tmp_path)) == 3


def test_osslsigncode_adds_to_ours(tmp_path: Path):
    """It nests its signature in ours, and ours still is the blob that we finished."""
    path, out = tmp_path / "1.exe", tmp_path / "2.exe"
    path.write_bytes(program())
    sign(path, signatory(), stamped=True)
    ours = look(path).signatures[0]
    chain, key, _ = signatory("ecdsa-p256").write_pem(tmp_path)
    assert "Succeeded" in osslsigncode(
        "sign", "-nest", "-certs", chain, "-key", key, "-h", "sha384", "-in", path, "-out", out
    )
    found = look(out)
    assert found.signatures[0] == ours and len(found.signatures) == 2
    assert not [problem for one in found.signatures for problem in one.problems]


def test_osslsigncode_removes_ours(tmp_path: Path):
    """Taken off again by another tool, the file has the digest it always had."""
    path, out = tmp_path / "1.exe", tmp_path / "2.exe"
    path.write_bytes(program(overlay=b"1234567"))
    sign(path, signatory())
    signed = look(path).signatures[0].digest
    assert "Succeeded" in osslsigncode("remove-signature", "-in", path, "-out", out)
    with FileSource.open(out) as code:
        prepared = PE.prepare(code, PE.inspect(code), signatory().identity, Options(), "sha256")
    assert prepared.described[0].digest == signed


@pytest.mark.parametrize("name", ["t32.exe", "t64.exe", "t64-arm.exe", "built"])
@pytest.mark.parametrize("scheme", ["rsa-3072", "ecdsa-p256"])
def test_lief_accepts_ours(tmp_path: Path, name: str, scheme: str):
    """A second witness with its own parser and cryptography; it knows RSA, and of ECDSA the digest and structure."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(overlay=b"odd") if name == "built" else launcher(name))
    sign(path, signatory(scheme))
    binary = lief.PE.parse(str(path))
    assert binary is not None and len(binary.signatures) == 1
    one = binary.signatures[0]
    assert bytes(one.content_info.digest) == look(path).signatures[0].digest
    assert binary.authentihash(lief.PE.ALGORITHMS.SHA_256) == look(path).signatures[0].digest
    flags = binary.verify_signature()
    if scheme == "rsa-3072":
        assert flags == lief.PE.Signature.VERIFICATION_FLAGS.OK, flags
    changed = bytearray(path.read_bytes())
    changed[0x400] ^= 1
    path.write_bytes(changed)
    changed_binary = lief.PE.parse(str(path))
    assert changed_binary is not None
    assert changed_binary.verify_signature() & lief.PE.Signature.VERIFICATION_FLAGS.BAD_DIGEST
