"""The way to the issuer, the process that holds the keys of a rehearsal's CA."""

from __future__ import annotations

from datetime import datetime

from privyseal.errors import Unavailable
from privyseal.strongroom.client import Ask
from privyseal.strongroom.messages import (
    Issue,
    IssuedChain,
    IssuerHealth,
    IssuerState,
    Lists,
    ListsMade,
    Revoke,
    RevokedSince,
    Status,
    StatusTold,
)
from privyseal.terms.certificates import Reason


class IssuerClient:
    """Asks the issuer."""

    def __init__(self, ask: Ask) -> None:
        """Ask through ``ask``."""
        self._ask = ask

    def issue(self, csr: bytes) -> tuple[bytes, ...]:
        """Have a certificate issued for a CSR, DER; return it and its issuer's."""
        answer = self._ask(Issue(csr))
        if isinstance(answer, IssuedChain):
            return answer.chain
        raise _strange(answer)

    def revoke(self, certificate: bytes, reason: Reason, at: datetime) -> datetime:
        """Have a certificate revoked; return from when on it is. NotFound where this CA has not issued it."""
        answer = self._ask(Revoke(certificate, reason, at))
        if isinstance(answer, RevokedSince):
            return answer.at
        raise _strange(answer)

    def lists(self) -> bytes:
        """Have the CRLs of all three CAs made anew: PEM, the root's first, then code signing, then timestamping."""
        answer = self._ask(Lists())
        if isinstance(answer, ListsMade):
            return answer.pem
        raise _strange(answer)

    def status(self, requests: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Have OCSP requests answered, whatever they are."""
        answer = self._ask(Status(requests))
        if isinstance(answer, StatusTold):
            return answer.responses
        raise _strange(answer)

    def health(self) -> IssuerState:
        """Return the certificates of the CA, and how many it has revoked."""
        answer = self._ask(IssuerHealth())
        if isinstance(answer, IssuerState):
            return answer
        raise _strange(answer)


def _strange(answer: object) -> Unavailable:
    return Unavailable(f"The issuer answered {type(answer).__name__}, which was not asked.")
