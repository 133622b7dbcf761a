"""How long keys are used (CSBR 6.3.2), so far as only records can show it: above all the end of timestamp keys.

What certificates and tokens show themselves is in ``csbr_6_3_2``.
"""

from __future__ import annotations

from datetime import date

from privyseal.compliance.requirement import (
    Conflict,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Nature,
    Obligation,
    Party,
    Reading,
    Requirement,
    Scope,
    Severity,
    Source,
    Wants,
)

SIGN_ANY_TIME = Requirement(
    id="CSBR-6.3.2-02",
    clause="6.3.2",
    title="Sign at any stage",
    text="Code may be signed at whatever point of its making or distribution.",
    obligation=Obligation.MAY,
    binds=(Party.SUBSCRIBER, Party.SIGNING_SERVICE),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2024, 8, 1)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants("Nothing has to be shown; the log tells when what was signed.", ("log:signature",)),
    notes=("Version 1.2 had it, CSC-21 removed it, and CSC-26 brought it back: its draft started from an older text.",),
)

REMOVE_TIMESTAMP_KEY = Requirement(
    id="CSBR-6.3.2-05",
    clause="6.3.2",
    title="A timestamp key leaves the module within 18 months",
    text="The key of a timestamp certificate of over 15 months has left its module 18 months after the issue.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY, Party.CA),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2025, 4, 15)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "The removal and its day, for a key whose certificate is issued for more than 15 months.",
        ("log:key", "key-deletion-ceremony"),
    ),
    nature=Nature.INTERPRETATION,
    notes=(
        "From 2025-04-15 it holds for every key still in a module; who takes that for a date of issue lets older"
        " keys stay.",
    ),
)

WITNESSED_REMOVAL = Requirement(
    id="CSBR-6.3.2-06",
    clause="6.3.2",
    title="The removal is a ceremony with witnesses",
    text="The CA removes the key in a ceremony that two or more people in Trusted Roles witness and sign, and logs it.",
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2024, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("The record of the ceremony, with two witnesses.", ("key-deletion-ceremony", "log:key")),
    nature=Nature.INTERPRETATION,
    conflict=Conflict(
        "It speaks of timestamp certificates issued on or after 2024-06-01, but CSC-26 took force two months later.",
        (
            Reading("as-printed", "It binds for certificates from 2024-06-01.", date(2024, 6, 1)),
            Reading("from-adoption", "No text binds for what was issued before it took force.", date(2024, 8, 1)),
        ),
        "as-printed",
    ),
    notes=("A ceremony that destroys all copies, backups too, does as well.",),
)

BACKUPS_STAY = Requirement(
    id="CSBR-6.3.2-07",
    clause="6.3.2",
    title="Backups may keep a timestamp key",
    text="Backups that have the key already may go on having it.",
    obligation=Obligation.MAY,
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2024, 8, 1)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants("Which backups have it still.", ("backup-register",)),
)

DO_NOT_RESTORE = Requirement(
    id="CSBR-6.3.2-08",
    clause="6.3.2",
    title="An old timestamp key stays in its backup",
    text="More than 15 months after its certificate was issued a key had better not be restored.",
    obligation=Obligation.SHOULD_NOT,
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2024, 8, 1)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("No restoration after that day.", ("log:key", "backup-register")),
)

RESTORED_OFFLINE = Requirement(
    id="CSBR-6.3.2-09",
    clause="6.3.2",
    title="If it is restored: offline, and destroyed again",
    text=(
        "A restored key goes to a suitable, disconnected module in a High Security Zone and is destroyed by ceremony"
        " before that goes online."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2024, 8, 1)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "No restoration, or for each the place, and the ceremony before the module went online.",
        ("log:key", "key-deletion-ceremony"),
    ),
)

REQUIREMENTS = (
    SIGN_ANY_TIME,
    REMOVE_TIMESTAMP_KEY,
    WITNESSED_REMOVAL,
    BACKUPS_STAY,
    DO_NOT_RESTORE,
    RESTORED_OFFLINE,
)
