"""Compliance audits in general (CSBR 8, 8.1, 8.2): who is audited at all, for which days, and by whom."""

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
        id="CSBR-8-01",
        clause="8",
        title="Law, Requirements and audit rules hold at all times",
        text=(
            "At no time may a CA or any Signing Service break the law, these Requirements, or what section 8 says of"
            " audits."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants(
            "The status of every requirement that binds the role, with none left open longer than its owner allowed.",
            ("audit-report", "internal-audit"),
        ),
        notes=(
            "It names all Signing Services, so also one of which no CA knows; for such a one nobody is named who"
            " would look.",
        ),
    ),
    Requirement(
        id="CSBR-8-02",
        clause="8",
        title="Delegates are bound like the CA and audited yearly",
        text=(
            "Whoever does a part of the CA's work is bound by contract as the CA itself is, and the CA audits them"
            " every year."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants(
            "The contract with each Delegated Third Party, and an internal audit of it not older than 365 days.",
            ("dtp-contract", "internal-audit", "delegation-register"),
        ),
        notes=("Since CSC-21 a Signing Service is not a Delegated Third Party merely for being one.",),
    ),
    Requirement(
        id="CSBR-8.1-01",
        clause="8.1",
        title="No CA certificate escapes the audit",
        text="Every certificate that can issue others lies wholly within the scope of the audit.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "The fingerprint of each CA certificate, in the list of the newest audit report.",
            ("audit-report", "inventory"),
        ),
    ),
    Requirement(
        id="CSBR-8.1-02",
        clause="8.1",
        title="Audit periods follow each other without a gap",
        text=(
            "The time in which a CA issues is cut into audit periods that leave no day out and are a year long at most."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Reports whose periods each begin on the day after the one before ended, none over a year.",
            ("audit-report",),
        ),
        notes=(
            "The definition of Audit Period (1.6.1) takes coverage and length from here: plan a Signing Service's"
            " periods alike.",
        ),
    ),
    Requirement(
        id="CSBR-8.1-03",
        clause="8.1",
        title="Readiness is assessed before the first certificate",
        text=(
            "A CA without a valid report has its readiness assessed within the twelve months before it first issues,"
            " and a full audit within 90 days after."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "The readiness assessment with its date, the date of the first certificate, and the full audit's report.",
            ("audit-report",),
        ),
    ),
    Requirement(
        id="CSBR-8.1-04",
        clause="8.1",
        title="The audit covers timestamping and Signing Services",
        text=(
            "Audits reach every obligation, with timestamping and signing for Subscribers among them; what is"
            " delegated is in the CA's audit or has a report of its own, and a delegate that fails has to stop."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants(
            "A scope statement naming the Signing Service and the Timestamp Authority, their sites and their systems.",
            ("audit-report",),
        ),
        notes=(
            "Between CSC-21 and a service's first period under 8.4.2 this is the clause that has a Signing"
            " Service audited.",
        ),
    ),
    Requirement(
        id="CSBR-8.1-05",
        clause="8.1",
        title="A delegate's audit period is a year at most",
        text="An audit period of a Delegated Third Party may not exceed one year.",
        obligation=Obligation.SHALL_NOT,
        binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants("The delegate's report, with the first and the last day of its period.", ("audit-report",)),
    ),
    Requirement(
        id="CSBR-8.1-90",
        clause="8.1",
        title="Signing for others was audited with the CA",
        text=(
            "Until CSC-21 signing services were audited like everything else, whoever ran them: as a part of the CA's"
            " own audit, or by a third party's report that the CA obtained, with a period of a year at most."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE, Party.DELEGATED_THIRD_PARTY),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2", "window"),
        in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants(
            "The CA's report that covers the service, or the service's own report in the CA's hands.", ("audit-report",)
        ),
        superseded_by="CSBR-8.4.2-01",
        notes=(
            "Its place in version 1.2 was not seen letter by letter; the first day is the latest that is possible.",
            "From 2024-02-28 to the first period under 8.4.2 it is CSBR-8.1-04 that has the service audited.",
        ),
    ),
    Requirement(
        id="CSBR-8.2-01",
        clause="8.2",
        title="The auditor is qualified",
        text=(
            "Auditors are independent, skilled, accredited or licensed, and insured for a million US dollars of"
            " liability at least; a government's own auditors need no insurance."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "A licence or accreditation valid on the report's date, a declaration of independence and the insurance.",
            ("auditor-qualification", "insurance"),
        ),
        notes=("8.4.2 and 8.4.3 still point to section 8.2 of the TLS Baseline Requirements.",),
    ),
)
