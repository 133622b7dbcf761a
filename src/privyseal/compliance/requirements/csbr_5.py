"""Security of a CA at large (CSBR 5): NetSec, the security plan, the yearly look at risks."""

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

NETSEC = Requirement(
    id="CSBR-5-01",
    clause="5",
    title="NetSec counts as part of the Requirements",
    text="A CA keeps the Network and Certificate System Security Requirements as if they stood in this document.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("A verdict on each NSR entry for the CA's systems, with its evidence.", ("audit-report",)),
    notes=(
        "Version 1.2 had the same duty in its section on scope. Section 6.7 names the Signing Service and the TSA"
        " as well.",
        "The sentence cites no version of NetSec; the list of references cites 1.7.",
    ),
)

SECURITY_PROGRAMME = Requirement(
    id="CSBR-5-02",
    clause="5",
    title="A security programme, written down",
    text=(
        "A programme keeps certificate data secret, right and at hand: premises, systems, network, accounts, access"
        " and its logs."
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
    wants=Wants("A security plan with a part on each of the five fields that the clause names.", ("security-plan",)),
)

RISK_ASSESSMENT = Requirement(
    id="CSBR-5-03",
    clause="5",
    title="Risk assessment every year",
    text=(
        "Each year the CA asks what could go wrong, how likely and how bad, and whether its controls are enough; its"
        " plan answers that."
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
        "A risk assessment of the last 365 days with those three parts, and a security plan that cites it.",
        ("risk-assessment", "security-plan"),
    ),
    notes=("Section 5.4.8 asks the same under its own number.",),
)

REQUIREMENTS = (
    NETSEC,
    SECURITY_PROGRAMME,
    RISK_ASSESSMENT,
)
