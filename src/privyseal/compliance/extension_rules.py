"""What several certificate profiles ask of an extension alike (CSBR 7.1.2): there, critical or not, with an address."""

from __future__ import annotations

import re

from privyseal.compliance.certificate import JudgedCertificate, Malformed
from privyseal.compliance.outcome import Outcome, met, not_evidenced, not_met
from privyseal.pki import extensions

_HTTP = re.compile(r"http://(?=[^/])[A-Za-z0-9.\-\[\]:%]+(/[!-~]*)?", re.IGNORECASE)

PURPOSES: dict[str, str] = {
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "2.5.29.37.0": "anyExtendedKeyUsage",
    "1.3.6.1.4.1.311.10.3.12": "Document Signing",
    "1.3.6.1.4.1.311.3.10.3.12": "Document Signing (as the Requirements print it)",
    "1.3.6.1.4.1.311.10.3.13": "Lifetime Signing",
}
"""Extended key usages as people call them, by dotted identifier."""


def is_http(address: str) -> bool:
    """Tell whether this is a whole HTTP URL, with a host and without blanks or control characters."""
    return _HTTP.fullmatch(address) is not None


def wrong_presence(certificate: JudgedCertificate, oid: str, *, critical: bool | None = None) -> Outcome | None:
    """Say what is wrong where an extension is absent, unreadable, or not as critical as asked; None where nothing."""
    word = extensions.WORDS[oid]
    found = certificate.extension(oid)
    if found is None:
        return not_met(f"It has no {word}.", f"add {word}")
    if isinstance(value := certificate.value(oid, _READ[oid]), Malformed):
        return not_met(f"Its {word} cannot be read: {value.why}", f"encode {word} as RFC 5280 has it")
    if critical is not None and found.critical != critical:
        asked = "critical" if critical else "not critical"
        return not_met(f"Its {word} is {'' if found.critical else 'not '}critical.", f"mark it {asked}")
    return None


def criticality(certificate: JudgedCertificate, oid: str, *, critical: bool) -> Outcome:
    """Judge the criticality of an extension; one that is absent is not critical."""
    found = certificate.extension(oid)
    word = extensions.WORDS[oid]
    if (found is not None and found.critical) == critical:
        return met(f"Its {word} is {'' if critical else 'not '}critical." if found else f"It has no {word}.")
    asked = "critical" if critical else "not critical"
    return not_met(f"Its {word} is {'not ' if critical else ''}critical.", f"mark it {asked}")


def crl_address(certificate: JudgedCertificate) -> Outcome:
    """Judge cRLDistributionPoints: there, not critical, with an HTTP URL among its addresses."""
    oid = extensions.CRL_DISTRIBUTION_POINTS
    if wrong := wrong_presence(certificate, oid, critical=False):
        return wrong
    addresses = certificate.crl_addresses
    if isinstance(addresses, tuple) and any(map(is_http, addresses)):
        return met("Its cRLDistributionPoints holds an HTTP URL and is not critical.")
    return not_met("None of its cRLDistributionPoints is an HTTP URL.", "name the CRL's HTTP URL")


def issuer_address(certificate: JudgedCertificate) -> Outcome:
    """Judge authorityInfoAccess: there, not critical, with an HTTP URL of the issuer's certificate."""
    if wrong := wrong_presence(certificate, extensions.AUTHORITY_INFORMATION_ACCESS, critical=False):
        return wrong
    addresses = access_addresses(certificate, extensions.CA_ISSUERS)
    if any(is_http(each) for each in addresses):
        return met("Its authorityInfoAccess holds an HTTP URL of the issuer's certificate and is not critical.")
    found = "an address that is no HTTP URL" if addresses else "no address"
    return not_met(
        f"Its authorityInfoAccess has {found} for the issuer's certificate (caIssuers).", "name the HTTP URL"
    )


def ocsp_address(certificate: JudgedCertificate) -> Outcome:
    """Judge the OCSP address, which has to be there where the CA answers OCSP; an address shows that it does."""
    addresses = access_addresses(certificate, extensions.OCSP)
    if any(is_http(each) for each in addresses):
        return met("Its authorityInfoAccess holds an HTTP URL of an OCSP responder.")
    if addresses or access_entries(certificate, extensions.OCSP):
        return not_met("Its authorityInfoAccess names an OCSP responder, not by an HTTP URL.", "name the HTTP URL")
    return not_evidenced(
        "It names no OCSP responder, which is right only if the CA answers no OCSP about it.",
        "show whether the CA offers OCSP for it",
    )


def access_entries(certificate: JudgedCertificate, method: str) -> int:
    """Count the entries of authorityInfoAccess of one method."""
    return sum(each.method == method for each in certificate.access) if isinstance(certificate.access, tuple) else 0


def access_addresses(certificate: JudgedCertificate, method: str) -> list[str]:
    """Return the addresses in authorityInfoAccess of one method."""
    entries = certificate.access if isinstance(certificate.access, tuple) else ()
    return [each.uri for each in entries if each.method == method and each.uri is not None]


def authority_key(certificate: JudgedCertificate) -> Outcome:
    """Judge authorityKeyIdentifier: there, not critical, and naming the issuer's key where that is known."""
    if wrong := wrong_presence(certificate, extensions.AUTHORITY_KEY_IDENTIFIER, critical=False):
        return wrong
    named = certificate.value(extensions.AUTHORITY_KEY_IDENTIFIER, extensions.authority_key_of)
    issuer = certificate.issued_by
    own = issuer.value(extensions.SUBJECT_KEY_IDENTIFIER, extensions.subject_key_of) if issuer is not None else None
    if isinstance(own, bytes) and named != own:
        return not_met(
            "Its authorityKeyIdentifier is not the key identifier of its issuer's certificate.",
            "copy the issuer's subjectKeyIdentifier",
        )
    return met("Its authorityKeyIdentifier is there and not critical.")


def policies_there(certificate: JudgedCertificate) -> Outcome:
    """Judge certificatePolicies: there, with at least one identifier."""
    if wrong := wrong_presence(certificate, extensions.CERTIFICATE_POLICIES):
        return wrong
    if not certificate.policy_oids:
        return not_met("Its certificatePolicies is empty.", "name a policy identifier")
    return met(f"Its certificatePolicies names {', '.join(certificate.policy_oids)}.")


def ca_key_usage(certificate: JudgedCertificate) -> Outcome:
    """Judge a CA's keyUsage: there, critical, with keyCertSign and cRLSign."""
    if wrong := wrong_presence(certificate, extensions.KEY_USAGE, critical=True):
        return wrong
    usage = certificate.key_usage
    missing = sorted({"keyCertSign", "cRLSign"} - (usage if isinstance(usage, frozenset) else frozenset()))
    if missing:
        return not_met(f"Its keyUsage lacks {' and '.join(missing)}.", "set both bits")
    note = "" if isinstance(usage, frozenset) and "digitalSignature" in usage else " It may sign no OCSP response."
    return met(f"Its keyUsage is critical and has keyCertSign and cRLSign.{note}")


def ca_constraints(certificate: JudgedCertificate) -> Outcome:
    """Judge a CA's basicConstraints: there, critical, cA true."""
    if wrong := wrong_presence(certificate, extensions.BASIC_CONSTRAINTS, critical=True):
        return wrong
    constraints = certificate.constraints
    if isinstance(constraints, extensions.BasicConstraints) and constraints.ca:
        return met("Its basicConstraints is critical and says that it is a CA.")
    return not_met("Its basicConstraints does not say that it is a CA.", "set cA")


def purposes_of(certificate: JudgedCertificate) -> tuple[str, ...]:
    """Return the extended key usages; none where they are absent or cannot be read."""
    return certificate.purposes if isinstance(certificate.purposes, tuple) else ()


def purpose_words(oids: tuple[str, ...] | list[str]) -> str:
    """Name extended key usages as people do."""
    return ", ".join(PURPOSES.get(each, each) for each in oids)


_READ = {
    extensions.CRL_DISTRIBUTION_POINTS: extensions.distribution_uris_of,
    extensions.AUTHORITY_INFORMATION_ACCESS: extensions.access_of,
    extensions.AUTHORITY_KEY_IDENTIFIER: extensions.authority_key_of,
    extensions.CERTIFICATE_POLICIES: extensions.policies_of,
    extensions.KEY_USAGE: extensions.key_usage_of,
    extensions.BASIC_CONSTRAINTS: extensions.basic_constraints_of,
    extensions.EXTENDED_KEY_USAGE: extensions.extended_key_usage_of,
}
