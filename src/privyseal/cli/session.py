"""Where ``privyseal login`` keeps its token: the operating system's keyring where there is one, else a file of 0600.

A token is kept for one service's url, and never given to another.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from privyseal.cli.profile import refuse_if_others_can_read
from privyseal.errors import Misused

_SERVICE = "privyseal"
LARGEST_FILE = 16 * 1024
"""Octets of the file; it holds one token."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A token, for whom and until when."""

    url: str
    subscriber: str
    token: str
    expires: datetime

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Kept({self.url!r}, {self.subscriber!r})"


def keep(kept: Kept) -> Path | None:
    """Keep a token; return the file that holds it, or None where the keyring does."""
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(Exception):  # whatever a desktop's keyring raises, a file is the way out
            keyring.set_password(_SERVICE, kept.url, msgspec.json.encode(kept).decode())
            with contextlib.suppress(FileNotFoundError):
                _file(kept.url).unlink()
            return None
    path = _file(kept.url)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(kept))
    fresh.replace(path)
    return path


def recall(url: str) -> Kept | None:
    """Return the token for a service that has not expired, or None."""
    octets: bytes | str | None = None
    path = _file(url)
    if path.exists():
        refuse_if_others_can_read(path, path.stat().st_mode, "holds a token")
        with path.open("rb") as file:
            octets = file.read(LARGEST_FILE)
    elif (keyring := _keyring()) is not None:
        with contextlib.suppress(Exception):
            octets = keyring.get_password(_SERVICE, url.rstrip("/"))
    if octets is None:
        return None
    try:
        kept = msgspec.json.decode(octets, type=Kept)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misused("What privyseal login kept cannot be read.", hint="privyseal logout, and login again") from error
    return kept if kept.url == url.rstrip("/") and kept.expires > datetime.now(UTC) else None


def forget(url: str) -> None:
    """Forget the token for a service."""
    with contextlib.suppress(FileNotFoundError):
        _file(url).unlink()
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(Exception):
            keyring.delete_password(_SERVICE, url.rstrip("/"))


def _file(url: str) -> Path:
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.environ.get("HOME") or "/nonexistent", ".local/state")
    name = hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
    return Path(base) / "privyseal" / f"session-{name}.json"


def _keyring() -> Any:
    """Return the keyring's library where it is installed and has a real keyring behind it."""
    try:
        import keyring  # an extra: `pip install privyseal[keyring]`
        from keyring.backends import fail
    except ImportError:
        return None
    with contextlib.suppress(Exception):
        return None if isinstance(keyring.get_keyring(), fail.Keyring) else keyring
    return None
