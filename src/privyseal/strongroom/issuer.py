"""The issuer: a rehearsal's CA in a process of its own, so that ``serve`` holds no key, not even one of a rehearsal.

It issues to whoever may speak at its door, because what it issues binds nobody: every name says what it is, and only
who pinned this one root believes it. Its three keys sign certificates and lists; status is told by a responder.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from privyseal.errors import BadInput, TooLarge
from privyseal.pki import csr, der, names
from privyseal.pki.rehearsal import MARK, MAX_NAME, RehearsalAuthority
from privyseal.pki.rehearsal_status import Responder
from privyseal.strongroom.messages import (
    Answer,
    Issue,
    IssuedChain,
    IssuerHealth,
    IssuerState,
    Lists,
    ListsMade,
    Question,
    Revoke,
    RevokedSince,
    Status,
    StatusTold,
)
from privyseal.strongroom.register import Register

MOST_STATUS = 256
"""OCSP requests answered at once."""
AHEAD = timedelta(minutes=5)
"""How far ahead of our clock a revocation may begin."""


class Issuer:
    """Answers for the CA's keys; safe to call from several threads."""

    def __init__(self, authority: RehearsalAuthority, register: Register, clock: Callable[[], datetime]) -> None:
        """Take the CA, what it has issued, and the time."""
        self._authority = authority
        self._register = register
        self._clock = clock
        self._guard = threading.Lock()
        self._responder: Responder | None = None
        register.add([("root", authority.code_signing_issuer), ("root", authority.timestamp_issuer)])

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, so that this process must end."""
        return self._register.database.lost

    def handle(self, question: Question) -> Answer:
        """Answer one question; raises what the client is to be told."""
        if isinstance(question, Status):
            return self._told(question.requests)
        if isinstance(question, Issue):
            return self._issued(question.csr)
        if isinstance(question, Revoke):
            return self._revoked(question)
        if isinstance(question, Lists):
            now = self._clock()
            number, revoked = self._register.next_number(now), self._register.revocations()
            return ListsMade(self._authority.crl(now, number, revoked))
        if isinstance(question, IssuerHealth):
            authority = self._authority
            chain = (authority.root, authority.code_signing_issuer, authority.timestamp_issuer)
            return IssuerState(chain, len(self._register.revocations()))
        raise BadInput(f"The issuer does not answer {type(question).__name__}.")

    def close(self) -> None:
        """Close the register."""
        self._register.database.close()

    def _issued(self, octets: bytes) -> IssuedChain:
        asked = csr.read(octets)
        certificate = self._authority.issue_code_signing(asked.spki, _short(asked.subject), self._clock())
        self._register.add([("code-signing", certificate)])
        return IssuedChain((certificate, self._authority.code_signing_issuer))

    def _revoked(self, asked: Revoke) -> RevokedSince:
        if asked.at > self._clock() + AHEAD:
            raise BadInput("A certificate cannot be revoked from a moment on that has not come.")
        return RevokedSince(self._register.revoke(asked.certificate, asked.reason, asked.at))

    def _told(self, requests: tuple[bytes, ...]) -> StatusTold:
        if len(requests) > MOST_STATUS:
            raise TooLarge(f"{len(requests)} statuses were asked for at once; at most {MOST_STATUS} are told.")
        now = self._clock()
        with self._guard:
            if self._responder is None or not self._responder.fresh(now):
                self._responder = Responder(self._authority, now)
            responder = self._responder
        return StatusTold(tuple(responder.answer(each, self._register.find, now) for each in requests))


def _short(subject: bytes) -> str:
    """Return the organisation of a CSR's subject, cut to what fits beside the mark; all that is taken over of it.

    The common name where there is no organisation; BadInput where there is neither.
    """
    found = names.read_name(der.read(subject))
    named = [each.value for kind in (names.ORGANIZATION, names.COMMON_NAME) for each in found if each.type == kind]
    if not named:
        raise BadInput("The CSR names neither an organisation nor a common name.")
    return named[0].removeprefix(f"{MARK}: ")[: MAX_NAME - len(MARK) - 2].strip()
