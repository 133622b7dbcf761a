"""CMS as we write it satisfies OpenSSL, CMS as others write it is understood, nothing signed can change."""

import hashlib
import subprocess
import time
from pathlib import Path
from typing import Literal

import pytest
from tests.pki import mint
from tests.pki.mint import Minted

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import algorithms, cms, der
from privyseal.terms.signatures import DigestAlgorithm, Family, ToBeSigned

CONTENT = b"The quick brown fox jumps over the lazy dog.\n" * 9
SPC_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"


@pytest.fixture(scope="module", params=mint.SCHEMES)
def signer(request: pytest.FixtureRequest) -> Minted:
    return mint.certify(f"signer {request.param}", mint.key(request.param), ca=True)


def build(  # one parameter for each thing a test varies
    signer: Minted,
    digest: DigestAlgorithm = "sha256",
    *,
    detached: bool = False,
    pss: bool = False,
    bare: bool = False,
    content_type: str = cms.ID_DATA,
    content: bytes | None = None,
) -> bytes:
    """Build a signature; ``bare``: over the content itself; ``content``: one element in place of an OCTET STRING."""
    element = der.octet_string(CONTENT) if content is None else content
    covered = der.read(element).content
    attributes = [
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid(content_type)),
        cms.attribute(cms.ID_SIGNING_TIME, der.utc_time(mint.NOW)),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(hashlib.new(digest, covered).digest())),
    ]
    padding: Literal["pkcs1v15", "pss"] = "pss" if pss else "pkcs1v15"
    octets = covered if bare else cms.attributes_to_be_signed(attributes)
    value = mint.sign(signer.key, ToBeSigned(octets, digest, padding))
    info = cms.signer_info(
        certificate=signer.der,
        digest_algorithm=digest,
        signed_attributes=[] if bare else attributes,
        signature=value,
        padding=padding,
    )
    return cms.build_signed_data(
        content_type=content_type,
        content=None if detached else element,
        digest_algorithm=digest,
        certificates=[signer.der],
        signers=[info],
        version=1,
    )


def rebuilt(signer: bytes, certificate: bytes) -> bytes:
    """Put a SignerInfo and a certificate into a fresh SignedData over CONTENT."""
    return cms.build_signed_data(
        content_type=cms.ID_DATA,
        content=der.octet_string(CONTENT),
        digest_algorithm="sha256",
        certificates=[certificate],
        signers=[signer],
        version=1,
    )


def openssl_verifies(blob: bytes, signer: Minted, directory: Path, *, detached: bool = False) -> None:
    """Have OpenSSL verify a CMS and give the content back."""
    (directory / "cms.der").write_bytes(blob)
    (directory / "ca.pem").write_bytes(signer.pem)
    (directory / "content").write_bytes(CONTENT)
    command = [
        "openssl",
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        directory / "cms.der",
        "-purpose",
        "any",
    ]
    command += ["-CAfile", directory / "ca.pem", "-out", directory / "out"]
    if detached:
        command += ["-content", directory / "content"]
    done = mint.run(*command)
    assert done.returncode == 0, done.stderr
    assert (directory / "out").read_bytes() == CONTENT


def found(blob: bytes, content: bytes = CONTENT) -> list[str]:
    """Return the codes of the flaws of a CMS's only signer."""
    signed = cms.parse(blob)
    return [flaw.code for flaw in cms.flaws(signed, signed.signers[0], content=content)]


# -- ours, judged by OpenSSL -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("digest", mint.DIGESTS)
@pytest.mark.parametrize("detached", [False, True])
def test_openssl_verifies_what_we_build(
    signer: Minted, digest: DigestAlgorithm, detached: bool, tmp_path: Path
) -> None:
    """RSA and the three curves with the three digests, content inside and detached; and so do we."""
    blob = build(signer, digest, detached=detached)
    openssl_verifies(blob, signer, tmp_path, detached=detached)
    assert found(blob) == []


@pytest.mark.parametrize("digest", mint.DIGESTS)
def test_openssl_verifies_pss(digest: DigestAlgorithm, tmp_path: Path) -> None:
    """RSASSA-PSS with its parameters written out (RFC 4056 3)."""
    signer = mint.certify("pss", mint.key("rsa-3072"), ca=True)
    blob = build(signer, digest, pss=True)
    openssl_verifies(blob, signer, tmp_path)
    assert found(blob) == []


def test_openssl_verifies_without_signed_attributes(signer: Minted, tmp_path: Path) -> None:
    """The dialect of kernel modules: the key signs the content itself."""
    blob = build(signer, bare=True)
    openssl_verifies(blob, signer, tmp_path)
    assert found(blob) == []
    assert found(build(signer, bare=True, content_type=SPC_INDIRECT_DATA)) == ["signed-attributes"]


def test_a_timestamp_added_later_changes_nothing_that_is_signed(signer: Minted, tmp_path: Path) -> None:
    """Unsigned attributes come after the fact; more values of one kind stand in one attribute, in DER order."""
    blob = original = build(signer)
    for value in (b"second", b"first", b"third"):
        blob = cms.with_unsigned_attribute(blob, "1.2.840.113549.1.9.16.2.14", der.octet_string(value))
    openssl_verifies(blob, signer, tmp_path)
    assert found(blob) == []
    values = [der.octet_string(value) for value in (b"first", b"third", b"second")]
    assert cms.parse(blob).signers[0].unsigned == {"1.2.840.113549.1.9.16.2.14": tuple(values)}
    replaced = cms.with_unsigned_attribute(blob, "1.2.840.113549.1.9.16.2.14", der.null(), replace=True)
    assert cms.parse(replaced).signers[0].unsigned == {"1.2.840.113549.1.9.16.2.14": (der.null(),)}
    assert cms.parse(replaced).signers[0].signature == cms.parse(original).signers[0].signature
    with pytest.raises(BadInput, match="no number 1"):
        cms.with_unsigned_attribute(blob, "1.2.3", der.null(), signer=1)


# -- the Authenticode dialect ------------------------------------------------------------------------------------------
def test_authenticode_covers_the_value_octets_without_tag_and_length(signer: Minted) -> None:
    """Content is a SEQUENCE in [0]; its digest leaves out the SEQUENCE's head, however long that is."""
    element = der.sequence(der.octet_string(b"x" * 200), der.null())
    blob = build(signer, content=element, content_type=SPC_INDIRECT_DATA)
    signed = cms.parse(blob)
    assert signed.content == element
    assert signed.content_octets == element[3:] and element[1] == 0x81
    assert signed.version == 1
    assert cms.flaws(signed, signed.signers[0], content=signed.content_octets) == ()
    assert found(blob, element) == ["message-digest"]


def test_osslsigncode_output_is_understood(tmp_path: Path) -> None:
    """A PE signed by somebody else: the whole of it parses, the signature holds, the nested one is found."""
    import distlib

    signer = mint.certify("author", mint.key("rsa-3072"), ca=True, purposes=(mint.CODE_SIGNING,))
    (tmp_path / "cert.pem").write_bytes(signer.pem)
    (tmp_path / "key.pem").write_bytes(signer.key_pem)
    source: object = Path(distlib.__file__).with_name("t64.exe")
    for number in (1, 2):
        command = [
            "osslsigncode",
            "sign",
            "-certs",
            tmp_path / "cert.pem",
            "-key",
            tmp_path / "key.pem",
            "-h",
            "sha256",
        ]
        more = ["-nest"] if number == 2 else []
        done = mint.run(*command, *more, "-in", source, "-out", tmp_path / f"{number}.exe")
        assert done.returncode == 0, done.stderr
        source = tmp_path / f"{number}.exe"
    done = mint.run("osslsigncode", "extract-signature", "-in", source, "-out", tmp_path / "sig.der")
    assert done.returncode == 0, done.stderr
    signed = cms.parse((tmp_path / "sig.der").read_bytes())
    assert signed.content_type == SPC_INDIRECT_DATA and signed.content_octets is not None
    assert cms.flaws(signed, signed.signers[0], content=signed.content_octets) == ()
    (nested,) = signed.signers[0].unsigned["1.3.6.1.4.1.311.2.4.1"]
    inner = cms.parse(nested)
    assert inner.content == signed.content
    assert cms.flaws(inner, inner.signers[0], content=inner.content_octets or b"") == ()


# -- others' CMS -------------------------------------------------------------------------------------------------------
def foreign(directory: Path, signer: Minted, *options: object) -> bytes:
    """Have OpenSSL sign CONTENT."""
    (directory / "cert.pem").write_bytes(signer.pem)
    (directory / "key.pem").write_bytes(signer.key_pem)
    (directory / "content").write_bytes(CONTENT)
    command = ["openssl", "cms", "-sign", "-binary", "-in", directory / "content", "-outform", "DER"]
    command += ["-signer", directory / "cert.pem", "-inkey", directory / "key.pem", "-out", directory / "foreign.der"]
    done = mint.run(*command, *options)
    assert done.returncode == 0, done.stderr
    return (directory / "foreign.der").read_bytes()


@pytest.mark.parametrize("digest", mint.DIGESTS)
@pytest.mark.parametrize("option", [(), ("-nodetach",), ("-noattr",), ("-keyid",), ("-nosmimecap", "-cades")])
def test_openssl_signatures_are_understood(
    signer: Minted, digest: str, option: tuple[str, ...], tmp_path: Path
) -> None:
    """Attached, detached, without attributes, named by key identifier, with a certificate hash."""
    blob = foreign(tmp_path, signer, "-md", digest, *option)
    signed = cms.parse(blob)
    assert signed.certificates == (signer.der,) and not signed.ber
    assert (signed.content_octets == CONTENT) == ("-nodetach" in option)
    assert (signed.signers[0].key_identifier is not None) == ("-keyid" in option)
    assert found(blob) == []
    assert "signature-value" in found(blob, CONTENT + b"!") or "message-digest" in found(blob, CONTENT + b"!")


@pytest.mark.parametrize("salt", ["digest", "max", "20"])
def test_openssl_pss_is_understood_with_any_salt(salt: str, tmp_path: Path) -> None:
    """The salt's length is stated in the parameters (RFC 4055 3.1) and must be the true one; up to 64 octets."""
    signer = mint.certify("pss", mint.key("rsa-3072"), ca=True)
    options = ["-keyopt", "rsa_padding_mode:pss", "-keyopt", f"rsa_pss_saltlen:{salt}"]
    blob = foreign(tmp_path, signer, "-md", "sha256", *options)
    assert found(blob) == (["signature-algorithm"] if salt == "max" else [])


def test_streamed_ber_is_understood(signer: Minted, tmp_path: Path) -> None:
    """OpenSSL streams with indefinite lengths and content in pieces; it verifies all the same, and is marked."""
    blob = foreign(tmp_path, signer, "-nodetach", "-stream", "-md", "sha256")
    assert b"\x30\x80" in blob[:2]
    signed = cms.parse(blob)
    assert signed.ber and signed.content_octets == CONTENT and signed.certificates == (signer.der,)
    assert found(blob) == []
    grown = cms.with_unsigned_attribute(blob, "1.2.3", der.null())
    openssl_verifies(grown, signer, tmp_path)


def test_several_signers_are_told_apart(tmp_path: Path) -> None:
    """Each signer by its own certificate; a fault of one is not the other's."""
    one = mint.certify("one", mint.key("rsa-3072"), ca=True)
    two = mint.certify("two", mint.key("ecdsa-p256"), ca=True)
    (tmp_path / "two.pem").write_bytes(two.pem + two.key_pem)
    blob = foreign(tmp_path, one, "-nodetach", "-md", "sha256", "-signer", tmp_path / "two.pem")
    signed = cms.parse(blob)
    assert {cms.signer_certificate(signed, each) for each in signed.signers} == {one.der, two.der}
    assert all(cms.flaws(signed, each, content=CONTENT) == () for each in signed.signers)
    changed = cms.with_unsigned_attribute(blob, "1.2.3", der.null(), signer=1)
    again = cms.parse(changed)
    assert again.signers[0] == signed.signers[0] and again.signers[1].unsigned == {"1.2.3": (der.null(),)}


@pytest.mark.parametrize("digest", ["sha1", "md5", "sha224"])
def test_weak_digests_are_named_and_refused(digest: str, tmp_path: Path) -> None:
    """CSBR 7.1.3.2: SHA-256, SHA-384 or SHA-512."""
    signer = mint.certify("old", mint.key("rsa-3072"), ca=True)
    blob = foreign(tmp_path, signer, "-md", digest, "-nodetach")
    assert cms.parse(blob).signers[0].digest_algorithm == digest
    assert found(blob) == ["weak-digest"]


def test_a_missing_certificate_is_said(tmp_path: Path) -> None:
    """Without the signer's certificate nothing can be verified, and a like-named one does not stand in for it."""
    signer = mint.certify("absent", mint.key("rsa-3072"), ca=True)
    blob = foreign(tmp_path, signer, "-nodetach", "-nocerts", "-md", "sha256")
    assert cms.signer_certificate(cms.parse(blob), cms.parse(blob).signers[0]) is None
    assert found(blob) == ["no-signer-certificate"]
    with pytest.raises(VerificationFailed, match="does not carry"):
        cms.check_signer(cms.parse(blob), cms.parse(blob).signers[0], content=CONTENT)


# -- tampering ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("signer", mint.SCHEMES, indirect=True)
def test_every_flipped_octet_outside_the_certificate_is_noticed(signer: Minted) -> None:
    """Every bit, and all of each octet. The certificate is the chain's to judge.

    Harmless: SignedData's version 1 turned into 3 or 5. It is under no signature, tells a reader only what to expect,
    and a format's canonical layout asks for the one it writes.
    """
    blob = build(signer)
    at = blob.index(signer.der)
    outside = [*range(at), *range(at + len(signer.der), len(blob))]
    unnoticed = set()
    for position in outside:
        for change in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            broken = bytearray(blob)
            broken[position] ^= change
            try:
                signed = cms.parse(bytes(broken))
                content = signed.content_octets or b""
                if len(signed.signers) == 1 and not cms.flaws(signed, signed.signers[0], content=content):
                    unnoticed.add((position, broken[position]))
            except BadInput:
                pass
    version = blob.index(b"\x02\x01\x01\x31") + 2
    assert unnoticed == {(version, 3), (version, 5)}


def test_attributes_must_say_one_thing_once(signer: Minted) -> None:
    """Two message digests, two content types, none of either: each is a flaw, whatever the signature says."""
    right = der.octet_string(hashlib.sha256(CONTENT).digest())
    wrong = der.octet_string(hashlib.sha256(b"other").digest())
    kind = cms.attribute(cms.ID_CONTENT_TYPE, der.oid(cms.ID_DATA))
    digest = cms.attribute(cms.ID_MESSAGE_DIGEST, right)
    cases = {
        "message-digest": [
            [kind, cms.attribute(cms.ID_MESSAGE_DIGEST, right, wrong)],
            [kind, digest, cms.attribute(cms.ID_MESSAGE_DIGEST, wrong)],
            [kind, digest, digest],
            [kind],
        ],
        "content-type": [
            [digest],
            [digest, cms.attribute(cms.ID_CONTENT_TYPE, der.oid(SPC_INDIRECT_DATA))],
            [digest, kind, kind],
        ],
    }
    for code, sets in cases.items():
        for attributes in sets:
            value = mint.sign(signer.key, ToBeSigned(cms.attributes_to_be_signed(attributes), "sha256"))
            info = cms.signer_info(
                certificate=signer.der, digest_algorithm="sha256", signed_attributes=attributes, signature=value
            )
            assert found(rebuilt(info, signer.der)) == [code]


def test_a_signature_under_another_key_or_algorithm_is_refused() -> None:
    """ECDSA's name on an RSA value, a digest that contradicts the name, odd parameters; a namesake's key."""
    signer = mint.certify("one", mint.key("rsa-3072"), ca=True)
    info = cms.parse(build(signer)).signers[0].raw
    rsa = algorithms.signature_identifier(Family.RSA, "sha256")
    assert found(rebuilt(info, signer.der)) == []
    for other, flaw in (
        (algorithms.signature_identifier(Family.ECDSA, "sha256"), "signature-algorithm"),
        (algorithms.signature_identifier(Family.RSA, "sha384", "pss"), "signature-algorithm"),
        (algorithms.signature_identifier(Family.RSA, "sha256", "pss"), "signature-value"),
        (der.sequence(der.oid("1.2.840.113549.1.1.12"), der.null()), "signature-algorithm"),
        (der.sequence(der.oid("1.2.840.113549.1.1.1"), der.integer(1)), "signature-algorithm"),
        (der.sequence(der.oid("1.2.840.113549.1.1.10")), "signature-algorithm"),
    ):
        changed = der.sequence(der.read(info).content.replace(rsa, other))
        assert found(rebuilt(changed, signer.der)) == [flaw]
    stranger = mint.certify("one", mint.key("rsa-3072", 1), ca=True)
    named = der.sequence(stranger.loaded.issuer.public_bytes(), der.integer(stranger.loaded.serial_number))
    own = der.sequence(signer.loaded.issuer.public_bytes(), der.integer(signer.loaded.serial_number))
    assert found(rebuilt(info, stranger.der)) == ["no-signer-certificate"]
    assert found(rebuilt(der.sequence(der.read(info).content.replace(own, named)), stranger.der)) == ["signature-value"]


@pytest.mark.parametrize("count", [65, 100_000])
def test_bags_are_bounded(signer: Minted, count: int) -> None:
    """A signature with more certificates, signers or attributes than anyone has is refused, not walked."""
    blob = cms.build_signed_data(
        content_type=cms.ID_DATA,
        content=None,
        digest_algorithm="sha256",
        certificates=[der.sequence()] * count,
        signers=[],
        version=1,
    )
    with pytest.raises(BadInput, match="more than 64"):
        cms.parse(blob)


def test_building_and_parsing_cost_little(signer: Minted) -> None:
    """Signing 750 files a second leaves no room for slow CMS: well under 1 ms here, some 40 us on a quiet machine."""
    blob = build(signer)
    value = cms.parse(blob).signers[0].signature
    attributes = [
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid(cms.ID_DATA)),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(hashlib.sha256(CONTENT).digest())),
    ]
    best = 1.0
    for _ in range(20):
        begun = time.perf_counter()
        info = cms.signer_info(
            certificate=signer.der, digest_algorithm="sha256", signed_attributes=attributes, signature=value
        )
        cms.parse(rebuilt(info, signer.der))
        best = min(best, time.perf_counter() - begun)
    assert best < 0.001


def test_import_stays_light() -> None:
    """The signer and the command line start without asn1crypto and certvalidator."""
    import sys

    modules = "privyseal.pki.der, privyseal.pki.cms, privyseal.pki.certificates, privyseal.pki.chain"
    code = f"import sys, {modules}, privyseal.timestamp.token, privyseal.timestamp.authority; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert not {"asn1crypto", "pyhanko_certvalidator", "oscrypto"} & {name.split(".")[0] for name in said.split()}
