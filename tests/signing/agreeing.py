"""People with keys and passkeys who agree in a world, in the stages of a key's charter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.signing.test_custody import certify
from tests.strongroom.authenticator import Authenticator
from tests.world import SUBSCRIBER, World

from privyseal.records import approvals, keys, parties, requests
from privyseal.signing import custody, enrol
from privyseal.signing.review import so_far
from privyseal.signing.submit import Submission, submit
from privyseal.strongroom.acts import Generate
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import Approver, KeyPair, Role, Stage
from privyseal.terms.parties import Actor, Factor, Member
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State, approved_octets


class Person(Protocol):
    """One who agrees, by whatever key."""

    name: str

    @property
    def approver(self) -> Approver: ...

    def approves(self, digest: bytes, stage: int = 0, earlier: bytes = b"") -> Approval: ...


class Signer:
    """A person with an Ed25519 key."""

    def __init__(self, name: str, role: Role = Role.APPROVER, member: str | None = None) -> None:
        self.name, self.role, self.member = name, role, member or f"M-{name}"
        self.key = Ed25519PrivateKey.generate()

    @property
    def approver(self) -> Approver:
        return Approver(self.name, self.key.public_key().public_bytes_raw(), self.role, self.member)

    def approves(self, digest: bytes, stage: int = 0, earlier: bytes = b"") -> Approval:
        return Approval(
            approver=self.name,
            public_key=self.approver.public_key,
            request_digest=digest,
            signature=self.key.sign(approved_octets(digest, stage, earlier)),
            stage=stage,
        )


ANN, BOB = Signer("ann"), Authenticator("bob")
SID = Authenticator("sid", "ed25519", Role.SECURITY_OFFICER)
PEOPLE: tuple[Person, ...] = (ANN, BOB, SID)
STAGES = (Stage(2, roles=(Role.APPROVER,)), Stage(1, names=("sid",)))
"""Two approvers, and after them the security officer."""


def guarded(
    world: World, people: Sequence[Person] = PEOPLE, stages: tuple[Stage, ...] = STAGES, name: str = "guarded"
) -> KeyPair:
    """Have a key born that these people guard, and certify it."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        owner = parties.subscriber(tx)
    act = Generate(
        subscriber=SUBSCRIBER,
        key=name,
        scheme="ecdsa-p256",
        approvers=tuple(each.approver for each in people),
        quorum=sum(stage.need for stage in stages),
        stages=stages,
        rehearsal=True,
        tag_key_sha256=enrol.tag_key_digest(owner),
        expires_at=world.now + timedelta(hours=1),
    )
    pair = custody.generate(world.seal, act)
    certify(world, pair)
    return pair


def actor(name: str) -> Actor:
    """Return the approver of that name as one who acts."""
    return Actor(Member(f"M-{name}", SUBSCRIBER, name, (Role.APPROVER,)), (Factor.BEARER,))


def waiting(world: World, numbers: Sequence[int], key: str = "guarded") -> list[Dossier]:
    """Ask for signatures that wait for people."""
    plain = world.request(0, key=key)
    made = []
    for number in numbers:
        request = world.request(number, key=key) if number < 2 else _another(world, plain, number)
        made.append(Submission(world.actor, f"{key} {number}", request))
    found = submit(world.seal, made)
    assert all(isinstance(each, Dossier) and each.state is State.REQUESTED for each in found), found
    return [each for each in found if isinstance(each, Dossier)]


def _another(world: World, plain: SigningRequest, number: int) -> SigningRequest:
    from tests.world import a_description

    return msgspec.structs.replace(plain, described=(a_description(number),))


def agreed(world: World, dossiers: Sequence[Dossier], people: Sequence[Person] = PEOPLE) -> None:
    """Have all of these people agree, each in turn, and the requests be APPROVED; as quick as the records allow."""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        for dossier in dossiers:
            request = decode_canonical(dossier.canonical, SigningRequest)
            pair = keys.key_pair(tx, request.key)
            given: list[Approval] = []
            for person in people:
                before = so_far(pair, request, given)
                given.append(person.approves(request.digest(), getattr(before.outcome, "stage", 0), before.earlier))
                approvals.add_approval(tx, dossier.id, given[-1], world.now, request.key_id)
            requests.move(tx, dossier, State.APPROVED)
