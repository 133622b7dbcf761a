"""The profile of root certificates (CSBR 7.1.2.1)."""

from __future__ import annotations

from datetime import date
from functools import partial

from privyseal.compliance import extension_rules as rules
from privyseal.compliance.certificate import JudgedCertificate, Role, only
from privyseal.compliance.outcome import Outcome, met, not_met
from privyseal.compliance.requirement import (
    Asked,
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
)
from privyseal.pki import extensions


@only(Role.ROOT)
def _constraints(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.ca_constraints(certificate)


@only(Role.ROOT)
def _no_path_length(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    constraints = certificate.constraints
    if isinstance(constraints, extensions.BasicConstraints) and constraints.path_length is not None:
        return not_met(f"The root limits its path to {constraints.path_length}; roots should not.", "leave it out")
    return met("The root sets no pathLenConstraint.")


@only(Role.ROOT)
def _key_usage(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.ca_key_usage(certificate)


def _absent(certificate: JudgedCertificate, oid: str) -> Outcome:
    word = extensions.WORDS[oid]
    if certificate.extension(oid) is None:
        return met(f"The root has no {word}.")
    return not_met(f"The root has {word}.", "leave it out of roots")


@only(Role.ROOT)
def _no_policies(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return _absent(certificate, extensions.CERTIFICATE_POLICIES)


@only(Role.ROOT)
def _no_purposes(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return _absent(certificate, extensions.EXTENDED_KEY_USAGE)


_entry = partial(
    Requirement,
    clause="7.1.2.1",
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
    in_force=InForce(date(2021, 9, 8)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.AUDIT,),
)

CONSTRAINTS = _entry(
    id="CSBR-7.1.2.1-01",
    title="Roots: basicConstraints",
    text="A root's basicConstraints is there, critical, and has cA true.",
    obligation=Obligation.SHALL,
    check=_constraints,
)
PATH_LENGTH = _entry(
    id="CSBR-7.1.2.1-02",
    title="Roots: no path length",
    text="A root should set no pathLenConstraint.",
    obligation=Obligation.SHOULD_NOT,
    severity=Severity.LOW,
    check=_no_path_length,
)
KEY_USAGE = _entry(
    id="CSBR-7.1.2.1-03",
    title="Roots: keyUsage",
    text="A root's keyUsage is critical with keyCertSign and cRLSign, and digitalSignature if it signs OCSP responses.",
    obligation=Obligation.SHALL,
    check=_key_usage,
)
POLICIES = _entry(
    id="CSBR-7.1.2.1-04",
    title="Roots: no policies",
    text="A root should have no certificatePolicies.",
    obligation=Obligation.SHOULD_NOT,
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    severity=Severity.LOW,
    check=_no_policies,
)
PURPOSES = _entry(
    id="CSBR-7.1.2.1-05",
    title="Roots: no extended key usage",
    text="A root has no extendedKeyUsage.",
    obligation=Obligation.SHALL_NOT,
    check=_no_purposes,
)

REQUIREMENTS = (CONSTRAINTS, PATH_LENGTH, KEY_USAGE, POLICIES, PURPOSES)
