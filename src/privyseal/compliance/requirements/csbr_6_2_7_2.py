"""Modules of CA keys (CSBR 6.2.7.1) and timestamp keys (CSBR 6.2.7.2), and a rule of ours where a level was lost."""

from __future__ import annotations

from datetime import date

from privyseal.compliance import key_rules
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

CA_MODULE = Requirement(
    id="CSBR-6.2.7.1-01",
    clause="6.2.7.1",
    title="The module of a CA key",
    text=(
        "CA keys are in a module of level 3 under FIPS 140-2 or FIPS 140-3, or of EAL 4 or more under a suitable"
        " Common Criteria profile."
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
    wants=Wants(
        "The certificate of each module, with number, level, standard and status.",
        ("hsm-module-certificate",),
    ),
    notes=("Nowhere else in the Requirements is FIPS 140-3 named beside FIPS 140-2.",),
)

TSA_CA_OFFLINE = Requirement(
    id="CSBR-6.2.7.2-01",
    clause="6.2.7.2",
    title="A timestamp CA's key is kept offline",
    text=(
        "Keys of timestamp roots, and of new timestamp sub-CAs of over 72 months, are made and kept in a module as in"
        " 6.2.7.1, offline, in a High Security Zone."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY, Party.CA),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2025, 4, 15)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.TIMESTAMP_AUTHORITY,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "Where each such key is, that no network reaches it, and the certificate of its module.",
        ("key-ceremony", "hsm-module-certificate", "physical-security"),
    ),
    nature=Nature.INTERPRETATION,
    notes=(
        "A sub-CA is new if it was issued on or after 2025-04-15; a root counts whenever it was made.",
        "High Security Zone is a term of NetSec 1.7, which version 2 no longer defines.",
    ),
)

TSA_SIGNED_OFFLINE = Requirement(
    id="CSBR-6.2.7.2-02",
    clause="6.2.7.2",
    title="Timestamp certificates of a long-lived sub-CA are signed offline",
    text="A timestamp certificate from a sub-CA that lives over 72 months is signed by a key that is kept offline.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY, Party.CA),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-26", "3.9"),
    in_force=InForce(date(2025, 4, 15)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("The record of the ceremony in which this certificate was signed.", ("key-ceremony",)),
)

TSA_MODULE = Requirement(
    id="CSBR-6.2.7.2-90",
    clause="6.2.7.2",
    title="The module of a timestamp key",
    text="A timestamp key was in a module of FIPS 140-2 level 3, of Common Criteria EAL 4+ with ALC_FLR.2, or better.",
    obligation=Obligation.SHALL,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2024, 7, 31)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    check=key_rules.module_level,
    notes=(
        "CSC-26's own redline deletes the sentence, so since 2024-08-01 no level is named for the key that signs"
        " timestamps, though 6.3.2 takes for granted that it is in a module. HOUSE-6.2.7.2-01 keeps the level.",
    ),
)

TSA_MODULE_STILL = Requirement(
    id="HOUSE-6.2.7.2-01",
    clause="6.2.7.2",
    title="The module of a timestamp key stays at level 3",
    text="A timestamp key stays in a module of FIPS 140-2 or 140-3 level 3, of Common Criteria EAL 4+, or better.",
    obligation=Obligation.SHOULD,
    binds=(Party.TIMESTAMP_AUTHORITY,),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("none", "none"),
    in_force=InForce(date(2024, 8, 1)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.NOBODY,),
    check=key_rules.module_level,
    nature=Nature.HOUSE_RULE,
    notes=("It goes on where CSBR-6.2.7.2-90 ends. No text asks for it; an operator may decide otherwise.",),
)

REQUIREMENTS = (
    CA_MODULE,
    TSA_CA_OFFLINE,
    TSA_SIGNED_OFFLINE,
    TSA_MODULE,
    TSA_MODULE_STILL,
)
