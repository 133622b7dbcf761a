"""How long a certificate may be valid (CSBR 6.3.2), counted with both ends, as 1.6.1 defines a validity period.

A certificate is valid from its notBefore through its notAfter: of 460 days the last second is notBefore + 460 d - 1 s.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import partial

from privyseal.compliance.certificate import JudgedCertificate, Role, only
from privyseal.compliance.outcome import Outcome, met, not_met
from privyseal.compliance.periods import months_after
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
from privyseal.compliance.requirements.csbr_6_1_5 import leaf_key

DAYS = 460
"""Days that a code signing certificate may be valid since 2026-03-01 (CSBR 6.3.2, CSC-31)."""
MONTHS = 39
"""Months that a code signing certificate could be valid before (CSBR 6.3.2)."""
TIMESTAMP_MONTHS = 135
"""Months that a timestamp certificate may be valid (CSBR 6.3.2)."""

_SECOND = timedelta(seconds=1)


def _within(certificate: JudgedCertificate, bound: datetime, limit: str, note: str = "") -> Outcome:
    """Judge a validity period against the first moment that lies outside the longest one allowed."""
    beyond = certificate.not_after + _SECOND - bound
    lasts = f"{certificate.not_before:%Y-%m-%d %H:%M:%S} to {certificate.not_after:%Y-%m-%d %H:%M:%S} UTC"
    if beyond <= timedelta(0):
        return met(f"It is valid from {lasts}, both ends counted; that is at most {limit}.")
    return not_met(
        f"It is valid from {lasts}, which is {_words(beyond)} longer than {limit} with both ends counted.{note}",
        f"let it end at {bound - _SECOND:%Y-%m-%d %H:%M:%S} UTC or before",
    )


def _words(span: timedelta) -> str:
    if span == _SECOND:
        return "one second"
    return f"{span.seconds} s" if span < timedelta(minutes=1) else str(span)


@only(Role.LEAF)
def _days(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    bound = certificate.not_before + timedelta(days=DAYS)
    note = ""
    if certificate.not_after == bound:
        note = " zlint passes it, since it counts one end only."
    return _within(certificate, bound, f"{DAYS} days", note)


@only(Role.LEAF)
def _months(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return _within(certificate, months_after(certificate.not_before, MONTHS), f"{MONTHS} months")


@only(Role.LEAF)
def _timestamp_months(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    bound = months_after(certificate.not_before, TIMESTAMP_MONTHS)
    return _within(certificate, bound, f"{TIMESTAMP_MONTHS} months")


_entry = partial(
    Requirement,
    clause="6.3.2",
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)

TODAY = _entry(
    id="CSBR-6.3.2-01",
    title="At most 460 days",
    text="A code signing certificate issued since 1 March 2026 is valid for 460 days or less.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.CA, Party.SIGNING_SERVICE),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-31", "3.10"),
    in_force=InForce(date(2026, 3, 1)),
    check=_days,
    notes=("zlint counts one end only, and so passes 460 days and one second.",),
)

BEFORE = _entry(
    id="CSBR-6.3.2-90",
    title="At most 39 months, until February 2026",
    text="A code signing certificate issued before 1 March 2026 is valid for 39 months or less.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.CA, Party.SIGNING_SERVICE),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2026, 2, 28)),
    superseded_by="CSBR-6.3.2-01",
    check=_months,
    notes=("The last certificates that it governs end in May 2029.",),
)

TIMESTAMP = _entry(
    id="CSBR-6.3.2-03",
    title="At most 135 months for a timestamp certificate",
    text="A timestamp certificate is valid for 135 months or less.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.TIMESTAMP_AUTHORITY, Party.CA),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    check=_timestamp_months,
)

TIMESTAMP_KEY = _entry(
    id="CSBR-6.3.2-10",
    title="A timestamp certificate's key is as 6.1.5 asks",
    text="The Key Pair of a timestamp certificate has a kind and size that section 6.1.5 allows.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY, Party.CA),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    check=only(Role.LEAF)(leaf_key),
)

REQUIREMENTS = (TODAY, BEFORE, TIMESTAMP, TIMESTAMP_KEY)
