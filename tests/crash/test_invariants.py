"""The outsider who judges the campaigns can say no."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from asn1crypto import cms
from cryptography.exceptions import InvalidSignature
from tests.crash.clients import Given
from tests.crash.invariants import Outsider, roots_of, signed_digest
from tests.world import World, found, tree_hash


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A service that has signed three programs."""
    folder = tmp_path_factory.mktemp("outsider")
    world = World(found(folder / "founded"), folder / "world")
    world.ask([world.client(number) for number in range(3)])
    world.stop()
    return world


def _given(world: World) -> list[Given]:
    return [Given(one.key, one.request.canonical(), *one.given[one.key]) for one in world.ledgers]


def test_what_is_right_is_accepted(world: World) -> None:
    """The answers of a service that nothing befell pass, twice."""
    outsider = Outsider(world.directory)
    assert outsider.check(_given(world)) == outsider.check(_given(world)) >= 6


def test_two_answers_under_one_key_are_refused(world: World) -> None:
    """Two receipts for one Idempotency-Key break I3, though each is true."""
    first, second, *_ = _given(world)
    with pytest.raises(AssertionError, match="I3"):
        Outsider(world.directory).check([first, msgspec.structs.replace(second, key=first.key)])


def test_one_intent_is_not_for_two_requests(world: World) -> None:
    """The same receipt under another key is a second signature out of one intent."""
    first, *_ = _given(world)
    with pytest.raises(AssertionError, match="one intent"):
        Outsider(world.directory).check([first, msgspec.structs.replace(first, key="other")])


def test_a_head_of_another_log_is_refused(world: World) -> None:
    """Another root at a known size, and a head beyond the log's own, break I2."""
    for size in (2, 1000):
        outsider = Outsider(world.directory)
        outsider.roots[size] = {bytes(32)}
        with pytest.raises(AssertionError, match="I2"):
            outsider.check(_given(world))


def test_a_changed_signature_or_request_is_refused(world: World) -> None:
    """A flipped bit in the signature breaks I1; a receipt for another digest is no receipt."""
    first, second, *_ = _given(world)
    octets = bytearray(first.blobs[0])
    signature = cms.ContentInfo.load(first.blobs[0])["content"]["signer_infos"][0]["signature"].native
    octets[octets.index(signature) + len(signature) - 1] ^= 1
    assert signed_digest(first.blobs[0])
    with pytest.raises(InvalidSignature):
        signed_digest(bytes(octets))
    with pytest.raises(AssertionError):
        Outsider(world.directory).check([msgspec.structs.replace(first, request=second.request)])


def test_roots_are_those_of_the_rfc(world: World) -> None:
    """Two ways of computing RFC 6962 2.1 agree at every size up to 300."""
    leaves = [hashlib.sha256(json.dumps(n).encode()).digest() for n in range(300)]
    assert roots_of(leaves, set(range(301))) == {size: tree_hash(leaves[:size]) for size in range(301)}
