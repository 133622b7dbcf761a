"""Asking in one walk: what is new and what was there before, how many writes it costs, and what a broken one leaves."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests.world import SUBSCRIBER, Plan, World, a_description

from privyseal.errors import BadInput, IdempotencyMismatch, PrivySealError, Unavailable
from privyseal.records import events, requests
from privyseal.signing import case
from privyseal.signing.ask import ask
from privyseal.signing.submit import MOST_DESCRIBED, Submission, take_in
from privyseal.strongroom.judgement import MAX_USES
from privyseal.terms.requests import Dossier, State

Make = Callable[[Plan | None], World]


def _released(outcomes: list[Dossier | PrivySealError]) -> list[Dossier]:
    dossiers = [each for each in outcomes if isinstance(each, Dossier)]
    assert [each.state for each in dossiers] == [State.RELEASED] * len(outcomes), outcomes
    return dossiers


@pytest.mark.parametrize("clients", [1, 20])
@pytest.mark.parametrize(("timestamp", "transactions"), [(False, 3), (True, 4)])
def test_a_batch_costs_a_fixed_number_of_transactions(
    world: World, clients: int, timestamp: bool, transactions: int
) -> None:
    """However many wait: taken in, intent with signature and blob, receipt; the timestamp is one more."""
    _released(world.ask([world.client(1000)]))  # opens the log, which publishes once more
    world.writes.clear()
    _released(world.ask([world.client(number, timestamp=timestamp) for number in range(clients)]))
    assert world.writes.count("records") == transactions
    assert world.writes.count("log's journal") == world.writes.count("log's mark") == 2
    assert world.writes.count("signer's journal") == 1
    world.check()


def test_what_is_new_is_released_beside_what_was_there_before(world: World) -> None:
    """One Idempotency-Key that is in use sends its neighbours the longer way, and each gets what is its own."""
    first = world.client(1)
    (before,) = _released(world.ask([first]))
    uses = world.key_uses
    again, fresh = _released(world.ask([first, world.client(2)]))
    assert (again.id, again.receipt) == (before.id, before.receipt)
    assert fresh.id != before.id
    assert world.key_uses == uses + 1
    world.check()


def test_one_idempotency_key_twice_in_a_batch_is_one_request(world: World) -> None:
    """A client that retries too early shares the walk of its first attempt; a different request is refused."""
    ledger, other = world.client(1), world.client(2)
    one = Submission(world.actor, ledger.key, ledger.request)
    outcomes = ask(world.seal, [one, one, Submission(world.actor, ledger.key, other.request)])
    first, second = _released(outcomes[:2])
    assert first.id == second.id
    assert isinstance(outcomes[2], IdempotencyMismatch)
    assert world.key_uses == 1


def test_what_is_refused_is_refused_alone(world: World) -> None:
    """A request that contradicts its key gets its own sentence and leaves no row behind."""
    good, bad = world.client(1), world.client(2)
    bad.request = msgspec.structs.replace(bad.request, key_id="00" * 32)
    world.ledgers.remove(bad)
    outcomes = world.ask([bad, good])
    assert isinstance(outcomes[0], BadInput)
    _released(outcomes[1:])
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, bad.key) is None
    world.check()


def test_the_record_says_who_asked_and_that_nobody_had_to_agree(world: World) -> None:
    """The events of a request that was taken at once are those of one that waited."""
    (done,) = _released(world.ask([world.client(1)]))
    with world.seal.records.reading(SUBSCRIBER) as tx:
        told = [(event.actor, event.what.partition(", papers ")[0]) for event in events.events_about(tx, done.id)]
    assert told == [("M-client", "submitted, approved"), ("service", "released")]


def test_a_first_write_that_was_done_but_not_told_holds_nobody_up(make_world: Make) -> None:
    """The lease is given back, so that the same client is served at once and not when it has run out."""
    world = make_world(Plan(0, "unreported"))
    ledger = world.client(1)
    with pytest.raises(Unavailable):
        world.ask([ledger])
    _released(world.ask([ledger]))
    assert world.key_uses == 1
    world.check()


def test_a_walk_that_died_after_its_first_write_is_taken_up(world: World) -> None:
    """SIGNING without an intent means that the key was not touched: the next process goes on from there."""
    ledger = world.client(1)
    (taken,) = take_in(world.seal, [Submission(world.actor, ledger.key, ledger.request)]).values()
    assert taken.dossier.state is State.SIGNING
    world.crash()
    _released(world.ask([ledger]))
    assert world.key_uses == 1
    world.check()


def test_what_does_not_fit_into_one_question_goes_in_several(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large requests that meet in one batch never make it too large for the signer."""
    monkeypatch.setattr(case, "PORTION_OCTETS", 1)
    _released(world.ask([world.client(number) for number in range(3)]))
    assert world.writes.count("signer's journal") == 3
    world.check()


def test_a_hundred_pieces_are_one_intent(world: World) -> None:
    """As many as a request may describe are signed under one entry of the log; one more is refused."""
    before = len(world.entries())
    pieces = [a_description(number) for number in range(MOST_DESCRIBED)]
    (done,) = _released(world.ask([world.client(1, described=pieces, timestamp=False)]))
    assert len(done.blobs) == world.key_uses == MOST_DESCRIBED == MAX_USES
    assert len(world.entries()) == before + 2
    (refused,) = world.ask([world.client(2, described=[*pieces, a_description(MOST_DESCRIBED)])])
    assert isinstance(refused, BadInput)
    world.ledgers.pop()
    world.check()
