"""Certificates as devices write them: cut leniently where devices are known to err, verified over their own octets.

Known errors: a Luna writes the two numbers of an ECDSA signature without the zero octet that keeps them positive, so
they read as negative in DER; its serial numbers and name forms are refused by strict parsers as well. Nothing is ever
encoded anew to be verified, only the two numbers of such a signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from msgspec import Struct

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import certificates, der

MOST_EXTENSIONS = 64
"""Extensions of one certificate, twice what the fullest web certificate has."""

BASIC_CONSTRAINTS = "2.5.29.19"
KEY_USAGE = "2.5.29.15"
EXTENDED_KEY_USAGE = "2.5.29.37"
"""Extensions that decide who may issue what (RFC 5280 4.2.1.9, 4.2.1.3, 4.2.1.12), dotted."""
_COMMON_NAME = "2.5.4.3"
_KEY_CERT_SIGN = 0x04  # bit 5 of keyUsage, RFC 5280 4.2.1.3

_SHA1_WITH_RSA = "1.2.840.113549.1.1.5"
_RSA: Mapping[str, hashes.HashAlgorithm] = {
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
_ECDSA: Mapping[str, hashes.HashAlgorithm] = {
    "1.2.840.10045.4.3.2": hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
}
_ED25519 = "1.3.101.112"

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
"""The kinds of keys with which devices and their makers sign."""


class Extension(Struct, frozen=True):
    """One extension: whether it is critical, and the octets in its OCTET STRING."""

    critical: bool
    value: bytes


class Algorithm(Struct, frozen=True):
    """A signature's AlgorithmIdentifier as it stands."""

    oid: str
    parameters: bytes | None
    """One raw element."""


class DeviceCertificate(Struct, frozen=True, kw_only=True):
    """The parts of one certificate as they stand (RFC 5280 4.1)."""

    der: bytes
    to_be_signed: bytes
    issuer: bytes
    subject: bytes
    spki: bytes
    not_before: datetime
    not_after: datetime
    algorithm: Algorithm
    signature: bytes
    extensions: dict[str, Extension]
    """By dotted OID."""

    @property
    def fingerprint(self) -> str:
        """Return SHA-256 of the certificate, 64 lower-case hex digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def name(self) -> str:
        """Return the last commonName of the subject, or the beginning of the fingerprint, for people."""
        return common_name(self.subject) or self.fingerprint[:16]

    @property
    def may_issue(self) -> bool:
        """Tell whether it is a CA's that may sign certificates (RFC 5280 4.2.1.9, 4.2.1.3)."""
        usage = self.extensions.get(KEY_USAGE)
        if usage is not None and not der.bits_of(der.read(usage.value, 16))[:1].ljust(1, b"\0")[0] & _KEY_CERT_SIGN:
            return False
        return self._constraints()[0]

    @property
    def is_ca(self) -> bool:
        """Tell whether it calls itself a CA's (RFC 5280 4.2.1.9)."""
        return self._constraints()[0]

    @property
    def path_length(self) -> int | None:
        """Return how many CAs may stand between it and a leaf; None for any number."""
        return self._constraints()[1]

    def _constraints(self) -> tuple[bool, int | None]:
        held = self.extensions.get(BASIC_CONSTRAINTS)
        if held is None:
            return False, None
        fields = der.Fields(der.read(held.value, 64), "The basicConstraints")
        flag, length = fields.maybe(der.BOOLEAN), fields.maybe(der.INTEGER)
        fields.end()
        return flag is not None and der.boolean_of(flag), None if length is None else der.integer_of(length)

    def purposes(self) -> tuple[str, ...]:
        """Return the extended key usages, dotted OIDs; none where there is no such extension."""
        held = self.extensions.get(EXTENDED_KEY_USAGE)
        if held is None:
            return ()
        return tuple(map(der.oid_of, der.children(der.read(held.value, 1024), 32)))


@lru_cache(maxsize=128)
def read(octets: bytes) -> DeviceCertificate:
    """Cut a DER certificate into its parts; BadInput where it is not shaped like one."""
    outer = der.Fields(der.read(octets, certificates.MAX_CERTIFICATE_OCTETS), "A certificate")
    content, algorithm, signature = outer.take(der.SEQUENCE), outer.take(der.SEQUENCE), outer.take(der.BIT_STRING)
    outer.end()
    fields = der.Fields(content, "A certificate's content")
    fields.maybe(0xA0)
    fields.take(der.INTEGER)
    if fields.take(der.SEQUENCE).raw != algorithm.raw:
        raise BadInput("A certificate names two different signature algorithms (RFC 5280 4.1.1.2).")
    issuer = fields.take(der.SEQUENCE)
    dates = der.Fields(fields.take(der.SEQUENCE), "A certificate's validity")
    not_before, not_after = der.time_of(dates.take()), der.time_of(dates.take())
    dates.end()
    subject, spki = fields.take(der.SEQUENCE), fields.take(der.SEQUENCE)
    fields.maybe(0x81)
    fields.maybe(0x82)
    held = fields.maybe(0xA3)
    fields.end()
    return DeviceCertificate(
        der=octets,
        to_be_signed=content.raw,
        issuer=issuer.raw,
        subject=subject.raw,
        spki=spki.raw,
        not_before=not_before,
        not_after=not_after,
        algorithm=algorithm_of(algorithm),
        signature=whole_octets_of(signature),
        extensions={} if held is None else extensions_of(der.Fields(held, "Extensions", 0xA3).take(der.SEQUENCE)),
    )


def algorithm_of(element: der.Element) -> Algorithm:
    """Return an AlgorithmIdentifier as it stands; BadInput where it is none."""
    fields = der.Fields(element, "An AlgorithmIdentifier")
    return Algorithm(der.oid_of(fields.take(der.OID)), fields.rest())


def whole_octets_of(element: der.Element) -> bytes:
    """Return the octets of a BIT STRING, as which signatures come: no bit may be unused."""
    if element.content[:1] != b"\0":
        raise BadInput("A signature does not have a whole number of octets.")
    return der.bits_of(element)


def extensions_of(element: der.Element) -> dict[str, Extension]:
    """Return Extensions by their OID (RFC 5280 4.1); BadInput where one stands there twice."""
    found: dict[str, Extension] = {}
    for each in der.children(element, MOST_EXTENSIONS):
        fields = der.Fields(each, "An extension")
        oid = der.oid_of(fields.take(der.OID))
        critical = fields.maybe(der.BOOLEAN)
        value = der.octets_of(fields.take(der.OCTET_STRING))
        fields.end()
        if oid in found:
            raise BadInput(f"The extension {oid} stands twice in one certificate.")
        found[oid] = Extension(critical is not None and der.boolean_of(critical), value)
    return found


def common_name(name: bytes) -> str:
    """Return the last commonName of a DER Name, which need not be one that strict parsers take; empty if none."""
    found = ""
    for relative in der.children(der.read(name, certificates.MAX_CERTIFICATE_OCTETS)):
        for pair in der.children(relative):
            parts = der.children(pair)
            if len(parts) == 2 and der.oid_of(parts[0]) == _COMMON_NAME:
                found = parts[1].content.decode("utf-8", "replace")
    return found[:200]


# -- signatures --------------------------------------------------------------------------------------------------------
def verify(spki: bytes, algorithm: Algorithm, signature: bytes, octets: bytes, *, outdated: bool = False) -> None:
    """Check a signature over octets as they stand; VerificationFailed where it is wrong or of a kind not taken.

    RSA with PKCS #1 v1.5, ECDSA and Ed25519, with SHA-2. ``outdated`` takes RSA with SHA-1 as well: for telling whether
    a certificate is damaged, never for trusting it. BadInput where the key cannot be read.
    """
    key = load(spki)
    if algorithm.parameters not in (None, der.null()):
        raise VerificationFailed(f"The signature algorithm {algorithm.oid} has parameters; none or NULL was expected.")
    try:
        _check(key, algorithm.oid, signature, octets, outdated=outdated)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        raise VerificationFailed(f"A signature does not verify under the key {spki_name(spki)}.") from None


def _check(key: PublicKey, oid: str, signature: bytes, octets: bytes, *, outdated: bool) -> None:
    if isinstance(key, rsa.RSAPublicKey) and oid in _RSA:
        key.verify(signature, octets, padding.PKCS1v15(), _RSA[oid])
    elif isinstance(key, rsa.RSAPublicKey) and oid == _SHA1_WITH_RSA and outdated:
        key.verify(signature, octets, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - see outdated
    elif isinstance(key, ec.EllipticCurvePublicKey) and oid in _ECDSA:
        key.verify(unsigned(signature, key.key_size), octets, ec.ECDSA(_ECDSA[oid]))
    elif isinstance(key, ed25519.Ed25519PublicKey) and oid == _ED25519:
        key.verify(signature, octets)
    else:
        raise VerificationFailed(f"A signature of the kind {oid} does not go with its key, or is not taken here.")


def unsigned(signature: bytes, bits: int) -> bytes:
    """Return an ECDSA signature value with its two numbers read as positive, in DER; BadInput where it is none."""
    fields = der.Fields(der.read(signature, 1024), "An ECDSA signature")
    numbers = [fields.take(der.INTEGER).content, fields.take(der.INTEGER).content]
    fields.end()
    if any(not 0 < len(each) <= bits // 8 + 2 for each in numbers):
        raise BadInput("The numbers of an ECDSA signature are longer than its curve's.")
    return utils.encode_dss_signature(*(int.from_bytes(each, "big") for each in numbers))


@lru_cache(maxsize=128)
def load(spki: bytes) -> PublicKey:
    """Load a DER SubjectPublicKeyInfo: RSA, on an elliptic curve, or Ed25519; BadInput for any other."""
    if len(spki) > certificates.MAX_KEY_OCTETS:
        raise BadInput(f"A public key has {len(spki)} octets; at most {certificates.MAX_KEY_OCTETS} are read.")
    try:
        loaded = serialization.load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput(f"A public key cannot be read: {error}.") from None
    if isinstance(loaded, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return loaded
    raise BadInput("A public key is neither RSA, nor on an elliptic curve, nor Ed25519.")


def spki_name(spki: bytes) -> str:
    """Return by what a public key is called: the beginning of its SHA-256."""
    return certificates.key_id(spki)[:16]


def issued(child: DeviceCertificate, parent: DeviceCertificate, *, outdated: bool = False) -> bool:
    """Tell whether a certificate bears another's name as its issuer's and a signature of its key."""
    if child.issuer != parent.subject:
        return False
    try:
        verify(parent.spki, child.algorithm, child.signature, child.to_be_signed, outdated=outdated)
    except (VerificationFailed, BadInput):
        return False
    return True
