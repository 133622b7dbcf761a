"""The table of a key's states, and what its rules say of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from privyseal.errors import Denied, NotPermitted
from privyseal.terms.life import (
    BY_QUORUM,
    FINAL,
    TRANSITIONS,
    KeyState,
    Life,
    diagram,
    is_behind,
    is_unnoted,
    may_follow,
    require_active,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def a_life(state: KeyState, used: datetime | None = None) -> Life:
    return Life(subscriber="demo", name="release", state=state, since=NOW, used=used)


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    """From the plan; and from each but the last there is a way to the end."""
    assert set(TRANSITIONS) == set(KeyState)
    reached, ahead = {KeyState.PLANNED}, [KeyState.PLANNED]
    while ahead:
        onward = set(TRANSITIONS[ahead.pop()]) - reached
        reached |= onward
        ahead += onward
    assert reached == set(KeyState)
    assert {KeyState.DESTROYED} == FINAL
    assert all(may_follow(state, KeyState.DESTROYED) for state in KeyState if state not in FINAL)


def test_nobody_alone_brings_a_key_into_use_or_destroys_it() -> None:
    """Every arrow to ACTIVE, to DESTROYED but for a plan, to a key's birth and out of retirement is for a quorum."""
    alone = {(was, to) for was, onward in TRANSITIONS.items() for to in onward} - BY_QUORUM
    assert {(was, to) for was, onward in TRANSITIONS.items() for to in onward} >= BY_QUORUM
    assert not [each for each in alone if each[1] is KeyState.ACTIVE]
    assert [each for each in alone if each[1] is KeyState.DESTROYED] == [(KeyState.PLANNED, KeyState.DESTROYED)]
    assert (KeyState.PLANNED, KeyState.GENERATED) not in alone
    assert not [each for each in alone if each[0] is KeyState.RETIRED]


def test_stopping_takes_one_person() -> None:
    """Whatever can be used can be suspended or retired, and no quorum is asked."""
    for to in (KeyState.SUSPENDED, KeyState.RETIRED):
        assert may_follow(KeyState.ACTIVE, to)
        assert (KeyState.ACTIVE, to) not in BY_QUORUM


@pytest.mark.parametrize(("state", "step"), list(product(KeyState, KeyState)))
def test_a_step_that_is_behind_is_no_arrow(state: KeyState, step: KeyState) -> None:
    """What changes nothing is never a change as well; a key that ended has nothing behind it but its own state."""
    if state is not step:
        assert not (is_behind(state, step) and may_follow(state, step))
    if state in (KeyState.RETIRED, KeyState.DESTROYED):
        assert is_behind(state, step) == (state is step)


def test_a_renewed_certificate_changes_nothing_of_a_key_in_use() -> None:
    """Nor does an attestation that is shown again, while it is active or suspended."""
    for state, step in product((KeyState.ACTIVE, KeyState.SUSPENDED), (KeyState.ATTESTED, KeyState.CERTIFIED)):
        assert is_behind(state, step)


@pytest.mark.parametrize("state", KeyState)
def test_only_an_active_key_signs(state: KeyState) -> None:
    """The others say what they are: stopped is Denied, not ready is NotPermitted."""
    if state is KeyState.ACTIVE:
        require_active(a_life(state))
        return
    stopped = state in (KeyState.SUSPENDED, KeyState.RETIRED, KeyState.DESTROYED)
    with pytest.raises(Denied if stopped else NotPermitted, match=str(state)) as refused:
        require_active(a_life(state))
    assert refused.value.hint


def test_a_use_is_noted_once_a_day() -> None:
    """And only of a key that is active."""
    assert is_unnoted(a_life(KeyState.ACTIVE), NOW)
    assert not is_unnoted(a_life(KeyState.ACTIVE, NOW - timedelta(hours=23)), NOW)
    assert is_unnoted(a_life(KeyState.ACTIVE, NOW - timedelta(days=1)), NOW)
    assert not is_unnoted(a_life(KeyState.SUSPENDED), NOW)


def test_diagram_draws_every_arrow() -> None:
    """One line for each, with what has happened then."""
    arrows = [line for line in diagram().splitlines() if " --> " in line and "[*]" not in line]
    assert len(arrows) == sum(len(onward) for onward in TRANSITIONS.values())
