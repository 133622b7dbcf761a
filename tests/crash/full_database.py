"""A PostgreSQL whose disk is really full: that of its tables, where it refuses, or that of its log: it dies of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec
import psycopg
from tests import postgres
from tests.crash.full_disk import fill, small_disk
from tests.world import Ledger, World, a_description

from privyseal.errors import PrivySealError

MOST_CLIENTS = 60
"""So many are asked, at most, until the room that pages and log segments still had is used up."""


@dataclass
class Figures:
    """What was said while the disk was full."""

    times: int = 0
    clients: int = 0
    deaths: int = 0
    """Times that the database server threw everybody out and recovered, as after a crash."""
    refused: Counter[str] = field(default_factory=Counter)
    said: set[str] = field(default_factory=set)


def tables(folder: Path, founding: Callable[[Path], Path], lefts: tuple[int, ...]) -> Figures:
    """Fill the disk of the tables until so many octets are left, ask, make room, and see everybody served."""
    figures, disk = Figures(), folder / "tables"
    with small_disk(disk, 40, "755"):
        cluster = postgres.cluster()
        postgres.as_unprivileged(disk)
        cluster.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        founded = founding(folder / "founded")
        cluster.execute(f"ALTER DATABASE {(founded / 'database').read_text()} SET TABLESPACE small")
        world = World(founded, folder / "world")
        try:
            for left in lefts:
                _suffer(world, cluster, disk / "ballast", left, figures)
        finally:
            world.stop()
            cluster.stop()
    return figures


def log(folder: Path, founding: Callable[[Path], Path], times: int) -> Figures:
    """Fill the disk of the server's own log, of which it dies; make room, start it, and see everybody served."""
    figures, cluster, disk = Figures(), postgres.cluster(), folder / "log"
    world = World(founding(folder / "founded"), folder / "world")
    try:
        for _ in range(times):
            cluster.execute("CHECKPOINT")
            _suffer(world, cluster, disk / "ballast", 0, figures)
    finally:
        world.stop()
        cluster.stop()
    return figures


def _suffer(world: World, cluster: postgres.Cluster, ballast: Path, left: int, figures: Figures) -> None:
    """Let clients ask of a full disk until two were refused, make room, and let them insist."""
    asked = world.request(0, timestamp=False)  # while the records can still be read
    fill(ballast, left)
    figures.times += 1
    refused = 0
    for _ in range(MOST_CLIENTS):
        figures.clients += 1
        described = (a_description(figures.clients),)
        request = msgspec.structs.replace(asked, described=described, expires_at=world.now + timedelta(hours=1))
        client = Ledger(request, [request.timeless_digest()])
        world.ledgers.append(client)
        (outcome,) = world._ask_safely([client])
        if isinstance(outcome, PrivySealError):
            refused += 1
            figures.refused[outcome.code] += 1
            figures.said.add(outcome.detail)
        if refused == 2:
            break
        with suppress(psycopg.Error):  # the next segment is begun, as after many more clients
            cluster.execute("SELECT pg_switch_wal()")
    ballast.unlink()
    figures.deaths = (cluster.folder / "log").read_text().count("PANIC:")
    _raise_up(cluster)
    world.insist()
    assert all(len(ledger.given) == 1 for ledger in world.ledgers), [one.given for one in world.ledgers]
    world.check()


def _raise_up(cluster: postgres.Cluster) -> None:
    """Wait until the server answers again, and start it if it gave up, as the operator does who has made room."""
    until = time.monotonic() + postgres.START_LIMIT
    while cluster.process.poll() is None:
        with suppress(psycopg.Error):
            return cluster.execute("SELECT 1")
        assert time.monotonic() < until, "PostgreSQL neither answers nor ends"
        time.sleep(0.05)
    cluster.start()
