"""What ``privyseal doctor`` says of one thing that it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

State = Literal["good", "weak", "bad"]
"""How something was found: ``weak`` works, but is not for production."""

MOST_NAMED = 5
"""Names in one sentence; the others are counted."""


class Diagnosis(msgspec.Struct, frozen=True):
    """One thing looked at: ``good``, ``weak`` (works, but not for production) or ``bad``, and a sentence."""

    what: str
    state: State
    text: str


def some(names: Sequence[str]) -> str:
    """Return names as a sentence has them, MOST_NAMED at most, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
