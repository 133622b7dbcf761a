"""The subject of EV certificates (CSBR 7.1.4.2.4)."""

from __future__ import annotations

from datetime import date
from functools import partial

from privyseal.compliance.certificate import JudgedCertificate, Role, only
from privyseal.compliance.outcome import Outcome, judgement, met, not_evidenced, not_met
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
from privyseal.compliance.requirements.csbr_7_1_4 import country, there
from privyseal.pki import names

CATEGORIES = ("Private Organization", "Government Entity", "Business Entity", "Non-Commercial Entity")
"""What a businessCategory may say (CSBR 7.1.4.2.4 c)."""
LONGEST_NAME = 64
"""Characters of an organizationName (RFC 5280, ub-organization-name)."""


def category(certificate: JudgedCertificate) -> Outcome:
    """Judge that businessCategory is one of the four."""
    values = certificate.named(names.BUSINESS_CATEGORY)
    if not values:
        return not_met("Its subject has no businessCategory.", "add businessCategory")
    if len(values) == 1 and values[0] in CATEGORIES:
        return met(f"Its businessCategory is {values[0]!r}.")
    return not_met(
        f"Its businessCategory is {values[0]!r}, none of the four that may be.", f"say {CATEGORIES[0]!r} or such"
    )


@only(Role.LEAF, Scope.EV)
def _organisation(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = there(certificate, names.ORGANIZATION)
    long = [each for each in certificate.named(names.ORGANIZATION) if len(each) > LONGEST_NAME]
    if long:
        return not_met(f"Its organizationName has {len(long[0])} characters; {LONGEST_NAME} fit.", "shorten it")
    return found


@only(Role.LEAF, Scope.EV)
def _category(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return category(certificate)


@only(Role.LEAF, Scope.EV)
def _jurisdiction(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = country(certificate, names.JURISDICTION_COUNTRY)
    locality = certificate.named(names.JURISDICTION_LOCALITY)
    if locality and not certificate.named(names.JURISDICTION_STATE):
        return judgement("It names a locality of jurisdiction and no state: right only where no state comes between.")
    return found


@only(Role.LEAF, Scope.EV)
def _disclosed(_certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return not_evidenced(
        "Which values the CA has disclosed for the agency, the certificate does not show.", "give the CA's list"
    )


@only(Role.LEAF, Scope.EV)
def _number(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return there(certificate, names.SERIAL_NUMBER)


@only(Role.LEAF, Scope.EV)
def _format(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if not certificate.named(names.SERIAL_NUMBER):
        return not_met("Its subject has no serialNumber.", "add serialNumber")
    return not_evidenced(
        "Which formats the CA has disclosed for the agency's numbers, the certificate does not show.",
        "give the CA's list",
    )


@only(Role.LEAF, Scope.EV)
def _place(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = country(certificate)
    if found.verdict != "met":
        return found
    return there(certificate, names.LOCALITY, names.STATE)


_entry = partial(
    Requirement,
    clause="7.1.4.2.4",
    obligation=Obligation.SHALL,
    binds=(Party.CA,),
    applies_to=(Scope.EV,),
    source=Source("CSC-25", "3.8"),
    in_force=InForce(date(2024, 8, 1)),
    dated_by=DatedBy.ISSUANCE,
    kinds=(Kind.CERTIFICATE,),
    severity=Severity.HIGH,
    enforced_by=(EnforcedBy.REVOCATION, EnforcedBy.AUDIT),
)
_DISCLOSURE = InForce(date(2025, 3, 15))

ORGANISATION = _entry(
    id="CSBR-7.1.4.2.4-01",
    title="EV: whose certificate it is",
    text="An EV certificate's subject has the registered legal name, in brackets where an assumed name comes first.",
    check=_organisation,
)
CATEGORY = _entry(
    id="CSBR-7.1.4.2.4-02",
    title="EV: what kind of entity it is",
    text="An EV certificate's businessCategory is one of four strings.",
    check=_category,
)
JURISDICTION = _entry(
    id="CSBR-7.1.4.2.4-03",
    title="EV: jurisdiction",
    text="An EV certificate names the country of jurisdiction, and state and locality only at its registry's level.",
    check=_jurisdiction,
)
DISCLOSED = _entry(
    id="CSBR-7.1.4.2.4-04",
    title="EV: jurisdiction as disclosed",
    text="Since 15 March 2025 the jurisdiction is among those that the CA has disclosed for the agency.",
    in_force=_DISCLOSURE,
    check=_disclosed,
)
NUMBER = _entry(
    id="CSBR-7.1.4.2.4-05",
    title="EV: serialNumber",
    text="An EV certificate's serialNumber is the registration number, else a date or the words for a government.",
    check=_number,
)
FORMAT = _entry(
    id="CSBR-7.1.4.2.4-06",
    title="EV: serialNumber as disclosed",
    text="Since 15 March 2025 the registration number has a format that the CA has disclosed, if it has disclosed any.",
    in_force=_DISCLOSURE,
    check=_format,
)
PLACE = _entry(
    id="CSBR-7.1.4.2.4-07",
    title="EV: place of business",
    text="An EV certificate's address is the place of business: country, and locality or state, as for Non-EV.",
    check=_place,
)

REQUIREMENTS = (ORGANISATION, CATEGORY, JURISDICTION, DISCLOSED, NUMBER, FORMAT, PLACE)
