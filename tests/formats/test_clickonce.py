"""ClickOnce manifests signed, timestamped later, replaced, taken apart again, refused; mono's SignedXml judges."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.formats import clickonce_builder, walking
from tests.formats.clickonce_builder import IDENTITY, application, dependency, deployment, judged
from tests.formats.samples import sample
from tests.formats.signing import APPEND, PLAIN, Signatory, signatory
from tests.formats.test_windows_every_octet import objections
from tests.formats.walking import look, remove, sign, stamp_later, wrong
from tests.pki import mint

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import catalogue, clickonce_manifest, operations, xml_canonical
from privyseal.formats.clickonce_manifest import ASM1
from privyseal.formats.source import FileSource
from privyseal.pki import certificates
from privyseal.terms.signatures import Described, Options

CLICKONCE = catalogue.BY_NAME["clickonce"]
PREFIXED = re.sub(rb"<(/?)(?!asmv1:|dsig:|!|\?|/)", rb"<\1asmv2:", application())
PREFIXED = PREFIXED.replace(b"xmlns=", b"xmlns:old=").replace(b"<asmv1:", b"<").replace(b"</asmv1:", b"</")
PREFIXED = PREFIXED.replace(b"xmlns:asmv1=", b"xmlns=")
SHAPES: dict[str, tuple[str, bytes]] = {
    "application": ("Example.exe.manifest", application()),
    "deployment": ("Example.application", deployment()),
    "add-in": ("Example.vsto", deployment(name="Example.vsto")),
    "line feeds": ("Example.exe.manifest", application(end="\n")),
    "other prefixes": ("Example.exe.manifest", PREFIXED),
    "quotes": ("Example.exe.manifest", application(identity=IDENTITY.replace('"', "'"))),
    "hidden in a value": (
        "Example.exe.manifest",
        application(identity=f"""culture=' publicKeyToken="x" >' {IDENTITY} """),
    ),
    "behind the root": ("Example.application", deployment() + b"<!-- a comment -->\n<?an instruction?>\n"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "Example.exe.manifest"
    path.write_bytes(application())
    return path


def describe(path: Path, who: Signatory | None = None) -> Described:
    who = who or signatory()
    with FileSource.open(path) as code:
        return CLICKONCE.prepare(code, CLICKONCE.inspect(code), who.identity, PLAIN, "sha256").described[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_there_and_back(tmp_path: Path, shape: str):
    """Signed, a timestamp later, signed anew, removed: the very file; mono accepts it all the way."""
    name, original = SHAPES[shape]
    path = tmp_path / name
    path.write_bytes(original)
    first = describe(path)
    blob = sign(path, signatory())
    assert not wrong(path) and look(path).signatures[0].blob == blob and describe(path) == first
    assert look(path).signatures[0].digest == first.digest
    said = judged(path)
    issuer = certificates.load(signatory().identity.chain[1]).public_key()
    assert said[-1] == f"publisherIdentity {x509.SubjectKeyIdentifier.from_public_key(issuer).digest.hex()}"  # type: ignore[arg-type]
    stamp_later(path, 0)
    (found,) = look(path).signatures
    assert not wrong(path) and found.timestamp and found.bare == blob and describe(path) == first
    assert judged(path)[-1] == f"Timestamp {base64.b64encode(found.timestamp).decode()}"
    sign(path, signatory("rsa-4096"), stamped=True)
    assert len(look(path).signatures) == 1 and not wrong(path) and judged(path)
    remove(path)
    expected = original.replace(b"'0000000000000000'", b'"0000000000000000"')
    assert path.read_bytes() == expected and not look(path).signatures
    remove(path)
    assert path.read_bytes() == expected


def test_a_real_manifest(tmp_path: Path):
    path = tmp_path / "WindowsFormsApplication1.exe.manifest"
    path.write_bytes(original := sample("relic/WindowsFormsApplication1.exe.manifest"))
    sign(path, signatory(), stamped=True)
    assert not wrong(path) and len(judged(path)) == 7
    remove(path)
    assert path.read_bytes() == original


def test_names_as_windows_writes_them(path: Path):
    """The strong name of a key and the subject of a certificate, as manifests have them that Visual Studio signed."""
    modulus = (
        "uTuMBX01jgtDXpPZCuHMWjDRWtGR2uBfjbuy11MYwkPgGwMymwT0eUTOE9e49qTfC1yOxEpPcqx1SJ1BKHrZfe9zwjUkUe0l9Zttq8YJMVqZF99H"
        "N+9qkZR16j9y1KKwSM704a1L5WnfFYuljCdq3hDyJpnPeMemDhz6JfFop3E="
    )
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(base64.b64decode(modulus), "big")).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert clickonce_manifest.public_key_token(spki) == "33ceee8f3f6b9ab8"
    assert clickonce_manifest.key_hash(spki) == "11b80559c251b7e400fd014b5ef46131ca3a7389"
    who = _of_a_company()
    sign(path, who)
    expected = 'CN="Curse, Inc.", OU=Software Validation v2, O="Curse, Inc.", L=San Francisco, S=California, C=US'
    assert clickonce_manifest.publisher_of(who.identity.chain[0]) == expected
    assert not wrong(path) and judged(path)
    assert b'name="CN=&quot;Curse, Inc.&quot;, OU=' in path.read_bytes()


def _of_a_company() -> Signatory:
    """Return one who certified itself, under a name of many parts."""
    oid, key = x509.NameOID, mint.key("rsa-3072", 96)
    parts = (
        (oid.COUNTRY_NAME, "US"), (oid.STATE_OR_PROVINCE_NAME, "California"), (oid.LOCALITY_NAME, "San Francisco"),
        (oid.ORGANIZATION_NAME, "Curse, Inc."), (oid.ORGANIZATIONAL_UNIT_NAME, "Software Validation v2"),
        (oid.COMMON_NAME, "Curse, Inc."),
    )  # fmt: skip
    name = x509.Name([x509.NameAttribute(*part) for part in parts])
    mould = mint.certify("Mould", key).loaded
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(mould.public_key())  # type: ignore[arg-type]
        .serial_number(1000).not_valid_before(mould.not_valid_before_utc).not_valid_after(mould.not_valid_after_utc)
        .sign(key, hashes.SHA256())  # type: ignore[arg-type]
    )  # fmt: skip
    der = made.public_bytes(serialization.Encoding.DER)
    return Signatory(msgspec.structs.replace(signatory().identity, chain=(der,)), key, der)


def test_what_it_is_called_and_where_its_page_is(path: Path):
    """Name and address become the licence's description; they are read back, and mono accepts the licence."""
    options = Options(program_name='Ex "<&>" \xe4mple', program_url="https://example.com/?a=1&b=2")
    sign(path, signatory(), options=options)
    (found,) = look(path).signatures
    assert (found.program_name, found.program_url) == (options.program_name, options.program_url)
    assert not wrong(path) and judged(path)


def test_what_the_description_says(path: Path):
    described = describe(path)
    assert described.facts["kind"] == "application"
    assert described.facts["assemblyIdentity name"] == "Example.exe"
    assert described.facts["assemblyIdentity publicKeyToken"] != "0" * 16
    of_nobody = walking.describe(path)
    assert of_nobody.facts["assemblyIdentity publicKeyToken"] == "0" * 16 and of_nobody.digest != described.digest
    sign(path, signatory())
    assert walking.describe(path) == of_nobody and describe(path) == described
    path.write_bytes(deployment())
    assert describe(path).facts["assemblyIdentity xmlns"] == "urn:schemas-microsoft-com:asm.v1"
    first, second, *_ = CLICKONCE.to_be_signed(describe(path), signatory().identity, PLAIN)
    assert (first.stamped, second.stamped) == (False, True)


def test_every_octet_counts(path: Path):
    """A changed octet is objected to, or changes nothing but a comment or how the same document is written.

    Left out is the last certificate: only the root, which is not carried, tells of a change in its signature.
    """
    path.write_bytes(application(end="\n"))
    sign(path, signatory(), stamped=True)
    octets = bytearray(path.read_bytes())
    plain = _canonical(octets)
    start, last = octets.index(b"<publisherIdentity"), octets.rindex(b"<X509Certificate>")
    places = {*range(0, start, 3), *range(start, len(octets) - 40, 17), *range(len(octets) - 40, len(octets))}
    silent = 0
    for at in places - set(range(last + 17, octets.index(b"<", last + 1))):
        flip = (0x01, 0x20, 0x80)[at % 3]
        octets[at] ^= flip
        if not objections(bytes(octets), path.name):
            silent += 1
            assert _canonical(octets) == plain, (at, flip)
        octets[at] ^= flip
    assert silent < 60


def _canonical(octets: bytearray) -> bytes:
    return xml_canonical.canonical(xml_canonical.read(bytes(octets), "It"), exclusive=True)


END = b"</Signature></asmv1"
Change = Callable[[bytes], bytes]
CHANGED: dict[str, tuple[Change, set[str]]] = {
    "a file's hash": (lambda o: o.replace(b'size="18"', b'size="19"', 1), {"digest-mismatch"}),
    "the description": (lambda o: o.replace(b'Description=""', b'Description="x"', 1), {"digest-mismatch"}),
    "the licence's hash": (lambda o: _swap(o, b' Hash="', 1), {"digest-mismatch", "licence"}),
    "the version": (lambda o: o.replace(b"1.2.3.4", b"1.2.3.5", 1), {"digest-mismatch", "licence"}),
    "the token": (
        lambda o: _swap(o, b'publicKeyToken="', 1),
        {"digest-mismatch", "licence", "public-key-token"},
    ),
    "the publisher": (lambda o: o.replace(b"CN=Test", b"CN=Tust", 1), {"digest-mismatch", "publisher"}),
    "the issuer": (lambda o: _swap(o, b'issuerKeyHash="', 1), {"digest-mismatch", "publisher"}),
    "the outer value": (lambda o: _swap(o, b"<SignatureValue>", 1), {"signature-value"}),
    "the inner value": (lambda o: _swap(o, b"<SignatureValue>", 2), {"signature-value"}),
    "the outer key": (lambda o: _swap(o, b"<Modulus>", 1), {"strong-name-key"}),
    "the inner key": (lambda o: _swap(o, b"<Modulus>", 2), {"no-signer-certificate"}),
    "an attribute": (lambda o: o.replace(b"<KeyInfo>", b'<KeyInfo Id="x">'), {"not-canonical"}),
    "a comment inside": (lambda o: o.replace(b"<KeyInfo>", b"<KeyInfo><!-- x -->"), {"not-canonical"}),
    "an object outside": (lambda o: o.replace(END, b"<Object/>" + END), {"not-canonical"}),
    "behind it": (lambda o: o.replace(END, b"</Signature><x/></asmv1"), {"digest-mismatch", "signature-place"}),
    "old algorithms": (
        lambda o: o.replace(b"#rsa-sha256", b"#rsa-sha1").replace(b"xmldsig#sha256", b"xmldsig#sha1"),
        {"weak-digest"},
    ),
    "another transform": (
        lambda o: o.replace(b'<Transform Algorithm="http://www.w3.org/2001/10', b'<Transform Algorithm="http://x'),
        {"malformed-signature"},
    ),
    "no licence": (lambda o: o.replace(b"r:license", b"r:licence"), {"malformed-signature"}),
}


def _swap(octets: bytes, behind: bytes, which: int) -> bytes:
    """Change one letter behind the ``which``-th place where that stands."""
    at = -1
    for _ in range(which):
        at = octets.index(behind, at + 1)
    at += len(behind) + 5
    other = b"b" if octets[at : at + 1] == b"a" else b"a"
    return octets[:at] + other + octets[at + 1 :]


@pytest.mark.parametrize("what", CHANGED)
def test_what_was_changed_is_named(path: Path, what: str):
    change, expected = CHANGED[what]
    sign(path, signatory())
    octets = path.read_bytes()
    path.write_bytes(change(octets))
    assert path.read_bytes() != octets
    found = wrong(path)
    assert expected <= found and (expected == {"not-canonical"}) <= (found == expected), found
    if not {"not-canonical", "signature-place", "no-signer-certificate"} & expected:  # mono has no eye for these
        with pytest.raises(AssertionError):
            judged(path)


BROKEN: dict[str, tuple[bytes, str]] = {
    "entities": (application().replace(b"?>", b'?><!DOCTYPE a [<!ENTITY x "y">]>', 1), "document type"),
    "an entity": (application().replace(b"logo.ico", b"&x;"), "no well-formed XML"),
    "of a program": (application().replace(b"entryPoint", b"entryPaint"), "neither a deployment nor an entry point"),
    "without identity": (deployment().replace(b'<assemblyIdentity name="Example.a', b'<x name="'), "0 identities"),
    "two identities": (deployment(identity=f'{IDENTITY} xmlns="{ASM1}"/><assemblyIdentity '), "2 identities"),
    "without version": (application(identity="")[:], "name, version and at most"),
    "a prefix of ours": (application(identity=f'xmlns:as="x" {IDENTITY}'), "an attribute that none has"),
    "another attribute": (application(identity=f'asmv2:x="x" {IDENTITY}'), "an attribute that none has"),
    "two signatures": (application('<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>' * 2), "2 signatures"),
    "utf-16": (application()[3:].decode().replace("utf-8", "utf-16").encode("utf-16"), "UTF-16"),
    "deep": (application("<a>" * 70 + "</a>" * 70), "elements 64 deep"),
    "large": (application("<!--" + "x" * (4 << 20) + "-->"), "at most 4194304 are read"),
    "cut": (application()[:-30], "no well-formed XML"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_manifest(path: Path, how: str):
    octets, why = BROKEN[how]
    path.write_bytes(octets)
    with pytest.raises(MalformedCode, match=why):
        sign(path, signatory())
    assert path.read_bytes() == octets


def test_other_descriptions_and_other_keys(path: Path):
    described, who = describe(path), signatory().identity
    for other in (
        msgspec.structs.replace(described, format="pe"),
        msgspec.structs.replace(described, size=0),
        msgspec.structs.replace(described, digest=bytes(31)),
        msgspec.structs.replace(described, digest_algorithm="sha384", digest=bytes(48)),
        *(msgspec.structs.replace(described, facts=facts) for facts in _facts(described.facts)),
    ):
        with pytest.raises(BadInput):
            CLICKONCE.to_be_signed(other, who, PLAIN)
    with pytest.raises(BadInput, match="strong name"):
        CLICKONCE.to_be_signed(described, signatory("rsa-4096").identity, PLAIN)
    with pytest.raises(BadInput, match="RSA keys only"):
        sign(path, signatory("ecdsa-p256"))
    with pytest.raises(BadInput, match="no name for sha384"):
        sign(path, signatory(), digest="sha384")
    with pytest.raises(BadInput, match="one pair"):
        CLICKONCE.to_be_signed(described, who, Options(mode="append"))
    with pytest.raises(BadInput, match="cannot be written as XML"):
        CLICKONCE.to_be_signed(described, who, Options(program_name="a\0b"))
    with pytest.raises(Impossible):
        operations.require_for(CLICKONCE, APPEND)
    assert path.read_bytes() == application()


def _facts(facts: dict[str, str | int | bool]) -> list[dict[str, str | int | bool]]:
    return [
        {},
        {**facts, "kind": "other"},
        {**facts, "more": "x"},
        {**facts, "assemblyIdentity version": 1},
        {**facts, "assemblyIdentity a b": "x"},
        {**facts, "assemblyIdentity xmlns:as": "urn:x"},
        {**facts, "assemblyIdentity culture": "a\nb"},
        {**facts, "assemblyIdentity publicKeyToken": "0" * 16},
        {key: value for key, value in facts.items() if key != "assemblyIdentity name"},
    ]


def test_who_issued_the_certificate(path: Path):
    """Told by the chain; without it by the certificate's own word; without that, refused."""
    who = signatory()
    alone = Signatory(msgspec.structs.replace(who.identity, chain=who.identity.chain[:1]), who.key, who.root)
    sign(path, alone)
    first = path.read_bytes()
    assert not wrong(path) and judged(path)
    sign(path, who)
    word = first.partition(b'issuerKeyHash="')[2][:40]
    assert path.read_bytes().partition(b'issuerKeyHash="')[2][:40] == word
    leaf = _of_a_company().identity.chain[0]
    assert clickonce_manifest.issuer_key_hash((leaf,)) == clickonce_manifest.key_hash(certificates.outline(leaf).spki)


def test_the_files_it_names(path: Path):
    """Listed with their hashes; new hashes go in by a splice, and every other octet stays."""
    from privyseal.formats import clickonce_files
    from privyseal.formats.patch import carry_out

    more = (
        dependency("old.dll", algorithm="sha1"),
        dependency("https://example.com/a.dll"),
        dependency("..\\a.dll"),
        dependency("C:\\a.dll"),
    )
    path.write_bytes(original := application(*more))
    with FileSource.open(path) as code:
        layout = clickonce_manifest.read(code, "clickonce")
        found = clickonce_files.files(layout)
        assert [(one.path, one.size, one.algorithm) for one in found] == [
            ("Example.exe", 18, "sha256"),
            ("old.dll", 18, "sha1"),
            (None, 18, "sha256"),
            (None, 18, "sha256"),
            (None, 18, "sha256"),
            ("data/Example.exe.config", 8, "sha256"),
        ]
        assert not clickonce_files.maps_extensions(layout)
        digest = bytes(range(32))
        plan = clickonce_files.rehashed(layout, {"old.dll": (4000, digest), "data/Example.exe.config": (9, digest)})
        with pytest.raises(BadInput, match="no hash of the file 'other"):
            clickonce_files.rehashed(layout, {"other.dll": (1, digest)})
        carry_out(plan, code, path)
    value = base64.b64encode(digest).decode()
    expected = application(dependency("old.dll"), *more[1:]).decode()
    _, _, rest = expected.partition('codebase="old.dll" size="')
    own = rest.partition("<dsig:DigestValue>")[2].partition("<")[0]
    changed = rest.replace("18", "4000", 1).replace(own, value, 1)
    settings = changed.partition('config" size="8"')[2].partition("<dsig:DigestValue>")[2].partition("<")[0]
    changed = changed.replace('config" size="8"', 'config" size="9"').replace(settings, value)
    assert path.read_bytes().decode() == expected[: -len(rest)] + changed
    assert path.read_bytes() != original
    sign(path, signatory())
    assert not wrong(path) and judged(path)
    path.write_bytes(deployment())
    with FileSource.open(path) as code:
        layout = clickonce_manifest.read(code, "clickonce")
        (named,) = clickonce_files.files(layout)
        assert named.path == "Application Files/Example_1_2_3_4/Example.exe.manifest"
        assert clickonce_files.maps_extensions(layout) and named.digest == _sha256(clickonce_builder.PROGRAM)


def _sha256(octets: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(octets).digest()
