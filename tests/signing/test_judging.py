"""What reports and what-ifs find of a service: the same as the walk, confined to a period and to a head of the log."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.world import SUBSCRIBER, World

from privyseal.compliance.known import NOTHING
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.subjects import SubscriberRecord
from privyseal.records import findings, released
from privyseal.records.released import Within
from privyseal.signing import evaluation, judging

TOKENS = "CSBR-6.2.7.3-02"
ALL = 2**40


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "SETTLED", timedelta(seconds=-1))


def _within(world: World, size: int = ALL, days: int = 1) -> Within:
    return Within(start=world.now - timedelta(days=days), end=world.now + timedelta(days=1), size=size)


def _found(world: World, within: Within, back: timedelta = timedelta()) -> list[tuple[Finding, int]]:
    with world.seal.records.reading_all_subscribers() as connection:
        known = world.seal.stated.known_of_all_subscribers(connection)
        return list(judging.findings(connection, known, world.now - back, world.seal.service.name, within))


def _signed(world: World, within: Within) -> int:
    return sum(number for each, number in _found(world, within) if each.requirement == TOKENS)


def test_the_walk_finds_the_same(world: World) -> None:
    """Key Pairs, signatures, Subscribers and the organisation have the verdicts that are kept.

    Of what only the running processes tell a report has nothing, and certificates are for ``privyseal lint``.
    """
    world.now += timedelta(minutes=1)  # so that the Key Pair was not generated later
    world.ask([world.client(n) for n in range(3)])
    evaluation.walk(world.seal, world.now)
    kept: dict[tuple[str, str], int] = {}
    with world.seal.records.reading_all_subscribers() as connection:
        for owner in (SUBSCRIBER, None):
            for row in findings.current(connection, owner):
                if row.kind.value not in ("log", "timestamp-authority", "certificate"):
                    place = (row.requirement, row.verdict.value)
                    kept[place] = kept.get(place, 0) + row.number
    told: dict[tuple[str, str], int] = {}
    for each, number in _found(world, _within(world)):
        if each.subject not in ("log", "timestamp authority"):
            place = (each.requirement, each.verdict.value)
            told[place] = told.get(place, 0) + number
    assert told == kept
    assert kept[TOKENS, "not-met"] == 3


@pytest.mark.parametrize("near", [released.NEAR, 1])
def test_a_head_covers_what_was_completed_before_it(world: World, monkeypatch: pytest.MonkeyPatch, near: int) -> None:
    """One that was begun under a head and finished behind it does not count, wherever the receipt has to be read."""
    monkeypatch.setattr(released, "NEAR", near)
    for number in range(3):
        world.ask([world.client(number)])
    entries = [json.loads(each) for each in world.entries()]
    acts = {at for at, each in enumerate(entries) if each["type"] == "intent" and each["verb"] != "sign"}
    kinds = ["act" if each.get("intent") in acts else each["type"] for each in entries]
    assert kinds.count("completion") == 3
    for size in range(len(kinds) + 1):
        assert _signed(world, _within(world, size)) == kinds[:size].count("completion"), size


def test_the_period_begins_and_ends(world: World) -> None:
    """Its first moment counts, the first moment behind it does not."""
    world.ask([world.client(1)])
    second = timedelta(microseconds=1)
    for start, end, number in (
        (world.now, world.now + second, 1),
        (world.now + second, world.now + timedelta(days=1), 0),
        (world.now - timedelta(days=1), world.now, 0),
    ):
        assert _signed(world, Within(start=start, end=end, size=ALL)) == number


def test_what_came_later_is_left_out(world: World) -> None:
    """On the day before a Key Pair was generated there is none, and its Subscriber is not enrolled."""
    world.now += timedelta(seconds=1)  # a world's time begins with a whole second, which may be the one of its founding
    pair, _ = world.pair()
    then = _found(world, _within(world), world.now - pair.born + timedelta(seconds=1))
    assert not [each for each, _ in then if each.subject.startswith(SUBSCRIBER)]
    now = _found(world, _within(world))
    assert {each.subject for each, _ in now if "/" in each.subject} == {f"{SUBSCRIBER}/release"}
    assert not [each for each, _ in now if each.verdict is Verdict.NOT_APPLICABLE]


def test_a_first_signature_of_a_later_day_is_not_known(world: World) -> None:
    """Whether a Subscriber had signed already, is asked of the day."""
    world.now += timedelta(days=1)
    world.ask([world.client(1)])
    for at, first in ((world.now, world.now), (world.now - timedelta(hours=12), None)):
        with world.seal.records.reading_all_subscribers() as connection:
            found = list(judging.things(connection, NOTHING, at, "x"))
        assert [each.first_signature for each in found if isinstance(each, SubscriberRecord)] == [first]
