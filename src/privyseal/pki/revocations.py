"""When and why a certificate was revoked, by lists that were handed in, whatever the moment that is asked about.

``chain.py`` says whether a certificate was good at a moment. A stolen timestamp key makes that too little: its thief
can state any moment. So RFC 3161 4 asks for the reason, and this module tells it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from privyseal.errors import BadInput
from privyseal.pki import certificates, loaders


class Revoked(msgspec.Struct, frozen=True):
    """What a list says of a revoked certificate."""

    at: datetime
    """The revocation date, or the invalidity date where that is earlier (RFC 5280 5.3.2)."""
    reason: str | None
    """As RFC 5280 5.3.1 has it, such as ``keyCompromise``; None where the entry states none."""


def find(certificate: bytes, issuer: bytes, crls: Sequence[bytes]) -> Revoked | None:
    """Return the earliest entry about a certificate in lists that its issuer signed; None where there is none.

    All are DER. Lists that cannot be read, or that others signed, say nothing here.
    """
    parts = certificates.outline(certificate)
    found = [entry for crl in crls if (entry := _entry(crl, issuer, parts.serial)) is not None]
    return min(found, key=lambda each: each.at, default=None)


def of_issuers(crls: Sequence[bytes], issuers: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the lists that one of these certificates signed, all DER, each once and in their order; the rest may be
    anything."""
    return tuple(one for one in dict.fromkeys(crls) if any(_signed_by(one, each) is not None for each in issuers))


def made_at(crl: bytes, issuer: bytes) -> datetime | None:
    """Return when a list was made (thisUpdate); None where ``issuer`` did not sign it."""
    loaded = _signed_by(crl, issuer)
    return None if loaded is None else loaded.last_update_utc


@lru_cache(maxsize=256)
def _entry(crl: bytes, issuer: bytes, serial: int) -> Revoked | None:
    loaded = _signed_by(crl, issuer)
    entry = None if loaded is None else loaded.get_revoked_certificate_by_serial_number(serial)
    if entry is None:
        return None
    from cryptography import x509  # see loaders.py

    at, reason = entry.revocation_date_utc, None
    try:
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CRLReason):
                reason = extension.value.reason.value
            elif isinstance(extension.value, x509.InvalidityDate):
                at = min(at, extension.value.invalidity_date_utc)
    except certificates.unreadable():
        return Revoked(at, None)  # a reason that cannot be read excuses nothing
    return None if reason == x509.ReasonFlags.remove_from_crl.value else Revoked(at, reason)


@lru_cache(maxsize=8)
def _signed_by(crl: bytes, issuer: bytes) -> loaders.CertificateRevocationList | None:
    try:
        loaded = loaders.load_der_x509_crl(crl)
        if loaded.issuer.public_bytes() != certificates.outline(issuer).subject:
            return None
        key: Any = certificates.load(issuer).public_key()
        return loaded if loaded.is_signature_valid(key) else None
    except (BadInput, TypeError):
        return None
    except certificates.unreadable():
        return None
