"""A certificate and the facts others ask of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Standing = Literal["public", "private", "rehearsal"]
"""What a chain's anchor makes of a certificate; an anchor that the operator did not pin counts as public."""


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An X.509 certificate as read by ``pki/certificates.py``."""

    der: bytes
    fingerprint: str
    """SHA-256 of ``der``, 64 lower-case hex digits."""
    subject: str
    """RFC 4514 text."""
    issuer: str
    serial: str
    """Upper-case hex digits without leading zeros or colons."""
    not_before: datetime
    not_after: datetime
    key_id: str
    """SHA-256 of the SubjectPublicKeyInfo, 64 lower-case hex digits."""

    def in_force(self, at: datetime) -> bool:
        """Tell whether ``at`` lies in the validity period, both ends included (RFC 5280 4.1.2.5)."""
        return self.not_before <= at <= self.not_after


Reason = Literal[
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
]
"""Why a certificate is revoked (RFC 5280 5.3.1), as far as it can be said of one for signing: the others are about CAs
or take a revocation back, which CSBR 4.9.13 does not know."""

CODES: dict[Reason, int] = {
    "unspecified": 0,
    "keyCompromise": 1,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "privilegeWithdrawn": 9,
}
"""CRLReason of each (RFC 5280 5.3.1), as ACME and others want it."""
