"""What a CA does with a request (4.2): how old a validation may be, and to whom it issues nothing."""

from __future__ import annotations

from datetime import date

from privyseal.compliance.requirement import (
    Conflict,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Nature,
    Obligation,
    Party,
    Reading,
    Requirement,
    Scope,
    Severity,
    Source,
    Wants,
)

REQUIREMENTS = (
    Requirement(
        id="CSBR-4.2.1-01",
        clause="4.2.1",
        title="All that is certified was verified",
        text="Everything that goes into a certificate is verified by a documented procedure, and what is missing is"
        " had from the Applicant or confirmed with it.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The written procedure, and a validation behind each attribute of the subject.",
            ("log:validation", "policy"),
        ),
        notes=("Until CSC-21 Signing Services were named here too.",),
    ),
    Requirement(
        id="CSBR-4.2.1-02",
        clause="4.2.1",
        title="Known malware publishers are looked up",
        text="Before it issues, a CA should look in a database of known or suspected publishers of Suspect Code, and"
        " in any that a platform offers of deceptive names.",
        obligation=Obligation.SHOULD,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.NOBODY,),
        wants=Wants(
            "For each order a look-up in at least one such database, before the certificate.",
            ("log:validation",),
        ),
    ),
    Requirement(
        id="CSBR-4.2.1-03",
        clause="4.2.1",
        title="The CA remembers bad history",
        text="A CA keeps a database of certificates it revoked for Suspect Code and of requests it refused, looks in"
        " it, and acts as 4.2.2 says.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "The database, with as many rows as there were such revocations and refusals, and a look-up for each"
            " order.",
            ("log:certificate", "log:validation"),
        ),
        notes=("The sentence that leads to 4.2.2 came with CSC-22.",),
    ),
    Requirement(
        id="CSBR-4.2.1-04",
        clause="4.2.1",
        title="Proof of key protection keeps for 13 months",
        text="Proof of key protection of the kinds numbered 4, 5 and 7 may serve again while its validation is no"
        " older than 13 months at issuance.",
        obligation=Obligation.MAY,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-13", "2.8"),
        in_force=InForce(date(2022, 5, 6)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.KEY_PAIR,),
        severity=Severity.NOTICE,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Which kind of proof it is, and when it was validated.",
            ("cloud-configuration-report", "it-audit", "subscriber-agreement"),
        ),
        nature=Nature.INTERPRETATION,
        conflict=Conflict(
            "The numbers 4, 5 and 7 point into 6.2.7.4.1, a list of ways to protect a key, but fit only the proofs of"
            " 6.2.7.4.2.",
            (
                Reading(
                    "proofs",
                    "The numbers mean the proofs of 6.2.7.4.2: IT audit, cloud report, agreement with a Signing"
                    " Service.",
                ),
                Reading(
                    "printed",
                    "The numbers mean options 4, 5 and 7 of 6.2.7.4.1, as printed.",
                ),
            ),
            default="proofs",
        ),
        notes=("Proof of any other kind is for one key, and is brought afresh for the next.",),
    ),
    Requirement(
        id="CSBR-4.2.1-05",
        clause="4.2.1",
        title="Non-EV validation keeps for 825 days",
        text="What was obtained or validated for one Non-EV certificate supports another only while it is at most 825"
        " days old.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.NON_EV,),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants("For each validation its date, at most 825 days before the certificate.", ("log:validation",)),
        notes=(
            "Its date is the latest possible one: the text came with one of CSC-2 to CSC-9, and CSC-9 counts from"
            " 2021-09-08 by the table of revisions, from the day after by its own page.",
        ),
    ),
    Requirement(
        id="CSBR-4.2.1-90",
        clause="4.2.1",
        title="Applicants from a High Risk Region were looked at harder",
        text="Until CSC-22 the CA looked up whether the Applicant's region was one of High Risk, and scrutinised a"
        " request of high risk more.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.LOW,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("For orders before 2024-02-28: that the region was looked up.", ("log:validation",)),
        notes=(
            "The list of such regions in Appendix A was always empty. Since CSC-25 the definition and the appendix"
            " stand in the text again, but no rule uses them.",
        ),
    ),
    Requirement(
        id="CSBR-4.2.1.1.3-01",
        clause="4.2.1.1.3",
        title="EV validation keeps for 398 days",
        text="What supports an EV certificate was gathered no more than 398 days before it; a role's authority may"
        " last as long as a contract says.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV,),
        source=Source("CSC-25", "3.8"),
        in_force=InForce(date(2024, 8, 1)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "For each part of the EV file when it was gathered, at most 398 days before the certificate.",
            ("log:validation",),
        ),
        notes=("A re-issue (4.2.1.1.2) and the cases of 4.2.1.1.1 are excepted.",),
    ),
    Requirement(
        id="CSBR-4.2.2-01",
        clause="4.2.2",
        title="Never again for one who meant to sign malware",
        text="Whoever the CA found to have signed Suspect Code on purpose is never given a certificate again, be it"
        " in place of an old one.",
        obligation=Obligation.SHALL_NOT,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "That no certificate was issued to the entity after the CA came to that finding.",
            ("log:certificate", "log:incident"),
        ),
    ),
    Requirement(
        id="CSBR-4.2.2-02",
        clause="4.2.2",
        title="The reasons for revocations are kept",
        text="A CA keeps facts about the reason of each revocation of a code signing certificate, to show that it was"
        " not for signing Suspect Code on purpose.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("For each revocation its reason, who decided it, and on what evidence.", ("log:certificate",)),
    ),
    Requirement(
        id="CSBR-4.2.2-03",
        clause="4.2.2",
        title="The victim of a takeover may have a new certificate",
        text="An entity that lost its key in a documented Takeover Attack may be given new certificates.",
        obligation=Obligation.MAY,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.NOTICE,
        enforced_by=(EnforcedBy.NOBODY,),
        wants=Wants("The documents about the attack, with the next order.", ("takeover-documentation",)),
    ),
    Requirement(
        id="CSBR-4.2.2-04",
        clause="4.2.2",
        title="Not after two takeovers or badly kept keys",
        text="Unless a platform expressly allows it, an entity of which the CA knows two Takeover Attacks, or that"
        " broke the key-protection duties named there, gets no new certificate.",
        obligation=Obligation.SHALL_NOT,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "How many Takeover Attacks the CA knows of, whether keys were kept as due, and if not, the platform's"
            " permission.",
            ("log:incident", "platform-agreement"),
        ),
        nature=Nature.INTERPRETATION,
        conflict=Conflict(
            "The duties named are options 1 and 2 of 6.2.7.4.1, of the time before June 2023; they are in the text"
            " again since CSC-25.",
            (
                Reading(
                    "key-protection",
                    "A breach of whatever key-protection duty of 6.2.7.4.1 bound the Subscriber at the time blocks.",
                ),
                Reading(
                    "printed",
                    "Only a breach of the two old options blocks, so none by a key of today.",
                ),
            ),
            default="key-protection",
        ),
    ),
    Requirement(
        id="CSBR-4.2.2-90",
        clause="4.2.2",
        title="After a takeover the new key protection was verified",
        text="Until CSC-22 the CA made sure, by technical means or an auditor's report from the Subscriber, that a"
        " takeover's victim now kept its key in a TPM or certified hardware.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("For orders before 2024-02-28: what showed where the new key was.", ("it-audit",)),
        notes=("Dropped when hardware had become the rule for every Subscriber.",),
    ),
)
"""In the order of the clauses; superseded texts after the text of today."""
