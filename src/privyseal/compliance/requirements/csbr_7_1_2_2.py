"""The profile of subordinate CA certificates (CSBR 7.1.2.2)."""

from __future__ import annotations

from datetime import date
from functools import partial

from privyseal.compliance import extension_rules as rules
from privyseal.compliance.certificate import (
    ANY_PURPOSE,
    CODE_SIGNING,
    EMAIL,
    SERVER_AUTH,
    TIME_STAMPING,
    JudgedCertificate,
    Role,
    only,
)
from privyseal.compliance.outcome import Outcome, judgement, met, not_evidenced, not_met
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
from privyseal.pki import extensions

FORBIDDEN = (ANY_PURPOSE, SERVER_AUTH, EMAIL)
"""Extended key usages that no subordinate CA may have (CSBR 7.1.2.2 f)."""


@only(Role.SUBORDINATE)
def _policies(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.policies_there(certificate)


@only(Role.SUBORDINATE)
def _policies_uncritical(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.criticality(certificate, extensions.CERTIFICATE_POLICIES, critical=False)


@only(Role.SUBORDINATE)
def _cps(certificate: JudgedCertificate, asked: Asked) -> Outcome:
    policies = certificate.policies if isinstance(certificate.policies, tuple) else ()
    addresses = [address for policy in policies for address in policy.cps]
    if any(rules.is_http(each) for each in addresses):
        return met("A policy qualifier names the CPS by an HTTP URL.")
    if asked.choices.get(CPS.id, "must") == "optional":
        return met("No policy qualifier names the CPS, which is optional as the text is read here.")
    return judgement(
        "No policy qualifier names the CPS by an HTTP URL, as a CA that is no Affiliate of the root's has to."
    )


@only(Role.SUBORDINATE)
def _crl(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.crl_address(certificate)


@only(Role.SUBORDINATE)
def _access(certificate: JudgedCertificate, _asked: Asked) -> list[Outcome]:
    found = [rules.issuer_address(certificate)]
    if rules.access_entries(certificate, extensions.OCSP):
        found.append(rules.ocsp_address(certificate))
    return found


@only(Role.SUBORDINATE)
def _constraints(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.ca_constraints(certificate)


@only(Role.SUBORDINATE)
def _key_usage(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.ca_key_usage(certificate)


@only(Role.SUBORDINATE)
def _purposes(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if wrong := rules.wrong_presence(certificate, extensions.EXTENDED_KEY_USAGE):
        return wrong
    return met("Its extendedKeyUsage is there.")


@only(Role.SUBORDINATE)
def _purposes_uncritical(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.criticality(certificate, extensions.EXTENDED_KEY_USAGE, critical=False)


@only(Role.SUBORDINATE)
def _exclusive(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    chosen = [each for each in (CODE_SIGNING, TIME_STAMPING) if each in rules.purposes_of(certificate)]
    if len(chosen) == 1:
        return met(f"Of code signing and time stamping it has {rules.purpose_words(chosen)} only.")
    found = "both codeSigning and timeStamping" if chosen else "neither codeSigning nor timeStamping"
    return not_met(f"Its extendedKeyUsage has {found}; one of the two is asked.", "issue one CA for each")


@only(Role.SUBORDINATE)
def _forbidden(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = [each for each in rules.purposes_of(certificate) if each in FORBIDDEN]
    if found:
        return not_met(f"Its extendedKeyUsage has {rules.purpose_words(found)}.", "issue a CA without it")
    return met("Its extendedKeyUsage has none of anyExtendedKeyUsage, serverAuth and emailProtection.")


@only(Role.SUBORDINATE)
def _others(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    named = (*FORBIDDEN, CODE_SIGNING, TIME_STAMPING)
    others = [each for each in rules.purposes_of(certificate) if each not in named]
    if not others:
        return met("It has no other extended key usage.")
    return not_evidenced(
        f"It also has {rules.purpose_words(others)}, which a platform's supplier must have asked for.",
        "add evidence: platform-agreement",
    )


@only(Role.SUBORDINATE)
def _authority_key(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.authority_key(certificate)


_entry = partial(
    Requirement,
    clause="7.1.2.2",
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
_advice = partial(_entry, obligation=Obligation.SHOULD_NOT, severity=Severity.LOW, enforced_by=(EnforcedBy.NOBODY,))
_MERGED = Source("CSC-2..CSC-9", "2.0..2.4", "window")
_MERGED_SINCE = InForce(date(2021, 9, 8))

POLICIES = _entry(
    id="CSBR-7.1.2.2-01",
    title="Subordinate CAs: policies",
    text="A subordinate CA's certificatePolicies is there and names a policy as 7.1.6.3 asks.",
    check=_policies,
)
POLICIES_UNCRITICAL = _advice(
    id="CSBR-7.1.2.2-02",
    title="Subordinate CAs: policies not critical",
    text="A subordinate CA's certificatePolicies should not be critical.",
    check=_policies_uncritical,
)
CPS = _entry(
    id="CSBR-7.1.2.2-03",
    title="Subordinate CAs: where the CPS is",
    text="A subordinate CA that is no Affiliate of the root's owner gives its CPS's HTTP URL in a policy qualifier.",
    nature=Nature.INTERPRETATION,
    check=_cps,
    conflict=Conflict(
        "The same lines demand the qualifier of a CA that is no Affiliate, and are labelled optional.",
        (
            Reading(
                "must", "A CA that is no Affiliate has to have it; whether it is one, a certificate does not show."
            ),
            Reading("optional", "Nobody has to have it."),
        ),
        "must",
    ),
)
CRL = _entry(
    id="CSBR-7.1.2.2-04",
    title="Subordinate CAs: where the CRL is",
    text="A subordinate CA's cRLDistributionPoints is there, not critical, and holds the HTTP URL of the CRL.",
    check=_crl,
)
ACCESS = _entry(
    id="CSBR-7.1.2.2-05",
    title="Subordinate CAs: where the issuer and OCSP are",
    text="A subordinate CA's authorityInfoAccess, not critical, holds HTTP URLs of its issuer and of OCSP if offered.",
    source=Source("CSC-8", "2.3", "inferred"),
    in_force=InForce(date(2021, 5, 2)),
    check=_access,
)
CONSTRAINTS = _entry(
    id="CSBR-7.1.2.2-06",
    title="Subordinate CAs: basicConstraints",
    text="A subordinate CA's basicConstraints is there, critical, and has cA true; a path length may be set.",
    check=_constraints,
)
KEY_USAGE = _entry(
    id="CSBR-7.1.2.2-07",
    title="Subordinate CAs: keyUsage",
    text="A subordinate CA's keyUsage is critical with keyCertSign and cRLSign, and digitalSignature if it signs OCSP.",
    check=_key_usage,
)
PURPOSES = _entry(
    id="CSBR-7.1.2.2-08",
    title="Subordinate CAs: extended key usage",
    text="A subordinate CA has extendedKeyUsage.",
    check=_purposes,
)
PURPOSES_UNCRITICAL = _advice(
    id="CSBR-7.1.2.2-09",
    title="Subordinate CAs: extended key usage not critical",
    text="A subordinate CA's extendedKeyUsage should not be critical.",
    check=_purposes_uncritical,
)
EXCLUSIVE = _entry(
    id="CSBR-7.1.2.2-10",
    title="Subordinate CAs: code signing or time stamping",
    text="A subordinate CA has either codeSigning or timeStamping, and never both.",
    source=_MERGED,
    in_force=_MERGED_SINCE,
    check=_exclusive,
)
FORBIDDEN_PURPOSES = _entry(
    id="CSBR-7.1.2.2-11",
    title="Subordinate CAs: purposes that are forbidden",
    text="A subordinate CA has none of anyExtendedKeyUsage, serverAuth and emailProtection.",
    obligation=Obligation.SHALL_NOT,
    source=_MERGED,
    in_force=_MERGED_SINCE,
    check=_forbidden,
    notes=("Version 1.2 still allowed emailProtection and document signing.",),
)
OTHER_PURPOSES = _advice(
    id="CSBR-7.1.2.2-12",
    title="Subordinate CAs: other purposes",
    text="A subordinate CA should have no other purpose, unless an agreement with a platform's supplier asks for it.",
    enforced_by=(EnforcedBy.AUDIT,),
    check=_others,
)
AUTHORITY_KEY = _entry(
    id="CSBR-7.1.2.2-13",
    title="Subordinate CAs: authorityKeyIdentifier",
    text="A subordinate CA's authorityKeyIdentifier is there and not critical.",
    source=_MERGED,
    in_force=_MERGED_SINCE,
    check=_authority_key,
)

REQUIREMENTS = (
    POLICIES,
    POLICIES_UNCRITICAL,
    CPS,
    CRL,
    ACCESS,
    CONSTRAINTS,
    KEY_USAGE,
    PURPOSES,
    PURPOSES_UNCRITICAL,
    EXCLUSIVE,
    FORBIDDEN_PURPOSES,
    OTHER_PURPOSES,
    AUTHORITY_KEY,
)
