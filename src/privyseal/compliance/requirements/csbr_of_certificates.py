"""Clauses of other sections that a certificate alone can break: scope, dates, domain names, EV eligibility, root keys.

They stand together because a certificate is all that is judged; their sections have other clauses in other files.
"""

from __future__ import annotations

import re
from datetime import UTC, date
from functools import partial

from privyseal.compliance import weak_keys
from privyseal.compliance.certificate import JudgedCertificate, Malformed, Role, only
from privyseal.compliance.outcome import Outcome, judgement, met, not_applicable, not_evidenced, not_met
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
from privyseal.compliance.requirements.csbr_7_1_4_2_4 import category
from privyseal.pki import extensions, names

_DOMAIN = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.IGNORECASE)


def _scope(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if not certificate.covered:
        return not_applicable("Its extended key usage allows neither code signing nor timestamps: out of scope.")
    return not_evidenced(
        "It is usable for signing code or timestamps; whether a platform trusts its root, it does not show.",
        "name the root, and the platforms that ship it",
    )


def _midnight(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    day = (certificate.issued or certificate.not_before).astimezone(UTC)
    return met(f"Its dates are compared in UTC: {day:%Y-%m-%d %H:%M:%S} is on {day:%Y-%m-%d}.")


@only(Role.LEAF)
def _no_domain(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = certificate.value(extensions.SUBJECT_ALT_NAME, extensions.dns_names_of)
    if isinstance(found, Malformed):
        return not_met("Its subjectAltName cannot be read.", "encode it as RFC 5280 has it")
    if found:
        return not_met(f"Its subjectAltName holds the domain name {found[0]!r}.", "leave it out")
    if parts := certificate.named(names.DOMAIN_COMPONENT):
        return not_met(f"Its subject spells a domain name by domainComponent: {', '.join(parts)!r}.", "leave it out")
    like = [each for each in certificate.subject if _DOMAIN.fullmatch(each.value)]
    names_itself = (names.COMMON_NAME, names.ORGANIZATION)
    for each in like:
        if each.type not in names_itself:
            return not_met(f"Its {each.word} is the domain name {each.value!r}.", "leave it out")
    if like:
        return judgement(f"Its {like[0].word} {like[0].value!r} looks like a domain name; a firm may be called so.")
    return met("It holds no domain name.")


@only(Role.LEAF, Scope.EV)
def _eligible(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return category(certificate)


@only(Role.LEAF, Scope.EV)
def _reissue(_certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return not_applicable("Nothing shows that it takes the place of another certificate.")


@only(Role.LEAF)
def _computable(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    ways = weak_keys.computable(certificate.spki)
    if not ways:
        return not_applicable("No test that is run here finds a way to compute its private key.")
    return not_evidenced(
        f"Its private key can be computed: {ways[0]}. That its CA has revoked it, nothing here shows.",
        "tell the CA, which has 24 hours to revoke it",
    )


@only(Role.LEAF)
def _root_key(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.issued_by is None:
        if certificate.issuer_octets == certificate.subject_octets:
            return not_met(
                "It names itself as its issuer: no subordinate CA issued it.", "have a subordinate CA issue it"
            )
        return not_evidenced("Its issuer's certificate was not given.", "give the issuer's certificate too")
    if certificate.issued_by.role is Role.ROOT:
        return not_met("Its issuer is a root.", "have a subordinate CA issue it")
    return met("Its issuer is a subordinate CA.")


_entry = partial(
    Requirement,
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)
_EV_IMPORT = Source("CSC-25", "3.8")

SCOPE = _entry(
    id="CSBR-1.1-01",
    clause="1.1",
    title="Which certificates the document is about",
    text="Bound are certificates that the public trusts and that code can be signed with, their CAs, and their TSAs.",
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    check=_scope,
    notes=("A PKI of an organisation's own, whose root no platform ships, is not covered.",),
)
MIDNIGHT = _entry(
    id="CSBR-1.6.4-01",
    clause="1.6.4",
    title="Dates begin at midnight UTC",
    text="A date without a time of day means its first second in UTC.",
    binds=(Party.CA, Party.SIGNING_SERVICE, Party.TIMESTAMP_AUTHORITY, Party.SUBSCRIBER),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.NOBODY,),
    check=_midnight,
    notes=("It steers how all other clauses are dated, and cannot be broken by a certificate.",),
)
NO_DOMAIN = _entry(
    id="CSBR-3.2.2.2.6-01",
    clause="3.2.2.2.6",
    title="No domain names",
    text="A code signing certificate holds no domain name.",
    obligation=Obligation.SHALL_NOT,
    applies_to=(Scope.EV, Scope.NON_EV),
    source=_EV_IMPORT,
    in_force=InForce(date(2024, 8, 1)),
    check=_no_domain,
)
ELIGIBLE = _entry(
    id="CSBR-4.1.1-01",
    clause="4.1.1",
    title="Who may have an EV certificate",
    text="EV certificates are for private organisations, government, business and non-commercial entities only.",
    applies_to=(Scope.EV,),
    source=_EV_IMPORT,
    in_force=InForce(date(2024, 8, 1)),
    check=_eligible,
)
REISSUE = _entry(
    id="CSBR-4.2.1.1.2-01",
    clause="4.2.1.1.2",
    title="When an EV certificate may be issued again",
    text="An EV certificate may replace another on the same request if expiry and subject stay and no fraud was found.",
    obligation=Obligation.MAY,
    applies_to=(Scope.EV,),
    source=_EV_IMPORT,
    in_force=InForce(date(2024, 8, 1)),
    severity=Severity.NOTICE,
    enforced_by=(EnforcedBy.AUDIT,),
    check=_reissue,
)
COMPUTABLE = _entry(
    id="CSBR-4.9.1.1-04",
    clause="4.9.1.1",
    title="24 hours to revoke a key that can be computed",
    text="Where a public key is proven to give its private key away, the CA has 24 hours to revoke the certificate.",
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-18", "3.3"),
    in_force=InForce(date(2024, 4, 15)),
    dated_by=DatedBy.DAY,
    severity=Severity.CRITICAL,
    check=_computable,
    notes=("The key itself was to be refused at issuance already, by 6.1.1.3.",),
)
ROOT_KEY = _entry(
    id="CSBR-6.1.7-01",
    clause="6.1.7",
    title="Root keys issue no leaves",
    text="A root's key signs CA, infrastructure and OCSP certificates, and no code signing or timestamp certificate.",
    obligation=Obligation.SHALL_NOT,
    source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
    in_force=InForce(date(2021, 9, 8)),
    severity=Severity.CRITICAL,
    check=_root_key,
)

REQUIREMENTS = (SCOPE, MIDNIGHT, NO_DOMAIN, ELIGIBLE, REISSUE, COMPUTABLE, ROOT_KEY)
