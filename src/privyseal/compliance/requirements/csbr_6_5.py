"""Security of computers (CSBR 6.5): one sentence on accounts that can issue."""

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

ISSUANCE_FACTORS = Requirement(
    id="CSBR-6.5.1-01",
    clause="6.5.1",
    title="Several factors where certificates can be issued",
    text="Each account that can bring about a certificate directly uses multi-factor authentication.",
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
        "The accounts with that right, the factors of each, and the factors used at each issuance.",
        ("log:access-review", "log:authentication"),
    ),
)

REQUIREMENTS = (ISSUANCE_FACTORS,)
