"""Certificates for TLS, made by a small authority of the tests: every name and purpose free to be wrong."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC).replace(microsecond=0)
CLIENT_AUTH, SERVER_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def key_digest(key: Key) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def private_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Authority:
    """A CA that issues to anybody, under any name."""

    def __init__(self, name: str = "the tests' CA") -> None:
        self.key = new_key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = self._begin(self.name, self.key, timedelta(days=-2), timedelta(days=90))
        built = built.add_extension(x509.BasicConstraints(True, None), True)
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self.certificate = built.add_extension(usage, True).sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def _begin(self, subject: x509.Name, key: Key, since: timedelta, until: timedelta) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(NOW + since).not_valid_after(NOW + until)
        )  # fmt: skip

    def issue(
        self,
        key: Key,
        names: Sequence[str] = (),
        *,
        usages: Sequence[x509.ObjectIdentifier] = (CLIENT_AUTH,),
        authority: bool = False,
        alternatives: Sequence[x509.GeneralName] = (),
        lasts: tuple[timedelta, timedelta] = (timedelta(days=-1), timedelta(days=30)),
    ) -> x509.Certificate:
        """Issue a certificate with one commonName for each of ``names``, in force from and to these spans from now."""
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in names]
        built = self._begin(x509.Name(parts), key, *lasts)
        built = built.add_extension(x509.BasicConstraints(authority, None), True)
        aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        built = built.add_extension(aki, False)
        if usages:
            built = built.add_extension(x509.ExtendedKeyUsage(usages), False)
        if alternatives:
            built = built.add_extension(x509.SubjectAlternativeName(alternatives), not names)
        return built.sign(self.key, hashes.SHA256())

    def server(self, key: Key, **more: object) -> x509.Certificate:
        """Issue one for a server on loopback."""
        names = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        return self.issue(key, ["localhost"], usages=[SERVER_AUTH], **{"alternatives": names, **more})  # type: ignore[arg-type]


def write(folder: Path, name: str, certificate: x509.Certificate, key: Key) -> tuple[Path, Path]:
    """Write a certificate and its key as PEM files, the key for nobody else to read."""
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].touch(0o600)
    paths[1].write_bytes(private_pem(key))
    return paths


_ISSUER = Authority()


def client_certificate(
    key: Key,
    names: Sequence[str],
    *,
    usages: Sequence[x509.ObjectIdentifier] = (CLIENT_AUTH,),
    authority: bool = False,
    alternative: str | None = None,
) -> bytes:
    """Return a client certificate, DER, in force now."""
    alternatives: list[x509.GeneralName] = []
    if alternative is not None:
        alternatives = [x509.RFC822Name("ada@example.org"), x509.DNSName(alternative)]
    issued = _ISSUER.issue(key, names, usages=usages, authority=authority, alternatives=alternatives)
    return issued.public_bytes(Encoding.DER)
