"""TimeStampToken (RFC 3161 2.4.2): read, and verified as far as the token alone allows.

Whom the authority's certificate chains to and whether it is revoked is for ``pki/chain.py``, purpose ``timestamping``.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import msgspec

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import algorithms, certificates, cms, der, loaders
from privyseal.terms.signatures import DIGEST_SIZES, TimestampToken
from privyseal.timestamp.messages import (
    MAX_RESPONSE_OCTETS,
    TimestampRequest,
    build_request,
    imprint_parts,
    parse_request,
    parse_response,
    read_extensions,
)

__all__ = [
    "ID_TST_INFO",
    "TimestampRequest",
    "TokenInfo",
    "build_request",
    "parse_request",
    "parse_response",
    "read_token",
    "token_certificates",
    "verify_token",
]

ID_TST_INFO = "1.2.840.113549.1.9.16.1.4"
"""id-ct-TSTInfo (RFC 3161 2.4.2)."""
ID_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
"""id-aa-signingCertificate (RFC 2634 5.4)."""
ID_SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
"""id-aa-signingCertificateV2 (RFC 5035 3)."""

MAX_ATTRIBUTE_OCTETS = 8192
"""Octets of a SigningCertificate attribute; one with a chain of four certificates and their issuers has about 800."""


class TokenInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A TSTInfo: what an authority says."""

    policy: str
    digest_algorithm: str
    digest: bytes
    serial: int
    time: datetime
    nonce: int | None


class _Authority(NamedTuple):
    """What a token's certificate must be, looked up once for each."""

    subject: str
    not_before: datetime
    not_after: datetime
    unfit: str | None


def read_token(token: bytes) -> tuple[cms.SignedData, TokenInfo]:
    """Cut a TimeStampToken into its SignedData and TSTInfo, nothing verified; BadInput if it is none."""
    if len(token) > MAX_RESPONSE_OCTETS:
        raise BadInput(f"The timestamp token has {len(token)} octets; at most {MAX_RESPONSE_OCTETS} are read.")
    signed = cms.parse(token)
    if signed.content_type != ID_TST_INFO or signed.content is None or signed.content_octets is None:
        raise BadInput("The CMS message is no timestamp token: its content is no TSTInfo.")
    if signed.content[0] != der.OCTET_STRING or len(signed.signers) != 1 or signed.version != 3:
        raise BadInput("The timestamp token is not a SignedData of version 3 with one signer and an OCTET STRING.")
    return signed, _info(signed.content_octets)


def _info(octets: bytes) -> TokenInfo:
    fields = der.Fields(der.read(octets), "A TSTInfo")
    if (version := der.integer_of(fields.take(der.INTEGER))) != 1:
        raise BadInput(f"The timestamp is of version {version}; version 1 was expected.")
    policy = der.oid_of(fields.take(der.OID))
    name, digest = imprint_parts(fields.take(der.SEQUENCE))
    serial = der.integer_of(fields.take(der.INTEGER))
    time = der.time_of(fields.take(der.GENERALIZED_TIME))
    fields.maybe(der.SEQUENCE)  # accuracy
    fields.maybe(der.BOOLEAN)  # ordering
    nonce = fields.maybe(der.INTEGER)
    fields.maybe(0xA0)  # tsa: a hint, the signed certificate hash decides
    extensions = fields.maybe(0xA1)
    fields.end()
    for dotted, critical in () if extensions is None else read_extensions(extensions):
        if critical:
            raise BadInput(f"The timestamp carries the critical extension {dotted}, which is not known here.")
    return TokenInfo(
        policy=policy,
        digest_algorithm=name,
        digest=digest,
        serial=serial,
        time=time,
        nonce=None if nonce is None else der.integer_of(nonce),
    )


def token_certificates(token: bytes) -> tuple[bytes, ...]:
    """Return every certificate a token carries, DER, the signer's own first; BadInput if it is no token."""
    signed, _ = read_token(token)
    own = cms.signer_certificate(signed, signed.signers[0])
    others = tuple(one for one in signed.certificates if one != own)
    return others if own is None else (own, *others)


def verify_token(
    token: bytes, *, octets: bytes | None = None, nonce: int | None = None, policy: str | None = None
) -> TimestampToken:
    """Verify a token by the certificate it carries, and against what was asked where that is given.

    ``octets`` is the message stamped, hashed here with the imprint's algorithm; ``nonce`` and ``policy`` must be
    repeated. Checked: the CMS signature with its digest and content type, SHA-2 throughout, the certificate's hash in
    the signed attributes (RFC 5035, RFC 5816), its critical and sole timeStamping purpose (RFC 3161 2.3), genTime
    within its validity.
    VerificationFailed if anything is not so, BadInput if it is no token.
    """
    signed, info = read_token(token)
    signer = signed.signers[0]
    if info.digest_algorithm not in DIGEST_SIZES:
        raise VerificationFailed(f"The timestamp's imprint uses {info.digest_algorithm}; SHA-2 was expected.")
    if octets is not None and hashlib.new(info.digest_algorithm, octets).digest() != info.digest:
        raise VerificationFailed("The timestamp is for other data.")
    if nonce is not None and info.nonce != nonce:
        raise VerificationFailed("The timestamp does not repeat the request's nonce: it answers another request.")
    if policy is not None and info.policy != policy:
        raise VerificationFailed(f"The timestamp is under the policy {info.policy}; {policy} was asked for.")
    certificate = cms.signer_certificate(signed, signer)
    if certificate is None:
        raise VerificationFailed("The timestamp does not carry its authority's certificate.")
    cms.check_signer(signed, signer, content=signed.content_octets or b"")
    _check_certificate_hash(signer, certificate)
    authority = _authority(certificate)
    if authority.unfit is not None:
        raise VerificationFailed(authority.unfit)
    if not authority.not_before <= info.time <= authority.not_after:
        raise VerificationFailed(f"The timestamp's time {info.time.isoformat()} is outside its certificate's validity.")
    return TimestampToken(token, info.time, authority.subject, f"{info.serial:X}")


@lru_cache(maxsize=64)
def _authority(certificate: bytes) -> _Authority:
    facts = certificates.read(certificate)
    return _Authority(facts.subject, facts.not_before, facts.not_after, _unfit(certificates.load(certificate)))


def _unfit(loaded: loaders.Certificate) -> str | None:
    """Say why a certificate may not sign timestamps (RFC 3161 2.3), or None."""
    from cryptography import x509  # see loaders.py

    try:
        usage = loaded.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return "The timestamp's certificate states no purpose; timeStamping was expected."
    except certificates.unreadable():
        return "The extensions of the timestamp's certificate cannot be read."
    if not usage.critical or list(usage.value) != [loaders.ExtendedKeyUsageOID.TIME_STAMPING]:
        return "The timestamp's certificate is not for timestamping alone: one critical purpose was expected."
    return None


@lru_cache(maxsize=64)
def _named(values: tuple[bytes, ...], version: int, certificate: bytes) -> bool:
    """Tell whether the first ESSCertID of a SigningCertificate attribute names the certificate (RFC 5035 4)."""
    if len(values) != 1:
        return False
    fields = der.Fields(der.read(values[0]), "A SigningCertificate")
    listed = der.children(fields.take(der.SEQUENCE))
    if not listed:
        return False
    first = der.Fields(listed[0], "An ESSCertID")
    algorithm = "sha1"
    if version == 2:
        stated = first.maybe(der.SEQUENCE)
        algorithm = "sha256" if stated is None else algorithms.digest_name(stated)
        if algorithm not in DIGEST_SIZES:
            return False
    digest = der.octets_of(first.take(der.OCTET_STRING))
    # ESSCertID itself is SHA-1 by definition (RFC 2634 5.4); the signature's own digest is SHA-2 nevertheless.
    if hashlib.new(algorithm, certificate, usedforsecurity=version == 2).digest() != digest:
        return False
    issuer_serial = first.rest()
    return issuer_serial is None or _issued(issuer_serial, certificate)


def _issued(issuer_serial: bytes, certificate: bytes) -> bool:
    """Tell whether an IssuerSerial (RFC 5035 5) holds the certificate's serial number and issuer's name."""
    fields = der.Fields(der.read(issuer_serial), "An IssuerSerial")
    names = der.children(fields.take(der.SEQUENCE))
    parts = certificates.outline(certificate)
    return der.integer_of(fields.take(der.INTEGER)) == parts.serial and any(
        name.tag == 0xA4 and name.content == parts.issuer for name in names
    )


def _check_certificate_hash(signer: cms.SignerInfo, certificate: bytes) -> None:
    stated = [
        (signer.attributes[kind], version)
        for kind, version in ((ID_SIGNING_CERTIFICATE_V2, 2), (ID_SIGNING_CERTIFICATE, 1))
        if kind in signer.attributes
    ]
    if any(len(value) > MAX_ATTRIBUTE_OCTETS for values, _ in stated for value in values):
        raise BadInput(f"The timestamp's certificate hash takes more than {MAX_ATTRIBUTE_OCTETS} octets.")
    if not stated or not all(_named(values, version, certificate) for values, version in stated):
        raise VerificationFailed("The timestamp does not state, signed, the hash of its authority's certificate.")
