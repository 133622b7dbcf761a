"""Two signatures of one key with one nonce raise an alarm once; the same signature twice, and other keys', do not."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from sqlalchemy import func, select, update
from tests.signing import hearing
from tests.signing.test_life import stands
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World
from tests.world import _Crash as Crash

from privyseal.compliance.duty_facts import IncidentKind
from privyseal.errors import PrivySealError
from privyseal.pki.nonces import ORDERS
from privyseal.records import incidents, packed, tables
from privyseal.records.requests import get
from privyseal.signing import duties, nonces
from privyseal.terms.life import KeyState
from privyseal.terms.requests import Dossier

MakeWorld = Callable[[Plan | None], World]
in_sqlite = pytest.mark.parametrize("founded", ["sqlite"], indirect=True)


def signed(world: World, *numbers: int) -> list[Dossier]:
    done = world.ask([world.client(each) for each in numbers])
    assert all(isinstance(each, Dossier) for each in done)
    return [each for each in done if isinstance(each, Dossier)]


def numbers(dossier: Dossier) -> tuple[int, int]:
    return decode_dss_signature(dossier.signatures[0])


def forge(world: World, dossier: Dossier, r: int, s: int) -> None:
    """Have the records say that a request was signed with these numbers."""
    values = packed.pack([encode_dss_signature(r, s)])
    with world.seal.records.writing(SUBSCRIBER) as tx:
        this = update(tables.requests).where(tables.requests.c.id == dossier.id)
        tx.connection.execute(this.values(signatures=values))


def look(world: World, breathe: Callable[[], object] = lambda: None) -> int:
    """Look a little later: where several nodes write, only what is older than a minute is read."""
    world.now += timedelta(minutes=2)
    return nonces.look(world.seal, breathe=breathe)


def rows(world: World) -> int:
    with world.seal.records.reading_all_subscribers() as connection:
        return connection.execute(select(func.count()).select_from(tables.signed_nonces)).scalar_one()


def alarms(world: World) -> list[object]:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return [each for each in incidents.listed(tx, 10) if each.kind is IncidentKind.COMPROMISE]


def test_each_signature_is_looked_at_once(world: World) -> None:
    """Each has a row; looking again adds none, nor do signatures that are as they should be raise anything."""
    signed(world, 1, 2, 3)
    assert look(world) == 0 and rows(world) == 3
    assert look(world) == 0 and rows(world) == 3
    signed(world, 4)
    assert look(world) == 0 and rows(world) == 4
    assert alarms(world) == [] and stands(world) is KeyState.ACTIVE


@pytest.mark.parametrize("together", [True, False])
def test_one_nonce_for_two_digests_raises_an_alarm(world: World, together: bool) -> None:
    """In one look or in two: an incident that names both requests, a key that signs no more, a notice, a statement."""
    hearing.listen(world)
    first, second = signed(world, 1, 2)
    r, s = numbers(first)
    if not together:
        look(world)
        (second,) = signed(world, 3)
    forge(world, second, r, s // 2 + 1)
    assert look(world) == 1
    (case,) = alarms(world)
    assert set(case.requests) == {first.id, second.id} and case.keys == ("release",)  # type: ignore[attr-defined]
    assert case.reported_by == "service" and len(case.cas) == 1  # type: ignore[attr-defined]
    assert stands(world) is KeyState.SUSPENDED
    ((_, said),) = hearing.heard(world, "key.alarm")
    assert said["incident"] == case.id  # type: ignore[attr-defined]
    assert look(world) == 0 and len(alarms(world)) == 1
    duties.recover(world.seal)
    world.check()


@in_sqlite
def test_the_same_signature_again_is_no_alarm(world: World) -> None:
    """A store that signs deterministically (RFC 6979) gives one digest one signature; nor is its negative another."""
    first, second, third = signed(world, 1, 2, 3)
    r, s = numbers(first)
    forge(world, second, r, s)
    forge(world, third, r, ORDERS["ecdsa-p256"] - s)
    assert look(world) == 0
    assert rows(world) == 1


@in_sqlite
def test_the_alarm_is_not_lost_with_what_was_read(make_world: MakeWorld) -> None:
    """The row, the mark and the alarm are one transaction: cut short in either way it is there once afterwards."""
    for way in WAYS:
        world = _with_a_pair(make_world)
        begun = len(world.writes)
        look(world)
        steps = len(world.writes) - begun
        world.discard()
        for nth in range(steps):
            _cut(make_world, way, nth)


def _cut(make_world: MakeWorld, way: Way, nth: int) -> None:
    world = _with_a_pair(make_world)
    world.plan = Plan(len(world.writes) + nth, way)
    with suppress(PrivySealError, Crash):
        look(world)
    world.plan = None
    look(world)
    assert len(alarms(world)) == 1 and rows(world) == 1, (way, nth)
    world.discard()


def _with_a_pair(make_world: MakeWorld) -> World:
    world = make_world(None)
    first, second = signed(world, 1, 2)
    r, s = numbers(first)
    forge(world, second, r, s // 2 + 1)
    return world


@in_sqlite
def test_more_than_a_portion(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Portion by portion, with a rest behind each; an alarm over the border of two is raised as well."""
    monkeypatch.setattr(nonces, "PORTION", 2)
    done = signed(world, 1, 2, 3, 4, 5)
    r, s = numbers(done[0])
    forge(world, done[4], r, s // 2 + 1)
    rests: list[int] = []
    assert look(world, breathe=lambda: rests.append(rows(world))) == 1
    assert len(rests) == 2 and rows(world) == 4


@pytest.mark.nightly
@pytest.mark.parametrize("founded", ["sqlite"], indirect=True)
def test_the_price_of_a_look(world: World) -> None:
    """A signature costs some microseconds, behind the walk; printed, and bounded a good deal higher."""
    signed(world, *range(500))
    began = time.process_time()
    look(world)
    each = (time.process_time() - began) / 500
    print(f"{each * 1e6:.0f} us of processor for each signature")
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert get(tx, world.seal and _first(tx)).signatures
    assert rows(world) == 500 and each < 0.001


def _first(tx: object) -> str:
    found = tx.connection.execute(select(tables.requests.c.id).limit(1)).scalar_one()  # type: ignore[attr-defined]
    return str(found)
