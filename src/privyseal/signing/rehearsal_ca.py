"""A rehearsal's CA as the service sees it: a door to the process with its keys, and the file of its lists.

The lists are made anew once a day, and at once when something is revoked, into the one file that verifiers are given
(``ca.crl``). What is served over HTTP is read from there, so nobody outside can have a CA's key used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from privyseal.errors import BadInput, NotFound
from privyseal.pki import chain
from privyseal.pki.rehearsal import PARTS
from privyseal.strongroom.client import SocketAsk
from privyseal.strongroom.durable import write_whole
from privyseal.strongroom.issuer_client import IssuerClient
from privyseal.strongroom.messages import Answer, IssuerState, Question
from privyseal.terms.certificates import Reason

KEY, LISTS = "rehearsal-ca/ca.key", "ca.crl"
"""Where in a service's directory the CA has its keys, which only the issuer reads, and its lists."""
PERIOD = timedelta(days=1)
"""From one list to the next; CSBR 4.9.7 asks for one within seven days."""
FILES = {f"{part}.crl": "application/pkix-crl" for part in PARTS} | {
    f"{part}.cer": "application/pkix-cert" for part in PARTS
}
"""What is served of each CA, and its media type (RFC 2585): its list and its certificate, DER."""


class RehearsalCa:
    """The CA of one rehearsal. Safe to use from several threads."""

    def __init__(self, client: IssuerClient, lists: Path) -> None:
        """Take the door, and the file of the lists."""
        self._client = client
        self._lists = lists
        self._guard = threading.Lock()
        self._state: IssuerState | None = None

    def issue(self, csr: bytes) -> tuple[bytes, ...]:
        """Have a certificate issued for a CSR, DER; return it and its issuer's."""
        return self._client.issue(csr)

    def revoke(self, certificate: bytes, reason: Reason, at: datetime) -> datetime:
        """Have a certificate revoked, and the lists made anew; return from when on it is revoked."""
        since = self._client.revoke(certificate, reason, at)
        self._renew()
        return since

    def refresh(self, now: datetime) -> None:
        """Make the lists anew where the last ones are a day old, so that none lapses while it is used."""
        if now.timestamp() - self._lists.stat().st_mtime > PERIOD.total_seconds():
            self._renew()

    def file(self, name: str) -> bytes:
        """Return a file that is served, DER; NotFound where there is none of that name."""
        if name not in FILES:
            raise NotFound(f"The rehearsal's CA has no file {name[:60]!r}.", hint="one of " + ", ".join(FILES))
        part, _, kind = name.rpartition(".")
        place = [str(each) for each in PARTS].index(part)
        if kind == "cer":
            return self._known().chain[place]
        try:
            return chain.read_crls(self._lists.read_bytes())[place]
        except (OSError, BadInput, IndexError):
            raise NotFound(f"The list {name} is not there.", hint="it is made anew within a day") from None

    def status(self, request: bytes) -> bytes:
        """Answer an OCSP request, whatever it is."""
        (response,) = self._client.status((request,))
        return response

    def _known(self) -> IssuerState:
        if self._state is None:
            self._state = self._client.health()
        return self._state

    def _renew(self) -> None:
        with self._guard:
            write_whole(self._lists, self._client.lists(), mode=0o644)


def beside(directory: Path, socket: Path, summon: Callable[[], None] | None) -> RehearsalCa | None:
    """Return the CA of the rehearsal in a directory; None where its keys are not there.

    ``summon`` starts the issuer where it does not run; without it somebody else has to have started it.
    """
    if not (directory / KEY).exists():
        return None
    door = SocketAsk(socket)

    def ask(question: Question) -> Answer:
        if summon is not None:
            summon()
        return door(question)

    return RehearsalCa(IssuerClient(ask), directory.resolve() / LISTS)
