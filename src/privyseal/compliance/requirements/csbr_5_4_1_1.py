"""What a CA and its Delegated Third Parties log (CSBR 5.4.1.1).

A Signing Service is not named here. Rules of ours say what it logs nevertheless: HOUSE-5.4-01, HOUSE-5.4.3-01.
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

_GAP = (
    "It does not name the Signing Service: CSC-11 dropped the sentence that did, and since CSC-21 the service is no"
    " Delegated Third Party as such. NetSec 3 (through 6.7), the contract with a CA, and HOUSE-5.4-01 reach it."
)

ISSUANCE_TRAIL = Requirement(
    id="CSBR-5.4.1.1-01",
    clause="5.4.1.1",
    title="Every step from request to certificate is on record",
    text=(
        "Who did what and when, with which documents, is recorded for each request and certificate and open to the"
        " Qualified Auditor."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA, Party.DELEGATED_THIRD_PARTY),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "For each certificate request, validations, approval and issuance, with person, time and digests of documents.",
        ("log:validation", "log:certificate"),
    ),
    notes=(_GAP,),
)

LOG_CA_KEYS = Requirement(
    id="CSBR-5.4.1.1-02",
    clause="5.4.1.1",
    title="Log: keys of the CA",
    text="The log has each event in the life of a CA's key, from generation to destruction.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each such event, or a statement that the period had none.", ("log:key",)),
    notes=(_GAP,),
)

LOG_CA_CERTIFICATES = Requirement(
    id="CSBR-5.4.1.1-03",
    clause="5.4.1.1",
    title="Log: certificates of the CA",
    text=(
        "The log has what was asked, granted or refused for CA certificates: the first, a renewal, a new key, a"
        " revocation."
    ),
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each such event, or a statement that the period had none.", ("log:certificate",)),
    notes=(_GAP,),
)

LOG_MODULES = Requirement(
    id="CSBR-5.4.1.1-04",
    clause="5.4.1.1",
    title="Log: cryptographic devices",
    text="The log has what happens to a cryptographic device while the CA has it.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants(
        "Arrival, set-up, updates, moves and removal of each device, or a statement that the period had none.",
        ("log:module",),
    ),
    notes=(_GAP,),
)

LOG_STATUS = Requirement(
    id="CSBR-5.4.1.1-05",
    clause="5.4.1.1",
    title="Log: CRLs and OCSP responses",
    text="The log has each CRL that was made and each OCSP response that was signed.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("As many entries as there are CRLs and OCSP responses.", ("log:crl", "log:ocsp")),
    notes=(_GAP,),
)

LOG_PROFILES = Requirement(
    id="CSBR-5.4.1.1-06",
    clause="5.4.1.1",
    title="Log: certificate profiles",
    text="The log says when a certificate profile came into use and when it went out of use.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each such change, or a statement that the period had none.", ("log:change",)),
    notes=(_GAP,),
)

LOG_CERTIFICATES = Requirement(
    id="CSBR-5.4.1.1-07",
    clause="5.4.1.1",
    title="Log: certificates of Subscribers",
    text="The log follows a certificate: request, checks, decision, issuance, renewal, new key, revocation.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("All of these for each certificate of the period.", ("log:validation", "log:certificate")),
    notes=(_GAP,),
)

LOG_ACCESS = Requirement(
    id="CSBR-5.4.1.1-08",
    clause="5.4.1.1",
    title="Log: attempts to get in",
    text="The log has who tried to reach the systems of the PKI, with success or without.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Entries of both sorts, from each system of the PKI.", ("log:authentication",)),
    notes=(_GAP,),
)

LOG_SECURITY = Requirement(
    id="CSBR-5.4.1.1-09",
    clause="5.4.1.1",
    title="Log: security settings",
    text="The log has what PKI and security systems did and how their security profiles changed.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each change with who made it, and what the systems did.", ("log:change", "log:system")),
    notes=(_GAP,),
)

LOG_FAILURES = Requirement(
    id="CSBR-5.4.1.1-10",
    clause="5.4.1.1",
    title="Log: failures",
    text="The log has crashes, broken hardware and whatever else was out of the ordinary.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Each such event, or a statement that the period had none.", ("log:system",)),
    notes=(_GAP,),
)

LOG_NETWORK = Requirement(
    id="CSBR-5.4.1.1-11",
    clause="5.4.1.1",
    title="Log: firewalls and routers",
    text="The log has what firewalls and routers did.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.LOW,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Entries from each firewall and each router.", ("log:network",)),
    notes=(
        _GAP,
        "Which of their activity belongs in the log, the text leaves open.",
    ),
)

LOG_PREMISES = Requirement(
    id="CSBR-5.4.1.1-12",
    clause="5.4.1.1",
    title="Log: the premises",
    text="The log has who went into the CA's premises and who came out.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("Entries from each door of the premises.", ("log:premises",)),
    notes=(_GAP,),
)

LOG_FIELDS = Requirement(
    id="CSBR-5.4.1.1-13",
    clause="5.4.1.1",
    title="Log: what each record says",
    text="A record says when, who made it, and what happened.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-11", "2.6"),
    in_force=InForce(date(2021, 11, 3)),
    dated_by=DatedBy.DAY,
    kinds=(Kind.LOG,),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.AUDIT,),
    wants=Wants("A check over all records of the period that none lacks one of the three.", ("log:integrity",)),
    notes=(
        _GAP,
        "CSC-19 put the word event for entry.",
    ),
)

REQUIREMENTS = (
    ISSUANCE_TRAIL,
    LOG_CA_KEYS,
    LOG_CA_CERTIFICATES,
    LOG_MODULES,
    LOG_STATUS,
    LOG_PROFILES,
    LOG_CERTIFICATES,
    LOG_ACCESS,
    LOG_SECURITY,
    LOG_FAILURES,
    LOG_NETWORK,
    LOG_PREMISES,
    LOG_FIELDS,
)
