"""What ``privyseal doctor`` says of one thing that it looked at."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["good", "weak", "bad"]
"""How something was found: ``weak`` works, but is not for production."""


class Diagnosis(msgspec.Struct, frozen=True):
    """One thing looked at: ``good``, ``weak`` (works, but not for production) or ``bad``, and a sentence."""

    what: str
    state: State
    text: str
