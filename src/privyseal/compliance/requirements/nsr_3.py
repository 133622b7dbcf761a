"""Logging, monitoring and alerts (NSR 3). How these entries reach a Signing Service is said in ``nsr_1``."""

from __future__ import annotations

from datetime import date

from privyseal.compliance import log_rules
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
        id="NSR-3.1.1-01",
        clause="3.1.1",
        title="It is known what is logged",
        text=(
            "What can be monitored and logged is known, written down and switched on, as these and other rules need it."
        ),
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("The list of sources, against those that sent something of late.", ("security-plan", "log:system")),
    ),
    Requirement(
        id="NSR-3.1.1.2-01",
        clause="3.1.1.2",
        title="Logs show attacks and changes",
        text="Logs hold what it takes to notice Critical Security Events and changes that nobody approved.",
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("Which entries each detection needs, with a test of it.", ("security-plan", "log:change")),
    ),
    Requirement(
        id="NSR-3.1.2-01",
        clause="3.1.2",
        title="The log's integrity is watched",
        text=("A machine watches the logs' integrity all the time, or somebody checks it every 31 days or sooner."),
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.LOG,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        check=log_rules.watched,
    ),
    Requirement(
        id="NSR-3.1.2.1-01",
        clause="3.1.2.1",
        title="Logs are kept long enough",
        text="Logs stay available for as long as these and other rules ask for.",
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.LOG,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("The oldest entry, and what was removed when.", ("log:system", "policy")),
        notes=("CSBR 5.4.3 names the years.",),
    ),
    Requirement(
        id="NSR-3.2.1-01",
        clause="3.2.1",
        title="Machines read the logs",
        text="Logs are searched by machine for Critical Security Events and unapproved changes.",
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("That the search runs, and what it looks for.", ("security-plan", "log:alert")),
    ),
    Requirement(
        id="NSR-3.2.2-01",
        clause="3.2.2",
        title="Alerts come by several ways",
        text=(
            "A damaged log, a Critical Security Event or an unapproved change alerts Trusted Roles by more than one"
            " channel."
        ),
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("A test alert, delivered by two channels at least.", ("log:alert",)),
    ),
    Requirement(
        id="NSR-3.2.3-01",
        clause="3.2.3",
        title="An alert is answered within a day",
        text=(
            "Within 24 hours somebody starts on an alert, finds out whether it is real, and if so follows an incident"
            " response plan."
        ),
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "For each alert when somebody took it up, and the plan for those that were real.", ("log:alert", "irp")
        ),
    ),
)
