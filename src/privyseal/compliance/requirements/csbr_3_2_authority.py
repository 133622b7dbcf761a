"""Whether the request is genuine, which sources count, and who looks at an EV file again (3.2.5 to 3.2.10)."""

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
        id="CSBR-3.2.5-01",
        clause="3.2.5",
        title="The CA asks back by a way it found itself",
        text="For an organisation the CA confirms a representative's request by contact details that it did not get"
        " from that representative.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "Whom the CA asked, and where it had the address from, before the certificate.",
            ("identity-validation", "log:validation"),
        ),
    ),
    Requirement(
        id="CSBR-3.2.5-02",
        clause="3.2.5",
        title="An Applicant may say who may ask",
        text="An Applicant can name in writing who may ask for certificates; then the CA refuses everybody else, and"
        " tells the Applicant its list when asked in writing and sure who asks.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants("The written list, if there is one, against each request since.", ("log:certificate",)),
    ),
    Requirement(
        id="CSBR-3.2.6-01",
        clause="3.2.6",
        title="Platforms can test with real certificates",
        text="Under each of its roots a CA should have valid certificates, of either kind, with which Application"
        " Software Suppliers can test.",
        obligation=Obligation.SHOULD,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.NOTICE,
        enforced_by=(EnforcedBy.NOBODY,),
        wants=Wants(
            "For each root and each type a test certificate that is neither expired nor revoked.",
            ("inventory",),
        ),
        notes=(
            "Its date is the latest possible one: the text came with one of CSC-2 to CSC-9, and CSC-9 counts from"
            " 2021-09-08 by the table of revisions, from the day after by its own page.",
        ),
    ),
    Requirement(
        id="CSBR-3.2.7-01",
        clause="3.2.7",
        title="A source is weighed before it is relied on",
        text="A Reliable Data Source is first weighed for reliability, accuracy and resistance to tampering; one that"
        " the CA or its group runs for its own vetting does not count.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "A dated assessment of each source, older than its first use, with who owns the source.",
            ("review-record",),
        ),
    ),
    Requirement(
        id="CSBR-3.2.8-01",
        clause="3.2.8",
        title="Nobody on a denied list gets an EV certificate",
        text="Applicant, Contract Signer, Approver and the places concerned are looked up in the denied lists that"
        " apply; a hit forbids an EV certificate.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV,),
        source=Source("CSC-25", "3.8"),
        in_force=InForce(date(2024, 8, 1)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants("A screening of all of them without a hit, before the certificate.", ("log:validation",)),
    ),
    Requirement(
        id="CSBR-3.2.9-01",
        clause="3.2.9",
        title="A second person reads the whole EV file",
        text="Somebody who gathered none of it reviews the whole file, differences are settled in writing, and"
        " nothing is issued that is known to be wrong.",
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
            "The reviewer's name, that it is none of those who gathered the file, and that the review is older than"
            " the certificate.",
            ("log:validation",),
        ),
        notes=(
            "4.2.1 asks for this care before every Code Signing Certificate, so on that reading Non-EV certificates"
            " need it as well.",
        ),
    ),
    Requirement(
        id="CSBR-3.2.10-01",
        clause="3.2.10",
        title="Only agencies that the CA has disclosed",
        text="An agency of incorporation or registration is used only after the CA has published which it is, the"
        " jurisdiction values and number forms that it takes for it, and the list's history.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV,),
        source=Source("CSC-25", "3.8"),
        in_force=InForce(date(2025, 3, 15)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The CA's published list of agencies on the day of issuance, with the agency and jurisdiction that were"
            " used.",
            ("cp-cps", "log:validation"),
        ),
    ),
)
"""In the order of the clauses."""
