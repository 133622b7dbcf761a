"""Acts on keys wait for the people who must agree, are carried out exactly once, and nobody does them alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import msgspec
import pytest
from tests.signing.agreeing import Signer
from tests.signing.test_custody import certify
from tests.signing.test_life import changes, stands
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World
from tests.world import _Crash as Crash

from privyseal.errors import (
    BadInput,
    Conflict,
    Denied,
    KeyStoreUnavailable,
    NotFound,
    NotPermitted,
    PrivySealError,
    StepUpNeeded,
    VerificationFailed,
)
from privyseal.pki import csr
from privyseal.records import keys, statements
from privyseal.signing import agreed_acts, duties, freezes, proposals
from privyseal.signing.certificate_requests import Wishes
from privyseal.signing.forms_of_keys import ActShown, NewAct, NewKey
from privyseal.signing.freezes import Asked
from privyseal.strongroom.administration import Operators
from privyseal.strongroom.client import SignerClient
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState
from privyseal.terms.limits import UseLimits
from privyseal.terms.parties import Actor, Factor, Member, Role, Workload
from privyseal.terms.requests import Approval

OLGA, OTTO, ANN, BEN = Signer("olga"), Signer("otto"), Signer("ann"), Signer("ben")
MakeWorld = Callable[[Plan | None], World]


def member(name: str, *roles: Role) -> Actor:
    return Actor(Member(f"M-{name}", SUBSCRIBER, name, roles), (Factor.BEARER,))


CARLA = member("carla", Role.CUSTODIAN)
OFFICER = member("officer", Role.SECURITY_OFFICER)
NEW = NewKey(
    name="real", scheme="ecdsa-p256", approvers=(ANN.approver, BEN.approver), quorum=1, reason="for the spring release"
)


def operate(world: World) -> World:
    """Make the world's signer a real one, whose two operators must agree."""
    signer = world._rooms["signer"]
    known = tuple(msgspec.structs.replace(each.approver, member=msgspec.UNSET) for each in (OLGA, OTTO))
    signer._operators = signer._administration._operators = Operators(known, 2, False)
    signer._rehearsal = False
    return world


@pytest.fixture
def real(world: World) -> World:
    """A service whose acts wait for people."""
    return operate(world)


def agree(world: World, act: ActShown, person: Signer, stage: int = 0) -> ActShown:
    """Have somebody agree; whoever hands it in is the approver, or anybody for an operator."""
    approval = person.approves(bytes.fromhex(act.digest), stage)
    return proposals.agree(world.seal, member(person.name, Role.APPROVER), act.id, approval)


def born(world: World) -> KeyPair:
    act = proposals.propose_key(world.seal, CARLA, NEW)
    agree(world, act, OLGA)
    assert agree(world, act, OTTO).state == "done"
    return world_pair(world)


def world_pair(world: World, name: str = "real") -> KeyPair:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return keys.key_pair(tx, name)


def propose(world: World, purpose: str, **more: object) -> ActShown:
    new = msgspec.convert({"purpose": purpose, "reason": "because of a test"} | more, NewAct)
    return proposals.propose(world.seal, CARLA, "real", new)


def all_agree(world: World, act: ActShown) -> ActShown:
    for person in (OLGA, OTTO, ANN):
        act = agree(world, act, person)
    return act


def active(world: World) -> KeyPair:
    pair = born(world)
    certify(world, pair)
    assert all_agree(world, propose(world, "enable")).state == "done"
    return world_pair(world)


def frozen_in_the_signer(world: World, name: str = "real") -> bool:
    return world.seal.signer.charter(world_pair(world, name).key_id).charter.frozen


def test_a_key_that_sleeps_signs_the_request_for_its_certificate_alone(real: World) -> None:
    """Its own people agree, and no operator is asked; what they agreed to is signed once, and is the act's outcome."""
    pair = born(real)
    wishes = Wishes(subscriber=SUBSCRIBER, key="real")
    act = proposals.propose_request(real.seal, CARLA, wishes)
    assert (act.state, act.purpose, [side.who for side in act.sides]) == ("waiting", "certify", ["approvers"])
    with pytest.raises(Conflict, match="the same already"):
        proposals.propose_request(real.seal, CARLA, wishes)
    with pytest.raises(NotPermitted):
        agree(real, act, OLGA)
    uses = real.key_uses
    done = agree(real, act, ANN)
    assert (done.state, real.key_uses) == ("done", uses + 1)
    assert csr.read(done.outcome.encode()).spki == pair.public_key
    assert stands(real, "real") is KeyState.GENERATED and frozen_in_the_signer(real)
    certify(real, pair)
    all_agree(real, propose(real, "enable"))
    agree(real, propose(real, "suspend"), OLGA)
    again = proposals.propose_request(real.seal, CARLA, wishes)
    with pytest.raises(Denied, match="frozen"):  # by people, and not since its birth
        agree(real, again, ANN)
    real.check()


def test_a_key_goes_from_its_plan_to_its_end(real: World) -> None:
    """Planned, generated by two operators, enabled and destroyed by them and an approver; it signs in between only."""
    act = proposals.propose_key(real.seal, CARLA, NEW)
    assert (act.state, stands(real, "real")) == ("waiting", KeyState.PLANNED)
    assert {side.who: side.missing for side in act.sides} == {"operators": 2}
    assert agree(real, act, OLGA).state == "waiting"
    assert agree(real, act, OTTO).state == "done"
    pair = world_pair(real)
    assert stands(real, "real") is KeyState.GENERATED
    assert not pair.rehearsal
    assert frozen_in_the_signer(real)
    with pytest.raises(NotPermitted, match="no accepted certificate"):
        propose(real, "enable")
    certify(real, pair)
    assert stands(real, "real") is KeyState.CERTIFIED
    [outcome] = real.ask([real.client(1, key="real")])
    assert isinstance(outcome, NotPermitted)
    act = propose(real, "enable")
    assert {side.who: side.missing for side in act.sides} == {"operators": 2, "approvers": 1}
    assert all_agree(real, act).state == "done"
    assert stands(real, "real") is KeyState.ACTIVE
    assert not frozen_in_the_signer(real)
    assert all_agree(real, propose(real, "destroy")).state == "done"
    assert stands(real, "real") is KeyState.DESTROYED
    with pytest.raises(NotFound, match="destroyed"):
        real.seal.signer.charter(pair.key_id)
    said = [(each.becomes, bool(each.act)) for each in changes(real, "real")]
    assert said == [
        (KeyState.PLANNED, True),
        (KeyState.GENERATED, True),
        (KeyState.CERTIFIED, False),
        (KeyState.ACTIVE, True),
        (KeyState.DESTROYED, True),
    ]


@pytest.mark.parametrize("purpose", ["enable", "destroy", "limit"])
@pytest.mark.parametrize("missing", [OLGA, OTTO, ANN], ids=lambda person: person.name)
def test_nobody_does_it_without_the_others(real: World, purpose: str, missing: Signer) -> None:
    """One operator, the operators alone, and an approver with one of them are not enough; nothing changes."""
    pair = born(real)
    certify(real, pair)
    act = propose(real, purpose, limits={"signatures": 1} if purpose == "limit" else None)
    for person in (OLGA, OTTO, ANN):
        if person is not missing:
            act = agree(real, act, person)
    assert act.state == "waiting"
    asked = {name for side in act.sides for name in side.waiting_for}
    assert asked & {"olga", "otto", "ann"} == {missing.name}
    assert stands(real, "real") is KeyState.CERTIFIED
    assert real.seal.signer.charter(pair.key_id).charter.version == 1


def test_agreeing_twice_is_agreeing_once(real: World) -> None:
    """The same signature changes nothing, and another one of the same person is refused."""
    act = proposals.propose_key(real.seal, CARLA, NEW)
    agree(real, act, OLGA)
    assert agree(real, act, OLGA).state == "waiting"
    other = msgspec.structs.replace(OLGA.approves(bytes.fromhex(act.digest)), signature=b"x" * 64)
    with pytest.raises(VerificationFailed):
        proposals.agree(real.seal, CARLA, act.id, other)
    with pytest.raises(NotFound):
        world_pair(real)


def test_what_does_not_count_is_refused(real: World) -> None:
    """A stranger's word, one over another act, one of a later stage, and an approver's that somebody else hands in."""
    act = proposals.propose_key(real.seal, CARLA, NEW)
    with pytest.raises(NotPermitted, match="neither an operator nor an approver"):
        agree(real, act, Signer("eve"))
    with pytest.raises(NotPermitted, match="neither"):
        agree(real, act, ANN)  # nobody's approver yet
    for approval in (OLGA.approves(b"\0" * 32), OLGA.approves(bytes.fromhex(act.digest), 1)):
        with pytest.raises(VerificationFailed):
            proposals.agree(real.seal, CARLA, act.id, approval)
    agree(real, act, OLGA)
    agree(real, act, OTTO)
    certify(real, world_pair(real))
    enable = propose(real, "enable")
    with pytest.raises(NotPermitted, match="somebody else handed it in"):
        proposals.agree(real.seal, CARLA, enable.id, ANN.approves(bytes.fromhex(enable.digest)))


def test_a_key_is_stopped_at_once_and_the_signer_follows_with_the_first_word(real: World) -> None:
    """In the records when it is proposed, in the signer when one operator or approver agrees; resumed by all."""
    active(real)
    act = propose(real, "suspend")
    assert (act.state, act.one_is_enough, stands(real, "real")) == ("waiting", True, KeyState.SUSPENDED)
    assert not frozen_in_the_signer(real)
    with pytest.raises(Conflict, match="proposes the same"):
        propose(real, "suspend")
    assert agree(real, act, ANN).state == "done"
    assert frozen_in_the_signer(real)
    resume = propose(real, "enable")
    assert all_agree(real, resume).state == "done"
    assert (stands(real, "real"), frozen_in_the_signer(real)) == (KeyState.ACTIVE, False)


def test_a_key_that_only_the_records_stopped_is_enabled_by_the_same_people(real: World) -> None:
    """As an idle one: the signer has nothing to do, and all must agree nevertheless."""
    active(real)
    propose(real, "suspend")
    resume = propose(real, "enable")
    version = real.seal.signer.charter(world_pair(real).key_id).charter.version
    assert agree(real, agree(real, resume, OLGA), OTTO).state == "waiting"
    assert stands(real, "real") is KeyState.SUSPENDED
    assert agree(real, resume, ANN).state == "done"
    assert stands(real, "real") is KeyState.ACTIVE
    assert real.seal.signer.charter(world_pair(real).key_id).charter.version == version


def test_a_retired_key_comes_back_by_the_same_people(real: World) -> None:
    """It is out of use at once."""
    active(real)
    propose(real, "retire")
    assert stands(real, "real") is KeyState.RETIRED
    assert all_agree(real, propose(real, "enable")).state == "done"
    assert stands(real, "real") is KeyState.ACTIVE


def test_what_a_freeze_left_to_people_is_done_by_them(real: World) -> None:
    """The signer refused a freeze that no approver signed; one who signs makes it follow. A freeze is thawed first."""
    active(real)
    frozen = freezes.freeze(real.seal, OFFICER, Asked(kind="key", name="real", reason="its token was seen elsewhere"))
    assert (frozen.signer, frozen_in_the_signer(real)) == ("refused", False)
    assert agree(real, propose(real, "suspend"), BEN).state == "done"
    assert frozen_in_the_signer(real)
    with pytest.raises(Denied, match=frozen.id):
        propose(real, "enable")


def test_limits_are_agreed_to_and_kept_by_the_signer(real: World) -> None:
    """The charter has them, and the Key Pair as the records show it."""
    pair = active(real)
    limits = UseLimits(signatures=5, idle_days=30)
    assert all_agree(real, propose(real, "limit", limits=msgspec.to_builtins(limits))).state == "done"
    assert world_pair(real).limits == limits
    assert real.seal.signer.charter(pair.key_id).charter.limits == limits
    assert all_agree(real, propose(real, "limit")).state == "done"
    assert world_pair(real).limits is msgspec.UNSET
    with pytest.raises(BadInput, match="by themselves"):
        propose(real, "suspend", limits={"signatures": 1})


def test_a_plan_is_given_up_and_its_name_with_it(real: World) -> None:
    """What waited for it is withdrawn."""
    act = proposals.propose_key(real.seal, CARLA, NEW)
    assert propose(real, "destroy").state == "withdrawn"
    assert stands(real, "real") is KeyState.DESTROYED
    with pytest.raises(Conflict):
        agree(real, act, OLGA)
    with pytest.raises(Conflict, match="destroyed"):
        proposals.propose_key(real.seal, CARLA, NEW)


def test_an_act_ends_by_time_or_is_withdrawn(real: World) -> None:
    """Then nobody can agree to it, and it can be proposed anew."""
    act = proposals.propose_key(real.seal, CARLA, msgspec.structs.replace(NEW, hours=1))
    agree(real, act, OLGA)
    real.now += timedelta(hours=1)
    with pytest.raises(Denied, match="expired"):
        agree(real, act, OTTO)
    assert proposals.one(real.seal, CARLA, act.id).state == "expired"
    assert agreed_acts.follow(real.seal) == 1
    again = proposals.propose_key(real.seal, CARLA, NEW)
    assert proposals.withdraw(real.seal, CARLA, again.id).state == "withdrawn"
    with pytest.raises(Conflict, match="withdrawn"):
        proposals.withdraw(real.seal, CARLA, again.id)


def test_an_act_that_another_one_overtook_is_refused(real: World) -> None:
    """It was agreed to for a charter that is no more."""
    active(real)
    destroy, limit = propose(real, "destroy"), propose(real, "limit", limits={"signatures": 5})
    assert all_agree(real, limit).state == "done"
    with pytest.raises(Conflict, match="version"):
        all_agree(real, destroy)
    assert proposals.one(real.seal, CARLA, destroy.id).state == "refused"


def test_what_is_agreed_to_while_the_signer_is_away_is_done_when_it_is_back(
    real: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last word is not lost."""
    act = proposals.propose_key(real.seal, CARLA, NEW)
    agree(real, act, OLGA)

    def away(*_: object) -> None:
        raise KeyStoreUnavailable("The signer does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(SignerClient, "act", away)
        assert agree(real, act, OTTO).state == "agreed"
    duties.recover(real.seal)
    assert proposals.one(real.seal, CARLA, act.id).state == "done"
    assert stands(real, "real") is KeyState.GENERATED


def test_who_may(real: World) -> None:
    """Custodians propose, whoever may freeze suspends; machines and half-proven people do neither."""
    for roles in ((Role.REQUESTER,), (Role.ADMINISTRATOR,), (Role.AUDITOR,)):
        with pytest.raises(NotPermitted):
            proposals.propose_key(real.seal, member("other", *roles), NEW)
    machine = msgspec.structs.replace(CARLA, member=msgspec.structs.replace(CARLA.member, workload=True))
    with pytest.raises(NotPermitted, match="machines"):
        proposals.propose_key(real.seal, machine, NEW)
    with pytest.raises(StepUpNeeded):
        proposals.propose_key(real.seal, msgspec.structs.replace(CARLA, session="S-1"), NEW)
    act = proposals.propose_key(real.seal, CARLA, NEW)
    stranger = Actor(Member("M-x", "other", "x", (Role.APPROVER,)), (Factor.BEARER,))
    with pytest.raises(NotFound):
        proposals.agree(real.seal, stranger, act.id, OLGA.approves(bytes.fromhex(act.digest)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "Real"}, "cannot name"),
        ({"scheme": "rsa-512"}, "No scheme"),
        ({"quorum": 0}, "asks for no approval"),
        ({"quorum": 3}, "asks for 3"),
        ({"name": "release"}, "already"),
        ({"members": ("nobody",)}, "nobody"),
    ],
)
def test_a_key_that_cannot_be(real: World, changed: dict[str, object], words: str) -> None:
    """It is refused before anything is written."""
    with pytest.raises(PrivySealError, match=words):
        proposals.propose_key(real.seal, CARLA, msgspec.structs.replace(NEW, **changed))
    with real.seal.records.reading(SUBSCRIBER) as tx:
        assert not [each for each in statements.listed(tx, "key") if getattr(each.said.matter, "key", "") == "real"]


def test_in_a_rehearsal_nobody_is_asked(world: World) -> None:
    """Where neither operators nor approvers are, an act is carried out as it is proposed."""
    new = NewKey(name="real", scheme="ecdsa-p256", quorum=0, reason="for a rehearsal")
    assert proposals.propose_key(world.seal, CARLA, new).state == "done"
    certify(world, world_pair(world))
    assert stands(world, "real") is KeyState.ACTIVE
    for purpose, state in {"suspend": "suspended", "enable": "active", "destroy": "destroyed"}.items():
        assert propose(world, purpose).state == "done"
        assert stands(world, "real") == state


@pytest.mark.parametrize("founded", ["sqlite"], indirect=True)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("purpose", ["enable", pytest.param("destroy", marks=pytest.mark.nightly)])
def test_an_act_that_is_cut_short_is_carried_out_once(make_world: MakeWorld, way: Way, purpose: str) -> None:
    """Each write of the last agreement fails, lost or unreported; in the end the key moved once."""

    def prepared() -> tuple[World, ActShown, Approval]:
        world = operate(make_world(None))
        certify(world, born(world))
        act = propose(world, purpose)
        agree(world, agree(world, act, OLGA), OTTO)
        return world, act, ANN.approves(bytes.fromhex(act.digest))

    world, act, last = prepared()
    begun = len(world.writes)
    proposals.agree(world.seal, member("ann", Role.APPROVER), act.id, last)
    steps = len(world.writes) - begun
    world.discard()
    assert steps > 4
    for nth in range(steps):
        world, act, last = prepared()
        world.plan = Plan(len(world.writes) + nth, way)
        with suppress(PrivySealError, Crash):
            proposals.agree(world.seal, member("ann", Role.APPROVER), act.id, last)
        world.plan = None
        if world._rooms["logger"].lost or world._rooms["signer"].lost:
            world.crash()
            operate(world)
        with suppress(PrivySealError):
            proposals.agree(world.seal, member("ann", Role.APPROVER), act.id, last)
        duties.recover(world.seal)
        assert proposals.one(world.seal, CARLA, act.id).state == "done", f"write {nth}, {way}"
        target = KeyState.ACTIVE if purpose == "enable" else KeyState.DESTROYED
        assert [each.becomes for each in changes(world, "real")].count(target) == 1
        world.discard()


def test_machines_say_nothing_about_keys(real: World) -> None:
    """Not even with the right role, by the token of a run."""
    run = Workload(provider="github", issuer="https://ci", subject="repo", claims=(), run="1", attempt="1", trust="T-1")
    with pytest.raises(NotPermitted, match="machines"):
        proposals.propose_key(real.seal, msgspec.structs.replace(CARLA, workload=run), NEW)
