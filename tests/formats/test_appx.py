"""App packages and bundles signed, replaced, timestamped later, taken apart again, and refused."""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.formats.samples import sample
from tests.formats.signing import APPEND, PLAIN, blob_for, signatory
from tests.formats.test_pe_layout import Held
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong
from tests.formats.zip_builder import TYPES, File, app_files, app_package, archive, publisher_of
from tests.pki import mint

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import appx_publisher, operations, zipdir
from privyseal.formats.catalogue import BY_NAME
from privyseal.terms.signatures import Described, Options

APPX = BY_NAME["appx"]
P256 = "ecdsa-p256"
WHO = publisher_of(signatory(P256))
SHAPES: dict[str, dict[str, object]] = {
    "makeappx": {},
    "makemsix": {"dialect": "makemsix"},
    "any zip": {"dialect": "plain"},
    "bare descriptors": {"dialect": "bare"},
    "bundle": {"bundle": True},
    "bundle of makemsix": {"bundle": True, "dialect": "makemsix"},
    "SHA-384": {"digest": "sha384"},
    "SHA-512": {"digest": "sha512"},
    "catalogue": {"catalogue": b"a catalogue"},
    "large": {"content": bytes(200_000)},
    "prefix": {
        "types": TYPES.replace("<", "<t:").replace("<t:?", "<?").replace("<t:/", "</t:").replace("xmlns=", "xmlns:t=")
    },
}


ANNOUNCED = '<Override PartName="/AppxSignature.p7x" ContentType="application/vnd.ms-appx.signature"/>'


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "example.msix"
    path.write_bytes(app_package(WHO))
    return path


def contents(octets: bytes) -> dict[str, bytes]:
    """Return what another reader finds in a package."""
    with zipfile.ZipFile(io.BytesIO(octets)) as found:
        assert found.testzip() is None
        return {one: found.read(one) for one in found.namelist()}


def records(octets: bytes) -> dict[bytes, bytes]:
    """Return each entry as it stands, header and descriptor included."""
    code = Held(octets)
    return {one.name: octets[one.at : one.end] for one in zipdir.read(code).entries}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_there_and_back(package: Path, shape: str):
    """Signed, a timestamp later, signed anew, removed: all but the content types and the directory stays as it was."""
    package.write_bytes(original := app_package(WHO, **SHAPES[shape]))
    first = describe(package)
    assert first.facts["publisher"] == WHO and first.facts["bundle"] == SHAPES[shape].get("bundle", False)
    blob = sign(package, signatory(P256))
    found = look(package)
    assert [one.blob for one in found.signatures] == [blob] and not wrong(package)
    assert describe(package) == first and found.signatures[0].digest == first.digest
    once = package.read_bytes()
    assert list(contents(once)) == [*contents(original), "AppxSignature.p7x"]
    assert contents(once)["AppxSignature.p7x"] == b"PKCX" + blob
    before, after = records(original), records(once)
    assert {name for name in before if before[name] != after[name]} == {b"[Content_Types].xml"}
    stamp_later(package, 0)
    assert not wrong(package) and look(package).signatures[0].timestamp and describe(package) == first
    sign(package, signatory(P256))
    assert [one.timestamp for one in look(package).signatures] == [None] and not wrong(package)
    remove(package)
    bare = package.read_bytes()
    assert contents(bare) == contents(original) and describe(package) == first and not look(package).signatures
    remove(package)
    assert package.read_bytes() == bare
    sign(package, signatory(P256))
    remove(package)
    assert package.read_bytes() == bare


def test_what_is_signed(package: Path):
    """The list of digests, computed again from the signed package by other means."""
    sign(package, signatory(P256))
    octets = package.read_bytes()
    facts = describe(package).facts
    with zipfile.ZipFile(io.BytesIO(octets)) as found:
        signature, directory = found.getinfo("AppxSignature.p7x"), found.start_dir
        parts = {"axct": "[Content_Types].xml", "axbm": "AppxBlockMap.xml"}
        for name, part in parts.items():
            assert facts[name] == hashlib.sha256(found.read(part)).hexdigest()
    assert facts["axpc"] == hashlib.sha256(octets[: signature.header_offset]).hexdigest()
    assert facts["axci"] == "" and directory > signature.header_offset
    listed = b"APPX" + b"".join(
        name.upper().encode() + bytes.fromhex(str(facts[name])) for name in ("axpc", "axcd", "axct", "axbm")
    )
    assert listed in contents(octets)["AppxSignature.p7x"]
    assert describe(package).digest == hashlib.sha256(listed).digest()


def test_signtools_package_is_as_we_would_have_written_it(tmp_path: Path):
    """The one that says how Windows writes a directory: its digests hold, and nothing in it is loose."""
    path = tmp_path / "signtool.msix"
    path.write_bytes(sample("jsign/minimal-signed-by-signtool.msix"))
    assert not wrong(path) and len(look(path).signatures) == 1


def test_real_packages(tmp_path: Path):
    """What relic signed holds; unsigned ones of makemsix are read."""
    path = tmp_path / "App1.appx"
    path.write_bytes(sample("relic/App1_1.0.3.0_x64.appx"))
    assert not wrong(path) and len(look(path).signatures) == 1
    for name in ("minimal.msix", "minimal.appxbundle"):
        path.write_bytes(sample(f"jsign/{name}"))
        assert not look(path).signatures and not wrong(path)
        assert describe(path).digest_algorithm == "sha512" if name == "minimal.msix" else True


def test_the_block_maps_algorithm_rules(package: Path):
    package.write_bytes(app_package(WHO, digest="sha512"))
    assert describe(package, "sha256").digest_algorithm == "sha512"


def test_one_signature_only():
    """Append is no operation of it; the command line says so before anything is read."""
    with pytest.raises(Impossible, match="one signature"):
        operations.require_for(APPX, APPEND)


@pytest.mark.parametrize(
    ("publisher", "expected"),
    [
        ("CN=Contoso", [("2.5.4.3", "Contoso")]),
        (
            'CN="Contoso, Inc.", O=Contoso , C=US',
            [("2.5.4.3", "Contoso, Inc."), ("2.5.4.10", "Contoso"), ("2.5.4.6", "US")],
        ),
        ('CN="say ""hello""", OID.2.5.4.97=X', [("2.5.4.3", 'say "hello"'), ("2.5.4.97", "X")]),
        (
            "E=a@b.c, S=Mazovia Province,ST=x",
            [("1.2.840.113549.1.9.1", "a@b.c"), ("2.5.4.8", "Mazovia Province"), ("2.5.4.8", "x")],
        ),
    ],
)
def test_publishers_are_read(publisher: str, expected: list[tuple[str, str]]):
    assert list(appx_publisher.parse(publisher)) == expected


@pytest.mark.parametrize(
    "publisher", ["", "Contoso", "XX=a", "CN=a+O=b", "CN=a;O=b", 'CN="a', "CN=a,,", "CN=" + "a" * 9000]
)
def test_publishers_that_are_none(publisher: str):
    with pytest.raises(BadInput, match="publisher"):
        appx_publisher.parse(publisher)


def _certificate(*subject: tuple[x509.ObjectIdentifier, str]) -> bytes:
    """Return a certificate for a subject of several attributes, in this order."""
    key = mint.key(P256, 92)
    name = x509.Name([x509.NameAttribute(*one) for one in subject])
    draft = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    draft = draft.serial_number(1).not_valid_before(mint.NOW).not_valid_after(mint.NOW + timedelta(days=1))
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return draft.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_publishers_are_written_last_attribute_first():
    """As Windows writes names. The same attributes in the certificate's order are another publisher."""
    subject = ((NameOID.COUNTRY_NAME, "US"), (NameOID.ORGANIZATION_NAME, 'A "B", Inc.'), (NameOID.COMMON_NAME, "C"))
    certificate = _certificate(*subject)
    expected = 'CN=C, O="A ""B"", Inc.", C=US'
    assert appx_publisher.of_certificate(certificate) == expected
    assert appx_publisher.mismatch(expected, certificate) is None
    assert appx_publisher.mismatch('C=US, O="A ""B"", Inc.", CN=C', certificate) is not None
    assert appx_publisher.mismatch(expected.replace("CN=C", "CN=c"), certificate) is not None
    other = _certificate(
        (x509.ObjectIdentifier("1.3.6.1.4.1.311.60.2.1.3"), "PL"), (NameOID.STATE_OR_PROVINCE_NAME, "M")
    )
    assert appx_publisher.of_certificate(other) == "S=M, OID.1.3.6.1.4.1.311.60.2.1.3=PL"


def test_the_publisher_has_to_be_the_certificates_subject(package: Path):
    """Before anything is hashed, with both names and what to write; and again on the side of the key."""
    package.write_bytes(before := app_package("CN=Contoso, O=Contoso, C=US"))
    with pytest.raises(BadInput, match="Windows installs a package only where they are the same") as refused:
        sign(package, signatory(P256))
    assert "CN=Contoso, O=Contoso, C=US" in refused.value.detail and WHO in str(refused.value.hint)
    assert package.read_bytes() == before
    described = describe(package)
    with pytest.raises(BadInput, match="publisher"):
        APPX.to_be_signed(described, signatory(P256).identity, PLAIN)


def test_a_signature_of_another_publisher_is_a_problem(package: Path):
    """Somebody else's tool may not look; the verifier does."""
    blob = sign(package, signatory(P256))
    package.write_bytes(app_package("CN=Contoso"))
    with_signature = app_files("CN=Contoso")
    with_signature[3] = File(with_signature[3].name, TYPES.replace("</Types>", ANNOUNCED + "</Types>").encode())
    package.write_bytes(archive([*with_signature, File(b"AppxSignature.p7x", b"PKCX" + blob)], zip64=True))
    assert {"publisher", "digest-mismatch"} <= wrong(package)


CHANGES: dict[str, tuple[str, object]] = {
    "publisher": ("publisher", "CN=Somebody else"),
    "a digest": ("axbm", "00" * 32),
    "a short digest": ("axpc", "00"),
    "no hex": ("axpc", "xx"),
    "entries": ("entries", -1),
    "kind": ("bundle", 1),
    "another fact": ("more", "x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_key_side_refuses_what_prepare_would_not_have_made(package: Path, change: str):
    described = describe(package)
    name, value = CHANGES[change]
    other = msgspec.structs.replace(described, facts={**described.facts, name: value})
    with pytest.raises(BadInput):
        APPX.to_be_signed(other, signatory(P256).identity, PLAIN)


def test_other_descriptions_and_options_are_refused(package: Path):
    described = describe(package)
    who = signatory(P256).identity
    for other in (
        msgspec.structs.replace(described, format="pe"),
        msgspec.structs.replace(described, digest=bytes(32)),
        msgspec.structs.replace(described, digest_algorithm="sha512"),
        msgspec.structs.replace(described, size=1),
    ):
        with pytest.raises(BadInput):
            APPX.to_be_signed(other, who, PLAIN)
    with pytest.raises(BadInput, match="one signature"):
        APPX.to_be_signed(described, who, Options(mode="append"))
    assert isinstance(described, Described)


def _files(**changed: bytes | None) -> list[File]:
    found = {one.name: one for one in app_files(WHO)}
    names = {"types": b"[Content_Types].xml", "map": b"AppxBlockMap.xml", "manifest": b"AppxManifest.xml"}
    for name, octets in changed.items():
        if octets is None:
            del found[names[name]]
        else:
            found[names[name]] = File(names[name], octets)
    return list(found.values())


ENTITY = b'<?xml version="1.0"?><!DOCTYPE Types [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]>'
OUTSIDE = b'<!DOCTYPE Package SYSTEM "file:///etc/passwd">'
MANIFEST = b'<Package xmlns="http://schemas.microsoft.com/appx/manifest/foundation/windows10">'
REFUSED: dict[str, tuple[list[File], str]] = {
    "no manifest": (_files(manifest=None), "it has no AppxManifest.xml"),
    "no block map": (_files(map=None), "it has no AppxBlockMap.xml"),
    "no types": (_files(types=None), r"it has no \[Content_Types\].xml"),
    "entities": (_files(types=ENTITY + TYPES[55:].encode()), "document type"),
    "entities in the manifest": (_files(manifest=OUTSIDE + MANIFEST + b"</Package>"), "document type"),
    "a bomb": (_files(manifest=b" " * (9 << 20)), "at most 8388608 are read"),
    "no XML": (_files(manifest=b"not XML"), "no well-formed XML"),
    "cut XML": (_files(manifest=MANIFEST), "no well-formed XML"),
    "deep XML": (_files(manifest=MANIFEST + b"<a>" * 100 + b"</a>" * 100 + b"</Package>"), "at most 64"),
    "encoding": (_files(manifest=b'<?xml version="1.0" encoding="x-none"?><Package/>'), "encoding|well-formed"),
    "no identity": (_files(manifest=MANIFEST + b"</Package>"), "no Package with one Identity"),
    "two identities": (_files(manifest=MANIFEST + b'<Identity Publisher="CN=a"/>' * 2 + b"</Package>"), "one Identity"),
    "no publisher": (_files(manifest=MANIFEST + b"<Identity/></Package>"), "names no publisher"),
    "another hash": (
        _files(map=b'<BlockMap xmlns="http://schemas.microsoft.com/appx/2010/blockmap" HashMethod="md5"/>'),
        "by 'md5'",
    ),
    "no block map in it": (_files(map=b"<a/>"), "block map"),
    "types in UTF-16": (_files(types=TYPES.replace("UTF-8", "UTF-16").encode("utf-16")), "UTF-16"),
    "no types in it": (
        _files(types=b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'),
        "no list",
    ),
    "announced otherwise": (
        _files(types=TYPES.replace("AppxBlockMap.xml", "AppxSignature.p7x").encode()),
        "another kind",
    ),
    "announced twice": (_files(types=TYPES.replace("</Types>", ANNOUNCED * 2 + "</Types>").encode()), "more than one"),
    "not announced": ([*_files(), File(b"AppxSignature.p7x", b"PKCX")], "do not announce"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_no_app_package(package: Path, how: str):
    """One sentence each; the file stays as it is."""
    files, why = REFUSED[how]
    package.write_bytes(octets := archive(files, zip64=True))
    with pytest.raises(MalformedCode, match=why) as refused:
        sign(package, signatory(P256))
    assert refused.value.detail.endswith(".") and package.read_bytes() == octets


def test_an_announcement_with_an_end_tag_goes_again(package: Path):
    """Another writer's way to say the same: it is taken for what it is, and removed whole."""
    marked = TYPES.replace("</Types>", ANNOUNCED.replace("/>", "></Override>") + "</Types>")
    package.write_bytes(app_package(WHO, types=marked))
    sign(package, signatory(P256))
    assert contents(package.read_bytes())["[Content_Types].xml"] == marked.encode()
    remove(package)
    assert contents(package.read_bytes())["[Content_Types].xml"] == TYPES.encode()


def test_a_broken_signature_is_named(package: Path):
    """One that is no PKCX, one that is empty, one over another package."""
    sign(package, signatory(P256))
    files = app_files(WHO, types=TYPES.replace("</Types>", ANNOUNCED + "</Types>"))
    for octets in (b"", b"PKCX", b"XXXX\x30\0", b"PKCX" + bytes(100)):
        package.write_bytes(archive([*files, File(b"AppxSignature.p7x", octets, packed=False)], zip64=True))
        assert "malformed-signature" in wrong(package)


def test_blobs_and_tokens_are_counted(package: Path):
    code = Held(package.read_bytes())
    prepared = APPX.prepare(code, APPX.inspect(code), signatory(P256).identity, PLAIN, "sha256")
    with pytest.raises(BadInput, match="one signature"):
        APPX.apply(code, prepared, PLAIN, [])
    with pytest.raises(MalformedCode, match="an app package takes"):
        APPX.apply(code, prepared, PLAIN, [bytes(9 << 20)])
    with pytest.raises(BadInput, match="no number 0"):
        APPX.timestamped(code, APPX.inspect(code), {})
    assert blob_for(prepared, signatory(P256))
