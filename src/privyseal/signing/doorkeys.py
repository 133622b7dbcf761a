"""What ``serve.toml`` says of how people sign in, and the secret files that it names."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from privyseal.access.oidc import require_safe
from privyseal.access.sealed import KEY_OCTETS, Sealer
from privyseal.errors import Misused, Unavailable
from privyseal.signing.gatehouse import Gatehouse, Provider

LARGEST_SECRET = 4096
"""Octets of a file with one secret."""


class ConsoleSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[console]``: where people sign in."""

    origin: Annotated[str, Meta(pattern=r"^(https://[a-z0-9.-]+(:[0-9]{1,5})?)?$")] = ""
    """The address of the pages, such as ``https://seal.example.org``; empty answers on this machine alone."""
    key: str = "people.key"
    """The file with the key that seals; made where it is missing. Several ``serve`` need the same."""


class OidcSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[oidc]]``: an identity provider at which people may sign in."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}$")]
    issuer: Annotated[str, Meta(min_length=8, max_length=255)]
    """Its own name, to the letter: https, or http on loopback."""
    client_id: Annotated[str, Meta(min_length=1, max_length=255)]
    client_secret_file: str | None = None
    """The file with the client's secret, relative to this one; without it we are a public client, with PKCE."""


def gatehouse(console: ConsoleSection, oidc: Sequence[OidcSection], directory: Path) -> Gatehouse:
    """Return what it takes to let people in; Misused where a secret's file is missing, or others can read it."""
    providers = []
    for each in oidc:
        secret = "" if each.client_secret_file is None else read_secret(directory / each.client_secret_file).strip()
        try:
            require_safe(each.issuer)
        except Unavailable as error:
            raise Misused(f"[[oidc]] {each.name}: {error.detail}") from error
        providers.append(Provider(name=each.name, issuer=each.issuer, client_id=each.client_id, client_secret=secret))
    return Gatehouse(sealer(directory / console.key), console.origin or None, providers)


def sealer(path: Path) -> Sealer:
    """Read the key that seals, 32 octets in hex, or make it where there is none."""
    if not path.exists():
        _make(path)
    try:
        return Sealer(bytes.fromhex(read_secret(path)), secrets.token_bytes)
    except ValueError as error:
        raise Misused(
            f"{path} is not a key of {KEY_OCTETS} octets in hex.", hint="put it back from a backup"
        ) from error


def read_secret(path: Path) -> str:
    """Read a file that nobody else may read; Misused where it cannot be read, or others can."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Misused(f"Others can read {path}.", hint=f"chmod 600 {path}")
            return file.read(LARGEST_SECRET).decode("ascii")
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Misused(f"{path} is not text.") from error


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; whoever was quicker has made it."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    made = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(made, "wb") as file:
            file.write(secrets.token_hex(KEY_OCTETS).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
