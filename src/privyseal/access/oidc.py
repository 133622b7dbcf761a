"""Sign-in at an identity provider (OpenID Connect Core 1.0): what is asked, and what makes an ID token believed.

The issuer is pinned by the operator; everything else is read from what it publishes (OpenID Connect Discovery 1.0).
Nothing here connects to anybody. A token counts only if it is signed with an asymmetric algorithm by a key of the
issuer's set: ``none`` and the HMACs, for which a public key would be the secret (RFC 8725 2.1, 3.1), are not in the
list at all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from privyseal.access import signed_tokens
from privyseal.access.signed_tokens import Unread
from privyseal.errors import BadInput, NotAuthenticated, Unavailable

ALGORITHMS = tuple(signed_tokens.ALGORITHMS)
"""Signature algorithms of an ID token; every one needs the issuer's private key."""
LARGEST_DOCUMENT = 1024 * 1024
"""Octets of a discovery document or key set; real ones have 2 to 20 KiB."""
SKEW = timedelta(minutes=2)
"""How far our clock and the provider's may be apart."""
OLDEST = timedelta(minutes=10)
"""How long ago an ID token may have been made when its code is exchanged at once."""
LONGEST_SUBJECT = 255
"""Characters of ``sub`` (Core 2)."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that may speak plain http, for nobody listens in between."""


class Endpoints(msgspec.Struct, frozen=True):
    """Where a provider answers, as its discovery document says."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What we keep of a sign-in while its person is away at the provider."""

    provider: str
    state: str
    nonce: str
    verifier: str
    next: str = ""
    invitation: str = ""
    """With which invitation the identity is to be linked; empty for a sign-in."""


class Identity(msgspec.Struct, frozen=True):
    """Who came back, in the provider's words."""

    issuer: str
    subject: str
    said: str
    """``amr`` and ``acr``, the provider's word of how it knew them."""


def discovered(issuer: str, octets: bytes) -> Endpoints:
    """Read the discovery document of the pinned ``issuer``; Unavailable where it is another's, or unusable."""
    try:
        found = msgspec.json.decode(octets, type=Endpoints)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Unavailable(f"The provider {issuer} publishes no discovery document that we understand.") from error
    if found.issuer != issuer:
        raise Unavailable(
            f"The provider at {issuer} calls itself {found.issuer[:200]!r}.",
            hint="[[oidc]] issuer must be its own name, to the letter",
        )
    for url in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
        require_safe(url)
    return found


def require_safe(url: str) -> None:
    """Raise Unavailable unless a URL is https, or of loopback."""
    parts = urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK)):
        raise Unavailable(f"{url[:200]!r} is not an https address, so a provider there cannot be trusted.")


def challenge_of(verifier: str) -> str:
    """Return the S256 code challenge of a verifier (RFC 7636 4.2)."""
    return _base64(hashlib.sha256(verifier.encode("ascii")).digest())


def authorization_url(endpoints: Endpoints, asked: Asked, client_id: str, redirect: str) -> str:
    """Return where the browser is sent (Core 3.1.2.1), with PKCE."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect,
        "scope": "openid",
        "state": asked.state,
        "nonce": asked.nonce,
        "code_challenge": challenge_of(asked.verifier),
        "code_challenge_method": "S256",
    }
    base = endpoints.authorization_endpoint
    return base + ("&" if urlsplit(base).query else "?") + urlencode(query)


def require_state(asked: Asked, state: str, issuer: str | None, pinned: str) -> None:
    """Raise NotAuthenticated where who comes back is not who was sent (Core 3.1.2.5; RFC 9207 for ``iss``)."""
    if not state or not hmac.compare_digest(asked.state.encode(), state.encode("utf-8", "replace")):
        raise _refused("the state is not the one that was sent")
    if issuer is not None and issuer != pinned:
        raise _refused(f"the answer is from {issuer[:200]!r}, and {pinned} was asked")


def key_set(octets: bytes) -> list[dict[str, Any]]:
    """Read a provider's JSON Web Key Set; Unavailable where it is none, too large, or has no key for signatures."""
    try:
        keys = signed_tokens.key_set(octets)
    except BadInput as error:
        raise Unavailable(f"The provider cannot be asked for its keys: {error.detail}") from error
    if not any(signed_tokens.is_complete(key) for key in keys):
        raise Unavailable("The provider's key set has no key that verifies signatures.")
    return keys


def identity(
    token: Unread, keys: Sequence[Mapping[str, Any]], *, issuer: str, client_id: str, nonce: str, now: datetime
) -> Identity:
    """Verify an ID token (Core 3.1.3.7) and return whom it names; NotAuthenticated with what is wrong with it."""
    signed_tokens.check_signature(token, keys, ALGORITHMS, sole=True)
    claims = token.claims
    if claims.get("iss") != issuer:
        raise _refused(f"it is from {str(claims.get('iss'))[:200]!r}, and {issuer} was expected")
    _require_audience(claims, client_id)
    _require_time(claims, now)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise _refused("its nonce is not the one that was sent")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise _refused("its subject is missing, too long, or not printable")
    return Identity(issuer, subject, _said(claims))


def _require_audience(claims: dict[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or client_id not in named:
        raise _refused(f"it is for {str(audience)[:200]!r}, and {client_id!r} was expected")
    authorized = claims.get("azp")
    if (len(named) > 1 or authorized is not None) and authorized != client_id:
        raise _refused("it was made for another party (azp)")


def _require_time(claims: dict[str, Any], now: datetime) -> None:
    expires, made, before = claims.get("exp"), claims.get("iat"), claims.get("nbf")
    for each in (expires, made) if before is None else (expires, made, before):
        if isinstance(each, bool) or not isinstance(each, int | float) or not 0 <= each < 2**53:
            raise _refused("its times are missing or no times")
    at, skew = now.timestamp(), SKEW.total_seconds()
    if at - skew >= float(expires or 0):
        raise _refused("it has expired; are the clocks right?")
    if float(made or 0) > at + skew or float(before or 0) > at + skew:
        raise _refused("it is from the future; are the clocks right?")
    if float(made or 0) < at - skew - OLDEST.total_seconds():
        raise _refused("it was made long ago")


def _said(claims: dict[str, Any]) -> str:
    methods, level = claims.get("amr"), claims.get("acr")
    words = [str(each)[:40] for each in methods][:10] if isinstance(methods, list) else []
    parts = [f"amr={','.join(words)}"] if words else []
    parts += [f"acr={level[:100]}"] if isinstance(level, str) else []
    return "".join(c if c.isprintable() else "?" for c in " ".join(parts))


def _refused(why: str) -> NotAuthenticated:
    return NotAuthenticated(f"The provider's ID token is refused: {why}.", hint="sign in again")


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
