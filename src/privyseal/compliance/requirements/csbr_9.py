"""Insurance and warranties (CSBR 9.2, 9.6.1): what a CA pays for, and what it says is so."""

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
)
