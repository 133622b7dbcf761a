"""A key that asks for two of three: approvals are signatures, counted here and judged again by the signer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.signing.test_custody import certify, generate
from tests.world import SUBSCRIBER, World

from privyseal.errors import Conflict, Denied, Failed, NotFound, NotPermitted, PrivySealError, VerificationFailed
from privyseal.records import approvals, requests
from privyseal.signing.approve import approve
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.terms.keys import Approver
from privyseal.terms.parties import Actor, Member, Role
from privyseal.terms.requests import Approval, Dossier, State, approved_octets

KEYS = {name: Ed25519PrivateKey.generate() for name in ("ann", "bob", "cy")}


@pytest.fixture
def waiting(world: World) -> Dossier:
    """Submit a request for a key that asks for two of three."""
    approvers = tuple(Approver(name, key.public_key().public_bytes_raw()) for name, key in KEYS.items())
    certify(world, generate(world, "guarded", 2, approvers))
    request = world.request(1, key="guarded")
    (dossier,) = submit(world.seal, [Submission(world.actor, "k", request)])
    assert isinstance(dossier, Dossier)
    assert dossier.state is State.REQUESTED
    return dossier


def agreement(
    dossier: Dossier, name: str, key: Ed25519PrivateKey | None = None, digest: bytes | None = None
) -> Approval:
    """Sign a request's digest as an approver would."""
    signer = key or KEYS[name]
    agreed = digest or bytes.fromhex(dossier.digest)
    return Approval(
        approver=name,
        public_key=signer.public_key().public_bytes_raw(),
        request_digest=agreed,
        signature=signer.sign(approved_octets(agreed)),
    )


def _advance(world: World, dossier: Dossier) -> Dossier | PrivySealError:
    (outcome,) = advance(world.seal, [(SUBSCRIBER, dossier.id)])
    return outcome


def test_two_of_three_are_enough_and_one_is_not(world: World, waiting: Dossier) -> None:
    """After the first approval it waits and nothing is signed; after the second it is released."""
    assert approve(world.seal, world.approver, waiting.id, agreement(waiting, "ann")).state is State.REQUESTED
    still = _advance(world, waiting)
    assert isinstance(still, Dossier)
    assert still.state is State.REQUESTED
    assert world.key_uses == 0
    assert approve(world.seal, world.approver, waiting.id, agreement(waiting, "cy")).state is State.APPROVED
    done = _advance(world, waiting)
    assert isinstance(done, Dossier)
    assert done.state is State.RELEASED
    world.check()


def test_nobody_counts_twice(world: World, waiting: Dossier) -> None:
    """The same approver again, even with a fresh signature, changes nothing."""
    for _ in range(3):
        assert approve(world.seal, world.approver, waiting.id, agreement(waiting, "ann")).state is State.REQUESTED


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (lambda d: agreement(d, "ann", Ed25519PrivateKey.generate()), NotPermitted),
        (lambda d: agreement(d, "bob", KEYS["ann"]), NotPermitted),
        (lambda d: agreement(d, "ann", digest=bytes(32)), VerificationFailed),
        (lambda d: Approval(**{**_fields(agreement(d, "ann")), "signature": bytes(64)}), VerificationFailed),
    ],
    ids=["unknown-key", "key-of-another", "another-request", "bad-signature"],
)
def test_what_is_no_approval_is_refused(world: World, waiting: Dossier, given: object, error: type[Exception]) -> None:
    """Nothing is written down of it."""
    with pytest.raises(error):
        approve(world.seal, world.approver, waiting.id, given(waiting))  # type: ignore[operator]
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert approvals.approvals_of(tx, waiting.id) == []


def _fields(approval: Approval) -> dict[str, object]:
    return {name: getattr(approval, name) for name in Approval.__struct_fields__}


def test_an_approval_of_something_else_is_told_apart_from_a_bad_one(world: World, waiting: Dossier) -> None:
    """Who signed another request's digest is told so, not that the signature is wrong."""
    with pytest.raises(VerificationFailed, match="another request's digest"):
        approve(world.seal, world.approver, waiting.id, agreement(waiting, "ann", digest=bytes(32)))


def test_only_who_may_approve_does(world: World, waiting: Dossier) -> None:
    """A requester's role does not allow it, and another Subscriber's approver does not even see the request."""
    with pytest.raises(NotPermitted):
        approve(world.seal, world.actor, waiting.id, agreement(waiting, "ann"))
    stranger = Actor(Member("M-x", "other", "x", (Role.APPROVER,)), ())
    with pytest.raises(NotFound):
        approve(world.seal, stranger, waiting.id, agreement(waiting, "ann"))


def test_a_late_approval_is_a_conflict(world: World, waiting: Dossier) -> None:
    """What is released already waits for nobody."""
    for name in ("ann", "bob"):
        approve(world.seal, world.approver, waiting.id, agreement(waiting, name))
    _advance(world, waiting)
    with pytest.raises(Conflict, match="no longer waits"):
        approve(world.seal, world.approver, waiting.id, agreement(waiting, "cy"))


@pytest.mark.parametrize("agreed", [(), ("ann",)])
def test_who_writes_the_database_cannot_approve(world: World, waiting: Dossier, agreed: tuple[str, ...]) -> None:
    """A row that merely says APPROVED gets no signature: the signer counts the signatures itself."""
    for name in agreed:
        approve(world.seal, world.approver, waiting.id, agreement(waiting, name))
    with world.seal.records.writing(SUBSCRIBER) as tx:
        requests.move(tx, waiting, State.APPROVED)
    assert isinstance(_advance(world, waiting), Failed)
    assert world.key_uses == 0
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.get(tx, waiting.id).failure_code == NotPermitted.code
    world.check()


def test_a_lost_answer_may_be_asked_for_again(world: World, waiting: Dossier) -> None:
    """The very approval that is on record, sent again after the release, is answered with how the request stands."""
    for name in ("ann", "bob"):
        approve(world.seal, world.approver, waiting.id, agreement(waiting, name))
    _advance(world, waiting)
    assert approve(world.seal, world.approver, waiting.id, agreement(waiting, "bob")).state is State.RELEASED


def test_nothing_is_approved_after_its_time(world: World, waiting: Dossier) -> None:
    """An hour and a second later it is too late to agree."""
    world.now += timedelta(hours=1, seconds=1)
    with pytest.raises(Denied, match="ran out"):
        approve(world.seal, world.approver, waiting.id, agreement(waiting, "ann"))


def test_an_approval_of_one_request_is_none_of_another(world: World, waiting: Dossier) -> None:
    """Approvals that are copied to another request's rows do not verify over its digest."""
    for name in ("ann", "bob"):
        approve(world.seal, world.approver, waiting.id, agreement(waiting, name))
    (other,) = submit(world.seal, [Submission(world.actor, "k2", world.request(2, key="guarded"))])
    assert isinstance(other, Dossier)
    with world.seal.records.writing(SUBSCRIBER) as tx:
        for name in ("ann", "bob"):
            approvals.add_approval(tx, other.id, agreement(waiting, name), world.now)
        requests.move(tx, other, State.APPROVED)
    assert isinstance(_advance(world, other), Failed)
    assert world.key_uses == 0


def test_an_approved_request_is_not_signed_after_its_time(world: World, waiting: Dossier) -> None:
    """Two agreed, then the hour passed."""
    for name in ("ann", "bob"):
        approve(world.seal, world.approver, waiting.id, agreement(waiting, name))
    world.now += timedelta(hours=2)
    outcome = _advance(world, waiting)
    assert isinstance(outcome, Dossier)
    assert outcome.state is State.EXPIRED
