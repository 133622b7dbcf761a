"""Freezes: what was stopped at once, by whom, and how far the signer has followed."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

What: TypeAlias = Literal["key", "policy", "subscriber"]
"""What can be frozen: a Key Pair, a policy, or all of a Subscriber."""


Follows: TypeAlias = Literal["none", "freeze", "frozen", "thaw", "thawed", "refused"]
"""How far the signer has followed, as the table says."""


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that was frozen."""

    id: str
    subscriber: str
    kind: What
    name: str
    reason: str
    frozen_by: str
    """The member's id."""
    at: datetime
    signer: Follows = "none"
    thawed: datetime | None = None
