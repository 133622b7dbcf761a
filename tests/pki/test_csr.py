"""Requests for certificates: OpenSSL accepts what we build, and what is read has proved that its sender has the key."""

from __future__ import annotations

import random
import subprocess
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki import certificates, csr, der
from privyseal.terms.identity import Jurisdiction, LegalIdentity, read_identity
from privyseal.terms.signatures import SCHEMES

ACME = LegalIdentity(
    organization="Acme Söhne GmbH",
    country="DE",
    state="Hessen",
    locality="Kassel",
    jurisdiction=Jurisdiction(
        business_category="Private Organization", country="DE", state="Hessen", locality="Kassel", number="HRB 12345"
    ),
)
BUNDLE = csr.Bundle((csr.Statement("2.23.133.20.1", der.octet_string(b"evidence")),)).encode()


@cache
def key(kind: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """Make one key of a kind for all tests."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, 3072)
    curve = {"ecdsa-p256": ec.SECP256R1(), "ecdsa-p384": ec.SECP384R1(), "ecdsa-p521": ec.SECP521R1()}[kind]
    return ec.generate_private_key(curve)


def built(kind: str = "ecdsa-p256", *, ev: bool = False, attestation: bytes = b"") -> bytes:
    """Build a request as the signer does."""
    private, scheme = key(kind), SCHEMES[kind]
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    info = csr.information(csr.subject(ACME, ev=ev), spki, attestation)
    tbs = csr.to_be_signed(info, scheme)
    return csr.request(info, scheme, certificates_sign(private, tbs.octets, tbs.digest_algorithm))


def certificates_sign(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, octets: bytes, digest: str) -> bytes:
    """Sign as a key store does."""
    algorithm = certificates.HASHES[digest]  # type: ignore[index]
    if isinstance(private, rsa.RSAPrivateKey):
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

        return private.sign(octets, PKCS1v15(), algorithm)
    return private.sign(octets, ec.ECDSA(algorithm))


def openssl(*arguments: str, given: bytes) -> str:
    """Ask the openssl command about a request; fails where it does."""
    done = subprocess.run(["openssl", "req", *arguments], input=given, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("kind", ["rsa-3072", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"])
def test_openssl_verifies_what_we_build(kind: str) -> None:
    """Of every family and digest, with an attestation in it and without."""
    for attestation in (b"", BUNDLE):
        octets = built(kind, attestation=attestation)
        assert "verify OK" in openssl("-verify", "-noout", "-inform", "DER", given=octets)
        assert x509.load_der_x509_csr(octets).is_signature_valid
        asked = csr.read(octets)
        assert asked.attestation == (attestation or None)
        assert csr.read(csr.pem(octets)) == asked


def test_a_subject_has_the_names_that_the_requirements_ask_for() -> None:
    """Organisation and common name are the legal name, in the validated spelling; EV adds where it is registered."""
    plain = openssl("-subject", "-noout", "-nameopt", "RFC2253,-esc_msb,utf8", "-inform", "DER", given=built())
    assert plain.strip() == "subject=CN=Acme Söhne GmbH,O=Acme Söhne GmbH,L=Kassel,ST=Hessen,C=DE"
    loaded = x509.load_der_x509_csr(built(ev=True)).subject
    said = {each.oid.dotted_string: each.value for each in loaded}
    assert said["2.5.4.15"] == "Private Organization"
    assert said["2.5.4.5"] == "HRB 12345"
    assert [said[f"1.3.6.1.4.1.311.60.2.1.{n}"] for n in (1, 2, 3)] == ["Kassel", "Hessen", "DE"]
    assert said["2.5.4.10"] == said["2.5.4.3"] == "Acme Söhne GmbH"


def test_ev_needs_an_identity_that_was_validated_for_it() -> None:
    """What nobody checked is in no subject."""
    plain = LegalIdentity(organization="Acme", country="DE", locality="Kassel")
    csr.subject(plain)
    with pytest.raises(BadInput, match="registration number"):
        csr.subject(plain, ev=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('organization = "Acme"\ncountry = "DE"', "locality or a state"),
        ('organization = "N/A"\ncountry = "DE"\nlocality = "Kassel"', "placeholders"),
        ('organization = "Acme"\ncountry = "DE"\nlocality = "--"', "placeholders"),
        ('organization = "Acme"\ncountry = "Germany"\nlocality = "Kassel"', "country"),
        (f'organization = "{"A" * 65}"\ncountry = "DE"\nlocality = "Kassel"', "organization"),
        ('organization = "Acme "\ncountry = "DE"\nlocality = "Kassel"', "organization"),
        ('organization = "Acme"\ncountry = "DE"\nlocality = "Kassel"\nou = "IT"', "ou"),
        ("organization = ", "no legal identity"),
    ],
)
def test_an_identity_that_fits_no_subject_is_refused(text: str, words: str) -> None:
    """In one sentence, with the field that is wrong."""
    with pytest.raises(BadInput, match=words):
        read_identity(text.encode())


def test_a_request_whose_own_signature_is_wrong_is_refused() -> None:
    """Every flipped bit is noticed, wherever it is: no other request is read out of it."""
    octets = built(attestation=BUNDLE)
    good = csr.read(octets)
    for place in random.Random(6).sample(range(len(octets) * 8), 400):
        broken = bytearray(octets)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises(PrivySealError):
            csr.read(bytes(broken))
    assert csr.read(octets) == good


def test_trailing_octets_and_other_keys_are_refused() -> None:
    """Nothing follows a request, and nobody asks with another's key."""
    octets = built()
    with pytest.raises(BadInput, match="follow"):
        csr.read(octets + b"\0")
    mine = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key("ecdsa-p384"), hashes.SHA384())  # type: ignore[arg-type]
    other = key("ecdsa-p256").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    spki = key("ecdsa-p384").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    taken = mine.public_bytes(Encoding.DER)
    info = csr.information(der.sequence(), other)
    forged = der.sequence(info, *(each.raw for each in der.children(der.read(taken))[1:]))
    assert csr.read(taken).spki == spki
    with pytest.raises(VerificationFailed, match="own signature"):
        csr.read(forged)


def test_an_attestation_that_is_no_bundle_is_not_built_in() -> None:
    """The signer signs no octets that it cannot read."""
    spki = key("ecdsa-p256").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for wrong in (b"\x30\x00", b"anything", der.sequence(der.sequence()), BUNDLE + b"\0"):
        with pytest.raises(BadInput):
            csr.information(der.sequence(), spki, wrong)
    with pytest.raises(BadInput):
        csr.information(b"\x04\x00", spki)
