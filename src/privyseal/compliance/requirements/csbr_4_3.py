"""Issuance (4.3): a root does not sign by itself."""

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
        id="CSBR-4.3.1-01",
        clause="4.3.1",
        title="A root signs only at a person's command",
        text="A Root CA signs a certificate only when an authorised person deliberately commands it.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "For each signature of a root the person who commanded it, and the ceremony.",
            ("key-ceremony", "log:certificate"),
        ),
    ),
)
"""In the order of the clauses."""
