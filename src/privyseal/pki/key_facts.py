"""What a SubjectPublicKeyInfo and a signature's AlgorithmIdentifier say of themselves, also such as nobody should use.

Unlike ``certificates.public_key`` this loads no key and refuses no small one: it is for judging.
"""

from __future__ import annotations

import msgspec

from privyseal.errors import BadInput
from privyseal.pki import der
from privyseal.pki.algorithms import digest_name

RSA, RSA_PSS = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10"
"""rsaEncryption and id-RSASSA-PSS (RFC 4055): keys for both paddings, and for PSS alone."""
EC = "1.2.840.10045.2.1"
"""id-ecPublicKey (RFC 5480 2.1.1)."""
DSA = "1.2.840.10040.4.1"
"""id-dsa (RFC 3279 2.3.2)."""
_MGF1 = "1.2.840.113549.1.1.8"

CURVES: dict[str, str] = {
    "1.2.840.10045.3.1.7": "P-256",
    "1.3.132.0.34": "P-384",
    "1.3.132.0.35": "P-521",
    "1.3.132.0.33": "P-224",
    "1.2.840.10045.3.1.1": "P-192",
    "1.3.132.0.10": "secp256k1",
}
"""Named curves as people call them, by their dotted identifier."""

SIGNATURES: dict[str, tuple[str, str]] = {
    "1.2.840.113549.1.1.4": ("rsa", "md5"),
    "1.2.840.113549.1.1.5": ("rsa", "sha1"),
    "1.2.840.113549.1.1.14": ("rsa", "sha224"),
    "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    "1.2.840.10045.4.1": ("ecdsa", "sha1"),
    "1.2.840.10045.4.3.1": ("ecdsa", "sha224"),
    "1.2.840.10045.4.3.2": ("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa", "sha512"),
    "1.2.840.10040.4.3": ("dsa", "sha1"),
    "2.16.840.1.101.3.4.3.1": ("dsa", "sha224"),
    "2.16.840.1.101.3.4.3.2": ("dsa", "sha256"),
    "2.16.840.1.101.3.4.3.3": ("dsa", "sha384"),
    "2.16.840.1.101.3.4.3.4": ("dsa", "sha512"),
    "1.3.101.112": ("ed25519", "sha512"),
}
"""Signature algorithms (RFC 5754, 5758, 8410): family and digest, by dotted identifier. PSS says its digest itself."""


class KeyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A public key as it stands."""

    algorithm: str
    """The identifier, dotted."""
    family: str
    """``rsa``, ``ec``, ``dsa``, or the dotted identifier."""
    bits: int = 0
    """Of the modulus, or of p for DSA; 0 where it has none or it cannot be read."""
    subgroup_bits: int = 0
    """Of q, for DSA."""
    curve: str | None = None
    """The named curve's dotted identifier; None where it has none, also where parameters are spelt out."""
    modulus: int = 0
    exponent: int = 0

    def __str__(self) -> str:
        """Name it in few words: ``RSA with 3072 bits``."""
        if self.family == "rsa":
            return f"RSA with {self.bits} bits"
        if self.family == "dsa":
            return f"DSA with {self.bits} and {self.subgroup_bits} bits"
        if self.family == "ec":
            return f"EC on {CURVES.get(self.curve, self.curve) if self.curve else 'a curve without a name'}"
        return f"a key of type {self.family}"


class SignatureFacts(msgspec.Struct, frozen=True):
    """A signature's AlgorithmIdentifier as it stands."""

    algorithm: str
    """The identifier, dotted."""
    family: str
    """``rsa``, ``rsa-pss``, ``ecdsa``, ``dsa``, ``ed25519``, or the dotted identifier."""
    digest: str
    """As in ``hashlib``; the empty string where it is not known."""
    mask_digest: str = ""
    """The digest of PSS's mask generation function."""

    def __str__(self) -> str:
        """Name it in few words: ``rsa with sha256``."""
        return f"{self.family} with {self.digest}" if self.digest else f"the algorithm {self.algorithm}"


def read_key(spki: der.Element) -> KeyFacts:
    """Read a SubjectPublicKeyInfo (RFC 3279 2.3, RFC 5480); BadInput only where its outer shape is broken."""
    fields = der.Fields(spki, "A public key")
    algorithm = der.Fields(fields.take(der.SEQUENCE), "A public key's AlgorithmIdentifier")
    dotted = der.oid_of(algorithm.take(der.OID))
    parameters = algorithm.rest()
    octets = der.bits_of(fields.take(der.BIT_STRING))
    try:
        return _key(dotted, parameters, octets)
    except BadInput:
        return KeyFacts(algorithm=dotted, family={RSA: "rsa", RSA_PSS: "rsa", EC: "ec", DSA: "dsa"}.get(dotted, dotted))


def _key(dotted: str, parameters: bytes | None, octets: bytes) -> KeyFacts:
    if dotted in (RSA, RSA_PSS):
        fields = der.Fields(der.read(octets), "An RSA key")
        modulus, exponent = der.integer_of(fields.take()), der.integer_of(fields.take())
        bits = modulus.bit_length()
        return KeyFacts(algorithm=dotted, family="rsa", bits=bits, modulus=modulus, exponent=exponent)
    if dotted == EC:
        named = der.read(parameters or b"")
        return KeyFacts(algorithm=dotted, family="ec", curve=der.oid_of(named) if named.tag == der.OID else None)
    if dotted == DSA:
        fields = der.Fields(der.read(parameters or b""), "DSA parameters")
        p, q = der.integer_of(fields.take()), der.integer_of(fields.take())
        return KeyFacts(algorithm=dotted, family="dsa", bits=p.bit_length(), subgroup_bits=q.bit_length())
    return KeyFacts(algorithm=dotted, family=dotted)


def read_signature_algorithm(element: der.Element) -> SignatureFacts:
    """Read a signature's AlgorithmIdentifier; PSS parameters that cannot be read leave its digest unknown."""
    fields = der.Fields(element, "A signature's AlgorithmIdentifier")
    dotted = der.oid_of(fields.take(der.OID))
    if dotted != RSA_PSS:
        family, digest = SIGNATURES.get(dotted, (dotted, ""))
        return SignatureFacts(dotted, family, digest)
    try:
        digest, mask = _pss(fields.rest())
    except BadInput:
        digest, mask = "", ""
    return SignatureFacts(dotted, "rsa-pss", digest, mask)


def _pss(parameters: bytes | None) -> tuple[str, str]:
    """Return both digests of RSASSA-PSS-params, SHA-1 where they are left out (RFC 4055 3.1)."""
    fields = der.Fields(der.read(parameters or b""), "RSASSA-PSS parameters")
    hashed, mask = fields.maybe(0xA0), fields.maybe(0xA1)
    digest = "sha1" if hashed is None else digest_name(der.Fields(hashed, "A PSS digest", 0xA0).take())
    if mask is None:
        return digest, "sha1"
    generator = der.Fields(der.Fields(mask, "A PSS mask", 0xA1).take(), "A mask generation function")
    if der.oid_of(generator.take(der.OID)) != _MGF1:
        return digest, ""
    return digest, digest_name(generator.take(der.SEQUENCE))
