"""A key moves as the table says, each move is in the log once, and only an active key signs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.signing.agreeing import ANN, actor, guarded, waiting
from tests.signing.test_custody import certify, generate
from tests.world import SUBSCRIBER, World

from privyseal.compliance.statements_of_lives import KeyStateChanged
from privyseal.errors import Conflict, Denied, Failed, NotFound, NotPermitted
from privyseal.records import lives, statements
from privyseal.signing import duties, freezes, life, sign
from privyseal.signing.approve import approve
from privyseal.signing.forms_of_requests import Agreement
from privyseal.signing.freezes import Asked
from privyseal.signing.submit import Submission, submit
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import Stage
from privyseal.terms.life import KeyState, Life
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.terms.requests import Dossier, SigningRequest, State

OFFICER = Actor(Member("M-officer", SUBSCRIBER, "officer", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,), session="S-1")
SECOND = Actor(Member("M-second", SUBSCRIBER, "second", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,), session="S-2")


def move(world: World, to: KeyState, name: str = "release", why: str = "") -> Life:
    with world.seal.records.writing(SUBSCRIBER) as tx:
        return life.move(world.seal, tx, name, to, why, OFFICER)


def stands(world: World, name: str = "release") -> KeyState:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return life.of(tx, name).state


def changes(world: World, name: str = "release") -> list[KeyStateChanged]:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return life.history(tx, name)


def test_a_key_is_generated_certified_and_active(world: World) -> None:
    """In that order, each stated; a key that was born in rehearsal is enabled with its certificate."""
    pair = generate(world, "second")
    assert stands(world, "second") is KeyState.GENERATED
    certify(world, pair)
    assert stands(world, "second") is KeyState.ACTIVE
    found = [(each.was, each.becomes) for each in changes(world, "second")]
    assert found == [
        (None, KeyState.GENERATED),
        (KeyState.GENERATED, KeyState.CERTIFIED),
        (KeyState.CERTIFIED, KeyState.ACTIVE),
    ]
    assert {each.key_id for each in changes(world, "second")} == {pair.key_id}


def test_each_change_is_in_the_log_once_and_says_who(world: World) -> None:
    """With its number, its reason and the state before; the same again writes nothing."""
    duties.recover(world.seal)
    before = len(world.entries())
    move(world, KeyState.SUSPENDED, why="its token was seen elsewhere")
    move(world, KeyState.SUSPENDED)
    duties.recover(world.seal)
    assert len(world.entries()) == before + 1
    last = changes(world)[-1]
    assert (last.was, last.becomes, last.by) == (KeyState.ACTIVE, KeyState.SUSPENDED, "M-officer")
    assert last.because == "its token was seen elsewhere"
    with world.seal.records.reading(SUBSCRIBER) as tx:
        numbers = [each.said.number for each in statements.listed(tx, "key") if each.said.matter.slot == last.slot]
    assert numbers == list(range(len(changes(world))))


def test_what_the_table_does_not_lead_to_is_refused(world: World) -> None:
    """And nothing is written; a name that nobody planned is not found."""
    move(world, KeyState.RETIRED)
    for to in (KeyState.SUSPENDED, KeyState.CERTIFIED, KeyState.PLANNED):
        with pytest.raises(Conflict, match="retired"):
            move(world, to)
    with pytest.raises(NotFound):
        move(world, KeyState.ACTIVE, "nobody")
    assert stands(world) is KeyState.RETIRED


def test_two_who_move_it_at_once_do_not_both(world: World) -> None:
    """The second one's row is no longer what it read."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        seen = life.of(tx, "release")
    move(world, KeyState.SUSPENDED)
    with pytest.raises(Conflict), world.seal.records.writing(SUBSCRIBER) as tx:
        lives.move(tx, seen, KeyState.RETIRED, world.now, seen.key_id)


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.RETIRED, KeyState.DESTROYED])
def test_a_key_that_is_not_active_signs_nothing(world: World, state: KeyState) -> None:
    """At submission: Denied, nothing is logged and no key used."""
    move(world, state)
    duties.recover(world.seal)
    before, used = len(world.entries()), world.key_uses
    [outcome] = world.ask([world.client(1)])
    assert isinstance(outcome, Denied)
    assert str(state) in outcome.detail
    assert (len(world.entries()), world.key_uses) == (before, used)


def test_a_key_without_enough_behind_it_signs_nothing(world: World) -> None:
    """A key has its certificate, and nobody enabled it."""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        was = life.of(tx, "release")
        lives.move(tx, was, KeyState.CERTIFIED, world.now, was.key_id)
    [outcome] = world.ask([world.client(2)])
    assert isinstance(outcome, NotPermitted)
    assert "certified" in outcome.detail


def test_a_request_under_way_is_stopped_right_before_the_log(world: World) -> None:
    """Approved a moment before its key was suspended, it ends FAILED, and the log knows nothing of it."""
    ledger = world.client(1)
    [dossier] = submit(world.seal, [Submission(world.actor, ledger.key, ledger.request)])
    assert isinstance(dossier, Dossier)
    assert dossier.state is State.APPROVED
    move(world, KeyState.SUSPENDED)
    before, used = len(world.entries()), world.key_uses
    [outcome] = sign.advance(world.seal, [(SUBSCRIBER, dossier.id)])
    assert isinstance(outcome, Failed)
    assert (len(world.entries()), world.key_uses) == (before, used)


def test_nobody_approves_for_a_key_that_is_not_active(world: World) -> None:
    """The request waits on, and can be approved when the key is active again."""
    guarded(world, (ANN,), (Stage(1),))
    [dossier] = waiting(world, [1])
    digest = decode_canonical(dossier.canonical, SigningRequest).digest()
    move(world, KeyState.SUSPENDED, "guarded")
    with pytest.raises(Denied, match="suspended"):
        approve(world.seal, actor("ann"), dossier.id, ANN.approves(digest))
    move(world, KeyState.ACTIVE, "guarded")
    assert approve(world.seal, actor("ann"), dossier.id, ANN.approves(digest)).state is State.APPROVED


def test_a_freeze_suspends_and_its_thaw_by_two_people_makes_active_again(world: World) -> None:
    """A freeze of the key; who suspended it otherwise meanwhile keeps it suspended."""
    frozen = freezes.freeze(world.seal, OFFICER, Asked(kind="key", name="release", reason="seen elsewhere"))
    assert stands(world) is KeyState.SUSPENDED
    freezes.agree(world.seal, OFFICER, frozen.id, Agreement())
    assert stands(world) is KeyState.SUSPENDED
    freezes.agree(world.seal, SECOND, frozen.id, Agreement())
    assert stands(world) is KeyState.ACTIVE
    move(world, KeyState.SUSPENDED)
    again = freezes.freeze(world.seal, OFFICER, Asked(kind="key", name="release", reason="seen elsewhere"))
    freezes.agree(world.seal, OFFICER, again.id, Agreement())
    freezes.agree(world.seal, SECOND, again.id, Agreement())
    assert stands(world) is KeyState.SUSPENDED


def test_an_idle_key_suspends_itself_and_a_used_one_does_not(world: World) -> None:
    """The day before, the day, and the operator who wants none of it."""
    begun = world.now
    world.now = begun + timedelta(days=20)
    world.ask([world.client(1)])
    used = world.now
    assert life.suspend_idle(world.seal, 0) == 0
    world.now = used + timedelta(days=30)
    assert life.suspend_idle(world.seal, 30) == 0
    world.now += timedelta(seconds=1)
    assert life.suspend_idle(world.seal, 30) == 1
    assert stands(world) is KeyState.SUSPENDED
    last = changes(world)[-1]
    assert (last.by, last.because) == ("service", "nobody used it for 30 days")
    assert life.suspend_idle(world.seal, 30) == 0
