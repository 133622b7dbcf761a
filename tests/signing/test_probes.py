"""A probe is a logged use of a key whose value nobody gets; of a key that does not sign people are told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.signing import hearing
from tests.signing.test_life import move
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World
from tests.world import _Crash as Crash

from privyseal.errors import Denied, KeyStoreUnavailable, LogUnavailable, PrivySealError
from privyseal.records import health
from privyseal.records.health import Health
from privyseal.signing import custody, probes
from privyseal.strongroom import acts
from privyseal.strongroom.acts import Freeze, Probe, act_digest, probe_text
from privyseal.strongroom.messages import Acted
from privyseal.terms.canonical import canonical_json
from privyseal.terms.life import KeyState
from privyseal.tlog.entry import Completion, Intent, decode

MakeWorld = Callable[[Plan | None], World]
DAY = timedelta(hours=24)
in_sqlite = pytest.mark.parametrize("founded", ["sqlite"], indirect=True)


def found(world: World) -> Health:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return health.of(tx, "release")


def act(world: World) -> Probe:
    pair = world.pair()[0]
    version = world.seal.signer.charter(pair.key_id).charter.version
    return Probe(expires_at=world.now + timedelta(hours=1), key_id=pair.key_id, version=version)


def the_store(world: World) -> Any:
    """Return the key store of the world's key, to break it."""
    return world._rooms["signer"]._judge._stores["softfile"]


def test_a_probe_is_logged_before_and_after_and_nothing_leaves(world: World) -> None:
    """One intent that says one use, one completion, one use of the key; the records learn that it signs."""
    uses, entries = world.key_uses, len(world.entries())
    pair = world.pair()[0]
    assert probes.probe(world.seal, pair).answers is True
    intent, completion = (decode(each) for each in world.entries()[entries:])
    assert isinstance(intent, Intent) and isinstance(completion, Completion)
    assert (intent.verb, intent.uses, intent.key_tag) == ("probe", 1, pair.key_tag)
    assert completion.outcome == "signed" and world.key_uses == uses + 1
    assert found(world) == Health(key="release", probed=world.now, answers=True)
    world.check()


@in_sqlite
def test_the_answer_has_no_value(world: World) -> None:
    done = custody.acted(world.seal, act(world), world.pair()[0].key_tag)
    assert isinstance(done, Acted) and done.value == b""


def test_what_is_signed_is_no_code_and_no_other_act() -> None:
    """CMS attributes, certificates and requests begin with a SET or a SEQUENCE; each probe has its own text."""
    first, second = (act_digest(canonical_json(_some(version))) for version in (1, 2))
    assert probe_text(first) != probe_text(second)
    assert probe_text(first).startswith(b"Privy Seal probe") and probe_text(first)[0] not in (0x30, 0x31, 0xA0)
    assert acts.uses_of(_some(1)) == 1


def _some(version: int) -> Probe:
    return Probe(expires_at=datetime(2027, 1, 1, tzinfo=UTC), key_id="0" * 64, version=version)


@in_sqlite
def test_keys_are_probed_once_in_a_while(world: World) -> None:
    """Not before they were active for as long, then each time; zero hours probe none."""
    assert probes.tend(world.seal, DAY) == 0
    world.now += DAY + timedelta(seconds=1)
    assert probes.tend(world.seal, timedelta()) == 0 and found(world).probed is None
    assert probes.tend(world.seal, DAY) == 1 and found(world).answers is True
    assert probes.tend(world.seal, DAY) == 0
    world.now += DAY + timedelta(seconds=1)
    assert probes.tend(world.seal, DAY) == 1
    move(world, KeyState.SUSPENDED)
    world.now += DAY + timedelta(seconds=1)
    assert probes.tend(world.seal, DAY) == 0


@in_sqlite
def test_a_key_that_does_not_sign_is_told_once_and_when_it_does_again(world: World) -> None:
    pair = world.pair()[0]
    hearing.listen(world)
    probes.probe(world.seal, pair)
    store = the_store(world)

    def gone(*_: object) -> list[bytes]:
        raise KeyStoreUnavailable("The token is gone.")

    before, store.sign = store.sign, gone
    for _ in range(2):
        world.now += timedelta(hours=1)
        assert probes.probe(world.seal, pair).answers is False
    assert found(world).words == "The token is gone."
    store.sign = before
    world.now += timedelta(hours=1)
    probes.probe(world.seal, pair)
    assert [topic for topic, _ in hearing.heard(world, "key.")] == ["key.silent", "key.answers"]
    assert found(world).words == ""


@in_sqlite
def test_a_wrong_signature_is_no_signature(world: World) -> None:
    store = the_store(world)
    before = store.sign
    store.sign = lambda uri, tbs: [each[:-1] + bytes([each[-1] ^ 1]) for each in before(uri, tbs)]
    assert probes.probe(world.seal, world.pair()[0]).answers is False
    assert "does not verify" in found(world).words


@in_sqlite
def test_the_signer_allows_one_in_ten_minutes_and_none_of_a_frozen_key(world: World) -> None:
    """Whoever took over the service keeps no module busy; of a key that may not sign nothing is said."""
    pair = world.pair()[0]
    custody.acted(world.seal, act(world), pair.key_tag)
    with pytest.raises(Denied, match="a moment ago"):
        custody.acted(world.seal, act(world), pair.key_tag)
    world.now += timedelta(minutes=10)
    custody.acted(world.seal, act(world), pair.key_tag)
    version = world.seal.signer.charter(pair.key_id).charter.version
    freeze = Freeze(expires_at=world.now + timedelta(hours=1), key_id=pair.key_id, version=version, reason="x")
    custody.carry_out(world.seal, pair, freeze)
    world.now += timedelta(minutes=10)
    uses = world.key_uses
    with pytest.raises(Denied, match="is frozen, so it is not probed"):
        custody.acted(world.seal, act(world), pair.key_tag)
    assert world.key_uses == uses
    assert probes.probe(world.seal, pair) == Health(key="release")
    world.check()


@in_sqlite
def test_that_the_log_is_away_says_nothing_of_the_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> object:
        raise LogUnavailable("The log is away.")

    monkeypatch.setattr(world.seal.logger, "append", away)
    with pytest.raises(LogUnavailable):
        probes.probe(world.seal, world.pair()[0])
    assert found(world).answers is None


def _begun(make_world: MakeWorld) -> World:
    world = make_world(None)
    world.now += DAY + timedelta(seconds=1)
    return world


def _cut(make_world: MakeWorld, way: Way, nth: int) -> None:
    """Have a write of the probe fail; the next turn probes again, and no use is without an intent."""
    world = _begun(make_world)
    world.plan = Plan(len(world.writes) + nth, way)
    with suppress(PrivySealError, Crash):
        probes.tend(world.seal, DAY)
    world.plan = None
    world.now += DAY + timedelta(seconds=1)
    probes.tend(world.seal, DAY)
    assert found(world).answers is True, nth
    world.discard()


def _steps(make_world: MakeWorld) -> list[str]:
    """Return the names of the writes of one probe."""
    world = _begun(make_world)
    begun = len(world.writes)
    probes.tend(world.seal, DAY)
    names = world.writes[begun:]
    world.discard()
    return names


@in_sqlite
@pytest.mark.parametrize("way", WAYS)
def test_a_probe_whose_key_fails_is_made_again(make_world: MakeWorld, way: Way) -> None:
    """It was used and nobody was told, or it was not."""
    _cut(make_world, way, _steps(make_world).index("key"))


@in_sqlite
@pytest.mark.nightly
@pytest.mark.parametrize("way", WAYS)
def test_a_probe_that_is_cut_short_anywhere_is_made_again(make_world: MakeWorld, way: Way) -> None:
    """Whatever write fails, lost or unreported."""
    names = _steps(make_world)
    assert len(names) >= 5
    for nth in range(len(names)):
        _cut(make_world, way, nth)
