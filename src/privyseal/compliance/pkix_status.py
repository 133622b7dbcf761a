"""What pkilint finds of CRLs (RFC 5280 5) and of OCSP responses (RFC 6960), as findings of ours; see ``pkix.py``.

pkilint holds a CRL as a tree of Python objects, some 0.5 ms for each entry, so it is given the first of them only, and
a finding says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

import msgspec
from pkilint import loader
from pkilint import pkix as pkilint_pkix
from pkilint.document import Document
from pkilint.pkix import crl as pkilint_crl
from pkilint.pkix import extension, name
from pkilint.pkix import ocsp as pkilint_ocsp
from pkilint.validation import ValidatorContainer

from privyseal.compliance import pkix
from privyseal.compliance.crl import MAX_ENTRIES, RevocationList
from privyseal.compliance.ocsp import StatusResponse
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.pki import der

MAX_LINTED_ENTRIES = 500
"""Entries of a CRL that pkilint looks at; with more it takes longer than half a second."""

_CRL_SECTIONS: tuple[tuple[str, str], ...] = (
    ("crl_number", "RFC 5280 5.2.3"),
    ("aki_", "RFC 5280 5.2.1"),
    ("authority_key_identifier", "RFC 5280 5.2.1"),
    ("reason_code", "RFC 5280 5.3.1"),
    ("revoked_certificates_empty", "RFC 5280 5.1.2.6"),
    ("signature_algorithm", "RFC 5280 5.1.1.2"),
    ("version", "RFC 5280 5.1.2.1"),
    ("validity_period", "RFC 5280 5.1.2.5"),
    ("time", "RFC 5280 5.1.2.4"),
    ("serial_number", "RFC 5280 4.1.2.2"),
    ("name_empty", "RFC 5280 5.1.2.3"),
    ("rdn_", "RFC 5280 5.1.2.3"),
    ("duplicate_extension", "RFC 5280 4.2"),
    ("", "RFC 5280 5"),
)
_OCSP_SECTIONS: tuple[tuple[str, str], ...] = (
    ("validity_period", "RFC 6960 4.2.2.1"),
    ("time", "RFC 6960 4.2.2.1"),
    ("", "RFC 6960 4.2.1"),
)
"""Part of one of pkilint's codes -> the section that it speaks of; the first that fits."""


def crl_findings(listed: RevocationList) -> Iterator[Finding]:
    """Yield pkilint's findings of a CRL under its PKIX profile, as its ``lint_crl`` has it."""
    day = listed.this_update.date()
    yield from _found(
        lambda: loader.load_der_crl(_shortened(listed.octets)), _crl_rules, listed.label, day, _CRL_SECTIONS
    )
    if len(listed.entries) > MAX_LINTED_ENTRIES:
        yield Finding(
            "PKIX-rest",
            "RFC 5280 5",
            "",
            listed.label,
            Verdict.NOT_EVIDENCED,
            f"pkilint was given the first {MAX_LINTED_ENTRIES} of {len(listed.entries)} entries only.",
            governed=day,
        )


def ocsp_findings(response: StatusResponse) -> Iterator[Finding]:
    """Yield pkilint's findings of an OCSP response, as its ``lint_ocsp_response`` has it."""
    day = max(each.this_update for each in response.singles).date()
    yield from _found(
        lambda: loader.load_der_ocsp_response(response.octets), _ocsp_rules, response.label, day, _OCSP_SECTIONS
    )


def _found(
    load: Callable[[], Document],
    rules: Callable[[], ValidatorContainer],
    label: str,
    day: date,
    sections: tuple[tuple[str, str], ...],
) -> Iterator[Finding]:
    try:
        root = load().root
    except Exception:  # pyasn1 raises of many kinds; that it cannot read what we can, is a finding
        yield Finding(
            "PKIX-itu.invalid_asn1_syntax", sections[-1][1], "", label, Verdict.NOT_MET, "pkilint cannot decode it."
        )
        return
    for finding in pkix.findings(rules(), root, label, day):
        section = next(section for part, section in sections if part in finding.requirement)
        text = (
            finding.text.replace("the profile of RFC 5280", section) if finding.verdict is Verdict.MET else finding.text
        )
        yield msgspec.structs.replace(finding, clause=section, text=text)


def _shortened(octets: bytes) -> bytes:
    """Return a CRL with its first entries only; pkilint does not look at the signature."""
    signed, *rest = der.children(der.read(octets))
    fields = der.children(signed)
    at = 1 + max(at for at, each in enumerate(fields) if each.tag in (der.UTC_TIME, der.GENERALIZED_TIME))
    if at == len(fields) or fields[at].tag != der.SEQUENCE:
        return octets
    entries = der.children(fields[at], MAX_ENTRIES)
    if len(entries) <= MAX_LINTED_ENTRIES:
        return octets
    few = der.sequence(*(each.raw for each in entries[:MAX_LINTED_ENTRIES]))
    parts = [each.raw for each in fields]
    parts[at] = few
    return der.sequence(der.sequence(*parts), *(each.raw for each in rest))


@cache
def _crl_rules() -> ValidatorContainer:
    """Build pkilint's PKIX profile for CRLs once; its validators keep nothing between documents."""
    return pkilint_crl.create_pkix_crl_validator_container(
        [
            pkilint_pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkilint_pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            pkilint_crl.create_issuer_validator_container([]),
            pkilint_crl.create_validity_validator_container([]),
            pkilint_crl.create_extensions_validator_container([]),
        ],
    )


@cache
def _ocsp_rules() -> ValidatorContainer:
    """Build pkilint's rules for OCSP responses once."""
    return pkilint_ocsp.create_pkix_ocsp_response_validator_container(
        [
            pkilint_ocsp.create_response_decoder(),
            pkilint_pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkilint_pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [],
    )
