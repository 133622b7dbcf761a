"""How long logs are kept (CSBR 5.4.3), and two rules of ours for the Signing Service, which 5.4 does not name.

A CA's log that is thrown away after two years, and a Signing Service's log that nobody has to keep, would leave
the question who signed what without an answer; hence the two rules.
"""

from __future__ import annotations

from datetime import date

from privyseal.compliance import log_rules
from privyseal.compliance.requirement import (
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Nature,
    Obligation,
    Party,
    Requirement,
    Scope,
    Severity,
    Source,
    Wants,
)

_GAP = "It does not name the Signing Service (see the notes of 5.4.1.1); HOUSE-5.4.3-01 says what we ask of it."

KEEP_CA = Requirement(
    id="CSBR-5.4.3-01",
    clause="5.4.3",
    title="Two years: keys and certificates of the CA",
    text=(
        "Records on a CA key outlive its destruction, and the last CA certificate with it if that is later, by two"
        " years or more."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "No record was deleted before that day, and the rule by which records are deleted.",
        ("policy", "log:integrity"),
    ),
    notes=(_GAP,),
)

KEEP_CERTIFICATES = Requirement(
    id="CSBR-5.4.3-02",
    clause="5.4.3",
    title="Two years: certificates of Subscribers",
    text="Records on a Subscriber's certificate outlive its end, by revocation or expiry, by two years or more.",
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "No record was deleted before that day, and the rule by which records are deleted.",
        ("policy", "log:integrity"),
    ),
    notes=(
        _GAP,
        "It refers to 5.4.1.2 (2), which is about timestamps; 5.4.1.1 (2) must be meant.",
    ),
)

KEEP_TSA = Requirement(
    id="CSBR-5.4.3-03",
    clause="5.4.3",
    title="Two years: the Timestamp Authority",
    text=(
        "A Timestamp Authority keeps its records for two years or more after its key was renewed or the certificate"
        " revoked."
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
        "No record was deleted before that day, and the rule by which records are deleted.",
        ("policy", "log:integrity"),
    ),
    notes=("The number of the subsection that lists those records is wrong in the text; 5.4.1.2 must be meant.",),
)

KEEP_SECURITY = Requirement(
    id="CSBR-5.4.3-04",
    clause="5.4.3",
    title="Two years: security events",
    text="Records of security events are kept for two years or more after the event.",
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.DELEGATED_THIRD_PARTY, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Records two years old, or as old as the service, without a gap since.", ("policy", "log:integrity")),
    notes=(_GAP,),
)

SERVICE_LOGS = Requirement(
    id="HOUSE-5.4-01",
    clause="5.4",
    title="A Signing Service logs as a CA does",
    text=(
        "A Signing Service logs keys, modules, certificates, signatures, access, changes, alerts and failures as"
        " thoroughly as a CA."
    ),
    obligation=Obligation.SHOULD,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("none", "none"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "Entries of each of these sorts, or a statement that the period had none.",
        (
            "log:key",
            "log:module",
            "log:certificate",
            "log:signature",
            "log:authentication",
            "log:change",
            "log:alert",
            "log:system",
        ),
    ),
    nature=Nature.HOUSE_RULE,
    notes=("Since CSC-21 no sentence of 5.4 reaches a Signing Service; this and NetSec 3 stand in the gap.",),
)

SERVICE_KEEPS = Requirement(
    id="HOUSE-5.4.3-01",
    clause="5.4.3",
    title="A Signing Service keeps its log for two years",
    text=(
        "A Signing Service keeps what it logged on a key or a signature until two years after the last certificate of"
        " that key has ended."
    ),
    obligation=Obligation.SHOULD,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("none", "none"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.NOBODY,),
    check=log_rules.kept,
    nature=Nature.HOUSE_RULE,
    notes=("It is what 5.4.3 asks of a CA, read for the one who holds the key.",),
)

REQUIREMENTS = (
    KEEP_CA,
    KEEP_CERTIFICATES,
    KEEP_TSA,
    KEEP_SECURITY,
    SERVICE_LOGS,
    SERVICE_KEEPS,
)
