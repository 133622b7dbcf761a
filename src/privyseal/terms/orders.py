"""An order of a certificate: what was asked for, at whom, and how it stands; the table says what may follow what."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class OrderState(StrEnum):
    """How an order of a certificate stands."""

    ASKED = "asked"
    """Written down; whether the authority has it already is not known, so it is asked again under the same id."""
    WAITING = "waiting"
    """The authority, or whoever brings its answer, has not decided."""
    ISSUED = "issued"
    """The certificate is here and is the right one; a person of the Subscriber has to read and accept it."""
    INSTALLED = "installed"
    """Accepted, and used from then on (CSBR 9.6.3)."""
    REFUSED = "refused"
    """By the authority, or by the person who read the certificate; never used."""


FOLLOWS: dict[OrderState, frozenset[OrderState]] = {
    OrderState.ASKED: frozenset({OrderState.WAITING, OrderState.ISSUED, OrderState.REFUSED}),
    OrderState.WAITING: frozenset({OrderState.WAITING, OrderState.ISSUED, OrderState.REFUSED}),
    OrderState.ISSUED: frozenset({OrderState.INSTALLED, OrderState.REFUSED}),
    OrderState.INSTALLED: frozenset(),
    OrderState.REFUSED: frozenset(),
}
"""What may follow what. Nothing is used without having been issued and accepted, and what is over stays so."""
OPEN = (OrderState.ASKED, OrderState.WAITING)
"""Of which something is still to be heard."""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order of a certificate for one Key Pair."""

    id: str
    key: str
    """The Key Pair's name."""
    key_id: str
    authority: str
    """By the name under which it is configured."""
    state: OrderState
    csr: bytes
    """What was handed in (PKCS #10, DER)."""
    asked: datetime
    by: str
    """Id of the member who asked, or ``service``."""
    ev: bool = False
    reference: str = ""
    """By what the authority finds it again."""
    words: str = ""
    """What it waits for or why it was refused: one sentence."""
    again: datetime | None = None
    """Before this nobody asks the authority again."""
    chain: tuple[bytes, ...] = ()
    """The certificate, and those above it as far as they came along, without the root: DER."""
    fingerprint: str = ""
    """SHA-256 of the certificate."""
    decided: datetime | None = None
    """When a person accepted or refused it, or the authority refused."""
    decided_by: str = ""
