"""A report starts its clocks and its belief; a revocation date tells the dead from the living."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World, a_description

from privyseal.compliance.clocks import dues
from privyseal.compliance.duty_facts import IncidentKind
from privyseal.compliance.incidents import OutsideReport, Report
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.errors import BadInput, Conflict, NotFound, NotPermitted, Overloaded, PrivySealError
from privyseal.records import incidents as kept
from privyseal.signing import duties, incidents, judging
from privyseal.signing.ask import ask
from privyseal.signing.incidents import Step
from privyseal.signing.recorded_duties import facts_of_all_subscribers
from privyseal.signing.submit import Submission
from privyseal.terms.parties import Actor, Factor, Member, Role, Workload
from privyseal.terms.requests import Dossier

OFFICER = Actor(Member("M-officer", SUBSCRIBER, "officer", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,))
STOLEN = Report(kind=IncidentKind.COMPROMISE, text="the PIN was in a mail", keys=("release",))


def clauses(world: World, after: timedelta) -> dict[str, str]:
    at = world.now + after
    with world.seal.records.reading_all_subscribers() as connection:
        found = dues(facts_of_all_subscribers(connection, "World", at), at)
    return {each.what: each.state.value for each in found if "I-" in each.whom}


def test_the_clocks_of_a_compromise(world: World) -> None:
    """A warning from the first second, a breach after a day, done when the CA was told."""
    case = incidents.report(world.seal, OFFICER, STOLEN)
    assert (len(case.certificates), len(case.cas)) == (1, 1)
    what = "tell the issuing CA of a compromise"
    assert clauses(world, timedelta())[what] == "warning"
    assert clauses(world, timedelta(hours=24, seconds=1))[what] == "breached"
    world.now += timedelta(hours=1)
    done = incidents.act(world.seal, OFFICER, case.id, Step(step="ca-notified", ca=case.cas[0]))
    assert done == incidents.act(world.seal, OFFICER, case.id, Step(step="ca-notified", ca=case.cas[0]))
    assert clauses(world, timedelta(hours=30))[what] == "done"
    incidents.act(world.seal, OFFICER, case.id, Step(step="unfounded", note="it was another mail"))
    assert clauses(world, timedelta(hours=30)) == {}


def test_a_reported_compromise_is_believed_until_it_is_unfounded(world: World) -> None:
    """Since when it happened, or else since the report; Suspect Code alone is no such belief."""
    key_id = world.pair()[0].key_id

    def believed() -> object:
        with world.seal.records.reading_all_subscribers() as connection:
            return world.seal.stated.known_of_all_subscribers(connection).believed.get(key_id)

    assert believed() is None
    incidents.report(world.seal, OFFICER, Report(kind=IncidentKind.SUSPECT_CODE, text="a miner", keys=("release",)))
    assert believed() is None
    since = world.now - timedelta(days=2)
    case = incidents.report(
        world.seal, OFFICER, Report(kind=IncidentKind.COMPROMISE, text="seen", keys=("release",), since=since)
    )
    assert believed() == since
    incidents.act(world.seal, OFFICER, case.id, Step(step="unfounded"))
    assert believed() is None


def test_an_outsider_is_heard_and_stops_nothing(world: World) -> None:
    """Filed with whose code it is; believed only once a person decided; so many an hour and no more."""
    [dossier] = world.ask([world.client(1)])
    said = OutsideReport(kind=IncidentKind.COMPROMISE, text="it is malware", digests=(a_description(1).digest.hex(),))
    case = incidents.report_from_outside(world.seal, said)
    assert isinstance(dossier, Dossier)
    assert (case.requests, case.keys) == ((dossier.id,), ("release",))
    for believed, step in ((False, Step(step="founded")), (True, Step(step="unfounded")), (False, None)):
        with world.seal.records.reading_all_subscribers() as connection:
            known = world.seal.stated.known_of_all_subscribers(connection)
        assert bool(known.believed) == believed
        if step is not None:
            incidents.act(world.seal, OFFICER, case.id, step)
    nobody = OutsideReport(kind=IncidentKind.SUSPECT_CODE, text="unknown here", digests=("0" * 41, "0" * 64))
    for _ in range(incidents.MOST_AN_HOUR - 1):
        assert incidents.report_from_outside(world.seal, nobody).requests == ()
    with pytest.raises(Overloaded):
        incidents.report_from_outside(world.seal, nobody)
    world.now += timedelta(hours=1)
    incidents.report_from_outside(world.seal, nobody)


def test_a_digest_leads_to_requests_keys_and_cas(world: World) -> None:
    """Whoever has only the file reports its digest; one that nobody signed is part of the report all the same."""
    [dossier] = world.ask([world.client(1)])
    assert isinstance(dossier, Dossier)
    digests = (a_description(1).digest.hex(), "00" * 32)
    case = incidents.report(
        world.seal, OFFICER, Report(kind=IncidentKind.SUSPECT_CODE, text="a miner", digests=digests)
    )
    assert (case.requests, case.keys, len(case.cas)) == ((dossier.id,), ("release",), 1)


def test_incidents_are_judged(world: World) -> None:
    """Clauses about incidents have a verdict as soon as there is one."""
    case = incidents.report(world.seal, OFFICER, STOLEN)
    world.now += timedelta(hours=30)
    with world.seal.records.reading_all_subscribers() as connection:
        known = world.seal.stated.known_of_all_subscribers(connection)
        [(owner, subject)] = judging.incidents(connection, known, world.now)
        found = {each.requirement: each.verdict for each in judging.judge(subject, Asked(world.now, known.choices))}
    assert (owner, subject.label) == (SUBSCRIBER, case.id)
    assert Verdict.NOT_MET in found.values() or Verdict.NOT_EVIDENCED in found.values()
    duties.evaluate(world.seal)


def test_a_revocation_date_tells_the_dead_from_the_living(world: World) -> None:
    """Stamped before it: lives. At it, after it, or never stamped: dies."""
    world.ask([world.client(1)])
    first = world.now
    world.now += timedelta(hours=2)
    ask(world.seal, [Submission(world.actor, "plain", world.request(2, timestamp=False))])
    world.ask([world.client(3)])
    fingerprint = world.request(1).certificate
    found = incidents.impact(world.seal, OFFICER, fingerprint, first + timedelta(hours=1))
    assert (found.dies, found.lives) == (2, 1)
    assert sorted(each.stamped is None for each in found.dying) == [False, True]
    assert found.living[0].stamped is not None
    exactly = incidents.impact(world.seal, OFFICER, fingerprint, found.living[0].stamped)
    assert (exactly.dies, exactly.lives) == (3, 0)
    with pytest.raises(BadInput, match="installed"):
        incidents.impact(world.seal, OFFICER, "0" * 64, first)


def test_what_dies_is_named_with_the_exchange_of_its_run(world: World) -> None:
    """So that whoever was robbed of an identity token finds all that it signed; nothing where no run asked."""
    run = Workload(
        provider="github", issuer="https://ci.example", subject="repo:1", claims=(), run="7", attempt="1",
        trust="T-1", exchange="E-abc",
    )  # fmt: skip
    machine = Actor(world.actor.member, (Factor.WORKLOAD_TOKEN,), workload=run)
    ask(world.seal, [Submission(machine, "run", world.request(1)), Submission(world.actor, "plain", world.request(2))])
    found = incidents.impact(world.seal, OFFICER, world.request(1).certificate, world.now - timedelta(days=1))
    assert sorted(each.exchange for each in found.dying) == ["", "E-abc"]


def test_portions_leave_nobody_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven releases at one moment, two at a time."""
    monkeypatch.setattr(incidents, "PORTION", 2)
    world.ask([world.client(n) for n in range(7)])
    found = incidents.impact(world.seal, OFFICER, world.request(1).certificate, world.now - timedelta(days=1))
    assert found.dies == 7
    assert len({each.request for each in found.dying}) == 7


def test_what_cannot_be(world: World) -> None:
    """Roles, unknown keys, times that are not yet, CAs that issued nothing, closing what nobody decided."""
    with pytest.raises(NotFound):
        incidents.report(world.seal, OFFICER, Report(kind=IncidentKind.COMPROMISE, text="seen", keys=("nothing",)))
    with pytest.raises(BadInput, match="not yet"):
        later = world.now + timedelta(hours=1)
        incidents.report(world.seal, OFFICER, Report(kind=IncidentKind.COMPROMISE, text="seen", since=later))
    case = incidents.report(world.seal, world.actor, STOLEN)
    with pytest.raises(NotPermitted):
        incidents.act(world.seal, world.actor, case.id, Step(step="founded"))
    with pytest.raises(BadInput, match="issued none"):
        incidents.act(world.seal, OFFICER, case.id, Step(step="ca-notified", ca="CN=Another"))
    with pytest.raises(Conflict, match="decided"):
        incidents.act(world.seal, OFFICER, case.id, Step(step="closed"))
    with pytest.raises(NotFound):
        incidents.act(world.seal, OFFICER, "I-none", Step(step="founded"))
    incidents.act(world.seal, OFFICER, case.id, Step(step="founded"))
    closed = incidents.act(world.seal, OFFICER, case.id, Step(step="closed"))
    assert closed.closed == world.now
    with pytest.raises(Conflict, match="is closed"):
        incidents.act(world.seal, OFFICER, case.id, Step(step="unfounded"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("nth", range(3))
def test_a_write_that_fails_loses_no_decision(make_world: Callable[[Plan | None], World], way: Way, nth: int) -> None:
    """Asked for again, each step stands once."""
    world = make_world(None)
    case = incidents.report(world.seal, OFFICER, STOLEN)
    world.writes.clear()
    world.plan = Plan(nth, way)
    for step in (Step(step="ca-notified", ca=case.cas[0]), Step(step="founded"), Step(step="closed")):
        for _ in range(2):
            try:
                incidents.act(world.seal, OFFICER, case.id, step)
                break
            except PrivySealError:
                continue
    assert len(world.writes) > nth
    with world.seal.records.reading(SUBSCRIBER) as tx:
        found = kept.get(tx, case.id)
    assert (found.version, len(found.case.notices), found.case.judged) == (4, 1, "founded")
    assert found.case.closed is not None
