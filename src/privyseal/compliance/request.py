"""A certificate request (PKCS#10, RFC 2986) as requirements are judged on it."""

from __future__ import annotations

from datetime import datetime

import msgspec
from cryptography import x509

from privyseal.compliance.requirement import DatedBy, Kind, Scope
from privyseal.errors import BadInput
from privyseal.pki import certificates, der, names
from privyseal.pki.key_facts import KeyFacts, read_key
from privyseal.pki.names import Attribute

MAX_REQUEST_OCTETS = certificates.MAX_CERTIFICATE_OCTETS
"""Octets of a request; it holds what a certificate does, so as much is allowed. One of RSA-4096 has 1,700."""


class CertificateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a CA: a name, a public key and extensions, under the key's own signature."""

    label: str
    octets: bytes
    subject: tuple[Attribute, ...]
    """The name asked for; the CA need not follow it."""
    spki: bytes
    """The SubjectPublicKeyInfo, DER."""
    key: KeyFacts
    possession: bool | None
    """Whether the key's signature over the request verifies; None for a kind of key that nobody here can verify."""
    received: datetime | None = None
    """When it came in; the law of that day is held against it."""

    @property
    def kind(self) -> Kind:
        """Say that it is a request."""
        return Kind.CERTIFICATE_REQUEST

    @property
    def scopes(self) -> frozenset[Scope]:
        """Say that it cannot be told: a request need not name a purpose, and the CA decides."""
        return frozenset()

    @property
    def title(self) -> str:
        """Say which request it is: the common name, or the organisation, that is asked for."""
        for kind in (names.COMMON_NAME, names.ORGANIZATION):
            if values := [each.value for each in self.subject if each.type == kind]:
                return values[-1]
        return "certificate request without a name"

    @property
    def dated(self) -> str:
        """Say by which day's law it is judged."""
        return "undated" if self.received is None else f"received {self.received:%Y-%m-%d}"

    def when(self, clock: DatedBy) -> datetime | None:
        """Return when it came in for every clock that a request could have, since nothing in it bears a date."""
        return self.received if clock in (DatedBy.ISSUANCE, DatedBy.EVENT) else None


def read(octets: bytes, label: str, received: datetime | None = None) -> CertificateRequest:
    """Read a certificate request, DER; BadInput if it is none. ``received`` is aware."""
    outer = der.Fields(der.read(octets, MAX_REQUEST_OCTETS), "A certificate request")
    fields = der.Fields(outer.take(der.SEQUENCE), "A certificate request's content")
    if (version := der.integer_of(fields.take(der.INTEGER))) != 0:
        raise BadInput(f"The certificate request is of version {version + 1}; version 1 was expected (RFC 2986 4.1).")
    subject = names.read_name(fields.take(der.SEQUENCE))
    spki = fields.take(der.SEQUENCE)
    try:
        loaded = x509.load_der_x509_csr(octets)
    except certificates.unreadable() as error:
        raise BadInput(f"The certificate request cannot be read: {error}.") from None
    return CertificateRequest(
        label=label,
        octets=octets,
        subject=subject,
        spki=spki.raw,
        key=read_key(spki),
        possession=_possession(loaded),
        received=received,
    )


def _possession(loaded: x509.CertificateSigningRequest) -> bool | None:
    try:
        return loaded.is_signature_valid
    except certificates.unreadable():
        return None


def recognise(octets: bytes) -> bool:
    """Tell whether DER has the outer shape of a request: a key and attributes after the name, and no dates."""
    try:
        whole = der.children(der.read(octets, MAX_REQUEST_OCTETS), 3)
        parts = [each.tag for each in der.children(whole[0])]
    except (BadInput, IndexError):
        return False
    return len(whole) == 3 and parts in ([der.INTEGER, der.SEQUENCE, der.SEQUENCE, *end] for end in ([], [0xA0]))
