"""The key sets of those who issue identity tokens: pinned, or fetched by OpenID Connect discovery and kept for a while.

Nothing is fetched from anywhere that a token names: the issuers are those of the configuration. One fetch of an issuer
goes on at a time, and whoever sends tokens with made-up keys causes one a minute.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from privyseal.access.platforms import Platform
from privyseal.access.signed_tokens import LARGEST_KEY_SET, Unread, has_key, key_set
from privyseal.errors import BadInput, NotAuthenticated, Unavailable
from privyseal.signing.asking import Limits, ask

KEPT_S = 3600.0
"""Seconds for which a key set is believed; a key that an issuer takes back is refused that much later."""
REFRESH_S = 60.0
"""Seconds between two fetches for the sake of an unknown key."""
DOWN_S = 10.0
"""Seconds for which an issuer that did not answer is not asked again."""
FETCH_LIMIT_S = 10.0
"""Seconds for one document altogether, however it dribbles."""
LARGEST_DISCOVERY = 256 * 1024
"""Octets of a discovery document; real ones have 1 to 4 KiB."""

DISCOVERY = "/.well-known/openid-configuration"
"""OpenID Connect Discovery 1.0, 4."""


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """One issuer as the configuration has it."""

    platform: Platform
    issuer: str
    audience: str
    """Whom its tokens must be for."""
    pinned: tuple[dict[str, Any], ...] | None = None
    """Its keys where they are not fetched."""
    loopback: bool = False
    """Whether it may be asked by plain http on this machine; for rehearsals."""


@dataclass
class _Kept:
    """What is known of an issuer; ``guard`` owns all of it."""

    keys: Sequence[dict[str, Any]] = ()
    fetched: float | None = None
    tried: float | None = None
    failed: str = ""
    guard: threading.Lock = field(default_factory=threading.Lock)


class Issuers:
    """Every issuer that this service believes. Safe to use from several threads."""

    def __init__(
        self,
        known: Sequence[Issuer],
        *,
        fetch: Callable[[str, int, bool], bytes] | None = None,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know these issuers; nothing is fetched yet. ``tick`` tells the seconds that pass."""
        self._known = {each.issuer: each for each in known}
        self._kept = {each.issuer: _Kept() for each in known}
        self._fetch = fetch or get
        self._tick = tick

    def of(self, token: Unread) -> Issuer:
        """Return who issued a token; NotAuthenticated for anybody that this service does not know."""
        issuer = self._known.get(token.issuer)
        if issuer is None:
            raise NotAuthenticated(
                f"The identity token is from {token.issuer[:200]!r}, which this service does not know.",
                hint="its operator can add an issuer to serve.toml, [[workloads.issuers]]",
            )
        return issuer

    def named(self, issuer: str) -> Issuer | None:
        """Return the issuer of that name, if this service knows it."""
        return self._known.get(issuer)

    def keys(self, issuer: Issuer, token: Unread) -> Sequence[dict[str, Any]]:
        """Return the issuer's keys, fetched anew where they are old or lack the token's; Unavailable if it is down."""
        if issuer.pinned is not None:
            return issuer.pinned
        kept = self._kept[issuer.issuer]
        if not kept.guard.acquire(timeout=2 * FETCH_LIMIT_S):
            raise Unavailable(f"The keys of {issuer.issuer} are being fetched; try again in a moment.")
        try:
            now = self._tick()
            old = kept.fetched is None or now - kept.fetched >= KEPT_S
            unknown = not has_key(kept.keys, token)
            if old and kept.failed and kept.tried is not None and now - kept.tried < DOWN_S:
                raise Unavailable(kept.failed, hint="try again in a moment")
            if old or (unknown and (kept.tried is None or now - kept.tried >= REFRESH_S)):
                self._refresh(issuer, kept, now)
            return kept.keys
        finally:
            kept.guard.release()

    def _refresh(self, issuer: Issuer, kept: _Kept, now: float) -> None:
        kept.tried = now
        try:
            kept.keys = self._fetched(issuer)
        except (OSError, http.client.HTTPException, ValueError, BadInput) as error:
            why = getattr(error, "detail", None) or getattr(error, "strerror", None) or str(error) or "no answer"
            kept.failed = f"The keys of {issuer.issuer} could not be had: {str(why)[:200].rstrip('.')}."
            raise Unavailable(kept.failed, hint="is the identity provider up? Running this again is safe") from None
        kept.fetched, kept.failed = now, ""

    def _fetched(self, issuer: Issuer) -> Sequence[dict[str, Any]]:
        address = issuer.issuer.rstrip("/") + DISCOVERY
        try:
            document = msgspec.json.decode(self._fetch(address, LARGEST_DISCOVERY, issuer.loopback))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadInput("its discovery document is not JSON.") from None
        if not isinstance(document, dict) or document.get("issuer") != issuer.issuer:
            raise BadInput("its discovery document is another issuer's.")
        keys = document.get("jwks_uri")
        if not isinstance(keys, str):
            raise BadInput("its discovery document names no key set.")
        return key_set(self._fetch(keys, LARGEST_KEY_SET, issuer.loopback))


def get(url: str, most: int, loopback: bool) -> bytes:
    """GET a document of at most ``most`` octets; raises as :func:`asking.ask`, and BadInput for any other status."""
    status, octets = ask(url, Limits(most, FETCH_LIMIT_S), loopback=loopback)
    if status != 200:
        raise BadInput(f"it answered with HTTP status {status}.")
    return octets
