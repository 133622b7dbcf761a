"""The walk from submission to release, and what is refused on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NoReturn

import msgspec
import pytest
from tests.world import SUBSCRIBER, Plan, World, a_description

from privyseal.errors import (
    BadInput,
    Conflict,
    Denied,
    Failed,
    IdempotencyMismatch,
    KeyStoreUnavailable,
    LogUnavailable,
    NotFound,
    PrivySealError,
    TimestampUnavailable,
    Unavailable,
)
from privyseal.records import events, requests
from privyseal.signing import duties
from privyseal.signing.sign import advance
from privyseal.signing.submit import LONGEST_LIFE, Submission, submit
from privyseal.strongroom.messages import Appended, SignBatch, SignedBatch, Stale
from privyseal.strongroom.messages import Submission as Submitted
from privyseal.terms.requests import Dossier, State
from privyseal.tlog.entry import CompletionSubmission
from privyseal.tlog.proof import read_receipt

Make = Callable[[Plan | None], World]


def _only(outcomes: list[Dossier | PrivySealError]) -> Dossier:
    (outcome,) = outcomes
    assert isinstance(outcome, Dossier), outcome
    return outcome


def _refusal(outcomes: list[Dossier | PrivySealError]) -> PrivySealError:
    (outcome,) = outcomes
    assert isinstance(outcome, PrivySealError), outcome
    return outcome


def test_a_request_is_released_with_a_receipt_for_what_was_asked(world: World) -> None:
    """The receipt opens to the very request, and binds the blob and the signature that were given."""
    ledger = world.client(1, program_name="Hello")
    done = _only(world.ask([ledger]))
    assert done.state is State.RELEASED
    assert done.receipt is not None
    opened = read_receipt(done.receipt, world.policy())
    assert opened.payload == ledger.request.canonical()
    assert opened.completed.blobs == tuple(hashlib.sha256(blob).hexdigest() for blob in done.blobs)
    assert opened.completed.signatures == tuple(hashlib.sha256(each).hexdigest() for each in done.signatures)
    assert opened.completed.tokens == tuple(hashlib.sha256(each.der).hexdigest() for each in done.tokens)
    assert len(done.tokens) == len(done.signatures) == 1
    world.check()


def test_the_intent_is_logged_before_the_key_is_used(world: World) -> None:
    """In the order of durable effects the intent's head and the spent intent stand before the first use of the key."""
    world.ask([world.client(1)])
    names = world.writes
    use = names.index("key")
    assert names.index("log's mark") < use
    assert names.index("signer's journal") < use
    assert names.index("logger: Append") < names.index("signer: SignBatch") < use


def test_a_batch_shares_its_commits(world: World) -> None:
    """Sixteen requests at once cost as many commits as one."""
    commits = ("records", "log's journal", "signer's journal", "log's mark")
    world.ask([world.client(0)])  # the first one also pays for the start
    before = len(world.writes)
    world.ask([world.client(1)])
    one = [name for name in world.writes[before:] if name in commits]
    before = len(world.writes)
    outcomes = world.ask([world.client(number) for number in range(2, 18)])
    many = [name for name in world.writes[before:] if name in commits]
    assert all(isinstance(each, Dossier) and each.state is State.RELEASED for each in outcomes)
    assert sorted(many) == sorted(one)
    world.check()


def test_the_same_idempotency_key_gives_the_same_octets(world: World) -> None:
    """Asked again, even an hour later with a later expiry, the answer is the first one and the key is not used."""
    ledger = world.client(1)
    first = _only(world.ask([ledger]))
    uses = world.key_uses
    world.now += timedelta(hours=2)
    ledger.request = msgspec.structs.replace(ledger.request, expires_at=world.now + timedelta(hours=1))
    again = _only(world.ask([ledger]))
    assert (again.blobs, again.receipt, again.id) == (first.blobs, first.receipt, first.id)
    assert world.key_uses == uses


def test_an_idempotency_key_is_good_for_one_request(world: World) -> None:
    """The same key with anything else asked is refused, and nothing is written."""
    first = world.client(1)
    world.ask([first])
    second = world.client(2)
    second.keys = list(first.keys)
    assert isinstance(_refusal(world.ask([second])), IdempotencyMismatch)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"key": "nothing"}, NotFound, "no Key Pair"),
        ({"subscriber": "other"}, NotFound, "no Subscriber"),
        ({"key_id": "00" * 32}, BadInput, "another public key"),
        ({"scheme": "rsa-4096"}, BadInput, "another public key or scheme"),
        ({"certificate": "00" * 32}, NotFound, "No certificate"),
        ({"mode": "server", "input": "0" * 64}, BadInput, "mode local"),
        ({"described": ()}, BadInput, "describes 1 to"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(
    world: World, change: dict[str, object], error: type[PrivySealError], words: str
) -> None:
    """One sentence says which part is not right, and the key is not used."""
    ledger = world.client(1)
    ledger.request = msgspec.structs.replace(ledger.request, **change)
    refused = _refusal(world.ask([ledger]))
    assert isinstance(refused, error)
    assert words in refused.detail
    assert not world.key_uses


def test_times_out_of_bounds_are_refused(world: World) -> None:
    """A request that is past, or that could be approved in a month, is not taken in."""
    ledger = world.client(1)
    right = ledger.request
    ledger.request = msgspec.structs.replace(right, expires_at=world.now)
    assert isinstance(_refusal(world.ask([ledger])), Denied)
    ledger.request = msgspec.structs.replace(right, expires_at=world.now + LONGEST_LIFE + timedelta(seconds=1))
    assert isinstance(_refusal(world.ask([ledger])), BadInput)


def test_what_the_format_does_not_understand_never_reaches_the_log(world: World) -> None:
    """A description with an unknown format, a short digest or a fact too many is refused at the door."""
    entries = len(world.entries())
    for wrong in (
        msgspec.structs.replace(a_description(1), format="tar"),
        msgspec.structs.replace(a_description(1), digest=b"short"),
        msgspec.structs.replace(a_description(1), facts={**a_description(1).facts, "more": 1}),
    ):
        ledger = world.client(1, described=[wrong])
        assert isinstance(_refusal(world.ask([ledger])), BadInput)
    assert len(world.entries()) == entries


def test_one_bad_request_does_not_fail_its_neighbours(world: World) -> None:
    """In one batch the good ones are released."""
    good, bad, late = world.client(1), world.client(2), world.client(3)
    bad.request = msgspec.structs.replace(bad.request, key_id="00" * 32)
    outcomes = world.ask([good, bad, late])
    assert [isinstance(each, Dossier) for each in outcomes] == [True, False, True]
    world.ledgers.remove(bad)
    world.check()


def _submitted(world: World, number: int = 1) -> Dossier:
    ledger = world.client(number)
    world.ledgers.remove(ledger)
    return _only(submit(world.seal, [Submission(world.actor, ledger.key, ledger.request)]))


def test_a_request_whose_time_ran_out_is_not_signed(world: World) -> None:
    """Between submission and signature the clock may have passed expires_at: it becomes EXPIRED."""
    dossier = _submitted(world)
    world.now += timedelta(hours=2)
    assert _only(advance(world.seal, [(SUBSCRIBER, dossier.id)])).state is State.EXPIRED
    assert not world.key_uses


def test_the_duty_of_expiry_ends_what_nobody_took(world: World) -> None:
    """Without anybody asking, a late request is ended and an event says so."""
    dossier = _submitted(world)
    assert duties.expire(world.seal) == 0
    world.now += timedelta(hours=2)
    assert duties.expire(world.seal) == 1
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.get(tx, dossier.id).state is State.EXPIRED
        told = [event.what.partition(", papers ")[0] for event in events.events_about(tx, dossier.id)]
    assert told == ["submitted, approved", "expired"]


def test_recovery_takes_up_what_was_only_submitted(world: World) -> None:
    """A service that died between submission and signature signs after its restart, and logs as always."""
    dossier = _submitted(world)
    world.crash()
    assert _only(duties.recover(world.seal)).state is State.RELEASED
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.get(tx, dossier.id).receipt is not None
    world.check()


def _first(make_world: Make, name: str) -> int:
    """Find out which write of a story is the first of that name."""
    probe = make_world(None)
    probe.client(1)
    probe.story()
    return probe.writes.index(name)


def test_without_a_timestamp_the_signature_is_kept_and_the_walk_resumes(make_world: Make) -> None:
    """The stamper is away: retryable; asked again, the same signature gets its token and the key is not used again."""
    world = make_world(Plan(_first(make_world, "stamper: Stamp"), "lost"))
    ledger = world.client(1)
    refused = _refusal(world.ask([ledger]))
    assert isinstance(refused, TimestampUnavailable)
    assert refused.retryable
    assert world.key_uses == 1
    assert _only(world.ask([ledger])).state is State.RELEASED
    assert world.key_uses == 1
    world.check()


def test_without_the_log_nothing_is_signed_and_nothing_is_lost(make_world: Make) -> None:
    """The logger is away before the intent: retryable, key untouched; asked again, the same intent serves."""
    world = make_world(Plan(_first(make_world, "logger: Append"), "unreported"))
    ledger = world.client(1)
    refused = _refusal(world.ask([ledger]))
    assert isinstance(refused, LogUnavailable)
    assert not world.key_uses
    before = len(world.entries())
    assert _only(world.ask([ledger])).state is State.RELEASED
    assert len(world.entries()) == before + 1  # the completion; the intent was there
    world.check()


def test_a_signer_that_did_not_hear_is_asked_again(make_world: Make) -> None:
    """The intent stays in the log and unspent, so the same request is signed under it later."""
    world = make_world(Plan(_first(make_world, "signer: SignBatch"), "lost"))
    ledger = world.client(1)
    assert isinstance(_refusal(world.ask([ledger])), KeyStoreUnavailable)
    before = len(world.entries())
    assert _only(world.ask([ledger])).state is State.RELEASED
    assert len(world.entries()) == before + 1  # the completion; the intent was there
    assert world.key_uses == 1
    world.check()


def test_a_lost_answer_of_the_signer_ends_the_request(make_world: Make) -> None:
    """The intent is spent and its signature lost: FAILED, completion ``aborted``, and a new request is signed."""
    world = make_world(Plan(_first(make_world, "signer: SignBatch"), "unreported"))
    ledger = world.client(1)
    assert isinstance(_refusal(world.ask([ledger])), KeyStoreUnavailable)
    assert isinstance(_refusal(world.ask([ledger])), Failed)
    again = _only(world.ask([ledger]))
    assert again.state is State.FAILED, "its Idempotency-Key stays failed"
    assert again.failure_code == "key-use-unknown"
    world.insist()
    assert ledger.given
    world.check()


def test_a_lease_that_could_not_be_given_back_is_given_back_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signer and database fail together: nobody has to wait for the lease once both are back."""
    ledger, sign, batch = world.client(1), world.seal.signer.sign, world.seal.records.batch

    def database_away() -> NoReturn:
        raise Unavailable("no database")

    def signer_away(question: SignBatch) -> NoReturn:
        monkeypatch.setattr(world.seal.records, "batch", database_away)
        raise KeyStoreUnavailable("no signer")

    monkeypatch.setattr(world.seal.signer, "sign", signer_away)
    assert isinstance(_refusal(world.ask([ledger])), KeyStoreUnavailable)
    monkeypatch.setattr(world.seal.signer, "sign", sign)
    monkeypatch.setattr(world.seal.records, "batch", batch)
    (done,) = duties.recover(world.seal)
    assert isinstance(done, Dossier) and done.state is State.RELEASED
    world.insist()
    world.check()


def test_who_lost_its_lease_does_not_end_in_the_log_what_another_walk_signs(world: World) -> None:
    """A walk that is refused as spent, because the next one has just signed, writes nothing: not even the log."""
    ledger = world.client(1)
    (asked,) = submit(world.seal, [Submission(world.actor, ledger.key, ledger.request)])
    assert isinstance(asked, Dossier)
    sign, append = world.seal.signer.sign, world.seal.logger.append

    def without_completions(submissions: Sequence[Submitted], since: int) -> Appended:
        if isinstance(submissions[0], CompletionSubmission):
            raise LogUnavailable("not now")
        return append(submissions, since)

    def overtaking(batch: SignBatch) -> SignedBatch | Stale:
        world.seal.signer.sign, world.seal.logger.append = sign, without_completions  # type: ignore[method-assign]
        world.now += timedelta(seconds=61)
        advance(world.seal, [(SUBSCRIBER, asked.id)])  # signs, and comes no further
        world.seal.logger.append = append  # type: ignore[method-assign]
        return sign(batch)

    world.seal.signer.sign = overtaking  # type: ignore[method-assign]
    (late,) = advance(world.seal, [(SUBSCRIBER, asked.id)])
    assert isinstance(late, Conflict)
    assert _only(world.ask([ledger])).state is State.RELEASED
    assert world.key_uses == 1
    world.check()
