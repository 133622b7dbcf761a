"""Other people's programs judge the installers that we sign, and we judge those that they sign."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.formats.cfb_builder import Tree, build, tables
from tests.formats.msi_builder import PATCH, by_wixl, installer, tree
from tests.formats.signing import APPEND, look, sign, signatory, stamp, troubles
from tests.formats.test_pe_strangers import osslsigncode

from privyseal.errors import MalformedCode
from privyseal.formats import catalogue, msi_layout
from privyseal.formats.patch import carry_out
from privyseal.formats.source import FileSource
from privyseal.pki import certificates
from privyseal.terms.signatures import Options

MSI = catalogue.BY_NAME["msi"]
PLAIN_MSI = Options(extended=False)


def verify(path: Path, folder: Path, scheme: str = "ecdsa-p256") -> list[str]:
    """Have osslsigncode verify every signature and return the digests it computed; it must say nothing else."""
    roots = folder / "roots.pem"
    roots.write_bytes(certificates.pem(signatory(scheme).root) + certificates.pem(stamp().root))
    said = osslsigncode("verify", "-CAfile", roots, "-TSA-CAfile", roots, "-in", path)
    assert "MISMATCH" not in said and "Failed" not in said and "Succeeded" in said, said
    pairs = zip(
        re.findall(r"Current MsiDigitalSignatureEx\s*: (\S+)", said),
        re.findall(r"Calculated MsiDigitalSignatureEx\s*: (\S+)", said),
        strict=True,
    )
    assert all(one == other for one, other in pairs), said
    digests = re.findall(r"Calculated DigitalSignature\s*: (\S+)", said)
    assert said.count("Signature verification: ok") >= len(digests) > 0
    return [one.lower() for one in digests]


@pytest.mark.parametrize("options", [Options(), PLAIN_MSI], ids=["extended", "plain"])
@pytest.mark.parametrize("way", ["v3", "v4", "v3-scattered", "v4-scattered", "difat", "patch"])
def test_osslsigncode_accepts(tmp_path: Path, way: str, options: Options):
    """Both versions, every order, DIFAT sectors, a patch; with and without the extended signature, timestamped."""
    ways: dict[str, dict[str, object]] = {
        "v3": {"major": 3},
        "v4": {},
        "v3-scattered": {"major": 3, "scatter": 4},
        "v4-scattered": {"scatter": 6},
        "patch": {"clsid": PATCH},
    }
    path = tmp_path / "x.msi"
    if way == "difat":
        build(path, {"Big": 8_000_000, **tables()}, major=3)
    else:
        installer(path, **ways[way])
    sign(path, signatory("ecdsa-p256"), options=options, stamped=True)
    assert not troubles(look(path))
    (digest,) = verify(path, tmp_path)
    assert digest == look(path).signatures[0].digest.hex()


@pytest.mark.parametrize("scheme", ["rsa-3072", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_osslsigncode_accepts_every_scheme(tmp_path: Path, scheme: str, digest: str):
    """RSA and the three curves, with every digest, in a file whose signature is small and in one where it is not."""
    path = installer(tmp_path / "x.msi")
    sign(path, signatory(scheme), digest=digest)  # type: ignore[arg-type]
    assert len(verify(path, tmp_path, scheme)) == 1


def test_a_real_installer(tmp_path: Path):
    """What wixl built is signed; msitools reads from it what it read before, and osslsigncode accepts it."""
    path, original = tmp_path / "x.msi", tmp_path / "original.msi"
    path.write_bytes(by_wixl())
    shutil.copy(path, original)
    sign(path, signatory("ecdsa-p256"), stamped=True, options=Options(program_name="Test"))
    assert len(verify(path, tmp_path)) == 1 and not troubles(look(path))

    def said(command: str, *more: object) -> str:
        return subprocess.run(
            ["msiinfo", command, *map(str, more)], check=True, capture_output=True, text=True, timeout=60
        ).stdout

    for command in (("suminfo",), ("tables",), ("export", "File")):
        assert said(command[0], path, *command[1:]) == said(command[0], original, *command[1:])
    assert "DigitalSignature" in said("streams", path)
    subprocess.run(["7z", "t", path], check=True, capture_output=True, timeout=60)
    out = tmp_path / "out"
    subprocess.run(["msiextract", "-C", out, path], check=True, capture_output=True, timeout=60)
    assert [one.stat().st_size for one in out.rglob("payload.bin")] == [20_000]


def test_osslsigncode_accepts_nested_signatures(tmp_path: Path):
    """relic puts a second signature in the place of the first; here three stand, and the first is what it was."""
    path = installer(tmp_path / "x.msi", major=3)
    sign(path, signatory("ecdsa-p256"), stamped=True)
    first = look(path).signatures[0]
    sign(path, signatory("ecdsa-p256"), options=APPEND)
    sign(path, signatory("ecdsa-p256"), options=APPEND, stamped=True)
    assert len(verify(path, tmp_path)) == 3
    found = look(path)
    assert not troubles(found) and found.signatures[0] == first and len(found.signatures) == 3


def test_osslsigncode_accepts_a_plain_one_beside_a_plain_one(tmp_path: Path):
    """A signature that is added is plain where the first one is, and then by any algorithm."""
    path = installer(tmp_path / "x.msi")
    sign(path, signatory("ecdsa-p256"), options=PLAIN_MSI)
    sign(path, signatory("ecdsa-p256"), options=APPEND, digest="sha512")
    assert len(verify(path, tmp_path)) == 2 and not troubles(look(path))


def test_osslsigncode_accepts_a_timestamp_that_comes_later(tmp_path: Path):
    """First, middle or last of three: the token goes where it is meant to, and the others keep their octets."""
    path = installer(tmp_path / "x.msi")
    for options in (Options(), APPEND, APPEND):
        sign(path, signatory("ecdsa-p256"), options=options)
    before = look(path).signatures
    with FileSource.open(path) as code:
        token = stamp().token(before[1].signature_value)
        carry_out(MSI.timestamped(code, MSI.inspect(code), {1: token}), code, path)
    after = look(path)
    stamps = {one.signature_value: one.timestamp for one in after.signatures}
    assert stamps == {one.signature_value: token.der if one is before[1] else None for one in before}
    assert not troubles(after) and after.signatures[0] == before[0]
    assert len(verify(path, tmp_path)) == 3


def shallow() -> Tree:
    """Return what osslsigncode can write: storages, and none in them."""
    return {**tree(), "Sub": {"z": b"zz", "Z": b"ZZ" * 3000, "nothing": b""}}


def theirs(folder: Path, source: Path, *more: str, scheme: str = "ecdsa-p256") -> Path:
    chain, key, _ = signatory(scheme).write_pem(folder)
    out = folder / "theirs.msi"
    out.unlink(missing_ok=True)
    said = osslsigncode("sign", "-certs", chain, "-key", key, "-h", "sha256", *more, "-in", source, "-out", out)
    assert "Succeeded" in said, said
    return out


@pytest.mark.parametrize("extended", [True, False])
def test_we_accept_osslsigncode(tmp_path: Path, extended: bool):
    """What it signs verifies, with both kinds; then ours beside it, and both accept both."""
    path = theirs(tmp_path, build(tmp_path / "x.msi", shallow()), *(("-add-msi-dse",) if extended else ()))
    found = look(path)
    assert not troubles(found) and len(found.signatures) == 1
    with FileSource.open(path) as code:
        assert (msi_layout.read_layout(code).extended is not None) == extended
    sign(path, signatory("ecdsa-p256"), options=APPEND)
    again = look(path)
    assert not troubles(again) and again.signatures[0] == found.signatures[0]
    assert len(verify(path, tmp_path)) == 2


def test_osslsigncode_adds_to_ours(tmp_path: Path):
    """It writes the whole file anew, and ours still is the blob that we finished."""
    path = build(tmp_path / "x.msi", shallow())
    sign(path, signatory("ecdsa-p256"))
    ours = look(path).signatures[0]
    found = look(theirs(tmp_path, path, "-nest", "-add-msi-dse"))
    assert found.signatures[0] == ours and len(found.signatures) == 2
    assert not [problem for one in found.signatures for problem in one.problems]


def test_osslsigncode_removes_ours(tmp_path: Path):
    """Taken off again by another tool, the file has the digest it always had."""
    path, out = build(tmp_path / "x.msi", shallow()), tmp_path / "out.msi"
    sign(path, signatory("ecdsa-p256"))
    assert "Succeeded" in osslsigncode("remove-signature", "-in", path, "-out", out)
    with FileSource.open(out) as code:
        prepared = MSI.prepare(code, MSI.inspect(code), signatory().identity, Options(), "sha256")
    assert prepared.described[0].digest == look(path).signatures[0].digest


def test_we_remove_theirs(tmp_path: Path):
    """What osslsigncode signed is what it signed without it, for msitools and for our digest."""
    original = build(tmp_path / "x.msi", shallow())
    path, out = theirs(tmp_path, original, "-add-msi-dse"), tmp_path / "out.msi"
    with FileSource.open(path) as code:
        carry_out(MSI.remove(code, MSI.inspect(code)), code, out)
    digests = []
    for each in (original, out):
        with FileSource.open(each) as code:
            digests.append(MSI.prepare(code, MSI.inspect(code), signatory().identity, Options(), "sha256").described)
    assert digests[0][0].digest == digests[1][0].digest and not look(out).signatures
    assert "no signature" in osslsigncode("verify", "-in", out)


def test_osslsigncode_breaks_storages_in_storages(tmp_path: Path):
    """It writes every directory anew and gets deeper ones wrong; we refuse what comes out, and do not make such."""
    path = installer(tmp_path / "x.msi")
    with FileSource.open(theirs(tmp_path, path)) as code, pytest.raises(MalformedCode, match="leads to entry"):
        MSI.inspect(code)
    sign(path, signatory("ecdsa-p256"))
    assert not troubles(look(path)) and len(verify(path, tmp_path)) == 1


@pytest.mark.nightly
def test_over_2_gib(tmp_path: Path):
    """SignServer ends there. osslsigncode accepts ours, but hashes no stream that alone has more (an int overflows)."""
    for streams, agrees in (({"One": 1400 << 20, "Two": 1000 << 20}, True), ({"One": (2 << 30) + 4096}, False)):
        path, out = build(tmp_path / "x.msi", {**tables(), **streams}), tmp_path / "out.msi"
        sign(path, signatory("ecdsa-p256"), target=out)
        assert not troubles(look(out)) and out.stat().st_size > 2 << 30
        said = osslsigncode("verify", "-in", out)
        assert ("MISMATCH" not in said) == agrees, said
        with FileSource.open(out) as code:
            carry_out(MSI.remove(code, MSI.inspect(code)), code, out)
        subprocess.run(["cmp", path, out], check=True)


def test_osslsigncode_refuses_what_we_refuse(tmp_path: Path):
    """The witnesses are awake: a changed stream, and under the extended signature a renamed one, are seen by both."""
    path = installer(tmp_path / "x.msi")
    sign(path, signatory("ecdsa-p256"))
    good = path.read_bytes()
    path.write_bytes(good.replace(b"0: ab", b"0: aB", 1))
    assert "MISMATCH" in osslsigncode("verify", "-in", path) and "digest-mismatch" in troubles(look(path))
    path.write_bytes(good.replace("abcd\0".encode("utf-16-le"), "abce\0".encode("utf-16-le"), 1))
    assert "MISMATCH" in osslsigncode("verify", "-in", path)
    assert troubles(look(path)) == {"extended-signature"}
