"""OCSP responses from a case's words, made with ``cryptography``.

The words of ``subject``, all of which may be left out:

``this_update``   a time; 2026-06-20T00:00:00Z unless said otherwise
``days``, ``months``, ``seconds``   from thisUpdate to nextUpdate; 4 days unless said otherwise
``no_next``       true: it names no nextUpdate
``covers``        ``code-signing`` (default), ``timestamp``, ``subordinate-ca``, or ``unknown``: what its reader knows
``serial``, ``status``, ``reason``   what it says of which certificate: 7, ``good`` unless said otherwise
``signer``        ``issuer``, ``delegated`` (default), ``stranger`` (another CA's responder), ``forged`` (its signature
                  is none)
``lacks``         what the delegated responder's certificate does not have: ``["nocheck", "OCSPSigning"]``
``bare``          true: it carries no certificate
``issuer_given``  false: the issuing CA's certificate is not at hand
``next_issued``   a time: thisUpdate of the response that followed
``on_crl``        serial numbers on the issuer's CRL
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.compliance.builders.crl import later

from privyseal.compliance.crl import Covers
from privyseal.compliance.ocsp import Beside, StatusResponse, read

DEFAULT = datetime(2026, 6, 20, tzinfo=UTC)
_WORDS = {
    *("this_update", "days", "months", "seconds", "no_next", "covers", "serial", "status", "reason", "signer", "lacks"),
    *("bare", "issuer_given", "next_issued", "on_crl"),
}


def build(words: dict[str, Any]) -> StatusResponse:
    """Make the response and read it; KeyError or ValueError for a word that is not known."""
    covers = words.get("covers", "code-signing")
    beside = Beside(
        covers=None if covers == "unknown" else Covers(covers),
        issuer=authority("Issuing CA")[1].public_bytes(Encoding.DER) if words.get("issuer_given", True) else None,
        next_issued=words.get("next_issued"),
        on_crl=frozenset(words["on_crl"]) if "on_crl" in words else None,
    )
    return read(octets(words), "case", beside)


def octets(words: dict[str, Any]) -> bytes:
    """Make the response's DER."""
    if unknown := set(words) - _WORDS:
        raise ValueError(f"an OCSP response has no {sorted(unknown)}")
    start = words.get("this_update", DEFAULT)
    status = ocsp.OCSPCertStatus[words.get("status", "good").upper()]
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    key, signer = _signer(words)
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificate(words.get("serial", 7)),
        authority("Issuing CA")[1],
        hashes.SHA1(),  # noqa: S303 - name and key are compared by it; every client asks so
        status,
        start,
        None if words.get("no_next") else later(start, words, days=4),
        start - timedelta(days=1) if revoked else None,
        x509.ReasonFlags(words["reason"]) if "reason" in words else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
    if not words.get("bare"):
        builder = builder.certificates([signer])
    made = builder.sign(key, hashes.SHA256())
    whole = made.public_bytes(Encoding.DER)
    if words.get("signer") == "forged":
        value = made.signature
        return whole.replace(value, value[:-1] + bytes((value[-1] ^ 1,)))
    return whole


def _signer(words: dict[str, Any]) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    who = words.get("signer", "delegated")
    if who == "issuer":
        return authority("Issuing CA")
    issuer = {"delegated": "Issuing CA", "forged": "Issuing CA", "stranger": "Other CA"}[who]
    return responder(issuer, tuple(words.get("lacks", ())))


@cache
def responder(issuer: str, lacks: tuple[str, ...]) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    ca_key, ca = authority(issuer)
    builder = _builder("Responder", ca.subject, key.public_key(), 99)
    if "OCSPSigning" not in lacks:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
    if "nocheck" not in lacks:
        builder = builder.add_extension(x509.OCSPNoCheck(), False)
    return key, builder.sign(ca_key, hashes.SHA256())


@cache
def authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, _name(name), key.public_key(), 1)
    return key, builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())


@cache
def certificate(serial: int) -> x509.Certificate:
    key, ca = authority("Issuing CA")
    return _builder("Acme Ltd", ca.subject, key.public_key(), serial).sign(key, hashes.SHA256())


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int) -> x509.CertificateBuilder:
    start = datetime(2019, 1, 1, tzinfo=UTC)
    return x509.CertificateBuilder(issuer, _name(name), key, serial, start, start + timedelta(days=7300))


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
