"""CMS SignedData (RFC 5652) and its elder, PKCS#7 (RFC 2315), as Authenticode, timestamp tokens and others use them.

Three dialects share these structures. *Authenticode*: version 1, the content is a bare SEQUENCE, and messageDigest
covers its value octets without tag and length. *CMS*: the content is an OCTET STRING or absent. *Without signed
attributes*: the key signs the content itself. Building joins octets; parsing cuts them, and what was parsed is never
encoded again to be verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import algorithms, ber, certificates, der
from privyseal.terms.signatures import DIGEST_SIZES, PURE_FAMILIES, DigestAlgorithm, ToBeSigned

ID_DATA = "1.2.840.113549.1.7.1"
"""id-data: content of no further type (RFC 5652 4), dotted as all that follow."""
ID_SIGNED_DATA = "1.2.840.113549.1.7.2"
"""id-signedData (RFC 5652 5.1)."""
ID_CONTENT_TYPE = "1.2.840.113549.1.9.3"
"""The signed attribute contentType (RFC 5652 11.1)."""
ID_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
"""The signed attribute messageDigest (RFC 5652 11.2)."""
ID_SIGNING_TIME = "1.2.840.113549.1.9.5"
"""The signed attribute signingTime (RFC 5652 11.3)."""

MAX_CERTIFICATES = 64
"""Certificates in one signature; the longest bag met in the wild has 11. OpenSSL stops paths at 100."""
MAX_SIGNERS = 16
"""SignerInfos in one signature; Authenticode allows 1, mail up to a handful."""
MAX_ATTRIBUTES = 64
"""Attributes of one kind of one signer; signtool writes 4 to 6."""
_REMEMBERED = 512
"""Octets of the largest attribute that is kept cut; 256 of them are 128 KiB."""


class SignerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One signer of a SignedData, as it stands (RFC 5652 5.3)."""

    version: int
    issuer: bytes
    """The issuer's Name, DER; empty where the signer is named by ``key_identifier``."""
    serial: int
    key_identifier: bytes | None
    digest_algorithm: str
    """``sha256`` and so on, also ``sha1`` or ``md5`` where foreign signers use them; else the dotted OID."""
    signature_algorithm: str
    """Dotted OID."""
    signature_parameters: bytes | None
    """The algorithm's parameters, one raw element."""
    signed_attributes: bytes | None
    """The SET OF under the signature, with tag 0x31 in place of [0]; None if the content itself is signed."""
    attributes: dict[str, tuple[bytes, ...]]
    """Signed attributes: dotted OID to raw values."""
    unsigned: dict[str, tuple[bytes, ...]]
    """Unsigned attributes: dotted OID to raw values."""
    signature: bytes
    raw: bytes


class SignedData(msgspec.Struct, frozen=True, kw_only=True):
    """A SignedData as it stands (RFC 5652 5.1)."""

    version: int
    digest_algorithms: tuple[str, ...]
    content_type: str
    content: bytes | None
    """The raw element inside [0] EXPLICIT; None where the content is detached."""
    content_octets: bytes | None
    """Its value octets without tag and length: what messageDigest covers, in Authenticode and in CMS."""
    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    """Every RevocationInfoChoice, raw: lists of X.509 and, with a tag of their own, other forms (RFC 5652 10.2.1)."""
    signers: tuple[SignerInfo, ...]
    der: bytes
    """The ContentInfo that all of this was cut from; differs from the input only if ``ber``."""
    ber: bool
    """The input was not DER and has been turned into it."""


class Flaw(msgspec.Struct, frozen=True):
    """One thing wrong with a signer's signature: a stable slug and a sentence."""

    code: Literal[
        "no-signer-certificate",
        "weak-digest",
        "signed-attributes",
        "content-type",
        "message-digest",
        "signature-algorithm",
        "signature-value",
    ]
    text: str


# -- building ----------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=256)
def _signer_identifier(certificate: bytes) -> tuple[bytes, bytes]:
    parts = certificates.outline(certificate)
    return der.sequence(parts.issuer, parts.serial_element), parts.spki


def _signature_identifier(spki: bytes, algorithm: DigestAlgorithm, padding: Literal["pkcs1v15", "pss"]) -> bytes:
    if (family := certificates.family_of(spki)) in PURE_FAMILIES:
        return algorithms.pure_identifier(certificates.scheme_of(spki).name)
    return algorithms.signature_identifier(family, algorithm, padding)


def attribute(dotted: str, *values: bytes) -> bytes:
    """Return an Attribute: its type and the SET OF its values, complete elements."""
    return der.sequence(der.oid(dotted), der.set_of(*values))


def attributes_to_be_signed(attributes: Sequence[bytes]) -> bytes:
    """Return the octets a key signs: the attributes as a SET OF with tag 0x31 (RFC 5652 5.4)."""
    return der.set_of(*attributes)


def signer_info(
    *,
    certificate: bytes,
    digest_algorithm: DigestAlgorithm,
    signed_attributes: Sequence[bytes],
    signature: bytes,
    unsigned_attributes: Sequence[bytes] = (),
    padding: Literal["pkcs1v15", "pss"] = "pkcs1v15",
) -> bytes:
    """Return a version 1 SignerInfo: the signer named by issuer and serial, the algorithm derived from its public key.

    ``signed_attributes`` are those given to :func:`attributes_to_be_signed`; none means that the content itself was
    signed.
    """
    identifier, spki = _signer_identifier(certificate)
    return der.sequence(
        b"\x02\x01\x01",
        identifier,
        algorithms.digest_identifier(digest_algorithm),
        b"\xa0" + der.set_of(*signed_attributes)[1:] if signed_attributes else b"",
        _signature_identifier(spki, digest_algorithm, padding),
        der.octet_string(signature),
        b"\xa1" + der.set_of(*unsigned_attributes)[1:] if unsigned_attributes else b"",
    )


def build_signed_data(
    *,
    content_type: str,
    content: bytes | None,
    digest_algorithm: DigestAlgorithm,
    certificates: Sequence[bytes],
    signers: Sequence[bytes],
    version: int,
) -> bytes:
    """Return a ContentInfo that holds a SignedData.

    ``content`` is one complete element that goes inside [0] EXPLICIT (an OCTET STRING in CMS, a SEQUENCE in
    Authenticode), or None when it is detached. Certificates keep the order given: signer first is what verifiers of
    Authenticode expect.
    """
    return der.sequence(
        der.oid(ID_SIGNED_DATA),
        der.explicit(
            0,
            der.sequence(
                der.integer(version),
                der.set_of(algorithms.digest_identifier(digest_algorithm)),
                der.sequence(der.oid(content_type), b"" if content is None else der.explicit(0, content)),
                der.implicit(0, b"".join(certificates)) if certificates else b"",
                der.set_of(*signers),
            ),
        ),
    )


def with_unsigned_attribute(blob: bytes, dotted: str, value: bytes, signer: int = 0, replace: bool = False) -> bytes:
    """Return the ContentInfo with one more unsigned attribute value; what is signed keeps its octets.

    A value of the same type is added to those there, or takes their place if ``replace``. BadInput if there is no such
    signer.
    """
    signed = parse(blob)
    if not 0 <= signer < len(signed.signers):
        raise BadInput(f"The signature has {len(signed.signers)} signers; there is no number {signer}.")
    changed = signed.signers[signer]
    unsigned = dict(changed.unsigned)
    unsigned[dotted] = (value,) if replace else (*unsigned.get(dotted, ()), value)
    rows = [attribute(kind, *values) for kind, values in unsigned.items()]
    kept = [field.raw for field in der.children(der.read(changed.raw)) if field.tag != 0xA1]
    signers = [one.raw for one in signed.signers]
    signers[signer] = der.sequence(*kept, b"\xa1" + der.set_of(*rows)[1:])
    outer = der.children(der.read(signed.der))
    inner = der.children(der.children(outer[1])[0])
    parts = [field.raw for field in inner[:-1]]
    return der.sequence(outer[0].raw, der.explicit(0, der.sequence(*parts, der.set_of(*signers))))


# -- parsing -----------------------------------------------------------------------------------------------------------
def parse(blob: bytes) -> SignedData:
    """Cut a ContentInfo that holds a SignedData into its parts; BadInput if it is neither DER nor BER of that shape."""
    try:
        return _signed_data(der.read(blob), is_ber=False)
    except BadInput as error:
        refused = error
    try:
        converted = ber.to_der(blob)
    except BadInput:
        raise refused from None
    if converted == blob:
        raise refused
    return _signed_data(der.read(converted), is_ber=True)


def _signed_data(element: der.Element, *, is_ber: bool) -> SignedData:
    outer = der.Fields(element, "A CMS ContentInfo")
    kind = der.oid_of(outer.take(der.OID))
    if kind != ID_SIGNED_DATA:
        raise BadInput(f"The CMS message is of type {kind} and no SignedData.", hint=f"expected {ID_SIGNED_DATA}")
    wrapped = der.Fields(outer.take(0xA0), "The content of a ContentInfo", 0xA0)
    outer.end()
    fields = der.Fields(wrapped.take(der.SEQUENCE), "A SignedData")
    wrapped.end()
    if (version := der.integer_of(fields.take(der.INTEGER))) not in (1, 3, 4, 5):
        raise BadInput(f"The SignedData is of version {version}; 1, 3, 4 or 5 was expected.")
    listed = der.children(fields.take(der.SET), MAX_SIGNERS)
    encapsulated = der.Fields(fields.take(der.SEQUENCE), "An EncapsulatedContentInfo")
    content_type = der.oid_of(encapsulated.take(der.OID))
    holder = encapsulated.maybe(0xA0)
    encapsulated.end()
    content = None
    if holder is not None:
        held = der.Fields(holder, "An encapsulated content", 0xA0)
        content = held.take()
        held.end()
        # The tag is under no signature: only the one that RFC 5652 has, and for other types Authenticode's, are taken.
        if content.tag != der.OCTET_STRING and (content.tag != der.SEQUENCE or content_type == ID_DATA):
            raise BadInput(f"The signed content has tag 0x{content.tag:02x}; an OCTET STRING was expected.")
    bag = fields.maybe(0xA0)
    crls = fields.maybe(0xA1)
    signers = der.children(fields.take(der.SET), MAX_SIGNERS)
    fields.end()
    return SignedData(
        version=version,
        digest_algorithms=tuple(algorithms.digest_name(one) for one in listed),
        content_type=content_type,
        content=None if content is None else content.raw,
        content_octets=None if content is None else content.content,
        certificates=tuple(one.raw for one in _bag(bag) if one.tag == der.SEQUENCE),
        crls=tuple(one.raw for one in _bag(crls)),
        signers=tuple(_signer(one) for one in signers),
        der=element.raw,
        ber=is_ber,
    )


def _bag(element: der.Element | None) -> list[der.Element]:
    return [] if element is None else der.children(element, MAX_CERTIFICATES)


def _signer(element: der.Element) -> SignerInfo:
    fields = der.Fields(element, "A SignerInfo")
    version = der.integer_of(fields.take(der.INTEGER))
    issuer, serial, key_identifier = b"", 0, None
    named = fields.maybe(der.SEQUENCE)
    if named is not None:
        parts = der.Fields(named, "An IssuerAndSerialNumber")
        issuer = parts.take(der.SEQUENCE).raw
        serial = der.integer_of(parts.take(der.INTEGER))
        parts.end()
    else:
        key_identifier = fields.take(0x80).content
    digest_algorithm = algorithms.digest_name(fields.take(der.SEQUENCE))
    signed = fields.maybe(0xA0)
    algorithm = der.Fields(fields.take(der.SEQUENCE), "A signature's AlgorithmIdentifier")
    signature_algorithm, parameters = der.oid_of(algorithm.take(der.OID)), algorithm.rest()
    signature = der.octets_of(fields.take(der.OCTET_STRING))
    unsigned = fields.maybe(0xA1)
    fields.end()
    return SignerInfo(
        version=version,
        issuer=issuer,
        serial=serial,
        key_identifier=key_identifier,
        digest_algorithm=digest_algorithm,
        signature_algorithm=signature_algorithm,
        signature_parameters=parameters,
        signed_attributes=None if signed is None else b"\x31" + signed.raw[1:],
        attributes={} if signed is None else _attributes(signed),
        unsigned={} if unsigned is None else _attributes(unsigned),
        signature=signature,
        raw=element.raw,
    )


def _attributes(element: der.Element) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for one in der.children(element, MAX_ATTRIBUTES):
        dotted, values = _attribute_before(one.raw) if len(one.raw) <= _REMEMBERED else _attribute(one.raw)
        found[dotted] = (*found.get(dotted, ()), *values)
    return found


def _attribute(octets: bytes) -> tuple[str, tuple[bytes, ...]]:
    fields = der.Fields(der.read(octets), "An Attribute")
    dotted = der.oid_of(fields.take(der.OID))
    values = tuple(value.raw for value in der.children(fields.take(der.SET), MAX_ATTRIBUTES))
    fields.end()
    return dotted, values


_attribute_before = lru_cache(maxsize=256)(_attribute)  # four of five are the same in each signature of a build


# -- verifying ---------------------------------------------------------------------------------------------------------
def signer_certificate(signed: SignedData, signer: SignerInfo) -> bytes | None:
    """Return the signer's certificate, DER, if the SignedData carries it."""
    for certificate in signed.certificates:
        try:
            parts = certificates.outline(certificate)
        except BadInput:
            continue
        if signer.key_identifier is not None:
            if certificates.subject_key_identifier(certificate) == signer.key_identifier:
                return certificate
        elif parts.serial == signer.serial and parts.issuer == signer.issuer:
            return certificate
    return None


def check_signer(signed: SignedData, signer: SignerInfo, *, content: bytes) -> None:
    """Raise VerificationFailed with the first flaw, if there is one; ``content`` and the rest as in :func:`flaws`."""
    for flaw in flaws(signed, signer, content=content):
        raise VerificationFailed(flaw.text)


def flaws(signed: SignedData, signer: SignerInfo, *, content: bytes) -> tuple[Flaw, ...]:
    """Return what is wrong with a signer's signature itself (RFC 5652 5.4 and 5.6); empty if it holds.

    ``content``: the octets that are signed, for encapsulated content ``signed.content_octets``. The certificate is
    taken from the SignedData and not judged: no dates, no chain, no purpose.
    """
    found: list[Flaw] = []
    algorithm = signer.digest_algorithm
    if algorithm not in DIGEST_SIZES:
        return (
            Flaw("weak-digest", f"The signature uses the digest {algorithm}; SHA-2 of 256 bits or more was expected."),
        )
    if algorithm not in signed.digest_algorithms:
        found.append(Flaw("signature-algorithm", f"The signed data does not list {algorithm}, which its signer uses."))
    if signer.version != (1 if signer.key_identifier is None else 3):
        found.append(Flaw("signature-algorithm", f"The signer's version {signer.version} contradicts how it is named."))
    if signer.signed_attributes is None:
        if signed.content_type != ID_DATA:
            found.append(Flaw("signed-attributes", "Content other than plain data must be signed through attributes."))
    else:
        found += _attribute_flaws(signed, signer, hashlib.new(algorithm, content).digest())
    certificate = signer_certificate(signed, signer)
    if certificate is None:
        found.append(Flaw("no-signer-certificate", "The signature does not carry its signer's certificate."))
    else:
        signed_octets = content if signer.signed_attributes is None else signer.signed_attributes
        found += _value_flaws(signer, algorithm, signed_octets, certificates.outline(certificate).spki)
    return tuple(found)


def _attribute_flaws(signed: SignedData, signer: SignerInfo, digest: bytes) -> list[Flaw]:
    found: list[Flaw] = []
    if signer.attributes.get(ID_CONTENT_TYPE) != (der.oid(signed.content_type),):
        found.append(Flaw("content-type", "The signed content type is not the content's, or not stated exactly once."))
    if signer.attributes.get(ID_MESSAGE_DIGEST) != (der.octet_string(digest),):
        found.append(Flaw("message-digest", "The signed digest is not the content's, or not stated exactly once."))
    return found


def _value_flaws(signer: SignerInfo, algorithm: DigestAlgorithm, octets: bytes, spki: bytes) -> list[Flaw]:
    dotted, parameters = signer.signature_algorithm, signer.signature_parameters
    salt = None
    try:
        if (family := certificates.family_of(spki)) in PURE_FAMILIES:
            hashed = None if signer.signed_attributes is None else algorithm
            algorithms.check_pure(dotted, parameters, certificates.scheme_of(spki).name, hashed)
        else:
            salt = algorithms.signature_salt(dotted, parameters, family, algorithm)
    except BadInput as error:
        return [Flaw("signature-algorithm", error.detail)]
    try:
        if family in PURE_FAMILIES:
            certificates.verify(spki, ToBeSigned(octets, algorithm), signer.signature)
        else:
            digest = hashlib.new(algorithm, octets).digest()
            certificates.verify_digest(spki, algorithm, digest, signer.signature, salt)
    except VerificationFailed as error:
        return [Flaw("signature-value", error.detail)]
    return []
