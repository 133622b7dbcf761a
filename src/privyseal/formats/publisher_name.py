"""The publisher that an app package or a ClickOnce manifest names, held against a certificate's subject.

Windows installs a package only where the Publisher of its manifest is the subject of the signer's certificate, written
as Windows writes names: last attribute first. Source: Microsoft, "Package manifest schema reference", Identity, whose
pattern for Publisher is followed here; and what CertNameToStr writes with CERT_X500_NAME_STR and REVERSE_FLAG.
"""

from __future__ import annotations

import re
from typing import Final

from privyseal.errors import BadInput
from privyseal.pki import certificates, der, names

MAX_PUBLISHER: Final = 8192
"""Characters of a publisher; the schema says so."""

_SHORT: dict[str, str] = {
    "CN": names.COMMON_NAME,
    "L": names.LOCALITY,
    "O": names.ORGANIZATION,
    "OU": names.ORGANIZATIONAL_UNIT,
    "E": names.EMAIL,
    "C": names.COUNTRY,
    "S": names.STATE,
    "STREET": names.STREET,
    "T": "2.5.4.12",
    "G": "2.5.4.42",
    "I": "2.5.4.43",
    "SN": "2.5.4.4",
    "DC": names.DOMAIN_COMPONENT,
    "SERIALNUMBER": names.SERIAL_NUMBER,
    "Description": "2.5.4.13",
    "PostalCode": names.POSTAL_CODE,
    "POBox": "2.5.4.18",
    "Phone": "2.5.4.20",
    "X21Address": "2.5.4.24",
    "dnQualifier": "2.5.4.46",
}
_BY_OID = {dotted: short for short, dotted in _SHORT.items()}
_PART = re.compile(r'\s*([A-Za-z0-9.]+)\s*=\s*(?:"((?:[^"]|"")*)"|([^,+="<>#;]*[^,+="<>#;\s]|))\s*(?:,|\Z)')
_PLAIN = re.compile(r'[^,+="<>#;\n\s](?:[^,+="<>#;\n]*[^,+="<>#;\n\s])?')


def parse(publisher: str) -> tuple[tuple[str, str], ...]:
    """Return a publisher's attributes, dotted type and value, in the order in which they are written.

    BadInput where it is not written as the schema of manifests says.
    """
    if not 0 < len(publisher) <= MAX_PUBLISHER:
        raise BadInput(f"A publisher has from 1 to {MAX_PUBLISHER} characters; {len(publisher)} were given.")
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(publisher):
        part = _PART.match(publisher, at)
        if part is None:
            raise BadInput(
                f"The publisher {publisher[:200]!r} cannot be understood from {publisher[at : at + 40]!r} on."
            )
        word, quoted, plain = part.groups()
        dotted = _SHORT.get("S" if word == "ST" else word, word.removeprefix("OID.") if word[:4] == "OID." else "")
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)+", dotted):
            raise BadInput(f"The publisher {publisher[:200]!r} names something by {word!r}, which is no kind of name.")
        found.append((dotted, plain if quoted is None else quoted.replace('""', '"')))
        at = part.end()
    return tuple(found)


def of_certificate(certificate: bytes) -> str:
    """Return the Publisher that a package needs for its certificate to be this one; BadInput where it is no such."""
    parts = []
    for one in reversed(names.read_name(der.read(certificates.outline(certificate).subject))):
        plain = _PLAIN.fullmatch(one.value) is not None
        value = one.value if plain else '"' + one.value.replace('"', '""') + '"'
        parts.append(f"{_BY_OID.get(one.type, 'OID.' + one.type)}={value}")
    return ", ".join(parts)


def mismatch(publisher: str, certificate: bytes) -> str | None:
    """Return a sentence where the publisher is not the certificate's subject, None where it is; BadInput as above."""
    subject = tuple(
        (one.type, one.value) for one in names.read_name(der.read(certificates.outline(certificate).subject))
    )
    if parse(publisher) == subject[::-1]:
        return None
    return (
        f"The manifest names the publisher {publisher[:200]!r}, and the certificate is for "
        f"{of_certificate(certificate)[:200]!r}; Windows installs a package only where they are the same."
    )
