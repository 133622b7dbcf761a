"""Authorities elsewhere in the service's own walk: who is asked, in which order, and what stays as it was meanwhile.

They run on loopback with real keys (``tests/timestamp/misbehaving.py``); the service's records, log and rooms are real.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.timestamp import misbehaving
from tests.timestamp.misbehaving import Server
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World

from privyseal import config
from privyseal.cli.doctor_authorities import timestamps
from privyseal.errors import Misused, PrivySealError, TimestampUnavailable
from privyseal.pki.chain import Anchors
from privyseal.signing import duties
from privyseal.signing.sign import advance
from privyseal.signing.timestamp_settings import TimestampsSection
from privyseal.signing.timestampers import Party, Timestampers
from privyseal.strongroom.client import StamperClient
from privyseal.terms.requests import Dossier, State
from privyseal.timestamp.address import Address
from privyseal.timestamp.authorities import Authorities, Means
from privyseal.timestamp.client import Trusted
from privyseal.timestamp.exchange import Lines
from privyseal.web.readiness import Readiness

T = TypeVar("T")
KNOWN = Trusted(Anchors((misbehaving.root().der,)))


class Elsewhere:
    """Authorities on loopback that do as they are told, and lines to them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lines = Lines()

    @property
    def asked(self) -> dict[str, int]:
        return self.server.asked

    def __call__(self, *ways: str) -> Authorities:
        means = Means(self.lines.post, os.urandom, lambda: datetime.now(UTC), time.monotonic, time.sleep)
        return Authorities([Address(self.server.url(way)) for way in ways], means, KNOWN)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with misbehaving.serving() as server:
        it = Elsewhere(server)
        yield it
        it.lines.close()


class Away:
    """A stamper that does not answer."""

    def __init__(self) -> None:
        self.asked = 0

    def stamp(self, algorithm: str, digests: Sequence[bytes]) -> tuple[bytes, ...]:
        self.asked += 1
        raise TimestampUnavailable("The stamper is away.")


def ask(world: World, *parties: Party, number: int = 1) -> Dossier | PrivySealError:
    world.seal.timestampers = Timestampers(world.seal.stamper, parties)
    (outcome,) = world.ask([world.client(number)])
    return outcome


def onward(world: World, dossier: Dossier | PrivySealError) -> Dossier | PrivySealError:
    assert isinstance(dossier, Dossier), dossier
    (outcome,) = advance(world.seal, [(SUBSCRIBER, dossier.id)], elsewhere=True)
    return outcome


def stamped_by(outcome: Dossier | PrivySealError) -> set[str]:
    assert isinstance(outcome, Dossier) and outcome.state is State.RELEASED, outcome
    return {each.authority for each in outcome.tokens}


def test_the_own_stamper_first_and_nobody_else(world: World, elsewhere: Elsewhere) -> None:
    """While it answers, whoever stands behind it hears nothing, and the request is released in one walk."""
    assert "Timestamp Authority" in str(stamped_by(ask(world, "own", elsewhere("good"))))
    assert not elsewhere.asked
    world.check()


def test_where_the_own_stamper_is_away_others_are_asked_in_a_walk_of_their_own(
    world: World, elsewhere: Elsewhere
) -> None:
    """The first walk waits for nobody elsewhere: the request stays SIGNING, free for the next walk, its signature kept;
    that one has it stamped. One use of the key, and its intent was in the log before."""
    away = Away()
    world.seal.timestampers = Timestampers(cast(StamperClient, away), ["own", elsewhere("good")])
    (first,) = world.ask([world.client(1)])
    assert isinstance(first, Dossier) and first.state is State.SIGNING and len(first.signatures) == 1
    assert not elsewhere.asked and away.asked == 1 and world.key_uses == 1
    (done,) = duties.countersign(world.seal)
    assert stamped_by(done) == {"CN=TSU good"} and away.asked == 2
    assert world.key_uses == 1 and world.writes.index("logger: Append") < world.writes.index("key")
    world.check()


def test_elsewhere_first(world: World, elsewhere: Elsewhere) -> None:
    """What lies is passed by, what is good stamps, and the own stamper is not asked."""
    before = world.writes.count("stamper: Stamp")
    first = ask(world, elsewhere("wrong-nonce", "stranger", "good"), "own")
    assert isinstance(first, Dossier) and first.state is State.SIGNING and not first.tokens and first.receipt is None
    assert stamped_by(onward(world, first)) == {"CN=TSU good"}
    assert elsewhere.asked == {"wrong-nonce": 1, "stranger": 1, "good": 1}
    assert world.writes.count("stamper: Stamp") == before and world.key_uses == 1
    world.check()


def test_the_own_stamper_last(world: World, elsewhere: Elsewhere) -> None:
    """Where nobody elsewhere is to be believed, in the very same walk."""
    first = ask(world, elsewhere("stranger"), "own")
    assert "Timestamp Authority" in str(stamped_by(onward(world, first)))
    world.check()


def test_where_none_answers_it_waits_and_nothing_is_released(world: World, elsewhere: Elsewhere) -> None:
    """Retryable, and it says of each why; the signature is made once and nothing of it is given out."""
    first = ask(world, elsewhere("refuses", "a-day-early"))
    refused = onward(world, first)
    assert isinstance(refused, TimestampUnavailable) and refused.retryable
    assert "no such digest here" in refused.detail and "two clocks are believed" in refused.detail
    (again,) = duties.countersign(world.seal)
    assert isinstance(again, TimestampUnavailable)
    world.seal.timestampers = Timestampers(world.seal.stamper, [elsewhere("good")])
    (done,) = duties.countersign(world.seal)
    assert stamped_by(done) == {"CN=TSU good"} and world.key_uses == 1
    world.check()


def test_a_walk_ends_before_its_lease_does(world: World, elsewhere: Elsewhere) -> None:
    """One that hangs for 15 s holds a walk for half of a lease of 2 s."""
    world.seal.holder = msgspec.structs.replace(world.seal.holder, lease=timedelta(seconds=2))
    first = ask(world, elsewhere("hangs"))
    began = time.monotonic()
    assert isinstance(onward(world, first), TimestampUnavailable)
    assert 0.9 < time.monotonic() - began < 1.9


def test_many_at_once_get_each_its_own(world: World, elsewhere: Elsewhere) -> None:
    """Ten requests in one walk, four of them asked for at a time; every token is over its own signature."""
    world.seal.timestampers = Timestampers(world.seal.stamper, [elsewhere("good")])
    elsewhere.server.pause = 0.1
    world.ask([world.client(number) for number in range(10)])
    began = time.monotonic()
    outcomes = duties.countersign(world.seal)
    assert time.monotonic() - began < 10 * 0.1 + 2 and elsewhere.asked == {"good": 10}
    assert [stamped_by(each) for each in outcomes] == [{"CN=TSU good"}] * 10
    world.check()


def test_what_needs_no_timestamp_waits_for_none(world: World, elsewhere: Elsewhere) -> None:
    """It is released in the first walk, whatever hangs."""
    world.seal.timestampers = Timestampers(world.seal.stamper, [elsewhere("hangs")])
    (outcome,) = world.ask([world.client(1, timestamp=False)])
    assert isinstance(outcome, Dossier) and outcome.state is State.RELEASED and not outcome.tokens


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_when_the_token_was_to_be_stored(world: World, elsewhere: Elsewhere, way: Way) -> None:
    """Another token is asked for, or that one found; the key is used once in either case."""
    ask(world, elsewhere("good"))
    claimed = world.writes.count("records") + 1

    def third(name: str) -> bool:
        return name == "records" and world.writes.count("records") == claimed

    honest = world.write

    def write(name: str, effect: Callable[[], T], error: Callable[[str], Exception]) -> T:
        if third(name):
            world.plan = Plan(len(world.writes), way)
        return honest(name, effect, error)

    world.write = write  # type: ignore[method-assign]
    (outcome,) = duties.countersign(world.seal)
    assert isinstance(outcome, PrivySealError)
    world.write = honest  # type: ignore[method-assign]
    world.crash()
    world.seal.timestampers = Timestampers(world.seal.stamper, [elsewhere("good")])
    world.now += timedelta(minutes=5)
    outcomes = [*duties.countersign(world.seal), *duties.recover(world.seal)]
    assert stamped_by(outcomes[0]) == {"CN=TSU good"} and world.key_uses == 1
    world.check()


def test_who_could_be_asked_is_told(world: World, elsewhere: Elsewhere) -> None:
    """Where all are closed and the own stamper is not in the list, the service is not ready, and says why of each."""
    closed, own = elsewhere("stranger"), Timestampers(world.seal.stamper)
    own.require_open()
    alone = Timestampers(world.seal.stamper, [closed])
    alone.require_open()
    alone.stamp("sha256", [b"x"], elsewhere=True)
    with pytest.raises(TimestampUnavailable, match="not believed"):
        alone.require_open()
    Timestampers(world.seal.stamper, [closed, "own"]).require_open()
    world.seal.timestampers = alone
    look = Readiness(world.seal, {}).look()
    assert "not believed" in look.missing["timestamps"] and "stamper" not in look.missing
    (health,) = alone.health()
    assert (health.open, health.asked, health.stamped, health.disbelieved) == (False, 1, 0, 1)


@pytest.mark.parametrize(
    ("listed", "ways", "states"),
    [
        (["own", "busy"], ["good"], ["weak", "good"]),
        ([], ["busy", "stranger"], ["bad", "bad"]),
        ([], ["stranger", "good"], ["weak", "good"]),
    ],
)
def test_the_doctor_asks_each_for_a_timestamp(
    tmp_path: Path, elsewhere: Elsewhere, listed: list[str], ways: list[str], states: list[str]
) -> None:
    """What one gives is judged; that it gives none is bad only where nobody else would."""
    (tmp_path / "roots.pem").write_bytes(misbehaving.root().pem)
    urls = [each if each == "own" else elsewhere.server.url(each) for each in [*listed, *ways]]
    given = section(authorities=urls, trust=["roots.pem"])
    settings = config.Settings(service=config.ServiceSection(name="x"), timestamps=given)
    assert [each.state for each in timestamps(settings, tmp_path)] == states


# -- the section -------------------------------------------------------------------------------------------------------
def section(**given: object) -> TimestampsSection:
    return msgspec.convert(given, TimestampsSection)


def test_neighbours_in_the_list_are_one_group(tmp_path: Path) -> None:
    """So that of them the second is asked where the first is slow."""
    (tmp_path / "roots.pem").write_bytes(misbehaving.root().loaded.public_bytes(Encoding.PEM))
    listed = ["http://a.example/", {"url": "http://b.example", "every_s": 15}, "own", "http://c.example"]
    found = section(authorities=listed, trust=["roots.pem"]).parties(tmp_path)
    assert [each if each == "own" else [one.host for one in each.health()] for each in found] == [  # type: ignore[union-attr]
        ["a.example", "b.example"],
        "own",
        ["c.example"],
    ]
    assert section().parties(tmp_path) == ("own",)
    assert not section(authorities=["own", "http://c.example"]).secret
    assert section(authorities=["https://me:pw@c.example"]).secret


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"authorities": ["http://a.example"]}, "no roots under which they must be"),
        ({"authorities": ["http://a.example"], "trust": ["none.pem"]}, "cannot be read"),
        ({"authorities": ["own", "http://a.example", "own"], "trust": ["roots.pem"]}, "'own' twice"),
        ({"authorities": ["http://a.example", "http://a.example"], "trust": ["roots.pem"]}, "named twice"),
        ({"authorities": ["ftp://a.example"], "trust": ["roots.pem"]}, "no address of a timestamp authority"),
        ({"authorities": ["http://me:pw@a.example"], "trust": ["roots.pem"]}, "password"),
        ({"authorities": [{"url": "http://a.example", "every_s": -1}], "trust": ["roots.pem"]}, "every_s"),
        ({"authorities": [{"url": "http://a.example", "policy": "x"}], "trust": ["roots.pem"]}, "object identifier"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(tmp_path: Path, given: dict[str, object], why: str) -> None:
    """Before anything starts, with a sentence."""
    (tmp_path / "roots.pem").write_bytes(misbehaving.root().loaded.public_bytes(Encoding.PEM))
    with pytest.raises(Misused, match=why) as refused:
        section(**given).parties(tmp_path)
    assert "pw" not in str(refused.value)
