"""Limits on when and how often a key is used, kept in its charter and judged by the signer alone (CSBR 6.2.8).

What is not set does not limit. Times of the week are UTC, so that no change of a local clock opens or closes a window.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from privyseal.errors import BadInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Days of the week, as Python's ``weekday()`` counts them."""
MINUTES = 24 * 60
"""Of a day."""
MOST_WINDOWS = 28
"""Windows of a week: four a day."""
MOST_SIGNATURES = 100_000_000
"""Signatures that a limit can name; a busy service makes as many in a year."""
LONGEST_IDLE = 1100
"""Days; the longest validity of a certificate that any key of this service was given, 39 months, has as many."""

_WINDOW = re.compile(r"(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? (?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)\Z")

Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its zone."""


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some hours of some days of each week."""

    first: Annotated[int, Meta(ge=0, le=6)]
    """0 is Monday."""
    last: Annotated[int, Meta(ge=0, le=6)]
    begin: Annotated[int, Meta(ge=0, le=MINUTES)]
    """Minutes since midnight UTC; the window holds from then on."""
    end: Annotated[int, Meta(ge=0, le=MINUTES)]
    """It ends before this minute."""

    def __post_init__(self) -> None:
        """Refuse a window that never holds; msgspec reports it as a ValidationError."""
        if self.first > self.last or self.begin >= self.end:
            raise ValueError("a window goes from an earlier day and minute to a later one, within one week")

    def holds(self, now: datetime) -> bool:
        """Tell whether ``now``, UTC, is in it."""
        minute = now.hour * 60 + now.minute
        return self.first <= now.weekday() <= self.last and self.begin <= minute < self.end

    def __str__(self) -> str:
        """Return it as :func:`read_window` reads it."""
        days = DAYS[self.first] if self.first == self.last else f"{DAYS[self.first]}-{DAYS[self.last]}"
        return f"{days} {_clock(self.begin)}-{_clock(self.end)}"


class UseLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When, how often and until when a key signs."""

    not_before: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    """From this moment on it signs nothing."""
    windows: Annotated[tuple[Window, ...], Meta(min_length=1, max_length=MOST_WINDOWS)] | UnsetType = UNSET
    """It signs within these only."""
    signatures: Annotated[int, Meta(ge=1, le=MOST_SIGNATURES)] | UnsetType = UNSET
    """So many signatures are made under these limits, and not one more."""
    idle_days: Annotated[int, Meta(ge=1, le=LONGEST_IDLE)] | UnsetType = UNSET
    """After so many days without a signature it signs nothing until it is unfrozen or its limits are amended."""

    def __post_init__(self) -> None:
        """Refuse times that could be written in more than one way, or between which there is nothing."""
        for each in (self.not_before, self.until):
            if each is not UNSET and (each.utcoffset() != timedelta(0) or each.microsecond):
                raise ValueError("not_before and until must be UTC (Z) and whole seconds")
        if self.not_before is not UNSET and self.until is not UNSET and self.not_before >= self.until:
            raise ValueError("not_before must be earlier than until")

    @property
    def counted(self) -> bool:
        """Tell whether the signer has to count, or to remember the last use."""
        return self.signatures is not UNSET or self.idle_days is not UNSET


def why_not(limits: UseLimits | UnsetType, now: datetime) -> str | None:
    """Return why a key signs nothing at a moment, as the end of a sentence; None where time is no reason."""
    if limits is UNSET:
        return None
    if limits.not_before is not UNSET and now < limits.not_before:
        return f"signs nothing before {limits.not_before:%Y-%m-%d %H:%M:%S} UTC"
    if limits.until is not UNSET and now >= limits.until:
        return f"signs nothing since {limits.until:%Y-%m-%d %H:%M:%S} UTC"
    if limits.windows is not UNSET and not any(each.holds(now) for each in limits.windows):
        return f"signs within {', '.join(map(str, limits.windows))} (UTC) only"
    return None


def in_words(limits: UseLimits | UnsetType) -> list[str]:
    """Return each limit in words; nothing where there is none."""
    if limits is UNSET:
        return []
    words = []
    if limits.not_before is not UNSET:
        words.append(f"not before {limits.not_before:%Y-%m-%d %H:%M:%S} UTC")
    if limits.until is not UNSET:
        words.append(f"until {limits.until:%Y-%m-%d %H:%M:%S} UTC")
    if limits.windows is not UNSET:
        words.append(f"within {', '.join(map(str, limits.windows))} (UTC)")
    if limits.signatures is not UNSET:
        words.append(f"{limits.signatures} signatures")
    if limits.idle_days is not UNSET:
        words.append(f"stops after {limits.idle_days} days without a signature")
    return words


def read_window(text: str) -> Window:
    """Read ``mon-fri 08:00-18:00`` or ``sat 10:00-12:00``; BadInput for anything else."""
    found = _WINDOW.match(text.strip().lower())
    try:
        if found is None:
            raise ValueError
        days = [DAYS.index(found[name] or found["first"]) for name in ("first", "last")]
        return Window(first=days[0], last=days[1], begin=_minute(found["begin"]), end=_minute(found["end"]))
    except ValueError:
        raise BadInput(
            f"{text[:60]!r} is no window of a week.", hint="such as 'mon-fri 08:00-18:00', UTC; 24:00 ends a day"
        ) from None


def _minute(clock: str) -> int:
    hours, minutes = int(clock[:2]), int(clock[3:])
    if minutes > 59 or hours * 60 + minutes > MINUTES:
        raise ValueError
    return hours * 60 + minutes


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
