"""Other people's programs judge packages that we signed, and we judge what they signed.

osslsigncode is the judge of app packages; where it is wrong a test says so and names who is right. NuGet's own client
judges NuGet packages: it runs under mono and comes from npm.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import pytest
from tests.formats.signing import Signatory, signatory, stamp
from tests.formats.test_nuget import package_hash
from tests.formats.test_windows_strangers import osslsigncode, verify
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong
from tests.formats.zip_builder import File, Form, app_files, app_package, archive, nuget_package, publisher_of
from tests.pki import mint

from privyseal.errors import MalformedCode
from privyseal.formats.protocol import Identity
from privyseal.pki import certificates

P256 = "ecdsa-p256"
SHAPES: dict[str, dict[str, object]] = {
    "makeappx": {},
    "makemsix": {"dialect": "makemsix"},
    "any zip": {"dialect": "plain"},
    "bundle": {"bundle": True},
    "SHA-384": {"digest": "sha384"},
    "SHA-512": {"digest": "sha512", "content": bytes(200_000)},
    "catalogue": {"catalogue": b"a catalogue"},
}


@pytest.mark.parametrize("scheme", ["rsa-3072", P256])
@pytest.mark.parametrize("shape", SHAPES)
def test_osslsigncode_accepts_app_packages(tmp_path: Path, shape: str, scheme: str):
    """With a timestamp, with one that came later; and what it removes the signature from has the digest of ours."""
    who = signatory(scheme)
    path = tmp_path / "example.msix"
    path.write_bytes(app_package(publisher_of(who), **SHAPES[shape]))
    sign(path, who, stamped=True)
    assert verify(path) == (1, 1)
    sign(path, who)
    assert verify(path) == (1, 0)
    stamp_later(path, 0)
    assert verify(path) == (1, 1)
    bare = tmp_path / "bare.msix"
    assert "Succeeded" in osslsigncode("remove-signature", "-in", path, "-out", bare)
    remove(path)
    digests = [describe(one).facts for one in (path, bare)]
    assert digests[0] | {"axpc": "", "axcd": ""} == digests[1] | {"axpc": "", "axcd": ""}


def test_osslsigncode_objects_where_we_do(tmp_path: Path):
    """An octet of the content, one of the block map's header, one of the directory."""
    path = tmp_path / "example.msix"
    path.write_bytes(app_package(publisher_of(signatory()), content=b"content" * 9, dialect="plain"))
    sign(path, signatory())
    whole = path.read_bytes()
    for at in (45, whole.index(b"AppxBlockMap.xml") - 18, whole.index(b"PK\1\2") + 38):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert "Succeeded" not in osslsigncode("verify", "-in", path)
        with contextlib.suppress(MalformedCode):
            assert wrong(path)


def test_we_accept_osslsigncodes_app_packages(tmp_path: Path):
    """What it signs without ZIP64 fields holds; signed anew by us both accept it."""
    who = signatory()
    chain, key, _ = who.write_pem(tmp_path)
    for shape in ("makeappx", "any zip", "bundle", "SHA-512"):
        source, once = tmp_path / "in.msix", tmp_path / "once.msix"
        source.write_bytes(app_package(publisher_of(who), **SHAPES[shape]))
        once.unlink(missing_ok=True)
        assert "Succeeded" in osslsigncode("sign", "-certs", chain, "-key", key, "-in", source, "-out", once)
        assert not wrong(once) and len(look(once).signatures) == 1, (shape, wrong(once))
        sign(once, who)
        assert not wrong(once) and verify(once) == (1, 0)


def test_zip64_fields_that_osslsigncode_leaves_in(tmp_path: Path):
    """It signs them as they are; signtool takes them out, and a package that it signed is the oracle here.

    The digest holds, as the directory is hashed as it stands; that Windows would write it otherwise is a problem.
    """
    who = signatory()
    chain, key, _ = who.write_pem(tmp_path)
    source, once = tmp_path / "in.msix", tmp_path / "once.msix"
    source.write_bytes(app_package(publisher_of(who), dialect="makemsix"))
    assert "Succeeded" in osslsigncode("sign", "-certs", chain, "-key", key, "-in", source, "-out", once)
    assert wrong(once) == {"directory"}
    sign(once, who)
    assert not wrong(once) and verify(once) == (1, 0)


def test_descriptors_that_osslsigncode_does_not_read(tmp_path: Path):
    """It takes every descriptor for one with a mark, and for one of 64 bits where the end is; the specification wins.

    APPNOTE 4.3.9.3 says that the mark may be missing, 4.3.9.2 when a descriptor has 64 bits. Python reads all of them.
    """
    who = signatory()
    path = tmp_path / "example.msix"
    cases: tuple[tuple[Form, bool], ...] = (("bare32", False), ("32", True))
    for form, zip64 in cases:
        files = [File(one.name, one.octets, one.packed, form) for one in app_files(publisher_of(who))]
        path.write_bytes(archive(files, zip64=zip64))
        sign(path, who)
        assert not wrong(path)
        assert "Signature verification: ok" not in osslsigncode("verify", "-in", path)


# -- NuGet -------------------------------------------------------------------------------------------------------------
CLIENT = "nuget-exe@5.8.0"
MEMBER = "package/nuget-5.8.0.exe"
SHA256 = "5c5b9c96165d3283b2cb9e5b65825d343e0e7139b9e70a250b4bb24c2285f3ba"
VARIABLE = "PRIVYSEAL_NUGET"


@lru_cache
def nuget() -> Path:
    """Return NuGet's client: where the variable says, or from npm, once; skip the test by name where neither works."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "privyseal-tests"
    client = folder / Path(MEMBER).name
    if not client.exists() and shutil.which("npm"):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(subprocess.TimeoutExpired):  # a registry that nobody reaches; the test says then that it skips
            subprocess.run(
                ["npm", "pack", "--silent", CLIENT], cwd=folder, capture_output=True, timeout=60, check=False
            )
        for packed in folder.glob("nuget-exe-*.tgz"):
            with tarfile.open(packed) as found:
                member = found.extractfile(MEMBER)
                octets = b"" if member is None else member.read()
            packed.unlink()
            if hashlib.sha256(octets).hexdigest() == SHA256:
                client.write_bytes(octets)
    if not client.exists():
        pytest.skip(f"NuGet's client is not on this machine and npm has not brought it; {VARIABLE} can say where it is")
    return client


@lru_cache
def rsa_root() -> mint.Minted:
    return mint.certify("Test RSA root", mint.key("rsa-3072", 95), ca=True, days=3000)


@lru_cache
def all_rsa() -> Signatory:
    """Return one whose whole chain is of RSA keys: mono knows no others."""
    root = rsa_root()
    middle = mint.certify("Test RSA intermediate", mint.key("rsa-3072", 91), root, ca=True, days=2000)
    leaf = mint.certify("Test RSA leaf", mint.key("rsa-3072", 92), middle, purposes=(mint.CODE_SIGNING,))
    return Signatory(Identity((leaf.der, middle.der), "rsa-3072"), leaf.key, root.der)


def judged(path: Path) -> str:
    """Have NuGet's client verify a package, the root trusted in a store of its own; return what it says."""
    home = path.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {"HOME": str(home), "PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    (home / "root.cer").write_bytes(all_rsa().root)
    trust = ["certmgr", "-add", "-c", "Trust", home / "root.cer"]
    subprocess.run(trust, env=environment, capture_output=True, timeout=60, check=True)
    command = ["mono", nuget(), "verify", "-Signatures", path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_nugets_client_accepts_nuget_packages(tmp_path: Path):
    """And objects to a changed one. It says that a timestamp is missing: of those mono cannot read any (NU3030)."""
    path = tmp_path / "Example.Package.1.2.3.nupkg"
    path.write_bytes(nuget_package())
    sign(path, all_rsa())
    said = judged(path)
    assert "Successfully verified package 'Example.Package.1.2.3'" in said, said
    assert not re.search(r"NU30(?!18|27)\d\d", said), said
    changed = path.read_bytes().replace(b"_rels/.rels", b"_rels/.relz")
    path.write_bytes(changed)
    assert "NU3008" in judged(path) and package_hash(changed) != look(path).signatures[0].digest


def test_openssl_verifies_the_timestamp_of_a_nuget_package(tmp_path: Path):
    """What mono cannot: the token is over the signature's value, by a trusted authority."""
    path = tmp_path / "Example.Package.1.2.3.nupkg"
    path.write_bytes(nuget_package())
    sign(path, all_rsa())
    stamp_later(path, 0)
    (found,) = look(path).signatures
    assert found.timestamp is not None
    (tmp_path / "token.der").write_bytes(found.timestamp)
    (tmp_path / "value.bin").write_bytes(found.signature_value)
    (tmp_path / "root.pem").write_bytes(certificates.pem(stamp().root))
    command = ["openssl", "ts", "-verify", "-token_in", "-in", tmp_path / "token.der", "-data", tmp_path / "value.bin"]
    done = subprocess.run([*command, "-CAfile", tmp_path / "root.pem"], capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout, done.stderr
