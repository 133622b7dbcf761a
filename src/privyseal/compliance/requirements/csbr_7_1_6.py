"""Certificate policies (CSBR 7.1.6): the reserved identifiers, and which a subordinate CA and a leaf name."""

from __future__ import annotations

from datetime import date
from functools import partial

from privyseal.compliance import extension_rules as rules
from privyseal.compliance.certificate import (
    CODE_SIGNING,
    EV_POLICY,
    NON_EV_POLICY,
    RESERVED,
    TIME_STAMPING,
    TIMESTAMP_POLICY,
    JudgedCertificate,
    Role,
    only,
)
from privyseal.compliance.outcome import Outcome, judgement, met, not_applicable, not_met
from privyseal.compliance.requirement import (
    Asked,
    Conflict,
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Nature,
    Obligation,
    Party,
    Reading,
    Requirement,
    Scope,
    Severity,
    Source,
)
from privyseal.pki.extensions import ANY_POLICY

_CODE = {EV_POLICY, NON_EV_POLICY}


def _reserved(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = set(certificate.policy_oids) & set(RESERVED)
    if certificate.role is Role.ROOT or not found:
        return not_applicable("It names no reserved policy identifier.")
    purposes = rules.purposes_of(certificate)
    if TIMESTAMP_POLICY in found and (CODE_SIGNING in purposes or found & _CODE):
        return not_met(
            "It names the policy of timestamp certificates and is for code signing.", "name the policy of its kind"
        )
    if found & _CODE and TIME_STAMPING in purposes and CODE_SIGNING not in purposes:
        return not_met("It names a policy of code signing and is for time stamping.", f"name {TIMESTAMP_POLICY}")
    if certificate.role is Role.LEAF and found >= _CODE:
        return judgement("It names the policies of EV and of Non-EV certificates at once.")
    return met(f"It names {', '.join(sorted(found))}, which fits its purpose.")


@only(Role.SUBORDINATE)
def _not_affiliate(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if not certificate.policy_oids:
        return not_met("It names no policy.", "name a policy identifier")
    if ANY_POLICY in certificate.policy_oids:
        return judgement("It names anyPolicy, which only an Affiliate of the root's owner may.")
    return met("It names specific policies and not anyPolicy.")


def _affiliate(certificate: JudgedCertificate, asked: Asked, wanted: set[str], requirement: str) -> Outcome:
    named = set(certificate.policy_oids)
    if named & wanted:
        return met("It names the reserved policy identifier.")
    if ANY_POLICY in named:
        if asked.choices.get(requirement, "either") == "reserved":
            return not_met("It names anyPolicy and no reserved identifier, which is asked as the text is read here.")
        return met("It names anyPolicy in place of the reserved identifier.")
    return judgement(
        "It names neither the reserved identifier nor anyPolicy, as an Affiliate of the root's owner has to."
    )


@only(Role.SUBORDINATE)
def _affiliate_code(certificate: JudgedCertificate, asked: Asked) -> Outcome:
    if certificate.scopes == {Scope.TIMESTAMP}:
        return not_applicable("It speaks of CAs for code signing.")
    return _affiliate(certificate, asked, _CODE, "CSBR-7.1.6.3-02")


@only(Role.SUBORDINATE)
def _affiliate_timestamp(certificate: JudgedCertificate, asked: Asked) -> Outcome:
    if TIME_STAMPING not in rules.purposes_of(certificate):
        return not_applicable("It speaks of CAs for time stamping.")
    return _affiliate(certificate, asked, {TIMESTAMP_POLICY}, "CSBR-7.1.6.3-03")


@only(Role.LEAF)
def _some_policy(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    own = [each for each in certificate.policy_oids if each not in RESERVED and each != ANY_POLICY]
    if own:
        return met(f"It names {', '.join(own)}, which its CA defined.")
    if set(certificate.policy_oids) & set(RESERVED):
        return judgement("It names only a reserved identifier, where the text asks for one that its CA defined.")
    return not_met("It names no policy that stands for these Requirements.", "name a policy identifier")


@only(Role.LEAF)
def _reserved_policy(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = sorted(set(certificate.policy_oids) & set(RESERVED))
    if found:
        return met(f"It names the reserved policy identifier {', '.join(found)}.")
    return not_met("It names no reserved policy identifier.", "name the one of its kind")


_entry = partial(
    Requirement,
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)
_EITHER = Conflict(
    "The text has to have the reserved identifier, and then lets anyPolicy stand in place of an explicit one.",
    (
        Reading("either", "The reserved identifier or anyPolicy is enough, as a branch of the document words it."),
        Reading("reserved", "The reserved identifier has to be there in any case."),
    ),
    "either",
)

RESERVED_IDENTIFIERS = _entry(
    id="CSBR-7.1.6.1-01",
    clause="7.1.6.1",
    title="Reserved identifiers stand for their kind",
    text="A reserved identifier stands for one kind: 2.23.140.1.3 for EV, .1.4.1 for Non-EV, .1.4.2 for timestamps.",
    source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
    in_force=InForce(date(2021, 9, 8)),
    check=_reserved,
    notes=("The identifier for Non-EV is as old as version 1.2.",),
)
NOT_AFFILIATE = _entry(
    id="CSBR-7.1.6.3-01",
    clause="7.1.6.3",
    title="Policies of a CA that is no Affiliate",
    text="A subordinate CA that is no Affiliate of the root's owner names a specific policy, and not anyPolicy.",
    check=_not_affiliate,
    notes=("Whether a CA is an Affiliate, its certificate does not show.",),
)
AFFILIATE_CODE = _entry(
    id="CSBR-7.1.6.3-02",
    clause="7.1.6.3",
    title="Policies of an Affiliate for code signing",
    text="An Affiliate's subordinate CA for code signing names the reserved identifier, or anyPolicy in its place.",
    applies_to=(Scope.EV, Scope.NON_EV),
    nature=Nature.INTERPRETATION,
    check=_affiliate_code,
    conflict=_EITHER,
)
AFFILIATE_TIMESTAMP = _entry(
    id="CSBR-7.1.6.3-03",
    clause="7.1.6.3",
    title="Policies of an Affiliate for time stamping",
    text="An Affiliate's subordinate CA for time stamping issued after March 2022 names its policy likewise.",
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.TIMESTAMP,),
    source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
    in_force=InForce(date(2022, 4, 1)),
    nature=Nature.INTERPRETATION,
    check=_affiliate_timestamp,
    conflict=_EITHER,
)
OWN_POLICY = _entry(
    id="CSBR-7.1.6.4-90",
    clause="7.1.6.4",
    title="Leaves: a policy of the CA's own, until June 2026",
    text="A leaf names a policy that its CA defined as complying; the reserved identifier is optional beside it.",
    in_force=InForce(date(2019, 8, 13), date(2026, 6, 15)),
    superseded_by="CSBR-7.1.6.4-01",
    check=_some_policy,
    notes=(
        "Many certificates name the reserved identifier alone; whether that is one the CA defined, a person judges.",
        "Its last day is the one before the date on CSC-32's page, which the text of 3.11 has to confirm.",
    ),
)
RESERVED_POLICY = _entry(
    id="CSBR-7.1.6.4-01",
    clause="7.1.6.4",
    title="Leaves: a reserved policy",
    text="A leaf names one of the reserved policy identifiers; those of the CA's own are optional.",
    source=Source("CSC-32", "3.11"),
    in_force=InForce(date(2026, 6, 16)),
    nature=Nature.INTERPRETATION,
    check=_reserved_policy,
    conflict=Conflict(
        "Version 3.11 is adopted, and its text was not at hand: only the ballot's page, whose date is in doubt.",
        (
            Reading("page", "In force since the date of the ballot's page.", date(2026, 6, 16)),
            Reading("unseen", "Not applied until the text of 3.11 has been read.", date(9999, 12, 31)),
        ),
        "page",
    ),
    notes=(
        "The page says in its body 17 November 2025, apparently taken over from CSC-31.",
        "Whether timestamp certificates are included is not confirmed.",
    ),
)

REQUIREMENTS = (
    RESERVED_IDENTIFIERS,
    NOT_AFFILIATE,
    AFFILIATE_CODE,
    AFFILIATE_TIMESTAMP,
    OWN_POLICY,
    RESERVED_POLICY,
)
