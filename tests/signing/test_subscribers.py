"""A Subscriber comes in by four steps, stops, goes on, and leaves for good; its records stay its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.world import SUBSCRIBER, Plan, World

from privyseal.errors import Denied, Failed, NotFound, NotPermitted, PrivySealError
from privyseal.records import requests, statements
from privyseal.signing import subscribers
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.terms.parties import Actor, Factor, Member, Role, SigningService
from privyseal.terms.requests import Dossier, State
from privyseal.terms.subscribers import MOVES, STEPS, Standing, Step, require_move

MakeWorld = Callable[[Plan | None], World]
OPERATOR = Actor(Member("M-operator", SUBSCRIBER, "operator", (Role.OPERATOR,)), (Factor.BEARER,))


def _ask(world: World, number: int) -> Dossier | PrivySealError:
    (outcome,) = world.ask([world.client(number)])
    return outcome


def test_the_demo_came_in_by_all_four_steps(world: World) -> None:
    """A rehearsal enrols its Subscriber by the same functions, and its papers are in force."""
    found = subscribers.one(world.seal, OPERATOR, SUBSCRIBER)
    assert (found.standing, found.steps) == (Standing.ACTIVE, dict.fromkeys(Step, ""))


def test_what_a_new_one_lacks_is_said_and_it_cannot_be_active(world: World) -> None:
    """All four steps are open, each with a sentence, and activating names them all."""
    subscribers.take_in(world.seal, OPERATOR, "acme", "Acme")
    found = subscribers.one(world.seal, OPERATOR, "acme")
    assert found.standing is Standing.ENROLLING
    assert list(found.steps) == list(STEPS) and all(found.steps.values())
    with pytest.raises(NotPermitted, match="is not ready") as refused:
        subscribers.activate(world.seal, OPERATOR, "acme")
    assert "not done are identity, papers, people, key." in refused.value.detail
    found = subscribers.identify(world.seal, OPERATOR, "acme", "Order 4711 of CA X, seen on 2026-03-01")
    assert [step for step, missing in found.steps.items() if not missing] == [Step.IDENTITY]
    assert subscribers.identify(world.seal, OPERATOR, "acme", "Order 4711 of CA X, seen on 2026-03-01") == found


def test_a_suspended_subscriber_signs_nothing_until_it_is_resumed(world: World) -> None:
    """Exit 7 with a sentence for what is asked anew; nothing of it is written down, and no key is used."""
    assert isinstance(_ask(world, 1), Dossier)
    used = world.key_uses
    subscribers.suspend(world.seal, OPERATOR, SUBSCRIBER, "the invoice is not paid")
    refused = _ask(world, 2)
    assert isinstance(refused, Denied) and refused.exit == 7 and "is suspended" in refused.detail
    with world.seal.records.reading(SUBSCRIBER) as tx:  # it reads what is its own
        assert requests.by_idempotency_key(tx, world.ledgers[0].key) is not None
        assert requests.by_idempotency_key(tx, world.ledgers[1].key) is None
    assert world.key_uses == used
    subscribers.activate(world.seal, OPERATOR, SUBSCRIBER, "it is paid")
    assert isinstance(_ask(world, 2), Dossier)
    world.check()


def test_what_was_agreed_to_before_is_not_signed_after(world: World) -> None:
    """An approved request of a Subscriber that was suspended meanwhile fails, with the reason; no key is used."""
    ledger = world.client(3)
    (dossier,) = submit(world.seal, [Submission(world.actor, ledger.key, ledger.request)])
    assert isinstance(dossier, Dossier) and dossier.state is State.APPROVED
    used = world.key_uses
    subscribers.suspend(world.seal, OPERATOR, SUBSCRIBER, "stop")
    (outcome,) = advance(world.seal, [(SUBSCRIBER, dossier.id)])
    assert isinstance(outcome, Failed) and "is suspended" in outcome.detail
    assert world.key_uses == used
    world.ledgers.clear()
    world.check()


def test_closing_is_final_and_keeps_the_records(world: World) -> None:
    """Exit 5 with a sentence; nothing leads out of it, and everything can still be read."""
    assert isinstance(_ask(world, 4), Dossier)
    subscribers.close(world.seal, OPERATOR, SUBSCRIBER, "it left")
    refused = _ask(world, 5)
    assert isinstance(refused, NotPermitted) and refused.exit == 5 and "is closed" in refused.detail
    for again in (subscribers.activate, lambda *args: subscribers.suspend(*args, because="x")):
        with pytest.raises(NotPermitted, match="closing is final"):
            again(world.seal, OPERATOR, SUBSCRIBER)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, world.ledgers[0].key) is not None
        assert statements.listed(tx)
    world.check()


@pytest.mark.parametrize("was", Standing)
@pytest.mark.parametrize("becomes", Standing)
def test_the_table_alone_says_what_may_follow(was: Standing, becomes: Standing) -> None:
    """Every pair of states, by the table."""
    if becomes in MOVES[was]:
        require_move("acme", was, becomes)
    else:
        with pytest.raises(NotPermitted, match="cannot become"):
            require_move("acme", was, becomes)


def test_only_the_operators_members_move_anybody(world: World) -> None:
    """Not another role of theirs, and not the operator's role in another Subscriber."""
    administrator = Actor(Member("M-a", SUBSCRIBER, "a", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
    stranger = Actor(Member("M-s", "acme", "s", tuple(Role)), (Factor.BEARER,))
    for actor in (administrator, stranger):
        for act in (
            lambda who: subscribers.take_in(world.seal, who, "new", "New"),
            lambda who: subscribers.suspend(world.seal, who, SUBSCRIBER, "x"),
            lambda who: subscribers.identify(world.seal, who, SUBSCRIBER, "x"),
            lambda who: subscribers.everyone(world.seal, who),
            lambda who: subscribers.one(world.seal, who, SUBSCRIBER),
        ):
            with pytest.raises(NotPermitted):
                act(actor)
    with pytest.raises(NotFound):
        subscribers.suspend(world.seal, OPERATOR, "nobody", "x")


def test_without_an_operator_nobody_is(world: World) -> None:
    """A service whose configuration names no operator takes nobody's word."""
    world.seal.service = SigningService("World", world.seal.service.affiliation)
    with pytest.raises(NotPermitted, match="do not speak for"):
        subscribers.suspend(world.seal, OPERATOR, SUBSCRIBER, "x")
