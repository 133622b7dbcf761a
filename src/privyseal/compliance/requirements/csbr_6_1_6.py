"""Parameters of public keys (CSBR 6.1.6): one duty on the RSA exponent, and advice that most software follows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from privyseal.compliance import weak_keys
from privyseal.compliance.outcome import Outcome, met, not_applicable, not_evidenced, not_met
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
from privyseal.compliance.requirements.csbr_6_1_1_3 import WithKey

ALL = (Scope.EV, Scope.NON_EV, Scope.TIMESTAMP)
"""Certificates that these clauses are about."""


def _exponent(subject: WithKey, asked: Asked) -> Outcome:
    key = weak_keys.key_of(subject.spki)
    if key.family != "rsa":
        return not_applicable(f"It is {key} and has no RSA exponent.")
    flaw = weak_keys.exponent_flaw(key)
    if flaw is not None:
        return not_met(f"In the RSA key {flaw}.", "generate another key pair, with exponent 65537")
    return met("The public exponent is odd and at least 3.")


def _advised(subject: WithKey, asked: Asked) -> Iterator[Outcome]:
    key = weak_keys.key_of(subject.spki)
    if key.family != "rsa":
        yield not_applicable(f"It is {key} and has no modulus.")
        return
    missed = weak_keys.advice(key)
    for flaw in missed:
        yield not_met(f"In the RSA key {flaw}.", "generate another key pair, with exponent 65537")
    if not missed:
        yield met("Exponent and modulus are as advised.")


def _validated(subject: WithKey, asked: Asked) -> Outcome:
    key = weak_keys.key_of(subject.spki)
    if key.family != "ec":
        return not_applicable(f"It is {key}, on no elliptic curve.")
    if key.curve not in weak_keys.CURVES:
        return not_evidenced(f"It is {key}, which is not validated here.", "use P-256, P-384 or P-521")
    flaw = weak_keys.point_flaw(subject.spki, key.curve)
    if flaw is not None:
        return not_met(f"In the key {flaw}.", "generate another key pair")
    return met(f"It is {key}, and its point is on the curve.")


EXPONENT = Requirement(
    id="CSBR-6.1.6-01",
    clause="6.1.6",
    title="An RSA exponent is odd and at least 3",
    text="The CA makes sure that the public exponent of an RSA key is odd and not below 3.",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=ALL,
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE, Kind.CERTIFICATE_REQUEST),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_exponent,
)

RSA_ADVICE = Requirement(
    id="CSBR-6.1.6-02",
    clause="6.1.6",
    title="An RSA key has an ordinary exponent and a hard modulus",
    text="The exponent lies from 2^16+1 to 2^256-1, and the modulus is odd, no power of a prime, without factors below"
    " 752.",
    obligation=Obligation.SHOULD,
    binds=(Party.CA,),
    applies_to=ALL,
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE, Kind.CERTIFICATE_REQUEST),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.NOBODY,),
    check=_advised,
    notes=("A modulus with a small factor also breaks 6.1.1.3, which is a duty.",),
)

POINT = Requirement(
    id="CSBR-6.1.6-03",
    clause="6.1.6",
    title="An elliptic key is validated",
    text="The public point goes through full or partial public key validation (SP 800-56A).",
    obligation=Obligation.SHOULD,
    binds=(Party.CA,),
    applies_to=ALL,
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE, Kind.CERTIFICATE_REQUEST),
    severity=Severity.MEDIUM,
    enforced_by=(EnforcedBy.NOBODY,),
    check=_validated,
    notes=("Judged by doing the validation again: whether the CA did it does not show in a certificate.",),
)

REQUIREMENTS = (EXPONENT, RSA_ADVICE, POINT)
