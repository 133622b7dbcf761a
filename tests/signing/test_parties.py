"""CAs, resellers and partners, and what follows: whom a CA is to be told of, and which clauses papers turn."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from tests.signing.test_agreements import ADA, ADMINISTRATOR, COMMITMENTS, OPERATOR
from tests.world import SUBSCRIBER, World

from privyseal.compliance import gates as rules
from privyseal.compliance.clocks import dues
from privyseal.compliance.due import State
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked, Kind
from privyseal.errors import BadInput, Misused, NotFound, NotPermitted
from privyseal.records import evidence
from privyseal.records import parties as members
from privyseal.signing import agreements, duties, enrol, judging, leavers, parties, reviews
from privyseal.signing.forms_of_parties import Acceptance, NewParty, Reviewed
from privyseal.signing.judging import NOT_ASKED
from privyseal.signing.recorded_duties import facts_of_all_subscribers
from privyseal.terms.agreements import Clause, Paper, PaperKind
from privyseal.terms.parties import Actor, Factor, Member, Role

CA = NewParty(name="ca-x", kind="ca", display_name="CA X", report_to="problems@ca-x.example")


def _duties(world: World) -> dict[str, State]:
    duties.recover(world.seal)
    with world.seal.records.reading_all_subscribers() as connection:
        facts = facts_of_all_subscribers(connection, "World", world.now)
    told = "tell the issuing CA of a compromise"
    return {each.whom: each.state for each in dues(facts, world.now) if each.what == told}


def test_a_ca_is_told_within_24_hours(world: World) -> None:
    """A duty from the second on that the service knew; done when it was told, and a breach after a day."""
    parties.add(world.seal, OPERATOR, CA)
    with pytest.raises(NotFound, match="linked"):
        parties.must_tell(world.seal, OPERATOR, ("ca-x", SUBSCRIBER), "compromise", world.now)
    parties.link(world.seal, OPERATOR, "ca-x", SUBSCRIBER)
    parties.must_tell(world.seal, OPERATOR, ("ca-x", SUBSCRIBER), "compromise", world.now)
    parties.must_tell(world.seal, OPERATOR, ("ca-x", SUBSCRIBER), "compromise", world.now)
    (whom,) = _duties(world)
    assert whom.startswith("demo compromise") and whom.endswith(", ca-x")
    assert _duties(world) == {whom: State.WARNING}
    known = world.now
    world.now += timedelta(hours=24, seconds=1)
    assert _duties(world) == {whom: State.BREACHED}
    parties.told(world.seal, OPERATOR, "ca-x", SUBSCRIBER, known + timedelta(hours=3))
    assert _duties(world) == {whom: State.DONE}
    with pytest.raises(NotFound, match="not waiting"):
        parties.told(world.seal, OPERATOR, "ca-x", SUBSCRIBER, world.now)


def test_times_that_cannot_be_are_refused(world: World) -> None:
    """Nothing is known or told in the future, and nobody is told before it is known."""
    parties.add(world.seal, OPERATOR, CA)
    parties.link(world.seal, OPERATOR, "ca-x", SUBSCRIBER)
    later = world.now + timedelta(seconds=1)
    with pytest.raises(BadInput, match="has not come"):
        parties.must_tell(world.seal, OPERATOR, ("ca-x", SUBSCRIBER), "suspect-code", later)
    parties.must_tell(world.seal, OPERATOR, ("ca-x", SUBSCRIBER), "suspect-code", world.now)
    with pytest.raises(BadInput, match="has not come"):
        parties.told(world.seal, OPERATOR, "ca-x", SUBSCRIBER, later)
    with pytest.raises(BadInput, match="before the service knew"):
        parties.told(world.seal, OPERATOR, "ca-x", SUBSCRIBER, world.now - timedelta(seconds=1))


def test_who_came_through_whom(world: World) -> None:
    """A reseller's Subscribers, each once; what is said again of a party takes the place of what was said."""
    enrol.subscriber(world.seal, "acme", "Acme")
    parties.add(world.seal, OPERATOR, NewParty(name="shop", kind="reseller", display_name="Shop"))
    parties.add(world.seal, OPERATOR, NewParty(name="shop", kind="reseller", display_name="Shop Ltd"))
    for name in ("acme", SUBSCRIBER, "acme"):
        parties.link(world.seal, OPERATOR, "shop", name)
    (found,) = parties.everyone(world.seal, OPERATOR)
    assert (found.stands.display_name, found.subscribers) == ("Shop Ltd", ("acme", SUBSCRIBER))


def test_parties_are_the_operators(world: World) -> None:
    """Nobody else sees or says anything of one; a name, a document or a Subscriber that is none is refused."""
    stranger = Actor(Member("M-s", "acme", "s", tuple(Role)), (Factor.BEARER,))
    for actor in (stranger, ADMINISTRATOR):
        with pytest.raises(NotPermitted):
            parties.add(world.seal, actor, CA)
        with pytest.raises(NotPermitted):
            parties.everyone(world.seal, actor)
    with pytest.raises(Misused):
        parties.add(world.seal, OPERATOR, msgspec.structs.replace(CA, name="CA X"))
    with pytest.raises(NotFound, match="no document"):
        parties.add(world.seal, OPERATOR, msgspec.structs.replace(CA, contract="0" * 64))
    with pytest.raises(BadInput, match="Only a CA"):
        parties.add(world.seal, OPERATOR, msgspec.structs.replace(CA, kind="partner"))
    parties.add(world.seal, OPERATOR, CA)
    with pytest.raises(NotFound):
        parties.link(world.seal, OPERATOR, "ca-x", "nobody")
    with pytest.raises(NotFound):
        parties.link(world.seal, OPERATOR, "ca-y", SUBSCRIBER)


# -- what turns --------------------------------------------------------------------------------------------------------
AGREEMENT = Paper(
    kind=PaperKind.AGREEMENT,
    title="Subscriber Agreement",
    parties=("CA X", "Acme"),
    clauses=(Clause(number="1", text="What is said is true.", answers=("CSBR-9.6.3-02",)),),
)


def _verdicts(world: World) -> dict[tuple[Kind, str, str], Verdict]:
    """Judge everything but signatures, as a report does."""
    duties.recover(world.seal)
    with world.seal.records.reading_all_subscribers() as connection:
        known = world.seal.stated.known_of_all_subscribers(connection)
        subjects = [each for _, each in judging.parties(connection, known, world.now)]
        subjects += judging.service(connection, known, world.now, "World", NOT_ASKED)
        return {
            (subject.kind, subject.label, each.requirement): each.verdict
            for subject in subjects
            for each in judging.judge(subject, Asked(world.now, known.choices), everything=True)
        }


def _turned(before: dict[tuple[Kind, str, str], Verdict], after: dict[tuple[Kind, str, str], Verdict]) -> set[object]:
    return {(*key, before[key], after[key]) for key in before if before[key] is not after[key]}


def test_exactly_the_clauses_concerned_turn(world: World) -> None:
    """Commitments, a copy of the agreement, a leaver, a review: each turns its own clause and nothing else."""
    enrol.subscriber(world.seal, "acme", "Acme")
    theirs = Actor(Member("M-a", "acme", "a", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
    leaver = enrol.member(world.seal, SUBSCRIBER, "leaver", (Role.REQUESTER,), False)
    world.now += timedelta(seconds=1)
    before = _verdicts(world)
    for paper in (COMMITMENTS, AGREEMENT):
        agreements.add(world.seal, OPERATOR, "acme", paper)
    assert _turned(before, _verdicts(world)) == set(), "a paper that nobody accepted shows nothing"
    for paper in (COMMITMENTS, AGREEMENT):
        given = Acceptance(kind=paper.kind, sha256=paper.digest(), representative=ADA)
        agreements.accept(world.seal, theirs, "acme", given)
    accepted = _verdicts(world)
    assert _turned(before, accepted) == {
        *((Kind.SUBSCRIBER, "acme", f"CSBR-9.6.5-0{n}", Verdict.NOT_EVIDENCED, Verdict.MET) for n in (4, 5, 6)),
        (Kind.SUBSCRIBER, "acme", "CSBR-9.6.3-02", Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT),
    }
    leavers.leave(world.seal, ADMINISTRATOR, "leaver", world.now)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        seen = reviews.listed(tx)
    reviews.review(world.seal, ADMINISTRATOR, Reviewed(reviewer="Ada", sha256=seen.sha256))
    ended = {each for each in _turned(accepted, _verdicts(world)) if each[1] != leaver.id}  # type: ignore[index]
    assert {(each[2], each[3], each[4]) for each in ended} == {  # type: ignore[index]
        ("NSR-2.2.1.3-01", Verdict.NOT_EVIDENCED, Verdict.MET),
        ("NSR-2.2.1.4-01", Verdict.NOT_EVIDENCED, Verdict.MET),
    }


def test_one_late_leaver_is_not_made_good_by_the_next(world: World) -> None:
    """The requirement is of each person who leaves."""
    for name, hours in (("late", 25), ("prompt", 1)):
        enrol.member(world.seal, SUBSCRIBER, name, (Role.REQUESTER,), False)
        leavers.leave(world.seal, ADMINISTRATOR, name, world.now - timedelta(hours=hours))
    found = {key[2]: verdict for key, verdict in _verdicts(world).items() if key[0] is Kind.ORGANISATION}
    assert found["NSR-2.2.1.3-01"] is Verdict.NOT_MET


def test_a_commitment_that_a_new_version_lost_is_not_evidenced(world: World) -> None:
    """What the version in force no longer has, nobody is bound by; what it still has, is bound since it first was."""
    fewer = msgspec.structs.replace(COMMITMENTS, clauses=COMMITMENTS.clauses[:2])
    agreements.add(world.seal, OPERATOR, SUBSCRIBER, fewer)
    given = Acceptance(kind=fewer.kind, sha256=fewer.digest(), representative=ADA)
    agreements.accept(world.seal, ADMINISTRATOR, SUBSCRIBER, given)
    found = {key[2]: verdict for key, verdict in _verdicts(world).items() if key[1] == SUBSCRIBER}
    assert [found[f"CSBR-9.6.5-0{n}"] for n in (4, 5, 6)] == [Verdict.MET, Verdict.MET, Verdict.NOT_EVIDENCED]


def test_the_gate_for_commitments_opens(world: World) -> None:
    """Of a Subscriber that committed to nothing three gates stop; of one that did, none of the three."""
    enrol.subscriber(world.seal, "acme", "Acme")
    duties.recover(world.seal)

    def stopped(name: str) -> set[str]:
        with world.seal.records.reading_all_subscribers() as connection:
            known = world.seal.stated.known_of_all_subscribers(connection)
            subject = evidence.subscriber(connection, name, known, world.now)
        found = rules.refused_by([subject], Asked(world.now, {}), [], [])
        return {each.requirement for each in found if each.requirement.startswith("CSBR-9.6.5")}

    assert (len(stopped("acme")), stopped(SUBSCRIBER)) == (3, set())


def test_isolation_of_accounts_and_papers(world: World) -> None:
    """What one Subscriber lists is the same whether or not another one exists."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        before = (members.accounts(tx), reviews.listed(tx), agreements.in_force(tx))
    enrol.subscriber(world.seal, "acme", "Acme")
    enrol.token(world.seal, enrol.member(world.seal, "acme", "rehearsal client", tuple(Role)))
    agreements.add(world.seal, OPERATOR, "acme", COMMITMENTS)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert (members.accounts(tx), reviews.listed(tx), agreements.in_force(tx)) == before
