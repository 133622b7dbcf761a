"""Members come, change and leave; who left comes in by nothing, and every account is looked through."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.world import SUBSCRIBER, World

from privyseal.access.credentials import token_digest
from privyseal.compliance.clocks import dues
from privyseal.compliance.due import State
from privyseal.errors import BadInput, Conflict, NotFound, NotPermitted
from privyseal.records import parties
from privyseal.signing import duties, enrol, leavers, reviews
from privyseal.signing.forms_of_parties import NewMember, Reviewed
from privyseal.signing.recorded_duties import facts_of_all_subscribers
from privyseal.terms.parties import Actor, Factor, Member, Role

ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
CI = NewMember(name="ci", roles=(Role.REQUESTER,), workload=True)


def _found(world: World, token: str) -> Member | None:
    with world.seal.records.reading_all_subscribers() as connection:
        digest = token_digest(token.encode())
        return parties.member_by_token_of_all_subscribers(connection, digest, world.now)


def _dues(world: World, requirement: str) -> list[tuple[str, State]]:
    duties.recover(world.seal)
    with world.seal.records.reading_all_subscribers() as connection:
        facts = facts_of_all_subscribers(connection, "World", world.now)
    return [(each.whom, each.state) for each in dues(facts, world.now) if each.requirement == requirement]


def test_who_left_comes_in_no_more_and_the_duty_is_done(world: World) -> None:
    """Every credential ends in that transaction; a second time changes nothing; the account is kept."""
    member = enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    token = enrol.token(world.seal, member)
    assert _found(world, token) == member
    leavers.leave(world.seal, ADMINISTRATOR, "ci", world.now - timedelta(hours=23))
    assert _found(world, token) is None
    leavers.leave(world.seal, ADMINISTRATOR, member.id, world.now - timedelta(hours=99))
    assert _dues(world, "NSR-2.2.1.3-01") == [(f"demo: {member.id}", State.DONE)]
    with world.seal.records.reading(SUBSCRIBER) as tx:
        (account,) = [each for each in parties.accounts(tx) if each.member.id == member.id]
    assert (account.ended, account.factors) == (world.now, ())


def test_a_credential_that_was_forgotten_lets_nobody_in_who_left(world: World) -> None:
    """A kind that no line of ``ENDS`` knows: the member is refused all the same."""
    member = enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    leavers.leave(world.seal, ADMINISTRATOR, "ci", world.now)
    late = enrol.token(world.seal, member)
    assert _found(world, late) is None


def test_a_leaver_who_kept_access_too_long_is_a_breach(world: World) -> None:
    """24 hours and a second after they left."""
    member = enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    leavers.leave(world.seal, ADMINISTRATOR, "ci", world.now - timedelta(hours=24, seconds=1))
    assert _dues(world, "NSR-2.2.1.3-01") == [(f"demo: {member.id}", State.BREACHED)]


def test_who_cannot_leave(world: World) -> None:
    """Oneself, who is not here, and nobody in the future."""
    with pytest.raises(BadInput, match="has not come"):
        leavers.leave(world.seal, ADMINISTRATOR, "rehearsal client", world.now + timedelta(seconds=1))
    with pytest.raises(NotFound):
        leavers.leave(world.seal, ADMINISTRATOR, "nobody", world.now)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        itself = Actor(parties.member(tx, "rehearsal administrator"), (Factor.BEARER,))
    with pytest.raises(NotPermitted, match="own account"):
        leavers.leave(world.seal, itself, "rehearsal administrator", world.now)
    with pytest.raises(NotPermitted, match="own roles"):
        enrol.set_roles(world.seal, itself, "rehearsal administrator", tuple(Role))


def test_accounts_are_reviewed_by_somebody_who_saw_them(world: World) -> None:
    """Not known before, in time after it, breached three months later; a list that has changed is not reviewed."""
    assert _dues(world, "NSR-2.2.1.4-01") == [("systems in scope", State.UNKNOWN)]
    with world.seal.records.reading(SUBSCRIBER) as tx:
        seen = reviews.listed(tx)
    enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    with pytest.raises(Conflict, match="have changed"):
        reviews.review(world.seal, ADMINISTRATOR, Reviewed(reviewer="Ada", sha256=seen.sha256))
    with world.seal.records.reading(SUBSCRIBER) as tx:
        seen = reviews.listed(tx)
    done = reviews.review(world.seal, ADMINISTRATOR, Reviewed(reviewer="Ada", sha256=seen.sha256, note="none to go"))
    founders, invited = 4, 1
    assert (done.reviewer, done.accounts, done.about) == ("Ada", founders + invited, "service")
    assert _dues(world, "NSR-2.2.1.4-01") == [("systems in scope", State.IN_TIME)]
    world.now += timedelta(days=93)
    assert _dues(world, "NSR-2.2.1.4-01") == [("systems in scope", State.BREACHED)]


@pytest.mark.parametrize("name", ["", " ", "a ", "a\0b", "a\nb", "a" * 201, "a\u200bb", "\u0430d\u0430", "Ad\u0430"])
def test_a_name_that_nobody_can_be_called_by_is_refused(world: World, name: str) -> None:
    """One sentence, and nobody is taken in."""
    with pytest.raises(BadInput):
        enrol.by_an_administrator(world.seal, ADMINISTRATOR, NewMember(name=name, roles=(), workload=False))


def test_who_may_be_taken_in_by_whom(world: World) -> None:
    """Twice the same name is a Conflict; a requester takes nobody in; the operator's role is the operator's."""
    enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    with pytest.raises(Conflict):
        enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    with pytest.raises(NotPermitted):
        enrol.by_an_administrator(world.seal, world.actor, NewMember(name="x", roles=(), workload=False))
    enrol.subscriber(world.seal, "acme", "Acme")
    theirs = Actor(Member("M-a", "acme", "a", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
    with pytest.raises(NotPermitted, match="operate the service"):
        enrol.by_an_administrator(world.seal, theirs, NewMember(name="x", roles=(Role.OPERATOR,), workload=False))


def test_a_name_that_looks_like_another_s_is_refused(world: World) -> None:
    """Whoever would be taken for somebody who is here; the sentence names the other one."""
    enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    with pytest.raises(BadInput, match="looks like 'ci'"):
        enrol.by_an_administrator(world.seal, ADMINISTRATOR, NewMember(name="cl", roles=(), workload=True))


def test_an_account_with_an_end_is_over_then(world: World) -> None:
    """At that very second; and one that is over already is none."""
    end = world.now + timedelta(days=1)
    auditor = NewMember(name="auditor", roles=(Role.AUDITOR,), workload=False, until=end)
    token = enrol.token(world.seal, enrol.by_an_administrator(world.seal, ADMINISTRATOR, auditor))
    world.now = end - timedelta(seconds=1)
    assert _found(world, token) is not None
    world.now = end
    assert _found(world, token) is None
    with pytest.raises(BadInput, match="over already"):
        enrol.by_an_administrator(world.seal, ADMINISTRATOR, auditor)


def test_other_roles_hold_at_once(world: World) -> None:
    """Whoever comes in by the same token comes in with them."""
    member = enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    token = enrol.token(world.seal, member)
    enrol.set_roles(world.seal, ADMINISTRATOR, "ci", (Role.AUDITOR,))
    found = _found(world, token)
    assert found is not None and found.roles == (Role.AUDITOR,)


def test_roles_that_should_be_apart_are_not_given_to_one_member(world: World) -> None:
    """Neither to a new one nor to one who is there; the sentence says what it would let them do."""
    both = (Role.REQUESTER, Role.APPROVER)
    with pytest.raises(NotPermitted, match="asks for signatures and agrees to them"):
        enrol.by_an_administrator(world.seal, ADMINISTRATOR, NewMember(name="Ada", roles=both, workload=False))
    enrol.by_an_administrator(world.seal, ADMINISTRATOR, CI)
    with pytest.raises(NotPermitted, match="asks for signatures and agrees to them"):
        enrol.set_roles(world.seal, ADMINISTRATOR, "ci", both)
