"""What the stamper wrote down comes into the log: every token by its hour's root, and what became of its clock."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.world import SUBSCRIBER, WAYS, Way, World

from privyseal.compliance.statements_of_timestamps import BooksCompared, StamperNoted, TokensGiven
from privyseal.errors import NotFound, NotYet, PrivySealError
from privyseal.records import events, statements
from privyseal.signing import duties, paper, stamps
from privyseal.timestamp.token import read_token
from privyseal.tlog import merkle
from privyseal.tlog.entry import Statement, commit, decode


def stated(world: World, topic: str) -> list[StamperNoted | TokensGiven]:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        listed = [each.said.matter for each in statements.listed(tx, topic)]
    return [each for each in listed if isinstance(each, StamperNoted | TokensGiven)]


def give(world: World, count: int) -> list[bytes]:
    digests = [hashlib.sha256(b"%d %d" % (number, world.now.timestamp())).digest() for number in range(count)]
    return list(world.seal.stamper.stamp("sha256", digests))


def leaf_of(token: bytes) -> tuple[str, bytes]:
    signed, info = read_token(token)
    assert signed.content_octets is not None
    return f"{info.time:%Y%m%d%H%M%SZ}", merkle.leaf_hash(signed.content_octets)


def test_every_token_of_an_hour_has_a_path_to_the_log(world: World) -> None:
    """Leaf, root, statement, entry: each is shown by the one before; a token of the hour that runs has none yet."""
    tokens = give(world, 5)
    duties.recover(world.seal)
    assert stated(world, "timestamp") == []
    with pytest.raises(NotYet, match="not in the log yet"):
        stamps.place(world.seal, *leaf_of(tokens[0]))
    world.now += timedelta(hours=2)
    duties.recover(world.seal)
    (given,) = stated(world, "timestamp")
    assert isinstance(given, TokensGiven) and given.count == 5
    entries = [decode(each) for each in world.entries()]
    for token in tokens:
        time, leaf = leaf_of(token)
        found, written = stamps.place(world.seal, time, leaf)
        assert merkle.verify_inclusion(leaf, found.index, given.count, found.path, bytes.fromhex(given.root))
        entry = entries[written.entry or 0]
        assert isinstance(entry, Statement) and entry.about == "timestamp"
        assert entry.commitment == commit(written.salt, written.octets)
        assert statements.said_in(written.octets).matter == given
    with pytest.raises(NotFound, match="No such token"):
        stamps.place(world.seal, time, bytes(32))
    assert duties.recover(world.seal) == [] and len(stated(world, "timestamp")) == 1


def test_the_diary_comes_into_the_log_without_a_gap(world: World) -> None:
    """From the first start on, whoever stopped in between; what an auditor is told of the clock is an event, too."""
    duties.recover(world.seal)
    room = world._rooms["stamper"]
    room._stamps.note(world.now, [("adjusted", "The clock was set by +3600.000 s."), ("refused", "It is ahead.")])
    world.crash()
    duties.recover(world.seal)
    noted = stated(world, "clock")
    assert [each.number for each in noted] == list(range(1, len(noted) + 1))
    what = [each.what for each in noted if isinstance(each, StamperNoted)]
    assert what[:2] == ["started", "configured"] and what[-4:] == ["adjusted", "refused", "stopped", "started"]
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert [each.what for each in events.events_about(tx, "It is ahead.")] == ["clock refused"]
        assert [each.what for each in events.events_about(tx, "The clock was set by +3600.000 s.")] == [
            "clock adjusted"
        ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("write", ["stamper: BooksAsked", "records", "logger: Append"])
def test_a_take_over_that_is_cut_short_is_done_once(world: World, write: str, way: Way) -> None:
    """Whichever of its writes fails, done or not: each entry and each hour is stated once, and in the log."""
    give(world, 3)
    world.now += timedelta(hours=2)
    honest = world.write

    def fail_once(name: str, effect: Callable[[], Any], error: Callable[[str], Exception]) -> Any:
        if name == write:
            world.write = honest  # type: ignore[method-assign]
            if way == "unreported":
                effect()
            raise error(name)
        return honest(name, effect, error)

    world.write = fail_once  # type: ignore[method-assign, assignment]
    with pytest.raises(PrivySealError):
        stamps.take_over(world.seal)
    duties.recover(world.seal)
    paper.finish(world.seal)
    numbers = [each.number for each in stated(world, "clock")]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 2
    assert [each.number for each in stated(world, "timestamp")] == [1]


def test_each_token_may_have_an_entry_of_its_own(world: World) -> None:
    """Once, whoever is interrupted; its hour is stated nevertheless, and reports have the hours alone."""
    world.seal.each_token = True
    tokens = give(world, 3) + give(world, 2)
    honest = world.write
    world.write = lambda name, effect, error: (  # type: ignore[method-assign, assignment]
        honest(name, effect, error) if name != "stamper: LeavesAsked" else _failing(world, honest, name, effect, error)
    )
    with pytest.raises(PrivySealError):
        stamps.log_each(world.seal)
    assert world.write == honest and stamps.log_each(world.seal) == 2 and stamps.log_each(world.seal) == 0
    logged = [
        each.commitment
        for each in map(decode, world.entries())
        if isinstance(each, Statement) and each.about == "token"
    ]
    leaves = [leaf_of(token)[1] for token in tokens]
    assert logged == leaves
    place = stamps.own_place(world.seal, leaves[2])
    entry = decode(world.entries()[place])
    assert isinstance(entry, Statement) and entry.commitment == leaves[2]
    time = leaf_of(tokens[0])[0]
    world.seal.stamper.held(time, leaves[0])
    with pytest.raises(NotFound):
        world.seal.stamper.held(time, bytes(32))


def _failing(world: World, honest: Any, name: str, effect: Any, error: Any) -> Any:
    """Do what was asked and not say so, from the second time on honestly."""
    if getattr(world, "asked_leaves", False):
        world.write = honest  # type: ignore[method-assign]
        effect()
        raise error(name)
    world.asked_leaves = True  # type: ignore[attr-defined]
    return effect()


def test_a_stamper_that_is_away_keeps_its_books(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Duties go on, and take over later what it wrote down."""
    give(world, 1)

    def away() -> None:
        raise PrivySealError("away")

    with monkeypatch.context() as broken:
        broken.setattr(world.seal.stamper, "health", away)
        duties.recover(world.seal)
        assert stated(world, "clock") == []
    duties.recover(world.seal)
    assert stated(world, "clock")


def altered(world: World) -> list[tuple[str, ...]]:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        listed = [each.said.matter for each in statements.listed(tx, "clock")]
    return [each.altered for each in listed if isinstance(each, BooksCompared)]


def test_books_that_are_changed_or_put_back_are_seen(world: World) -> None:
    """Once a day they are held against what the log has: a changed entry, one that is gone, another root.

    Not the last batch: one that is otherwise than it was stated last makes the books older ones (test_older_books.py).
    """
    for _ in range(2):
        give(world, 3)
        world.now += timedelta(hours=2)
    duties.recover(world.seal)
    assert altered(world) == [()]
    duties.recover(world.seal)
    world.now += timedelta(hours=23, minutes=59)
    duties.recover(world.seal)
    assert altered(world) == [()]
    database = world._rooms["stamper"]._stamps.database
    with database.writing() as connection:
        connection.execute("UPDATE diary SET detail = 'Nothing.' WHERE number = 2")
        connection.execute("DELETE FROM diary WHERE number = 1")
        connection.execute("UPDATE batches SET root = ? WHERE number = 1", (bytes(32),))
    world.now += timedelta(minutes=2)
    duties.recover(world.seal)
    assert altered(world) == [(), ("entry 1 is missing", "entry 2 is changed", "batch 1 is changed")]
    with world.seal.records.reading(SUBSCRIBER) as tx:
        found = events.events_about(tx, "entry 1 is missing, entry 2 is changed, batch 1 is changed")
    assert [each.what for each in found] == ["timestamp books altered"]


def test_books_that_were_put_back_are_not_called_changed(world: World) -> None:
    """What an older copy lacks is stated when it is found; held against the log, the rest is as it was stated."""
    for _ in range(2):
        give(world, 3)
        world.now += timedelta(hours=2)
    duties.recover(world.seal)
    stamps = world._rooms["stamper"]._stamps
    with stamps.database.writing() as connection:
        connection.execute("DELETE FROM batches WHERE number = 2")
        connection.execute("DELETE FROM leaves WHERE batch = 2")
        connection.execute("DELETE FROM diary WHERE number > 1")
    stamps._known = False
    for _ in range(2):
        world.now += timedelta(days=1)
        duties.recover(world.seal)
    assert [each.what for each in stated(world, "clock") if isinstance(each, StamperNoted)].count("restored") == 1
    assert altered(world) == [(), (), ()]


def test_refused_requests_are_counted_by_their_reason(world: World) -> None:
    """Once an hour, in the diary and so in the log; an hour without any is silent."""
    imprint = bytes.fromhex("3021300906052b0e03021a05000414") + bytes(20)
    sha1 = bytes.fromhex("3029020101") + imprint + bytes.fromhex("0101ff")
    for request in (sha1, b"no request", sha1):
        world.seal.stamper.reply([request])
    duties.recover(world.seal)
    assert not [each for each in stated(world, "clock") if getattr(each, "what", "") == "requests refused"]
    for _ in range(2):
        world.now += timedelta(hours=1)
        duties.recover(world.seal)
    (found,) = [each for each in stated(world, "clock") if getattr(each, "what", "") == "requests refused"]
    assert isinstance(found, StamperNoted) and "bad_alg 2, bad_data_format 1." in found.detail
