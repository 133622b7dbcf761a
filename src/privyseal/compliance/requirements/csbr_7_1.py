"""Serial numbers, versions, and whatever else stands in a certificate (CSBR 7.1, 7.1.1, 7.1.2.4)."""

from __future__ import annotations

from datetime import date
from functools import partial

from privyseal.compliance.certificate import JudgedCertificate
from privyseal.compliance.outcome import Outcome, judgement, met, not_evidenced, not_met
from privyseal.compliance.requirement import (
    Asked,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Obligation,
    Party,
    Requirement,
    Scope,
    Severity,
    Source,
)
from privyseal.pki import extensions

ENTROPY_BITS = 64
"""Bits of a serial number that come from a CSPRNG, at least (CSBR 7.1)."""
HOPELESS_BITS = 40
"""A serial number this short comes out of 64 random bits once in 16 million certificates."""

PROFILED = {
    extensions.SUBJECT_KEY_IDENTIFIER,
    extensions.KEY_USAGE,
    extensions.SUBJECT_ALT_NAME,
    extensions.BASIC_CONSTRAINTS,
    extensions.NAME_CONSTRAINTS,
    extensions.CRL_DISTRIBUTION_POINTS,
    extensions.CERTIFICATE_POLICIES,
    extensions.AUTHORITY_KEY_IDENTIFIER,
    extensions.EXTENDED_KEY_USAGE,
    extensions.AUTHORITY_INFORMATION_ACCESS,
}
"""Extensions that the profiles name, or whose use RFC 5280 explains for these certificates."""


def _serial(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    bits = certificate.serial.bit_length()
    if certificate.serial <= 0:
        return not_met("Its serial number is not above zero.", "issue it anew, with a random serial number")
    if bits < HOPELESS_BITS:
        return not_met(
            f"Its serial number {certificate.serial:X} is too short to hold {ENTROPY_BITS} random bits.",
            "issue it anew, with a random serial number",
        )
    if bits < ENTROPY_BITS:
        return judgement(
            f"Its serial number has {bits} bits, which 64 random ones rarely give: look at the CA's others."
        )
    return not_evidenced(
        f"Its serial number is above zero and has {bits} bits; that 64 of them are random, the CA's generator shows.",
        "show how the CA makes serial numbers",
    )


def _version(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.version == 3:
        return met("It is of version 3.")
    return not_met(f"It is of version {certificate.version}.", "issue it as version 3")


def _explained(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    others = [each.word for each in certificate.extensions if each.oid not in PROFILED]
    if others:
        return judgement(f"It has {', '.join(others[:10])}, of which the profiles say nothing: the CA has to know why.")
    return met("Each of its extensions is one that the profiles name.")


_entry = partial(
    Requirement,
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)

SERIAL = _entry(
    id="CSBR-7.1-01",
    clause="7.1",
    title="Serial numbers with 64 random bits",
    text="Serial numbers are positive, follow no sequence, and take 64 or more bits from a CSPRNG.",
    check=_serial,
    notes=(
        "Before CSC-19 the TLS Baseline Requirements said so, to which this document referred.",
        "One certificate can break it and cannot prove it.",
    ),
)
VERSION = _entry(
    id="CSBR-7.1.1-01",
    clause="7.1.1",
    title="X.509 version 3",
    text="A certificate is of X.509 version 3.",
    check=_version,
)
EXPLAINED = _entry(
    id="CSBR-7.1.2.4-01",
    clause="7.1.2.4",
    title="Nothing that nobody can explain",
    text="A certificate holds no extension, purpose or data beyond its profile unless the CA knows why it is there.",
    obligation=Obligation.SHALL_NOT,
    source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
    in_force=InForce(date(2021, 9, 8)),
    severity=Severity.MEDIUM,
    check=_explained,
)

REQUIREMENTS = (SERIAL, VERSION, EXPLAINED)
