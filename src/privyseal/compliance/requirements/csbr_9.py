"""Legal matters (CSBR 9.2, 9.6.1, 9.8, 9.16): insurance, what a CA warrants, liability, and laws that forbid a rule."""

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

REQUIREMENTS = (
    Requirement(
        id="CSBR-9.2.1-01",
        clause="9.2.1",
        title="Insurance for EV certificates",
        text=(
            "A CA that issues EV certificates is insured for 2 million US dollars of general and 5 million of"
            " professional liability, or shows means enough to insure itself."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV,),
        source=Source("CSC-25", "3.8"),
        in_force=InForce(date(2024, 8, 1)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Valid policies of an insurer rated A- or better, or 500 million in liquid assets at a quick ratio of 1.0.",
            ("insurance",),
        ),
    ),
    Requirement(
        id="CSBR-9.6.1-01",
        clause="9.6.1",
        title="Warranty: issued and run by the rules",
        text=(
            "CA and Delegated Third Party warrant that they issued and worked as the Requirements and the policy"
            " documents say."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants("The warranty's text in what the Subscriber agreed to.", ("subscriber-agreement", "cp-cps")),
        notes=("Until CSC-21 the Signing Service was named here too.",),
    ),
    Requirement(
        id="CSBR-9.6.1-02",
        clause="9.6.1",
        title="Warranty: the key is protected",
        text=(
            "The CA warrants that the Subscriber was told how to keep the key safe or, with a Signing Service, that"
            " the key is kept safe and not misused."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "What the Subscriber was given at order, or what the Signing Service reported to the CA.",
            ("subscriber-agreement", "ca-ss-contract"),
        ),
    ),
    Requirement(
        id="CSBR-9.6.1-03",
        clause="9.6.1",
        title="Warranty: there is an agreement",
        text=(
            "The CA warrants that a Subscriber Agreement binds the Subscriber, or that an affiliate accepted the"
            " Terms of Use."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The agreement behind each certificate, and for Terms of Use what shows the affiliation.",
            ("subscriber-agreement", "terms-of-use"),
        ),
    ),
    Requirement(
        id="CSBR-9.8-01",
        clause="9.8",
        title="The CA answers for its delegates",
        text="However a contract divides liability, towards others the CA is responsible for what it delegated.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT,),
        wants=Wants("Somebody has to read what the contracts with delegates say about liability.", judgement=True),
    ),
    Requirement(
        id="CSBR-9.8-02",
        clause="9.8",
        title="Liability for EV is not capped below 2,000 dollars",
        text=(
            "For an EV certificate no cap on liability may lie below 2,000 US dollars for each Subscriber or Relying"
            " Party."
        ),
        obligation=Obligation.SHALL_NOT,
        binds=(Party.CA,),
        applies_to=(Scope.EV,),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants("The cap in the practice statement and in the agreements.", ("cp-cps", "subscriber-agreement")),
    ),
    Requirement(
        id="CSBR-9.16.3-01",
        clause="9.16.3",
        title="Where the law forbids a rule, the Forum is told",
        text=(
            "A requirement that a law makes illegal is changed no more than is needed, and the CA/Browser Forum hears"
            " of it."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("Somebody has to say which laws conflict, and show what the Forum was told.", judgement=True),
        notes=("In version 1.2 it was the platform vendors who were told.",),
    ),
)
