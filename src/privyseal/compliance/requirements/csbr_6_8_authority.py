"""Time (CSBR 6.8): that a CA runs a Timestamp Authority, and that its clock is right.

What a token shows itself is in ``csbr_6_8``.
"""

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

RUNS_AUTHORITY = Requirement(
    id="CSBR-6.8-01",
    clause="6.8",
    title="A CA runs a Timestamp Authority",
    text="A CA that issues code signing certificates runs a Timestamp Authority under RFC 3161.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Where it is, and an answer from it to a request.", ("cp-cps",)),
)

RECOMMENDS_AUTHORITY = Requirement(
    id="CSBR-6.8-02",
    clause="6.8",
    title="A CA recommends its Timestamp Authority",
    text="The CA advises Subscribers to have their signed code timestamped by its authority.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Where a Subscriber reads that advice, with the address.", ("subscriber-agreement", "cp-cps")),
)

LEAP_SECOND = Requirement(
    id="CSBR-6.8-03",
    clause="6.8",
    title="The clock keeps right over a leap second",
    text="The clock stays synchronised when a leap second comes.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("A test of it, or the offsets around the last one.", ("log:clock", "review-record")),
)

SYNCHRONISED = Requirement(
    id="CSBR-6.8-04",
    clause="6.8",
    title="The clock is synchronised every 24 hours",
    text="A timestamp server sets its clock by a UTC(k) source every 24 hours or oftener.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Synchronisations without a gap of more than 24 hours, each with its source.", ("log:clock",)),
)

DRIFT = Requirement(
    id="CSBR-6.8-05",
    clause="6.8",
    title="Drift is noticed and reported",
    text="A timestamp server notices by itself that its clock leaves UTC, slowly or at once, and reports it.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("An alarm for each offset beyond the limit, and a test that it comes.", ("log:clock", "log:alert")),
)

ADJUSTMENTS = Requirement(
    id="CSBR-6.8-06",
    clause="6.8",
    title="A second of adjustment is an auditable event",
    text="Setting the clock by a second or more, or changing how timestamps are signed, is an event for the auditor.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each such adjustment and each such change, with who made it.", ("log:clock", "log:change")),
)

REQUIREMENTS = (
    RUNS_AUTHORITY,
    RECOMMENDS_AUTHORITY,
    LEAP_SECOND,
    SYNCHRONISED,
    DRIFT,
    ADJUSTMENTS,
)
