"""Audit schemes (CSBR 8.4): one list each for the CA, the Signing Service and the Timestamp Authority."""

from __future__ import annotations

from datetime import date

from privyseal.compliance.requirement import (
    Conflict,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Nature,
    Obligation,
    Party,
    Reading,
    Requirement,
    Scope,
    Severity,
    Source,
    Wants,
)

FIRST_DAY = Conflict(
    "The table of dates (1.2.2) and the clause itself (8.4.2) begin on different days.",
    (
        Reading("text", "Periods that start after 30 June 2024, as the clause says.", date(2024, 7, 1)),
        Reading("table", "Periods that start on 15 June 2024 or later, as the table of dates says.", date(2024, 6, 15)),
    ),
    "text",
)
"""From which day a Signing Service's audit periods are under 8.4.2. The clause is what binds and the table sums it up,
so the clause's day holds until the operator chooses; whoever chooses should do so alike for all three entries."""

REQUIREMENTS = (
    Requirement(
        id="CSBR-8.4.1-01",
        clause="8.4.1",
        title="Schemes for a CA's audit",
        text=(
            "A CA is audited by WebTrust for CAs with the Code Signing and Network Security criteria, or by ETSI EN"
            " 319 411-1 with EN 319 401, or by a government's equal scheme."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("A report whose criteria make up one complete set of those named.", ("audit-report",)),
        notes=(
            "The WebTrust criteria: for CAs 2.0, Code Signing 2.0, Network Security 1.0, or later.",
            "CSC-10 brought WebTrust for Code Signing 2.0; CSC-21 added Network Security.",
        ),
    ),
    Requirement(
        id="CSBR-8.4.2-01",
        clause="8.4.2",
        title="A Signing Service has a conformity audit",
        text=(
            "Each audit period that starts after 30 June 2024 has a listed scheme's conformity audit of the Signing"
            " Service."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 7, 1)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants("A report for the period, and no day between it and the one before.", ("audit-report",)),
        nature=Nature.INTERPRETATION,
        conflict=FIRST_DAY,
        notes=(
            "The minutes of 2023-10-19 spoke of about six months, 1 June 2024 for example.",
            "Nobody is named who would see the report of a service that no CA has a contract with.",
        ),
    ),
    Requirement(
        id="CSBR-8.4.2-02",
        clause="8.4.2",
        title="Schemes for a Signing Service's audit",
        text=(
            "The scheme is WebTrust for Code Signing 2.0 together with Network Security 1.0, or later ones, or else"
            " ETSI EN 319 411-1 with EN 319 401."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 7, 1)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("A report whose criteria make up one of the two sets.", ("audit-report",)),
        nature=Nature.INTERPRETATION,
        conflict=FIRST_DAY,
        notes=("Neither WebTrust for CAs nor a government's scheme is on this list.",),
    ),
    Requirement(
        id="CSBR-8.4.2-03",
        clause="8.4.2",
        title="The scheme keeps watch, the auditor is qualified",
        text=(
            "The scheme monitors between audits or holds to account in some other way, and a Qualified Auditor does"
            " the audit."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 7, 1)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "The scheme's rules on surveillance, and what shows that the auditor is qualified.",
            ("audit-report", "auditor-qualification"),
        ),
        nature=Nature.INTERPRETATION,
        conflict=FIRST_DAY,
    ),
    Requirement(
        id="CSBR-8.4.3-01",
        clause="8.4.3",
        title="A Timestamp Authority has a conformity audit",
        text=(
            "For a Timestamp Authority the audit is by either scheme that a Signing Service can choose, with no later"
            " first day."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.TIMESTAMP_AUTHORITY,),
        applies_to=(Scope.TIMESTAMP,),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "A report whose scope is the Timestamp Authority and whose criteria make up one of the two sets.",
            ("audit-report",),
        ),
    ),
)
