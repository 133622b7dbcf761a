"""What a scanner is: it is asked about a file by its path, and either finds nothing or raises.

There is no answer "I could not look": a scanner that is away, too slow, out of its depth or incomprehensible raises,
and nothing is signed. So whoever forgets to look at an answer refuses.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from privyseal.terms.scans import Scan

HEALTH_SECONDS = 2.0
"""Seconds in which a scanner says how it is; whoever asks every part of the service waits 5."""

SLOWEST = 8 << 20
"""Octets a second below which a scanner counts as stuck, beyond the seconds that any file may take."""

_STRANGE = re.compile(r"[^\x20-\x7e]+")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a scanner says of itself; ``ready`` is False where it would refuse every file, and ``why`` says so."""

    engine: str
    database: str | None = None
    database_time: datetime | None = None
    ready: bool = True
    why: str = ""


class Scanner(Protocol):
    """One configured scanner. Safe to use from several threads."""

    name: str

    def standing(self, now: datetime) -> Standing:
        """Say how it is, within HEALTH_SECONDS; Unavailable where it does not answer."""
        ...

    def scan(self, path: Path, now: datetime) -> Scan:
        """Look at a file; Infected, with the scanner's name for what it found.

        TooLarge where it would not look at all of it, Unavailable where it does not answer, takes too long or answers
        what cannot be understood.
        """
        ...


def words(text: str, otherwise: str) -> str:
    """Return the first line of what a program said as at most 200 printable ASCII characters, or ``otherwise``."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return _STRANGE.sub("?", line).strip()[:200].strip() or otherwise


def seconds_for(size: int, least: float) -> float:
    """Return how long a scan of ``size`` octets may take."""
    return least + size / SLOWEST
