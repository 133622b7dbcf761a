"""What a TLS client certificate says that we believe: its public key, its dates, what it may be used for.

Nothing here reads a name. Names in certificates have been cut at a NUL (siguldry before 0.7.3), compared without regard
to look-alikes, taken from the wrong one of several; a public key is either the one that was registered or it is not.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from privyseal.errors import BadInput, NotAuthenticated
from privyseal.pki import certificates


class ClientCertificate(msgspec.Struct, frozen=True):
    """The facts of a client certificate."""

    key_digest: bytes
    """SHA-256 of the SubjectPublicKeyInfo, DER: what a member is registered under, so that a renewed certificate for
    the same key needs nothing new (as RFC 7469 2.4 pins keys, and for the same reason)."""
    not_before: datetime
    not_after: datetime
    authority: bool
    """It may issue certificates (basicConstraints, RFC 5280 4.2.1.9)."""
    for_clients: bool
    """Its extendedKeyUsage names clientAuth (RFC 5280 4.2.1.12)."""


@lru_cache(maxsize=1024)
def read(certificate: bytes) -> ClientCertificate:
    """Read a DER certificate; BadInput if it cannot be understood. Remembered: one comes with every request."""
    spki = certificates.outline(certificate).spki
    loaded = certificates.load(certificate)
    try:
        extensions = loaded.extensions
        not_before, not_after = loaded.not_valid_before_utc, loaded.not_valid_after_utc
    except certificates.unreadable() as error:
        raise BadInput(f"Its dates or extensions are wrong: {error}.") from None
    authority, for_clients = False, False
    for extension in extensions:
        if isinstance(extension.value, x509.BasicConstraints):
            authority = extension.value.ca
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            for_clients = ExtendedKeyUsageOID.CLIENT_AUTH in extension.value
    return ClientCertificate(hashlib.sha256(spki).digest(), not_before, not_after, authority, for_clients)


def check(certificate: ClientCertificate, now: datetime) -> None:
    """Raise NotAuthenticated unless the certificate is one for a client, and in force at ``now``.

    The TLS layer looked at the dates when the connection began; a connection may live longer than its certificate.
    """
    if certificate.authority:
        raise NotAuthenticated("The client certificate is a CA's own.", hint="use one that a CA issued to a client")
    if not certificate.for_clients:
        raise NotAuthenticated(
            "The client certificate's extendedKeyUsage does not name clientAuth.", hint="ask for one that does"
        )
    if now < certificate.not_before:
        raise NotAuthenticated(
            f"The client certificate is not in force before {certificate.not_before:%Y-%m-%d %H:%M} UTC."
        )
    if now > certificate.not_after:
        raise NotAuthenticated(
            f"The client certificate expired at {certificate.not_after:%Y-%m-%d %H:%M} UTC.",
            hint="renew it; for the same key nothing else has to change",
        )
