"""Profiles (CSBR 7), so far as only a paper or a log shows it; the rest is judged on what was signed."""

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

SUBORDINATE_STATES = Requirement(
    id="CSBR-7.1.6.3-04",
    clause="7.1.6.3",
    title="A sub-CA states what its identifier means",
    text=(
        "A Subordinate CA says in its CP or CPS that certificates with the compliance identifier keep the Requirements."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("That sentence, beside the identifiers.", ("cp-cps",)),
)

CA_STATES = Requirement(
    id="CSBR-7.1.6.4-02",
    clause="7.1.6.4",
    title="A CA states what its identifiers mean",
    text="The CA writes down that it manages certificates with these identifiers under the Requirements.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each policy identifier of its certificates, in its CPS.", ("cp-cps",)),
)

BETTER_DATE = Requirement(
    id="CSBR-7.2-03",
    clause="7.2",
    title="A revocation date may be corrected",
    text="If the CA learns a better date of revocation, later CRLs and OCSP responses may have it.",
    obligation=Obligation.MAY,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-12", "2.7"),
    in_force=InForce(date(2021, 12, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.ORGANISATION,),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    wants=Wants("Each correction, with its reason.", ("log:crl", "log:ocsp")),
    notes=("Section 7.3 says so for OCSP.",),
)

REQUIREMENTS = (
    SUBORDINATE_STATES,
    CA_STATES,
    BETTER_DATE,
)
