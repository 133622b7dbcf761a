"""Requests: compare-and-swap, fences, leases, and nobody sees another Subscriber's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.records import stored
from tests.terms.test_requests import a_request

from privyseal.errors import Conflict, NotFound
from privyseal.records import approvals, requests
from privyseal.records.database import Records
from privyseal.terms.requests import Dossier, Intent, State
from privyseal.terms.signatures import TimestampToken

NOW = datetime(2026, 11, 24, 11, tzinfo=UTC)


def submitted(records: Records, state: State = State.APPROVED, subscriber: str = "demo", key: str = "k") -> Dossier:
    """Write down a fresh request of a Subscriber."""
    request = a_request(subscriber=subscriber)
    dossier = Dossier(
        id=f"R-{subscriber}-{key}",
        subscriber=subscriber,
        idempotency_key=key,
        requester="M-1",
        state=state,
        canonical=request.canonical(),
        digest=request.digest().hex(),
        created=NOW,
        salt=b"\3" * 32,
        completion_salt=b"\4" * 32,
    )
    with records.writing(subscriber) as tx:
        requests.add(tx, dossier, request)
    return dossier


def test_a_row_comes_back_as_it_was_written(records: Records) -> None:
    """Step by step through the whole life, what is read is what was stored."""
    dossier = submitted(records)
    token = TimestampToken(b"der", NOW, "CN=TSA", "F" * 40)
    with records.writing("demo") as tx:
        assert requests.get(tx, dossier.id) == dossier
        taken = requests.claim(tx, dossier.id, NOW)
        assert taken is not None
        taken = requests.move(tx, taken, State.SIGNING)
        taken = stored.intent(tx, taken, Intent(7, 3))
        taken = stored.signatures(tx, taken, [b"sig"])
        taken = stored.blobs(tx, taken, [token], [b"blob"])
        taken = stored.receipt(tx, taken, "receipt")
    with records.reading("demo") as tx:
        assert requests.get(tx, dossier.id) == taken
    assert taken == msgspec.structs.replace(
        dossier,
        state=State.RELEASED,
        intent=Intent(7, 3),
        signatures=(b"sig",),
        tokens=(token,),
        blobs=(b"blob",),
        receipt="receipt",
        fence=1,
    )


def test_a_leased_request_is_nobody_elses(records: Records) -> None:
    """A second walk gets nothing until the lease is over or given back."""
    dossier = submitted(records)
    with records.writing("demo") as tx:
        first = requests.claim(tx, dossier.id, NOW)
        assert first is not None
        assert requests.claim(tx, dossier.id, NOW + timedelta(seconds=59)) is None
        assert requests.claim(tx, dossier.id, NOW + timedelta(seconds=61)) is not None
        requests.release(tx, first)  # its fence has passed: this must not free the other walk's lease
        assert requests.claim(tx, dossier.id, NOW + timedelta(seconds=62)) is None


def test_a_frozen_walks_late_write_is_refused(records: Records) -> None:
    """Whoever lost the request by its fence can store nothing and move nothing."""
    dossier = submitted(records)
    with records.writing("demo") as tx:
        late = requests.claim(tx, dossier.id, NOW)
        assert late is not None
        quick = requests.claim(tx, dossier.id, NOW + timedelta(seconds=61))
        assert quick is not None
        for write in (
            lambda: requests.move(tx, late, State.SIGNING),
            lambda: stored.intent(tx, late, Intent(1, 1)),
            lambda: stored.signatures(tx, late, [b"late"]),
        ):
            with pytest.raises(Conflict):
                write()
        assert requests.move(tx, quick, State.SIGNING).state is State.SIGNING


def test_what_stands_once_never_changes(records: Records) -> None:
    """A second signature, intent or receipt for one request is refused even by its own walk."""
    dossier = submitted(records)
    with records.writing("demo") as tx:
        taken = requests.claim(tx, dossier.id, NOW)
        assert taken is not None
        taken = requests.move(tx, taken, State.SIGNING)
        taken = stored.intent(tx, taken, Intent(7, 3))
        with pytest.raises(Conflict):
            stored.intent(tx, taken, Intent(8, 4))
        with pytest.raises(Conflict):
            stored.signatures(tx, msgspec.structs.replace(taken, intent=Intent(8, 4)), [b"another's"])
        stored.signatures(tx, taken, [b"one"])
        with pytest.raises(Conflict):
            stored.signatures(tx, taken, [b"two"])
        assert requests.get(tx, dossier.id).signatures == (b"one",)


def test_only_the_tables_arrows_can_be_walked(records: Records) -> None:
    """No way leads from APPROVED to RELEASED, and none out of a final state."""
    dossier = submitted(records)
    with records.writing("demo") as tx:
        with pytest.raises(Conflict, match="approved cannot become released"):
            requests.move(tx, dossier, State.RELEASED)
        gone = requests.move(tx, dossier, State.EXPIRED)
        assert requests.claim(tx, dossier.id, NOW) is None
        with pytest.raises(Conflict):
            requests.move(tx, gone, State.SIGNING)


def test_a_state_changes_only_from_where_it_is(records: Records) -> None:
    """Compare-and-swap: a walk that believes an older state loses."""
    dossier = submitted(records, State.REQUESTED)
    with records.writing("demo") as tx:
        requests.move(tx, dossier, State.APPROVED)
        with pytest.raises(Conflict, match="changed by somebody else"):
            requests.move(tx, dossier, State.DENIED)


def test_another_subscriber_sees_nothing(records: Records) -> None:
    """Id and Idempotency-Key of one Subscriber mean nothing in a transaction of another."""
    dossier = submitted(records)
    with records.writing("other") as tx:
        with pytest.raises(NotFound):
            requests.get(tx, dossier.id)
        assert requests.by_idempotency_key(tx, "k") is None
        assert requests.claim(tx, dossier.id, NOW) is None
        assert approvals.approvals_of(tx, dossier.id) == []
    submitted(records, subscriber="other")  # the same Idempotency-Key of another Subscriber is another key


def test_the_unfinished_and_the_late_are_found(records: Records) -> None:
    """The duties see what no walk holds, oldest first, and what nobody agreed to in time."""
    submitted(records, State.REQUESTED, key="waits")
    held = submitted(records, key="held")
    free = submitted(records, key="free")
    with records.writing("demo") as tx:
        requests.claim(tx, held.id, NOW)
    with records.reading_all_subscribers() as connection:
        found = requests.unfinished_of_all_subscribers(connection, (State.APPROVED, State.SIGNING), unleased_at=NOW)
        late = requests.expired_of_all_subscribers(connection, NOW + timedelta(hours=2))
    assert found == [("demo", free.id)]
    assert {request_id for _, request_id in late} == {"R-demo-waits", "R-demo-free", "R-demo-held"}


def _placed(dossier: Dossier, intent: Intent) -> Dossier:
    return msgspec.structs.replace(dossier, intent=intent)


def test_a_step_of_many_is_written_for_all_or_none(records: Records) -> None:
    """Where one of them was changed meanwhile, nothing of the others is written either."""
    first, second = submitted(records, key="a"), submitted(records, key="b")
    with records.batch() as batch:
        with batch.item("demo") as tx:
            taken = [requests.claim(tx, each.id, NOW) for each in (first, second)]
        held = [each for each in taken if each is not None]
        with pytest.raises(Conflict), batch.item("demo") as tx:
            late = msgspec.structs.replace(held[1], fence=held[1].fence - 1)
            requests.store_intents(tx, [_placed(held[0], Intent(1, 0)), _placed(late, Intent(2, 1))])
        with batch.item("demo") as tx:
            assert [requests.get(tx, each.id).intent for each in held] == [None, None]
            requests.store_intents(tx, [_placed(held[0], Intent(1, 0)), _placed(held[1], Intent(2, 1))])
            assert [requests.get(tx, each.id).intent for each in held] == [Intent(1, 0), Intent(2, 1)]


def test_new_requests_are_taken_in_all_or_none(records: Records) -> None:
    """A used Idempotency-Key among them is a Conflict, and none of them is there; else each is under a lease."""
    used = submitted(records, key="used")
    request = a_request(subscriber="demo")
    fresh = [
        msgspec.structs.replace(used, id=f"R-{key}", idempotency_key=key, state=State.SIGNING, fence=1)
        for key in ("new", "used")
    ]
    with records.batch() as batch:
        with pytest.raises(Conflict), batch.item("demo") as tx:
            requests.add_taken(tx, [(each, request) for each in fresh], NOW)
        with batch.item("demo") as tx:
            assert requests.by_idempotency_key(tx, "new") is None
            requests.add_taken(tx, [(fresh[0], request)], NOW)
            assert requests.get(tx, "R-new") == fresh[0]
            assert requests.claim(tx, "R-new", NOW) is None
            assert requests.claim(tx, "R-new", NOW + requests.LEASE + timedelta(seconds=1)) is not None
