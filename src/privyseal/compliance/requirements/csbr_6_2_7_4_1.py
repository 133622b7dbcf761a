"""What a Subscriber promises about its key (CSBR 6.2.7.4.1), and in which ways it may keep it."""

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

_BACK = (
    "CSC-22 deleted these expired ways from the text, and the redline of CSC-25 put them back. That changes nothing:"
    " they end with certificates issued before 2023-06-01."
)

SUBSCRIBER_PROMISE = Requirement(
    id="CSBR-6.2.7.4.1-01",
    clause="6.2.7.4.1",
    title="The Subscriber promises a hardware module",
    text=(
        "The CA has the Subscriber promise, by contract, a module of FIPS 140-2 level 2 or Common Criteria EAL 4+ at"
        " least, in one of three ways."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
    wants=Wants("The promise and the way chosen, dated no later than the certificate.", ("subscriber-agreement",)),
    nature=Nature.INTERPRETATION,
    conflict=Conflict(
        "FIPS 140-3 is named for CA keys (6.2.7.1) and not here, although it follows on FIPS 140-2.",
        (
            Reading("successor-counts", "Level 2 of FIPS 140-3 meets or exceeds level 2 of FIPS 140-2."),
            Reading("as-printed", "Only FIPS 140-2 and Common Criteria count, because only they are printed."),
        ),
        "successor-counts",
    ),
    notes=(
        "CSC-13 had set 2022-11-15; CSC-17 moved it before that day came.",
        "With a Signing Service the level is that of 6.2.7.3, which is higher.",
    ),
)

OWN_MODULE = Requirement(
    id="CSBR-6.2.7.4.1-07",
    clause="6.2.7.4.1",
    title="One way: a module of its own",
    text="The Subscriber may use a suitable module that it runs itself.",
    obligation=Obligation.MAY,
    binds=(Party.SUBSCRIBER,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "If this way was chosen: what the module proves about the key.",
        ("key-attestation", "hsm-module-certificate"),
    ),
)

OWN_CLOUD = Requirement(
    id="CSBR-6.2.7.4.1-08",
    clause="6.2.7.4.1",
    title="One way: a cloud key service",
    text="The Subscriber may use a cloud that keeps the key inside its HSM and logs access, operations and changes.",
    obligation=Obligation.MAY,
    binds=(Party.SUBSCRIBER,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants("If this way was chosen: how the cloud was set up.", ("cloud-configuration-report",)),
    notes=("The level is 2 here, where 6.2.7.3 asks a Signing Service in a cloud for 3.",),
)

A_SIGNING_SERVICE = Requirement(
    id="CSBR-6.2.7.4.1-09",
    clause="6.2.7.4.1",
    title="One way: a Signing Service",
    text="The Subscriber may use a Signing Service that keeps 6.2.7.3.",
    obligation=Obligation.MAY,
    binds=(Party.SUBSCRIBER, Party.SIGNING_SERVICE),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-13", "2.8"),
    in_force=InForce(date(2023, 6, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants(
        "If this way was chosen: the agreement, and how the service stands with 6.2.7.3.",
        ("signing-service-terms", "audit-report"),
    ),
)

NON_EV_BEFORE = Requirement(
    id="CSBR-6.2.7.4.1-90",
    clause="6.2.7.4.1",
    title="Ways for Non-EV before June 2023",
    text=(
        "The key was in a TPM that attests it, in a module of level 2 or EAL 4+, or on an uncertified SD card or USB"
        " token, kept apart."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.NON_EV,),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13), date(2023, 5, 31)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
    wants=Wants("The promise of the Subscriber, and which of the three it was.", ("subscriber-agreement",)),
    superseded_by="CSBR-6.2.7.4.1-01",
    notes=(
        _BACK,
        "The CA had to recommend the first two.",
    ),
)

EV_BEFORE = Requirement(
    id="CSBR-6.2.7.4.1-91",
    clause="6.2.7.4.1",
    title="The module for EV before June 2023",
    text=(
        "The key was in a module of level 2 or EAL 4+: from the CA, by a counter-signed request, by an IT audit, or"
        " shown otherwise."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.SUBSCRIBER),
    applies_to=(Scope.EV,),
    source=Source("CSC-2..CSC-9", "2.0..2.4", "inferred"),
    in_force=InForce(date(2021, 9, 8), date(2023, 5, 31)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.KEY_PAIR,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
    wants=Wants("Which of these showed it, and that paper.", ("module-shipment", "key-attestation", "it-audit")),
    superseded_by="CSBR-6.2.7.4.2-01",
    notes=(
        _BACK,
        "It came from the EV Guidelines with CSC-2; EAL 4+ came with CSC-8. The date is the latest possible.",
    ),
)

REQUIREMENTS = (
    SUBSCRIBER_PROMISE,
    OWN_MODULE,
    OWN_CLOUD,
    A_SIGNING_SERVICE,
    NON_EV_BEFORE,
    EV_BEFORE,
)
