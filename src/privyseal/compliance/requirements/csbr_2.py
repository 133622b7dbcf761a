"""What a CA publishes, how it keeps that current, and what its contracts hand down to a Signing Service (2)."""

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
        id="CSBR-2-01",
        clause="2",
        title="The CP and CPS are renewed every year",
        text="A CA has a CP, a CPS or both that say how it carries out the latest Requirements, and renews them at"
        " least once a year.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("A CP or CPS whose newest dated version is at most 365 days old.", ("cp-cps",)),
        notes=(
            "Section 2 sets the duty; 2.3 adds that a year without changes still gets a new number and a dated line.",
        ),
    ),
    Requirement(
        id="CSBR-2.1-01",
        clause="2.1",
        title="Certificate status is available day and night",
        text="An online repository tells programs, at any hour, the status of each code signing and timestamp"
        " certificate.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("Probes of every CRL and OCSP address in the certificates, over weeks.", ("log:status-probe",)),
    ),
    Requirement(
        id="CSBR-2.2-01",
        clause="2.2",
        title="Policies and hierarchy are published",
        text="The CP and CPS are always on the web, built as RFC 3647 says, and show the whole hierarchy with every"
        " cross certificate that the CA asked for or accepted.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
        in_force=InForce(date(2021, 9, 8)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "The CPS as published, its RFC 3647 headings, and each of our chain's CA certificates in it.",
            ("cp-cps",),
        ),
        notes=(
            "Its date is the latest possible one: the text came with one of CSC-2 to CSC-9, and CSC-9 counts from"
            " 2021-09-08 by the table of revisions, from the day after by its own page.",
        ),
    ),
    Requirement(
        id="CSBR-2.2-02",
        clause="2.2",
        title="The CPS adopts these Requirements",
        text="The CPS takes on the latest Requirements, yields to them where the two differ, and links to them.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "In the CPS: the sentence of adoption, that the Requirements come first, and the official link.",
            ("cp-cps",),
        ),
    ),
    Requirement(
        id="CSBR-2.2-03",
        clause="2.2",
        title="The CA's contracts hand the Requirements down",
        text="A CA's contract with a subordinate CA, an RA, a Signing Service or a subcontractor on the issuance or"
        " management of certificates has the rules that apply in it, and the CA enforces them.",
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT),
        wants=Wants(
            "A signed contract in force that names Requirements, key protection (6.2.7.3), NetSec (6.7), audit"
            " (8.4.2) and notices (9.6.5).",
            ("ca-ss-contract",),
        ),
        notes=(
            "It reaches only a Signing Service with which a CA has a contract; one that the Subscriber chose alone is"
            " not reached.",
        ),
    ),
    Requirement(
        id="CSBR-2.4-01",
        clause="2.4",
        title="Everyone reads the repository, nobody else writes it",
        text="The repository is open for anyone to read, and closed to changes from outside.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
        source=Source("CSC-19", "3.4"),
        in_force=InForce(date(2023, 9, 5)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "A probe that may read without credentials and is refused when it tries to write.",
            ("network-scan",),
        ),
    ),
)
"""In the order of the clauses."""
