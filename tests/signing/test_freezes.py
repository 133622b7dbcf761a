"""A freeze takes one person and holds at once; a thaw takes two; nothing in between is signed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World

from privyseal.errors import (
    Conflict,
    Denied,
    Failed,
    KeyStoreUnavailable,
    NotFound,
    NotPermitted,
    PrivySealError,
    Unavailable,
    VerificationFailed,
)
from privyseal.records import freezes as kept
from privyseal.records import keys, policies, requests, statements
from privyseal.signing import duties, enrol, freezes, sign
from privyseal.signing.forms_of_requests import Agreement
from privyseal.signing.freezes import Asked
from privyseal.signing.submit import Submission, submit
from privyseal.terms.freezes import Frozen
from privyseal.terms.keys import Approver
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.terms.requests import Approval, Dossier, State, approved_octets
from privyseal.web import views

OFFICER = Actor(Member("M-officer", SUBSCRIBER, "officer", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,), session="S-1")
SECOND = Actor(Member("M-second", SUBSCRIBER, "second", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,), session="S-2")
KEY = Asked(kind="key", name="release", reason="its token was seen elsewhere")


def charter_frozen(world: World) -> bool:
    return world.seal.signer.charter(world.pair()[0].key_id).charter.frozen


def held(world: World) -> list[Frozen]:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return kept.listed(tx, 10)


def overseers(world: World, *names: str) -> dict[str, Ed25519PrivateKey]:
    found = {name: Ed25519PrivateKey.generate() for name in names}
    world.seal.overseers = tuple(Approver(n, k.public_key().public_bytes_raw()) for n, k in found.items())
    return found


def signed(name: str, key: Ed25519PrivateKey, frozen: Frozen) -> Agreement:
    digest = freezes.digest(frozen)
    public, octets = key.public_key().public_bytes_raw(), key.sign(approved_octets(digest))
    return Agreement(approval=Approval(approver=name, public_key=public, request_digest=digest, signature=octets))


@pytest.mark.parametrize("kind", ["key", "policy", "subscriber"])
def test_what_is_frozen_signs_nothing_and_says_why(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At submission: Denied (exit 7) with who, what, when and why; nothing is logged, no key used."""
    name = {"key": "release", "policy": "nightly", "subscriber": SUBSCRIBER}[kind]
    monkeypatch.setattr(policies, "governing", lambda tx, request: ("nightly",))
    frozen = freezes.freeze(world.seal, OFFICER, msgspec.structs.replace(KEY, kind=kind, name=name))
    before, used = len(world.entries()), world.key_uses
    ledger = world.client(1)
    [outcome] = world.ask([ledger])
    if kind == "policy":  # which policy allows it is known once it is written down: the last look refuses it
        assert isinstance(outcome, Failed)
        with world.seal.records.reading(SUBSCRIBER) as tx:
            found = requests.by_idempotency_key(tx, ledger.key)
        assert found is not None
        refused = views.refusal(found[0])
        assert isinstance(refused, Denied)
        outcome = refused
    assert isinstance(outcome, Denied)
    assert outcome.exit == 7
    for said in (name, "M-officer", KEY.reason, f"{frozen.at:%Y-%m-%d %H:%M:%S}"):
        assert said in outcome.detail
    assert (len(world.entries()), world.key_uses) == (before, used)


def test_the_signer_follows_and_refuses_by_itself(world: World) -> None:
    """Its own charter is frozen, by an act whose intent and completion are in the log."""
    frozen = freezes.freeze(world.seal, OFFICER, KEY)
    assert frozen.signer == "frozen"
    assert charter_frozen(world)
    assert world.pair()[0].frozen


def test_the_same_again_changes_nothing(world: World) -> None:
    """Whoever is second learns who was first."""
    first = freezes.freeze(world.seal, OFFICER, KEY)
    world.now += timedelta(minutes=1)
    again = freezes.freeze(world.seal, SECOND, KEY)
    assert (again.id, again.frozen_by) == (first.id, "M-officer")
    assert len(held(world)) == 1


def test_a_request_under_way_is_stopped_right_before_the_log(world: World) -> None:
    """Approved a moment before, it ends FAILED with code denied, and a poller is told Denied."""
    ledger = world.client(1)
    [dossier] = submit(world.seal, [Submission(world.actor, ledger.key, ledger.request)])
    assert isinstance(dossier, Dossier)
    assert dossier.state is State.APPROVED
    before, used = len(world.entries()), world.key_uses
    freezes.freeze(world.seal, OFFICER, msgspec.structs.replace(KEY, kind="subscriber", name=SUBSCRIBER))
    [outcome] = sign.advance(world.seal, [(SUBSCRIBER, dossier.id)])
    assert isinstance(outcome, Failed)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        refused = views.refusal(requests.get(tx, dossier.id))
    assert isinstance(refused, Denied)
    assert (refused.exit, "M-officer" in refused.detail) == (7, True)
    assert (len(world.entries()), world.key_uses) == (before, used)


def test_it_holds_while_the_signer_is_down_and_the_duties_have_it_follow(world: World) -> None:
    """Records first: one command is enough, whatever the signer does."""
    down = world.seal.signer._ask
    world.seal.signer._ask = _raise
    frozen = freezes.freeze(world.seal, OFFICER, KEY)
    assert frozen.signer == "freeze"
    [outcome] = world.ask([world.client(1)])
    assert isinstance(outcome, Denied)
    assert freezes.follow(world.seal) == 0
    world.seal.signer._ask = down
    duties.recover(world.seal)
    assert charter_frozen(world)
    assert held(world)[0].signer == "frozen"


def _raise(question: object) -> object:
    raise KeyStoreUnavailable("The signer does not answer.")


def test_a_thaw_takes_two_members(world: World) -> None:
    """One alone thaws nothing, however often; the second one does, and the signer follows."""
    frozen = freezes.freeze(world.seal, OFFICER, KEY)
    for _ in range(3):
        standing = freezes.agree(world.seal, OFFICER, frozen.id, Agreement())
        assert standing.frozen.thawed is None
        assert standing.agreed == ("member M-officer",)
    assert charter_frozen(world)
    standing = freezes.agree(world.seal, SECOND, frozen.id, Agreement())
    assert standing.frozen.thawed == world.now
    assert standing.frozen.signer == "thawed"
    assert not charter_frozen(world)
    assert not world.pair()[0].frozen
    world.ask([world.client(1)])
    assert world.ledgers[0].given
    third = Actor(Member("M-third", SUBSCRIBER, "third", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,), session="S-3")
    with pytest.raises(Conflict):
        freezes.agree(world.seal, third, frozen.id, Agreement())


def test_a_thaw_takes_two_overseers(world: World) -> None:
    """Their signatures are over this very freeze; one person with two names in it is found by the key."""
    given = overseers(world, "Ada", "Grace")
    frozen = freezes.freeze(world.seal, OFFICER, KEY)
    one = freezes.agree(world.seal, OFFICER, frozen.id, signed("Ada", given["Ada"], frozen))
    assert one.frozen.thawed is None
    two = freezes.agree(world.seal, OFFICER, frozen.id, signed("Grace", given["Grace"], frozen))
    assert two.frozen.thawed is not None


def test_a_member_and_an_overseer_do_not_add_up(world: World) -> None:
    """Nobody knows that they are not the same person."""
    given = overseers(world, "Ada", "Grace")
    frozen = freezes.freeze(world.seal, OFFICER, KEY)
    freezes.agree(world.seal, OFFICER, frozen.id, signed("Ada", given["Ada"], frozen))
    standing = freezes.agree(world.seal, OFFICER, frozen.id, Agreement())
    assert standing.frozen.thawed is None
    assert len(standing.agreed) == 2


def test_words_that_do_not_count(world: World) -> None:
    """A token alone, a machine, a stranger's key, another freeze's signature, a broken one, and no role."""
    given = overseers(world, "Ada", "Grace")
    frozen = freezes.freeze(world.seal, OFFICER, KEY)
    other = freezes.freeze(world.seal, OFFICER, msgspec.structs.replace(KEY, kind="policy", name="p"))
    token = Actor(OFFICER.member, (Factor.BEARER,))
    machine = Actor(msgspec.structs.replace(OFFICER.member, workload=True), (Factor.PASSKEY,), session="S-9")
    right = signed("Ada", given["Ada"], frozen).approval
    assert right is not None
    broken = Agreement(approval=msgspec.structs.replace(right, signature=bytes(64)))
    for actor, said, error in (
        (token, Agreement(), NotPermitted),
        (machine, Agreement(), NotPermitted),
        (OFFICER, signed("Ada", Ed25519PrivateKey.generate(), frozen), NotPermitted),
        (OFFICER, signed("Grace", given["Ada"], frozen), NotPermitted),
        (OFFICER, signed("Ada", given["Ada"], other), VerificationFailed),
        (OFFICER, broken, VerificationFailed),
        (world.approver, Agreement(), NotPermitted),
    ):
        with pytest.raises(error):
            freezes.agree(world.seal, actor, frozen.id, said)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert kept.agreed(tx, frozen.id) == []


def test_thawed_before_the_signer_knew_it_was_frozen(world: World) -> None:
    """The signer ends unfrozen, whatever it was told meanwhile."""
    up = world.seal.signer._ask
    world.seal.signer._ask = _raise
    frozen = freezes.freeze(world.seal, OFFICER, KEY)
    for actor in (OFFICER, SECOND):
        standing = freezes.agree(world.seal, actor, frozen.id, Agreement())
    assert standing.frozen.signer == "thaw"
    world.seal.signer._ask = up
    assert freezes.follow(world.seal) == 1
    assert not charter_frozen(world)
    world.ask([world.client(1)])
    assert world.ledgers[0].given


def test_an_approver_is_told_that_it_is_frozen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An approval of a frozen key's request is refused, and the request waits on."""
    from privyseal.signing.approve import approve

    key = Ed25519PrivateKey.generate()
    approver = Approver("Ada", key.public_key().public_bytes_raw())
    with world.seal.records.writing(SUBSCRIBER) as tx:
        pair = keys.key_pair(tx, "release")
        keys.replace_key_pair(tx, msgspec.structs.replace(pair, quorum=1, approvers=(approver,)))
    ledger = world.client(1)
    [dossier] = submit(world.seal, [Submission(world.actor, ledger.key, ledger.request)])
    assert isinstance(dossier, Dossier)
    assert dossier.state is State.REQUESTED
    freezes.freeze(world.seal, OFFICER, msgspec.structs.replace(KEY, kind="subscriber", name=SUBSCRIBER))
    digest = bytes.fromhex(dossier.digest)
    octets = key.sign(approved_octets(digest))
    given = Approval(approver="Ada", public_key=approver.public_key, request_digest=digest, signature=octets)
    with pytest.raises(Denied, match="M-officer"):
        approve(world.seal, world.approver, dossier.id, given)


def test_only_the_operator_freezes_another_subscriber(world: World) -> None:
    """For everybody else there is none of that name; and what is frozen is the other one alone."""
    enrol.subscriber(world.seal, "acme", "Acme")
    wanted = msgspec.structs.replace(KEY, kind="subscriber", name="acme")
    with pytest.raises(NotFound, match="no Subscriber named 'acme'"):
        freezes.freeze(world.seal, world.approver, wanted)
    with pytest.raises(NotFound, match="no Subscriber named 'nobody'"):
        freezes.freeze(world.seal, OFFICER, msgspec.structs.replace(wanted, name="nobody"))
    with pytest.raises(NotFound, match="no Key Pair"):
        freezes.freeze(world.seal, OFFICER, msgspec.structs.replace(KEY, name="nothing"))
    with pytest.raises(NotPermitted):
        freezes.freeze(world.seal, world.actor, KEY)
    assert freezes.freeze(world.seal, OFFICER, wanted).subscriber == "acme"
    world.ask([world.client(1)])
    assert world.ledgers[0].given


def test_each_act_is_a_statement_in_the_log(world: World) -> None:
    """Frozen, proposed, thawed: three, each with who did it and why, and what the signer did of it."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        before = len(statements.listed(tx, "administration"))
    frozen = freezes.freeze(world.seal, OFFICER, KEY)
    for actor in (OFFICER, SECOND):
        freezes.agree(world.seal, actor, frozen.id, Agreement())
    duties.recover(world.seal)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        said = [each.said.matter for each in statements.listed(tx, "administration")][before:]
    by_people = [each.what for each in said if not each.what.startswith("signer did")]
    assert by_people == ["key frozen", "thaw proposed", "key thawed"]
    assert [each.what for each in said if each.what not in by_people] == ["signer did freeze", "signer did unfreeze"]
    assert KEY.reason in said[0].detail


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("nth", range(0, 36, 5))
def test_every_write_of_a_freeze_and_a_thaw_may_fail(
    make_world: Callable[[Plan | None], World], way: Way, nth: int
) -> None:
    """Whichever write is lost or unreported: asked for again, the end is the same, and records and signer agree."""
    world = make_world(None)
    world.writes.clear()
    world.plan = Plan(nth, way)
    for deed in (
        lambda: freezes.freeze(world.seal, OFFICER, KEY),
        lambda: freezes.agree(world.seal, OFFICER, held(world)[0].id, Agreement()),
        lambda: freezes.agree(world.seal, SECOND, held(world)[0].id, Agreement()),
    ):
        for _ in range(3):
            try:
                deed()
                break
            except PrivySealError as error:
                assert isinstance(error, Unavailable | Conflict), error
    world.plan = None
    if world._rooms["signer"].lost or world._rooms["logger"].lost:
        world.crash()
    freezes.follow(world.seal)
    [frozen] = held(world)
    assert frozen.thawed is not None
    assert frozen.signer == "thawed"
    assert not charter_frozen(world)
    assert not world.pair()[0].frozen
    [outcome] = world.ask([world.client(nth)])
    assert isinstance(outcome, Dossier)
