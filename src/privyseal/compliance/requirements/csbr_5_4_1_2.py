"""What a Timestamp Authority logs and can show to its Qualified Auditor (CSBR 5.4.1.2)."""

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

_EARLIER = "Section 15 of version 1.2 asked for much the same."

TSA_ACCESS = Requirement(
    id="CSBR-5.4.1.2-01",
    clause="5.4.1.2",
    title="TSA log: who was at the servers",
    text="The authority logs, for its auditor, who was at its servers and when, on the spot or from afar.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each access with person and time.", ("log:authentication", "log:premises")),
    notes=(_EARLIER,),
)

TSA_CONFIGURATION = Requirement(
    id="CSBR-5.4.1.2-02",
    clause="5.4.1.2",
    title="TSA log: configuration",
    text="The authority logs, for its auditor, how its servers were configured over time.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each change of the configuration, from the first one on.", ("log:change",)),
    notes=(_EARLIER,),
)

TSA_TAMPERING = Requirement(
    id="CSBR-5.4.1.2-03",
    clause="5.4.1.2",
    title="TSA log: tampering",
    text="The authority logs, for its auditor, who tried to delete or alter the logs.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each such attempt, or a statement that the period had none.", ("log:alert", "log:integrity")),
    notes=(_EARLIER,),
)

TSA_SECURITY = Requirement(
    id="CSBR-5.4.1.2-04",
    clause="5.4.1.2",
    title="TSA log: security",
    text=(
        "The authority logs, for its auditor, attempts to get in, deeds on the server, security profiles, failures,"
        " firewalls and routers."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "Entries of each of these sorts, or a statement that the period had none.",
        ("log:authentication", "log:change", "log:network", "log:system"),
    ),
    notes=(_EARLIER,),
)

TSA_REVOCATION = Requirement(
    id="CSBR-5.4.1.2-05",
    clause="5.4.1.2",
    title="TSA log: revocation",
    text="The authority logs, for its auditor, when a timestamp certificate was revoked.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each revocation, or a statement that the period had none.", ("log:certificate",)),
    notes=(_EARLIER,),
)

TSA_TIME = Requirement(
    id="CSBR-5.4.1.2-06",
    clause="5.4.1.2",
    title="TSA log: large steps of the clock",
    text="The authority logs, for its auditor, large changes of its time.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each such change, or a statement that the period had none.", ("log:clock",)),
    notes=(
        _EARLIER,
        "How large is large, 6.8 says: one second.",
    ),
)

TSA_STARTS = Requirement(
    id="CSBR-5.4.1.2-07",
    clause="5.4.1.2",
    title="TSA log: starts and stops",
    text="The authority logs, for its auditor, each start and each stop.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("A start after each stop, and no second start without a stop or a failure between.", ("log:system",)),
    notes=(_EARLIER,),
)

TSA_TOKENS = Requirement(
    id="CSBR-5.4.1.2-90",
    clause="5.4.1.2",
    title="Each token logged, for five days",
    text=(
        "Version 1.2 had the authority log all about each token, also who asked and what came of it, and keep that"
        " for five days at least."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2021, 9, 8)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("The log of tokens, for a period of that time.", ("log:signature",)),
    notes=("It is gone from the text of August 2021; which of the ballots CSC-2 to CSC-9 removed it, is not known.",),
)

REQUIREMENTS = (
    TSA_ACCESS,
    TSA_CONFIGURATION,
    TSA_TAMPERING,
    TSA_SECURITY,
    TSA_REVOCATION,
    TSA_TIME,
    TSA_STARTS,
    TSA_TOKENS,
)
