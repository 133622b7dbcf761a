"""NuGet packages signed, replaced, timestamped later, taken apart again, refused; and NuGet's rules read once more."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import subprocess
import zipfile
from pathlib import Path

import msgspec
import pytest
from tests.formats.samples import sample
from tests.formats.signing import APPEND, PLAIN, signatory
from tests.formats.test_pe_layout import Held
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong
from tests.formats.zip_builder import File, archive, nuget_files, nuget_package

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats.catalogue import BY_NAME
from privyseal.pki import cms, der
from privyseal.terms.signatures import DigestAlgorithm, Options

NUGET = BY_NAME["nuget"]
CONTENT = b"Version:1\n\n%s-Hash:%s\n\n"
SHAPES: dict[str, bytes] = {
    "plain": nuget_package(),
    "stored": nuget_package(bytes(100_000)),
    "streamed": archive([File(one.name, one.octets, descriptor="32") for one in nuget_files()]),
    "comments": archive([File(one.name, one.octets, comment=b"note") for one in nuget_files()], comment=b"a comment"),
    "extra fields": archive([File(one.name, one.octets, extra=b"\x55\x54\5\0\1" + bytes(4)) for one in nuget_files()]),
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "Example.Package.1.2.3.nupkg"
    path.write_bytes(nuget_package())
    return path


def package_hash(octets: bytes, algorithm: str = "sha256") -> bytes:
    """Hash a package as NuGet's specification says: entries but the signature, their records, the end as it was."""
    hashed, (end, at, count) = hashlib.new(algorithm), _end(octets)
    records, rest = [], octets[at:end]
    for _ in range(count):
        lengths = struct.unpack_from("<HHH", rest, 28)
        size = 46 + sum(lengths)
        records.append((rest[46 : 46 + lengths[0]], rest[:size]))
        rest = rest[size:]
    where = {name: struct.unpack_from("<I", record, 42)[0] for name, record in records}
    order = sorted(where, key=lambda name: where[name])
    stops = {name: where[order[i + 1]] if i + 1 < len(order) else at for i, name in enumerate(order)}
    for name in order:
        if name != b".signature.p7s":
            hashed.update(octets[where[name] : stops[name]])
    kept = [record for name, record in records if name != b".signature.p7s"]
    assert order[-1] == b".signature.p7s" or len(kept) == count
    hashed.update(b"".join(kept))
    shorter = stops[order[-1]] - where[order[-1]] if len(kept) < count else 0
    total = sum(map(len, kept))
    hashed.update(octets[end : end + 8] + struct.pack("<HHII", len(kept), len(kept), total, at - shorter))
    hashed.update(octets[end + 20 :])
    return hashed.digest()


def _end(octets: bytes) -> tuple[int, int, int]:
    end = octets.rindex(b"PK\5\6")
    return end, struct.unpack_from("<I", octets, end + 16)[0], struct.unpack_from("<H", octets, end + 10)[0]


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_there_and_back(package: Path, shape: str, digest: DigestAlgorithm):
    """Signed, a timestamp later, signed anew, removed: the very file that was there before; the hash is NuGet's."""
    package.write_bytes(original := SHAPES[shape])
    first = describe(package, digest)
    assert first.digest == hashlib.new(digest, original).digest() == package_hash(original, digest)
    blob = sign(package, signatory(), digest=digest)
    signed = package.read_bytes()
    found = look(package)
    assert [(one.blob, one.digest) for one in found.signatures] == [(blob, first.digest)] and not wrong(package)
    assert package_hash(signed, digest) == first.digest and describe(package, digest) == first
    with zipfile.ZipFile(io.BytesIO(signed)) as other:
        entry = other.getinfo(".signature.p7s")
        assert other.testzip() is None and entry.compress_type == zipfile.ZIP_STORED and other.read(entry) == blob
    stamp_later(package, 0)
    assert not wrong(package) and look(package).signatures[0].timestamp is not None
    sign(package, signatory(), digest=digest)
    assert package.read_bytes() == signed
    remove(package)
    assert package.read_bytes() == original
    remove(package)
    assert package.read_bytes() == original


def test_the_message_is_what_nuget_specifies(package: Path):
    """Content, attributes and certificates, as another reader of CMS takes them apart and verifies them."""
    blob = sign(package, signatory(), stamped=True)
    signed = cms.parse(blob)
    (signer,) = signed.signers
    expected = CONTENT % (b"2.16.840.1.101.3.4.2.1", base64.b64encode(describe(package).digest))
    assert signed.content_octets == expected and signed.content_type == cms.ID_DATA and signed.version == 1
    assert signer.attributes["1.2.840.113549.1.9.16.2.16"] == (der.sequence(der.oid("1.2.840.113549.1.9.16.6.1")),)
    assert {"1.2.840.113549.1.9.5", "1.2.840.113549.1.9.16.2.47"} <= set(signer.attributes)
    assert list(signer.unsigned) == ["1.2.840.113549.1.9.16.2.14"]
    _, _, root = signatory().write_pem(package.parent)
    (package.parent / "signature.p7s").write_bytes(blob)
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-in", package.parent / "signature.p7s"]
    done = subprocess.run([*command, "-CAfile", root, "-purpose", "any"], capture_output=True, check=True)
    assert done.stdout == expected


@pytest.mark.parametrize("sign_of", [b"1", b"x"])
def test_a_hash_that_is_none_is_a_malformed_signature(package: Path, sign_of: bytes):
    """Base64 of 41 characters makes no whole octets; the signature says so, and nothing fails over it."""
    blob = sign(package, signatory())
    before, _, behind = blob.partition(b"2.16.840.1.101.3.4.2.1-Hash:")
    changed = before + b"2.16.840.1.101.3.4.2.1" + sign_of + b"-Hash:" + behind[:41] + b"==" + behind[44:]
    assert len(changed) == len(blob)
    package.write_bytes(archive([*nuget_files(), File(b".signature.p7s", changed, packed=False)]))
    assert wrong(package) == {"malformed-signature"}


@pytest.mark.parametrize("version", [3, 4, 5])
def test_the_message_states_its_version(package: Path, version: int):
    """No signature covers it, so only the one that RFC 5652 5.1 has is taken."""
    blob = sign(package, signatory())
    at = blob.index(b"\x02\x01\x01")
    changed = blob[:at] + bytes([2, 1, version]) + blob[at + 3 :]
    package.write_bytes(archive([*nuget_files(), File(b".signature.p7s", changed, packed=False)]))
    assert "not-canonical" in wrong(package)


def test_real_packages(tmp_path: Path):
    path = tmp_path / "minimal.nupkg"
    path.write_bytes(original := sample("jsign/minimal.1.0.0.nupkg"))
    sign(path, signatory())
    assert not wrong(path) and package_hash(path.read_bytes()) == hashlib.sha256(original).digest()
    remove(path)
    assert path.read_bytes() == original


def test_only_rsa_keys(package: Path):
    """NuGet takes no other; the key side says so, and the file stays as it is."""
    before = package.read_bytes()
    with pytest.raises(BadInput, match="NuGet accepts signatures by RSA keys") as refused:
        sign(package, signatory("ecdsa-p256"))
    assert refused.value.hint == "sign with an RSA key" and package.read_bytes() == before
    sign(package, signatory())
    with pytest.raises(Impossible, match="one author's signature"):
        sign(package, signatory(), options=APPEND)


def test_symbols_and_summary(tmp_path: Path):
    path = tmp_path / "Example.Package.1.2.3.snupkg"
    path.write_bytes(nuget_package())
    found = describe(path)
    assert found.format == "nuget" and found.facts["package"] == "Example.Package" and found.facts["version"] == "1.2.3"
    code = Held(path.read_bytes())
    assert NUGET.summarise(code, NUGET.inspect(code)).kind == "NuGet package Example.Package 1.2.3, 5 entries"


CHANGES: dict[str, object] = {
    "package": "",
    "version": "x" * 300,
    "entries": 0,
    "complete": "2026-13-01T00:00:00Z",
    "more": "x",
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_key_side_refuses_what_prepare_would_not_have_made(package: Path, name: str):
    described = describe(package)
    other = msgspec.structs.replace(described, facts={**described.facts, name: CHANGES[name]})
    with pytest.raises(BadInput):
        NUGET.to_be_signed(other, signatory().identity, PLAIN)


def test_other_descriptions_and_options_are_refused(package: Path):
    described = describe(package)
    for other in (
        msgspec.structs.replace(described, format="pe"),
        msgspec.structs.replace(described, digest=bytes(31)),
        msgspec.structs.replace(described, size=3),
    ):
        with pytest.raises(BadInput):
            NUGET.to_be_signed(other, signatory().identity, PLAIN)
    with pytest.raises(BadInput, match="one author's signature"):
        NUGET.to_be_signed(described, signatory().identity, Options(mode="append"))


@pytest.mark.parametrize("stamp", [0, 0x5C21_0000, 0xFFFF_FFFF, 0x0000_FFFF])
def test_when_a_package_was_complete(package: Path, stamp: int):
    """The newest sensible time of an entry; nonsense is 1980. The certificate's beginning is later here, and stated."""
    octets = nuget_package()
    package.write_bytes(octets.replace(struct.pack("<I", 0x5973_AB37), struct.pack("<I", stamp)))
    complete = describe(package).facts["complete"]
    assert complete == ("2026-01-01T00:00:00Z" if stamp == 0x5C21_0000 else "1980-01-01T00:00:00Z")
    blob = sign(package, signatory())
    (value,) = cms.parse(blob).signers[0].attributes[cms.ID_SIGNING_TIME]
    assert der.time_of(der.read(value)).year >= 2026 and not wrong(package)


def _files(octets: bytes | None, *more: File) -> list[File]:
    kept = [one for one in nuget_files() if not one.name.endswith(b".nuspec")]
    return kept + ([] if octets is None else [File(b"a.nuspec", octets)]) + list(more)


NUSPEC = nuget_files()[1].octets
DECOY = b"<files><id>Good.Package</id><version>9.9.9</version></files><metadata>"
REFUSED: dict[str, tuple[bytes, str]] = {
    "no description": (archive(_files(None)), "0 descriptions"),
    "two descriptions": (archive(_files(NUSPEC, File(b"b.nuspec", NUSPEC))), "2 descriptions"),
    "ZIP64": (archive(nuget_files(), zip64=True), "NuGet signs no such package"),
    "no XML": (archive(_files(b"not XML")), "no well-formed XML"),
    "entities": (archive(_files(b"<!DOCTYPE package []>" + NUSPEC[39:])), "document type"),
    "no package": (archive(_files(b"<a/>")), "none of a package"),
    "no version": (archive(_files(NUSPEC.replace(b"version>", b"wersion>"))), "states no version"),
    "another's identifier": (
        archive(_files(NUSPEC.replace(b"<id>Example.Package</id>", b"").replace(b"<metadata>", DECOY))),
        "states no id",
    ),
    "two identifiers": (archive(_files(NUSPEC.replace(b"<id>", b"<id>Good</id><id>"))), "states no id"),
    "markup in it": (archive(_files(NUSPEC.replace(b"<id>", b"<id>Go<!-- -->od"))), "states no id"),
    "a sign in it": (archive(_files(NUSPEC.replace(b"<id>", b"<id>G&#111;od"))), "states no id"),
    "packed signature": (archive([*nuget_files(), File(b".signature.p7s", b"x" * 99)]), "its signature is packed"),
    "traversal": (archive([*nuget_files(), File(b"../x.nuspec", b"x")]), "leads out of it"),
}


def test_what_a_package_is_called_is_what_nuget_calls_it(package: Path):
    """An approver is shown the identifier of the metadata, whatever else in the description has one."""
    package.write_bytes(archive(_files(NUSPEC.replace(b"<metadata>", DECOY))))
    facts = describe(package).facts
    assert (facts["package"], facts["version"]) == ("Example.Package", "1.2.3")


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_no_nuget_package(package: Path, how: str):
    octets, why = REFUSED[how]
    package.write_bytes(octets)
    with pytest.raises(MalformedCode, match=why) as refused:
        sign(package, signatory())
    assert refused.value.detail.endswith(".") and package.read_bytes() == octets


def test_changes_and_broken_signatures_are_named(package: Path):
    sign(package, signatory())
    octets = package.read_bytes()
    changed = octets.replace(b".nuspec", b".nuspeC", 1)
    package.write_bytes(changed)
    with pytest.raises(MalformedCode):
        look(package)
    package.write_bytes(octets.replace(b"_rels/.rels", b"_rels/.relz"))
    assert "digest-mismatch" in wrong(package)
    for blob in (b"", b"\x30\0", bytes(50)):
        package.write_bytes(archive([*nuget_files(), File(b".signature.p7s", blob, packed=False)]))
        assert wrong(package) == {"malformed-signature"}
    code = Held(nuget_package())
    with pytest.raises(BadInput, match="there is no number 0"):
        NUGET.timestamped(code, NUGET.inspect(code), {})
