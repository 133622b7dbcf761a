"""What it takes to let people in: our own address, the key that seals, the identity providers, and how they are asked.

Providers are asked with a time limit and a size limit, without redirects; what they publish is kept for a while. A
provider that is down fails its own sign-ins, in one sentence, and nobody else's.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from privyseal.access import oidc, signed_tokens
from privyseal.access.sealed import Sealer
from privyseal.errors import BadInput, NotAuthenticated, NotFound, NotPermitted, Unavailable
from privyseal.signing.asking import Limits, ask

TIMEOUT_S = 5.0
"""Seconds for each answer of a provider; a person waits for it."""
DISCOVERY_KEPT_S = 3600.0
"""Seconds for which a discovery document is believed."""
KEYS_KEPT_S = 600.0
"""Seconds for which a key set is believed; a token under a key that is not in it asks anew, once in a while."""
KEYS_AGAIN_S = 30.0
"""Seconds before a key set is asked for anew because of an unknown key, so that bad tokens do not hammer a provider."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One identity provider, pinned by the operator."""

    name: str
    issuer: str
    client_id: str
    client_secret: str = ""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Provider({self.name!r}, {self.issuer!r})"


Fetch = Callable[[str, Mapping[str, str] | None, tuple[str, str] | None], tuple[int, bytes]]
"""GET a URL, or POST a form with HTTP Basic; return status and body."""


def fetch(url: str, form: Mapping[str, str] | None, basic: tuple[str, str] | None) -> tuple[int, bytes]:
    """Ask a provider; Unavailable where it does not answer in time or answers with too much."""
    oidc.require_safe(url)
    try:
        return ask(url, Limits(oidc.LARGEST_DOCUMENT, TIMEOUT_S), loopback=True, form=form, basic=basic)
    except BadInput as error:
        raise Unavailable(
            f"The identity provider's answer at {url[:200]} is larger than {oidc.LARGEST_DOCUMENT} octets."
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(
            f"The identity provider does not answer at {url[:200]} ({type(error).__name__}).",
            hint="try again in a moment, or sign in another way",
        ) from error


@dataclass
class _Kept:
    """What a provider published, and until when it is believed."""

    endpoints: oidc.Endpoints | None = None
    endpoints_until: float = 0.0
    keys: list[dict[str, Any]] | None = None
    keys_at: float = field(default=-KEYS_KEPT_S)


class Gatehouse:
    """What the walks of ``people.py`` and ``signin.py`` ask for; safe to use from several threads."""

    def __init__(
        self, sealer: Sealer, origin: str | None = None, providers: Sequence[Provider] = (), ask: Fetch = fetch
    ) -> None:
        """Answer at ``origin``, or on loopback alone where it is None."""
        self.sealer = sealer
        self.origin = origin
        self.providers = {each.name: each for each in providers}
        self._ask = ask
        self._guard = threading.Lock()
        self._kept = {each.name: _Kept() for each in providers}

    def origin_of(self, scheme: str, host: str) -> str:
        """Return our own origin for a request that came to ``host``; NotPermitted where it came to another one."""
        if self.origin is not None:
            if host != urlsplit(self.origin).netloc:
                raise NotPermitted(f"The pages of this service are at {self.origin}/console.", hint="open that address")
            return self.origin
        if (urlsplit(f"//{host}").hostname or "") not in oidc.LOOPBACK:
            raise NotPermitted(
                "The pages answer only on this machine until they are told their address.",
                hint='set origin = "https://..." in [console] of serve.toml',
            )
        return f"{scheme}://{host}"

    def provider(self, name: str) -> Provider:
        """Return a configured provider; NotFound for any other."""
        if name not in self.providers:
            raise NotFound("There is no identity provider of that name.")
        return self.providers[name]

    def endpoints(self, provider: Provider) -> oidc.Endpoints:
        """Return where a provider answers."""
        kept = self._kept[provider.name]
        with self._guard:
            if kept.endpoints is not None and time.monotonic() < kept.endpoints_until:
                return kept.endpoints
        url = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = oidc.discovered(provider.issuer, self._published(url))
        with self._guard:
            kept.endpoints, kept.endpoints_until = found, time.monotonic() + DISCOVERY_KEPT_S
        return found

    def id_token(self, provider: Provider, code: str, verifier: str, redirect: str) -> str:
        """Exchange a code for an ID token (Core 3.1.3.1); NotAuthenticated where the provider says no."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        basic = (provider.client_id, provider.client_secret) if provider.client_secret else None
        if basic is None:
            form["client_id"] = provider.client_id
        status, body = self._ask(self.endpoints(provider).token_endpoint, form, basic)
        try:
            answered = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            answered = {}
        token = answered.get("id_token")
        if status >= 500:
            raise Unavailable(f"The identity provider {provider.name} is out of order (HTTP {status}).")
        if status != 200 or not isinstance(token, str):
            why = str(answered.get("error", f"HTTP {status}, no ID token"))[:80]
            raise NotAuthenticated(
                f"The identity provider {provider.name} refused the code: {why!r}.", hint="sign in again"
            )
        return token

    def identity(self, provider: Provider, token: str, nonce: str, now: Any) -> oidc.Identity:
        """Verify an ID token; under a key that is not known, the key set is asked for anew."""
        unread = signed_tokens.read(token.encode("utf-8", "replace"))
        keys = self._keys(provider, fresh=False)
        if "kid" not in unread.header or not signed_tokens.has_key(keys, unread):
            keys = self._keys(provider, fresh=True)
        return oidc.identity(unread, keys, issuer=provider.issuer, client_id=provider.client_id, nonce=nonce, now=now)

    def _keys(self, provider: Provider, *, fresh: bool) -> list[dict[str, Any]]:
        kept = self._kept[provider.name]
        with self._guard:
            age = time.monotonic() - kept.keys_at
            if kept.keys is not None and age < (KEYS_AGAIN_S if fresh else KEYS_KEPT_S):
                return kept.keys
        found = oidc.key_set(self._published(self.endpoints(provider).jwks_uri))
        with self._guard:
            kept.keys, kept.keys_at = found, time.monotonic()
        return found

    def _published(self, url: str) -> bytes:
        status, body = self._ask(url, None, None)
        if status != 200:
            raise Unavailable(f"The identity provider answered with HTTP {status} at {url[:200]}.")
        return body
