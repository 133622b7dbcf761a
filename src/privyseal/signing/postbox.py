"""How what happens is told, as the configuration says it: the key of all webhooks, and people's addresses.

Both are secrets, so both stand in files of their own that nobody but their owner can read.
"""

from __future__ import annotations

import secrets
import stat
from pathlib import Path

import msgspec

from privyseal.errors import Misused
from privyseal.signing.instance import Post
from privyseal.signing.posting import Targets
from privyseal.strongroom.durable import write_whole

LARGEST_SECRETS = 64 * 1024
"""Octets of a file of secrets that are read."""


class NoticesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[notices]``: whether and how what happens is told."""

    enabled: bool = True
    key: str = "notices.key"
    """The file, mode 0600, of which the secrets of webhooks are made; drawn if missing, the same for all nodes."""
    targets: Targets | None = None
    """Where webhooks may be: ``public`` addresses only, ``loopback`` too, ``private`` is anywhere. A rehearsal's are
    on loopback too."""
    people: str | None = None
    """A file, mode 0600, with one Apprise URL a line: mail and chat (``pip install privyseal[notify]``)."""


def post(section: NoticesSection, directory: Path, *, rehearsal: bool) -> Post | None:
    """Return how what happens is told; the key is drawn where there is none yet."""
    if not section.enabled:
        return None
    path = directory / section.key
    if not path.exists():
        write_whole(path, secrets.token_hex(32).encode("ascii"))  # whole or not at all, and readable by its owner only
    key = _kept_secret(path).strip()
    if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
        raise Misused(f"{path} is no key for webhooks.", hint="remove it to have one drawn; receivers need new secrets")
    people = _kept_secret(directory / section.people) if section.people else ""
    urls = tuple(line.strip() for line in people.splitlines() if line.strip() and not line.startswith("#"))
    targets: Targets = section.targets or ("loopback" if rehearsal else "public")
    return Post(bytes.fromhex(key), targets, urls)


def _kept_secret(path: Path) -> str:
    """Read a file that nobody but its owner can read; Misused for any other."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Misused(f"Others than its owner can read {path}.", hint=f"chmod 600 {path}")
        with path.open("rb") as file:
            return file.read(LARGEST_SECRETS).decode("utf-8")
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise Misused(f"{path} is not text.") from None
