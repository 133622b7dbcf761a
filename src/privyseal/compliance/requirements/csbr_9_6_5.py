"""A Signing Service's contract with the CA and its Subscribers' commitments (CSBR 9.6.5): who is told what, when."""

from __future__ import annotations

from datetime import date

from privyseal.compliance.commitment_rules import committed
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
        id="CSBR-9.6.5-01",
        clause="9.6.5",
        title="The service tells the CA of Suspect Code",
        text=("By contract a CA has each Signing Service tell it when the service finds that it signed Suspect Code."),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The contract's clause, and for each confirmed case the notice to the issuer of that certificate.",
            ("ca-ss-contract", "log:incident", "log:ca-notified"),
        ),
        notes=("It gives no hours; the CA's own clock for Suspect Code is 24 hours (4.9.1.1).",),
    ),
    Requirement(
        id="CSBR-9.6.5-02",
        clause="9.6.5",
        title="The service tells the CA of a compromise at once",
        text=(
            "By contract a Signing Service asks for revocation and tells the CA at once when a Subscriber's key or"
            " activation data is compromised, or thought to be."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-21", "3.6"),
        in_force=InForce(date(2024, 2, 28)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.CRITICAL,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.REVOCATION),
        wants=Wants(
            "For each compromise the notice and the request to revoke all certificates of the key, with their times.",
            ("ca-ss-contract", "log:incident", "log:ca-notified"),
        ),
        notes=("Notice after more than 24 hours obliges the CA to revoke by itself (CSBR-9.6.5-03).",),
    ),
    Requirement(
        id="CSBR-9.6.5-03",
        clause="9.6.5",
        title="The CA revokes when asked, or when told late",
        text=(
            "The CA revokes at a Signing Service's request, and also on learning that notice of a compromise took"
            " more than 24 hours."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA,),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.REVOCATION),
        wants=Wants(
            "The request or the late notice, and the revocation that followed.",
            ("log:incident", "log:ca-notified", "log:certificate"),
        ),
    ),
    Requirement(
        id="CSBR-9.6.5-04",
        clause="9.6.5",
        title="The Subscriber commits to authorised use",
        text=(
            "A Signing Service has its Subscriber commit to use it only as authorised, within agreement, Requirements"
            " and law."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT, EnforcedBy.TECHNICAL_GATE),
        check=committed("CSBR-9.6.5-04"),
        gate=True,
    ),
    Requirement(
        id="CSBR-9.6.5-05",
        clause="9.6.5",
        title="The Subscriber commits to submit no Suspect Code",
        text="A Signing Service has its Subscriber commit never knowingly to hand in Suspect Code.",
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT, EnforcedBy.TECHNICAL_GATE),
        check=committed("CSBR-9.6.5-05"),
        gate=True,
    ),
    Requirement(
        id="CSBR-9.6.5-06",
        clause="9.6.5",
        title="The Subscriber commits to report Suspect Code",
        text=(
            "A Signing Service has its Subscriber commit to speak up when code it handed in proves to be Suspect Code."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.SIGNING_SERVICE, Party.SUBSCRIBER),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2"),
        in_force=InForce(date(2019, 8, 13)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.SUBSCRIBER,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.AUDIT, EnforcedBy.CONTRACT, EnforcedBy.TECHNICAL_GATE),
        check=committed("CSBR-9.6.5-06"),
        gate=True,
    ),
    Requirement(
        id="CSBR-9.6.5-90",
        clause="9.6.5",
        title="The service told the CA about its own key",
        text=(
            "Until CSC-21 it was a compromise of the Signing Service's own key or activation data that the contract"
            " had it report at once."
        ),
        obligation=Obligation.SHALL,
        binds=(Party.CA, Party.SIGNING_SERVICE),
        applies_to=(Scope.EV, Scope.NON_EV),
        source=Source("CSC-1", "1.2", "window"),
        in_force=InForce(date(2019, 8, 13), date(2024, 2, 27)),
        dated_by=DatedBy.EVENT,
        kinds=(Kind.INCIDENT,),
        severity=Severity.HIGH,
        enforced_by=(EnforcedBy.CONTRACT, EnforcedBy.REVOCATION),
        wants=Wants(
            "For each compromise of the service's own key the notice to the CA.",
            ("ca-ss-contract", "log:incident", "log:ca-notified"),
        ),
        superseded_by="CSBR-9.6.5-02",
        notes=(
            "Its place in version 1.2 was not seen letter by letter; the first day is the latest that is possible.",
        ),
    ),
)
