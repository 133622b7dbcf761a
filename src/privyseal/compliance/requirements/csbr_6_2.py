"""How a Private Key is guarded (CSBR 6.2): outside its module, in archives, on the way, and against the way out."""

from __future__ import annotations

from datetime import date

from privyseal.compliance import key_rules
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

CA_KEY_OUTSIDE = Requirement(
    id="CSBR-6.2-01",
    clause="6.2",
    title="A CA key outside its module",
    text=(
        "A CA keeps others from issuing with its key; outside the module the key is locked away, or encrypted"
        " strongly enough for its life."
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
    wants=Wants("For each backup of a CA key where it is, and how it is encrypted.", ("backup-register",)),
)

NO_SUBORDINATE_ARCHIVE = Requirement(
    id="CSBR-6.2.5-01",
    clause="6.2.5",
    title="Nobody archives a sub-CA's key unasked",
    text="Nobody else archives a Subordinate CA's key, unless the Subordinate CA said so.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("For each backup of a Subordinate CA's key its consent.", ("backup-register",)),
)

SUBORDINATE_TRANSPORT = Requirement(
    id="CSBR-6.2.6-01",
    clause="6.2.6",
    title="A sub-CA's key travels encrypted",
    text=(
        "If the Issuing CA made the key of a Subordinate CA, it sends it encrypted, and revokes all with that key if"
        " it goes astray."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
    wants=Wants(
        "For each such key how it was encrypted, when it was sent, and that it arrived.",
        ("key-ceremony", "log:key"),
    ),
)

NOT_OUT_OF_MODULE = Requirement(
    id="CSBR-6.2.6-02",
    clause="6.2.6",
    title="No key leaves a module for the Subscriber",
    text=(
        "No CA and no Signing Service lets a Private Key out of its cryptographic module so that the Subscriber has it."
    ),
    obligation=Obligation.SHALL_NOT,
    binds=(Party.CA, Party.SIGNING_SERVICE),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-21", "3.6"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    check=key_rules.never_left,
    notes=("It stands where a clause on contracts about keys made by Subscribers stood before.",),
)

REQUIREMENTS = (
    CA_KEY_OUTSIDE,
    NO_SUBORDINATE_ARCHIVE,
    SUBORDINATE_TRANSPORT,
    NOT_OUT_OF_MODULE,
)
