"""House rules of ours: good practice that a clause leaves open. No text asks for it, so no auditor can.

The clause of each is the one that it supports; a note says which entry. They hold from the day on which they entered
the catalogue, which says by what rule (``catalogue.py``). Where a rule goes on where a text of one family has ended, it
stands in that family's file: so those on the service's own log, in 5.4.
"""

from __future__ import annotations

from datetime import date

from privyseal.compliance import team_rules, use_rules
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

_OURS = Source("none", "none")
_SINCE = InForce(date(2026, 11, 25))

REQUIREMENTS = (
    Requirement(
        id="HOUSE-1.6.1-01",
        clause="1.6.1",
        title="Hidden Signing Services are looked for",
        text=(
            "A CA looks among its Subscribers for many who share a module, an attestation root, a cloud account or a"
            " sender."
        ),
        obligation=Obligation.SHOULD,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.NOBODY,),
        wants=Wants("The last survey of the certificates, with each suspicion explained.", ("review-record",)),
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-1.6.1-01: no text tells a CA how it could know.",),
    ),
    Requirement(
        id="HOUSE-4.9.1-01",
        clause="4.9.1",
        title="What a revocation date would break is known beforehand",
        text="Before a revocation date is chosen, the signatures that it would make invalid are listed.",
        obligation=Obligation.SHOULD,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.NOBODY,),
        wants=Wants("The list for the date that was chosen.", ("log:incident", "log:signature")),
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-4.9.1-01.",),
    ),
    Requirement(
        id="HOUSE-4.9.5-01",
        clause="4.9.5",
        title="Each signature is in an append-only log",
        text=(
            "Each signature is logged with Subscriber, key, certificate, digest, who asked, and timestamp; whoever"
            " agreed has signed what was logged."
        ),
        obligation=Obligation.SHOULD,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.SIGNING,
        kinds=(Kind.SIGNATURE,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.TECHNICAL_GATE,),
        check=use_rules.logged,
        nature=Nature.HOUSE_RULE,
        notes=(
            "Supports CSBR-4.9.5-04: without it nobody can say what a date would spare.",
            "By what they proved who they are is in the records alone; CSBR-6.2.7.3-02 judges that.",
        ),
    ),
    Requirement(
        id="HOUSE-6.1.2-01",
        clause="6.1.2",
        title="Who leaves sees the key destroyed",
        text=(
            "When a Subscriber leaves, its key is destroyed before witnesses, and the Subscriber is told so in writing."
        ),
        obligation=Obligation.SHOULD,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.EVENT,
        kinds=(Kind.KEY_PAIR,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT,),
        wants=Wants("The record of the destruction, with its witnesses.", ("key-deletion-ceremony", "log:key")),
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-6.1.2-04: the key may not be handed over, so nothing else is left to do with it.",),
    ),
    Requirement(
        id="HOUSE-6.2.7.3-01",
        clause="6.2.7.3",
        title="One Subscriber cannot use another's key",
        text=(
            "Each Subscriber's keys have access rules or a partition of their own, and a signature asked for across"
            " that border is refused in a test."
        ),
        obligation=Obligation.SHOULD,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.TECHNICAL_GATE,),
        wants=Wants("The test across the border, and its refusal.", ("internal-audit", "log:signature")),
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-6.2.7.3-01: the word tenant is nowhere in the text.",),
    ),
    Requirement(
        id="HOUSE-6.2.7.3-02",
        clause="6.2.7.3",
        title="Several people agree before a release key signs",
        text="A key for releases signs only after as many people agreed as its quorum asks for.",
        obligation=Obligation.SHOULD,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.SIGNING,
        kinds=(Kind.SIGNATURE,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.TECHNICAL_GATE,),
        check=use_rules.agreed,
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-6.2.7.3-02, which asks for factors and for no second person.",),
    ),
    Requirement(
        id="HOUSE-6.2.7.3-03",
        clause="6.2.7.3",
        title="The module's validation is watched",
        text=(
            "It is watched whether each module's FIPS or Common Criteria certificate, and the firmware it was given"
            " for, are still current."
        ),
        obligation=Obligation.SHOULD,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.NOBODY,),
        wants=Wants(
            "The certificate's status and the firmware that runs, looked up of late.",
            ("hsm-module-certificate", "review-record"),
        ),
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-6.2.7.3-03, which names FIPS 140-2 and not its successor.",),
    ),
    Requirement(
        id="HOUSE-6.2.7.3-04",
        clause="6.2.7.3",
        title="What is unusual raises an alarm",
        text="A new kind of digest, an unusual number, place or hour of signatures alerts somebody.",
        obligation=Obligation.SHOULD,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.NOBODY,),
        wants=Wants("The rules for alarms, and a test alarm.", ("log:alert", "security-plan")),
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-6.2.7.3-01.",),
    ),
    Requirement(
        id="HOUSE-9.6.3-01",
        clause="9.6.3",
        title="A key is blocked when its certificate ends",
        text=(
            "The key can no longer be used from the moment its certificate expires, is revoked, or is compromised,"
            " without anybody acting."
        ),
        obligation=Obligation.SHOULD,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.SIGNING,
        kinds=(Kind.SIGNATURE,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.TECHNICAL_GATE,),
        check=use_rules.in_force,
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-9.6.3-11, by which the Subscriber only promises it.",),
    ),
    Requirement(
        id="HOUSE-9.6.3-02",
        clause="9.6.3",
        title="The CA's team and the service's team are apart",
        text=(
            "Where one organisation is CA and Subscriber, or CA and service, other people hold the Trusted Roles on"
            " each side, under an internal agreement."
        ),
        obligation=Obligation.SHOULD,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.NOBODY,),
        wants=Wants(
            "The internal agreement, and who holds which role on either side.", ("internal-agreement", "terms-of-use")
        ),
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-9.6.3-01, after the precedent that the minutes of 2023-10-19 cite.",),
    ),
    Requirement(
        id="HOUSE-9.6.3-03",
        clause="9.6.3",
        title="Nobody is in both teams of an internal agreement",
        text=(
            "Where two teams of one organisation agree as CA and Signing Service, the agreement names who is in which,"
            " and nobody is in both."
        ),
        obligation=Obligation.SHOULD,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=InForce(date(2026, 11, 30)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.NOBODY,),
        check=team_rules.teams_apart,
        nature=Nature.HOUSE_RULE,
        notes=(
            "Supports CSBR-9.6.3-01, with HOUSE-9.6.3-02.",
            "Whether the agreement says the truth of who works where, an auditor asks.",
        ),
    ),
    Requirement(
        id="HOUSE-9.6.5-01",
        clause="9.6.5",
        title="Code is scanned before it is signed",
        text="Before a signature somebody's scanner looks for malware, and what it said is kept.",
        obligation=Obligation.SHOULD,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=_OURS,
        in_force=_SINCE,
        dated_by=DatedBy.SIGNING,
        kinds=(Kind.SIGNATURE,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.TECHNICAL_GATE,),
        check=use_rules.scanned,
        nature=Nature.HOUSE_RULE,
        notes=("Supports CSBR-9.6.5-01; a digest alone cannot be scanned.",),
    ),
)
