"""Reports and samples (CSBR 8.6, 8.7): what an audit's report holds, and what a CA examines between audits."""

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
        id="CSBR-8.6-01",
        clause="8.6",
        title="The report is out within three months",
        text=(
            "A CA publishes its report three months after the period's end at the latest, or a letter of explanation"
            " that its auditor signed."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("The day on which the report was published, or the auditor's letter.", ("audit-report",)),
    ),
    Requirement(
        id="CSBR-8.6-02",
        clause="8.6",
        title="The report says that it covers the reserved identifiers",
        text=(
            "It is stated that all systems and processes behind certificates with a reserved policy identifier were"
            " looked at."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "The sentence in the report, or the identifiers 2.23.140.1.3, .1.4.1 and .1.4.2.", ("audit-report",)
        ),
    ),
    Requirement(
        id="CSBR-8.6-03",
        clause="8.6",
        title="The report has all eleven items",
        text=(
            "An audit report names eleven things, among them who was audited by whom, which certificates, criteria"
            " and policies, and for which days."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("Each of the eleven items, found under its own heading.", ("audit-report",)),
    ),
    Requirement(
        id="CSBR-8.6-04",
        clause="8.6",
        title="The report can be searched and is in English",
        text=(
            "The report is a PDF with text that can be searched, in an English version that counts, with fingerprints"
            " as plain upper-case digits."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("The PDF: 64 hexadecimal digits a fingerprint, nothing between them.", ("audit-report",)),
    ),
    Requirement(
        id="CSBR-8.6-05",
        clause="8.6",
        title="One report can serve all three",
        text="CA, Signing Service and Timestamp Authority may share one report where one auditor assessed them.",
        obligation=Obligation.MAY,
        binds=(Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.AUDIT_PERIOD_START,
        kinds=(Kind.AUDIT_PERIOD,),
        severity=Severity.NOTICE,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("The auditor of each part of a shared report.", ("audit-report",)),
    ),
    Requirement(
        id="CSBR-8.7-01",
        clause="8.7",
        title="Three in a hundred certificates are audited by oneself",
        text=(
            "Between audits a CA examines a random sample: three per cent at least of the Non-EV and of the EV"
            " certificates since the last one."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Each sample with its population, its size by class, and how it was drawn.",
            ("internal-audit", "log:certificate"),
        ),
    ),
    Requirement(
        id="CSBR-8.7-02",
        clause="8.7",
        title="Six in a hundred where a registration authority checked",
        text=(
            "The sample is six per cent at least, in either class, where the due diligence was a registration"
            " authority's."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Each sample of certificates that a registration authority checked, with its population and size.",
            ("internal-audit", "log:validation"),
        ),
    ),
)
