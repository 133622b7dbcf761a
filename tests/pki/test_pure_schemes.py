"""Ed25519 and ML-DSA: read, verified and carried in CMS as their RFCs say, and kept out of Authenticode."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from tests.pki import mint
from tests.pki.test_cms import CONTENT, build, found

from privyseal.errors import BadInput, VerificationFailed
from privyseal.formats import authenticode, authenticode_blob
from privyseal.formats.protocol import Identity
from privyseal.pki import algorithms, certificates, cms, der
from privyseal.terms.signatures import (
    PURE_FAMILIES,
    SCHEMES,
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    ToBeSigned,
)

PURE = [name for name, scheme in SCHEMES.items() if scheme.pure]
TBS = ToBeSigned(b"octets", "sha512")
ISSUER = mint.certify("issuer", mint.key("ecdsa-p256"), ca=True)


def signer(scheme: str) -> mint.Minted:
    """Return a certificate for a key of a pure scheme; an elliptic CA issued it, as openssl and we can check."""
    return mint.certify(f"signer {scheme}", mint.key(scheme), ISSUER)


@pytest.mark.parametrize("name", PURE)
def test_a_value_is_over_the_octets_themselves(name: str) -> None:
    """The right value holds whatever digest is named; another key, octet or value does not, and a digest cannot be."""
    private = mint.key(name)
    spki = mint.spki(private)
    assert certificates.scheme_of(spki) is SCHEMES[name]
    assert certificates.family_of(spki) in PURE_FAMILIES
    value = mint.sign(private, TBS)
    assert len(value) == SCHEMES[name].largest_signature
    for digest in mint.DIGESTS:
        certificates.verify(spki, ToBeSigned(b"octets", digest), value)  # type: ignore[arg-type]
    wrong = [(spki, ToBeSigned(b"octetz", "sha512"), value), (mint.spki(mint.key(name, 1)), TBS, value)]
    wrong += [(spki, TBS, each) for each in (b"", value[:-1], value + b"\0", value[:-1] + bytes((value[-1] ^ 1,)))]
    for each in wrong:
        with pytest.raises(VerificationFailed):
            certificates.verify(*each)
    with pytest.raises(BadInput, match="signs no digests"):
        certificates.verify_digest(spki, "sha512", hashlib.sha512(b"octets").digest(), value)


@pytest.mark.parametrize("name", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_certificates_of_other_hands_verify(name: str) -> None:
    """The examples of RFC 9881 are read as the schemes they are of, and their own signatures hold, but for a bit."""
    text = Path(__file__).with_name("rfc9881").joinpath(f"{name}.pem").read_bytes()
    (certificate,) = certificates.pem_certificates(text)
    spki = certificates.outline(certificate).spki
    loaded = x509.load_der_x509_certificate(certificate)
    assert certificates.scheme_of(spki).name == name
    assert loaded.signature_algorithm_oid.dotted_string == algorithms.PURE_OIDS[name]
    certificates.verify(spki, ToBeSigned(loaded.tbs_certificate_bytes, "sha512"), loaded.signature)
    broken = loaded.signature[:100] + bytes((loaded.signature[100] ^ 1,)) + loaded.signature[101:]
    with pytest.raises(VerificationFailed):
        certificates.verify(spki, ToBeSigned(loaded.tbs_certificate_bytes, "sha512"), broken)


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("name", PURE)
def test_cms_by_a_pure_key_holds(name: str, bare: bool) -> None:
    """With signed attributes and without; changed content and a value of another signature are flaws."""
    made = signer(name)
    blob = build(made, "sha512", bare=bare)
    assert found(blob) == []
    assert found(blob, CONTENT + b"!") == (["signature-value"] if bare else ["message-digest"])
    other = build(signer(name), "sha512", bare=bare, content=der.octet_string(b"other"))
    assert cms.parse(other).signers[0].signature != cms.parse(blob).signers[0].signature
    assert cms.parse(blob).signers[0].signature_algorithm == algorithms.PURE_OIDS[name]


@pytest.mark.parametrize("bare", [False, True])
def test_gnutls_verifies_cms_by_an_edwards_key(bare: bool, tmp_path: Path) -> None:
    """RFC 8419, judged by GnuTLS; OpenSSL 3.0 has no CMS of such keys, and neither knows ML-DSA yet."""
    blob = build(signer("ed25519"), "sha512", bare=bare)
    assert _gnutls_verifies(blob, tmp_path)
    value = cms.parse(blob).signers[0].signature
    assert not _gnutls_verifies(blob.replace(value, value[:-1] + bytes((value[-1] ^ 1,))), tmp_path)


def _gnutls_verifies(blob: bytes, folder: Path) -> bool:
    (folder / "cms.der").write_bytes(blob)
    (folder / "ca.pem").write_bytes(ISSUER.pem)
    command = ["certtool", "--p7-verify", "--inder", "--infile", folder / "cms.der"]
    done = mint.run(*command, "--load-ca-certificate", folder / "ca.pem")
    return "Signature status: ok" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "digest"),
    [("ed25519", "sha256"), ("ml-dsa-65", "sha256"), ("ml-dsa-87", "sha384")],
)
def test_a_weaker_digest_beside_a_pure_key_is_a_flaw(name: str, digest: DigestAlgorithm) -> None:
    """RFC 8419 section 3.1 and RFC 9882 table 1 say what may hash the content where attributes are signed."""
    assert found(build(signer(name), digest)) == ["signature-algorithm"]
    assert found(build(signer(name), digest, bare=True)) == []


@pytest.mark.parametrize(
    ("dotted", "parameters", "words"),
    [
        ("1.2.840.10045.4.3.4", None, "does not go with"),
        ("2.16.840.1.101.3.4.3.18", None, "does not go with"),
        ("2.16.840.1.101.3.4.3.17", b"\x05\x00", "has parameters"),
    ],
)
def test_an_identifier_must_be_the_key_s_and_bare(dotted: str, parameters: bytes | None, words: str) -> None:
    """Another scheme's identifier, also of the same family, and parameters, NULL too (RFC 9881 section 2)."""
    with pytest.raises(BadInput, match=words):
        algorithms.check_pure(dotted, parameters, "ml-dsa-44", "sha512")


@pytest.mark.parametrize("name", PURE)
def test_authenticode_refuses_such_a_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence before anything is signed; and no such signature is judged good that others put into a file."""
    subject = authenticode.Subject(authenticode.ID_PE_IMAGE_DATA, der.sequence())
    described = Described(format="pe", filename="a.exe", digest_algorithm="sha512", digest=bytes(64), size=4096)
    with pytest.raises(BadInput, match=rf"no Authenticode signature by a key of scheme {name}\."):
        authenticode.to_be_signed(subject, described, Identity((signer(name).der, ISSUER.der), name), Options())
    theirs = Identity((signer(name).der, ISSUER.der), name)
    with monkeypatch.context() as elsewhere:  # as one would write it who does not ask
        elsewhere.setattr(authenticode, "FAMILIES", PURE_FAMILIES)
        tbs = authenticode.to_be_signed(subject, described, theirs, Options())
        value = Signature(tbs, mint.sign(mint.key(name), tbs))
        blob = authenticode.finish(subject, described, theirs, Options(), value, None)
    (only,) = authenticode_blob.walk([blob])
    judged = authenticode_blob.judge(only, 0, "pe", subject, {"sha512": bytes(64)})
    assert [problem.code for problem in judged.problems] == ["signature-algorithm"]
