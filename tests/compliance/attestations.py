"""Makes attestations as devices do, and signed declarations, for tests of the survey."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.pki import mint

from privyseal.compliance import declaration
from privyseal.pki import certificates, der
from privyseal.terms.signatures import ToBeSigned

ISSUER = mint.certify("Test issuing CA", mint.key("ecdsa-p256", 70), ca=True)


def subscriber(name: str, number: int, key: mint.Key | None = None) -> mint.Minted:
    """Certify a code signing key for an organisation."""
    private = key or mint.key("ecdsa-p256", 100 + number)
    names = x509.Name(
        [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name), x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")]
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(names)
        .issuer_name(ISSUER.loaded.subject)
        .public_key(private.public_key())
        .serial_number(1000 + number)
        .not_valid_before(mint.NOW)
        .not_valid_after(mint.NOW.replace(year=mint.NOW.year + 1))
        .sign(ISSUER.key, hashes.SHA256())
    )
    return mint.Minted(built.public_bytes(serialization.Encoding.DER), private)


def key_of(minted: mint.Minted) -> str:
    """Return SHA-256 of the certificate's public key."""
    return certificates.key_id(certificates.outline(minted.der).spki)


def device(number: int = 0) -> mint.Minted:
    """Make a device's own certificate, slot f9 of a YubiKey."""
    return mint.certify("Yubico PIV Attestation", mint.key("ecdsa-p256", 80 + number), ca=True)


def attestation(private: mint.Key, serial: int, vouching: mint.Minted, arc: str = "3.7") -> bytes:
    """Attest a key as a YubiKey (arc 3.7) or a YubiHSM (4.2) does."""
    own = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.41482.{arc}"), der.integer(serial))
    return mint.certify("YubiKey PIV Attestation 9a", private, vouching, extra=((own, False),)).der


def request(private: mint.Key, attested: bytes, vouching: mint.Minted, arc: str = "3.11") -> bytes:
    """Make a certificate request with an attestation inside, DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(mint.name("anybody"))
    for oid, value in ((arc, attested), ("3.2", vouching.der)):
        identifier = x509.ObjectIdentifier(f"1.3.6.1.4.1.41482.{oid}")
        builder = builder.add_extension(x509.UnrecognizedExtension(identifier, value), critical=False)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def said(name: str, **more: Any) -> declaration.Declaration:
    """Make a declaration; of an own module where nothing else is said."""
    facts = {
        "keeping": declaration.Keeping.OWN_MODULE,
        "which": "YubiKey 5 FIPS",
        "owner": declaration.Owner.SUBSCRIBER,
        "declared_at": datetime(2026, 3, 1, tzinfo=UTC),
        "order": "O-1",
    }
    return declaration.Declaration(subscriber=name, **(facts | more))


def signed(what: declaration.Declaration, by: mint.Minted | Ed25519PrivateKey) -> bytes:
    """Sign a declaration, as one line of a file."""
    octets = declaration.to_be_signed(what)
    if isinstance(by, Ed25519PrivateKey):
        signer = {"ed25519": by.public_key().public_bytes_raw()}
        value = by.sign(octets)
    else:
        signer = {"certificate": by.der}
        value = mint.sign(by.key, ToBeSigned(octets, "sha256"))
    line = {"declaration": msgspec.to_builtins(what)}
    line |= {name: base64.b64encode(each).decode() for name, each in (signer | {"signature": value}).items()}
    return json.dumps(line).encode()
