"""What is said and answered of orders of certificates and of revocations.

Light to import: the command line reads these answers, and needs nothing of what makes them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from privyseal.compliance.statement_words import Digest, Note
from privyseal.compliance.statements_of_certificates import RevocationAsked
from privyseal.terms.certificates import Reason
from privyseal.terms.orders import Order, OrderState

LARGEST_CSR = 256 << 10
"""Octets of a CSR, as ``pki.csr`` has it; one with an attestation of its key has some ten thousand."""
LARGEST_CHAIN = 1 << 20
"""Octets of a file of certificates, as ``pki.bundle`` has it."""


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate is to be asked for."""

    key: Annotated[str, Meta(min_length=1, max_length=63)]
    authority: Annotated[str, Meta(min_length=1, max_length=32)]
    """By the name under which it is configured."""
    csr: Annotated[bytes, Meta(min_length=1, max_length=LARGEST_CSR)]
    """PKCS #10, DER or PEM, signed with the Key Pair."""
    ev: bool = False


class Uploaded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the CA issued, brought by hand."""

    certificates: Annotated[bytes, Meta(min_length=1, max_length=LARGEST_CHAIN)]
    """PEM, DER or PKCS #7, in any order."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate is accepted, by the fingerprint of the one that was read."""

    fingerprint: Digest


class Refusal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order is ended, or its certificate refused."""

    reason: Note


class RevocationWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate is to be revoked."""

    reason: Reason
    because: Note
    """In words: it goes to people and into the log."""
    at: Annotated[datetime, Meta(tz=True)] | None = None
    """From when on it is not to be trusted; now, where it is not said."""
    authority: Annotated[str, Meta(max_length=32)] = ""
    """At whom; where it was ordered, unless it is said."""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    """From when on the CA says that it has revoked it: then nobody is asked, and this is written down."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says, for the person who is to accept it."""

    fingerprint: str
    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    key_id: str


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What one requirement, or one rule of another linter, says of it."""

    requirement: str
    clause: str
    verdict: str
    text: str


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """An order, as it stands."""

    id: str
    key: str
    authority: str
    state: OrderState
    asked: datetime
    by: str
    ev: bool
    words: str
    fingerprint: str
    decided: datetime | None
    decided_by: str


class OrderList(msgspec.Struct, frozen=True, kw_only=True):
    """Orders, the newest first, and at whom there can be more."""

    orders: tuple[OrderView, ...]
    authorities: tuple[str, ...]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An order with all that is known of it: the CSR, the certificate, and what it was judged to be."""

    order: OrderView
    csr: bytes
    """DER."""
    facts: Facts | None = None
    chain: tuple[bytes, ...] = ()
    """DER, the certificate first, without the root."""
    not_met: tuple[Judged, ...] = ()
    """What of the Requirements and of other linters is not met."""
    met: int = 0
    """How many of the Requirements are."""
    open: tuple[Judged, ...] = ()
    """What nobody evidenced, or a person has to judge."""


class RevocationList(msgspec.Struct, frozen=True, kw_only=True):
    """For which certificates a revocation was asked."""

    revocations: tuple[RevocationAsked, ...]


def view(order: Order) -> OrderView:
    """Return what is told of an order."""
    return OrderView(
        id=order.id,
        key=order.key,
        authority=order.authority,
        state=order.state,
        asked=order.asked,
        by=order.by,
        ev=order.ev,
        words=order.words,
        fingerprint=order.fingerprint,
        decided=order.decided,
        decided_by=order.decided_by,
    )
