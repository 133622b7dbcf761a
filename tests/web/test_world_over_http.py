"""Clients of a whole Privy Seal over HTTP: all at once, any one write failing, insisting as the command line does."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient
from tests.web.standing import application
from tests.world import HOMES, SUBSCRIBER, WAYS, Ledger, Plan, World, found

from privyseal.signing import enrol
from privyseal.terms.parties import Role
from privyseal.web.desk import Desk


@pytest.fixture(scope="module", params=HOMES)
def founded(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Found one service for the worlds of this module."""
    return found(tmp_path_factory.mktemp("founded") / "seal", home=request.param)


class Town:
    """A world behind its web, and clients with a token."""

    def __init__(self, world: World, standing: ExitStack) -> None:
        self.world = world
        plan, world.plan = world.plan, None
        member = enrol.member(world.seal, SUBSCRIBER, "client over http", (Role.REQUESTER,))
        self.token = enrol.token(world.seal, member)
        world.writes.clear()
        world.plan = plan
        routed = standing.enter_context(application(Desk(world.seal, world.directory / "log")))
        self.client = TestClient(routed, raise_server_exceptions=False, timeout=60)

    def ask(self, ledger: Ledger) -> Any:
        """Let one client post its request and keep what it is given."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        answered = self.client.post(
            f"/v1/{SUBSCRIBER}/requests",
            content=ledger.request.canonical(),
            headers=headers | {"Idempotency-Key": ledger.key, "Prefer": "wait=5"},
        )
        document = answered.json()
        if answered.status_code == 201:
            given = (tuple(base64.b64decode(blob) for blob in document["blobs"]), document["receipt"])
            assert ledger.given.setdefault(ledger.key, given) == given, "one key gave two answers"
        else:
            assert answered.status_code in (202, 409, 503), answered.text
            if document.get("code") == "failed":
                ledger.keys.append(hashlib.sha256(ledger.key.encode()).hexdigest())
        return answered

    def ask_all_at_once(self) -> list[int]:
        """Let every client that has nothing yet ask, each in a thread."""
        waiting = [one for one in self.world.ledgers if not one.given]
        with ThreadPoolExecutor(8) as pool:
            return [answered.status_code for answered in pool.map(self.ask, waiting)]


@pytest.fixture
def town(founded: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Town]:
    """Build a town whose world has the plan given as this fixture's parameter."""
    world = World(founded, tmp_path / "world", getattr(request, "param", None))
    with ExitStack() as standing:
        made = Town(world, standing)
        with made.client:
            yield made
    world.discard()


def test_many_clients_at_once_are_all_served(town: Town) -> None:
    """Each has its own signature and receipt, and an outsider finds the log in order."""
    for number in range(24):
        town.world.client(number)
    assert set(town.ask_all_at_once()) == {201}
    assert all(ledger.given for ledger in town.world.ledgers)
    town.world.check()
    assert town.client.get("/log/checkpoint").content == (town.world.directory / "log" / "checkpoint").read_bytes()
    width = town.world.checkpoint().size
    assert width >= 48  # an intent and a completion each
    assert town.client.get(f"/log/tile/entries/000.p/{width}").status_code == 200
    assert town.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("town", [Plan(nth, way) for nth in range(0, 20, 3) for way in WAYS], indirect=True, ids=repr)
def test_whatever_write_fails_the_clients_get_there_by_insisting(town: Town) -> None:
    """Nobody ever sees a 500; after a few tries under the same keys everybody has a receipt that holds."""
    for number in range(3):
        town.world.client(number)
    statuses = town.ask_all_at_once()
    town.world.plan = None
    for _ in range(6):
        if all(ledger.given for ledger in town.world.ledgers):
            break
        town.world.now += timedelta(seconds=61)
        town.ask_all_at_once()
    assert all(ledger.given for ledger in town.world.ledgers), statuses
    town.world.check()
