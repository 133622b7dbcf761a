"""What a cloud's own audit log says of keys of ours, beside what the signer itself has counted.

The signer counts each signature before it is asked for, and once more when it was made and verified. What the cloud
counted has to lie between the two: more were made by somebody else, fewer are missing from its log.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Difference = Literal["", "more", "fewer"]
"""How the cloud's count differs from ours: more signatures than we asked for, or fewer than we had of it."""


class KeyUses(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key's signatures in one period, counted on both sides."""

    subscriber: str
    name: str
    key_id: str
    counted: int
    """By the cloud's audit log, whoever asked."""
    at_least: int
    """Made and verified by the signer, well within the period."""
    at_most: int
    """Asked for by the signer, in the period and a little around it, for clocks differ."""

    @property
    def difference(self) -> Difference:
        """Say how the counts differ; nothing where they agree."""
        if self.counted > self.at_most:
            return "more"
        return "fewer" if self.counted < self.at_least else ""


class CloudUses(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One home of keys in a cloud, in one period: from ``since`` on and before ``until``."""

    store: str
    home: str
    since: datetime
    until: datetime
    source: str = ""
    """Which audit log it is; empty where it could not be asked."""
    on: bool = False
    gaps: tuple[str, ...] = ()
    """What is left out of it, a sentence each."""
    trouble: str = ""
    """Why it could not be asked, one sentence."""
    keys: tuple[KeyUses, ...] = ()
