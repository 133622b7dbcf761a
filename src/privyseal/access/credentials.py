"""Who you are: from what a caller presents to the Member who holds it, or NotAuthenticated.

A bearer token is ``pst_`` and 256 random bits. Only its SHA-256 is ever stored: the token is as hard to guess as the
digest is to invert, so a slow password hash would protect nothing, and finding the digest in an index tells an attacker
who times it nothing about any token.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence

from privyseal.errors import NotAuthenticated
from privyseal.terms.parties import Actor, Factor, Member

TOKEN_OCTETS = 32
"""256 bits, twice what RFC 6749 10.10 asks for; then the digest alone is worth nothing to a thief of the database."""

_TOKEN = re.compile(rb"pst_[A-Za-z0-9_-]{43}")

_HINT = "send one header 'Authorization: Bearer pst_...' with a token of this service"

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields as ASGI hands them over: names in lower case, values as sent, in order, repetitions kept."""

Lookup = Callable[[bytes], Member | None]
"""From the SHA-256 of a bearer token to the Member who holds it; None where it is unknown, expired or revoked."""

Door = Callable[[Headers, Lookup], Actor | None]
"""One way to prove who you are. None: nothing of this kind was presented; NotAuthenticated: it was, and is not good."""


def new_token(draw: Callable[[int], bytes]) -> tuple[str, bytes]:
    """Make a bearer token out of ``draw(32)``; return it, to be shown once, and its SHA-256, to be stored."""
    token = "pst_" + base64.urlsafe_b64encode(draw(TOKEN_OCTETS)).rstrip(b"=").decode("ascii")
    return token, token_digest(token.encode("ascii"))


def token_digest(token: bytes) -> bytes:
    """Return what is stored of a token: SHA-256 over its characters, 32 octets."""
    return hashlib.sha256(token).digest()


def bearer(headers: Headers, lookup: Lookup) -> Actor | None:
    """Take a bearer token (RFC 6750 2.1) from the one ``Authorization`` field there may be."""
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        return None
    if len(values) > 1:
        raise NotAuthenticated("More than one Authorization header was sent; exactly one was expected.", hint=_HINT)
    scheme, _, token = values[0].partition(b" ")
    if scheme.lower() != b"bearer":
        raise NotAuthenticated("The Authorization header names a scheme other than Bearer.", hint=_HINT)
    token = token.strip(b" ")
    member = lookup(token_digest(token)) if _TOKEN.fullmatch(token) else None
    if member is None:
        raise NotAuthenticated("The bearer token is unknown, expired or revoked.", hint="ask for a new one")
    return Actor(member, (Factor.BEARER,))


DOORS: tuple[Door, ...] = (bearer,)
"""Every way in, in the order tried. Client certificates, people and workload identities will each be a line here."""


def authenticate(headers: Headers, lookup: Lookup) -> Actor:
    """Return the Actor behind these headers; raise NotAuthenticated where no door opens."""
    for door in DOORS:
        actor = door(headers, lookup)
        if actor is not None:
            return actor
    raise NotAuthenticated("No credential was sent; this part of the service asks for one.", hint=_HINT)
