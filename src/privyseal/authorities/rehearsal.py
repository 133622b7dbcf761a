"""The rehearsal CA, which issues at once whatever this service asks for. Its keys are in a guarded process of its own.

What it issues says in every name that it is not for release, and no verifier trusts it who was not told to.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec

from privyseal.authorities.protocol import AuthorityName, Issued, Refused, Revoked, Wishes
from privyseal.terms.certificates import Reason


class RehearsalSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="rehearsal"
):
    """``[[authorities]]`` with ``kind = "rehearsal"``: the built-in CA of a rehearsal."""

    name: AuthorityName = "rehearsal"


class Issuer(Protocol):
    """The door to the process that holds the CA's keys (``strongroom/issuer_client.py``)."""

    def issue(self, csr: bytes) -> tuple[bytes, ...]:
        """Return certificate and issuer, DER, for a CSR."""
        ...

    def revoke(self, certificate: bytes, reason: Reason, at: datetime) -> datetime:
        """Revoke a certificate; return from when on it is revoked."""
        ...


class Rehearsal:
    """Issues at once."""

    by_people = False

    def __init__(self, section: RehearsalSection, issuer: Issuer) -> None:
        """Take the section, and the door to the process with the keys."""
        self.name = section.name
        self._issuer = issuer

    def ask(self, csr: bytes, wishes: Wishes, now: datetime) -> Issued | Refused:
        """Have a certificate issued; BadInput for a CSR that is none."""
        if wishes.ev:
            return Refused(why="The rehearsal's CA issues no EV certificates: it has validated nobody.")
        return Issued(chain=self._issuer.issue(csr))

    def collect(self, order: str, csr: bytes, now: datetime) -> Issued:
        """Have one issued again: no order waits here, but for a process that ended between question and answer."""
        return Issued(chain=self._issuer.issue(csr))

    def revoke(self, chain: tuple[bytes, ...], reason: Reason, at: datetime, now: datetime) -> Revoked:
        """Revoke it; its status says so from now on, the lists from the next one on."""
        return Revoked(at=self._issuer.revoke(chain[0], reason, at))
