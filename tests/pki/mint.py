"""Keys and certificates for tests of pki and timestamp: every field free to be wrong."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa, utils
from cryptography.x509.oid import ExtendedKeyUsageOID

from privyseal.terms.signatures import ToBeSigned

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PURE: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey,
    "ml-dsa-44": mldsa.MLDSA44PrivateKey,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey,
}
"""Schemes whose keys sign octets and no digest."""
CODE_SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING
NOW = datetime.now(UTC).replace(microsecond=0)
SCHEMES = ("rsa-3072", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521")
DIGESTS = ("sha256", "sha384", "sha512")
HASHES: dict[str, Any] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_CURVES: dict[str, Any] = {"ecdsa-p256": ec.SECP256R1, "ecdsa-p384": ec.SECP384R1, "ecdsa-p521": ec.SECP521R1}


@lru_cache
def key(scheme: str, number: int = 0) -> Key:
    """Return a key that all tests of this process share; ``number`` tells apart several of one scheme."""
    if scheme.startswith("rsa-"):
        return rsa.generate_private_key(65537, int(scheme[4:]))
    if scheme in PURE:
        return PURE[scheme].generate()
    return ec.generate_private_key(_CURVES[scheme]())


def spki(private: Key) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign(private: Key, tbs: ToBeSigned) -> bytes:
    """Sign as a key store does: PKCS#1 octets, a DER ECDSA-Sig-Value, or what a pure scheme makes of the octets."""
    if isinstance(private, tuple(PURE.values())):
        return private.sign(tbs.octets)
    algorithm = HASHES[tbs.digest_algorithm]
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(tbs.octets, ec.ECDSA(algorithm))
    if tbs.padding == "pss":
        return private.sign(tbs.octets, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
    return private.sign(tbs.octets, padding.PKCS1v15(), algorithm)


def prehashed(private: Key, digest: bytes, name: str) -> bytes:
    """Sign a digest and nothing more: what bare signing costs."""
    hashed = utils.Prehashed(HASHES[name])
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(digest, ec.ECDSA(hashed))
    return private.sign(digest, padding.PKCS1v15(), hashed)


class Minted(msgspec.Struct, frozen=True):
    """A certificate, DER, and its key."""

    der: bytes
    key: Key

    @property
    def loaded(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.der)

    @property
    def pem(self) -> bytes:
        return self.loaded.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def certify(
    subject: str,
    private: Key,
    issuer: Minted | None = None,
    *,
    ca: bool = False,
    purposes: tuple[x509.ObjectIdentifier, ...] = (),
    critical: bool = False,
    start: datetime = NOW - timedelta(days=1),
    days: float = 300,
    digest: str = "sha256",
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    key_usage: bool = True,
) -> Minted:
    """Certify a key; without an issuer it certifies itself."""
    issuer_name = name(subject) if issuer is None else issuer.loaded.subject
    issuer_key = private if issuer is None else issuer.key
    draft = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer_name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if key_usage:
        usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
        draft = draft.add_extension(usage, critical=True)
    if purposes:
        draft = draft.add_extension(x509.ExtendedKeyUsage(purposes), critical=critical)
    for value, is_critical in extra:
        draft = draft.add_extension(value, critical=is_critical)
    signed = draft.sign(issuer_key, HASHES[digest])
    return Minted(signed.public_bytes(serialization.Encoding.DER), private)


def crl(
    issuer: Minted,
    revoked: dict[int, datetime] | None = None,
    *,
    start: datetime = NOW - timedelta(hours=1),
    days: float = 10,
) -> bytes:
    """Issue a CRL, DER; ``revoked``: serial number to revocation date."""
    draft = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.loaded.subject)
        .last_update(start)
        .next_update(start + timedelta(days=days))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for serial, at in (revoked or {}).items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        draft = draft.add_revoked_certificate(entry)
    return draft.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run somebody else's tool and return what it said."""
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, errors="replace", timeout=120
    )
