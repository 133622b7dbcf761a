"""A stamper that is killed at any moment: every token that a client holds is in the books, no serial number is given
twice, and no time is before one that was given."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.strongroom.processes import Process

from privyseal.errors import Unavailable
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.strongroom import founding
from privyseal.strongroom.client import SocketAsk, StamperClient
from privyseal.strongroom.stamps import Stamps
from privyseal.timestamp.token import read_token
from privyseal.tlog import merkle

BATCH = 50


def _tokens_until_killed(process: Process, socket: Path, wanted: int, rng: random.Random) -> list[bytes]:
    """Ask for batches one after the other and kill the process in the middle of one; return what was answered."""
    held: list[bytes] = []
    ask = SocketAsk(socket, 30)
    client = StamperClient(ask)
    killer: threading.Timer | None = None
    try:
        while True:
            if len(held) >= wanted and killer is None:
                killer = threading.Timer(rng.uniform(0, 0.05), process.popen.kill)
                killer.start()
            digests = [hashlib.sha256(os.urandom(8)).digest() for _ in range(BATCH)]
            held += client.stamp("sha256", digests)
    except Unavailable:
        return held
    finally:
        assert killer is not None
        killer.join()
        ask.close()
        process.kill()


def _campaign(directory: Path, crashes: int, tokens: int) -> None:
    now = datetime.now(UTC)
    authority = RehearsalAuthority.create(now, "Crashes")
    room, rng = directory / "stamper", random.Random(5)
    spki = founding.create_stamper(room, lambda: now, "ecdsa-p256")
    chain = (authority.issue_timestamp_authority(spki, now), authority.timestamp_issuer)
    founding.install_stamper_chain(room, spki, chain)
    serials: set[int] = set()
    leaves: list[tuple[str, bytes]] = []
    given = 0
    last = datetime.fromtimestamp(0, UTC)
    for _ in range(crashes):
        process = Process("stamper", room / "stamper.toml", directory / "s.sock")
        assert process.ready, process.said()
        for token in _tokens_until_killed(process, directory / "s.sock", tokens, rng):
            signed, info = read_token(token)
            assert info.time >= last, "a time before one that was given"
            last = info.time
            serials.add(info.serial)
            given += 1
            leaves.append((f"{info.time:%Y%m%d%H%M%SZ}", merkle.leaf_hash(signed.content_octets or b"")))
    assert len(serials) == given >= crashes * tokens
    books = Stamps(room / "stamps.sqlite3")
    batches = {each.number: each for each in books.batches(0, datetime.now(UTC) + timedelta(hours=3))}
    for time, leaf in rng.sample(leaves, min(len(leaves), 500)):
        number, index, path = books.place(time, leaf)
        batch = batches[number]
        assert merkle.verify_inclusion(leaf, index, batch.count, path, batch.root)
    assert sum(each.count for each in batches.values()) >= given
    assert [each.what for each in books.entries(0)].count("started") == crashes
    books.close()


def test_three_crashes(tmp_path: Path) -> None:
    _campaign(tmp_path, 3, 200)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_twenty_crashes(tmp_path: Path) -> None:
    """10^6 tokens take an hour of a quiet machine; PRIVYSEAL_TEST_TOKENS says otherwise."""
    _campaign(tmp_path, 20, int(os.environ.get("PRIVYSEAL_TEST_TOKENS", "1000000")) // 20)
