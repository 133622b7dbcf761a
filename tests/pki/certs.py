"""Certificates as a test wants them: any subject, issuer, key and span, signed by whoever is named as the issuer."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
KINDS = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "L": NameOID.LOCALITY_NAME,
    "C": NameOID.COUNTRY_NAME,
    "serial": NameOID.SERIAL_NUMBER,
}
EV = "2.23.140.1.3"


@lru_cache(maxsize=32)
def key(name: str = "one") -> ec.EllipticCurvePrivateKey:
    """Return a P-256 key; the same one for the same name."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def name(text: str) -> x509.Name:
    """Return a name written as ``O=Acme, C=DE``."""
    parts = [each.split("=", 1) for each in re.split(r", (?=\w+=)", text)]
    return x509.Name([x509.NameAttribute(KINDS[kind], value) for kind, value in parts])


# Each is one thing that a certificate has.
def certificate(
    subject: str = "CN=Acme Inc., O=Acme Inc., C=US",
    issuer: str = "CN=Signing CA, O=Trust",
    *,
    of: str = "one",
    begin: datetime = BEGIN,
    days: int = 459,
    ev: bool = False,
    purposes: tuple[str, ...] = ("1.3.6.1.5.5.7.3.3",),
) -> bytes:
    """Return a certificate, DER."""
    draft = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key(of).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(each) for each in purposes]), critical=False)
    )
    if ev:
        policy = x509.PolicyInformation(ObjectIdentifier(EV), None)
        draft = draft.add_extension(x509.CertificatePolicies([policy]), critical=False)
    return draft.sign(key("issuer"), hashes.SHA256()).public_bytes(Encoding.DER)


TLS = str(ExtendedKeyUsageOID.SERVER_AUTH.dotted_string)
"""The purpose of a TLS server's certificate."""
