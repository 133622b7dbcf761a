"""Procedural controls (CSBR 5.2): for some deeds one person is not enough."""

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

DUAL_CONTROL = Requirement(
    id="CSBR-5.2.2-01",
    clause="5.2.2",
    title="Two people for a CA key",
    text=(
        "A CA key is backed up, stored and restored only by two or more people in Trusted Roles, together, in a"
        " guarded place."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "Each backup and each restoration of a CA key, with two different people who did it.",
        ("log:key", "key-ceremony"),
    ),
    notes=(
        "It is about the keys of CAs. No sentence asks it for Subscriber keys at a Signing Service; there it is"
        " good practice.",
    ),
)

EV_SPLIT_DUTIES = Requirement(
    id="CSBR-5.2.4-01",
    clause="5.2.4",
    title="Nobody decides on an EV certificate alone",
    text="Whoever validated an EV request cannot be the only one to approve it, and an auditor can see that it was so.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV,),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "For each EV certificate who validated and who approved, as two people.",
        ("log:validation", "log:certificate"),
    ),
)

REQUIREMENTS = (
    DUAL_CONTROL,
    EV_SPLIT_DUTIES,
)
