"""Names in certificates (CSBR 7.1.4): the issuer's, and what stands in the subject of Non-EV and EV certificates.

These clauses are judged on what the certificate shows. That a name is the verified one is another duty, of section 3.2,
with evidence of its own.
"""

from __future__ import annotations

import re
from datetime import date
from functools import partial

from privyseal.compliance.certificate import JudgedCertificate, Role, only
from privyseal.compliance.countries import COUNTRIES
from privyseal.compliance.outcome import Outcome, judgement, met, not_applicable, not_evidenced, not_met
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
from privyseal.pki import names

NOWHERE = "XX"
"""The country of a place that has no code (CSBR 7.1.4.2.3)."""

_PLACEHOLDER = re.compile(r"[\s.\-_*#/]*|n/?a|none|null|unknown|not applicable", re.IGNORECASE)


@only(Role.LEAF)
def _common_name(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return there(certificate, names.COMMON_NAME)


@only(Role.LEAF)
def _unit(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if units := certificate.named(names.ORGANIZATIONAL_UNIT):
        return judgement(f"It has the organizationalUnitName {units[0]!r}: it may name nobody and nothing unverified.")
    return met("It has no organizationalUnitName.")


@only(Role.LEAF)
def _no_domain_component(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.named(names.DOMAIN_COMPONENT):
        return not_met("Its subject has a domainComponent.", "leave it out")
    return met("Its subject has no domainComponent.")


@only(Role.LEAF)
def _no_placeholder(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    empty = [each.word for each in certificate.subject if _PLACEHOLDER.fullmatch(each.value)]
    if empty:
        return not_met(f"Its subject has {', '.join(empty)} without a value that means anything.", "leave it out")
    return met("Each attribute of its subject has a value.")


def there(certificate: JudgedCertificate, *kinds: str) -> Outcome:
    """Judge whether the subject has one of these attributes with a value."""
    words = " or ".join(names.WORDS[each] for each in kinds)
    values = [value for each in kinds for value in certificate.named(each) if value.strip()]
    if values:
        return met(f"Its subject has {words}: {values[0]!r}.")
    return not_met(f"Its subject has no {words}.", f"add {words}")


def country(certificate: JudgedCertificate, kind: str = names.COUNTRY) -> Outcome:
    """Judge that there is one country, and that it is a code of ISO 3166-1."""
    word, values = names.WORDS[kind], certificate.named(kind)
    if len(values) != 1:
        return not_met(f"Its subject has {len(values) or 'no'} {word}; one is asked.", f"give one {word}")
    if values[0] in COUNTRIES or (values[0] == NOWHERE and kind == names.COUNTRY):
        return met(f"Its {word} is {values[0]}.")
    return not_met(f"Its {word} {values[0]!r} is no two-letter code of ISO 3166-1.", "use the code, in capitals")


@only(Role.LEAF, Scope.NON_EV)
def _organisation(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return there(certificate, names.ORGANIZATION)


@only(Role.LEAF, Scope.NON_EV)
def _place(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return there(certificate, names.LOCALITY, names.STATE)


@only(Role.LEAF, Scope.NON_EV)
def _country_code(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return country(certificate)


def _optional(kind: str) -> Check:
    """Make the check of an attribute that may be there, and then has to be verified."""

    @only(Role.LEAF, Scope.NON_EV)
    def check(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
        if not certificate.named(kind):
            return not_applicable("It makes no use of this permission.")
        return not_evidenced(f"It has {names.WORDS[kind]}; the CA's record shows whether it was verified.")

    return check


def _identical(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.role is Role.ROOT:
        return met("It names itself as its issuer, octet by octet.")
    if certificate.issued_by is None:
        return not_evidenced("Its issuer's certificate was not given.", "give the issuer's certificate too")
    if certificate.issuer_octets == certificate.issued_by.subject_octets:
        return met("It names its issuer as the issuer's certificate does, octet by octet.")
    return not_met("It names its issuer in other octets than the issuer's certificate does.", "copy the name")


_entry = partial(
    Requirement,
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV, Scope.NON_EV),
    source=Source("CSC-1", "1.2"),
    in_force=InForce(date(2019, 8, 13)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)
_of_both = partial(_entry, clause="7.1.4.2.2")
_non_ev = partial(_entry, clause="7.1.4.2.3", applies_to=(Scope.NON_EV,))
_may = partial(_non_ev, obligation=Obligation.MAY, severity=Severity.NOTICE, enforced_by=(EnforcedBy.AUDIT,))

IDENTICAL = _entry(
    id="CSBR-7.1.4.1-01",
    clause="7.1.4.1",
    title="The issuer's name, octet by octet",
    text="A certificate names its issuer in the very octets of the subject of the issuer's certificate.",
    applies_to=(Scope.EV, Scope.NON_EV, Scope.TIMESTAMP),
    source=Source("CSC-19", "3.4"),
    in_force=InForce(date(2023, 9, 5)),
    check=_identical,
)
COMMON_NAME = _of_both(
    id="CSBR-7.1.4.2.2-01",
    title="commonName",
    text="The subject has a commonName, which is the Subscriber's verified legal name.",
    check=_common_name,
)
UNIT = _of_both(
    id="CSBR-7.1.4.2.2-02",
    title="organizationalUnitName does not mislead",
    text="A CA sees to it that an organizationalUnitName holds no name, mark or address that it has not verified.",
    severity=Severity.MEDIUM,
    check=_unit,
)
NO_DOMAIN_COMPONENT = _of_both(
    id="CSBR-7.1.4.2.2-03",
    title="Subjects without domainComponent",
    text="The subject has no domainComponent.",
    obligation=Obligation.SHALL_NOT,
    check=_no_domain_component,
)
NO_PLACEHOLDER = _of_both(
    id="CSBR-7.1.4.2.2-04",
    title="No empty values",
    text="No attribute of the subject holds only dots, dashes, blanks or a word for its absence.",
    obligation=Obligation.SHALL_NOT,
    source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
    in_force=InForce(date(2021, 9, 8)),
    check=_no_placeholder,
)
ORGANISATION = _non_ev(
    id="CSBR-7.1.4.2.3-01",
    title="Non-EV: whose certificate it is",
    text="A Non-EV certificate's subject has an organizationName: the verified or the assumed business name.",
    check=_organisation,
)
STREET = _may(
    id="CSBR-7.1.4.2.3-02",
    title="Non-EV: streetAddress",
    text="A Non-EV certificate's subject may have a streetAddress, if verified.",
    check=_optional(names.STREET),
)
PLACE = _non_ev(
    id="CSBR-7.1.4.2.3-03",
    title="Non-EV: where the Subscriber is",
    text="A Non-EV certificate's subject has a localityName or a stateOrProvinceName.",
    check=_place,
)
POSTAL_CODE = _may(
    id="CSBR-7.1.4.2.3-04",
    title="Non-EV: postalCode",
    text="A Non-EV certificate's subject may have a postalCode, if verified.",
    check=_optional(names.POSTAL_CODE),
)
COUNTRY = _non_ev(
    id="CSBR-7.1.4.2.3-05",
    title="Non-EV: the country",
    text="A Non-EV certificate's subject has one countryName: a code of ISO 3166-1, or XX for a place that has none.",
    check=_country_code,
)


REQUIREMENTS = (
    IDENTICAL,
    COMMON_NAME,
    UNIT,
    NO_DOMAIN_COMPONENT,
    NO_PLACEHOLDER,
    ORGANISATION,
    STREET,
    PLACE,
    POSTAL_CODE,
    COUNTRY,
)
