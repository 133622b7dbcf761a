"""Certificates, public keys and signature values: what can be said of each alone, without a chain.

The hot path of signing (750 signatures a second on two cores) comes through :func:`verify` and :func:`outline`: loaded
keys, outlines and algorithm objects are kept, in caches that hostile certificates can fill with some 20 MiB at most.
Nothing here imports asn1crypto or pyhanko-certvalidator, and ``cryptography.x509`` only what asks for names or
extensions (``loaders.py``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa, utils

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import algorithms, der, extensions, loaders
from privyseal.terms.certificates import Certificate
from privyseal.terms.signatures import SCHEMES, DigestAlgorithm, Family, Scheme, ToBeSigned

MAX_CERTIFICATE_OCTETS = 64 << 10
"""Octets of one certificate; code signing has 2 KiB, OpenSSL's SSL_MAX_CERT_LIST_DEFAULT allows a chain 100 KiB."""
MAX_KEY_OCTETS = 4 << 10
"""Octets of a SubjectPublicKeyInfo; one of RSA with 16384 bits, OpenSSL's largest, has 2,100."""
MAX_PEM_CERTIFICATES = 1000
"""Certificates in one PEM file; the largest root programme has about 500."""

HASHES: dict[DigestAlgorithm, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
"""Digests as ``cryptography`` has them."""
_DIGESTS = {name: getattr(hashlib, name) for name in HASHES}
_PKCS1 = padding.PKCS1v15()
_PREHASHED = {name: utils.Prehashed(algorithm) for name, algorithm in HASHES.items()}
_MGF1 = {name: padding.MGF1(algorithm) for name, algorithm in HASHES.items()}
_CURVES = {"secp256r1": "ecdsa-p256", "secp384r1": "ecdsa-p384", "secp521r1": "ecdsa-p521"}
_Pure = ed25519.Ed25519PublicKey | mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | _Pure
"""Public keys of every kind that a Scheme is of."""
_PURE: dict[type, str] = {
    ed25519.Ed25519PublicKey: "ed25519",
    mldsa.MLDSA44PublicKey: "ml-dsa-44",
    mldsa.MLDSA65PublicKey: "ml-dsa-65",
    mldsa.MLDSA87PublicKey: "ml-dsa-87",
}
_BLOCK = re.compile(rb"-----BEGIN (X509 )?CERTIFICATE-----([^-]{1,200000})-----END (X509 )?CERTIFICATE-----")


@lru_cache(maxsize=1)
def unreadable() -> tuple[type[Exception], ...]:
    """Return all that ``cryptography`` raises over a certificate or CRL that it cannot read, for an ``except``."""
    from cryptography import x509  # whoever raises one of its errors has imported it

    return (
        ValueError,
        TypeError,
        OverflowError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    )


class Outline(msgspec.Struct, frozen=True):
    """The parts of a certificate that a CMS signature refers to, each the raw element as it stands (RFC 5280 4.1)."""

    serial: int
    issuer: bytes
    subject: bytes
    spki: bytes
    serial_element: bytes


@lru_cache(maxsize=128)
def outline(certificate: bytes) -> Outline:
    """Cut a DER certificate into the parts of its outline; BadInput if it is not shaped like one."""
    return _behind_key(certificate)[0]


def _behind_key(certificate: bytes) -> tuple[Outline, der.Fields]:
    """Return the outline, and the fields that follow it."""
    fields = _parts_of(certificate).fields
    serial = fields.take(der.INTEGER)
    fields.take(der.SEQUENCE)
    issuer = fields.take(der.SEQUENCE)
    fields.take(der.SEQUENCE)
    subject = fields.take(der.SEQUENCE)
    spki = fields.take(der.SEQUENCE)
    return Outline(der.integer_of(serial), issuer.raw, subject.raw, spki.raw, serial.raw), fields


class _Parts(NamedTuple):
    content: der.Element
    algorithm: der.Element
    value: der.Element
    fields: der.Fields
    """Those of the content, from the serial number on."""


def _parts_of(certificate: bytes) -> _Parts:
    whole = der.Fields(der.read(certificate, MAX_CERTIFICATE_OCTETS), "A certificate")
    content, algorithm, value = whole.take(der.SEQUENCE), whole.take(der.SEQUENCE), whole.take(der.BIT_STRING)
    whole.end()
    fields = der.Fields(content, "A certificate's content")
    fields.maybe(0xA0)
    return _Parts(content, algorithm, value, fields)


@lru_cache(maxsize=128)
def read(certificate: bytes) -> Certificate:
    """Read a DER certificate; BadInput if it cannot be understood."""
    parts = outline(certificate)
    loaded = load(certificate)
    try:
        return Certificate(
            der=certificate,
            fingerprint=hashlib.sha256(certificate).hexdigest(),
            subject=loaded.subject.rfc4514_string(),
            issuer=loaded.issuer.rfc4514_string(),
            serial=f"{parts.serial:X}",
            not_before=loaded.not_valid_before_utc,
            not_after=loaded.not_valid_after_utc,
            key_id=key_id(parts.spki),
        )
    except unreadable() as error:
        raise BadInput(f"The certificate's names or dates cannot be read: {error}.") from None


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """Return from when to when a DER certificate is valid, both ends included, read from the octets alone.

    BadInput if it cannot be understood.
    """
    fields = _parts_of(certificate).fields
    fields.take(der.INTEGER)
    fields.take(der.SEQUENCE)
    fields.take(der.SEQUENCE)
    times = der.Fields(fields.take(der.SEQUENCE), "A certificate's validity")
    first, last = der.time_of(times.take()), der.time_of(times.take())
    times.end()
    return first, last


def signs_itself(certificate: bytes) -> bool:
    """Tell whether a DER certificate's own key has signed it; BadInput if it cannot be understood.

    RSA (PKCS #1) and ECDSA with SHA-2 are checked on the octets alone, all else by ``cryptography``.
    """
    if (parts := outline(certificate)).issuer != parts.subject:
        return False
    content, algorithm, value, fields = _parts_of(certificate)
    fields.take(der.INTEGER)
    named = der.oid_of(der.Fields(algorithm, "A signature algorithm").take(der.OID))
    digest = algorithms.digest_with(named, family_of(parts.spki))
    try:
        if digest is None:
            loaded = load(certificate)
            loaded.verify_directly_issued_by(loaded)
            return True
        if fields.take(der.SEQUENCE).raw != algorithm.raw:
            return False
        verify_digest(parts.spki, digest, _DIGESTS[digest](content.raw).digest(), der.bits_of(value))
    except (InvalidSignature, VerificationFailed, TypeError, ValueError, UnsupportedAlgorithm):
        return False
    return True


def load(certificate: bytes) -> loaders.Certificate:
    """Load a DER certificate into ``cryptography``'s class; BadInput if it refuses it."""
    if len(certificate) > MAX_CERTIFICATE_OCTETS:
        raise BadInput(f"A certificate has {len(certificate)} octets; at most {MAX_CERTIFICATE_OCTETS} are read.")
    try:
        return loaders.load_der_x509_certificate(certificate)
    except unreadable() as error:
        raise BadInput(f"The certificate cannot be read: {error}.", hint="expected X.509 in DER") from None


@lru_cache(maxsize=64)
def subject_key_identifier(certificate: bytes) -> bytes | None:
    """Return the subjectKeyIdentifier of a DER certificate, or None if it has none."""
    from cryptography import x509  # see loaders.py

    try:
        return load(certificate).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None
    except unreadable():
        return None


def authority_key_identifier(certificate: bytes) -> bytes | None:
    """Return the keyIdentifier of a DER certificate's authorityKeyIdentifier, or None if it has none."""
    from cryptography import x509  # see loaders.py

    try:
        return load(certificate).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None
    except unreadable():
        return None


def common_name(certificate: bytes) -> str:
    """Return the last commonName of a DER certificate's subject, or the empty string if it has none."""
    from cryptography import x509  # see loaders.py

    loaded = load(certificate)
    try:
        names = loaded.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except unreadable() as error:
        raise BadInput(f"The certificate's subject cannot be read: {error}.") from None
    return str(names[-1].value) if names else ""


def purposes(certificate: bytes) -> tuple[str, ...]:
    """Return what a DER certificate's extendedKeyUsage says, dotted (RFC 5280 4.2.1.12); empty where there is none.

    Read from the octets alone. BadInput where they cannot be understood.
    """
    fields = _behind_key(certificate)[1]
    fields.maybe(0x81)  # issuerUniqueID
    fields.maybe(0x82)
    if (stated := fields.maybe(0xA3)) is None:
        return ()
    found = extensions.read_extensions(der.read(stated.content))
    values = [each.value for each in found if each.oid == extensions.EXTENDED_KEY_USAGE]
    return extensions.extended_key_usage_of(values[0]) if values else ()


@lru_cache(maxsize=128)
def organisation(certificate: bytes) -> str | None:
    """Return the one organizationName of a DER certificate's subject; None where it has none, or more than one."""
    from cryptography import x509  # see loaders.py

    try:
        names = load(certificate).subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    except unreadable():
        return None
    return str(names[0].value) if len(names) == 1 else None


def pem_certificates(text: bytes) -> list[bytes]:
    """Return the DER of every certificate in a PEM file, in order; BadInput if there is none or one is broken."""
    found: list[bytes] = []
    for block in _BLOCK.finditer(text):
        if len(found) == MAX_PEM_CERTIFICATES:
            raise BadInput(f"The PEM file holds more than {MAX_PEM_CERTIFICATES} certificates; that many are read.")
        try:
            found.append(base64.b64decode(b"".join(block[2].split()), validate=True))
        except binascii.Error:
            raise BadInput(f"Certificate {len(found) + 1} of the PEM file is not base64.") from None
        outline(found[-1])
    if not found:
        raise BadInput("No certificate was found.", hint='expected PEM text with "-----BEGIN CERTIFICATE-----"')
    return found


def pem(certificate: bytes) -> bytes:
    """Return a DER certificate as PEM text (RFC 7468)."""
    body = base64.b64encode(certificate)
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


def key_id(spki: bytes) -> str:
    """Return SHA-256 of a SubjectPublicKeyInfo, 64 lower-case hex digits."""
    return hashlib.sha256(spki).hexdigest()


@lru_cache(maxsize=512)
def public_key(spki: bytes) -> PublicKey:
    """Load a DER SubjectPublicKeyInfo: RSA, on an elliptic curve, Ed25519, or ML-DSA; BadInput for any other."""
    if len(spki) > MAX_KEY_OCTETS:
        raise BadInput(f"The public key has {len(spki)} octets; at most {MAX_KEY_OCTETS} are read.")
    try:
        loaded = loaders.load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput(f"The public key cannot be read: {error}.") from None
    if isinstance(loaded, PublicKey):
        return loaded
    raise BadInput("The public key is of another kind than RSA, elliptic curve, Ed25519 and ML-DSA.")


def scheme_of(spki: bytes) -> Scheme:
    """Return the Scheme of a DER SubjectPublicKeyInfo; BadInput if it is none of ``SCHEMES``."""
    loaded = public_key(spki)
    if isinstance(loaded, rsa.RSAPublicKey):
        name = f"rsa-{loaded.key_size}"
    elif isinstance(loaded, ec.EllipticCurvePublicKey):
        name = _CURVES.get(loaded.curve.name, loaded.curve.name)
    else:
        name = next(name for kind, name in _PURE.items() if isinstance(loaded, kind))
    if name not in SCHEMES:
        raise BadInput(f"A key of kind {name} is not spoken here.", hint="expected one of " + ", ".join(SCHEMES))
    return SCHEMES[name]


def family_of(spki: bytes) -> Family:
    """Return the family of a DER SubjectPublicKeyInfo of any size, also one that no Scheme allows."""
    loaded = public_key(spki)
    if isinstance(loaded, rsa.RSAPublicKey):
        return Family.RSA
    return Family.ECDSA if isinstance(loaded, ec.EllipticCurvePublicKey) else scheme_of(spki).family


def signature_digest(certificate: bytes) -> DigestAlgorithm:
    """Return the digest under a DER certificate's signature; BadInput if it is not SHA-256, SHA-384 or SHA-512."""
    try:
        algorithm = load(certificate).signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    for name, known in HASHES.items():
        if algorithm is not None and algorithm.name == known.name:
            return name
    raise BadInput("The certificate is not signed with SHA-256, SHA-384 or SHA-512.")


def verify(spki: bytes, tbs: ToBeSigned, value: bytes) -> None:
    """Check a signature value; VerificationFailed if it is not that key's over those octets.

    ``value`` is as in :class:`~privyseal.terms.signatures.Signature`. PSS means MGF1 with the same hash and a salt as
    long as the digest (RFC 4055 3.1). BadInput if the key is of no kind we know.
    """
    if (whole := _check_of_octets(spki)) is not None:
        try:
            return whole(value, tbs.octets)
        except (InvalidSignature, ValueError):
            raise _not_its_own(spki) from None
    digest = _DIGESTS[tbs.digest_algorithm](tbs.octets).digest()
    salt = len(digest) if tbs.padding == "pss" else None
    verify_digest(spki, tbs.digest_algorithm, digest, value, salt)


def verify_all(spki: bytes, tbs: Sequence[ToBeSigned], values: Sequence[bytes]) -> None:
    """Check as many values, each as :func:`verify`; between two checks, where threads change, as little as can be."""
    if _check_of_octets(spki) is not None or any(one.padding == "pss" for one in tbs):
        for one, value in zip(tbs, values, strict=True):
            verify(spki, one, value)
        return
    digests = [_DIGESTS[one.digest_algorithm](one.octets).digest() for one in tbs]
    checks = [_check_of(spki, one.digest_algorithm, None) for one in tbs]
    try:
        for check, digest, value in zip(checks, digests, values, strict=True):
            check(value, digest)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        raise _not_its_own(spki) from None


def verify_digest(
    spki: bytes, algorithm: DigestAlgorithm, digest: bytes, value: bytes, pss_salt: int | None = None
) -> None:
    """Check a signature value over a digest; ``pss_salt``, octets, makes it RSASSA-PSS. Raises as :func:`verify`.

    BadInput also for a key of a pure scheme, which signs no digests.
    """
    try:
        _check_of(spki, algorithm, pss_salt)(value, digest)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        raise _not_its_own(spki) from None


def _not_its_own(spki: bytes) -> VerificationFailed:
    return VerificationFailed(f"The signature value does not verify under the key {key_id(spki)[:16]}….")


@lru_cache(maxsize=512)
def _check_of_octets(spki: bytes) -> Callable[[bytes, bytes], None] | None:
    """Return the check of a signature value over octets for a key of a pure scheme; None for one that signs digests."""
    loaded = public_key(spki)
    return None if isinstance(loaded, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) else loaded.verify


# The same key and way, a hundred times in one request: looking them up costs as much as hashing.
@lru_cache(maxsize=512)
def _check_of(spki: bytes, algorithm: DigestAlgorithm, pss_salt: int | None) -> Callable[[bytes, bytes], None]:
    """Return the check of a signature value over a digest, which raises what ``cryptography`` does."""
    loaded = public_key(spki)
    if isinstance(loaded, ec.EllipticCurvePublicKey):
        curve, way = loaded, ec.ECDSA(_PREHASHED[algorithm])
        return lambda value, digest: curve.verify(value, digest, way)
    if not isinstance(loaded, rsa.RSAPublicKey):
        raise BadInput("A digest was to be verified under a key that signs no digests.")
    key, hashed = loaded, _PREHASHED[algorithm]
    padded = _PKCS1 if pss_salt is None else padding.PSS(_MGF1[algorithm], pss_salt)
    return lambda value, digest: key.verify(value, digest, padded, hashed)
