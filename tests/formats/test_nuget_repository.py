"""Repositories sign NuGet packages: alone, or counter-signing what an author signed; NuGet's own client judges."""

from __future__ import annotations

import hashlib
import subprocess
from functools import lru_cache
from pathlib import Path

import msgspec
import pytest
from tests.formats.signing import APPEND, PLAIN, Signatory, look, signatory, stamp, troubles
from tests.formats.test_nuget import NUGET, package_hash
from tests.formats.test_packages_strangers import all_rsa, judged, nuget, rsa_root
from tests.formats.test_windows_every_octet import flipped
from tests.formats.walking import remove, sign, stamp_later, wrong
from tests.formats.zip_builder import File, archive, nuget_files, nuget_package
from tests.pki import mint

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import nuget_blob, nuget_counter
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.pki import certificates, cms, der
from privyseal.terms.signatures import Described, Options

INDEX = "https://packages.example.com/v3/index.json"
REPOSITORY = Options(nuget_repository=INDEX, nuget_owners=("Example", "Contoso"))
COUNTER = Options(nuget_repository=INDEX, nuget_owners=("Example", "Contoso"), mode="append")
AUTHOR = signatory()
RECEIPT = der.sequence(der.oid("1.2.840.113549.1.9.16.6.2"))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "Example.Package.1.2.3.nupkg"
    path.write_bytes(nuget_package())
    return path


@lru_cache
def repository() -> Signatory:
    """Return another than the author, under the same root; mono knows RSA only."""
    root = rsa_root()
    middle = mint.certify("Repository intermediate", mint.key("rsa-3072", 97), root, ca=True, days=2000)
    leaf = mint.certify("Repository", mint.key("rsa-3072", 96), middle, purposes=(mint.CODE_SIGNING,))
    return Signatory(Identity((leaf.der, middle.der), "rsa-3072"), leaf.key, root.der)


def attributes(signer: cms.SignerInfo) -> None:
    """Hold what a repository states against the specification."""
    (index,) = signer.attributes["1.3.6.1.4.1.311.84.2.1.1.1"]
    (owners,) = signer.attributes["1.3.6.1.4.1.311.84.2.1.1.2"]
    assert index == b"\x16" + bytes([len(INDEX)]) + INDEX.encode()
    assert owners == b"\x30\x12\x0c\x07Example\x0c\x07Contoso"
    assert signer.attributes["1.2.840.113549.1.9.16.2.16"] == (RECEIPT,)


def test_a_repository_alone(package: Path):
    """In place of an author: the same content, and who it is among the attributes."""
    blob = sign(package, repository(), options=REPOSITORY, stamped=True)
    (signer,) = cms.parse(blob).signers
    attributes(signer)
    (found,) = look(package).signatures
    assert not wrong(package) and found.program_url == INDEX and found.digest == package_hash(package.read_bytes())
    with pytest.raises(MalformedCode, match="a repository has signed it already"):
        sign(package, repository(), options=COUNTER)
    remove(package)
    assert package.read_bytes() == nuget_package()


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("stamped", [False, True])
def test_an_author_counter_signed(package: Path, digest: str, stamped: bool):
    """Nothing of the author's changes, and taking it out gives the author's message, octet for octet."""
    author = sign(package, AUTHOR, stamped=True)
    before = look(package).signatures[0]
    counter = sign(package, repository(), options=COUNTER, digest=digest, stamped=stamped)  # type: ignore[arg-type]
    assert not wrong(package)
    first, second = look(package).signatures
    assert first == before and first.blob == author
    assert second.blob == counter and second.nested and second.index == 1 and second.program_url == INDEX
    assert second.digest_algorithm == digest
    assert second.digest == hashlib.new(digest, first.signature_value).digest()
    assert second.signer == repository().identity.chain[0] and (second.timestamp is not None) == stamped
    (inside,) = cms.parse(counter).signers
    attributes(inside)
    assert cms.ID_CONTENT_TYPE not in inside.attributes
    with pytest.raises(MalformedCode, match="NuGet takes one"):
        sign(package, repository(), options=COUNTER)
    stamp_later(package, 1)
    assert not wrong(package) and look(package).signatures[0] == first
    assert look(package).signatures[1].timestamp is not None
    stamp_later(package, 0, 1)
    assert not wrong(package) and look(package).signatures[1].signature_value == second.signature_value
    remove(package)
    assert package.read_bytes() == nuget_package()


def test_openssl_finds_the_counter_signature(package: Path):
    """It shows the attribute, and still verifies the author's message with it inside."""
    sign(package, AUTHOR)
    sign(package, repository(), options=COUNTER)
    (package.parent / "m.p7s").write_bytes(message_of(package))
    _, _, root = AUTHOR.write_pem(package.parent)
    command = ["openssl", "cms", "-verify", "-inform", "DER", "-in", package.parent / "m.p7s", "-CAfile", root]
    done = subprocess.run([*command, "-purpose", "any"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    command = ["openssl", "cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", package.parent / "m.p7s"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "countersignature (1.2.840.113549.1.9.6)" in said


def test_nugets_client_accepts_a_repository(package: Path):
    """Alone, with the address and the owners that it states."""
    sign(package, repository(), options=REPOSITORY)
    said = judged(package)
    assert "Successfully verified package 'Example.Package.1.2.3'" in said, said
    assert "Signature type: Repository" in said and INDEX in said and "Example, Contoso" in said, said


def message_of(package: Path) -> bytes:
    octets = package.read_bytes()
    message = octets[octets.index(b".signature.p7s") + 14 :]
    return message[: der.extent(message)[1]]


def counter_signatures(package: Path) -> str:
    """Have Microsoft's SignedCms check every signature, and NuGet's classes read the repository's; say what they say.

    The client itself does so too, and then ends: mono (6.8) builds the second chain from certificates that were let go.
    """
    program, message = package.with_name("counter_signatures.exe"), package.with_name("message.p7s")
    message.write_bytes(message_of(package))
    source = Path(__file__).with_name("counter_signatures.cs")
    compiler = ["mcs", "-r:System.Security.dll", f"-out:{program}", source]
    subprocess.run(compiler, check=True, capture_output=True, timeout=60)
    command = ["mono", program, message, nuget()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_microsofts_and_nugets_classes_accept_a_counter_signature(package: Path):
    """And object where it is over another value."""
    sign(package, all_rsa(), stamped=True)
    sign(package, repository(), options=COUNTER, stamped=True)
    assert counter_signatures(package).splitlines() == [
        "signer CN=Test RSA leaf",
        "counter-signer CN=Repository",
        f"index {INDEX}",
        "owner Example",
        "owner Contoso",
    ]
    counter = look(package).signatures[1].blob
    package.write_bytes(nuget_package(b"other content"))
    sign(package, all_rsa())
    with FileSource.open(package) as code:
        prepared = NUGET.prepare(code, NUGET.inspect(code), repository().identity, COUNTER, "sha256")
        carry_out(NUGET.apply(code, prepared, COUNTER, [counter]), code, package)
    assert wrong(package) == {"message-digest"}
    said = counter_signatures(package)
    assert "CryptographicException" in said and "counter-signer" not in said, said


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_octet_of_a_counter_signed_one(package: Path):
    """The message in samples, all of what is around it, and every octet of who the repository is."""
    package.write_bytes(nuget_package(b"content"))
    sign(package, AUTHOR, stamped=True)
    sign(package, repository(), options=COUNTER, stamped=True)
    octets = package.read_bytes()
    inside = octets.index(b".signature.p7s") + 14
    index = octets.index(INDEX.encode())
    places = [*range(inside, octets.index(b"PK\1\2"), 23), *range(index - 30, index + len(INDEX) + 60)]
    assert flipped(package, places, (0x04,)) == []


def test_who_cannot(package: Path):
    """A second author; a repository beside nothing, or beside what does not hold; owners without a repository."""
    sign(package, AUTHOR)
    octets = package.read_bytes()
    with pytest.raises(Impossible, match="one author's signature"):
        sign(package, signatory("rsa-4096"), options=APPEND)
    package.write_bytes(octets.replace(b"_rels/.rels", b"_rels/.relz"))
    with pytest.raises(MalformedCode, match="cannot be counter-signed: The content has changed"):
        sign(package, repository(), options=COUNTER)
    package.write_bytes(nuget_package())
    with pytest.raises(MalformedCode, match="cannot be counter-signed"):
        sign(package, repository(), options=COUNTER)
    for options in (
        Options(nuget_owners=("a",)),
        Options(nuget_repository="http://example.com/"),
        Options(nuget_repository="https://"),
        Options(nuget_repository="https://[x"),
        Options(nuget_repository="https://exämple.com/"),
        Options(nuget_repository="https://example.com/" + "x" * 3000),
        Options(nuget_repository=INDEX, nuget_owners=("",)),
        Options(nuget_repository=INDEX, nuget_owners=("a\n",)),
        Options(nuget_repository=INDEX, nuget_owners=("a",) * 65),
    ):
        with pytest.raises(BadInput):
            sign(package, AUTHOR, options=options)
    assert package.read_bytes() == nuget_package()


def described(package: Path) -> Described:
    with FileSource.open(package) as code:
        prepared = NUGET.prepare(code, NUGET.inspect(code), repository().identity, COUNTER, "sha256")
    return prepared.described[0]


def test_the_key_side_holds_description_and_options_together(package: Path):
    """A counter-signature is described as one; its description makes no author's signature, nor the other way round."""
    sign(package, AUTHOR)
    good, who = described(package), repository().identity
    assert good.facts["author"] == hashlib.sha256(AUTHOR.identity.chain[0]).hexdigest() and good.size == 384
    assert len(NUGET.to_be_signed(good, who, COUNTER)) == 1
    bare = {name: value for name, value in good.facts.items() if name != "author"}
    for other, options in (
        (good, PLAIN),
        (good, REPOSITORY),
        (good, APPEND),
        (msgspec.structs.replace(good, facts=bare), COUNTER),
        (msgspec.structs.replace(good, size=100), COUNTER),
        (msgspec.structs.replace(good, facts={**bare, "author": "x"}), COUNTER),
    ):
        with pytest.raises(BadInput):
            NUGET.to_be_signed(other, who, options)
    with pytest.raises(BadInput, match="RSA keys"):
        NUGET.to_be_signed(good, signatory("ecdsa-p256").identity, COUNTER)


def changed(package: Path, counter: bytes, *more: bytes) -> set[str]:
    """Return what is wrong with an author's signature that has these counter-signatures in it."""
    blob = nuget_blob.read(message_of(package))
    carried = (*blob.signed.certificates, *repository().identity.chain)
    unsigned = {**blob.signer.unsigned, "1.2.840.113549.1.9.6": (counter, *more)}
    made = nuget_blob.with_unsigned(blob, unsigned, carried)
    other = package.with_name("other.nupkg")
    other.write_bytes(archive([*nuget_files(), File(b".signature.p7s", made, packed=False)]))
    return troubles(look(other)) - {"digest-mismatch", "signature-entry"}


def test_what_is_wrong_with_a_counter_signature_is_named(package: Path):
    """Each made with the repository's key, so that one thing only is wrong."""
    sign(package, AUTHOR)
    good, who = described(package), repository()
    (signed,) = NUGET.to_be_signed(good, who.identity, COUNTER)
    rows = [one.raw for one in der.children(der.read(signed.octets))]

    def made(attributes: list[bytes], unsigned: tuple[bytes, ...] = ()) -> bytes:
        wanted = msgspec.structs.replace(signed, octets=cms.attributes_to_be_signed(attributes))
        return cms.signer_info(
            certificate=who.identity.chain[0],
            digest_algorithm="sha256",
            signed_attributes=attributes,
            signature=who.sign(wanted).value,
            unsigned_attributes=unsigned,
        )

    plain = made(rows)
    assert changed(package, plain) == set()
    token = cms.attribute(nuget_counter.ID_TIMESTAMP, stamp().token(b"x").der)
    twice = cms.attribute(nuget_counter.ID_TIMESTAMP, stamp().token(b"x").der, stamp().token(b"y").der)
    cases = {
        "several-counter-signatures": changed(package, plain, plain),
        "unsigned-attribute": changed(package, made(rows, (token, cms.attribute("1.2.3", b"\5\0")))),
        "several-timestamps": changed(package, made(rows, (twice,))),
        "malformed-signature": changed(package, b"\x30\0"),
        "signed-attributes": changed(package, made([*rows, cms.attribute(cms.ID_CONTENT_TYPE, der.oid(cms.ID_DATA))])),
        "message-digest": changed(package, made([cms.attribute(cms.ID_MESSAGE_DIGEST, b"\4\1x"), *rows[1:]])),
        "commitment": changed(package, made([one for one in rows if INDEX.encode() not in one])),
        "signature-value": changed(package, plain[:-1] + bytes([plain[-1] ^ 1])),
    }
    assert {name: found for name, found in cases.items() if found != {name}} == {}
    assert certificates.common_name(who.identity.chain[0]) == "Repository"
