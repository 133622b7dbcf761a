"""The profile of code signing and timestamp certificates (CSBR 7.1.2.3)."""

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
from privyseal.pki import extensions

FORBIDDEN = (ANY_PURPOSE, SERVER_AUTH)
"""Extended key usages that no leaf may have (CSBR 7.1.2.3 f)."""
LIFETIME_SIGNING = "1.3.6.1.4.1.311.10.3.13"
"""Microsoft's purpose under which signatures end with their certificate, timestamp or not."""
DOCUMENT_SIGNING = ("1.3.6.1.4.1.311.10.3.12", "1.3.6.1.4.1.311.3.10.3.12")
"""Microsoft's identifier, and the one that the Requirements print."""
ALLOWED = (LIFETIME_SIGNING, EMAIL, *DOCUMENT_SIGNING)
"""Extended key usages that a code signing certificate may have beside codeSigning (CSBR 7.1.2.3 f)."""


@only(Role.LEAF)
def _policies(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.policies_there(certificate)


@only(Role.LEAF)
def _policies_uncritical(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.criticality(certificate, extensions.CERTIFICATE_POLICIES, critical=False)


@only(Role.LEAF)
def _cps(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    policies = certificate.policies if isinstance(certificate.policies, tuple) else ()
    addresses = [address for policy in policies for address in policy.cps]
    if not addresses:
        return not_applicable("It makes no use of this permission.")
    if all(rules.is_http(each) for each in addresses):
        return met("It names the CPS by an HTTP URL, as it may.")
    return not_met("It names the CPS by something other than an HTTP URL.", "name the HTTP URL, or leave it out")


@only(Role.LEAF)
def _crl(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.crl_address(certificate)


@only(Role.LEAF)
def _access(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.issuer_address(certificate)


@only(Role.LEAF)
def _ocsp(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.ocsp_address(certificate)


@only(Role.LEAF)
def _no_ca(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    constraints = certificate.constraints
    if constraints is None:
        return met("It has no basicConstraints.")
    if isinstance(constraints, extensions.BasicConstraints) and not constraints.ca:
        return met("Its basicConstraints does not say that it is a CA.")
    if isinstance(constraints, extensions.BasicConstraints):
        return not_met("Its basicConstraints says that it is a CA.", "leave cA out")
    return not_met("Its basicConstraints cannot be read.", "encode it as RFC 5280 has it")


@only(Role.LEAF)
def _key_usage(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if wrong := rules.wrong_presence(certificate, extensions.KEY_USAGE, critical=True):
        return wrong
    usage = certificate.key_usage
    bits = usage if isinstance(usage, frozenset) else frozenset()
    if "digitalSignature" not in bits:
        return not_met("Its keyUsage lacks digitalSignature.", "set that bit")
    if forbidden := sorted(bits & {"keyCertSign", "cRLSign"}):
        return not_met(f"Its keyUsage has {' and '.join(forbidden)}, which only a CA's may.", "set neither bit")
    return met("Its keyUsage is critical, has digitalSignature, and no bit of a CA's.")


@only(Role.LEAF)
def _no_other_bits(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    usage = certificate.key_usage
    bits = usage if isinstance(usage, frozenset) else frozenset()
    others = sorted(bits - {"digitalSignature", "keyCertSign", "cRLSign"})
    if others:
        return not_met(f"Its keyUsage also has {', '.join(others)}, which it should not.", "set digitalSignature only")
    return met("Its keyUsage has no other bit.")


@only(Role.LEAF)
def _code_signing(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if certificate.scopes == {Scope.TIMESTAMP}:
        return not_applicable("It speaks of code signing certificates.")
    if wrong := rules.wrong_presence(certificate, extensions.EXTENDED_KEY_USAGE):
        return wrong
    if CODE_SIGNING in rules.purposes_of(certificate):
        return met("Its extendedKeyUsage has codeSigning.")
    return not_met("Its extendedKeyUsage lacks codeSigning.", "add codeSigning")


@only(Role.LEAF)
def _allowed(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = [each for each in rules.purposes_of(certificate) if each in ALLOWED]
    if not found:
        return not_applicable("It makes no use of this permission.")
    ends = " Its signatures end with it, timestamp or not." if LIFETIME_SIGNING in found else ""
    return met(f"It also has {rules.purpose_words(found)}, as it may.{ends}")


@only(Role.LEAF, Scope.TIMESTAMP)
def _time_stamping(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    if wrong := rules.wrong_presence(certificate, extensions.EXTENDED_KEY_USAGE, critical=True):
        return wrong
    if TIME_STAMPING in rules.purposes_of(certificate):
        return met("Its extendedKeyUsage is critical and has timeStamping.")
    return not_met("Its extendedKeyUsage lacks timeStamping.", "add timeStamping")


@only(Role.LEAF)
def _forbidden(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    found = [each for each in rules.purposes_of(certificate) if each in FORBIDDEN]
    if found:
        return not_met(f"Its extendedKeyUsage has {rules.purpose_words(found)}.", "issue it without")
    return met("Its extendedKeyUsage has neither anyExtendedKeyUsage nor serverAuth.")


@only(Role.LEAF)
def _others(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    named = {*FORBIDDEN, CODE_SIGNING, TIME_STAMPING}
    if certificate.scopes != {Scope.TIMESTAMP}:
        named |= set(ALLOWED)
    others = [each for each in rules.purposes_of(certificate) if each not in named]
    if not others:
        return met("It has no other extended key usage.")
    return not_evidenced(
        f"It also has {rules.purpose_words(others)}, which a platform's supplier must have asked for.",
        "add evidence: platform-agreement",
    )


@only(Role.LEAF)
def _authority_key(certificate: JudgedCertificate, _asked: Asked) -> Outcome:
    return rules.authority_key(certificate)


_entry = partial(
    Requirement,
    clause="7.1.2.3",
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
_may = partial(_entry, obligation=Obligation.MAY, severity=Severity.NOTICE, enforced_by=(EnforcedBy.NOBODY,))

POLICIES = _entry(
    id="CSBR-7.1.2.3-01",
    title="Leaves: policies",
    text="A leaf's certificatePolicies is there and names a policy that stands for these Requirements.",
    check=_policies,
)
POLICIES_UNCRITICAL = _advice(
    id="CSBR-7.1.2.3-02",
    title="Leaves: policies not critical",
    text="A leaf's certificatePolicies should not be critical.",
    check=_policies_uncritical,
)
CPS = _may(
    id="CSBR-7.1.2.3-03",
    title="Leaves: where the CPS is",
    text="A leaf may name its CPS by an HTTP URL in a policy qualifier.",
    check=_cps,
)
CRL = _entry(
    id="CSBR-7.1.2.3-04",
    title="Leaves: where the CRL is",
    text="A leaf's cRLDistributionPoints is there, not critical, and holds the HTTP URL of the CRL.",
    source=Source("CSC-8", "2.3", "inferred"),
    in_force=InForce(date(2021, 5, 2)),
    check=_crl,
    notes=(
        "Version 1.2 made it optional; zlint asks for it from 2019-08-13.",
        "zlint fails any further address that is no HTTP URL; the text asks that the HTTP URL be there.",
    ),
)
ACCESS = _entry(
    id="CSBR-7.1.2.3-05",
    title="Leaves: where the issuer is",
    text="A leaf's authorityInfoAccess is there, not critical, and holds the HTTP URL of its issuer's certificate.",
    check=_access,
)
OCSP = _entry(
    id="CSBR-7.1.2.3-06",
    title="Leaves: where OCSP is, if it is offered",
    text="Where the CA answers OCSP, a leaf's authorityInfoAccess holds the responder's HTTP URL.",
    source=Source("CSC-8", "2.3"),
    in_force=InForce(date(2021, 5, 2)),
    severity=Severity.MEDIUM,
    check=_ocsp,
    notes=("Version 1.2 asked for an OCSP address in any case.",),
)
NO_CA = _entry(
    id="CSBR-7.1.2.3-07",
    title="Leaves: no CA",
    text="A leaf's basicConstraints, if there, does not have cA true.",
    obligation=Obligation.SHALL_NOT,
    check=_no_ca,
    notes=("A certificate that says cA counts as a leaf where its key usage is a leaf's.",),
)
KEY_USAGE = _entry(
    id="CSBR-7.1.2.3-08",
    title="Leaves: keyUsage",
    text="A leaf's keyUsage is there, critical, has digitalSignature, and neither keyCertSign nor cRLSign.",
    severity=Severity.CRITICAL,
    check=_key_usage,
)
NO_OTHER_BITS = _advice(
    id="CSBR-7.1.2.3-09",
    title="Leaves: no other key usage",
    text="A leaf's keyUsage should have no other bit than digitalSignature.",
    check=_no_other_bits,
)
CODE_SIGNING_PURPOSE = _entry(
    id="CSBR-7.1.2.3-10",
    title="Code signing leaves: codeSigning",
    text="A code signing certificate's extendedKeyUsage has codeSigning.",
    applies_to=(Scope.EV, Scope.NON_EV),
    check=_code_signing,
)
ALLOWED_PURPOSES = _may(
    id="CSBR-7.1.2.3-11",
    title="Code signing leaves: further purposes",
    text="A code signing certificate may also have Lifetime Signing, emailProtection and Document Signing.",
    applies_to=(Scope.EV, Scope.NON_EV),
    check=_allowed,
    notes=(
        "The text prints 1.3.6.1.4.1.311.3.10.3.12 for Document Signing; Microsoft's own identifier is"
        " 1.3.6.1.4.1.311.10.3.12. Both are accepted.",
    ),
)
TIME_STAMPING_PURPOSE = _entry(
    id="CSBR-7.1.2.3-12",
    title="Timestamp leaves: timeStamping, critical",
    text="A timestamp certificate's extendedKeyUsage is critical and has timeStamping.",
    binds=(Party.CA, Party.TIMESTAMP_AUTHORITY),
    applies_to=(Scope.TIMESTAMP,),
    check=_time_stamping,
)
FORBIDDEN_PURPOSES = _entry(
    id="CSBR-7.1.2.3-13",
    title="Leaves: purposes that are forbidden",
    text="A leaf has neither anyExtendedKeyUsage nor serverAuth.",
    obligation=Obligation.SHALL_NOT,
    check=_forbidden,
)
OTHER_PURPOSES = _advice(
    id="CSBR-7.1.2.3-14",
    title="Leaves: other purposes",
    text="A leaf should have no other purpose, unless an agreement with a platform's supplier asks for it.",
    enforced_by=(EnforcedBy.AUDIT,),
    check=_others,
)
AUTHORITY_KEY = _entry(
    id="CSBR-7.1.2.3-15",
    title="Leaves: authorityKeyIdentifier",
    text="A leaf's authorityKeyIdentifier is there and not critical.",
    source=Source("CSC-2..CSC-9", "2.0..2.4", "window"),
    in_force=InForce(date(2021, 9, 8)),
    check=_authority_key,
)

REQUIREMENTS = (
    POLICIES,
    POLICIES_UNCRITICAL,
    CPS,
    CRL,
    ACCESS,
    OCSP,
    NO_CA,
    KEY_USAGE,
    NO_OTHER_BITS,
    CODE_SIGNING_PURPOSE,
    ALLOWED_PURPOSES,
    TIME_STAMPING_PURPOSE,
    FORBIDDEN_PURPOSES,
    OTHER_PURPOSES,
    AUTHORITY_KEY,
)
