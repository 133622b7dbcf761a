"""The archive (CSBR 5.5): what a CA and its Delegated Third Parties put aside, and for how long."""

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

_GAP = "As in 5.4, the Signing Service is not named; HOUSE-5.4.3-01 says how long we ask it to keep its log."

ARCHIVE = Requirement(
    id="CSBR-5.5.1-01",
    clause="5.5.1",
    title="What goes into the archive",
    text=(
        "The archive has all audit logs, and the papers on how systems are secured and how certificates were checked,"
        " issued and revoked."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("A list of what was archived, by digest, over the whole period.", ("archive-manifest",)),
    notes=(_GAP,),
)

ARCHIVE_KEPT = Requirement(
    id="CSBR-5.5.2-01",
    clause="5.5.2",
    title="How long the archive is kept",
    text=(
        "Archived logs and papers stay two years: logs longer where 5.4.3 asks it, papers on an issuance counted from"
        " the day when somebody last relied on them or the certificates ended."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("For each class of what was archived until when it cannot be deleted.", ("archive-manifest", "policy")),
    notes=(_GAP,),
)

REQUIREMENTS = (
    ARCHIVE,
    ARCHIVE_KEPT,
)
