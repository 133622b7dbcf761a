"""What is answered of renewals and of the health of keys. Light to import: the command line reads it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from privyseal.compliance.renewal import Renewal


class RenewalList(msgspec.Struct, frozen=True, kw_only=True):
    """The plans for a Subscriber's keys, the most urgent first."""

    renewals: tuple[Renewal, ...]


class KeyHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one key's health; null where nobody looked."""

    key: str
    looked: datetime | None
    """When its public key was last held against what is known of weak ones."""
    met: str
    """Where else the key was met; empty for nowhere."""
    probed: datetime | None
    answers: bool | None
    """Whether the last probe was signed and verified."""
    words: str
    """Why it was not."""


class HealthList(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a Subscriber's keys, by name."""

    keys: tuple[KeyHealth, ...]
