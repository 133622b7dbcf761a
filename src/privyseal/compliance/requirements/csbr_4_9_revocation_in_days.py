"""When a CA should revoke within 24 hours and has to within five days, and who may ask for more (4.9.1.1)."""

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


def _in_five_days(number: str, title: str, when: str, looked_for: str, evidence: tuple[str, ...]) -> Requirement:
    """Return one of eight requirements that differ in nothing but the event that starts their clock."""
    return Requirement(
        id=f"CSBR-4.9.1.1-{number}",
        clause="4.9.1.1",
        title=f"Five days: {title}",
        text=f"When {when}, the CA revokes within five days, and should do so within 24 hours.",
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(f"For each certificate: {looked_for}, and when it was revoked.", evidence),
        notes=(
            "A CA could work by this text from CSC-18 on (2023-06-29) or by the former one; from 2024-04-15 it has to.",
        ),
    )


REQUIREMENTS = (
    _in_five_days(
        "07",
        "the key is too weak by now",
        "a certificate's key no longer fits the sizes and parameters of 6.1.5 and 6.1.6",
        "since when the key has not fitted",
        ("log:certificate",),
    ),
    _in_five_days(
        "08",
        "it was misused",
        "the CA has evidence that a certificate was misused",
        "when the CA had the evidence",
        ("log:certificate", "log:incident"),
    ),
    _in_five_days(
        "09",
        "the Subscriber broke the agreement",
        "the CA learns that the Subscriber broke the agreement or the terms of use in a way that matters",
        "when the CA learned of it",
        ("log:certificate", "log:problem-report"),
    ),
    _in_five_days(
        "10",
        "the facts changed",
        "the CA learns that what a certificate says has changed in a way that matters",
        "when the CA learned of it",
        ("log:certificate", "log:validation"),
    ),
    _in_five_days(
        "11",
        "it should not have been issued so",
        "the CA learns that issuing a certificate broke these Requirements or its own CP or CPS",
        "when the CA learned of it",
        ("log:certificate", "log:problem-report"),
    ),
    _in_five_days(
        "12",
        "something in it is wrong",
        "something in a certificate turns out to be inaccurate",
        "when that turned out",
        ("log:certificate", "log:validation"),
    ),
    _in_five_days(
        "13",
        "the CA may issue no more",
        "the CA may no longer issue, and nobody was found to keep its CRLs and OCSP answers going",
        "when the right to issue ended, and who keeps the status going",
        ("log:certificate", "policy"),
    ),
    _in_five_days(
        "14",
        "the CA's own policy says so",
        "the CA's own CP or CPS asks for revocation",
        "what in the CP or CPS asks for it, and since when",
        ("cp-cps", "log:certificate"),
    ),
    Requirement(
        id="CSBR-4.9.1.1-15",
        clause="4.9.1.1",
        title="A platform may ask for a delay",
        text="A CA may revoke later when an Application Software Supplier asks it to, because revoking at once would"
        " do the ecosystem great harm.",
        obligation=Obligation.MAY,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-18", "3.3"),
        in_force=InForce(date(2024, 4, 15)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.NOTICE,
        enforced_by=(EnforcedBy.AUDIT,),
        wants=Wants(
            "If a deadline passed: the supplier's request to wait, older than the deadline.",
            ("platform-delay-request",),
        ),
    ),
)
"""In the order of the clauses."""
