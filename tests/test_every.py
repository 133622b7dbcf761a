"""A loop over cases fails as so many tests would."""

from __future__ import annotations

import pytest
from tests.every import every


def test_each_case_that_fails_is_told_and_the_others_are_tried() -> None:
    tried = []
    with pytest.raises(ExceptionGroup) as raised, every() as case:
        for number in range(4):
            with case(f"number {number}"):
                tried.append(number)
                assert number % 2 == 0, "odd"
    assert tried == [0, 1, 2, 3]
    assert [each.__notes__ for each in raised.value.exceptions] == [["in the case number 1"], ["in the case number 3"]]


def test_what_is_raised_between_the_cases_and_what_ends_a_test_is_raised_at_once() -> None:
    with pytest.raises(KeyError), every() as case:
        with case("good"):
            pass
        raise KeyError
    with pytest.raises(KeyboardInterrupt) as raised, every() as case, case("interrupted"):
        raise KeyboardInterrupt
    assert raised.value.__notes__ == ["in the case interrupted"]


def test_nothing_is_raised_where_every_case_holds() -> None:
    with every() as case, case("good"):
        pass
