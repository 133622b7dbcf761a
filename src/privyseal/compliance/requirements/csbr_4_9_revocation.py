"""When a CA revokes within 24 hours, when a subordinate CA falls, and which text counted before (4.9, 4.9.1).

All clocks are the CA's own: they start when the CA knows, not when the Signing Service does (9.6.5 has that one).
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

REQUIREMENTS = (
    Requirement(
        id="CSBR-4.9-01",
        clause="4.9",
        title="One text on revocation from 2024-04-15",
        text="Until 2024-04-14 a CA could still revoke by what version 3.2.0 said in 4.9; since then only the text of"
        " CSC-18 counts.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("By which of the two texts the CA went, if the report came before 2024-04-15.", ("cp-cps",)),
    ),
    Requirement(
        id="CSBR-4.9.1.1-01",
        clause="4.9.1.1",
        title="24 hours: the Subscriber asks",
        text="When the Subscriber asks for it in writing, the CA revokes within 24 hours.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "When the Subscriber's request reached the CA, and when the certificate was revoked.",
            ("log:certificate", "log:problem-report"),
        ),
        notes=(
            "A CA could work by this text from CSC-18 on (2023-06-29) or by the former one; from 2024-04-15 it has to.",
        ),
    ),
    Requirement(
        id="CSBR-4.9.1.1-02",
        clause="4.9.1.1",
        title="24 hours: nobody had authorised the request",
        text="When the Subscriber tells the CA that the certificate was requested without authority and does not"
        " approve it after all, the CA revokes within 24 hours.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "When the Subscriber said so, and when the certificate was revoked.",
            ("log:certificate", "log:problem-report"),
        ),
        notes=(
            "A CA could work by this text from CSC-18 on (2023-06-29) or by the former one; from 2024-04-15 it has to.",
        ),
    ),
    Requirement(
        id="CSBR-4.9.1.1-03",
        clause="4.9.1.1",
        title="24 hours: the key is compromised",
        text="When the CA gets evidence that the Private Key was given to somebody without authority, or that such a"
        " person got at it, it revokes within 24 hours.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "When the CA had the evidence, and when the certificate was revoked.",
            ("log:ca-notified", "log:certificate", "log:incident"),
        ),
        notes=(
            "A CA could work by this text from CSC-18 on (2023-06-29) or by the former one; from 2024-04-15 it has to.",
            "The CA's clock starts when the CA has the evidence; until then the notice of 9.6.5 has a clock of its"
            " own.",
        ),
    ),
    Requirement(
        id="CSBR-4.9.1.1-05",
        clause="4.9.1.1",
        title="24 hours: the key can be had, or was badly made",
        text="When a proven method yields the Private Key, or the way it was generated is clearly flawed, the CA"
        " revokes within 24 hours.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Which keys the flawed module or method made, when the CA learned of it, and when each certificate was"
            " revoked.",
            ("hsm-module-certificate", "log:certificate", "log:key"),
        ),
        notes=(
            "A CA could work by this text from CSC-18 on (2023-06-29) or by the former one; from 2024-04-15 it has to.",
        ),
    ),
    Requirement(
        id="CSBR-4.9.1.1-06",
        clause="4.9.1.1",
        title="24 hours: it signed Suspect Code",
        text="When the CA is reasonably sure that the certificate signed Suspect Code, it revokes within 24 hours.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "When the CA came to be sure, which signature it was, and when the certificate was revoked.",
            ("log:certificate", "log:incident", "log:signature"),
        ),
        notes=(
            "A CA could work by this text from CSC-18 on (2023-06-29) or by the former one; from 2024-04-15 it has to.",
            "The clock starts with the CA's own assurance, not with the first report.",
        ),
    ),
    Requirement(
        id="CSBR-4.9.1.1-90",
        clause="4.9.1.1",
        title="Two business days: a platform asked",
        text="By the older text the CA revoked within two business days of a platform's request, or said that it"
        " would investigate and decided within two more.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13), date(2024, 4, 14)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "For a request before 2024-04-15: when it came, what the CA answered, and when it decided.",
            ("log:certificate", "log:problem-report"),
        ),
        superseded_by="CSBR-4.9.1.1-06",
        notes=("From 2023-06-29 on a CA could work by the new text instead.",),
    ),
    Requirement(
        id="CSBR-4.9.1.1-91",
        clause="4.9.1.1",
        title="One business day: the Subscriber asked",
        text="By the older text the CA revoked within one business day when the Subscriber asked in writing or"
        " disowned the certificate.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13), date(2024, 4, 14)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "For a request before 2024-04-15: when it came, and when the certificate was revoked.",
            ("log:certificate", "log:problem-report"),
        ),
        superseded_by="CSBR-4.9.1.1-01",
        notes=("From 2023-06-29 on a CA could work by the new text instead.",),
    ),
    Requirement(
        id="CSBR-4.9.1.1-92",
        clause="4.9.1.1",
        title="Malware by steps: one business day, 72 hours, 7 days",
        text="By the older text the CA wrote to the malware's publisher within one business day, counted those"
        " concerned within 72 hours, and by default revoked seven days after its notice.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13), date(2024, 4, 14)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "For malware before 2024-04-15: the notice, the count, the publisher's answer, and when the certificate"
            " was revoked.",
            ("log:certificate", "log:incident", "log:problem-report"),
        ),
        superseded_by="CSBR-4.9.1.1-06",
        notes=(
            "The publisher had 72 hours to answer, and the two could agree on another date; great public harm that is"
            " put in writing excused waiting.",
            "From 2023-06-29 on a CA could work by the new text instead.",
        ),
    ),
    Requirement(
        id="CSBR-4.9.1.2-01",
        clause="4.9.1.2",
        title="Seven days for a subordinate CA",
        text="A subordinate CA's certificate is revoked within seven days of any of nine events, from its own request"
        " over a compromised key to what the issuer's policy asks.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "Which of the nine events it was, when, and when the subordinate CA was revoked.",
            ("log:certificate", "log:problem-report"),
        ),
        notes=("Before CSC-18 the same was said by pointing to the TLS Baseline Requirements.",),
    ),
)
"""In the order of the clauses; superseded texts after the text of today."""
