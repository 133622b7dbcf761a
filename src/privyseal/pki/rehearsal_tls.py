"""Certificates for a rehearsal's TLS: one for the service on this machine, one for its first client.

Their CA exists for a moment only: its key is thrown away, so that nobody can be let in later by stealing it. To replace
them is to bring one's own (``docs/how-to/serve-over-tls.md``).
"""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from privyseal.pki.rehearsal import MARK, key_usage

DAYS = 397
"""How long they are good; the TLS Baseline Requirements allowed 398 days until 2026-03 (6.3.2)."""

_HOSTS = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)
_Key = ec.EllipticCurvePrivateKey


class RehearsalTls(msgspec.Struct, frozen=True):
    """A CA's certificate, and certificates and keys (PKCS #8, not encrypted) of a server and a client, all PEM."""

    authority: bytes
    server: bytes
    server_key: bytes
    client: bytes
    client_key: bytes

    def __repr__(self) -> str:
        """Show no key."""
        return "RehearsalTls(...)"


def create(now: datetime) -> RehearsalTls:
    """Issue both from ``now`` on, which is aware."""
    authority, server, client = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    issuer = _name("TLS CA")
    begun = _begin(issuer, issuer, authority, now).add_extension(x509.BasicConstraints(True, 0), True)
    root = begun.add_extension(key_usage(ca=True), True).sign(authority, hashes.SHA256())
    issued = []
    for name, key, purpose in (
        ("localhost", server, ExtendedKeyUsageOID.SERVER_AUTH),
        ("rehearsal client", client, ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        begun = _begin(_name(name), issuer, key, now).add_extension(x509.BasicConstraints(False, None), True)
        begun = begun.add_extension(x509.ExtendedKeyUsage([purpose]), False).add_extension(key_usage(ca=False), True)
        begun = begun.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False)
        if key is server:
            begun = begun.add_extension(x509.SubjectAlternativeName(_HOSTS), False)
        issued.append(begun.sign(authority, hashes.SHA256()))
    pem = serialization.Encoding.PEM
    return RehearsalTls(
        root.public_bytes(pem), issued[0].public_bytes(pem), _pem(server), issued[1].public_bytes(pem), _pem(client)
    )


def _name(what: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, MARK), (NameOID.COMMON_NAME, what))
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


def _begin(subject: x509.Name, issuer: x509.Name, key: _Key, now: datetime) -> x509.CertificateBuilder:
    start = now.replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _pem(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
