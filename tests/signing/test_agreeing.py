"""People agree in stages, say no, take back, and are shown what changed; the records' side of it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from tests.signing.agreeing import ANN, BOB, SID, actor, agreed, guarded, waiting
from tests.world import SUBSCRIBER, World

from privyseal.errors import BadInput, Conflict, Denied, NotPermitted, VerificationFailed
from privyseal.records import approvals, evidence, keys, requests
from privyseal.signing.approve import approve
from privyseal.signing.decline import cancel, deny
from privyseal.signing.review import Change, Earlier, Review, changes, review
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.terms.requests import Dossier, State, approvals_digest


@pytest.fixture
def asked(world: World) -> Dossier:
    """Ask for a signature that two approvers and then the security officer must agree to."""
    guarded(world)
    return waiting(world, [1])[0]


def test_each_agrees_in_turn_and_it_is_signed(world: World, asked: Dossier) -> None:
    """Too early is a conflict and too late is one; in turn, the last of three makes it APPROVED."""
    digest = bytes.fromhex(asked.digest)
    first, second = ANN.approves(digest), BOB.approves(digest)
    with pytest.raises(NotPermitted, match="'sid' is not asked"):
        approve(world.seal, actor("sid"), asked.id, SID.approves(digest))
    with pytest.raises(Conflict, match="does not wait in that one"):
        approve(world.seal, actor("sid"), asked.id, SID.approves(digest, 1, approvals_digest([])))
    with pytest.raises(NotPermitted, match="somebody else handed it in"):
        approve(world.seal, actor("bob"), asked.id, first)
    assert approve(world.seal, actor("ann"), asked.id, first).state is State.REQUESTED
    assert approve(world.seal, actor("bob"), asked.id, second).state is State.REQUESTED
    with pytest.raises(VerificationFailed, match="another challenge"):
        approve(world.seal, actor("sid"), asked.id, SID.approves(digest, 1, approvals_digest([first])))
    last = SID.approves(digest, 1, approvals_digest([second, first]))
    assert approve(world.seal, actor("sid"), asked.id, last).state is State.APPROVED
    (done,) = advance(world.seal, [(SUBSCRIBER, asked.id)])
    assert isinstance(done, Dossier) and done.state is State.RELEASED
    world.check()


def test_a_passkey_that_agreed_is_a_factor_of_whoever_agreed(world: World, asked: Dossier) -> None:
    """Beside what let them in; a key in a file is none, for anybody may hold it who has the file."""
    digest = bytes.fromhex(asked.digest)
    for person in (ANN, BOB):
        approve(world.seal, actor(person.name), asked.id, person.approves(digest))
    with world.seal.records.reading(SUBSCRIBER) as tx:
        by = {each.who: each.factors for each in evidence.authentications(tx, requests.get(tx, asked.id))}
    assert (by["M-ann"], by["M-bob"]) == ((Factor.BEARER,), (Factor.BEARER, Factor.PASSKEY))


def test_a_request_in_somebody_else_s_name_is_refused(world: World) -> None:
    """And one that does not say who asks, and one that only its own requester could complete."""
    guarded(world)
    plain = world.request(1, key="guarded")
    for requester, error in (("M-ann", NotPermitted), (msgspec.UNSET, BadInput)):
        request = msgspec.structs.replace(plain, requester=requester)
        (outcome,) = submit(world.seal, [Submission(world.actor, "k", request)])
        assert type(outcome) is error, outcome
    ann = Actor(Member("M-ann", SUBSCRIBER, "ann", (Role.REQUESTER, Role.APPROVER)), (Factor.BEARER,))
    own = msgspec.structs.replace(plain, requester="M-ann")
    (outcome,) = submit(world.seal, [Submission(ann, "k", own)])
    assert isinstance(outcome, NotPermitted) and "not counted" in str(outcome.hint)


def test_one_approver_says_no_and_it_is_final(world: World, asked: Dossier) -> None:
    """With a reason; the same again changes nothing, another one is too late, and nobody agrees any more."""
    for reason in ("", "   ", "x" * 1001, "a\0b"):
        with pytest.raises(BadInput, match="reason"):
            deny(world.seal, actor("ann"), asked.id, reason)
    with pytest.raises(NotPermitted):
        deny(world.seal, world.actor, asked.id, "I may not")
    ended = deny(world.seal, actor("ann"), asked.id, "not the tagged build")
    assert (ended.state, ended.failure_detail) == (State.DENIED, "ann denied it: not the tagged build")
    assert deny(world.seal, actor("ann"), asked.id, "not the tagged build") == ended
    with pytest.raises(Conflict, match="it is denied"):
        deny(world.seal, actor("bob"), asked.id, "too late")
    with pytest.raises(Conflict, match="no longer waits"):
        approve(world.seal, actor("bob"), asked.id, BOB.approves(bytes.fromhex(asked.digest)))


def test_only_who_asked_takes_it_back(world: World, asked: Dossier) -> None:
    """Also when it is approved already; not when it is signed, and never somebody else's."""
    other = Actor(Member("M-other", SUBSCRIBER, "other", (Role.REQUESTER,)), (Factor.BEARER,))
    with pytest.raises(NotPermitted, match="Only who asked"):
        cancel(world.seal, other, asked.id)
    agreed(world, [asked])
    assert cancel(world.seal, world.actor, asked.id).state is State.DENIED
    assert cancel(world.seal, world.actor, asked.id).failure_code == "cancelled"
    (outcome,) = advance(world.seal, [(SUBSCRIBER, asked.id)])
    assert isinstance(outcome, Dossier) and outcome.state is State.DENIED
    assert world.key_uses == 0
    (later,) = waiting(world, [2])
    agreed(world, [later])
    advance(world.seal, [(SUBSCRIBER, later.id)])
    with pytest.raises(Conflict, match="it is released"):
        cancel(world.seal, world.actor, later.id)


def test_the_same_inputs_find_the_same_request(world: World, asked: Dossier) -> None:
    """A later run with another time finds what waits; nothing is asked twice."""
    world.now += timedelta(minutes=30)
    (found,) = submit(world.seal, [Submission(world.actor, "guarded 1", world.request(1, key="guarded"))])
    assert isinstance(found, Dossier) and found.id == asked.id
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert [each.id for each in requests.newest(tx, [State.REQUESTED], 10)] == [asked.id]
    world.now += timedelta(minutes=31)
    with pytest.raises(Denied, match="ran out"):
        approve(world.seal, actor("ann"), asked.id, ANN.approves(bytes.fromhex(asked.digest)))


def test_a_review_says_who_is_asked_and_what_changed(world: World, asked: Dossier) -> None:
    """Before any release there is none to compare with; afterwards each difference has its line."""
    before = _review(world, asked)
    assert (before.last, before.changes, before.stage, before.missing) == (None, (), 0, 2)
    assert before.waiting_for == ("ann", "bob")
    agreed(world, [asked])
    advance(world.seal, [(SUBSCRIBER, asked.id)])
    plain = world.request(2, key="guarded", program_name="Setup", timestamp=False)
    two = (*plain.described, msgspec.structs.replace(plain.described[0], filename="more.exe", digest=bytes(32)))
    (later,) = submit(world.seal, [Submission(world.actor, "k2", msgspec.structs.replace(plain, described=two))])
    assert isinstance(later, Dossier), later
    approve(world.seal, actor("ann"), later.id, ANN.approves(bytes.fromhex(later.digest)))
    seen = _review(world, later)
    assert seen.last is not None and seen.last.id == asked.id
    assert (seen.stages[0].agreed, seen.stages[1].among, seen.waiting_for) == (("ann",), ("sid",), ("bob",))
    assert [each.what for each in seen.changes] == ["program name", "timestamp", "new more.exe", "content of t64.exe"]
    assert Change("program name", "", "Setup") in seen.changes


def _review(world: World, dossier: Dossier) -> Review:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        request = requests.get(tx, dossier.id)
        pair = keys.key_pair(tx, "guarded")
        last = approvals.last_agreed(tx, pair.key_id)
        return review(request, pair, approvals.approvals_of(tx, dossier.id), None if last is None else Earlier(*last))


def test_nothing_changed_says_nothing(world: World) -> None:
    """Another time is no change."""
    request = world.request(1)
    later = msgspec.structs.replace(request, expires_at=request.expires_at + timedelta(minutes=1))
    assert changes(request, later) == ()
