"""Sessions of people: what a browser or a command line presents after its owner has signed in.

A session's token is 256 random bits, and only its SHA-256 is kept. A browser's is a cookie that no script can read and
no other site can send; what changes anything needs, besides, a token that only our own pages know and a browser's word
that the request comes from one of them (Sec-Fetch-Site, Origin). A command line's is a bearer token, which no browser
sends by itself. A session that has half of what its member needs, a password without the second factor, opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from privyseal.errors import NotAuthenticated, StepUpNeeded
from privyseal.terms.parties import Actor, Factor, Member

IDLE_LIMIT = timedelta(minutes=30)
"""A browser session that nobody uses ends; NIST SP 800-63B 2.2.3 asks for an hour at most at AAL2."""
WHOLE_LIMIT = timedelta(hours=12)
"""And no session of a browser outlives a working day; NIST SP 800-63B 2.2.3: 24 hours."""
COMMAND_LINE_LIMIT = timedelta(hours=10)
"""How long a command line is let in; then its owner signs in again."""
RECENT = timedelta(minutes=10)
"""How old a second factor may be for approving, freezing and administration."""

SECURE_COOKIE, LOOPBACK_COOKIE = "__Host-privyseal", "privyseal-loopback"
"""The cookie over TLS, whose name makes the browser insist on its attributes (RFC 6265bis 4.1.3.2), and on loopback."""
FORGERY_HEADER = b"x-privyseal-page"
"""The header field with which our own scripts prove that a request is theirs."""

_BEARER = re.compile(rb"psc_[A-Za-z0-9_-]{43}")
_COOKIE = re.compile(r"psb_[A-Za-z0-9_-]{43}")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 9.2.1)."""

Kind = Literal["browser", "command-line"]
"""Where somebody signed in from."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in of one member."""

    id: str
    member: Member
    kind: Kind
    factors: tuple[Factor, ...]
    said: str = ""
    """What the provider said of its own factors (``amr``, ``acr``): its word, not our knowledge."""
    begun: datetime
    proved_at: datetime | None
    """When a second factor was shown last."""
    seen: datetime
    ends: datetime
    agent: bytes
    """SHA-256 of the browser's User-Agent."""
    label: str
    """What the browser or the computer calls itself, for its owner's list."""
    pending: bool = False
    """Whether the second factor is still owed."""

    def actor(self) -> Actor:
        """Return who acts in this session."""
        return Actor(self.member, self.factors, self.proved_at, self.id)

    def over(self, now: datetime) -> bool:
        """Tell whether it has ended by itself."""
        return now >= self.ends or (self.kind == "browser" and now - self.seen >= IDLE_LIMIT)


Lookup = Callable[[bytes], Session | None]
"""From the SHA-256 of a session's token to the session, as it is written down."""

_AGAIN = "sign in again, at /console/sign-in or with privyseal login"


def new_token(kind: Kind, draw: Callable[[int], bytes]) -> tuple[str, bytes]:
    """Make a session's token; return it and its SHA-256."""
    prefix = "psb_" if kind == "browser" else "psc_"
    token = prefix + base64.urlsafe_b64encode(draw(32)).rstrip(b"=").decode("ascii")
    return token, digest(token)


def digest(token: str) -> bytes:
    """Return what is kept of a session's token."""
    return hashlib.sha256(token.encode("ascii")).digest()


def page_token(token: str) -> str:
    """Return what our own pages of this session know and no other site's can: derived, so that nothing is kept."""
    derived = hmac.new(token.encode("ascii"), b"privyseal page token", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(derived).rstrip(b"=").decode("ascii")


def agent_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the SHA-256 of the User-Agent, to which a browser's session is bound."""
    return hashlib.sha256(_only(headers, b"user-agent") or b"").digest()


def cookie_of(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return the session's token among the cookies; NotAuthenticated where there are two different ones."""
    found = set()
    for name, value in headers:
        if name == b"cookie":
            for part in value.decode("latin-1").split(";"):
                key, _, token = part.strip().partition("=")
                if key in (SECURE_COOKIE, LOOPBACK_COOKIE):
                    found.add(token)
    if len(found) > 1:
        raise NotAuthenticated("Two different sessions were sent.", hint=_AGAIN)
    return found.pop() if found else None


def bearer_of(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Return the command line's token, where the one Authorization field holds a token of that kind."""
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(b" ")
    token = token.strip(b" ")
    return token if scheme.lower() == b"bearer" and token.startswith(b"psc_") else None


def find(
    headers: Sequence[tuple[bytes, bytes]], lookup: Lookup, now: datetime, *, half: bool = False
) -> tuple[Session, str] | None:
    """Return the session that was presented and its token, or None where none was.

    Raises NotAuthenticated where it is unknown or over, where it came from another browser, and, unless ``half``,
    where the second factor is still owed.
    """
    bearer = bearer_of(headers)
    cookie = cookie_of(headers) if bearer is None else None
    if bearer is None and cookie is None:
        return None
    token = bearer.decode("latin-1") if bearer is not None else cookie or ""
    shaped = _BEARER.fullmatch(bearer) if bearer is not None else _COOKIE.fullmatch(token)
    session = lookup(digest(token)) if shaped else None
    if session is None or session.over(now) or (session.kind == "browser") != (bearer is None):
        raise NotAuthenticated("The session has ended or is unknown.", hint=_AGAIN)
    if session.kind == "browser" and not hmac.compare_digest(session.agent, agent_of(headers)):
        raise NotAuthenticated("The session was begun in another browser.", hint=_AGAIN)
    if session.pending and not half:
        raise NotAuthenticated("The second factor of this session is still owed.", hint="/console/second-factor")
    return session, token


def require_own_page(headers: Sequence[tuple[bytes, bytes]], origin: str | None = None) -> None:
    """Raise NotAuthenticated unless the browser says that one of our own pages sent this (W3C Fetch Metadata).

    ``origin`` is ours; where it is not known, the Host field says it, which no other site's script can set.
    """
    site, came_from = _only(headers, b"sec-fetch-site"), _only(headers, b"origin")
    if origin is not None:
        own = came_from == origin.encode("ascii")
    else:
        own = came_from is not None and came_from.partition(b"://")[2] == _only(headers, b"host")
    if site not in (None, b"same-origin") or not (own or (came_from is None and site == b"same-origin")):
        raise NotAuthenticated("The request does not come from a page of this service.", hint="open the page itself")


def require_page_token(token: str, given: str) -> None:
    """Raise NotAuthenticated unless ``given`` is the page token of the session with this token."""
    if not hmac.compare_digest(page_token(token).encode(), given.encode("utf-8", "replace")):
        raise NotAuthenticated("The form is not of this session.", hint="open the page again")


def require_unforged(session: Session, token: str, method: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise NotAuthenticated where a browser's session is used for a change that our own pages did not ask for."""
    if session.kind == "browser" and method not in SAFE_METHODS:
        require_own_page(headers)
        require_page_token(token, (_only(headers, FORGERY_HEADER) or b"").decode("latin-1"))


def require_recent(actor: Actor, now: datetime) -> None:
    """Raise StepUpNeeded where a person's session has not shown a second factor within RECENT.

    A credential without a session is a machine's, or counts as one; it has nobody to ask.
    """
    if not actor.session:
        return
    if actor.proved_at is None or not timedelta() <= now - actor.proved_at < RECENT:
        minutes = RECENT // timedelta(minutes=1)
        raise StepUpNeeded(
            f"This needs a second factor that was shown within the last {minutes} minutes.",
            hint="confirm at /console/second-factor, or run privyseal login again",
        )


def require_recent_if_any(session: Session, second: bool, now: datetime) -> None:
    """Raise as :func:`require_recent` where the member has a second factor at all."""
    if second:
        require_recent(session.actor(), now)


def _only(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    values = [value for name, value in headers if name == wanted]
    if len(values) > 1:
        raise NotAuthenticated(f"More than one {wanted.decode('ascii')} header was sent.")
    return values[0] if values else None
