"""A gate refuses a signature under a publicly trusted certificate before anything of it is logged, and no other."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.world import SUBSCRIBER, Plan, World

from privyseal.compliance.gates import GATE_IDS, LONGEST_OVERRIDE, REPORTS_FIRST, Enabled, Overridden, Override
from privyseal.compliance.known import Known
from privyseal.compliance.subjects import CertificateStatus, Commitment
from privyseal.errors import (
    BadInput,
    Failed,
    NotCompliant,
    NotFound,
    NotPermitted,
    PrivySealError,
    Unavailable,
    VerificationFailed,
)
from privyseal.records import events, keys, parties, requests
from privyseal.records import gates as kept
from privyseal.signing import duties, gates
from privyseal.terms.keys import Approver, Assurance
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.terms.requests import Approval, Dossier, State, approved_octets
from privyseal.web import views


def unpin(world: World) -> World:
    """Let the operator pin no anchor: every certificate counts as publicly trusted from then on."""
    settings = world.directory / "signer" / "signer.toml"
    left, found = re.subn(r"\[\[anchors\]\]\n(?:[^\[\n].*\n?)*", "", settings.read_text())
    assert found
    settings.write_text(left)
    world.crash()
    return world


def refusal(world: World, number: int = 1) -> str:
    """Ask for a signature and return why it failed, as the records have it."""
    ledger = world.client(number)
    [outcome] = world.ask([ledger])
    assert isinstance(outcome, Failed)
    dossier = recorded(world, ledger.key)
    assert (dossier.state, dossier.failure_code) == (State.FAILED, "not-compliant")
    return dossier.failure_detail or ""


def recorded(world: World, idempotency_key: str) -> Dossier:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        found = requests.by_idempotency_key(tx, idempotency_key)
    assert found is not None
    return found[0]


def stopped_by(detail: str) -> set[str]:
    return set(re.findall(r"CSBR-[0-9.]+-[0-9]{2}", detail))


def test_nothing_is_logged_and_the_sentence_says_what_to_do(world: World) -> None:
    """Every gate of which the service knows nothing refuses, with clause, sentence and what would mend it."""
    unpin(world)
    before, used = len(world.entries()), world.key_uses
    detail = refusal(world)
    assert (len(world.entries()), world.key_uses) == (before, used)
    assert "The certificate counts as publicly trusted." in detail
    assert "CSBR 6.2.7.3 (CSBR-6.2.7.3-03): The key is kept in software" in detail
    assert "To mend it: have the service generate a new key in its module" in detail
    unknown = {"CSBR-9.6.3-08", "CSBR-9.6.3-11"}  # the commitments of a rehearsal were accepted, by nobody
    assert stopped_by(detail) == unknown | {"CSBR-6.2.7.3-02", "CSBR-6.2.7.3-03"}
    duties.recover(world.seal)
    world.seal.require_memory()
    told = views.refusal(recorded(world, world.ledgers[0].key))
    assert isinstance(told, NotCompliant)
    assert (told.exit, told.status, told.retryable) == (5, 403, False)


def test_a_refused_request_stays_refused_and_its_neighbour_is_not(world: World) -> None:
    """The Idempotency-Key answers with the refusal for ever; pinned again, the next request is signed."""
    settings = world.directory / "signer" / "signer.toml"
    pinned = settings.read_text()
    refused = unpin(world).client(1)
    [outcome] = world.ask([refused])
    assert isinstance(outcome, Failed)
    settings.write_text(pinned)
    world.crash()
    [again, fresh] = world.ask([refused, world.client(2)])
    assert isinstance(again, Dossier)
    assert again.state is State.FAILED
    assert isinstance(fresh, Dossier)
    assert fresh.state is State.RELEASED
    world.ledgers.remove(refused)
    world.check()


def test_a_rehearsal_certificate_is_never_gated_and_asks_the_signer_once_a_minute(world: World) -> None:
    """What a walk under a rehearsal certificate pays is one look into a dictionary."""
    world.ask([world.client(n) for n in range(3)])
    asked = world.writes.count("signer: StandingAsked")
    assert asked == 1
    world.now += timedelta(seconds=59)
    world.ask([world.client(4)])
    assert world.writes.count("signer: StandingAsked") == 1
    world.now += timedelta(seconds=1)
    world.ask([world.client(5)])
    assert world.writes.count("signer: StandingAsked") == 2
    assert all(ledger.given for ledger in world.ledgers)


def test_where_the_signer_cannot_say_nothing_is_decided(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request stays where it is, and is signed when the signer is back."""

    def gone(chains: object) -> None:
        raise Unavailable("It does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(world.seal.signer, "standings", gone)
        ledger = world.client(1)
        [outcome] = world.ask([ledger])
        assert isinstance(outcome, Unavailable)
        assert recorded(world, ledger.key).state is State.SIGNING
    world.insist()
    world.check()


def test_a_request_that_an_earlier_walk_may_have_logged_is_aborted_in_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its intent gets the completion that every intent has, and the key is not used."""
    ledger = world.client(1)
    with monkeypatch.context() as patch:
        patch.setattr(world.seal.signer, "sign", lambda batch: (_ for _ in ()).throw(Unavailable("gone")))
        [outcome] = world.ask([ledger])
        assert isinstance(outcome, Unavailable)
    unpin(world)
    used = world.key_uses
    [outcome] = duties.recover(world.seal)
    assert isinstance(outcome, Failed)
    dossier = recorded(world, ledger.key)
    assert (dossier.state, dossier.failure_code) == (State.FAILED, "not-compliant")
    assert "cut short" in (dossier.failure_detail or "")
    assert world.key_uses == used
    world.check()
    world.seal.require_memory()


# -- facts that let it pass ------------------------------------------------------------------------------------------
ROBOT = Actor(Member("M-robot", SUBSCRIBER, "robot", (Role.REQUESTER,), workload=True), (Factor.CLIENT_CERTIFICATE,))


def mend(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the service every fact that the gates ask for; the signer's own is left as it is."""
    pair, _identity = world.pair()
    with world.seal.records.writing(SUBSCRIBER) as tx:
        guard = msgspec.structs.replace(pair.protection, assurance=Assurance.CERTIFIED_HARDWARE)
        keys.replace_key_pair(tx, msgspec.structs.replace(pair, protection=guard))
        parties.add_member(tx, ROBOT.member)
    monkeypatch.setattr(World, "actor", ROBOT)
    accepted = world.now - timedelta(days=1)
    made = [Commitment(requirement=f"CSBR-9.6.5-0{n}", accepted=accepted, by="Ada Example") for n in (4, 5, 6)]
    fingerprint = world.request(0).certificate
    status = CertificateStatus(said_at=accepted, good_until=world.now + timedelta(days=3))
    known = Known(commitments={SUBSCRIBER: tuple(made)}, accepted={fingerprint: accepted}, status={fingerprint: status})
    monkeypatch.setattr(world.seal.stated, "known_of_all_subscribers", lambda connection: known)


def test_with_every_fact_there_the_gates_open_and_the_signer_still_judges(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written in the records does not move the signer: it knows that its key is software."""
    unpin(world)
    mend(world, monkeypatch)
    before = len(world.entries())
    detail = refusal(world)
    assert "CSBR 6.2.7.3 asks for a hardware crypto module" in detail
    assert len(world.entries()) == before + 2


def test_each_missing_fact_refuses_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen key is one that somebody does not trust."""
    unpin(world)
    mend(world, monkeypatch)
    pair, _ = world.pair()
    with world.seal.records.writing(SUBSCRIBER) as tx:
        keys.replace_key_pair(tx, msgspec.structs.replace(pair, frozen=True))
    assert stopped_by(refusal(world)) == {"CSBR-9.6.3-09"}


def test_a_token_alone_refuses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The factors are those of the one who asked, as the events tell them."""
    unpin(world)
    mend(world, monkeypatch)
    monkeypatch.setattr(World, "actor", Actor(ROBOT.member, (Factor.BEARER,)))
    assert stopped_by(refusal(world)) == {"CSBR-6.2.7.3-02"}


# -- how far a gate is enforced --------------------------------------------------------------------------------------
def test_a_new_service_enforces_all_and_a_later_gate_reports_first(world: World) -> None:
    """Beginning again changes nothing for those that are known."""

    def enabled() -> dict[str, Enabled]:
        with world.seal.records.reading_all_subscribers() as connection:
            return {each.requirement: each for each in kept.enabled_of_all_subscribers(connection)}

    first = enabled()
    assert set(first) == GATE_IDS
    assert all(each.enforced == each.at for each in first.values())
    new = "CSBR-9.6.3-08"
    with world.seal.records.batch() as batch:
        from sqlalchemy import delete

        from privyseal.records.tables import gates as table

        batch.across_subscribers().execute(delete(table).where(table.c.requirement == new))
    world.now += timedelta(days=1)
    gates.begin(world.seal)
    later = enabled()
    assert later[new].enforced == world.now + REPORTS_FIRST
    assert {name: each for name, each in later.items() if name != new} == {
        name: each for name, each in first.items() if name != new
    }
    unpin(world)
    assert new not in stopped_by(refusal(world))
    world.now += REPORTS_FIRST
    assert new in stopped_by(refusal(world, 2))


class Overseer:
    """One who can agree to an override."""

    def __init__(self, name: str) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.approver = Approver(name, self.key.public_key().public_bytes_raw())

    def agrees(self, digest: bytes, over: bytes | None = None) -> Approval:
        return Approval(
            approver=self.approver.name,
            public_key=self.approver.public_key,
            request_digest=digest,
            signature=self.key.sign(approved_octets(over or digest)),
        )


ANNA, BORIS, EVE = Overseer("anna"), Overseer("boris"), Overseer("eve")
ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))


def proposed(world: World, requirement: str = "CSBR-9.6.3-08", hours: int = 2) -> Override:
    since = world.now
    return Override(
        subscriber=SUBSCRIBER,
        requirement=requirement,
        reason="release 7 has to go out",
        since=since,
        until=since + timedelta(hours=hours),
    )


def agreed(override: Override, *who: Overseer) -> Overridden:
    return Overridden(override=override, approvals=tuple(each.agrees(override.digest()) for each in who))


@pytest.fixture
def watched(world: World) -> World:
    """Return a world whose gates Anna and Boris can override."""
    unpin(world)
    world.seal.overseers = (ANNA.approver, BORIS.approver)
    return world


def test_two_people_lift_a_gate_for_a_while_in_the_open(watched: World) -> None:
    """It is told with both names, doing it twice is doing it once, and it ends by itself."""
    given = agreed(proposed(watched), ANNA, BORIS)
    for _ in range(2):
        assert gates.override(watched.seal, ADMINISTRATOR, given) == given
    assert "CSBR-9.6.3-08" not in stopped_by(refusal(watched))
    with watched.seal.records.reading(SUBSCRIBER) as tx:
        assert kept.overrides(tx, watched.now) == [given]
        subject = f"CSBR-9.6.3-08 until {given.override.until.isoformat()} by anna and boris"
        assert [each.what for each in events.events_about(tx, subject)] == ["gate overridden"]
    watched.now += timedelta(hours=2)
    assert "CSBR-9.6.3-08" in stopped_by(refusal(watched, 2))


def test_an_override_for_one_subscriber_lifts_nothing_for_another(watched: World) -> None:
    """Neither can an administrator of one hand in another's."""
    other = msgspec.structs.replace(proposed(watched), subscriber="other")
    with pytest.raises(NotFound):
        gates.override(watched.seal, ADMINISTRATOR, agreed(other, ANNA, BORIS))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda one: agreed(one, ANNA), NotPermitted),
        (lambda one: agreed(one), NotPermitted),
        (lambda one: agreed(one, ANNA, ANNA), NotPermitted),
        (lambda one: agreed(one, ANNA, EVE), NotPermitted),
        (lambda one: Overridden(override=one, approvals=(ANNA.agrees(bytes(32)), BORIS.agrees(bytes(32)))),
         VerificationFailed),
        (lambda one: Overridden(override=one, approvals=(
            ANNA.agrees(one.digest()), BORIS.agrees(one.digest(), over=bytes(32)))), VerificationFailed),
    ],
    ids=["one", "none", "the same twice", "a stranger", "another digest", "signs another digest"],
)  # fmt: skip
def test_it_takes_two_different_overseers(
    watched: World, spoil: Callable[[Override], Overridden], error: type[PrivySealError]
) -> None:
    """Nothing is written down where it does not."""
    with pytest.raises(error):
        gates.override(watched.seal, ADMINISTRATOR, spoil(proposed(watched)))
    with watched.seal.records.reading(SUBSCRIBER) as tx:
        assert kept.overrides(tx, watched.now) == []


def test_one_person_with_two_names_or_two_keys_is_one_person(watched: World) -> None:
    """Who configures the same key twice, or one name with two keys, has one overseer."""
    twin = Overseer("anna")
    watched.seal.overseers = (ANNA.approver, Approver("anja", ANNA.approver.public_key), twin.approver)
    one = proposed(watched)
    anja = msgspec.structs.replace(ANNA.agrees(one.digest()), approver="anja")
    for second in (anja, twin.agrees(one.digest())):
        with pytest.raises(NotPermitted, match="2 different people"):
            given = Overridden(override=one, approvals=(ANNA.agrees(one.digest()), second))
            gates.override(watched.seal, ADMINISTRATOR, given)


@pytest.mark.parametrize("requirement", ["CSBR-6.2.7.3-03", "CSBR-9.6.3-11"])
def test_there_is_no_override_of_module_and_revocation(watched: World, requirement: str) -> None:
    """Whoever agrees."""
    with pytest.raises(BadInput, match="by nobody"):
        gates.override(watched.seal, ADMINISTRATOR, agreed(proposed(watched, requirement), ANNA, BORIS))


def test_an_override_is_short_and_of_now(watched: World) -> None:
    """Not of yesterday, and not for next week."""
    long = proposed(watched, hours=LONGEST_OVERRIDE // timedelta(hours=1) + 1)
    with pytest.raises(BadInput, match="7 days"):
        gates.override(watched.seal, ADMINISTRATOR, agreed(long, ANNA, BORIS))
    one = agreed(proposed(watched), ANNA, BORIS)
    watched.now += timedelta(hours=2)
    with pytest.raises(BadInput, match="over already"):
        gates.override(watched.seal, ADMINISTRATOR, one)


def test_a_requester_cannot_hand_one_in(watched: World) -> None:
    """It takes an administrator, whoever agreed."""
    with pytest.raises(NotPermitted):
        gates.override(watched.seal, watched.actor, agreed(proposed(watched), ANNA, BORIS))


@pytest.mark.parametrize("way", ["lost", "unreported"])
def test_every_write_of_a_refusal_can_fail(make_world: Callable[[Plan | None], World], way: str) -> None:
    """The refusal is written down once, sooner or later, and the log knows nothing, or all, of the request."""
    for nth in range(8):
        world = unpin(make_world(None))
        world.writes.clear()
        world.plan = Plan(nth, way)  # type: ignore[arg-type]
        ledger = world.client(1)
        with contextlib.suppress(PrivySealError):
            world.ask([ledger])
        world.plan = None
        world.now += timedelta(seconds=61)
        try:
            found = recorded(world, ledger.key)
        except AssertionError:
            continue  # it was never taken in
        duties.recover(world.seal)
        found = recorded(world, ledger.key)
        assert (found.state, found.failure_code) == (State.FAILED, "not-compliant"), nth
        world.ledgers.clear()
        world.check()
        world.seal.require_memory()


def test_who_is_enrolling_signs_nothing_that_counts_as_public(world: World) -> None:
    """It may rehearse; under a certificate of which nobody pinned the root it is told why not, and no key is used."""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        tx.connection.exec_driver_sql("UPDATE subscribers SET state = 'enrolling'")
    (done,) = world.ask([world.client(71)])
    assert isinstance(done, Dossier)
    unpin(world)
    used, ledger = world.key_uses, world.client(72)
    (refused,) = world.ask([ledger])
    assert isinstance(refused, Failed) and world.key_uses == used
    failed = recorded(world, ledger.key)
    assert failed.failure_code == "not-permitted"
    assert "is enrolling, and may only rehearse" in (failed.failure_detail or "")
