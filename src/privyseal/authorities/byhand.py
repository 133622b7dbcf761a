"""By hand: a person takes the CSR to the CA and brings back what it issued. Every CA can be used so."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from privyseal.authorities.protocol import AuthorityName, Issued, Refused, Waiting, Wishes
from privyseal.terms.certificates import Reason


class ByHandSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="by-hand"
):
    """``[[authorities]]`` with ``kind = "by-hand"``: a CA that only people talk to."""

    name: AuthorityName = "by-hand"
    how: Annotated[str, Meta(max_length=500)] = ""
    """What whoever asks is told, such as the address of the CA's portal and the name of the account."""
    how_to_revoke: Annotated[str, Meta(max_length=500)] = ""
    """The same for revocations: CSBR 4.9.3 has every CA name a way that is open day and night."""


class ByHand:
    """Waits for people, always."""

    by_people = True

    def __init__(self, section: ByHandSection) -> None:
        """Take the section."""
        self.name = section.name
        self._how = section.how or "Take the CSR to the CA, and upload what it issues."
        self._how_to_revoke = section.how_to_revoke or "Ask the CA by the way that its certificate policy names."

    def ask(self, csr: bytes, wishes: Wishes, now: datetime) -> Issued | Waiting | Refused:
        """Say where the CSR is to be taken."""
        return Waiting(order="", words=self._how)

    def collect(self, order: str, csr: bytes, now: datetime) -> Issued | Waiting | Refused:
        """Say the same again."""
        return Waiting(order="", words=self._how)

    def revoke(self, chain: tuple[bytes, ...], reason: Reason, at: datetime, now: datetime) -> Waiting:
        """Say how the CA is asked."""
        return Waiting(order="", words=self._how_to_revoke)
