"""The values of X.509 extensions (RFC 5280 4.2), read from their octets alone; each is BadInput where it is malformed.

For judging certificates, also bad ones: a library that refuses a whole certificate for one odd extension, as
``cryptography`` does, leaves nothing to judge.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from privyseal.errors import BadInput
from privyseal.pki import der

SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
KEY_USAGE = "2.5.29.15"
SUBJECT_ALT_NAME = "2.5.29.17"
ISSUER_ALT_NAME = "2.5.29.18"
BASIC_CONSTRAINTS = "2.5.29.19"
NAME_CONSTRAINTS = "2.5.29.30"
CRL_DISTRIBUTION_POINTS = "2.5.29.31"
CERTIFICATE_POLICIES = "2.5.29.32"
POLICY_MAPPINGS = "2.5.29.33"
AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
POLICY_CONSTRAINTS = "2.5.29.36"
EXTENDED_KEY_USAGE = "2.5.29.37"
INHIBIT_ANY_POLICY = "2.5.29.54"
AUTHORITY_INFORMATION_ACCESS = "1.3.6.1.5.5.7.1.1"
"""Extensions of certificates and CRLs (RFC 5280 4.2.1, 4.2.2), dotted."""

WORDS: dict[str, str] = {
    SUBJECT_KEY_IDENTIFIER: "subjectKeyIdentifier",
    KEY_USAGE: "keyUsage",
    SUBJECT_ALT_NAME: "subjectAltName",
    ISSUER_ALT_NAME: "issuerAltName",
    BASIC_CONSTRAINTS: "basicConstraints",
    NAME_CONSTRAINTS: "nameConstraints",
    CRL_DISTRIBUTION_POINTS: "cRLDistributionPoints",
    CERTIFICATE_POLICIES: "certificatePolicies",
    POLICY_MAPPINGS: "policyMappings",
    AUTHORITY_KEY_IDENTIFIER: "authorityKeyIdentifier",
    POLICY_CONSTRAINTS: "policyConstraints",
    EXTENDED_KEY_USAGE: "extendedKeyUsage",
    INHIBIT_ANY_POLICY: "inhibitAnyPolicy",
    AUTHORITY_INFORMATION_ACCESS: "authorityInfoAccess",
}
"""What people call an extension, by its dotted identifier."""

OCSP = "1.3.6.1.5.5.7.48.1"
CA_ISSUERS = "1.3.6.1.5.5.7.48.2"
"""Ways in authorityInfoAccess (RFC 5280 4.2.2.1): where status is told, and where the issuer's certificate is."""
CPS = "1.3.6.1.5.5.7.2.1"
"""id-qt-cps (RFC 5280 4.2.1.4): the qualifier that points to a CPS."""
ANY_POLICY = "2.5.29.32.0"
"""anyPolicy (RFC 5280 4.2.1.4)."""

KEY_USAGES = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
"""The bits of keyUsage by their number (RFC 5280 4.2.1.3)."""

MAX_EXTENSIONS = 128
"""Extensions of one object; certificates have ten."""

_URI, _DNS = 0x86, 0x82


class Extension(msgspec.Struct, frozen=True, gc=False):
    """One extension as it stands: dotted identifier, criticality, and the octets of its value."""

    oid: str
    critical: bool
    value: bytes

    @property
    def word(self) -> str:
        """Name it as people do, or dotted where it is not a common one."""
        return WORDS.get(self.oid, self.oid)


class BasicConstraints(msgspec.Struct, frozen=True):
    """basicConstraints (RFC 5280 4.2.1.9)."""

    ca: bool
    path_length: int | None = None


class Policy(msgspec.Struct, frozen=True):
    """One entry of certificatePolicies (RFC 5280 4.2.1.4): its identifier and the addresses of its CPS."""

    oid: str
    cps: tuple[str, ...] = ()


class Access(msgspec.Struct, frozen=True):
    """One entry of authorityInfoAccess (RFC 5280 4.2.2.1); ``uri`` is None where it names something else."""

    method: str
    uri: str | None


def read_extensions(sequence: der.Element) -> tuple[Extension, ...]:
    """Read Extensions in their order; a criticality other than DER's two octets counts as true."""
    if sequence.tag != der.SEQUENCE:
        raise BadInput("The extensions are not a SEQUENCE.")
    found: list[Extension] = []
    for element in der.children(sequence, MAX_EXTENSIONS):
        fields = der.Fields(element, "An extension")
        oid = der.oid_of(fields.take(der.OID))
        critical = fields.maybe(der.BOOLEAN)
        value = der.octets_of(fields.take(der.OCTET_STRING))
        fields.end()
        found.append(Extension(oid, critical is not None and critical.content != b"\x00", value))
    return tuple(found)


def key_usage_of(value: bytes) -> frozenset[str]:
    """Return the names of the bits that are set."""
    octets = der.bits_of(der.read(value))[:2]
    return frozenset(
        word for bit, word in enumerate(KEY_USAGES) if bit // 8 < len(octets) and octets[bit // 8] & 0x80 >> bit % 8
    )


def extended_key_usage_of(value: bytes) -> tuple[str, ...]:
    """Return the purposes, dotted, in their order."""
    return tuple(der.oid_of(each) for each in der.children(_sequence(value)))


def basic_constraints_of(value: bytes) -> BasicConstraints:
    """Return whether it is a CA, and how many CAs may follow."""
    fields = der.Fields(_sequence(value), "basicConstraints")
    ca = fields.maybe(der.BOOLEAN)
    length = fields.maybe(der.INTEGER)
    fields.end()
    return BasicConstraints(
        ca is not None and ca.content != b"\x00", None if length is None else der.integer_of(length)
    )


def policies_of(value: bytes) -> tuple[Policy, ...]:
    """Return the policies in their order, each with the addresses that its id-qt-cps qualifiers hold."""
    found: list[Policy] = []
    for element in der.children(_sequence(value)):
        fields = der.Fields(element, "A policy")
        oid = der.oid_of(fields.take(der.OID))
        qualifiers = fields.maybe(der.SEQUENCE)
        fields.end()
        addresses: list[str] = []
        for each in der.children(qualifiers) if qualifiers is not None else ():
            parts = der.Fields(each, "A policy qualifier")
            kind = der.oid_of(parts.take(der.OID))
            content = parts.take()
            if kind == CPS:
                addresses.append(_text(content))
        found.append(Policy(oid, tuple(addresses)))
    return tuple(found)


def access_of(value: bytes) -> tuple[Access, ...]:
    """Return the entries of authorityInfoAccess in their order."""
    found: list[Access] = []
    for element in der.children(_sequence(value)):
        fields = der.Fields(element, "An access description")
        method = der.oid_of(fields.take(der.OID))
        place = fields.take()
        fields.end()
        found.append(Access(method, _text(place) if place.tag == _URI else None))
    return tuple(found)


def distribution_uris_of(value: bytes) -> tuple[str, ...]:
    """Return the addresses in the full names of all distribution points, in their order."""
    found: list[str] = []
    for element in der.children(_sequence(value)):
        name = der.Fields(element, "A distribution point").maybe(0xA0)
        if name is None:
            continue
        for choice in der.children(name, 1):
            found += _uris(der.children(choice)) if choice.tag == 0xA0 else ()
    return tuple(found)


def authority_key_of(value: bytes) -> bytes | None:
    """Return the keyIdentifier of an authorityKeyIdentifier, or None where it has none."""
    first = der.Fields(_sequence(value), "authorityKeyIdentifier").maybe(0x80)
    return None if first is None else first.content


def subject_key_of(value: bytes) -> bytes:
    """Return the octets of a subjectKeyIdentifier."""
    return der.octets_of(der.read(value))


def dns_names_of(value: bytes) -> tuple[str, ...]:
    """Return the dNSNames of a subjectAltName."""
    return tuple(_text(each) for each in der.children(_sequence(value)) if each.tag == _DNS)


def _uris(names: Iterable[der.Element]) -> Iterable[str]:
    return (_text(each) for each in names if each.tag == _URI)


def _sequence(value: bytes) -> der.Element:
    element = der.read(value)
    if element.tag != der.SEQUENCE:
        raise BadInput(f"A SEQUENCE should stand where an element of tag 0x{element.tag:02x} does.")
    return element


def _text(element: der.Element) -> str:
    return element.content.decode("latin-1")
