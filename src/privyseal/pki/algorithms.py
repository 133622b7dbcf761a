"""AlgorithmIdentifiers of digests and signatures: written, and read against the key and digest they go with.

The object identifiers are those of RFC 5754 (SHA-2 in CMS), RFC 4055 and 4056 (RSA), RFC 5758 (ECDSA), RFC 8419
(Ed25519) and RFC 9882 (ML-DSA).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from privyseal.errors import BadInput
from privyseal.pki import der
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm, Family

DIGEST_OIDS: dict[DigestAlgorithm, str] = {
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
"""Object identifiers of digests (NIST CSOR), dotted."""
_DIGEST_NAMES: dict[str, str] = {dotted: name for name, dotted in DIGEST_OIDS.items()} | {
    "1.3.14.3.2.26": "sha1",
    "1.2.840.113549.2.5": "md5",
    "2.16.840.1.101.3.4.2.4": "sha224",
}

_RSA = "1.2.840.113549.1.1.1"
_RSA_PSS = "1.2.840.113549.1.1.10"
_MGF1 = "1.2.840.113549.1.1.8"
_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_RSA_WITH: dict[str, DigestAlgorithm] = {
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
}
_ECDSA_WITH: dict[DigestAlgorithm, str] = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
_ECDSA_NAMES = {dotted: name for name, dotted in _ECDSA_WITH.items()}
_NAMED: dict[str, DigestAlgorithm] = _RSA_WITH | _ECDSA_NAMES
PURE_OIDS: dict[str, str] = {
    "ed25519": "1.3.101.112",
    "ml-dsa-44": "2.16.840.1.101.3.4.3.17",
    "ml-dsa-65": "2.16.840.1.101.3.4.3.18",
    "ml-dsa-87": "2.16.840.1.101.3.4.3.19",
}
"""Pure signature schemes (RFC 8410 section 3, RFC 9881 section 2): one identifier for key and signature alike."""
_PURE_DIGESTS: dict[str, frozenset[str]] = {
    "ed25519": frozenset({"sha512"}),
    "ml-dsa-44": frozenset({"sha256", "sha384", "sha512"}),
    "ml-dsa-65": frozenset({"sha384", "sha512"}),
    "ml-dsa-87": frozenset({"sha512"}),
}
"""What may hash the content where a pure scheme signs attributes (RFC 8419 section 3.1, RFC 9882 table 1)."""


@lru_cache(maxsize=16)
@lru_cache(maxsize=16)
def digest_identifier(algorithm: DigestAlgorithm, null: bool = True) -> bytes:
    """Return the AlgorithmIdentifier of a digest.

    With NULL, as signtool and every PKCS#7 writer have it, or without parameters, as RFC 5754 2 wants for new CMS.
    """
    return der.sequence(der.oid(DIGEST_OIDS[algorithm]), der.null() if null else b"")


_DIGEST_ELEMENTS: dict[bytes, str] = {
    digest_identifier(name, null): name for name in DIGEST_OIDS for null in (True, False)
}


@lru_cache(maxsize=32)
def signature_identifier(
    family: Family, algorithm: DigestAlgorithm, padding: Literal["pkcs1v15", "pss"] = "pkcs1v15"
) -> bytes:
    """Return the AlgorithmIdentifier of a CMS signature: rsaEncryption, RSASSA-PSS or ecdsa-with-SHA2.

    PSS states MGF1 with the same digest and a salt as long as the digest. BadInput for any other family.
    """
    if family is Family.ECDSA:
        return der.sequence(der.oid(_ECDSA_WITH[algorithm]))
    if family is not Family.RSA:
        raise BadInput(f"CMS signatures of the family {family} are not written here.")
    if padding == "pkcs1v15":
        return der.sequence(der.oid(_RSA), der.null())
    hashed = digest_identifier(algorithm)
    mask = der.sequence(der.oid(_MGF1), hashed)
    salt = der.integer(DIGEST_SIZES[algorithm])
    parameters = der.sequence(der.explicit(0, hashed), der.explicit(1, mask), der.explicit(2, salt))
    return der.sequence(der.oid(_RSA_PSS), parameters)


def digest_with(dotted: str, family: Family) -> DigestAlgorithm | None:
    """Return the digest in a signature algorithm that names one beside its key's family, such as
    sha256WithRSAEncryption; None for any other, and where the key is of another family."""
    known: dict[str, DigestAlgorithm] = {Family.RSA: _RSA_WITH, Family.ECDSA: _ECDSA_NAMES}.get(family, {})
    return known.get(dotted)


def pure_identifier(scheme: str) -> bytes:
    """Return the AlgorithmIdentifier of a CMS signature by a pure scheme: its identifier, without parameters."""
    return der.sequence(der.oid(PURE_OIDS[scheme]))


def check_pure(dotted: str, parameters: bytes | None, scheme: str, algorithm: DigestAlgorithm | None) -> None:
    """Check a signature's AlgorithmIdentifier against a key of a pure scheme; BadInput where it does not go with it.

    ``algorithm`` is what the content was hashed with, None where there are no attributes and so no digest.
    """
    if dotted != PURE_OIDS[scheme]:
        raise BadInput(f"The signature algorithm {dotted} does not go with the signer's key, which is {scheme}.")
    if parameters is not None:
        raise BadInput(f"The signature algorithm {dotted} has parameters; none was expected.")
    if algorithm is not None and algorithm not in _PURE_DIGESTS[scheme]:
        known = ", ".join(sorted(_PURE_DIGESTS[scheme]))
        raise BadInput(f"A signer with a key {scheme} hashed the content with {algorithm}; expected: {known}.")


def digest_name(element: der.Element) -> str:
    """Read a digest's AlgorithmIdentifier, without parameters or with NULL; BadInput otherwise.

    Return its name as in ``hashlib``, also for the digests refused elsewhere, or the dotted OID of one unknown.
    """
    if (known := _DIGEST_ELEMENTS.get(element.raw)) is not None:
        return known
    fields = der.Fields(element, "A digest's AlgorithmIdentifier")
    dotted = der.oid_of(fields.take(der.OID))
    if fields.rest() not in (None, b"\x05\x00"):
        raise BadInput(f"The digest algorithm {dotted} has parameters; none or NULL was expected.")
    return _DIGEST_NAMES.get(dotted, dotted)


def signature_salt(dotted: str, parameters: bytes | None, family: Family, algorithm: DigestAlgorithm) -> int | None:
    """Check a signature's AlgorithmIdentifier against the key's family and the signer's digest.

    Return the salt's octets if it is PSS, else None. BadInput if it is unknown, contradicts key or digest, or has
    parameters it should not have. A bare key type (rsaEncryption; id-ecPublicKey, seen in Authenticode) leaves the
    digest to the SignerInfo.
    """
    if family is Family.RSA and dotted == _RSA_PSS:
        return _pss_salt(parameters, algorithm)
    if family is Family.RSA:
        known = dotted == _RSA or _RSA_WITH.get(dotted) == algorithm
    else:
        known = dotted == _EC_PUBLIC_KEY or _ECDSA_NAMES.get(dotted) == algorithm
    if not known:
        raise BadInput(f"The signature algorithm {dotted} does not go with the signer's key and {algorithm}.")
    if parameters not in (None, b"\x05\x00") and dotted != _EC_PUBLIC_KEY:
        raise BadInput(f"The signature algorithm {dotted} has parameters; none or NULL was expected.")
    return None


def _pss_salt(parameters: bytes | None, algorithm: DigestAlgorithm) -> int:
    """Read RSASSA-PSS-params (RFC 4055 3.1): both hashes must be the signer's digest; the salt at most 64 octets."""
    fields = der.Fields(der.read(parameters or b""), "RSASSA-PSS parameters")
    hashed, mask, salt = fields.take(0xA0), fields.take(0xA1), fields.maybe(0xA2)
    fields.end()
    generator = der.Fields(_only(mask), "A mask generation function")
    if der.oid_of(generator.take(der.OID)) != _MGF1:
        raise BadInput("The PSS signature uses a mask generation function other than MGF1.")
    if {digest_name(_only(hashed)), digest_name(generator.take(der.SEQUENCE))} != {algorithm}:
        raise BadInput(f"The PSS signature's hashes are not both {algorithm}, the signer's digest.")
    generator.end()
    octets = 20 if salt is None else der.integer_of(_only(salt))
    if not 0 <= octets <= 64:
        raise BadInput(f"The PSS signature's salt of {octets} octets is not between 0 and 64.")
    return octets


def _only(element: der.Element) -> der.Element:
    fields = der.Fields(element, "A PSS parameter", element.tag)
    only = fields.take()
    fields.end()
    return only


def digest_of(dotted: str) -> DigestAlgorithm | None:
    """Return the digest that a signature algorithm names with its key's kind (RFC 4055 5, RFC 5758 3.2), or None."""
    return _NAMED.get(dotted)
