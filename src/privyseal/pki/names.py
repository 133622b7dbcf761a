"""Distinguished names, attribute by attribute as they stand (RFC 5280 4.1.2.4), also such as strict readers refuse."""

from __future__ import annotations

import msgspec

from privyseal.errors import BadInput
from privyseal.pki import der

COMMON_NAME = "2.5.4.3"
SERIAL_NUMBER = "2.5.4.5"
COUNTRY = "2.5.4.6"
LOCALITY = "2.5.4.7"
STATE = "2.5.4.8"
STREET = "2.5.4.9"
ORGANIZATION = "2.5.4.10"
ORGANIZATIONAL_UNIT = "2.5.4.11"
BUSINESS_CATEGORY = "2.5.4.15"
POSTAL_CODE = "2.5.4.17"
DOMAIN_COMPONENT = "0.9.2342.19200300.100.1.25"
EMAIL = "1.2.840.113549.1.9.1"
"""Attributes of names (X.520; RFC 4519; RFC 5280 4.1.2.6 and appendix A), dotted."""
JURISDICTION_LOCALITY = "1.3.6.1.4.1.311.60.2.1.1"
JURISDICTION_STATE = "1.3.6.1.4.1.311.60.2.1.2"
JURISDICTION_COUNTRY = "1.3.6.1.4.1.311.60.2.1.3"
"""Where an EV subject is registered (CSBR 7.1.4.2; EV Guidelines 9.2.4), dotted."""

WORDS: dict[str, str] = {
    COMMON_NAME: "commonName",
    SERIAL_NUMBER: "serialNumber",
    COUNTRY: "countryName",
    LOCALITY: "localityName",
    STATE: "stateOrProvinceName",
    STREET: "streetAddress",
    ORGANIZATION: "organizationName",
    ORGANIZATIONAL_UNIT: "organizationalUnitName",
    BUSINESS_CATEGORY: "businessCategory",
    POSTAL_CODE: "postalCode",
    DOMAIN_COMPONENT: "domainComponent",
    EMAIL: "emailAddress",
    JURISDICTION_LOCALITY: "jurisdictionLocalityName",
    JURISDICTION_STATE: "jurisdictionStateOrProvinceName",
    JURISDICTION_COUNTRY: "jurisdictionCountryName",
}
"""What people call an attribute, by its dotted identifier."""

MAX_ATTRIBUTES = 256
"""Attributes of one name; an EV subject has about 15, and RFC 5280 sets no bound."""

_CODECS = {
    der.UTF8_STRING: "utf-8",
    der.PRINTABLE_STRING: "ascii",
    der.IA5_STRING: "ascii",
    der.BMP_STRING: "utf-16-be",
    0x12: "ascii",  # NumericString
    0x14: "latin-1",  # TeletexString, which everybody reads so
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
}


class Attribute(msgspec.Struct, frozen=True, gc=False):
    """One attribute of a name: its type, dotted, and its value as text; octets that are no text become U+FFFD."""

    type: str
    value: str

    @property
    def word(self) -> str:
        """Name the type as people do, or dotted where it is not a common one."""
        return WORDS.get(self.type, self.type)


def read_name(element: der.Element) -> tuple[Attribute, ...]:
    """Read a Name's attributes in their order, those of a multi-valued RDN one after the other; BadInput otherwise."""
    found: list[Attribute] = []
    for rdn in _of(element, der.SEQUENCE, "A name"):
        for one in _of(rdn, der.SET, "A relative name"):
            fields = der.Fields(one, "An attribute of a name")
            kind = der.oid_of(fields.take(der.OID))
            value = fields.take()
            fields.end()
            codec = _CODECS.get(value.tag, "latin-1")
            found.append(Attribute(kind, value.content.decode(codec, "replace")))
            if len(found) > MAX_ATTRIBUTES:
                raise BadInput(f"A name has more than {MAX_ATTRIBUTES} attributes; that many are read.")
    return tuple(found)


def in_words(name: bytes) -> str:
    """Say what a Name (DER) is, attribute by attribute; BadInput where it is none."""
    return ", ".join(f"{each.word}={each.value}" for each in read_name(der.read(name)))


def _of(element: der.Element, tag: int, what: str) -> list[der.Element]:
    if element.tag != tag:
        raise BadInput(f"{what} should have tag 0x{tag:02x} and has 0x{element.tag:02x}.")
    return der.children(element)
