"""PKIX key attestation Evidence: built, and cut into what it says (draft-ietf-rats-pkix-key-attestation).

The draft has no number for its arc yet; ARC is the one of the working group's samples, and both it and the key usage
below change when IANA has assigned them. Nothing is verified here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from privyseal.errors import BadInput
from privyseal.pki import algorithms, certificates, der
from privyseal.pki.attestation import devices
from privyseal.pki.attestation.devices import Algorithm
from privyseal.terms.signatures import Scheme

ARC = "1.3.6.1.5.5.999"
"""id-evidence, as in the samples of the working group."""
ATTESTATION_KEY = "1.3.6.1.5.5.7.3.999"
"""id-kp-attestationKey, likewise: the purpose of a certificate whose key signs Evidence."""
VERSION = 1
"""Of what is signed (TbsPkixEvidence.version), the only one there is."""
MOST_OCTETS = 1 << 20
"""Octets of one piece of Evidence, as of all files of an attestation together (``pieces``)."""
MOST_ELEMENTS = 64
"""Elements, and claims of each: a platform has fourteen claims, a key eight."""
MOST_SIGNATURES = 8
"""Signatures over one piece of Evidence."""
MOST_CERTIFICATES = 16
"""Certificates that come along in one piece of Evidence."""

TRANSACTION, PLATFORM, KEY = (f"{ARC}.0.{number}" for number in range(3))
"""Types of elements: the asking itself, what attests, and a key; dotted, as all that follow."""
NONCE, TIMESTAMP, AK_SPKI = (f"{ARC}.1.0.{number}" for number in range(3))
"""Claims of the asking: what the asker gave along, when, and which key signs."""
VENDOR, HWMODEL, HWVERSION, HWSERIAL = (f"{ARC}.1.1.{number}" for number in (0, 2, 3, 4))
"""Claims of what attests, of its hardware: maker, model, version and serial number."""
SWNAME, SWVERSION, FIPSBOOT, FIPSVER, FIPSLEVEL = (f"{ARC}.1.1.{number}" for number in (5, 6, 10, 11, 12))
"""Claims of what attests, of its software and of FIPS 140: name, version, mode, edition and level."""
IDENTIFIER, SPKI, EXTRACTABLE, SENSITIVE, NEVER_EXTRACTABLE, LOCAL, EXPIRY, PURPOSE = (
    f"{ARC}.1.2.{number}" for number in range(8)
)
"""Claims of a key: name, public key, and the attributes that PKCS #11 has under the same names."""
PURPOSES = ("encrypt", "decrypt", "wrap", "unwrap", "sign", "sign-recover", "verify", "verify-recover", "derive")
"""id-evidence-key-capability 0 to 8, by their names."""


class Claim(Struct, frozen=True):
    """One claim: what it is about, and its value as it stands (DER); empty where it has none."""

    kind: str
    value: bytes


class Element(Struct, frozen=True):
    """A transaction, a platform, a key, or what only its vendor knows: an identifier and claims."""

    kind: str
    claims: tuple[Claim, ...]

    def of(self, kind: str) -> der.Element | None:
        """Return the value of a claim that stands there at most once; BadInput where it stands there twice."""
        found = [each.value for each in self.claims if each.kind == kind]
        if len(found) > 1:
            raise BadInput(f"The claim {kind} stands {len(found)} times in one element of the Evidence.")
        return der.read(found[0]) if found and found[0] else None

    def flag(self, kind: str) -> bool | None:
        """Return what a claim of yes or no says; None where it is not made."""
        value = self.of(kind)
        return None if value is None else der.boolean_of(value)

    def text(self, kind: str) -> str:
        """Return a claim of text or octets as text; empty where it is not made."""
        value = self.of(kind)
        if value is None:
            return ""
        if value.tag not in (der.UTF8_STRING, der.OCTET_STRING, der.PRINTABLE_STRING, der.IA5_STRING):
            raise BadInput(f"The claim {kind} of the Evidence is no text.")
        return value.content.decode("utf-8", "replace")[:500]


class Block(Struct, frozen=True, kw_only=True):
    """One signature, and who is said to have made it."""

    key_identifier: bytes | None
    spki: bytes | None
    certificate: bytes | None
    algorithm: Algorithm
    value: bytes


class Evidence(Struct, frozen=True, kw_only=True):
    """What is signed, as it stands; what it says; the signatures and the certificates that came along."""

    to_be_signed: bytes
    elements: tuple[Element, ...]
    blocks: tuple[Block, ...]
    certificates: tuple[bytes, ...]

    def all_of(self, kind: str) -> list[Element]:
        """Return the elements of a kind."""
        return [each for each in self.elements if each.kind == kind]

    def one_of(self, kind: str) -> Element:
        """Return the one element of a kind, or an empty one; BadInput where there are several."""
        found = self.all_of(kind)
        if len(found) > 1:
            raise BadInput(f"The Evidence has {len(found)} elements of the kind {kind}, and one is allowed.")
        return found[0] if found else Element(kind, ())


# -- reading -----------------------------------------------------------------------------------------------------------
def looks_like(octets: bytes) -> bool:
    """Tell by shape whether octets are Evidence; never raises."""
    try:
        parts = der.children(der.read(octets, MOST_OCTETS), 3)
        inner = der.children(parts[0], 2)
        elements = der.children(inner[1], MOST_ELEMENTS)
        kinds = [der.oid_of(der.children(each, 2)[0]) for each in elements]
    except (BadInput, IndexError):
        return False
    known = any(kind.startswith(f"{ARC}.0.") for kind in kinds)
    return known and inner[0].tag == der.INTEGER and [each.tag for each in parts[:2]] == [der.SEQUENCE] * 2


def read(octets: bytes) -> Evidence:
    """Cut Evidence into its parts; BadInput where it is none, or says what the draft forbids to say twice."""
    fields = der.Fields(der.read(octets, MOST_OCTETS), "The Evidence")
    signed, blocks, held = fields.take(der.SEQUENCE), fields.take(der.SEQUENCE), fields.maybe(0xA0)
    fields.end()
    inner = der.Fields(signed, "What the Evidence says")
    if (version := der.integer_of(inner.take(der.INTEGER))) != VERSION:
        raise BadInput(f"The Evidence is of version {version}; version {VERSION} is read.")
    elements = [_element(each) for each in der.children(inner.take(der.SEQUENCE), MOST_ELEMENTS)]
    inner.end()
    found = Evidence(
        to_be_signed=signed.raw,
        elements=tuple(elements),
        blocks=tuple(_block(each) for each in der.children(blocks, MOST_SIGNATURES)),
        certificates=() if held is None else tuple(each.raw for each in der.children(held, MOST_CERTIFICATES)),
    )
    for kind in (TRANSACTION, PLATFORM):
        found.one_of(kind)
    names = [name.content for key in found.all_of(KEY) for name in _identifiers(key)]
    if len(set(names)) < len(names):
        raise BadInput("Two key elements of the Evidence are of the same key.")
    return found


def _identifiers(key: Element) -> list[der.Element]:
    found = [der.read(each.value) for each in key.claims if each.kind == IDENTIFIER and each.value]
    if not found:
        raise BadInput("A key element of the Evidence does not say which key it is of.")
    return found


def _element(element: der.Element) -> Element:
    fields = der.Fields(element, "An element of the Evidence")
    kind, claims = der.oid_of(fields.take(der.OID)), der.children(fields.take(der.SEQUENCE), MOST_ELEMENTS)
    fields.end()
    return Element(kind, tuple(_claim(each) for each in claims))


def _claim(element: der.Element) -> Claim:
    fields = der.Fields(element, "A claim of the Evidence")
    return Claim(der.oid_of(fields.take(der.OID)), fields.rest() or b"")


def _block(element: der.Element) -> Block:
    fields = der.Fields(element, "A signature of the Evidence")
    who = der.Fields(fields.take(der.SEQUENCE), "Who signed the Evidence")
    named = [who.maybe(0xA0), who.maybe(0xA1), who.maybe(0xA2)]
    who.end()
    algorithm, value = devices.algorithm_of(fields.take(der.SEQUENCE)), der.octets_of(fields.take(der.OCTET_STRING))
    fields.end()
    if not any(named):
        raise BadInput("A signature of the Evidence does not say whose it is.")
    inside = [None if each is None else der.read(each.content) for each in named]
    return Block(
        key_identifier=None if inside[0] is None else der.octets_of(inside[0]),
        spki=None if inside[1] is None else inside[1].raw,
        certificate=None if inside[2] is None else inside[2].raw,
        algorithm=algorithm,
        value=value,
    )


# -- writing -----------------------------------------------------------------------------------------------------------
def to_be_signed(elements: Sequence[Element]) -> bytes:
    """Return TbsEvidence, DER."""
    written = [
        der.sequence(
            der.oid(each.kind),
            der.sequence(*(der.sequence(der.oid(claim.kind), claim.value) for claim in each.claims)),
        )
        for each in elements
    ]
    return der.sequence(der.integer(VERSION), der.sequence(*written))


def signed(tbs: bytes, certificate: bytes, scheme: Scheme, value: bytes) -> bytes:
    """Return Evidence with one signature, by the key of a certificate that stands in it."""
    algorithm = algorithms.signature_identifier(scheme.family, scheme.default_digest)
    sid = der.sequence(der.explicit(2, certificate))
    return der.sequence(tbs, der.sequence(der.sequence(sid, algorithm, der.octet_string(value))))


def certificate_information(spki: bytes, scheme: Scheme, name: str, start: datetime, days: int) -> bytes:
    """Return the TBSCertificate of an attestation key that speaks for itself (RFC 5280 4.1); it is pinned, not issued.

    The serial number is of the key, so that a certificate written again for the same key is the same one.
    """
    subject = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.3"), der.utf8_string(name))))
    begins = start.replace(microsecond=0)
    validity = der.sequence(der.utc_time(begins), der.utc_time(begins + timedelta(days=days)))
    extensions = (
        (devices.BASIC_CONSTRAINTS, der.sequence()),
        (devices.KEY_USAGE, der.bit_string(b"\x80", 7)),
        (devices.EXTENDED_KEY_USAGE, der.sequence(der.oid(ATTESTATION_KEY))),
    )
    held = [der.sequence(der.oid(oid), der.boolean(True), der.octet_string(value)) for oid, value in extensions]
    serial = int.from_bytes(bytes.fromhex(certificates.key_id(spki)[:32]), "big") | 1 << 126
    algorithm = algorithms.signature_identifier(scheme.family, scheme.default_digest)
    parts = (der.explicit(0, der.integer(2)), der.integer(serial), algorithm, subject, validity, subject, spki)
    return der.sequence(*parts, der.explicit(3, der.sequence(*held)))


def certificate(information: bytes, scheme: Scheme, value: bytes) -> bytes:
    """Return the certificate around a signed TBSCertificate."""
    algorithm = algorithms.signature_identifier(scheme.family, scheme.default_digest)
    return der.sequence(information, algorithm, der.bit_string(value))
