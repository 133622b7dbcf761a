"""What a Subscriber agrees to (CSBR 9.6.3): the Subscriber Agreement or the Terms of Use, clause by clause."""

from __future__ import annotations

from datetime import date

from privyseal.compliance import use_rules
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
        id="CSBR-9.6.3-01",
        clause="9.6.3",
        title="Agreement or Terms of Use come first",
        text=(
            "Before it issues, a CA has an enforceable Subscriber Agreement for the certificate, or the Terms of Use"
            " acknowledged where the Subscriber is an affiliate or the CA itself."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "What was accepted, when, by whom, and for which certificate; the acceptance precedes the issuance.",
            ("subscriber-agreement", "terms-of-use"),
        ),
        notes=(
            "By this way a CA can be its own Subscriber; the minutes of 2023-10-19 cite Microsoft's agreement"
            " between two teams.",
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-02",
        clause="9.6.3",
        title="Agreed: what is said is true",
        text="The Subscriber agrees to keep all that it tells the CA accurate and complete.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The clause on accuracy in the version that was accepted.", ("subscriber-agreement", "terms-of-use")
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-03",
        clause="9.6.3",
        title="Agreed: the key is under sole control",
        text=(
            "The Subscriber agrees to control and guard its key and activation data as 6.2.7.4 asks, wherever no"
            " Signing Service holds the key."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The clause on key protection in the version that was accepted.", ("subscriber-agreement", "terms-of-use")
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-04",
        clause="9.6.3",
        title="Agreed: the key serves code signing only",
        text=(
            "The Subscriber agrees not to ask for a certificate with a public key that is, or will be, in one of"
            " another type."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The clause on reuse, and the key's fingerprint searched for among certificates of other types.",
            ("subscriber-agreement", "terms-of-use", "log:certificate"),
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-05",
        clause="9.6.3",
        title="Agreed: only lawful use",
        text=("The Subscriber agrees to use certificate and key lawfully, as authorised, and for no Suspect Code."),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants("The clause on use in the version that was accepted.", ("subscriber-agreement", "terms-of-use")),
    ),
    Requirement(
        id="CSBR-9.6.3-06",
        clause="9.6.3",
        title="Agreed: the agreement may change",
        text="The Subscriber agrees that the agreement follows the Requirements when these change.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The clause on changes in the version that was accepted.", ("subscriber-agreement", "terms-of-use")
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-07",
        clause="9.6.3",
        title="Agreed: misuse is prevented",
        text=(
            "The Subscriber agrees to guard its network and systems, and to see a certificate revoked unannounced"
            " once somebody else got at the key."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The clause on preventing misuse in the version that was accepted.",
            ("subscriber-agreement", "terms-of-use"),
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-08",
        clause="9.6.3",
        title="Nothing is signed before the certificate was reviewed",
        text="The Subscriber agrees to read the certificate before its first use.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.SIGNING,
        kinds=(Kind.SIGNATURE,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT, EnforcedBy.TECHNICAL_GATE),
        check=use_rules.accepted_before,
        gate=True,
    ),
    Requirement(
        id="CSBR-9.6.3-09",
        clause="9.6.3",
        title="Stop, and have it revoked",
        text=(
            "The Subscriber agrees to stop at once and ask for revocation when information is wrong, the key is"
            " misused or lost, or Suspect Code was signed."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT, Kind.SIGNATURE),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.REVOCATION, EnforcedBy.TECHNICAL_GATE),
        check=use_rules.stopped,
        gate=True,
    ),
    Requirement(
        id="CSBR-9.6.3-10",
        clause="9.6.3",
        title="Agreed: incidents are shared",
        text=(
            "The Subscriber agrees that CAs and others in the trade are told about it and its incidents in the cases"
            " listed."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The clause on sharing in the version that was accepted.", ("subscriber-agreement", "terms-of-use")
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-11",
        clause="9.6.3",
        title="Nothing is signed after the end",
        text="The Subscriber agrees not to use the key once its certificate has expired or is revoked.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.SIGNING,
        kinds=(Kind.SIGNATURE,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.TECHNICAL_GATE),
        check=use_rules.in_force,
        gate=True,
    ),
    Requirement(
        id="CSBR-9.6.3-12",
        clause="9.6.3",
        title="Agreed: answer in time",
        text=("The Subscriber agrees to act within a set time when the CA instructs it about a compromise or misuse."),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants("The clause on instructions, and the time it sets.", ("subscriber-agreement", "terms-of-use")),
    ),
    Requirement(
        id="CSBR-9.6.3-13",
        clause="9.6.3",
        title="Agreed: a breach means revocation",
        text="The Subscriber agrees that the CA may revoke at once when the agreement is broken.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The clause on immediate revocation in the version that was accepted.",
            ("subscriber-agreement", "terms-of-use"),
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-14",
        clause="9.6.3",
        title="Guidance comes with the order",
        text=(
            "With the order the CA hands over documents on guarding keys and on good practice, and the Subscriber"
            " states that it follows them."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Which documents were handed over, in which version, before issuance, and the Subscriber's statement.",
            ("subscriber-agreement", "terms-of-use", "log:certificate"),
        ),
    ),
    Requirement(
        id="CSBR-9.6.3-15",
        clause="9.6.3",
        title="A key that travels has a long random password",
        text=(
            "The Subscriber agrees to move keys only under random passwords of sixteen characters of all four sorts."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.AUDIT),
        wants=Wants(
            "The clause in the version that was accepted; a Signing Service makes no such files.",
            ("subscriber-agreement", "terms-of-use"),
        ),
        notes=("A remainder: since CSC-21 keys no longer travel in software at all.",),
    ),
)
