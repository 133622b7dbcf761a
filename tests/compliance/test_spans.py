"""Months and days are counted as the clauses do, at every end of a month."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.compliance import spans

DAYS = st.dates(date(spans.EARLIEST, 1, 1), date(spans.LATEST, 12, 31))


@pytest.mark.parametrize(
    ("day", "months", "deadline", "kept"),
    [
        ("2025-01-31", 13, "2026-02-28", "2026-03-01"),
        ("2023-01-31", 13, "2024-02-29", "2024-03-01"),
        ("2024-02-29", 13, "2025-03-29", "2025-03-29"),
        ("2024-02-29", 12, "2025-02-28", "2025-03-01"),
        ("2024-02-29", 24, "2026-02-28", "2026-03-01"),
        ("2024-02-29", 48, "2028-02-29", "2028-02-29"),
        ("2025-11-30", 3, "2026-02-28", "2026-03-01"),
        ("2025-12-31", 3, "2026-03-31", "2026-03-31"),
        ("2025-12-01", 13, "2027-01-01", "2027-01-01"),
        ("2025-10-31", 13, "2026-11-30", "2026-12-01"),
        ("2025-02-28", 3, "2025-05-28", "2025-05-28"),
        ("2099-12-31", 2, "2100-02-28", "2100-03-01"),
    ],
)
def test_the_ends_of_months(day: str, months: int, deadline: str, kept: str) -> None:
    """A deadline falls on the last day of a short month, and a keeping ends on the first of the next."""
    assert spans.months_later(date.fromisoformat(day), months) == date.fromisoformat(deadline)
    assert spans.kept_for_months(date.fromisoformat(day), months) == date.fromisoformat(kept)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2025-01-01", "2025-12-31"),
        ("2024-01-01", "2024-12-31"),
        ("2024-02-29", "2025-02-28"),
        ("2023-03-01", "2024-02-29"),
        ("2024-03-01", "2025-02-28"),
        ("2024-07-01", "2025-06-30"),
    ],
)
def test_a_year_includes_its_first_day_and_not_its_anniversary(first: str, last: str) -> None:
    """The last day of a year is the day before the anniversary; 29 February has its own on 1 March."""
    assert spans.last_day_of_year_from(date.fromisoformat(first)) == date.fromisoformat(last)


@given(DAYS, st.integers(0, 60))
def test_a_deadline_is_never_after_a_keeping_and_neither_strays(day: date, months: int) -> None:
    """Both lie in the month that is meant or on the first of the next, at most a day apart."""
    deadline, kept = spans.months_later(day, months), spans.kept_for_months(day, months)
    assert deadline <= kept <= deadline + timedelta(days=1)
    assert (deadline.year * 12 + deadline.month) - (day.year * 12 + day.month) == months
    assert (deadline.day == day.day) == (deadline == kept)


@given(DAYS, DAYS, st.integers(0, 60))
def test_who_begins_later_is_never_due_earlier(one: date, other: date, months: int) -> None:
    """The count keeps the order of days."""
    first, second = sorted((one, other))
    assert spans.months_later(first, months) <= spans.months_later(second, months)
    assert spans.kept_for_months(first, months) <= spans.kept_for_months(second, months)


def test_a_day_counts_to_its_last_second() -> None:
    """The last second belongs to it, also its fractions, and the next does not."""
    end = spans.end(date(2026, 2, 28))
    assert not spans.after(datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC), end)
    assert spans.after(datetime(2026, 3, 1, tzinfo=UTC), end)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=1), "1 min 0 s"),
        (timedelta(hours=24), "24 h"),
        (timedelta(hours=47, minutes=5), "47 h 5 min"),
        (timedelta(days=3, hours=4), "3 days 4 h"),
        (timedelta(days=-30), "30 days"),
    ],
)
def test_a_span_in_words(span: timedelta, words: str) -> None:
    """Two units at most, and no sign."""
    assert spans.in_words(span) == words
