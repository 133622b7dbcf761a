"""Liability, and laws that forbid a rule (CSBR 9.8, 9.16)."""

from __future__ import annotations

from datetime import date

from privyseal.compliance.requirement import (
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
    Wants,
)

REQUIREMENTS = (
    Requirement(
        id="CSBR-9.8-01",
        clause="9.8",
        title="The CA answers for its delegates",
        text="However a contract divides liability, towards others the CA is responsible for what it delegated.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT,),
        wants=Wants("Somebody has to read what the contracts with delegates say about liability.", judgement=True),
    ),
    Requirement(
        id="CSBR-9.8-02",
        clause="9.8",
        title="Liability for EV is not capped below 2,000 dollars",
        text=(
            "For an EV certificate no cap on liability may lie below 2,000 US dollars for each Subscriber or Relying"
            " Party."
        ),
        obligation=Obligation.SHALL_NOT,
        binds=(Party.CA,),
        applies_to=(Scope.EV,),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants("The cap in the practice statement and in the agreements.", ("cp-cps", "subscriber-agreement")),
    ),
    Requirement(
        id="CSBR-9.16.3-01",
        clause="9.16.3",
        title="Where the law forbids a rule, the Forum is told",
        text=(
            "A requirement that a law makes illegal is changed no more than is needed, and the CA/Browser Forum hears"
            " of it."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("Somebody has to say which laws conflict, and show what the Forum was told.", judgement=True),
        notes=("In version 1.2 it was the platform vendors who were told.",),
    ),
)
