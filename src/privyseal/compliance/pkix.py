"""What pkilint finds of a certificate under the PKIX profile (RFC 5280), as findings of ours.

pkilint has no clauses: a finding of its has a severity and a stable dotted code. Such a finding becomes one of ours
whose ``requirement`` is ``PKIX-`` and that code, so that it cannot be taken for a clause of the Requirements; the
``clause`` is the section of the RFC that the code speaks of, as far as we know it. FATAL, ERROR and WARNING (a SHOULD)
are not-met; NOTICE and INFO break no rule and are left out; a validator of pkilint's that fails is broken. An object of
which nothing is found gets one finding, ``PKIX-none``, met.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

from pkilint import loader
from pkilint.pkix import certificate as pkilint_certificate
from pkilint.pkix import extension, name
from pkilint.validation import ValidationFindingSeverity, Validator, ValidatorContainer

from privyseal.compliance.certificate import JudgedCertificate
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.pki.extensions import CERTIFICATE_POLICIES

SECTIONS: tuple[tuple[str, str], ...] = (
    ("authority_information_access", "4.2.2.1"),
    ("subject_information_access", "4.2.2.2"),
    ("aki_", "4.2.1.1"),
    ("authority_key_identifier", "4.2.1.1"),
    ("skid_", "4.2.1.2"),
    ("subject_key_identifier", "4.2.1.2"),
    ("key_usage_extension_with_timestamping", "RFC 3161 2.3"),
    ("extended_key_usage", "4.2.1.12"),
    ("key_usage", "4.2.1.3"),
    ("keyusage", "4.2.1.3"),
    ("ku_", "4.2.1.3"),
    ("policy_mappings", "4.2.1.5"),
    ("policy_constraints", "4.2.1.11"),
    ("inhibit_anypolicy", "4.2.1.14"),
    ("polic", "4.2.1.4"),
    ("name_constraint", "4.2.1.10"),
    ("basic_constraints", "4.2.1.9"),
    ("issuer_alt_name", "4.2.1.7"),
    ("subject_directory_attributes", "4.2.1.8"),
    ("crldp", "4.2.1.13"),
    ("distribution_point", "4.2.1.13"),
    ("serial_number", "4.1.2.2"),
    ("version", "4.1.2.1"),
    ("signature_algorithm_mismatch", "4.1.1.2"),
    ("validity", "4.1.2.5"),
    ("time", "4.1.2.5"),
    ("unique_id", "4.1.2.8"),
    ("rdn_", "4.1.2.4"),
    ("name_empty", "4.1.2.4"),
    ("duplicate_extension", "4.2"),
    ("san_", "4.2.1.6"),
    ("domain", "4.2.1.6"),
    ("uri", "4.2.1.6"),
    ("email", "4.2.1.6"),
    ("ip_address", "4.2.1.6"),
)
"""Part of a code -> section of RFC 5280; the first that fits."""

MAX_FINDINGS = 100
"""Findings that are kept of one object; a hostile one can hold a thousand bad names."""
MAX_POLICIES_OCTETS = 8 << 10
"""Octets of certificatePolicies; pkilint compares each policy with each, and takes 20 s for those that 64 KiB hold."""
MAX_MESSAGE = 300
"""Characters that are kept of pkilint's own words, which quote the object."""

_VERDICTS = {
    ValidationFindingSeverity.FATAL: Verdict.NOT_MET,
    ValidationFindingSeverity.ERROR: Verdict.NOT_MET,
    ValidationFindingSeverity.WARNING: Verdict.NOT_MET,
}

logging.getLogger("pkilint").addHandler(logging.NullHandler())  # what fails in it is a finding; stderr is for people


def certificate_findings(certificate: JudgedCertificate) -> Iterator[Finding]:
    """Yield pkilint's findings of a certificate under its own PKIX profile, as ``lint_pkix_cert`` has it."""
    day = certificate.not_before.date()
    policies = certificate.extension(CERTIFICATE_POLICIES)
    if policies is not None and len(policies.value) > MAX_POLICIES_OCTETS:
        why = f"its certificatePolicies has {len(policies.value)} octets; at most {MAX_POLICIES_OCTETS} are compared"
        yield _finding("base.too_many_policies", certificate.label, day, Verdict.BROKEN, why)
        return
    try:
        document = loader.load_der_certificate(certificate.octets)
    except Exception as error:  # pyasn1 raises of many kinds, and what it refuses is not DER or no certificate
        yield _finding(
            "itu.invalid_asn1_syntax", certificate.label, day, Verdict.NOT_MET, getattr(error, "message", str(error))
        )
        return
    yield from findings(_certificate_rules(), document.root, certificate.label, day)


def findings(rules: Validator, root: Any, label: str, day: date) -> Iterator[Finding]:
    """Run validators of pkilint's on a document's root node; yield what they find as findings of ours."""
    count = 0
    try:
        results = rules.validate(root)
    except Exception as error:  # a validator that asks for what is not there, before pkilint itself would catch it
        yield _finding("base.unhandled_exception", label, day, Verdict.BROKEN, type(error).__name__)
        return
    for result in results:
        for described in result.finding_descriptions:
            code = described.finding.code
            verdict = Verdict.BROKEN if code.startswith("base.") else _VERDICTS.get(described.finding.severity)
            if verdict is None or count == MAX_FINDINGS:
                continue
            count += 1
            yield _finding(code, label, day, verdict, described.message or "", result.node.path)
    if not count:
        sentence = "pkilint finds nothing against the profile of RFC 5280."
        yield Finding("PKIX-none", "RFC 5280", "", label, Verdict.MET, sentence, governed=day)


def _finding(code: str, label: str, day: date, verdict: Verdict, message: str, path: str = "") -> Finding:
    words = code.partition(".")[2].replace("_", " ")
    said = " ".join(message.split())
    said = said if len(said) <= MAX_MESSAGE else said[: MAX_MESSAGE - 1] + "…"
    place = next((each for each in reversed(path.split(".")) if each and not each.isdigit()), "")
    text = f"pkilint: {words}{f', at {place}' if place else ''}{f': {said}' if said else ''}"
    section = next((section for part, section in SECTIONS if part in code), "")
    clause = section if section.startswith("RFC") else f"RFC 5280 {section}".rstrip()
    return Finding(f"PKIX-{code}", clause, "", label, verdict, text.rstrip(".") + ".", governed=day)


@cache
def _certificate_rules() -> ValidatorContainer:
    """Build pkilint's PKIX profile once; its validators keep nothing between documents."""
    made = pkilint_certificate
    decoding = made.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS)
    parts: list[Validator] = [
        made.create_issuer_validator_container([]),
        made.create_validity_validator_container(),
        made.create_subject_validator_container([]),
        made.create_extensions_validator_container([]),
        made.create_spki_validator_container([]),
    ]
    return made.create_pkix_certificate_validator_container(decoding, parts)
