"""Periods as the Requirements count them: whole days of 86,400 seconds, and months of the calendar."""

from __future__ import annotations

from calendar import monthrange
from datetime import MAXYEAR, UTC, datetime, timedelta


def months_after(moment: datetime, months: int) -> datetime:
    """Return the same day and time ``months`` later, or the last day of a month that has no such day.

    No CSBR clause says how a month counts; the calendar's reading is what zlint and every date library use. A date
    past the last year that can be written (9999, RFC 5280 4.1.2.5) becomes that year's end.
    """
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    if year > MAXYEAR:
        return datetime.max.replace(tzinfo=UTC)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


def in_words(span: timedelta) -> str:
    """Return a period for a sentence: days where it is whole ones, else with hours, minutes and seconds."""
    seconds = span.days * 86_400 + span.seconds
    sign = "-" if seconds < 0 else ""
    days, rest = divmod(abs(seconds), 86_400)
    parts = [f"{days} d"] if days or not rest else []
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        parts += [f"{count} {unit}"] if count else []
    return sign + " ".join(parts)
