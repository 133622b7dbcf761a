"""Several walks at once on PostgreSQL: at one request, through a pooler, and while the server dies under them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests import postgres
from tests.records import stored
from tests.signing.test_approve import KEYS, agreement
from tests.signing.test_custody import certify, generate
from tests.world import SUBSCRIBER, Ledger, World, a_description, found

from privyseal.errors import Conflict, PrivySealError
from privyseal.records import requests
from privyseal.records.requests import Holder
from privyseal.signing import duties
from privyseal.signing.approve import approve
from privyseal.signing.submit import Submission, submit
from privyseal.terms.keys import Approver
from privyseal.terms.requests import Dossier, Intent, State


def test_one_idempotency_key_is_one_request_wherever_it_is_asked(world: World) -> None:
    """Two nodes are asked the same twenty things at once, in opposite orders: each finds what the other wrote."""
    asked = [Submission(world.actor, f"key-{number:02}", world.request(number)) for number in range(20)]
    for _ in range(3):
        start = threading.Barrier(2)

        def ask(submissions: list[Submission], start: threading.Barrier = start) -> dict[str, str]:
            start.wait()
            answers = submit(world.seal, submissions)
            return {
                each.idempotency_key: answer.id if isinstance(answer, Dossier) else str(answer)
                for each, answer in zip(submissions, answers, strict=True)
            }

        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(ask, (asked, asked[::-1]))
        assert one == two
        assert len(set(one.values())) == 20
        asked = [Submission(world.actor, each.idempotency_key + "x", each.request) for each in asked]


def test_two_approvers_at_once_make_a_quorum(world: World) -> None:
    """Neither approval is overlooked because both were written at the same moment."""
    approvers = tuple(Approver(name, key.public_key().public_bytes_raw()) for name, key in KEYS.items())
    certify(world, generate(world, "guarded", 2, approvers))
    for number in range(8):
        (waiting,) = submit(world.seal, [Submission(world.actor, f"k{number}", world.request(number, key="guarded"))])
        assert isinstance(waiting, Dossier)
        start = threading.Barrier(2)

        def agree(name: str, waiting: Dossier = waiting, start: threading.Barrier = start) -> State:
            start.wait()
            return approve(world.seal, world.approver, waiting.id, agreement(waiting, name)).state

        with ThreadPoolExecutor(2) as pool:
            states = sorted(pool.map(agree, ("ann", "bob")))
        assert states == [State.APPROVED, State.REQUESTED]


def test_nobody_fights_over_the_duties(world: World) -> None:
    """Four nodes look for what was left behind and what is late at once: each thing is done once, by one of them."""
    for number in range(12):
        world.client(number)
    submit(world.seal, [Submission(world.actor, one.key, one.request) for one in world.ledgers])
    with ThreadPoolExecutor(4) as pool:
        for taken in [pool.submit(duties.recover, world.seal) for _ in range(4)]:
            assert not [each for each in taken.result() if isinstance(each, PrivySealError)]
    world.insist()
    world.check()
    assert world.key_uses == 12
    late = [Submission(world.actor, f"late-{number}", world.request(100 + number)) for number in range(12)]
    submit(world.seal, late)
    world.now += timedelta(hours=2)
    with ThreadPoolExecutor(4) as pool:
        assert sum(each.result() for each in [pool.submit(duties.expire, world.seal) for _ in range(4)]) == 12


def test_a_new_life_takes_up_what_it_held_at_once(world: World) -> None:
    """``begin`` frees a node's own leases; on PostgreSQL another node's are left to run out."""
    submitted = submit(world.seal, [Submission(world.actor, f"k{n}", world.request(n)) for n in range(2)])
    mine, others = (each.id for each in submitted if isinstance(each, Dossier))
    with world.seal.records.writing(SUBSCRIBER) as tx:
        assert requests.claim(tx, mine, world.now, world.seal.holder) is not None
        assert requests.claim(tx, others, world.now, Holder("another", "1")) is not None
    world.crash()
    released = {each.id for each in duties.recover(world.seal) if isinstance(each, Dossier)}
    assert released == ({mine} if world.database else {mine, others})
    world.now += timedelta(seconds=61)
    duties.recover(world.seal)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.get(tx, others).state is State.RELEASED


def test_a_late_write_is_refused_by_its_fence(world: World) -> None:
    """A walk that slept past its lease finds that another one finished, and changes nothing of it."""
    ledger = world.client(1)
    (asked,) = submit(world.seal, [Submission(world.actor, ledger.key, ledger.request)])
    assert isinstance(asked, Dossier)
    with world.seal.records.writing(SUBSCRIBER) as tx:
        asleep = requests.claim(tx, asked.id, world.now, Holder("asleep", "1"))
        assert asleep is not None
        asleep = requests.move(tx, asleep, State.SIGNING)
    world.now += timedelta(seconds=61)
    world.insist()
    for write in (
        lambda tx: stored.signatures(tx, asleep, [b"late"]),
        lambda tx: stored.intent(tx, asleep, Intent(9, 9)),
        lambda tx: requests.fail(tx, asleep, "late", "late"),
    ):
        with pytest.raises(Conflict), world.seal.records.writing(SUBSCRIBER) as tx:
            write(tx)
    world.insist()
    world.check()
    assert world.key_uses == 1


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Return a function that makes one world on a PostgreSQL server of this test's own, to be killed."""
    own = postgres.Cluster()
    made: list[World] = []

    def make() -> World:
        shared, postgres.cluster = postgres.cluster, lambda: own  # type: ignore[assignment]
        try:
            made.append(World(found(tmp_path / "founded", home="postgresql"), tmp_path / "world"))
        finally:
            postgres.cluster = shared
        return made[-1]

    yield make
    for world in made:
        world.stop()
    own.stop()


def test_a_pooler_may_hand_each_transaction_to_another_session(town: Callable[[], World]) -> None:
    """The whole walk by eight threads through pgbouncer in transaction mode, which has two connections for them."""
    world = town()
    assert world.database is not None
    bouncer = postgres.Bouncer(world.database.cluster)
    try:
        world.records_url = bouncer.url(world.database)
        world.crash()
        for number in range(32):
            world.client(number)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda one: world.ask([one]), world.ledgers))
        assert all(one.given for one in world.ledgers)
        world.check()
    finally:
        world.seal.records.close()
        bouncer.stop()


def _storm(world: World, seconds: float, harm: Callable[[int], None], pause: float) -> dict[str, int]:
    """Let six clients ask without a pause for so long, while ``harm`` is done to the server again and again."""
    assert world.database is not None
    ending, harmed = threading.Event(), 0
    world.seal.holder = Holder("serve", "storm", timedelta(seconds=1))
    plain = world.request(0)
    give_up = time.monotonic() + seconds + 60

    def client(number: int) -> int:
        refused, count = 0, 0
        while not ending.is_set():
            request = msgspec.structs.replace(plain, described=(a_description(100_000 * number + count),))
            ledger = Ledger(request, [request.timeless_digest()])
            world.ledgers.append(ledger)
            count += 1
            while not ledger.given and time.monotonic() < give_up:
                try:
                    (outcome,) = world.ask([ledger])
                except PrivySealError as error:
                    outcome = error
                refused += isinstance(outcome, PrivySealError)
                if isinstance(outcome, Dossier) and outcome.state is State.FAILED:
                    ledger.keys.append(ledger.key + "+")
                time.sleep(0.02)
        return refused

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(client, number) for number in range(6)]
        until, turn = time.monotonic() + seconds, time.monotonic() + pause
        try:
            while time.monotonic() < until:
                world.now = datetime.now(UTC).replace(microsecond=0)
                if time.monotonic() > turn:
                    harm(harmed)
                    harmed += 1
                    turn = time.monotonic() + pause
                time.sleep(0.02)
        finally:
            ending.set()
        while not all(each.done() for each in clients):  # whoever is still served needs a clock that goes on
            world.now = datetime.now(UTC).replace(microsecond=0)
            time.sleep(0.02)
        refused = sum(each.result() for each in clients)
    return {"served": len(world.ledgers), "refused": refused, "harmed": harmed}


def _harm(world: World, restarts_every: int) -> Callable[[int], None]:
    def harm(number: int) -> None:
        assert world.database is not None
        cluster = world.database.cluster
        if number % restarts_every == restarts_every - 1:
            cluster.restart_immediately()
        else:
            one = f"(SELECT pid FROM pg_stat_activity WHERE datname = '{world.database.name}' LIMIT 2) AS victims"
            cluster.execute(f"SELECT pg_terminate_backend(pid) FROM {one}")

    return harm


def _judge(world: World, figures: dict[str, int]) -> None:
    assert all(len(ledger.given) == 1 for ledger in world.ledgers)
    world.check()
    with world.seal.records.reading(SUBSCRIBER) as tx:
        for ledger in world.ledgers:
            kept = requests.by_idempotency_key(tx, ledger.key)
            assert kept is not None, "an acknowledged request is not on record"
            assert (kept[0].blobs, kept[0].receipt) == ledger.given[ledger.key]
    assert figures["refused"] > 0, "nobody noticed anything, so nothing was proven"


def test_no_acknowledged_request_is_lost_when_the_server_dies(town: Callable[[], World]) -> None:
    """Immediate restarts and terminated sessions under load: whoever was told "released" finds it on record."""
    world = town()
    figures = _storm(world, 6, _harm(world, 4), 0.4)
    _judge(world, figures)
    assert figures["harmed"] >= 5


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_no_acknowledged_request_is_lost_in_a_long_storm(town: Callable[[], World]) -> None:
    """20 immediate restarts and 200 times two terminated sessions."""
    world = town()
    figures = _storm(world, 120, _harm(world, 11), 0.4)
    print(figures)
    _judge(world, figures)
