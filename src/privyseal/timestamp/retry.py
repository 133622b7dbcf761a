"""When a server that is busy wants to be asked again: Retry-After (RFC 9110 10.2.3), in seconds or as a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 1e6
"""Seconds that are told, eleven days: whoever waits for it has a bound of its own, and this is only a number."""

MAX_DATE = 64
"""Characters of a date that are read; the longest of the three forms of RFC 9110 5.6.7 has 33."""

_SECONDS = re.compile(r"\s*(-?)([0-9]+)\s*", re.ASCII)


def seconds(retry_after: str | None, date: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, from 0 to ``LONGEST_S``; None where nothing is said, or nothing that can be read.

    A date is held against ``date``, the answer's own (RFC 9110 6.6.1), because both are by the server's clock; only
    where that is missing against ``now``, an aware moment by ours. A date that has passed is no wait.
    """
    if retry_after is None:
        return None
    if (number := _SECONDS.fullmatch(retry_after)) is not None:
        sign, digits = number.groups()
        return 0.0 if sign else min(float(digits[:400]), LONGEST_S)  # a float has 308 digits, and then is infinite
    again = _moment(retry_after)
    if again is None:
        return None
    return min(max((again - (_moment(date) or now)).total_seconds(), 0.0), LONGEST_S)


def _moment(text: str | None) -> datetime | None:
    """Read a date in any of the three forms that RFC 9110 5.6.7 has servers send; None where it is none."""
    if text is None or len(text) > MAX_DATE:
        return None
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
