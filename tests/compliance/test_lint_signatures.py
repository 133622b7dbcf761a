"""Whose signature a CRL, an OCSP response, a token bears, as lint tells it; OpenSSL, a stranger, says the same."""

from __future__ import annotations

import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID
from tests.compliance.builders import ocsp as responses
from tests.compliance.builders import token as tokens

from privyseal.compliance import crl
from privyseal.compliance.lint import ITS_CERTIFICATE, Linted, lint
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked, Kind

NOW = datetime(2026, 11, 25, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
SIGNATURE = "PKIX-crl.signature"


def name(word: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, word)])


def usage(*bits: str) -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    return x509.KeyUsage(**{each: each in bits for each in f"{names} crl_sign encipher_only decipher_only".split()})


def a_ca(key: Key, *bits: str, named: str = "CA") -> x509.Certificate:
    builder = x509.CertificateBuilder(name(named), name(named), key.public_key(), 2**70)
    builder = builder.not_valid_before(NOW - timedelta(days=9)).not_valid_after(NOW + timedelta(days=900))
    builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    builder = builder.add_extension(usage(*(bits or ("key_cert_sign", "crl_sign"))), True)
    return builder.sign(key, hashes.SHA256())


def a_list(key: Key, *, identified: bool = True) -> bytes:
    builder = x509.CertificateRevocationListBuilder(name("CA"), NOW, NOW + timedelta(days=7))
    builder = builder.add_extension(x509.CRLNumber(1), False)
    if identified:
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        builder = builder.add_extension(own, False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def judged(octets: bytes, *issuers: bytes) -> Finding:
    [one] = lint(octets, "a.crl", Asked(NOW), issuers=issuers)
    [found] = [each for each in one.findings if each.requirement == SIGNATURE]
    return found


def spki(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def flipped(octets: bytes) -> bytes:
    return octets[:-1] + bytes([octets[-1] ^ 1])


EC, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def openssl(folder: Path, octets: bytes, issuer: x509.Certificate) -> bool:
    (folder / "ca.pem").write_bytes(issuer.public_bytes(Encoding.PEM))
    (folder / "a.crl").write_bytes(octets)
    asked = ["openssl", "crl", "-verify", "-noout", "-inform", "DER", "-in", "a.crl", "-CAfile", "ca.pem"]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
    return "verify OK" in done.stderr + done.stdout


@pytest.mark.parametrize("key", [EC, RSA], ids=["ecdsa", "rsa"])
@pytest.mark.parametrize("identified", [True, False])
def test_a_list_is_its_issuers_or_not_and_openssl_agrees(tmp_path: Path, key: Key, identified: bool) -> None:
    """With the CA's certificate beside it: met; one bit more or less, or another key of that name: not met."""
    good, ca = a_list(key, identified=identified), a_ca(key)
    assert judged(good, der(ca)).verdict is Verdict.MET
    assert openssl(tmp_path, good, ca)
    bad = flipped(good)
    assert judged(bad, der(ca)).verdict is Verdict.NOT_MET
    assert not openssl(tmp_path, bad, ca)
    strange = a_list(OTHER, identified=False)
    assert judged(strange, der(ca)).verdict is Verdict.NOT_MET
    assert not openssl(tmp_path, strange, ca)


def test_without_the_issuers_certificate_nobody_can_tell() -> None:
    """The sentence says what to give; a certificate of another name, or of another key of that name, is none."""
    good = a_list(EC)
    for given in ((), (der(a_ca(EC, named="Another")),), (der(a_ca(OTHER)),)):
        found = judged(good, *given)
        assert found.verdict is Verdict.NOT_EVIDENCED
        assert "--issuer" in found.mend


def test_of_several_certificates_of_an_issuer_one_that_fits_is_enough() -> None:
    """After a change of keys a CA has two; only the list that names no key leaves a choice."""
    assert judged(a_list(EC), der(a_ca(OTHER)), der(a_ca(EC))).verdict is Verdict.MET
    assert judged(a_list(EC, identified=False), der(a_ca(OTHER)), der(a_ca(EC))).verdict is Verdict.MET
    unfit = judged(a_list(EC), der(a_ca(EC, "key_cert_sign")))
    assert (unfit.verdict, "lacks cRLSign" in unfit.text) == (Verdict.NOT_MET, True)
    assert judged(a_list(EC), der(a_ca(EC, "key_cert_sign")), der(a_ca(EC))).verdict is Verdict.MET


def test_a_key_that_nobody_can_verify_with_is_no_forger() -> None:
    """An unknown kind of key tells nothing; a bit more or less tells all."""
    assert crl.signed_by(a_list(EC), b"\x30\x00") is None
    assert crl.signed_by(flipped(a_list(EC)), spki(EC)) is False


def test_what_is_found_in_the_same_file_counts() -> None:
    """As for everything else that stands together."""
    pem = a_ca(EC).public_bytes(Encoding.PEM) + x509.load_der_x509_crl(a_list(EC)).public_bytes(Encoding.PEM)
    listed = next(each for each in lint(pem, "all.pem", Asked(NOW)) if each.kind is Kind.CRL)
    assert [each.verdict for each in listed.findings if each.requirement == SIGNATURE] == [Verdict.MET]


def _responder(octets: bytes, *issuers: bytes) -> str:
    [one] = lint(octets, "r.ocsp", Asked(NOW), issuers=issuers, covers=None)
    texts = [each.text for each in one.findings if "signed the response" in each.text or "not proven" in each.text]
    texts += [each.text for each in one.findings if "does not verify" in each.text]
    return texts[0]


def test_a_response_is_its_cas_or_not_and_openssl_agrees(tmp_path: Path) -> None:
    """Signed by the CA, and with one bit changed."""
    good, ca = responses.octets({}), responses.authority("Issuing CA")[1]
    (tmp_path / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    said = []
    for octets in (good, _other_signature(good)):
        (tmp_path / "r.der").write_bytes(octets)
        asked = ["openssl", "ocsp", "-respin", "r.der", "-issuer", "ca.pem", "-CAfile", "ca.pem"]
        done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
        said.append("Response verify OK" in done.stderr + done.stdout)
    assert said == [True, False]
    assert "signed the response" in _responder(good, der(ca))
    assert "does not verify" in _responder(_other_signature(good), der(ca))


def _other_signature(octets: bytes) -> bytes:
    signature = ocsp.load_der_ocsp_response(octets).signature
    return octets.replace(signature, flipped(signature))


def _token() -> list[Linted]:
    return lint(tokens.octets({}), "t.tst", Asked(NOW))


def test_the_certificate_of_a_token_is_judged_beside_it() -> None:
    """As a timestamp certificate, by its own issuance; each finding says of which of the two it is."""
    token, own = _token()
    assert (token.kind, own.kind) == (Kind.TIMESTAMP_TOKEN, Kind.CERTIFICATE)
    assert {each.subject for each in token.findings} == {"t.tst"}
    assert {each.subject for each in own.findings} == {f"t.tst{ITS_CERTIFICATE}"}
    assert own.dated.startswith("notBefore")
    assert {each.governed for each in own.findings if each.clause.startswith("CSBR 7")} == {date(2026, 1, 1)}


def test_a_token_without_a_certificate_has_no_second_part() -> None:
    """Who asked without certReq gets none."""
    bare = lint(tokens.octets({"bare": True}), "t.tst", Asked(NOW))
    assert [each.kind for each in bare] == [Kind.TIMESTAMP_TOKEN]
