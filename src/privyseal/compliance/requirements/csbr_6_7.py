"""Network security (CSBR 6.7): one sentence that makes a second document binding for the Signing Service."""

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
    id="CSBR-6.7-01",
    clause="6.7",
    title="NetSec binds CA, Signing Service and Timestamp Authority",
    text="The Network and Certificate System Security Requirements hold for the CA, the Signing Service and the TSA.",
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-21", "3.6"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("A verdict on each NSR entry for the systems that sign, with its evidence.", ("audit-report",)),
    notes=(
        "The scope of NetSec itself names CAs and Delegated Third Parties only, up to version 2.0.5: without this"
        " sentence it would not reach a Signing Service.",
        "CSBR's list of references still cites NetSec 1.7; version 2 is the only one since 2025-11-12.",
    ),
)

REQUIREMENTS = (NETSEC,)
