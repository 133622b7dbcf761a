"""No time is given unless three of four servers agree and the clock is within a second of them; and what is noted."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from privyseal.timestamp import clock
from privyseal.timestamp.clock import HOLD, Timekeeper, agree, needed
from privyseal.timestamp.sntp import Leap, Reading, Silence

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()
FOUR = ("a", "b", "c", "d")


class Room:
    """A clock, a steady count that began at 1,000 at noon, and four servers that are right."""

    def __init__(self, sources: tuple[str, ...] = FOUR) -> None:
        self.sources = sources
        self.keeper = Timekeeper(sources)
        self.steady = 1_000.0
        self.ahead = 0.0

    @property
    def wall(self) -> float:
        return NOON + self.steady - 1_000.0 + self.ahead

    def heard(self, *offsets: float | None, leap: Leap = "", distance: float = 0.01) -> None:
        """Hear one round; an offset is how far a server is ahead of UTC, None that it is silent."""
        base = NOON - 1_000.0
        self.keeper.hear(
            Silence(name, self.steady, "It did not answer.")
            if offset is None
            else Reading(name, self.steady, base + offset, distance, 2, leap)
            for name, offset in zip(self.sources, offsets, strict=True)
        )

    def why(self) -> str:
        return self.keeper.judge(self.wall, self.steady)

    def noted(self) -> list[str]:
        return [each.what for each in self.keeper.look(self.wall, self.steady)[1]]


def agreed() -> Room:
    room = Room()
    room.heard(0, 0.001, -0.001, 0.002)
    assert room.why() == ""
    return room


def test_every_disagreement_of_four() -> None:
    """All 256 rounds of silence, truth and two lies: time is given only where three tell the truth."""
    for wrong in itertools.product((None, 0.0, 5.0, -3600.0), repeat=4):
        _disagreement(wrong)


def _disagreement(wrong: tuple[float | None, ...]) -> None:
    room = Room()
    room.heard(*wrong)
    expected = max(wrong.count(0.0), wrong.count(5.0), wrong.count(-3600.0)) >= 3
    right = wrong.count(0.0) >= 3
    assert (room.why() == "") == right, room.why()
    if expected and not right:  # three who agree on a lie are a majority, and the clock is off by what they say
        assert "time servers" in room.why() and "clock is" in room.why()
    if not expected and len([each for each in wrong if each is not None]) >= 3:
        assert "3 were expected" in room.why()


def test_every_disagreement_after_an_agreement() -> None:
    """One server that lies or many that are silent change nothing for a day; two that lie stop it."""
    for wrong in itertools.product((None, 0.0, 5.0, -3600.0), repeat=4):
        room = agreed()
        room.steady += 60
        room.heard(*wrong)
        lies, answers = 4 - wrong.count(None) - wrong.count(0.0), 4 - wrong.count(None)
        given = lies <= 1 and not (answers == 3 and lies == 1)  # who answers must be three who agree, or too few
        assert (room.why() == "") == given, (wrong, room.why())


@pytest.mark.parametrize(("ahead", "given"), [(0.0, True), (0.99, True), (-0.99, True), (1.01, False), (-1.01, False)])
def test_a_clock_may_be_off_by_a_second(ahead: float, given: bool) -> None:
    room = agreed()
    room.ahead = ahead
    assert (room.why() == "") is given


@pytest.mark.parametrize("jump", [1.1, -1.1, 3600.0, -3600.0])
def test_a_clock_that_is_turned_stops_at_once_and_goes_on_when_it_is_right(jump: float) -> None:
    """Without asking anybody, in both directions; the steps and the refusal are noted, once."""
    room = agreed()
    assert room.noted() == ["trusted"]
    room.steady += 10
    room.ahead = jump
    assert room.noted() == ["adjusted", "refused"] and room.noted() == []
    assert ("ahead of" if jump > 0 else "behind") in room.why()
    assert room.keeper.state(room.wall, room.steady).standing == "refusing"
    room.ahead = 0.0
    assert room.noted() == ["adjusted", "trusted"] and room.why() == ""


@pytest.mark.parametrize("jump", [1.0, -1.0, 3600.0, -3600.0])
def test_without_servers_a_step_still_stops_it(jump: float) -> None:
    """A rehearsal's clock is believed until somebody turns it; right again, it is believed again."""
    room = Room(())
    assert room.noted() == ["trusted"]
    assert room.keeper.state(room.wall, room.steady).standing == "unwatched"
    room.ahead = jump
    assert room.noted() == ["adjusted", "refused"]
    assert "was set by" in room.why()
    room.ahead = 0.0
    assert room.noted() == ["adjusted", "trusted"]


def test_steps_that_are_small_add_up() -> None:
    """Ten steps of 0.2 s are two adjustments of a second."""
    room = agreed()
    room.noted()
    found = []
    for number in range(10):
        room.ahead = 0.2 * (number + 1)
        found += room.noted()
    assert found.count("adjusted") == 2


def test_what_was_agreed_holds_for_a_day() -> None:
    """Silence is borne for 24 hours and not a second longer (CSBR 6.8)."""
    room = agreed()
    room.steady += HOLD - 1
    room.heard(None, None, None, None)
    assert room.why() == "" and room.keeper.state(room.wall, room.steady).standing == "holding"
    room.steady += 2
    assert "for 24 hours" in room.why()
    room.heard(0, 0, 0, 0)
    assert room.why() == ""


def test_before_the_first_agreement_there_is_no_time() -> None:
    room = Room()
    assert room.why() == clock.NOT_YET and room.noted() == []
    room.heard(0, 0, None, None)
    assert room.why() == clock.NOT_YET
    room.heard(0, 0, None, 0)
    assert room.why() == "" and room.noted() == ["trusted"]


def test_that_the_servers_agree_is_noted_again_and_again() -> None:
    """Synchronisations without a gap of 24 hours (CSBR 6.8); not while they are silent."""
    room = agreed()
    room.noted()
    found = 0
    for _ in range(24):
        room.steady += 3600
        room.heard(0, 0, 0, 0)
        found += room.noted().count("synchronised")
    assert found == 4
    room.steady += 7 * 3600
    room.heard(None, None, None, None)
    assert room.noted() == []


def test_drift_is_measured() -> None:
    """A count that runs 20 millionths too fast is told so."""
    room = agreed()
    for hour in range(1, 5):
        room.steady = 1_000.0 + hour * 3600
        fast = 20e-6 * (room.steady - 1_000.0)
        room.heard(-fast, -fast, -fast, -fast)
    drift = room.keeper.state(room.wall, room.steady).drift_ppm
    assert drift is not None and abs(drift - 20) < 0.5


@pytest.mark.parametrize(("leap", "change"), [("insert", -1.0), ("delete", 1.0)])
def test_a_leap_second_that_is_announced(leap: Leap, change: float) -> None:
    """No time two seconds before and after; a clock that took it, as POSIX counts, is right at once."""
    room = agreed()
    room.heard(0, 0, 0, 0, leap=leap)
    assert room.keeper.state(room.wall, room.steady).leap == leap
    end = 1_000.0 + 12 * 3600
    room.steady = end - 2.5
    assert room.why() == ""
    for moment in (-1.9, 0.0, 1.9):
        room.steady = end + moment
        assert "leap second" in room.why()
    room.steady, room.ahead = end + 2.5, change
    assert room.why() == ""
    room.ahead = change + 1.5
    assert room.why()
    room.ahead = change
    room.steady += 30
    room.heard(*([change] * 4))
    assert room.why() == "" and room.keeper.state(room.wall, room.steady).leap == ""


def test_one_server_announces_no_leap_second() -> None:
    room = agreed()
    base = NOON - 1_000.0
    room.keeper.hear(Reading(name, room.steady, base, 0.01, 2, "insert" if name in "ab" else "") for name in FOUR)
    assert room.keeper.state(room.wall, room.steady).leap == ""
    room.heard(0, 0, 0, 0, leap="insert")
    room.heard(0, 0, 0, 0)
    assert room.keeper.state(room.wall, room.steady).leap == ""  # taken back


@pytest.mark.parametrize(("sources", "least"), [(4, 3), (5, 4), (6, 5), (7, 6), (8, 6), (16, 12)])
def test_how_many_must_agree(sources: int, least: int) -> None:
    assert needed(sources) == least


def test_agreement_is_a_time_that_all_members_allow() -> None:
    """The middle of what the intervals have in common; a wide interval moves it no further than the narrow ones."""
    readings = [
        Reading(str(n), 0, at, reach, 2, "") for n, (at, reach) in enumerate([(0, 0.1), (0.05, 0.1), (0.4, 0.5)])
    ]
    found = agree(readings, 3)
    assert found is not None and -0.05 <= found.utc <= 0.15 and len(found.members) == 3
    assert agree(readings[:2], 3) is None and agree([], 1) is None


def test_what_strangers_say_is_not_heard() -> None:
    """A reading of a server that is not ours counts for nothing."""
    room = Room()
    room.keeper.hear(Reading(f"x{n}", room.steady, NOON - 1_000.0, 0.01, 2, "") for n in range(4))
    assert room.why() == clock.NOT_YET
