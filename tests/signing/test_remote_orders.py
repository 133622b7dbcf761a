"""An order at a CA that is spoken to by protocol, through the walks: waiting, issued, accepted, revoked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.authorities.test_remote import ejbca
from tests.signing import ordering
from tests.signing.ordering import ADA
from tests.signing.test_authorities import in_sqlite, installed, known, stands
from tests.world import SUBSCRIBER, World

from privyseal.authorities import catalogue
from privyseal.signing import acceptance, authorities, revoking
from privyseal.signing.forms_of_certificates import RevocationWish
from privyseal.terms.orders import OrderState


@pytest.fixture
def world(world: World) -> World:
    """Give the world a Key Pair whose private half the test has."""
    ordering.pair(world)
    return world


@in_sqlite
def test_an_order_at_ejbca_from_its_question_to_its_revocation(world: World, tmp_path: Path) -> None:
    """Down, then waiting for its administrators, then issued, read, accepted, revoked; no credential is kept."""
    remote = ejbca(tmp_path)
    try:
        configured = catalogue.authorities((remote.section,), tmp_path, None)
        world.seal.authorities.update(configured)
        remote.stub.approvals = True
        remote.stub.order("pkcs10enroll", "html")
        order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("ejbca"))
        assert order.state is OrderState.ASKED
        assert "'text/html' where JSON was expected" in order.words
        world.now += timedelta(minutes=20)
        assert authorities.tend(world.seal) == 1
        order = stands(world, order)
        assert (order.state, order.reference) == (OrderState.WAITING, order.id)
        assert "An administrator of EJBCA decides" in order.words
        world.now += timedelta(minutes=5)
        assert authorities.tend(world.seal) == 0
        remote.stub.approve()
        world.now += timedelta(minutes=5)
        assert authorities.tend(world.seal) == 1
        order = stands(world, order)
        assert (order.state, len(order.chain)) == (OrderState.ISSUED, 2)
        acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, order.fingerprint)
        assert installed(world) == [order.chain]
        remote.stub.approvals = False
        wish = RevocationWish(reason="superseded", because="a new one")
        assert revoking.revoke(world.seal, ADA, SUBSCRIBER, order.fingerprint, wish).answered == "revoked"
        assert order.fingerprint in known(world).status
        assert remote.secret.encode() not in world.stored()
        world.check()
    finally:
        remote.stub.close()
