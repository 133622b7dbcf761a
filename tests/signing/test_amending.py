"""A charter is amended under its old rules, whoever asks; a passkey in it is what a member enrolled."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from tests.signing.agreeing import ANN, BOB, SID, STAGES, guarded
from tests.world import SUBSCRIBER, World

from privyseal.errors import NotPermitted, StepUpNeeded
from privyseal.signing import amending, custody
from privyseal.signing.amending import Rules
from privyseal.signing.people import ApproverKey
from privyseal.strongroom.acts import act_digest
from privyseal.terms.canonical import canonical_json
from privyseal.terms.parties import Actor, Factor, Member, Role


def rules(key: str, quorum: int = 1) -> Rules:
    return Rules(subscriber=SUBSCRIBER, key=key, approvers=(ANN.approver, BOB.approver), quorum=quorum)


def custodian(world: World, *, ago: timedelta | None = None) -> Actor:
    proved = None if ago is None else world.now - ago
    return Actor(Member("M-cus", SUBSCRIBER, "cus", (Role.CUSTODIAN,)), (Factor.PASSKEY,), proved, "S-1")


def test_once_there_are_approvers_they_must_agree(world: World) -> None:
    """A rehearsal's key asks for nobody at first; from the first amendment on its approvers must agree to the next."""
    name = world.pair()[0].name
    before = len(world.entries())
    pair = amending.amend(world.seal, None, rules(name))
    assert pair.quorum == 1 and [each.name for each in pair.approvers] == ["ann", "bob"]
    assert world.seal.signer.charter(pair.key_id).charter.approvers == pair.approvers
    assert len(world.entries()) > before
    with pytest.raises(NotPermitted, match="1 more of these must approve"):
        amending.amend(world.seal, None, rules(name, 2))
    _, act = amending.proposal(world.seal, rules(name, 2))
    given = BOB.approves(act_digest(canonical_json(act)))
    assert custody.carry_out(world.seal, pair, act, [given]).quorum == 2


def test_stages_agree_in_their_order(world: World) -> None:
    """Approvals of the last stage alone change nothing."""
    guarded(world)
    _, act = amending.proposal(world.seal, rules("guarded"))
    given = SID.approves(act_digest(canonical_json(act)))
    with pytest.raises(NotPermitted):
        amending.amend(world.seal, None, rules("guarded"), [given])
    assert len(STAGES) == 2


def test_only_a_custodian_with_a_recent_factor_proposes(world: World) -> None:
    """Another role, and an old proof, are refused before the log knows of anything."""
    name = world.pair()[0].name
    before = len(world.entries())
    for role in set(Role) - {Role.CUSTODIAN}:
        who = Actor(Member("M-x", SUBSCRIBER, "x", (role,)), (Factor.PASSKEY,), world.now, "S-1")
        with pytest.raises(NotPermitted, match="manage-keys"):
            amending.amend(world.seal, who, rules(name))
    for ago in (None, timedelta(minutes=10)):
        with pytest.raises(StepUpNeeded):
            amending.amend(world.seal, custodian(world, ago=ago), rules(name))
    assert len(world.entries()) == before
    assert amending.amend(world.seal, custodian(world, ago=timedelta(minutes=1)), rules(name)).quorum == 1


def test_rules_that_nobody_could_satisfy_are_refused(world: World) -> None:
    """Three of two people: one sentence, and nothing is logged."""
    before = len(world.entries())
    with pytest.raises(NotPermitted, match="asks for 3 approvals and names 2"):
        amending.amend(world.seal, None, rules(world.pair()[0].name, 3))
    assert len(world.entries()) == before


def test_passkeys_of_a_member_are_one_person() -> None:
    """Two passkeys are two approvers of one member, each by the digest of its id."""
    member = Member("M-1", SUBSCRIBER, "Ada", (Role.APPROVER,))
    known = [
        ApproverKey(
            member="M-1", credential=bytes([n]) * 16, public_key=bytes([n]), rp_id="localhost",
            origins=("http://localhost",), synced=False, label="key",
        )
        for n in (1, 2)
    ]  # fmt: skip
    made = amending.approvers_of(member, known)
    assert [each.name for each in made] == ["Ada", "Ada (2)"] and {each.person for each in made} == {"M-1"}
    assert made[1].passkey.credential == hashlib.sha256(b"\2" * 16).hexdigest()  # type: ignore[union-attr]
