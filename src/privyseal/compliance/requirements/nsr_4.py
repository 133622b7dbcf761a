"""Vulnerabilities (NSR 4). How these entries reach a Signing Service is said in ``nsr_1``."""

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

_ALL_THREE = (Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY)
_EVERY_SCOPE = (Scope.EV, Scope.NON_EV, Scope.TIMESTAMP)
_SINCE = InForce(date(2025, 11, 12))

REQUIREMENTS = (
    Requirement(
        id="NSR-4-01",
        clause="4",
        title="Vulnerabilities have a procedure",
        text=(
            "Finding, weighing and mending vulnerabilities is regulated for Certificate Systems, and since 15 April"
            " 2026 for Security Support Systems and borders too."
        ),
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-004", "NSR 2.0.2"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("The procedure, and which systems it covers.", ("policy", "inventory")),
        notes=("The wider scope has a first day of its own, 2026-04-15, within the same entry.",),
    ),
    Requirement(
        id="NSR-4.1-01",
        clause="4.1",
        title="Intrusions are detected and prevented",
        text="What is on the list of systems is guarded by detection and prevention of intrusions.",
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-004", "NSR 2.0.2"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("Which systems are guarded by what, against the list.", ("inventory", "security-plan")),
    ),
    Requirement(
        id="NSR-4.2-01",
        clause="4.2",
        title="Vulnerabilities are mended",
        text=("There is a process to identify, review, answer and mend, fed by advisories and by penetration tests."),
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-004", "NSR 2.0.2"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Advisories that were read, and what became of each finding.", ("vulnerability-scan", "log:change")
        ),
    ),
    Requirement(
        id="NSR-4.2.1.1-01",
        clause="4.2.1.1",
        title="A penetration test every year",
        text="Skilled, independent people test once a year at least, and after each significant change.",
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-004", "NSR 2.0.2"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("A report not older than 365 days, and one after each significant change.", ("pentest-report",)),
    ),
    Requirement(
        id="NSR-4.3-01",
        clause="4.3",
        title="Mending has deadlines",
        text=(
            "Deadlines for review, answer and mending are set by risk, written in section 6.7 of the policy"
            " documents, and met."
        ),
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-004", "NSR 2.0.2"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "The deadlines, and for each finding when it was found and mended.", ("cp-cps", "vulnerability-scan")
        ),
    ),
)
