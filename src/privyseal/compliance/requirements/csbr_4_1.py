"""Certificate requests (4.1), and the signing requests that a Signing Service once needed."""

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
        id="CSBR-4.1.1-02",
        clause="4.1.1",
        title="Suspicious requests are noticed",
        text="A CA has a procedure to notice suspicious certificate requests.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-25", "3.8"),
        in_force=InForce(date(2024, 8, 1)),
        dated_by=DatedBy.DAY,
        kinds=(Kind.ORGANISATION,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants("The written procedure, and which signs it looks for.", ("policy",)),
        notes=(
            "The clause is printed with a reference to 3.2.2.8, and its link leads to 3.2.8, the denied lists; the"
            " duty is the same.",
        ),
    ),
    Requirement(
        id="CSBR-4.1.2-01",
        clause="4.1.2",
        title="There is a request before there is a certificate",
        text="A CA has a certificate request in its own form first; one request may serve for several certificates"
        " while it is current and properly signed.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.ISSUANCE,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "For each certificate the request it came from, of the same Applicant and not too old.",
            ("log:certificate",),
        ),
    ),
    Requirement(
        id="CSBR-4.1.2-90",
        clause="4.1.2",
        title="There was a signing request before a signature",
        text="Until CSC-21 a Signing Service first obtained a signing request in which the Applicant vouched that it"
        " was correct.",
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
        dated_by=DatedBy.SIGNING,
        kinds=(Kind.SIGNATURE,),
        severity=Severity.MEDIUM,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "For the time before 2024-02-28: a request with that assurance behind each signature.",
            ("log:signature",),
        ),
        notes=("CSC-21 set out to drop the rules on signing requests, and nothing took their place.",),
    ),
)
"""In the order of the clauses; superseded texts after the text of today."""
