"""The network itself (NSR 1): inventory, segments, places, connections, changes.

All NSR entries reach a Signing Service and a Timestamp Authority by CSBR 6.7 alone, for the document names CAs only.
They are version 2, the only one since 2025-11-12; before that day version 1.7 had their like.
"""

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
        id="NSR-1-01",
        clause="1",
        title="What is in scope is listed",
        text=(
            "There is a list of the systems and networks that make up the infrastructure, and it is kept up to date."
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
        wants=Wants("The list, with every key store, signing node, log node and identity provider.", ("inventory",)),
    ),
    Requirement(
        id="NSR-1.1.1-01",
        clause="1.1.1",
        title="Networks are kept apart",
        text=(
            "Networks are divided by what their systems do or how they belong together, and something enforces each"
            " border."
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
            "The borders' rules, and a test that what is not allowed does not pass.", ("network-scan", "security-plan")
        ),
    ),
    Requirement(
        id="NSR-1.2.1-01",
        clause="1.2.1",
        title="Systems stand in a safe place",
        text="Systems in scope stand behind physical security, and root systems on networks of their own.",
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("What shows how each site is guarded.", ("physical-security",)),
        notes=("A draft of May 2026 would let logging systems stand in a third party's cloud; it is not adopted.",),
    ),
    Requirement(
        id="NSR-1.2.2-01",
        clause="1.2.2",
        title="Connections are authenticated and encrypted",
        text=(
            "Whoever connects proves who they are and is encrypted, save where a formal specification rules that out;"
            " what nobody needs does not listen."
        ),
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-006", "NSR 2.0.3"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Every listener with its protocol, and the ports that are open against those that may be.",
            ("network-scan",),
        ),
        notes=("RFC 3161, OCSP and CRLs over plain http are what their specifications foresee.",),
    ),
    Requirement(
        id="NSR-1.2.2-02",
        clause="1.2.2",
        title="Inner connections are protected too",
        text="Between systems in scope connections ought to be authenticated and encrypted as well.",
        obligation=Obligation.SHOULD,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-006", "NSR 2.0.3"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("Every connection between the service's own parts, and how it is protected.", ("network-scan",)),
    ),
    Requirement(
        id="NSR-1.2.3-01",
        clause="1.2.3",
        title="Neighbours are guarded alike",
        text="Whatever shares a network with a system in scope is secured as well as that system.",
        obligation=Obligation.SHALL,
        binds=_ALL_THREE,
        applies_to=_EVERY_SCOPE,
        source=Source("NS-003", "NSR 2.0"),
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("Somebody has to look at what else is on the network.", judgement=True),
    ),
    Requirement(
        id="NSR-1.3-01",
        clause="1.3",
        title="Changes are approved and recorded",
        text=(
            "Changes of roles, borders and systems go through a written process with approval, risk, exceptions and a"
            " way back, reviewed yearly."
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
            "The process with its last review, and for each change who approved it beforehand.",
            ("policy", "review-record", "log:change"),
        ),
    ),
)
