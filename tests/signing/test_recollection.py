"""Records that are older than the log are found out before anything is signed, and healthy ones never."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import delete
from tests.world import SUBSCRIBER, Ledger, Plan, World

from privyseal.errors import LogRolledBack, LogUnavailable, PrivySealError, RecordsRolledBack
from privyseal.records import events, requests
from privyseal.records.tables import requests as table
from privyseal.signing import duties
from privyseal.signing.recollection import Recollection, accept
from privyseal.terms.requests import Dossier, State
from privyseal.tlog.tilestore import DirectoryTileStore

MakeWorld = Callable[[Plan | None], World]


def _forget(world: World, *ledgers: Ledger) -> None:
    """Have the records be as if these requests had never come: what a backup from before them holds."""
    with world.seal.records.batch() as batch:
        connection = batch.across_subscribers()
        connection.execute(delete(table).where(table.c.idempotency_key.in_([one.key for one in ledgers])))


def _served(world: World, *numbers: int) -> list[Ledger]:
    clients = [world.client(number) for number in numbers]
    for client in clients:
        world.ask([client])
        assert client.given
    return clients


def test_records_without_the_newest_requests_are_only_read(world: World) -> None:
    """After a restart nothing is taken in, approved or recovered; what the records do have can still be read."""
    founded = len(world.entries())
    kept, lost, also_lost = _served(world, 1, 2, 3)
    _forget(world, lost, also_lost)
    world.crash()
    where = f"lack 2 requests with intents at entries {founded + 2} to {founded + 4}"
    for refused in (
        lambda: world.ask([lost]),
        lambda: duties.recover(world.seal),
        lambda: world.ask([world.client(9)]),
    ):
        with pytest.raises(RecordsRolledBack, match=where):
            refused()
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, kept.key) is not None
        assert requests.by_idempotency_key(tx, lost.key) is None
    world.check()


def test_a_database_that_loses_commits_under_a_running_service_is_found_out(world: World) -> None:
    """An asynchronous replica took over, and others were served since: the duties look behind the newest request."""
    founded = len(world.entries())
    _, lost, _ = _served(world, 1, 2, 3)
    duties.recover(world.seal)
    _forget(world, lost)
    _served(world, 4)
    with pytest.raises(RecordsRolledBack, match=f"lack 1 request with intents at entry {founded + 2},"):
        duties.recover(world.seal)


def test_an_operator_who_gives_the_lost_ones_up_goes_on_without_them(world: World) -> None:
    """Who asks again under a lost key gets another signature; that this was accepted is among the events."""
    (lost,) = _served(world, 1)
    before = dict(lost.given)
    _forget(world, lost)
    world.crash()
    assert world.seal.recollection is not None
    gap = accept(world.seal.recollection, world.seal.records, world.now)
    assert (gap.missing, gap.first, gap.last) == ({SUBSCRIBER: 1}, gap.size - 2, gap.size - 2)
    duties.recover(world.seal)
    lost.given.clear()
    world.ask([lost])
    assert lost.given
    assert lost.given != before
    with world.seal.records.reading(SUBSCRIBER) as tx:
        told = events.events_about(tx, f"log entries {gap.first} to {gap.last} of {gap.size}")
    assert [one.what for one in told] == ["1 requests given up as lost"]
    world.crash()
    _served(world, 2)


def test_what_a_crash_leaves_under_way_is_no_gap(make_world: MakeWorld) -> None:
    """Between the log's answer and the records' commit the intent is in the log and its place is not in the records."""
    probe = make_world(None)
    _served(probe, 1)
    stored = [place for place, name in enumerate(probe.writes) if name == "records"][1]
    world = make_world(Plan(stored, "lost", crash=True))
    world.client(1)
    world.story()
    assert world.ledgers[0].given
    world.check()


def test_a_backup_from_the_middle_of_a_walk_is_old_as_well(make_world: MakeWorld) -> None:
    """Its newest request is under way in it, and in the log it is completed: it knew more once."""
    world = make_world(None)
    (client,) = _served(world, 1)
    with world.seal.records.batch() as batch:
        batch.across_subscribers().execute(
            table.update()
            .where(table.c.idempotency_key == client.key)
            .values(state=State.SIGNING.value, intent_index=None, intent_seq=None, signatures=None, receipt=None)
        )
    world.crash()
    with pytest.raises(RecordsRolledBack):
        duties.recover(world.seal)


def test_a_log_that_lacks_what_the_records_know_is_not_gone_on_from(world: World) -> None:
    """The records are one more witness of how long the log was."""
    _served(world, 1)
    size = world.seal.logger.health().size
    read = DirectoryTileStore(world.directory / "log").read
    older = Recollection(world.seal.records, lambda: size - 2, read)
    with pytest.raises(LogRolledBack, match="the records know an intent at entry"):
        older.require()


def test_a_log_that_cannot_be_asked_is_not_taken_for_whole(world: World) -> None:
    """Nothing is written down before the log was looked at once; and what was found then holds while it is away."""

    def away() -> int:
        raise LogUnavailable("The logger is away.")

    read = DirectoryTileStore(world.directory / "log").read
    world.seal.recollection = Recollection(world.seal.records, away, read)
    client = world.client(1)
    with pytest.raises(LogUnavailable):
        world.ask([client])
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, client.key) is None
    looking = Recollection(world.seal.records, lambda: world.seal.logger.health().size, read)
    looking.require()
    looking._size = away
    world.seal.recollection = looking
    outcomes: list[Dossier | PrivySealError] = [*duties.recover(world.seal), *world.ask([client])]
    assert all(isinstance(one, Dossier) for one in outcomes)


def test_entries_of_others_are_not_missed(world: World) -> None:
    """Keys that the records do not have, and administrative acts, say nothing about requests."""
    assert world.seal.recollection is not None
    gap = world.seal.recollection.gap()
    assert gap.size > 0
    assert gap.known is None
    assert not gap.missing
