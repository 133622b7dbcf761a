"""m of n, counted over every small charter and compared with a count made another way."""

import itertools
from collections.abc import Collection, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access.quorum import Granted, Refused, Waiting, decide
from privyseal.terms.keys import Approver, in_order


def charter(*names: str) -> list[Approver]:
    return [Approver(name, name.encode().ljust(32, b"\0")) for name in names]


def one_stage(approvers: Sequence[Approver], quorum: int, agreed: Collection[str]) -> Granted | Waiting | Refused:
    return decide(approvers, in_order(quorum, msgspec.UNSET), [agreed])


def test_a_charter_that_asks_for_nobody_is_granted_without_names() -> None:
    """Quorum zero is granted; that only rehearsal keys may have it is not counted here."""
    assert decide([], (), ()) == Granted(())


@pytest.mark.parametrize("n", range(6))
def test_every_subset_of_every_small_charter_is_counted_right(n: int) -> None:
    """For every m <= n <= 5 and every subset: granted exactly when at least m agreed; otherwise the rest is named."""
    names = [f"a{i}" for i in range(n)]
    for m, size in itertools.product(range(n + 1), range(n + 1)):
        for subset in itertools.combinations(names, size):
            outcome = one_stage(charter(*names), m, set(subset))
            if size >= m:
                assert outcome == Granted(subset if m else ())
            else:
                assert outcome == Waiting(tuple(x for x in names if x not in subset), m - size)


def test_strangers_and_repetitions_count_for_nothing() -> None:
    """A former approver's name, and one approver's name many times, do not make a quorum."""
    assert one_stage(charter("ada", "ben"), 2, ["ada", "ada", "ada", "mallory"]) == Waiting(("ben",), 1)


def test_one_person_is_not_two() -> None:
    """The same name or the same key twice in a charter is refused, even when everybody agreed."""
    twice = [Approver("ada", b"1" * 32), Approver("ada", b"2" * 32)]
    assert isinstance(one_stage(twice, 2, ["ada"]), Refused)
    shared = [Approver("ada", b"1" * 32), Approver("ben", b"1" * 32)]
    assert isinstance(one_stage(shared, 2, ["ada", "ben"]), Refused)


@pytest.mark.parametrize(("quorum", "names"), [(1, ()), (3, ("ada", "ben")), (-1, ("ada",))])
def test_a_quorum_nobody_can_reach_is_refused_not_waited_for(quorum: int, names: tuple[str, ...]) -> None:
    """A request under such a charter would wait for ever."""
    assert isinstance(one_stage(charter(*names), quorum, names), Refused)


@given(st.lists(st.text(max_size=3), unique=True, max_size=6), st.integers(0, 6), st.lists(st.text(max_size=3)))
def test_agreeing_never_takes_a_grant_away(names: list[str], quorum: int, agreed: list[str]) -> None:
    """One more agreement never turns Granted into something else."""
    approvers = [Approver(name, index.to_bytes(32, "big")) for index, name in enumerate(names)]
    if isinstance(one_stage(approvers, quorum, agreed), Granted):
        assert all(isinstance(one_stage(approvers, quorum, [*agreed, name]), Granted) for name in names)
