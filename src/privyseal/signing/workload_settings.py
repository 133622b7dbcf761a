"""``[workloads]`` of ``serve.toml``: whose identity tokens this service believes, and where their keys come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from privyseal.access.platforms import PLATFORMS, Platform
from privyseal.access.signed_tokens import LARGEST_KEY_SET, key_set
from privyseal.errors import BadInput, Misused
from privyseal.signing.issuers import Issuer, Issuers


class IssuerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[workloads.issuers]]``: a platform's installation of one's own, or its keys in a file."""

    platform: str
    issuer: Annotated[str, Meta(min_length=1, max_length=255)]
    """The tokens' ``iss``, to the letter; of SPIFFE the trust domain, ``spiffe://example.org``."""
    keys: str | None = None
    """A file with the key set (JWKS), relative to this file; without it the keys are fetched by discovery."""
    audience: str = ""
    """Whom its tokens are for, where that is not the service's own audience."""
    plain_http_on_loopback: bool = False
    """Whether it may be asked without TLS on this machine; for rehearsals."""


class WorkloadsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[workloads]``: whose runs can prove who they are by identity tokens (``POST /v1/token``)."""

    audience: Annotated[str, Meta(max_length=255)] = ""
    """Whom their tokens must be for: the service's public URL. Without it no token is exchanged."""
    platforms: tuple[str, ...] = tuple(each.name for each in PLATFORMS.values() if each.issuer)
    """The platforms with one issuer for everybody that are believed."""
    issuers: tuple[IssuerSection, ...] = ()

    def known(self, directory: Path) -> Issuers | None:
        """Return whom the service believes; Misused for a platform that does not exist or a file that is no key set."""
        if not self.audience:
            return None
        found = [
            Issuer(platform=each, issuer=each.issuer, audience=each.audience or self.audience)
            for each in map(_platform, self.platforms)
            if each.issuer
        ]
        for one in self.issuers:
            platform = _platform(one.platform)
            pinned = None if one.keys is None else _pinned(directory / one.keys)
            if pinned is None and not one.issuer.startswith(("https://", "http://")):
                raise Misused(f"The keys of {one.issuer} cannot be fetched.", hint="name a file with them: keys")
            found.append(
                Issuer(
                    platform=platform,
                    issuer=one.issuer,
                    audience=one.audience or platform.audience or self.audience,
                    pinned=pinned,
                    loopback=one.plain_http_on_loopback,
                )
            )
        return Issuers(found)


def _platform(name: str) -> Platform:
    if name not in PLATFORMS:
        raise Misused(f"[workloads] names the platform {name!r}.", hint=f"one of {', '.join(PLATFORMS)}")
    return PLATFORMS[name]


def _pinned(path: Path) -> tuple[dict[str, Any], ...]:
    try:
        with path.open("rb") as file:
            return tuple(key_set(file.read(LARGEST_KEY_SET + 1)))
    except OSError as error:
        raise Misused(f"The key set {path} cannot be read: {error.strerror}.") from error
    except BadInput as error:
        raise Misused(f"{path}: {error.detail}") from error
