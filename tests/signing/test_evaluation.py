"""The walk of the Requirements over a whole service in memory: what is found, what is kept, what is judged again."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from tests.signing import ordering
from tests.signing.ordering import ADA
from tests.world import SUBSCRIBER, Plan, World

from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.held import Held, Review
from privyseal.compliance.known import SERVICE, Known
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.errors import Conflict
from privyseal.records import events, findings, keys, parties
from privyseal.records.findings import Kept
from privyseal.signing import acceptance, authorities, duties, evaluation, judging
from privyseal.signing.evaluation import SETTLED, Walked
from privyseal.terms.keys import Assurance
from privyseal.terms.parties import Actor, Factor, Member, Role


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where several nodes write, younger events are left for the next walk; here there is one."""
    monkeypatch.setattr(evaluation, "SETTLED", timedelta(seconds=-1))


def walk(world: World) -> Walked:
    return evaluation.walk(world.seal, world.now)


def current(world: World, subscriber: str | None = SUBSCRIBER, **given: object) -> dict[tuple[str, str, str], Kept]:
    with world.seal.records.reading_all_subscribers() as connection:
        found = findings.current(connection, subscriber, **given)  # type: ignore[arg-type]
    return {(each.kind.value, each.requirement, each.verdict.value): each for each in found}


def rows(world: World) -> int:
    from sqlalchemy import func, select

    from privyseal.records.tables import findings as table

    with world.seal.records.reading_all_subscribers() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_rehearsal_is_honest_about_what_it_does_not_meet(world: World) -> None:
    """Software keys, tokens alone, papers that bind nobody: it is all said, and nothing unknown is met."""
    world.ask([world.client(n) for n in range(3)])
    done = walk(world)
    assert done.judged >= 3 + 1 + 1 + 1  # signatures, key, Subscriber, member at least
    found = current(world)
    assert found["key-pair", "CSBR-6.2.7.3-03", "not-met"].subject == "release"
    assert found["key-pair", "CSBR-1.3.5-01", "met"].subject == "release"
    assert ("key-pair", "CSBR-6.1.2-04", "not-evidenced") in found
    tokens = found["signature", "CSBR-6.2.7.3-02", "not-met"]
    assert (tokens.subject, tokens.number) == ("release", 3)
    assert tokens.sample.startswith("R-")
    assert found["signature", "CSBR-9.6.3-08", "not-evidenced"].number == 3
    assert "Nobody (of a rehearsal) accepted it" in found["subscriber", "CSBR-9.6.5-04", "met"].text
    assert ("subscriber", "CSBR-9.6.3-01", "not-evidenced") in found
    service = current(world, None)
    assert ("log", "HOUSE-5.4.3-01", "met") in service
    assert ("log", "NSR-3.1.2-01", "not-evidenced") in service
    assert ("organisation", "CSBR-6.7-01", "not-evidenced") in service
    assert ("timestamp-authority", "CSBR-6.8-04", "not-evidenced") in service
    assert service["audit-period", "CSBR-8.4.2-01", "not-evidenced"].subject == "none declared"
    assert not [each for each in (*found.values(), *service.values()) if each.verdict is Verdict.BROKEN]


def test_what_has_not_changed_is_not_judged_again(world: World) -> None:
    """The second walk reads two rows and writes none."""
    world.ask([world.client(1)])
    walk(world)
    before = rows(world)
    assert walk(world) == Walked(0, 0)
    assert rows(world) == before


def test_signatures_are_counted_on(world: World) -> None:
    """Each walk counts what came since the last one; what is shown is the sum."""
    for number in range(3):
        world.ask([world.client(number)])
        done = walk(world)
        assert done.judged == 1 or number == 0
    assert current(world)["signature", "CSBR-6.2.7.3-02", "not-met"].number == 3


def test_each_way_of_asking_is_a_verdict_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The factors of each signature decide, as the events tell them, also of those that waited for approval."""
    robot = Member("M-robot", SUBSCRIBER, "robot", (Role.REQUESTER,), workload=True)
    with world.seal.records.writing(SUBSCRIBER) as tx:
        parties.add_member(tx, robot)
    world.ask([world.client(1)])
    monkeypatch.setattr(World, "actor", Actor(robot, (Factor.CLIENT_CERTIFICATE,)))
    world.ask([world.client(2), world.client(3)])
    walk(world)
    found = current(world)
    assert found["signature", "CSBR-6.2.7.3-02", "not-met"].number == 1
    assert found["signature", "CSBR-6.2.7.3-02", "met"].number == 2


def test_who_asked_is_known_also_where_it_stands_before_the_last_walk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that waited is read from its events, not from what was just read."""
    from privyseal.signing.sign import advance
    from privyseal.signing.submit import Submission, submit
    from privyseal.terms.requests import Dossier

    robot = Member("M-robot", SUBSCRIBER, "robot", (Role.REQUESTER,), workload=True)
    with world.seal.records.writing(SUBSCRIBER) as tx:
        parties.add_member(tx, robot)
    actor = Actor(robot, (Factor.CLIENT_CERTIFICATE,))
    [dossier] = submit(world.seal, [Submission(actor, "one", world.request(1))])
    assert isinstance(dossier, Dossier)
    walk(world)
    world.now += timedelta(minutes=5)
    advance(world.seal, [(SUBSCRIBER, dossier.id)])
    walk(world)
    assert current(world)["signature", "CSBR-6.2.7.3-02", "met"].number == 1


def test_a_changed_verdict_is_a_new_row_and_is_told(world: World) -> None:
    """What held before stays, and can be asked for by its time."""
    if world.now.hour == 23:
        world.now += timedelta(hours=1)  # a new day would have everything judged again
    walk(world)
    then = world.now
    pair, _ = world.pair()
    world.now += timedelta(hours=1)
    with world.seal.records.writing(SUBSCRIBER) as tx:
        guard = msgspec.structs.replace(pair.protection, assurance=Assurance.CERTIFIED_HARDWARE)
        keys.replace_key_pair(tx, msgspec.structs.replace(pair, protection=guard))
        events.record(tx, events.Event(world.now, "service", "key pair amended", pair.key_id))
    before = rows(world)
    done = walk(world)
    assert done.judged < 5
    assert ("key-pair", "CSBR-6.2.7.3-03", "met") in current(world)
    assert ("key-pair", "CSBR-6.2.7.3-03", "not-met") in current(world, as_of=then)
    assert rows(world) == before + done.changed
    with world.seal.records.reading(SUBSCRIBER) as tx:
        told = events.events_about(tx, "key-pair release CSBR-6.2.7.3-03")
    assert [each.what for each in told] == ["verdict met"]
    assert walk(world).changed == 0


def test_what_is_to_be_done_changes_with_the_same_verdict(world: World) -> None:
    """A key without a certificate is told otherwise than one that has it; it is open since the same moment."""
    pair = ordering.pair(world)
    walk(world)
    place = ("key-pair", "CSBR-6.2.7.4.2-02", "not-evidenced")
    before = _of(world, pair.name)[place]
    assert "issuance" in before.mend
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))
    acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, order.fingerprint)
    world.now += timedelta(minutes=5)
    walk(world)
    after = _of(world, pair.name)[place]
    assert "issuance" not in after.mend and "add evidence" in after.mend
    assert (after.begun, after.at) == (before.begun, world.now)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert events.events_about(tx, f"key-pair {pair.name} CSBR-6.2.7.4.2-02") == []


def _of(world: World, key: str) -> dict[tuple[str, str, str], Kept]:
    return current(world, subject=key)


def test_a_new_day_is_another_question(world: World) -> None:
    """Everything but signatures is judged again, and what is the same writes nothing."""
    walk(world)
    before = rows(world)
    world.now += timedelta(days=1)
    done = walk(world)
    assert done.judged >= 4
    assert rows(world) == before + done.changed


def test_what_is_stated_counts_from_the_next_walk_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures are all counted anew then, and the old count is over."""
    world.ask([world.client(n) for n in range(2)])
    walk(world)
    fingerprint = world.request(0).certificate
    review = Review(requirement="CSBR-6.7-01", verdict="met", who="Ada Example", at=world.now)
    paper = Held(kind="audit-report", sha256="0" * 64, reviews=(review,))
    period = (world.now - timedelta(days=100), world.now - timedelta(days=10))
    known = Known(
        accepted={fingerprint: world.now - timedelta(days=1)}, held={SERVICE: (paper,)}, audit_periods=(period,)
    )
    monkeypatch.setattr(world.seal.stated, "known_of_all_subscribers", lambda connection: known)
    then = world.now
    world.now += timedelta(minutes=1)
    walk(world)
    found = current(world)
    assert found["signature", "CSBR-9.6.3-08", "met"].number == 2
    assert ("signature", "CSBR-9.6.3-08", "not-evidenced") not in found
    assert current(world, as_of=then)["signature", "CSBR-9.6.3-08", "not-evidenced"].number == 2
    service = current(world, None)
    assert "Ada Example" in service["organisation", "CSBR-6.7-01", "met"].text
    assert {each.subject for each in service.values() if each.kind is Kind.AUDIT_PERIOD} == {
        f"{period[0].date()} to {period[1].date()}"
    }


def test_of_two_nodes_that_count_the_same_one_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second is told so, and has written nothing."""
    world.ask([world.client(1)])
    walk(world)
    world.ask([world.client(2)])
    stale = findings.progress_of_all_subscribers
    with world.seal.records.reading_all_subscribers() as connection:
        as_it_was = stale(connection, Kind.SIGNATURE)
    walk(world)
    before = rows(world)

    def old(connection: object, kind: Kind) -> object:
        return as_it_was if kind is Kind.SIGNATURE else stale(connection, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(findings, "progress_of_all_subscribers", old)
    with pytest.raises(Conflict):
        walk(world)
    assert rows(world) == before
    assert duties.evaluate(world.seal) == Walked(0, 0)
    monkeypatch.undo()
    assert current(world)["signature", "CSBR-6.2.7.3-02", "not-met"].number == 2


def test_young_events_are_left_where_several_nodes_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with a smaller number may still be about to be committed."""
    monkeypatch.setattr(evaluation, "SETTLED", SETTLED)
    world.ask([world.client(1)])
    walk(world)
    shared = world.seal.records.dialect.shared
    assert (("signature", "CSBR-6.2.7.3-02", "not-met") in current(world)) is not shared
    world.now += SETTLED
    walk(world)
    assert current(world)["signature", "CSBR-6.2.7.3-02", "not-met"].number == 1


def test_a_subscriber_reads_its_own_findings_only(world: World) -> None:
    """What is found of the service itself, or of others, is not among them."""
    walk(world)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        mine = findings.current(tx.connection, SUBSCRIBER)
        assert mine
        if world.seal.records.dialect.shared:
            assert findings.current(tx.connection, None) == []


def test_what_is_judged_is_what_binds_us() -> None:
    """Nothing that binds a CA alone is held against a Signing Service."""
    for kind in (Kind.KEY_PAIR, Kind.SIGNATURE, Kind.SUBSCRIBER, Kind.LOG, Kind.ORGANISATION):
        rules = judging.requirements_for(kind)
        assert rules
        assert not [each.id for each in rules if set(each.binds) == {"ca"}]
    assert BY_ID["CSBR-6.2.7.3-02"] in judging.requirements_for(Kind.SIGNATURE)
    assert len(REQUIREMENTS) > len(judging.requirements_for(Kind.ORGANISATION))


@pytest.mark.parametrize("way", ["lost", "unreported"])
def test_every_write_of_a_walk_can_fail(world: World, way: str) -> None:
    """The next walk finds the same, and nothing is counted twice."""
    world.ask([world.client(n) for n in range(2)])
    for nth in range(6):
        world.writes.clear()
        world.plan = Plan(nth, way)  # type: ignore[arg-type]
        try:
            walk(world)
        except Exception as error:
            assert type(error).__name__ in ("Unavailable", "LogUnavailable"), error
        world.plan = None
        walk(world)
    assert current(world)["signature", "CSBR-6.2.7.3-02", "not-met"].number == 2


def test_the_log_binds_who_asked_where_the_request_says_it(world: World) -> None:
    """Older requests do not, and are not met; the records alone know of them."""
    from sqlalchemy import update

    from privyseal.records.tables import requests as table

    world.ask([world.client(n) for n in range(3)])
    with world.seal.records.writing(SUBSCRIBER) as tx:
        row = tx.connection.execute(table.select().limit(1)).one()
        named = row.canonical[:-1] + b',"requester":"M-robot"}'
        tx.connection.execute(update(table).where(table.c.id == row.id).values(canonical=named))
    walk(world)
    found = current(world)
    assert found["signature", "HOUSE-4.9.5-01", "met"].number == 1
    assert found["signature", "HOUSE-4.9.5-01", "not-met"].number == 2
