"""Any CA that speaks ACME (RFC 8555): an account, an order, proofs, a CSR, a chain.

ACME proves control of what an order names. For code signing that is no host name: a CA takes a permanent identifier or
a hardware module (draft-ietf-acme-device-attest), or whatever its account was authorised for beforehand. The account's
key is this service's own and no Subscriber's. What talks is ``acme_session.py``, with the optional package ``acme``.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from privyseal.authorities.exchange import Line
from privyseal.authorities.protocol import AuthorityName, Issued, Refused, Revoked, Waiting, Wishes
from privyseal.errors import Misused
from privyseal.terms.certificates import Reason

if TYPE_CHECKING:
    from privyseal.authorities.acme_session import Session


class AcmeIdentifier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an order names, and its account has to control."""

    type: Literal["permanent-identifier", "hardware-module", "dns"]
    """``dns`` is for CAs that sign for whoever holds a name; no public code signing certificate has one."""
    value: Annotated[str, Meta(min_length=1, max_length=255)]


class AcmeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="acme"):
    """``[[authorities]]`` with ``kind = "acme"``. Paths are relative to the configuration."""

    name: AuthorityName
    directory: str
    """Address of the directory, such as ``https://acme.example/directory``; all else has to be on the same server."""
    account_key: str
    """A file, 0600, with the account's key, PEM: P-256, P-384 or RSA. It is the same one for as long as the account."""
    identifiers: Annotated[tuple[AcmeIdentifier, ...], Meta(min_length=1, max_length=8)]
    contact: Annotated[tuple[str, ...], Meta(max_length=4)] = ()
    """Such as ``mailto:certificates@example.org``."""
    terms_agreed: bool = False
    """Whether whoever may do so has agreed to the CA's terms of service."""
    eab_kid: Annotated[str, Meta(max_length=256)] = ""
    """The key identifier that the CA gave for the external account binding, with ``eab_file`` (RFC 8555 7.3.4)."""
    eab_file: str | None = None
    """A file, 0600, with its MAC key in base64url."""
    profile: Annotated[str, Meta(max_length=128)] = ""
    """The certificate profile (draft-ietf-acme-profiles) that is asked for, where the CA has several."""
    ev_profile: Annotated[str, Meta(max_length=128)] = ""
    """The one of EV certificates; without it none are asked for."""
    webroot: str | None = None
    """A directory that a web server shows as the root of the names: answers to ``http-01`` are put there."""
    attestor: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    """A program and its arguments, which answers ``device-attest-01``; ``{key_id}`` stands for the key's id."""
    ca_file: str | None = None
    """Certificates, PEM, that the server's must chain to instead of the system's."""

    def __post_init__(self) -> None:
        """Refuse half a binding, and contacts that are no URIs."""
        if bool(self.eab_kid) != bool(self.eab_file):
            raise ValueError("of an acme authority eab_kid and eab_file belong together")
        if not all(each.startswith("mailto:") and each.isascii() and each.isprintable() for each in self.contact):
            raise ValueError('contacts of an acme authority look like "mailto:somebody@example.org"')


class Acme:
    """Orders, and goes on with an order each time that it is asked about it."""

    by_people = False

    def __init__(self, section: AcmeSection, base: Path) -> None:
        """Take the section, whose relative paths start at ``base``; Misused where its address or anchors are none."""
        self.name = section.name
        self._section, self._base = section, base
        self._who = f"ACME {section.name}"
        parts = urlsplit(section.directory)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        trust = None if section.ca_file is None else base / section.ca_file
        self._line = Line(self._who, self._origin, trust)

    def ask(self, request: bytes, wishes: Wishes, now: datetime) -> Issued | Waiting | Refused:
        """Make a new order, and go as far with it as the server lets at once."""
        section = self._section
        if wishes.ev and not section.ev_profile:
            return Refused(why=f"{self._who} has no profile of EV certificates in our configuration.")
        return self._session().order(request, section.ev_profile if wishes.ev else section.profile, now)

    def collect(self, order: str, request: bytes, now: datetime) -> Issued | Waiting | Refused:
        """Go on with an order, which is known by its address."""
        return self._session().go_on(order, request, now)

    def revoke(self, chain: tuple[bytes, ...], reason: Reason, at: datetime, now: datetime) -> Revoked | Refused:
        """Have it revoked by the account that ordered it. ACME knows no earlier moment (RFC 8555 7.6)."""
        return self._session().revoke(chain[0], reason, now)

    def _session(self) -> Session:
        try:
            from privyseal.authorities.acme_session import Session
        except ImportError:
            raise Misused(f"{self._who} needs the package acme.", hint="pip install 'privyseal[acme]'") from None
        return Session(self._who, self._section, self._base, self._line, self._origin)
