"""Retry-After as RFC 9110 has it: seconds, a date in three forms, and everything else."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from privyseal.timestamp.retry import LONGEST_S, seconds

NOW = datetime(1994, 11, 6, 8, 49, 0, tzinfo=UTC)
FORMS = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994")
"""One moment in the three forms, as RFC 9110 5.6.7 prints them."""


@pytest.mark.parametrize("said", FORMS)
def test_a_date_is_held_against_the_answer_s_own(said: str) -> None:
    """Their clock may be anywhere; only where they do not say what it is, ours has to do."""
    assert seconds(said, None, NOW) == 37
    for theirs in ("Sun, 06 Nov 1994 08:49:30 GMT", "Sun Nov  6 08:49:30 1994"):
        assert seconds(said, theirs, NOW + timedelta(days=9000)) == 7
    assert seconds(said, "the day after tomorrow", NOW) == 37


def test_what_has_passed_is_no_wait_and_what_never_comes_is_bounded() -> None:
    """A date of the past; one of the year 9999; a number of a thousand digits; less than nothing."""
    assert seconds(FORMS[0], None, NOW + timedelta(days=1)) == 0
    assert seconds("Fri, 31 Dec 9999 23:59:59 GMT", None, NOW) == LONGEST_S
    assert seconds("9" * 1000, None, NOW) == LONGEST_S
    assert (seconds("-3", None, NOW), seconds(" 120 ", None, NOW), seconds("0", None, NOW)) == (0, 120, 0)


@pytest.mark.parametrize(
    "said", [None, "", "soon", "1.5", "\u0661", "Sun, 99 Nov 1994 08:49:37 GMT", "1 Jan 99999 0:0:0"]
)
def test_nonsense_says_nothing(said: str | None) -> None:
    """Then our own pause stands."""
    assert seconds(said, None, NOW) is None


def test_no_header_raises_and_none_is_out_of_bounds() -> None:
    """2,000 dates with octets changed, as both headers."""
    dice = random.Random(9110)
    for _ in range(2000):
        text = list(dice.choice(FORMS))
        for _ in range(dice.randrange(1, 4)):
            text[dice.randrange(len(text))] = chr(dice.choice((dice.randrange(32, 127), dice.randrange(160, 700))))
        changed = "".join(text) * dice.choice((1, 1, 1, 50))
        for found in (seconds(changed, None, NOW), seconds(FORMS[0], changed, NOW)):
            assert found is None or 0 <= found <= LONGEST_S, changed
