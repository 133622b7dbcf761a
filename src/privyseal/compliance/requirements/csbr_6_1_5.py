"""Kinds and sizes of keys (CSBR 6.1.5): of roots and subordinate CAs, of Subscribers and Timestamp Authorities."""

from __future__ import annotations

from datetime import date
from functools import partial

from privyseal.compliance.certificate import JudgedCertificate, Role, only
from privyseal.compliance.outcome import Outcome, judgement, met, not_applicable, not_met
from privyseal.compliance.requirement import (
    Asked,
    Check,
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
from privyseal.pki.key_facts import KeyFacts

CA_RSA_BITS, LEAF_RSA_BITS, OLD_LEAF_RSA_BITS = 4096, 3072, 2048
"""Least bits of an RSA modulus: of a CA, of a leaf since 2021-06-01, of a leaf before (CSBR 6.1.5)."""
CURVES = {"1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521"}
"""The three curves of CSBR 6.1.5."""
DSA_BITS, DSA_SUBGROUP_BITS = 2048, (224, 256)
"""L and N of a DSA key (CSBR 6.1.5)."""

_LEAF_SINCE = date(2021, 6, 1)
_KNOWN = {"rsa", "ec", "dsa"}


def rsa_at_least(key: KeyFacts, bits: int) -> Outcome:
    """Judge an RSA key's size; it does not apply to EC and DSA keys, and a person judges those of no kind it knows."""
    if key.family not in _KNOWN:
        return judgement(
            f"The key is {key}; section 6.1.5 sets bounds for RSA, EC and DSA, and says nothing of others."
        )
    if key.family != "rsa":
        return not_applicable(f"It speaks of RSA; this is {key}.")
    if key.bits >= bits:
        return met(f"The key is {key}, at least {bits}.")
    return not_met(f"The key is {key}; at least {bits} are asked.", f"use RSA with {bits} bits or more")


def on_a_curve(key: KeyFacts) -> Outcome:
    """Judge an EC key's curve, which has to be named and one of three."""
    if key.family != "ec":
        return not_applicable(f"It speaks of EC keys; this is {key}.")
    if key.curve in CURVES:
        return met(f"The key is {key}.")
    return not_met(f"The key is {key}; P-256, P-384 or P-521 is asked, by name.", "use one of the three curves")


def dsa_as_asked(key: KeyFacts) -> Outcome:
    """Judge a DSA key's parameters."""
    if key.family != "dsa":
        return not_applicable(f"It speaks of DSA; this is {key}.")
    if key.bits == DSA_BITS and key.subgroup_bits in DSA_SUBGROUP_BITS:
        return met(f"The key is {key}.")
    return not_met(f"The key is {key}; 2048 and 224 or 256 are asked.", "use DSA with L=2048, N=224 or 256")


def leaf_key(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    """Judge a leaf's key of any kind by what was asked when it was issued."""
    key, issued = certificate.key, (certificate.issued or certificate.not_before).date()
    if key.family == "rsa":
        return rsa_at_least(key, LEAF_RSA_BITS if issued >= _LEAF_SINCE else OLD_LEAF_RSA_BITS)
    if key.family == "ec":
        return on_a_curve(key)
    if key.family == "dsa":
        return dsa_as_asked(key)
    return rsa_at_least(key, LEAF_RSA_BITS)


def _rsa_ca(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.role is Role.LEAF:
        return not_applicable("It speaks of CA certificates.")
    return rsa_at_least(certificate.key, CA_RSA_BITS)


def _curve_ca(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.role is Role.LEAF:
        return not_applicable("It speaks of CA certificates.")
    return on_a_curve(certificate.key)


def _dsa_ca(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.role is Role.LEAF:
        return not_applicable("It speaks of CA certificates.")
    return dsa_as_asked(certificate.key)


def _leaf(bits: int) -> Check:
    return only(Role.LEAF)(lambda certificate, _asked: rsa_at_least(certificate.key, bits))


_entry = partial(
    Requirement,
    obligation=Obligation.SHALL,
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.CRITICAL,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)
_ca = partial(_entry, clause="6.1.5.1", binds=(Party.CA,))
_bound = (Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY)
_of_leaf = partial(_entry, clause="6.1.5.2", binds=_bound)

CA_RSA = _ca(
    id="CSBR-6.1.5.1-01",
    title="RSA keys of CAs: 4096 bits",
    text="An RSA key of a root or subordinate CA has a modulus of at least 4096 bits.",
    source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
    in_force=InForce(date(2021, 9, 8)),
    check=_rsa_ca,
    notes=(
        "A root with less may still sign a cross certificate for a root that complies.",
        "A root older than the text keeps its key; it is dated by its own issuance.",
    ),
)
CA_CURVE = _ca(
    id="CSBR-6.1.5.1-02",
    title="EC keys of CAs: three curves",
    text="An EC key of a CA is on P-256, P-384 or P-521.",
    check=_curve_ca,
)
CA_DSA = _ca(
    id="CSBR-6.1.5.1-03",
    title="DSA keys of CAs",
    text="A DSA key of a CA has 2048 bits with a subgroup of 224 or 256.",
    check=_dsa_ca,
)
LEAF_RSA = _of_leaf(
    id="CSBR-6.1.5.2-01",
    title="RSA keys of leaves: 3072 bits",
    text="An RSA key in a code signing or timestamp certificate has a modulus of at least 3072 bits.",
    source=Source("CSC-4", "2.1"),
    in_force=InForce(_LEAF_SINCE),
    check=_leaf(LEAF_RSA_BITS),
    notes=("zlint asks for 3072 bits from 2019-08-13, almost two years too early.",),
)
LEAF_CURVE = _of_leaf(
    id="CSBR-6.1.5.2-02",
    title="EC keys of leaves: three curves",
    text="An EC key in a code signing or timestamp certificate is on P-256, P-384 or P-521.",
    check=only(Role.LEAF)(lambda certificate, _asked: on_a_curve(certificate.key)),
)
LEAF_DSA = _of_leaf(
    id="CSBR-6.1.5.2-03",
    title="DSA keys of leaves",
    text="A DSA key in a code signing or timestamp certificate has 2048 bits with a subgroup of 224 or 256.",
    check=only(Role.LEAF)(lambda certificate, _asked: dsa_as_asked(certificate.key)),
)
LEAF_RSA_BEFORE = _of_leaf(
    id="CSBR-6.1.5.2-90",
    title="RSA keys of leaves: 2048 bits, until May 2021",
    text="Before June 2021 an RSA key of at least 2048 bits was enough.",
    in_force=InForce(date(2019, 8, 13), date(2021, 5, 31)),
    superseded_by="CSBR-6.1.5.2-01",
    check=_leaf(OLD_LEAF_RSA_BITS),
)

REQUIREMENTS = (CA_RSA, CA_CURVE, CA_DSA, LEAF_RSA, LEAF_CURVE, LEAF_DSA, LEAF_RSA_BEFORE)
