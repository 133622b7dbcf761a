"""Names that stand in URLs, and tokens that are kept as digests only."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from tests.world import SUBSCRIBER, World

from privyseal.errors import Conflict, Misused, NotFound
from privyseal.records import parties
from privyseal.signing import enrol
from privyseal.terms.parties import Role


@pytest.mark.parametrize("name", ["", "UPPER", "a_b", "-a", "a-", "a/b", "..", "a" * 64, "whoami", "ä"])
def test_a_name_that_cannot_stand_in_a_url_is_refused(world: World, name: str) -> None:
    """Nor may a Subscriber be called as one of the API's own paths."""
    with pytest.raises(Misused):
        enrol.subscriber(world.seal, name, "Name")


def test_a_subscriber_is_taken_in_once(world: World) -> None:
    """Its tag key is drawn for it alone; a second one of the name is a Conflict."""
    first = enrol.subscriber(world.seal, "acme", "Acme")
    assert len(first.tag_key) == 32
    with pytest.raises(Conflict):
        enrol.subscriber(world.seal, "acme", "Acme again")
    with world.seal.records.reading("acme") as tx:
        assert parties.subscriber(tx) == first


def test_a_member_needs_its_subscriber(world: World) -> None:
    """Nobody is taken in for a Subscriber that is not there."""
    with pytest.raises(NotFound):
        enrol.member(world.seal, "nobody", "x", (Role.REQUESTER,))


def test_a_token_is_kept_as_its_digest_and_ends_when_it_should(world: World) -> None:
    """The database holds the SHA-256; at the second of its end the token is nobody's."""
    holder = enrol.member(world.seal, SUBSCRIBER, "ci", (Role.REQUESTER, Role.AUDITOR))
    token = enrol.token(world.seal, holder, world.now + timedelta(days=1))
    digest = hashlib.sha256(token.encode()).digest()
    with world.seal.records.reading_all_subscribers() as connection:
        found = parties.member_by_token_of_all_subscribers
        assert found(connection, digest, world.now) == holder
        assert found(connection, digest, world.now + timedelta(days=1)) is None
        assert found(connection, hashlib.sha256(b"pst_other").digest(), world.now) is None
    assert holder.id.encode() in world.stored()
    assert token.encode() not in world.stored()
