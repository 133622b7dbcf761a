"""Plans come from the records; people are told once for each step; clocks start and stop with what was stated."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.pki import certs
from tests.signing import hearing, ordering
from tests.signing.ordering import Odd, actor
from tests.signing.test_incidents import OFFICER, STOLEN
from tests.signing.test_life import move
from tests.world import SUBSCRIBER, World

from privyseal.authorities.protocol import Refused, Revoked, Waiting
from privyseal.compliance.clocks import dues
from privyseal.compliance.due import Due
from privyseal.compliance.renewal import Renewal, Stage
from privyseal.errors import Unavailable
from privyseal.pki import certificates
from privyseal.records import keys
from privyseal.signing import authorities, duties, incidents, renewals, revoking
from privyseal.signing.forms_of_certificates import RevocationWish
from privyseal.signing.recorded_duties import facts_of_all_subscribers
from privyseal.terms.certificates import Reason
from privyseal.terms.life import KeyState
from privyseal.terms.parties import Role

in_sqlite = pytest.mark.parametrize("founded", ["sqlite"], indirect=True)
ADA = actor(Role.ADMINISTRATOR, Role.SECURITY_OFFICER)


def the(world: World) -> Renewal:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        (found,) = [each for each in renewals.plans(world.seal, tx) if each.key == "release"]
    with world.seal.records.reading_all_subscribers() as connection:
        assert found in renewals.plans_of_all_subscribers(world.seal, connection)
    return found


def due(world: World, what: str) -> list[Due]:
    with world.seal.records.reading_all_subscribers() as connection:
        return [
            each
            for each in dues(facts_of_all_subscribers(connection, "World", world.now), world.now)
            if what in each.what
        ]


def fingerprint(world: World) -> str:
    return certificates.read(world.pair()[1].chain[0]).fingerprint


def revoke(world: World, reason: Reason = "superseded") -> None:
    wish = RevocationWish(reason=reason, because="the test wants it", authority="odd")
    revoking.revoke(world.seal, ADA, SUBSCRIBER, fingerprint(world), wish)


def test_a_plan_from_the_records(world: World) -> None:
    """What is installed, ordered and stated; a key that is retired has none."""
    found = the(world)
    assert (found.stage, found.certificate) == (Stage.EARLY, fingerprint(world)) and found.same_key
    world.now = found.ask_from
    assert the(world).stage is Stage.DUE
    ordering.pair(world)
    with world.seal.records.writing(SUBSCRIBER) as tx:
        new = certs.certificate(begin=world.now - timedelta(hours=1))
        print_ = certificates.read(new).fingerprint
        keys.install_certificate(tx, fingerprint=print_, key_id=world.pair()[0].key_id, chain=(new,), now=world.now)
    assert (the(world).stage, the(world).successor) == (Stage.READY, print_)
    move(world, KeyState.RETIRED)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert [each for each in renewals.plans(world.seal, tx) if each.key == "release"] == []


def test_people_are_told_once_for_each_step(world: World) -> None:
    hearing.listen(world)
    assert renewals.remind(world.seal) == 0
    plan = the(world)
    for at, stage in ((plan.ask_from, "due"), (plan.have_by, "late"), (plan.ends + timedelta(seconds=1), "ended")):
        world.now = at
        assert renewals.remind(world.seal) == 1 and renewals.remind(world.seal) == 0
        topic, said = hearing.heard(world, "certificate.")[-1]
        assert (topic, said["stage"], said["key"]) == ("certificate.ending", stage, "release")
        assert said["certificate"] == plan.certificate and said["text"]
    assert len(hearing.heard(world, "certificate.")) == 3


@in_sqlite
def test_an_open_order_stops_the_asking(world: World) -> None:
    world.now = the(world).ask_from
    with world.seal.records.writing(SUBSCRIBER) as tx:
        from privyseal.records import orders
        from privyseal.terms.orders import Order, OrderState

        one = Order(
            id="O-1",
            key="release",
            key_id=world.pair()[0].key_id,
            authority="by-hand",
            state=OrderState.WAITING,
            csr=b"",
            asked=world.now,
            by="M-1",
        )
        orders.add(tx, one)
    assert the(world).stage is Stage.ORDERED and renewals.remind(world.seal) == 0
    assert authorities.one(world.seal, SUBSCRIBER, "O-1") == one


@in_sqlite
def test_the_duty_of_the_next_certificate(world: World) -> None:
    (found,) = due(world, "have the next certificate")
    assert found.state.value == "in-time" and found.whom == f"{SUBSCRIBER}/release"
    world.now = the(world).ask_from
    (found,) = due(world, "have the next certificate")
    assert found.state.value == "warning"


@in_sqlite
def test_a_revoked_certificate_has_to_be_followed(world: World) -> None:
    world.seal.authorities["odd"] = Odd("odd", lambda csr: Refused(why="no"), Revoked(at=world.now))
    revoke(world)
    duties.recover(world.seal)
    assert the(world).stage is Stage.ENDED


# -- the clocks of revocations -----------------------------------------------------------------------------------------
@in_sqlite
def test_the_cas_clock_runs_from_its_answer(world: World) -> None:
    """24 hours from when it is known that it had the request (CSBR 4.9.1.1); done when it says that it revoked."""
    odd = Odd("odd", lambda csr: Refused(why="no"), Waiting(order=""))
    world.seal.authorities["odd"] = odd
    revoke(world)
    duties.recover(world.seal)
    asked = world.now
    (clock,) = due(world, "revoke (requested)")
    assert clock.requirement == "CSBR-4.9.1.1-01" and clock.due == asked + timedelta(hours=24)
    world.now += timedelta(hours=25)
    assert [each.state.value for each in due(world, "revoke (")] == ["breached"]
    odd.revokes = Revoked(at=asked)
    revoke(world, "keyCompromise")
    duties.recover(world.seal)
    (clock,) = due(world, "revoke (key-compromise)")
    assert clock.requirement == "CSBR-4.9.1.1-03" and "after it was due" in clock.text


@in_sqlite
def test_a_ca_that_did_not_answer_leaves_its_clock_unknown(world: World) -> None:
    class Away(Odd):
        def revoke(self, *_: object) -> Waiting:  # type: ignore[override]
            raise Unavailable("odd cannot be reached.")

    world.seal.authorities["odd"] = Away("odd", lambda csr: Refused(why="no"))
    with pytest.raises(Unavailable):
        revoke(world)
    duties.recover(world.seal)
    (clock,) = due(world, "revoke (requested)")
    assert clock.state.value == "unknown"


@in_sqlite
def test_asking_the_ca_is_asking_within_the_incident(world: World) -> None:
    """``cert revoke`` stops the incident's clock, which counted from the report; of another certificate it does not."""
    case = incidents.report(world.seal, OFFICER, STOLEN)
    assert [each.state.value for each in due(world, "ask the issuing CA to revoke")] == ["warning"]
    world.seal.authorities["odd"] = Odd("odd", lambda csr: Refused(why="no"), Waiting(order=""))
    world.now += timedelta(hours=2)
    revoke(world, "keyCompromise")
    duties.recover(world.seal)
    (clock,) = due(world, "ask the issuing CA to revoke")
    assert clock.state.value == "done" and case.id in clock.whom
