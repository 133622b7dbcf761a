"""Definitions that decide whom other clauses bind, or start a clock (1.6.1)."""

from __future__ import annotations

from datetime import date

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

REQUIREMENTS = (
    Requirement(
        id="CSBR-1.6.1-01",
        clause="1.6.1",
        title="What a Signing Service is",
        text="A Signing Service is an organisation that generates a Key Pair and guards its Private Key for somebody"
        " else, the Subscriber whom the certificate names.",
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE, Party.SUBSCRIBER, Party.CA),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants(
            "Who generates the keys, who holds them, and for whom: the agreements, and the facts that the classifier"
            " asks for.",
            ("ca-ss-contract", "internal-agreement", "signing-service-terms"),
        ),
        nature=Nature.INTERPRETATION,
        notes=(
            "That neither a Subscriber's own key service nor a CA that certifies itself is one follows from the words"
            " for somebody else; no sentence excludes them.",
            "A service that no CA knows of fits the words too, but then nobody finds out.",
        ),
    ),
    Requirement(
        id="CSBR-1.6.1-02",
        clause="1.6.1",
        title="What counts as Suspect Code",
        text="Code is suspect when it is malicious, installs or stays without consent, harms its user, or has a hole"
        " so bad that the platform's trust is abused.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2023, 6, 29)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "A person's decision whether the reported code is suspect, with a name and a reason; what a scanner says"
            " does not decide.",
            judgement=True,
        ),
        notes=("Harm to the user's security was added by CSC-18.",),
    ),
    Requirement(
        id="CSBR-1.6.1-03",
        clause="1.6.1",
        title="What counts as a Takeover Attack",
        text="A Takeover Attack is when a code signing key is lost to fraud, theft, an insider who means to misuse"
        " it, or another crime.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "A person's decision whether the key was taken over, and how; and how often that has happened to the same"
            " entity.",
            ("takeover-documentation",),
            judgement=True,
        ),
        notes=("Before CSC-21 the list also had the case that the Signing Service itself is compromised.",),
    ),
    Requirement(
        id="CSBR-1.6.1-90",
        clause="1.6.1",
        title="What a Signing Service was before CSC-21",
        text="Until CSC-21 whoever signed a Subscriber's code with the key of a code signing certificate was a"
        " Signing Service, wherever the key came from or lay.",
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants("Whether the organisation signed code for others at that time.", judgement=True),
        superseded_by="CSBR-1.6.1-01",
        notes=("Who only kept keys for others, and left the signing to them, was outside it.",),
    ),
)
"""In the order of the clauses; superseded texts after the text of today."""
