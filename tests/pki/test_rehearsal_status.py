"""OCSP by the rehearsal CA's responder: OpenSSL believes it, the Requirements are met, strangers learn nothing."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from tests.pki import mint
from tests.pki.mint import NOW

from privyseal.compliance.lint import lint
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.pki import certificates
from privyseal.pki.rehearsal import MARK, RESPONDER_DAYS, RehearsalAuthority
from privyseal.pki.rehearsal_status import LARGEST_REQUEST, Known, Responder

SHA1 = hashes.SHA1()  # noqa: S303 - by which OpenSSL names an issuer where it is not told otherwise
DER = serialization.Encoding.DER
LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="module")
def leaf(authority: RehearsalAuthority) -> x509.Certificate:
    """Return a code signing certificate."""
    return certificates.load(authority.issue_code_signing(mint.spki(mint.key("ecdsa-p256")), "Example GmbH", NOW))


@pytest.fixture(scope="module")
def responder(authority: RehearsalAuthority) -> Responder:
    """Return a responder that nobody changes."""
    return Responder(authority, NOW)


def asked(
    authority: RehearsalAuthority,
    one: x509.Certificate,
    nonce: bytes = b"",
    algorithm: hashes.HashAlgorithm | None = None,
) -> bytes:
    """Return an OCSP request, DER."""
    issuer = next(each for each in authority.certificates().values() if each.subject == one.issuer)
    draft = ocsp.OCSPRequestBuilder().add_certificate(one, issuer, algorithm or SHA1)
    if nonce:
        draft = draft.add_extension(x509.OCSPNonce(nonce), critical=False)
    return draft.build().public_bytes(DER)


def told(responder: Responder, request: bytes, known: Known | None) -> ocsp.OCSPResponse:
    """Return what the responder says where the register has this of every serial number."""
    return ocsp.load_der_ocsp_response(responder.answer(request, lambda serial: known, LATER))


GOOD = Known("code-signing")
REVOKED = Known("code-signing", NOW, "keyCompromise")


@pytest.mark.parametrize("algorithm", [SHA1, hashes.SHA256()], ids=lambda each: each.name)
@pytest.mark.parametrize(("known", "says"), [(GOOD, "good"), (REVOKED, "revoked"), (None, "unknown")])
def test_openssl_and_gnutls_believe_it(
    authority: RehearsalAuthority,
    responder: Responder,
    leaf: x509.Certificate,
    tmp_path: Path,
    known: Known | None,
    says: str,
    algorithm: hashes.HashAlgorithm,
) -> None:
    """Their own request, with a nonce, answered; the responder verified by way of the CA up to the root."""
    files = {
        "ca.pem": authority.anchors_pem(),
        "issuer.pem": certificates.pem(authority.code_signing_issuer),
        "leaf.pem": certificates.pem(leaf.public_bytes(DER)),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = [
        "openssl",
        "ocsp",
        f"-{algorithm.name}",
        "-issuer",
        tmp_path / "issuer.pem",
        "-cert",
        tmp_path / "leaf.pem",
    ]
    assert mint.run(*command, "-nonce", "-reqout", tmp_path / "request.der", "-no_cert_checks").returncode == 0
    response = responder.answer((tmp_path / "request.der").read_bytes(), lambda serial: known, LATER)
    (tmp_path / "response.der").write_bytes(response)
    trust = ["-respin", tmp_path / "response.der", "-CAfile", tmp_path / "ca.pem"]
    trust += ["-verify_other", tmp_path / "issuer.pem"]
    trust += ["-attime", str(int(LATER.timestamp())), "-validity_period", str(10**9)]
    whole = mint.run("openssl", "ocsp", "-reqin", tmp_path / "request.der", *trust)
    assert "Response verify OK" in whole.stderr and "WARNING" not in whole.stderr, whole.stderr  # the nonce is the one
    done = mint.run(*command, "-no_nonce", *trust)
    assert "Response verify OK" in done.stderr and f"leaf.pem: {says}" in done.stdout, done.stderr
    assert ("keyCompromise" in done.stdout) == (says == "revoked")
    looked = mint.run("ocsptool", "--response-info", "--load-response", tmp_path / "response.der")
    assert f"Certificate Status: {says}" in looked.stdout and "Response Status: Successful" in looked.stdout


def test_the_requirements_are_met(authority: RehearsalAuthority, responder: Responder, leaf: x509.Certificate) -> None:
    """Of the response by our rules and pkilint's, and of the responder's certificate by pkilint's."""
    response = responder.answer(asked(authority, leaf), lambda serial: GOOD, LATER)
    issuers = [authority.code_signing_issuer, authority.root]
    judged = lint(response, "response", Asked(LATER, {}), issuers=issuers)
    own = ocsp.load_der_ocsp_response(response).certificates[0].public_bytes(DER)
    judged += lint(own, "responder", Asked(LATER, {}), issuers=issuers)
    bad = [each for one in judged for each in one.findings if each.verdict in (Verdict.NOT_MET, Verdict.BROKEN)]
    assert not bad, [(each.requirement, each.text) for each in bad]
    assert any(each.verdict is Verdict.MET for one in judged for each in one.findings)


def test_the_responder_is_short_lived_and_marked(
    authority: RehearsalAuthority, responder: Responder, leaf: x509.Certificate
) -> None:
    """RFC 6960 4.2.2.2: for OCSP signing only, by the CA itself, with nocheck; anew after half its life."""
    own = told(responder, asked(authority, leaf), GOOD).certificates[0]
    assert MARK in own.subject.rfc4514_string()
    assert (own.not_valid_after_utc - own.not_valid_before_utc) < timedelta(days=RESPONDER_DAYS)
    assert responder.fresh(NOW + timedelta(days=3)) and not responder.fresh(NOW + timedelta(days=4))
    own.verify_directly_issued_by(certificates.load(authority.code_signing_issuer))


def test_a_nonce_is_given_back_and_a_strange_one_refused(
    authority: RehearsalAuthority, responder: Responder, leaf: x509.Certificate
) -> None:
    """RFC 9654 2.1: 1 to 32 octets."""
    answer = told(responder, asked(authority, leaf, b"n" * 32), GOOD)
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
    assert not list(told(responder, asked(authority, leaf), GOOD).extensions)
    refused = told(responder, asked(authority, leaf, b"n" * 33), GOOD)
    assert refused.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_each_ca_speaks_for_its_own_only(
    authority: RehearsalAuthority, responder: Responder, leaf: x509.Certificate
) -> None:
    """A number that another CA issued is unknown here; a CA that is none of the three is unauthorized."""
    answer = told(responder, asked(authority, leaf), Known("timestamping"))
    assert answer.certificate_status is ocsp.OCSPCertStatus.UNKNOWN
    above = certificates.load(authority.code_signing_issuer)
    answer = told(responder, asked(authority, above), Known("root"))
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
    draft = ocsp.OCSPRequestBuilder().add_certificate_by_hash(b"x" * 20, b"y" * 20, 7, SHA1)
    answer = told(responder, draft.build().public_bytes(DER), GOOD)
    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"\x00" * 100, b"\x30" * (LARGEST_REQUEST + 1)])
def test_what_is_no_request_is_malformed(responder: Responder, octets: bytes) -> None:
    assert told(responder, octets, GOOD).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_a_thousand_broken_requests_each_get_a_response(
    authority: RehearsalAuthority, responder: Responder, leaf: x509.Certificate
) -> None:
    """Octets changed, cut off and doubled, by a seed: never anything raised."""
    whole, draw = asked(authority, leaf, b"nonce"), random.Random(6960)
    for _ in range(1000):
        broken = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        cut = bytes(broken[: draw.randint(1, len(broken))]) if draw.random() < 0.3 else bytes(broken)
        assert told(responder, cut, GOOD).response_status in ocsp.OCSPResponseStatus
