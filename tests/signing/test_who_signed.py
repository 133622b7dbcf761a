"""From a digest to who is behind a signature; nothing of another Subscriber is ever told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module

import msgspec
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World, a_description

from privyseal.errors import BadInput, NotPermitted, VerificationFailed
from privyseal.records import signed, statements
from privyseal.records.tables import signed_digests
from privyseal.signing import duties, enrol
from privyseal.signing.ask import ask
from privyseal.signing.submit import Submission
from privyseal.signing.who_signed import MOST_REQUESTS, who_signed
from privyseal.terms.parties import Actor, Factor, Member, Role, Workload
from privyseal.terms.requests import Dossier

OFFICER = Actor(Member("M-officer", SUBSCRIBER, "officer", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,))
AUDITOR = Actor(Member("M-auditor", SUBSCRIBER, "auditor", (Role.AUDITOR,)), (Factor.PASSKEY,))


def test_the_answer_has_all_of_it(world: World) -> None:
    """By content and by the blob: request, who and how, log, certificate, timestamp."""
    [dossier] = world.ask([world.client(1)])
    assert isinstance(dossier, Dossier)
    for digest in (a_description(1).digest, hashlib.sha256(dossier.blobs[0]).digest()):
        [found] = who_signed(world.seal, AUDITOR, digest.hex())
        assert found.request == dossier.id
        assert (found.requester, found.by[0].factors) == ("M-client", (Factor.BEARER,))
        assert found.intent is not None
        assert found.completion is not None
        assert found.completion > found.intent
        assert found.certificate == world.request(1).certificate
        assert len(found.timestamps) == 1
        assert found.siblings == ()


def test_siblings_are_named_with_their_reason(world: World) -> None:
    """Of the same request, and of the same requester within the hour; not two hours later."""
    several = world.request(1, [a_description(1), a_description(2)])
    ask(world.seal, [Submission(world.actor, "several", several)])
    world.ask([world.client(4)])
    world.now += timedelta(hours=2)
    world.ask([world.client(5)])
    [found] = who_signed(world.seal, AUDITOR, a_description(1).digest.hex())
    assert [(each.digest, each.why) for each in found.siblings] == [
        (a_description(1).digest.hex(), "same request"),
        (a_description(2).digest.hex(), "same request"),
        (a_description(4).digest.hex(), "same requester within the hour"),
    ]


def test_a_run_is_told_and_its_files_are_siblings(world: World) -> None:
    """What the platform said of the run, and all that it signed, hours apart and in another attempt."""
    run = Workload(
        provider="github", issuer="https://ci.example", subject="repo:1", claims=(("ref", "main"),), run="7",
        attempt="1", trust="T-1",
    )  # fmt: skip
    machine = Actor(world.actor.member, (Factor.WORKLOAD_TOKEN,), workload=run)
    again = Actor(world.actor.member, (Factor.WORKLOAD_TOKEN,), workload=msgspec.structs.replace(run, attempt="2"))
    other = Actor(world.actor.member, (Factor.WORKLOAD_TOKEN,), workload=msgspec.structs.replace(run, run="8"))
    for number, actor in enumerate((machine, again, other)):
        ask(world.seal, [Submission(actor, f"run {number}", world.request(number))])
        world.now += timedelta(hours=2)
    [found] = who_signed(world.seal, AUDITOR, a_description(0).digest.hex())
    assert found.workload == run
    assert found.by[0].factors == (Factor.WORKLOAD_TOKEN,)
    assert [(each.digest, each.why) for each in found.siblings] == [(a_description(1).digest.hex(), "same run")]


def test_what_was_not_signed_here_is_one_sentence(world: World) -> None:
    """Exit 3; what is no digest is exit 2."""
    with pytest.raises(VerificationFailed, match="was signed here for 'demo'") as refused:
        who_signed(world.seal, AUDITOR, "00" * 32)
    assert refused.value.exit == 3
    for wrong in ("", "zz" * 32, "00" * 31, "sha256:", "0 " * 32, "\x00", "00" * 4000):
        with pytest.raises(BadInput):
            who_signed(world.seal, AUDITOR, wrong)


def test_another_subscriber_learns_nothing_and_looking_across_is_logged(world: World) -> None:
    """The refusal is the same whether or not somebody else signed it; the operator's officer is told, and noted."""
    enrol.subscriber(world.seal, "acme", "Acme")
    stranger = Actor(Member("M-acme", "acme", "a", (Role.SECURITY_OFFICER,)), (Factor.PASSKEY,))
    texts = []
    for number in range(2):
        with pytest.raises(VerificationFailed) as refused:
            who_signed(world.seal, stranger, a_description(1).digest.hex())
        texts.append(refused.value.detail)
        if number == 0:
            world.ask([world.client(1)])
    assert texts[0] == texts[1]
    for actor in (stranger, AUDITOR):
        with pytest.raises(NotPermitted):
            who_signed(world.seal, actor, a_description(1).digest.hex(), everywhere=True)
    with pytest.raises(NotPermitted):
        who_signed(world.seal, world.actor, a_description(1).digest.hex())
    [found] = who_signed(world.seal, OFFICER, a_description(1).digest.hex(), everywhere=True)
    assert found.subscriber == SUBSCRIBER
    duties.recover(world.seal)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        acts = [msgspec.to_builtins(each.said.matter)["what"] for each in statements.listed(tx, "administration")]
    assert acts.count("looked across subscribers") == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("nth", range(0, 16, 3))
def test_what_is_released_is_found_whatever_failed(
    make_world: Callable[[Plan | None], World], way: Way, nth: int
) -> None:
    """The index is written with the release: neither is there without the other."""
    world = make_world(None)
    ledger = world.client(1)
    world.writes.clear()
    world.plan = Plan(nth, way)
    world.story()
    assert ledger.given
    found = who_signed(world.seal, AUDITOR, a_description(1).digest.hex())
    assert 1 <= len(found) <= MOST_REQUESTS
    with world.seal.records.reading(SUBSCRIBER) as tx:
        for each in found:
            assert {one.kind for one in signed.found(tx, a_description(1).digest, 10)} == {"content"}
            assert each.released is not None


@pytest.mark.parametrize("founded", ["sqlite"], indirect=True)  # only an owner may make tables, and serve is none
def test_rows_of_former_days_are_found_by_the_migrations(world: World) -> None:
    """What the migrations compute is what the release writes."""
    world.ask([world.client(n) for n in range(3)])
    with world.seal.records.reading(SUBSCRIBER) as tx:
        rows = set(tx.connection.execute(signed_digests.select()).all())
    assert len(rows) == 6
    versions = "privyseal.records.migrations.versions."
    first, second = (import_module(versions + name) for name in ("0014_incidents", "0016_signed_digests"))
    with (
        world.seal.records.writing(SUBSCRIBER) as tx,
        Operations.context(MigrationContext.configure(tx.connection)),
    ):
        second.downgrade()
        tx.connection.execute(text("DELETE FROM signed_things"))
        first._index_what_was_signed()
        second.upgrade()
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert set(tx.connection.execute(signed_digests.select()).all()) == rows
