"""What a CA has ready for a bad day (CSBR 5.7), and what it says before it stops (CSBR 5.8)."""

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

CONTINUITY = Requirement(
    id="CSBR-5.7.1-01",
    clause="5.7.1",
    title="Plans for incidents, disasters and going on",
    text=(
        "There are plans for incidents, disasters and continuity, with the fifteen listed contents, tested and"
        " renewed yearly, open to auditors."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "The three plans, and a test and a review of the last 365 days.",
        ("irp", "drp", "bcp", "review-record"),
    ),
)

END_OF_STATUS = Requirement(
    id="CSBR-5.8-01",
    clause="5.8",
    title="Ninety days before revocation answers end early",
    text=(
        "A CA that stops answering on revocation before the day in its CPS tells the Application Software Suppliers"
        " 90 days ahead."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("The notice, sent 90 days or more before the end.", ("platform-notice",)),
)

REQUIREMENTS = (
    CONTINUITY,
    END_OF_STATUS,
)
