"""Who you are: from what a caller presents to the Member who holds it, or NotAuthenticated.

A bearer token is ``pst_`` and 256 random bits, ``pss_`` where it has a scope, ``psw_`` where a run was given it. Only
its SHA-256 is ever stored: the token is as hard to guess as the digest is to invert, so a slow password hash would
protect nothing, and finding the digest in an index tells an attacker who times it nothing about any token.

A client certificate (:mod:`privyseal.access.client_certificates`) proves who holds its key; the TLS layer has verified
that, and that one of the configured authorities issued it, before we see it. Whoever presents both must be the same
Member by both; a credential that is not good is never made up for by one that is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from privyseal.access import client_certificates, sessions
from privyseal.errors import BadInput, NotAuthenticated
from privyseal.terms.parties import Actor, Factor, Member

TOKEN_OCTETS = 32
"""256 bits, twice what RFC 6749 10.10 asks for; then the digest alone is worth nothing to a thief of the database."""

_TOKEN = re.compile(rb"(pst_|pss_|psw_)[A-Za-z0-9_-]{43}")

_HINT = (
    "send one header 'Authorization: Bearer pst_...' with a token of this service, or a client certificate (TLS 1.3)"
)

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields as ASGI hands them over: names in lower case, values as sent, in order, repetitions kept."""

Lookup = Callable[[bytes], Member | None]
"""From the SHA-256 of a token, or of a public key, to the Member who holds it; None where it is unknown, expired or
revoked."""


class Presented(NamedTuple):
    """All that came with a request by which its sender may be known."""

    headers: Headers
    certificate: bytes | None = None
    """The peer's certificate, DER, from the TLS layer that verified it; never out of a header."""
    method: str = "POST"
    """The HTTP method; where nobody says it, one that changes something."""


Holder = Callable[[bytes], Actor | None]
"""From the SHA-256 of a token to the Actor whom it proves, with what it is narrowed to or the run it was given to."""


def nobody(digest: bytes) -> Actor | None:
    """Know nobody."""
    return None


class Register(NamedTuple):
    """Who holds what, at one moment."""

    by_token: Lookup
    by_key: Lookup
    now: datetime
    by_run: Holder = nobody
    """Of tokens that runs were given for their identity tokens."""
    by_scope: Holder = nobody
    """Of static tokens with a scope."""
    by_session: sessions.Lookup = lambda digest: None


Door = Callable[[Presented, Register], Actor | None]
"""One way to prove who you are. None: nothing of this kind was presented; NotAuthenticated: it was, and is not good."""


def new_token(draw: Callable[[int], bytes], prefix: str = "pst_") -> tuple[str, bytes]:
    """Make a bearer token out of ``draw(32)``; return it, to be shown once, and its SHA-256, to be stored."""
    token = prefix + base64.urlsafe_b64encode(draw(TOKEN_OCTETS)).rstrip(b"=").decode("ascii")
    return token, token_digest(token.encode("ascii"))


def token_digest(token: bytes) -> bytes:
    """Return what is stored of a token: SHA-256 over its characters, 32 octets."""
    return hashlib.sha256(token).digest()


def bearer(presented: Presented, register: Register) -> Actor | None:
    """Take a bearer token (RFC 6750 2.1) from the one ``Authorization`` field there may be."""
    values = [value for name, value in presented.headers if name == b"authorization"]
    if not values:
        return None
    if len(values) > 1:
        raise NotAuthenticated("More than one Authorization header was sent; exactly one was expected.", hint=_HINT)
    scheme, _, token = values[0].partition(b" ")
    if scheme.lower() != b"bearer":
        raise NotAuthenticated("The Authorization header names a scheme other than Bearer.", hint=_HINT)
    token = token.strip(b" ")
    if token.startswith(b"psc_"):  # the other door's
        return None
    actor = _holder(token, register)
    if actor is None:
        raise NotAuthenticated("The bearer token is unknown, expired or revoked.", hint="ask for a new one")
    return actor


def _holder(token: bytes, register: Register) -> Actor | None:
    kind = _TOKEN.fullmatch(token)
    if kind is None:
        return None
    digest = token_digest(token)
    if kind[1] == b"psw_":
        return register.by_run(digest)
    if kind[1] == b"pss_":
        return register.by_scope(digest)
    member = register.by_token(digest)
    return None if member is None else Actor(member, (Factor.BEARER,))


def certificate(presented: Presented, register: Register) -> Actor | None:
    """Take the client certificate of the connection, by its public key alone."""
    if presented.certificate is None:
        return None
    try:
        facts = client_certificates.read(presented.certificate)
    except BadInput as error:
        raise NotAuthenticated(f"The client certificate is not one that we can read: {error.detail}") from None
    client_certificates.check(facts, register.now)
    member = register.by_key(facts.key_digest)
    if member is None:
        raise NotAuthenticated(
            "The client certificate's key is not registered for any member, or no longer.",
            hint="have it registered, or connect without a certificate",
        )
    return Actor(member, (Factor.CLIENT_CERTIFICATE,))


def session(presented: Presented, register: Register) -> Actor | None:
    """Take the session of a person's browser or command line (:mod:`privyseal.access.sessions`)."""
    found = sessions.find(presented.headers, register.by_session, register.now)
    if found is None:
        return None
    one, token = found
    sessions.require_unforged(one, token, presented.method, presented.headers)
    return one.actor()


DOORS: tuple[Door, ...] = (
    bearer,
    certificate,
    session,
)
"""Every way in; all are tried."""


def authenticate(presented: Presented, register: Register) -> Actor:
    """Return the Actor behind what was presented, with every factor that proved it.

    Raises NotAuthenticated where no door opens, where any of them refuses, and where two open for different Members.
    """
    actors = [actor for door in DOORS if (actor := door(presented, register)) is not None]
    if not actors:
        raise NotAuthenticated("No credential was sent; this part of the service asks for one.", hint=_HINT)
    if len(actors) == 1:
        return actors[0]
    if len({actor.member.id for actor in actors}) > 1:
        raise NotAuthenticated(
            "The bearer token and the client certificate belong to different members.", hint="send one of the two"
        )
    fullest = next((actor for actor in actors if actor.session), actors[0])
    return msgspec.structs.replace(fullest, factors=tuple(factor for actor in actors for factor in actor.factors))
