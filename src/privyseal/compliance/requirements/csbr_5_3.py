"""Personnel controls (CSBR 5.3): who may work on certificates, and what they have to have learnt."""

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

VETTING = Requirement(
    id="CSBR-5.3.1-01",
    clause="5.3.1",
    title="People are looked into before they begin",
    text="Nobody takes part in managing certificates before the CA knows who that is and found the person trustworthy.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("For each such person both checks, dated before the first Trusted Role.", ("personnel-file",)),
    notes=("From 2021-06-01 the same came by reference to section 14.1 of the EV Guidelines, for EV and Non-EV.",),
)

EV_BACKGROUND = Requirement(
    id="CSBR-5.3.2-01",
    clause="5.3.2",
    title="Background of those who work on EV",
    text=(
        "Staff for EV show photo identification in person; jobs, references, education and, where lawful, convictions"
        " are checked."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV,),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("For each of them those five checks, or why the law forbids the last.", ("personnel-file",)),
)

VALIDATION_TRAINING = Requirement(
    id="CSBR-5.3.3-01",
    clause="5.3.3",
    title="Those who validate are trained and examined",
    text=(
        "A Validation Specialist is trained, on record, able for each task given, and has passed an examination on"
        " the rules, for EV too."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "For each Validation Specialist of the period training and an examination before the first validation.",
        ("training-record",),
    ),
)

SKILLS = Requirement(
    id="CSBR-5.3.4-01",
    clause="5.3.4",
    title="Trusted Roles stay in practice",
    text="Whoever has a Trusted Role keeps up the skills that the training programme asks for.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("For each Trusted Role the last training, no older than the programme says.", ("training-record",)),
)

DELEGATED_PEOPLE = Requirement(
    id="CSBR-5.3.7-01",
    clause="5.3.7",
    title="A delegate's people are trained, its logs kept",
    text=(
        "The CA makes sure that a Delegated Third Party's people are trained as in 5.3.3 and that it logs and keeps"
        " as in 5.4.1."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
    wants=Wants(
        "A review of each Delegated Third Party's training records and logs.",
        ("dtp-review", "training-record"),
    ),
)

REQUIREMENTS = (
    VETTING,
    EV_BACKGROUND,
    VALIDATION_TRAINING,
    SKILLS,
    DELEGATED_PEOPLE,
)
