"""A weak key is found at its birth and every day after; one that is met elsewhere is told and not stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import insert, select
from tests.pki import certs
from tests.signing import hearing
from tests.signing.test_custody import generate
from tests.signing.test_life import stands
from tests.world import SUBSCRIBER, World

from privyseal.pki import certificates
from privyseal.records import health, incidents, keys, lives, tables
from privyseal.signing import duties, weakness
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState

in_sqlite = pytest.mark.parametrize("founded", ["sqlite"], indirect=True)
P = 2**1279 - 1
"""A prime (Mersenne's 15th), whose product with the next one is told apart by Fermat's method at once."""


def weak() -> bytes:
    """Return an RSA public key whose primes lie close together."""
    from gmpy2 import next_prime  # it comes with badkeys

    numbers = rsa.RSAPublicNumbers(65537, P * int(next_prime(P)))
    return numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def add(world: World, name: str, spki: bytes, state: KeyState = KeyState.ACTIVE) -> KeyPair:
    """Write a Key Pair down as if it had been born."""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        model = keys.key_pairs_of(tx)[0]
        pair = msgspec.structs.replace(model, name=name, public_key=spki, key_id=certificates.key_id(spki))
        keys.add_key_pair(tx, pair)
        lives.add(tx, name, state, world.now, pair.key_id)
    return pair


def cases(world: World) -> list[Any]:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return incidents.listed(tx, 10)


def met(world: World, name: str) -> str:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return health.of(tx, name).met


def test_a_sound_key_is_looked_at_once_a_day(world: World) -> None:
    assert weakness.look(world.seal) == 0
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert health.of(tx, "release").looked == world.now
    began = world.now
    world.now += timedelta(hours=23)
    weakness.look(world.seal)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert health.of(tx, "release").looked == began
    world.now += timedelta(hours=2)
    weakness.look(world.seal)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert health.of(tx, "release").looked == world.now
    assert cases(world) == [] and stands(world) is KeyState.ACTIVE


@in_sqlite
def test_a_weak_key_is_suspended_and_told(world: World) -> None:
    """Once; no factor is ever repeated in what is told."""
    hearing.listen(world)
    add(world, "weak", weak())
    assert weakness.look(world.seal) == 1
    (case,) = cases(world)
    assert case.keys == ("weak",) and "Fermat" in case.text and str(P)[:20] not in case.text
    assert stands(world, "weak") is KeyState.SUSPENDED and stands(world) is KeyState.ACTIVE
    assert [topic for topic, _ in hearing.heard(world, "key.")] == ["key.alarm"]
    world.now += timedelta(days=2)
    assert weakness.look(world.seal) == 0 and len(cases(world)) == 1
    duties.recover(world.seal)
    world.check()


@in_sqlite
def test_a_key_that_is_born_weak_is_known_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weakness, "flaws", lambda public_key: ["The key is weak: so the test has it."])
    pair = generate(world, "second")
    (case,) = cases(world)
    assert case.key_ids == (pair.key_id,)
    assert stands(world, "second") is KeyState.GENERATED


@in_sqlite
def test_a_key_on_a_list_of_compromised_ones(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from privyseal.compliance.weak_keys import Lookup

    monkeypatch.setattr(weakness.weak_keys, "look_up", lambda spki: Lookup(there=True, name="debianssl"))
    assert weakness.look(world.seal) == 1
    assert "debianssl" in cases(world)[0].text


@in_sqlite
def test_a_key_in_a_certificate_of_another_kind(world: World) -> None:
    """Told once, stated once, and again where it is met somewhere else; a person decides what follows (CSBR 9.6.3)."""
    hearing.listen(world)
    octets = certs.certificate(purposes=(certs.TLS,))
    spki = certificates.outline(octets).spki
    pair = add(world, "both", spki)
    good = certs.certificate(purposes=("1.3.6.1.5.5.7.3.3", "1.3.6.1.4.1.311.10.3.13"))
    for each in (good, octets):
        with world.seal.records.writing(SUBSCRIBER) as tx:
            print_ = certificates.read(each).fingerprint
            keys.install_certificate(tx, fingerprint=print_, key_id=pair.key_id, chain=(each,), now=world.now)
        world.now += timedelta(days=2)
        weakness.look(world.seal)
        assert (met(world, "both") == "") == (each is good)
    assert "1.3.6.1.5.5.7.3.1" in met(world, "both") and "CSBR 9.6.3" in met(world, "both")
    world.now += timedelta(days=2)
    assert weakness.look(world.seal) == 0
    assert [topic for topic, _ in hearing.heard(world, "key.")] == ["key.alarm"]
    assert stands(world, "both") is KeyState.ACTIVE and cases(world) == []


@in_sqlite
def test_a_key_with_which_somebody_signs_in(world: World) -> None:
    pair = world.pair()[0]
    weakness.look(world.seal)
    assert met(world, "release") == ""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        member = tx.connection.execute(select(tables.members.c.id).limit(1)).scalar_one()
        row = {"key_digest": bytes.fromhex(pair.key_id), "member": member, "created": world.now}
        tx.connection.execute(insert(tables.client_certificates).values(row))
    world.now += timedelta(days=2)
    weakness.look(world.seal)
    assert "signs in here" in met(world, "release")
