"""What a cloud counted otherwise than we did is stated once, told, and opens an incident only where it counted more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World
from tests.world import _Crash as Crash

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.incidents import Case
from privyseal.compliance.requirement import Asked
from privyseal.compliance.statements_of_clouds import CloudReconciled
from privyseal.errors import KeyStoreUnavailable, PrivySealError
from privyseal.records import incidents, statements
from privyseal.signing import duties, judging
from privyseal.signing import incidents as incidents_of
from privyseal.signing.reconciling import EVERY, SETTLES
from privyseal.terms.clouds import CloudUses, KeyUses
from privyseal.terms.parties import Actor, Factor, Member, Role

pytestmark = pytest.mark.parametrize(
    "founded", ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)], indirect=True
)
OFFICER = Actor(Member("M-officer", SUBSCRIBER, "officer", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,))
MakeWorld = Callable[[Plan | None], World]


def counting(world: World, counted: int, at_least: int = 5, at_most: int = 6, **changes: object) -> list[object]:
    """Have the signer say that the release key is in a cloud, and what was counted of it; return when it was asked."""
    pair = world.pair()[0]
    asked: list[object] = []

    def clouds(since: object) -> tuple[CloudUses, ...]:
        asked.append(since)
        uses = KeyUses(
            subscriber=SUBSCRIBER,
            name=pair.name,
            key_id=pair.key_id,
            counted=counted,
            at_least=at_least,
            at_most=at_most,
        )
        until = world.now - timedelta(hours=1)
        plain: dict[str, object] = {
            "store": "awskms",
            "home": "prod",
            "since": until - timedelta(days=1),
            "until": until,
            "source": "trail",
            "on": True,
            "keys": (uses,),
        }
        return (CloudUses(**(plain | changes)),)  # type: ignore[arg-type]

    world.seal.signer.clouds = clouds  # type: ignore[method-assign, assignment]
    return asked


def stated(world: World) -> list[CloudReconciled]:
    with world.seal.records.reading_all_subscribers() as connection:
        found = [each.said.matter for each in statements.stated_of_all_subscribers(connection, ("key",))]
    return [each for each in found if isinstance(each, CloudReconciled)]


def cases(world: World) -> list[Case]:
    with world.seal.records.reading_all_subscribers() as connection:
        return [each.case for each in incidents.cases_of_all_subscribers(connection)]


def verdict(world: World) -> str:
    with world.seal.records.reading_all_subscribers() as connection:
        known = world.seal.stated.known_of_all_subscribers(connection)
        (organisation, *_) = judging.service(connection, known, world.now, "World", judging.Live())
    check = BY_ID["CSBR-6.2.7.3-06"].check
    assert check is not None
    return check(organisation, Asked(at=world.now)).verdict.value  # type: ignore[union-attr]


def test_counts_that_agree_are_stated_once_a_day(world: World) -> None:
    """Met from then on; within the day nobody asks again, and then from where the last one ended."""
    asked = counting(world, 5)
    assert verdict(world) == "not-evidenced"
    assert duties.reconcile(world.seal) == 1
    duties.recover(world.seal)
    (one,) = stated(world)
    assert (one.keys, one.signatures, one.more, one.fewer) == (1, 5, (), ())
    assert verdict(world) == "met"
    world.now += EVERY - timedelta(minutes=1)
    assert duties.reconcile(world.seal) == 0 and len(asked) == 1
    world.now += SETTLES
    assert duties.reconcile(world.seal) == 1
    assert asked[1] == one.until and cases(world) == []


def test_more_than_was_asked_for_is_an_incident_of_the_key(world: World) -> None:
    """One while it is open, however often it is counted; the key is believed to be compromised, and it is not met."""
    pair = world.pair()[0]
    counting(world, 9)
    for _ in range(2):
        assert duties.reconcile(world.seal) == 1
        duties.recover(world.seal)
        world.now += EVERY + SETTLES
    (case,) = cases(world)
    assert (case.reported_by, case.kind.value, case.keys) == ("service", "compromise", ("release",))
    assert "counted 9 signatures of this key" in case.text and "asked for 6 at most" in case.text
    assert case.cas and case.certificates
    assert [each.key_id for each in stated(world)[-1].more] == [pair.key_id]
    with world.seal.records.reading_all_subscribers() as connection:
        assert pair.key_id in world.seal.stated.known_of_all_subscribers(connection).believed
    assert verdict(world) == "not-met"


@pytest.mark.parametrize(
    ("counted", "changes", "expected"),
    [
        (4, {}, "not-met"),
        (5, {"on": False}, "not-met"),
        (5, {"gaps": ("The trail excludes the events of AWS KMS.",)}, "not-met"),
        (0, {"trouble": "No CloudTrail trail is named for prod.", "on": False}, "not-evidenced"),
    ],
)
def test_what_else_is_wrong_is_told_and_no_incident(
    world: World, counted: int, changes: dict[str, object], expected: str
) -> None:
    """Fewer, off, not whole, not to be asked: stated with its verdict; no key is believed to be compromised by it."""
    counting(world, counted, **changes)
    if "trouble" in changes:  # as the signer says it: without a count
        counting(world, 5, **changes)
    duties.reconcile(world.seal)
    duties.recover(world.seal)
    assert verdict(world) == expected and cases(world) == []


def test_a_signer_that_cannot_be_asked_is_asked_again(world: World) -> None:
    """Nothing is stated, and the next round asks anew."""
    counting(world, 5)
    good = world.seal.signer.clouds

    def away(since: object) -> tuple[CloudUses, ...]:
        raise KeyStoreUnavailable("The signer is away.")

    world.seal.signer.clouds = away  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyStoreUnavailable):
        duties.reconcile(world.seal)
    world.seal.signer.clouds = good  # type: ignore[method-assign]
    assert duties.reconcile(world.seal) == 1


def test_a_home_that_was_silent_is_compared_from_where_it_was_left(world: World) -> None:
    """The next round begins where the silent one began, and one that went well where it ended."""
    asked = counting(world, 5, trouble="It is away.", on=False)
    duties.reconcile(world.seal)
    duties.recover(world.seal)
    (silent,) = stated(world)
    world.now += EVERY + SETTLES
    assert duties.reconcile(world.seal) == 1
    assert asked[1] == silent.since


def test_an_incident_that_was_closed_is_not_opened_again_for_the_same_period(world: World) -> None:
    """A person decided it; a later period is another thing."""
    counting(world, 9)
    duties.reconcile(world.seal)
    (case,) = cases(world)
    incidents_of.act(world.seal, OFFICER, case.id, incidents_of.Step(step="unfounded", note="a drill"))
    incidents_of.act(world.seal, OFFICER, case.id, incidents_of.Step(step="closed"))
    duties.recover(world.seal)
    world.now += EVERY + SETTLES
    counting(world, 9, since=world.now - timedelta(days=3))
    duties.reconcile(world.seal)
    assert len(cases(world)) == 1
    duties.recover(world.seal)
    world.now += EVERY + SETTLES
    counting(world, 9)
    duties.reconcile(world.seal)
    assert len(cases(world)) == 2


@pytest.mark.parametrize("way", WAYS)
def test_whatever_fails_there_is_one_incident_and_what_is_stated_is_logged(make_world: MakeWorld, way: Way) -> None:
    """Each write fails, lost or done and unreported: after the next round there is one incident, and all is logged."""
    world = make_world(None)
    counting(world, 9)
    begun = len(world.writes)
    duties.reconcile(world.seal)
    steps = len(world.writes) - begun
    assert steps
    for nth in range(steps):
        world = make_world(None)
        counting(world, 9)
        world.plan = Plan(len(world.writes) + nth, way)
        with suppress(PrivySealError, Crash):
            duties.reconcile(world.seal)
        world.plan = None
        duties.reconcile(world.seal)
        duties.recover(world.seal)
        assert len(cases(world)) == 1 and len(stated(world)) == 1, f"write {nth}"
        with world.seal.records.reading_all_subscribers() as connection:
            assert statements.unplaced_of_all_subscribers(connection, 10) == []
        world.check()
