"""Limits on a key's use: windows of a week, two moments, and what they say in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import BadInput
from privyseal.terms.limits import MINUTES, UseLimits, Window, in_words, read_window, why_not

MONDAY = datetime(2026, 11, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("at", "held"),
    [
        (MONDAY + timedelta(hours=8) - SECOND, False),
        (MONDAY + timedelta(hours=8), True),
        (MONDAY + timedelta(hours=18) - SECOND, True),
        (MONDAY + timedelta(hours=18), False),
        (MONDAY + timedelta(days=4, hours=12), True),
        (MONDAY + timedelta(days=5, hours=12), False),
    ],
)
def test_a_window_holds_from_its_first_to_before_its_last_minute(at: datetime, held: bool) -> None:
    """The second before, the second, and the days beside."""
    limits = UseLimits(windows=(read_window("mon-fri 08:00-18:00"),))
    assert (why_not(limits, at) is None) is held


def test_not_before_and_until() -> None:
    """The first moment signs, the last one does not; nothing set limits nothing."""
    limits = UseLimits(not_before=MONDAY, until=MONDAY + timedelta(days=1))
    assert why_not(limits, MONDAY - SECOND) == "signs nothing before 2026-11-30 00:00:00 UTC"
    assert why_not(limits, MONDAY) is None
    assert why_not(limits, MONDAY + timedelta(days=1) - SECOND) is None
    assert why_not(limits, MONDAY + timedelta(days=1)) == "signs nothing since 2026-12-01 00:00:00 UTC"
    assert why_not(msgspec.UNSET, MONDAY) is None
    assert why_not(UseLimits(), MONDAY) is None


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, MINUTES), st.integers(0, MINUTES))
def test_a_window_is_read_back_as_it_is_written(first: int, last: int, begin: int, end: int) -> None:
    """And one that never holds cannot be made."""
    if first > last or begin >= end:
        with pytest.raises(ValueError, match="earlier"):
            Window(first=first, last=last, begin=begin, end=end)
        return
    window = Window(first=first, last=last, begin=begin, end=end)
    assert read_window(str(window)) == window


@pytest.mark.parametrize(
    "text",
    ["", "mon", "mon 8-9", "mon 08:00-08:00", "fri-mon 08:00-09:00", "xyz 08:00-09:00", "mon 08:61-09:00",
     "mon 00:00-25:00", "mon 00:00-24:01", "mon 08:00-09:00\n", "mon-tue-wed 08:00-09:00"],
)  # fmt: skip
def test_no_window(text: str) -> None:
    """One sentence, and what one looks like; a trailing newline of a file is taken off."""
    if text.endswith("\n"):
        assert str(read_window(text)) == text.strip()
        return
    with pytest.raises(BadInput, match="no window"):
        read_window(text)


@pytest.mark.parametrize(
    "document",
    [
        b'{"windows":[]}',
        b'{"signatures":0}',
        b'{"idle_days":0}',
        b'{"idle_days":100000}',
        b'{"until":"2026-11-30T00:00:00+01:00"}',
        b'{"not_before":"2026-11-30T00:00:00.5Z"}',
        b'{"not_before":"2026-11-30T00:00:00Z","until":"2026-11-30T00:00:00Z"}',
        b'{"until":1}',
        b'{"windows":[{"first":0,"last":7,"begin":0,"end":1}]}',
        b'{"weeks":1}',
    ],
)
def test_limits_that_cannot_be(document: bytes) -> None:
    """What is agreed to has one form, and something that it allows."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(document, type=UseLimits)


def test_every_limit_has_words() -> None:
    """People read them before they agree."""
    limits = UseLimits(
        not_before=MONDAY,
        until=MONDAY + timedelta(days=1),
        windows=(read_window("sat 10:00-12:00"),),
        signatures=7,
        idle_days=30,
    )
    assert len(in_words(limits)) == len(UseLimits.__struct_fields__)
    assert in_words(msgspec.UNSET) == []
