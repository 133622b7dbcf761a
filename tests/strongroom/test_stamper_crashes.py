"""A stamper that is killed at any moment: every token that a client holds is in the books and leads to their roots, no
serial number is given twice, no time is before one that was given, and memory does not grow.

Before each start the clock is turned by less than a second, as NTP would set it while the machine boots. The books are
read here as a stranger would, with hashlib and the rules of RFC 6962 2.1 written down once more.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.strongroom.processes import Process

from privyseal.errors import TimestampUnavailable, Unavailable
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.strongroom import founding
from privyseal.strongroom.client import SocketAsk, StamperClient
from privyseal.strongroom.stamps import Stamps
from privyseal.timestamp.token import read_token
from privyseal.tlog import merkle

TURNED = str(Path(__file__).with_name("turned_clock.py"))
MOST_TURNED = 0.45
"""Seconds, either way; what lies between two starts is below the second that may be repeated."""
MOST_GROWN_KIB = 24 * 1024
"""KiB that a stamper may have more behind its last token than behind its first thousand."""


class Campaign:
    """One stamper's room, what was answered so far, and how large its processes were."""

    def __init__(self, directory: Path, at_once: int) -> None:
        now = datetime.now(UTC)
        authority = RehearsalAuthority.create(now, "Crashes")
        self.directory, self.room, self.at_once = directory, directory / "stamper", at_once
        self.rng = random.Random(5)
        spki = founding.create_stamper(self.room, lambda: now, "ecdsa-p256")
        chain = (authority.issue_timestamp_authority(spki, now), authority.timestamp_issuer)
        founding.install_stamper_chain(self.room, spki, chain)
        self.serials: set[bytes] = set()
        self.leaves: list[bytes] = []
        self.times: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.back = 0
        self._ahead = 0.0

    def run(self, tokens: int, *, killed: bool = True) -> None:
        """Start a stamper behind a clock that was turned, ask for tokens, and kill it in the middle of a batch."""
        before, self._ahead = self._ahead, self.rng.uniform(-MOST_TURNED, MOST_TURNED)
        self.back += self._ahead < before
        (self.room / "ahead").write_text(str(self._ahead))
        process = Process("stamper", self.room / "stamper.toml", self.directory / "s.sock", TURNED)
        assert process.ready, process.said()
        ask = SocketAsk(self.directory / "s.sock", 60)
        killer = threading.Timer(self.rng.uniform(0, 0.05), process.popen.kill)
        client, wanted, first = StamperClient(ask), len(self.leaves) + tokens, 0
        size, doomed = 0, False
        try:
            while killed or len(self.leaves) < wanted:
                if killed and len(self.leaves) >= wanted and not doomed:
                    killer.start()
                    doomed = True
                digests = [os.urandom(32) for _ in range(self.at_once)]
                for token in client.stamp("sha256", digests):
                    self.take(token)
                if not doomed:  # else it may be gone, and its memory with it
                    size = _resident(process.popen.pid)
                    first = first or size
        except Unavailable:
            assert killed
        finally:
            if doomed:
                killer.join()
            ask.close()
            process.kill()
        self.sizes.append((first, size))

    @contextmanager
    def behind(self, seconds: float) -> Iterator[StamperClient]:
        """Run a stamper whose clock begins so many seconds before the last time that was given, and kill it."""
        last = datetime.strptime(self.times[-1], "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
        ahead = (last - datetime.now(UTC)).total_seconds() - seconds
        (self.room / "ahead").write_text(str(ahead))
        process = Process("stamper", self.room / "stamper.toml", self.directory / "s.sock", TURNED)
        ask = SocketAsk(self.directory / "s.sock", 60)
        try:
            yield StamperClient(ask)
        finally:
            ask.close()
            process.kill()

    def take(self, token: bytes) -> None:
        """Hold a token that was answered against all before it."""
        signed, info = read_token(token)
        told = f"{info.time:%Y%m%d%H%M%SZ}"
        assert not self.times or told >= self.times[-1], "a time before one that was given"
        serial = info.serial.to_bytes(20, "big")
        assert serial not in self.serials, "a serial number that was given before"
        self.serials.add(serial)
        self.times.append(told)
        self.leaves.append(hashlib.sha256(b"\0" + (signed.content_octets or b"")).digest())

    def check(self, crashes: int) -> None:
        """Find every token in the books, and lead some to their roots by the books' own answer."""
        books = Stamps(self.room / "stamps.sqlite3")
        batches = {each.number: each for each in books.batches(0, datetime.now(UTC) + timedelta(hours=3))}
        known: set[bytes] = set()
        with closing(sqlite3.connect(self.room / "stamps.sqlite3")) as database:
            for batch in batches.values():
                found = list(_leaves(database, batch.number))
                assert len(found) == batch.count and _root(found) == batch.root
                known.update(found)
        missing = [leaf for leaf in self.leaves if leaf not in known]
        assert not missing, f"{len(missing)} tokens were answered and are not in the books"
        for at in self.rng.sample(range(len(self.leaves)), min(len(self.leaves), 200)):
            number, index, path = books.place(self.times[at], self.leaves[at])
            assert merkle.verify_inclusion(self.leaves[at], index, batches[number].count, path, batches[number].root)
        assert [each.what for each in books.entries(0)].count("started") == crashes
        books.close()


def _leaves(database: sqlite3.Connection, batch: int) -> Iterator[bytes]:
    for (hashes,) in database.execute("SELECT hashes FROM leaves WHERE batch = ? ORDER BY place", (batch,)):
        for at in range(0, len(hashes), 32):
            yield hashes[at : at + 32]


def _root(nodes: list[bytes]) -> bytes:
    """Hash pair by pair, an odd last one as it is: that is RFC 6962 2.1, from the leaves up."""
    while len(nodes) > 1:
        pairs = [hashlib.sha256(b"\1" + b"".join(nodes[at : at + 2])).digest() for at in range(0, len(nodes) - 1, 2)]
        nodes = pairs + nodes[len(nodes) - len(nodes) % 2 :]
    return nodes[0]


def _resident(pid: int) -> int:
    """Return KiB of memory that a process has in use."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def test_three_crashes(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, 50)
    for _ in range(3):
        campaign.run(200)
    assert len(campaign.serials) == len(campaign.leaves) >= 600
    campaign.check(3)


def test_time_goes_on_where_it_was_however_the_clock_was_set_before_a_start(tmp_path: Path) -> None:
    """Killed, and the clock a bit or much behind what was given: it is waited for, or the last second given again."""
    campaign = Campaign(tmp_path, 1)
    campaign.run(1)
    for behind in (0.99, 2.5):
        with campaign.behind(behind + 60) as client:  # by more than any start takes
            assert "given out already" in client.health().why
        with campaign.behind(behind) as client:
            until, given = time.monotonic() + 30, len(campaign.times)
            while len(campaign.times) == given:
                assert time.monotonic() < until
                with suppress(TimestampUnavailable):
                    campaign.take(*client.stamp("sha256", [os.urandom(32)]))
    assert len(campaign.times) >= 3


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_a_million_tokens_across_twenty_crashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run: 10^6 tokens and 20 deaths, then a stamper that gives 10^6 more and is not larger than before."""
    began, campaign = time.monotonic(), Campaign(tmp_path, 1000)
    for _ in range(20):
        campaign.run(50_000)
    crashed, lived = len(campaign.leaves), time.monotonic()
    assert len(campaign.serials) == crashed >= 1_000_000 and campaign.back > 0
    campaign.run(1_000_000, killed=False)
    assert len(campaign.serials) == len(campaign.leaves) >= crashed + 1_000_000
    ended = time.monotonic()
    campaign.check(21)
    firsts, lasts = [first for first, _ in campaign.sizes], [last for _, last in campaign.sizes]
    octets = (tmp_path / "stamper" / "stamps.sqlite3").stat().st_size
    with capsys.disabled():
        print(
            f"\n{crashed} tokens across 20 kill -9 in {lived - began:.0f} s, the clock {campaign.back} times set back;"
            f" then {len(campaign.leaves) - crashed} by one stamper in {ended - lived:.0f} s;"
            f" checked in {time.monotonic() - ended:.0f} s; {len(campaign.serials)} serial numbers, all different;"
            f"\nKiB resident behind the first 1000 tokens and at the end: of the first stamper {campaign.sizes[0]},"
            f" of the 20th {campaign.sizes[19]}, of the one that gave a million {campaign.sizes[20]};"
            f" books {octets / len(campaign.leaves):.1f} octets a token"
        )
    assert max(lasts) - min(firsts) < MOST_GROWN_KIB and lasts[-1] - firsts[-1] < MOST_GROWN_KIB
