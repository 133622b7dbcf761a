"""A Private Key on its way to the Subscriber (CSBR 6.1.2): rarely, in hardware, or not at all."""

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

SENT_IN_HARDWARE = Requirement(
    id="CSBR-6.1.2-01",
    clause="6.1.2",
    title="A key that a CA makes travels in hardware",
    text=(
        "A key that the CA or its delegate makes and sends to the Subscriber is in hardware, with an activation as"
        " strong as 128 bits."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-21", "3.6"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "For each such key the device, its certificate, and how its activation was chosen and sent.",
        ("module-shipment",),
    ),
    notes=(
        "Up to CSC-21 software would do: a key wrapped with AES-128, or a PKCS#12 file with a long password. What"
        " was sent before 2024-02-28 is judged by that.",
        "The duty on such passwords still stands in 9.6.3 (2), with nothing left to apply to.",
    ),
)

NO_ARCHIVE_UNASKED = Requirement(
    id="CSBR-6.1.2-02",
    clause="6.1.2",
    title="Nobody archives a Subscriber key unasked",
    text="Nobody but the Subscriber archives its Private Key, unless the Subscriber said so.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.CA, Party.SIGNING_SERVICE, Party.DELEGATED_THIRD_PARTY),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "Backups without this key, or the consent of the Subscriber to each that has it.",
        ("backup-register", "signing-service-terms"),
    ),
)

WRONG_HANDS = Requirement(
    id="CSBR-6.1.2-03",
    clause="6.1.2",
    title="All certificates of a key that went astray end",
    text=(
        "Once a Subscriber key is with somebody who has no right to it, the CA revokes each certificate that has its"
        " Public Key."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.EVENT,
    kinds=(Kind.INCIDENT,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
    wants=Wants("For each certificate with that key its revocation.", ("log:incident", "log:certificate")),
)

STAYS_WITH_SERVICE = Requirement(
    id="CSBR-6.1.2-04",
    clause="6.1.2",
    title="A key that the service made stays there",
    text="A Private Key that a Signing Service made for a Subscriber is never handed to the Subscriber.",
    obligation=Obligation.SHALL_NOT,
    binds=(Party.SIGNING_SERVICE,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-21", "3.6"),
    in_force=InForce(date(2024, 2, 28)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    check=key_rules.never_left,
    notes=("What is forbidden is the handing over; one before 2024-02-28 is judged by the text of then.",),
)

REQUIREMENTS = (
    SENT_IN_HARDWARE,
    NO_ARCHIVE_UNASKED,
    WRONG_HANDS,
    STAYS_WITH_SERVICE,
)
