"""A certificate as the Requirements judge it: every fact read once from its DER, and nothing refused for being wrong.

What only the outer shape needs is strict (RFC 5280 4.1): bytes that are no certificate are one sentence. What is inside
is a fact, also where it is malformed: an extension that cannot be read is :data:`Malformed`, which meets nothing.

Kinds of certificates follow from content alone. A reserved policy identifier (CSBR 7.1.6.1) and the extended key usage
say EV, Non-EV or timestamp; a code signing certificate with none of the reserved ones may be EV or not, and then a
clause about one of them has no verdict (:func:`only`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from privyseal.compliance.outcome import Outcome, not_applicable, not_evidenced
from privyseal.compliance.requirement import Asked, Check, DatedBy, Kind, Scope
from privyseal.errors import BadInput
from privyseal.pki import der, extensions, names
from privyseal.pki.certificates import MAX_CERTIFICATE_OCTETS
from privyseal.pki.extensions import Access, BasicConstraints, Extension, Policy
from privyseal.pki.key_facts import KeyFacts, SignatureFacts, read_key, read_signature_algorithm
from privyseal.pki.names import Attribute

T = TypeVar("T")

EV_POLICY, NON_EV_POLICY, TIMESTAMP_POLICY = "2.23.140.1.3", "2.23.140.1.4.1", "2.23.140.1.4.2"
RESERVED: dict[str, Scope] = {
    EV_POLICY: Scope.EV,
    NON_EV_POLICY: Scope.NON_EV,
    TIMESTAMP_POLICY: Scope.TIMESTAMP,
}
"""The reserved policy identifiers (CSBR 7.1.6.1)."""

CODE_SIGNING, TIME_STAMPING = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8"
ANY_PURPOSE, SERVER_AUTH, EMAIL = "2.5.29.37.0", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.4"
"""Purposes that a certificate may state (RFC 5280 4.2.1.12), as dotted OIDs."""


class Role(StrEnum):
    """Where in a chain a certificate stands."""

    LEAF = "leaf"
    """A Subscriber's or a timestamp certificate."""
    SUBORDINATE = "subordinate"
    ROOT = "root"


class Malformed(msgspec.Struct, frozen=True):
    """What stands where an extension is there and its value cannot be read."""

    why: str


class JudgedCertificate(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One certificate; what the clauses ask of it."""

    label: str
    octets: bytes
    version: int
    """3 for X.509 version 3."""
    serial: int
    signature: SignatureFacts
    """The algorithm that the signed part names."""
    outer_signature: SignatureFacts
    """The algorithm beside the signature itself, which has to be the same (RFC 5280 4.1.1.2)."""
    issuer: tuple[Attribute, ...]
    issuer_octets: bytes
    subject: tuple[Attribute, ...]
    subject_octets: bytes
    not_before: datetime
    not_after: datetime
    key: KeyFacts
    spki: bytes
    extensions: tuple[Extension, ...]
    issued: datetime | None = None
    """When it was issued, where anything shows it, such as a CA's record. None: nobody knows."""
    issued_by: JudgedCertificate | None = None
    """Its issuer's certificate, where it was given."""
    kind: Kind = Kind.CERTIFICATE

    def when(self, clock: DatedBy) -> datetime | None:
        """Show issuance: what evidence says, else notBefore (as CSBR's own dates are applied by everybody)."""
        return (self.issued or self.not_before) if clock is DatedBy.ISSUANCE else None

    @property
    def dated(self) -> str:
        """Say in words which moment counts as its issuance."""
        if self.issued is not None:
            return f"issued {self.issued:%Y-%m-%d}, as evidenced"
        return f"notBefore {self.not_before:%Y-%m-%d}; when it was issued is not evidenced"

    @functools.cached_property
    def role(self) -> Role:
        """Tell leaf, subordinate CA and root apart by basicConstraints, names and key identifiers."""
        if not self._is_ca():
            return Role.LEAF
        if self.issuer_octets != self.subject_octets:
            return Role.SUBORDINATE
        own = self.value(extensions.SUBJECT_KEY_IDENTIFIER, extensions.subject_key_of)
        issuers = self.value(extensions.AUTHORITY_KEY_IDENTIFIER, extensions.authority_key_of)
        return Role.SUBORDINATE if isinstance(issuers, bytes) and issuers != own else Role.ROOT

    def _is_ca(self) -> bool:
        usage = self.key_usage if isinstance(self.key_usage, frozenset) else frozenset()
        signs = usage & {"keyCertSign", "cRLSign"}
        if isinstance(self.constraints, BasicConstraints):
            # A leaf that says cA by mistake is a leaf with a fault, and not a CA whose key usage is wrong.
            return self.constraints.ca and (bool(signs) or "digitalSignature" not in usage)
        return len(signs) == 2

    @functools.cached_property
    def scopes(self) -> frozenset[Scope]:
        """Tell EV, Non-EV and timestamp apart; both EV and Non-EV where only a purpose tells; empty for neither."""
        found = {RESERVED[oid] for oid in self.policy_oids if oid in RESERVED}
        purposes = self.purposes if isinstance(self.purposes, tuple) else ()
        if TIME_STAMPING in purposes:
            found.add(Scope.TIMESTAMP)
        if CODE_SIGNING in purposes and not found & {Scope.EV, Scope.NON_EV}:
            found |= {Scope.EV, Scope.NON_EV}
        return frozenset(found)

    @functools.cached_property
    def covered(self) -> bool:
        """Tell whether it, or what it can issue, is usable for signing code or its timestamps (CSBR 1.1)."""
        if self.scopes or self.role is Role.ROOT:
            return True
        return not isinstance(self.purposes, tuple) or ANY_PURPOSE in self.purposes

    # -- extensions ----------------------------------------------------------------------------------------------------
    def extension(self, oid: str) -> Extension | None:
        """Return the first extension of this identifier, or None."""
        return next((each for each in self.extensions if each.oid == oid), None)

    def value(self, oid: str, read: Callable[[bytes], T]) -> T | Malformed | None:
        """Read an extension's value: None where it is absent, Malformed where it cannot be read."""
        found = self.extension(oid)
        if found is None:
            return None
        try:
            return read(found.value)
        except BadInput as error:
            return Malformed(error.detail)

    @functools.cached_property
    def constraints(self) -> BasicConstraints | Malformed | None:
        """Give basicConstraints."""
        return self.value(extensions.BASIC_CONSTRAINTS, extensions.basic_constraints_of)

    @functools.cached_property
    def key_usage(self) -> frozenset[str] | Malformed | None:
        """Give the names of the keyUsage bits that are set."""
        return self.value(extensions.KEY_USAGE, extensions.key_usage_of)

    @functools.cached_property
    def purposes(self) -> tuple[str, ...] | Malformed | None:
        """Give the extended key usages, dotted."""
        return self.value(extensions.EXTENDED_KEY_USAGE, extensions.extended_key_usage_of)

    @functools.cached_property
    def policies(self) -> tuple[Policy, ...] | Malformed | None:
        """Give certificatePolicies."""
        return self.value(extensions.CERTIFICATE_POLICIES, extensions.policies_of)

    @property
    def policy_oids(self) -> tuple[str, ...]:
        """Give the policy identifiers; none where they are absent or cannot be read."""
        return tuple(each.oid for each in self.policies) if isinstance(self.policies, tuple) else ()

    @functools.cached_property
    def access(self) -> tuple[Access, ...] | Malformed | None:
        """Give authorityInfoAccess."""
        return self.value(extensions.AUTHORITY_INFORMATION_ACCESS, extensions.access_of)

    @functools.cached_property
    def crl_addresses(self) -> tuple[str, ...] | Malformed | None:
        """Give the addresses in cRLDistributionPoints."""
        return self.value(extensions.CRL_DISTRIBUTION_POINTS, extensions.distribution_uris_of)

    # -- names ---------------------------------------------------------------------------------------------------------
    def named(self, kind: str) -> tuple[str, ...]:
        """Return the values of one type of attribute in the subject."""
        return tuple(each.value for each in self.subject if each.type == kind)

    @property
    def title(self) -> str:
        """Say which certificate it is, in few words: its common name, else its organisation, else its serial."""
        for kind in (names.COMMON_NAME, names.ORGANIZATION):
            if values := self.named(kind):
                return values[-1]
        return f"serial {self.serial:X}"


def read(octets: bytes, label: str, *, issued: datetime | None = None) -> JudgedCertificate:
    """Read a DER certificate of at most 64 KiB (``pki/certificates.py`` names the precedent); BadInput otherwise."""
    whole = der.Fields(der.read(octets, MAX_CERTIFICATE_OCTETS), "A certificate")
    signed = whole.take(der.SEQUENCE)
    outer = read_signature_algorithm(whole.take(der.SEQUENCE))
    whole.take(der.BIT_STRING)
    whole.end()
    fields = der.Fields(signed, "A certificate's content")
    version = fields.maybe(0xA0)
    serial = der.integer_of(fields.take(der.INTEGER))
    signature = read_signature_algorithm(fields.take(der.SEQUENCE))
    issuer = fields.take(der.SEQUENCE)
    validity = der.Fields(fields.take(der.SEQUENCE), "A validity")
    subject = fields.take(der.SEQUENCE)
    spki = fields.take(der.SEQUENCE)
    fields.maybe(0x81), fields.maybe(0x82)
    return JudgedCertificate(
        label=label,
        octets=octets,
        version=1 if version is None else der.integer_of(der.Fields(version, "A version", 0xA0).take()) + 1,
        serial=serial,
        signature=signature,
        outer_signature=outer,
        issuer=names.read_name(issuer),
        issuer_octets=issuer.raw,
        subject=names.read_name(subject),
        subject_octets=subject.raw,
        not_before=der.time_of(validity.take()),
        not_after=der.time_of(validity.take()),
        key=read_key(spki),
        spki=spki.raw,
        extensions=_extensions(fields),
        issued=issued,
    )


def _extensions(fields: der.Fields) -> tuple[Extension, ...]:
    wrapped = fields.maybe(0xA3)
    fields.end()
    return () if wrapped is None else extensions.read_extensions(der.Fields(wrapped, "Extensions", 0xA3).take())


def recognise(octets: bytes) -> bool:
    """Tell whether DER has the outer shape of a certificate: a validity where a CRL has a time, a CSR a key."""
    try:
        whole = der.children(der.read(octets, MAX_CERTIFICATE_OCTETS))
        parts = [each.tag for each in der.children(whole[0])]
    except (BadInput, IndexError):
        return False
    if parts[:1] == [0xA0]:
        del parts[0]
    return len(whole) == 3 and parts[:6] == [der.INTEGER, *[der.SEQUENCE] * 5]


def with_issuer(certificate: JudgedCertificate, others: Iterable[JudgedCertificate]) -> JudgedCertificate:
    """Return the certificate together with its issuer's, if one of the others is: by key identifier, else by name."""
    wanted = certificate.value(extensions.AUTHORITY_KEY_IDENTIFIER, extensions.authority_key_of)
    for other in others:
        if other.octets == certificate.octets or other.role is Role.LEAF:
            continue
        own = other.value(extensions.SUBJECT_KEY_IDENTIFIER, extensions.subject_key_of)
        by_key = isinstance(wanted, bytes) and wanted == own
        if by_key or (not isinstance(wanted, bytes) and other.subject_octets == certificate.issuer_octets):
            return msgspec.structs.replace(certificate, issued_by=other)
    return certificate


# -- for checks --------------------------------------------------------------------------------------------------------
def only(role: Role, scope: Scope | None = None) -> Callable[[Check], Check]:
    """Make a check speak of one role; and with ``scope`` only where it is certain that the certificate is of it."""

    def around(check: Check) -> Check:
        @functools.wraps(check)
        def judged(certificate: JudgedCertificate, asked: Asked) -> Outcome | Iterable[Outcome]:
            if certificate.role is not role:
                return not_applicable(f"It speaks of a {_ROLES[role]}; this is a {_ROLES[certificate.role]}.")
            if scope is not None and len(certificate.scopes) != 1:
                return not_evidenced(
                    f"Whether this is {_KINDS[scope]} certificate cannot be told from it: its policies name none of"
                    " the reserved identifiers, or several.",
                    "name exactly one reserved policy identifier (CSBR 7.1.6.1)",
                )
            return check(certificate, asked)

        return judged

    return around


_ROLES = {Role.LEAF: "Subscriber or timestamp certificate", Role.SUBORDINATE: "subordinate CA", Role.ROOT: "root CA"}
_KINDS = {Scope.EV: "an EV", Scope.NON_EV: "a Non-EV", Scope.TIMESTAMP: "a timestamp"}


def malformed(what: Any) -> bool:
    """Tell whether an extension is there and cannot be read."""
    return isinstance(what, Malformed)
