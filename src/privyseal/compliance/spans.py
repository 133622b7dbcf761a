"""Months, years and ends of days, as the clauses count them; all in UTC, which knows no summer time.

A span of months ends on the day of the same number. Where that month is too short, it depends on what the span is for:
a deadline falls on the month's last day, and what has to be kept "for at least" so long is kept one day more, to the
first of the next. Whoever errs that way errs on the safe side of both. So a proof of 31 January serves for 13 months
until 28 February, and a record of 29 February is kept for two years until 1 March.

A day counts to its last second, ``23:59:59``: validity includes both its ends (CSBR 1.6.1), and fractions of a second
are cut off before a moment is compared.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

EARLIEST, LATEST = 2000, 2999
"""The years in which facts may lie: before, there were no code signing certificates, and after nobody plans."""


def months_later(day: date, months: int) -> date:
    """Return the deadline ``months`` after ``day``: the same day of the month, or its last where it is too short."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def kept_for_months(day: date, months: int) -> date:
    """Return the day that ends a keeping of ``months`` from ``day``: the next month's first where one is too short."""
    until = months_later(day, months)
    return until if until.day == day.day else until + timedelta(days=1)


def last_day_of_year_from(first: date) -> date:
    """Return the last day of the year that begins with ``first``, both included (CSBR 8.1: at most one year)."""
    return kept_for_months(first, 12) - timedelta(days=1)


def beginning(day: date) -> datetime:
    """Return the first second of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def end(day: date) -> datetime:
    """Return the last second of a day, which still belongs to it."""
    return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)


def after(moment: datetime, limit: datetime) -> bool:
    """Tell whether ``moment`` is a whole second or more behind ``limit``."""
    return moment - limit >= timedelta(seconds=1)


def in_words(span: timedelta) -> str:
    """Say how long a span is, in the two largest units that it has."""
    seconds = int(abs(span).total_seconds())
    days, hours = divmod(seconds // 3600, 24)
    minutes = seconds // 60 % 60
    if days >= 2:
        return f"{days} days" if not hours or days >= 14 else f"{days} days {hours} h"
    if seconds >= 3600:
        return f"{days * 24 + hours} h {minutes} min" if minutes else f"{days * 24 + hours} h"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
