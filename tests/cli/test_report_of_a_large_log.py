"""A report under a large log: all entries are in it, what is left out is seen, and no memory holds them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.world import SUBSCRIBER, World, found

from privyseal.cli import report as made
from privyseal.cli import report_manifest as papers
from privyseal.compliance.statements import AuditPeriod
from privyseal.signing import paper
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.tlog.entry import IntentSubmission

ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
PERIOD = AuditPeriod(scheme="WebTrust", start=date(2025, 4, 1), end=date(2026, 3, 31), auditor="Auditor")
LARGE = 250_000

# What one command costs a process of its own: seconds of its processor, and the most memory it had, in MiB.
MEASURE = """
import json, re, sys, time
from click.testing import CliRunner
from privyseal.cli.report import report
began = time.process_time()
done = CliRunner().invoke(report, sys.argv[1:])
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10
print(json.dumps({"exit": done.exit_code, "said": done.output, "seconds": time.process_time() - began, "peak": peak}))
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a service that stated one thing."""
    made = World(found(tmp_path / "seal"), tmp_path / "world")
    paper.state(made.seal, ADMINISTRATOR, SUBSCRIBER, PERIOD)
    yield made
    made.discard()


def grown(world: World, size: int) -> None:
    """Have intents of a key that nobody knows logged until the log has ``size`` entries."""
    while (missing := size - world.seal.logger.health().size) > 0:
        start = size - missing
        some = [
            IntentSubmission(
                verb="sign",
                key_tag=hashlib.sha256(b"nobody's").hexdigest(),
                uses=1,
                commitment=hashlib.sha256(number.to_bytes(8)).digest(),
            )
            for number in range(start, min(size, start + 1024))
        ]
        world.seal.logger.append(some, since=0)


def run(*arguments: object) -> dict[str, Any]:
    asked = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    told: dict[str, Any] = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    return told


def reported(world: World, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a report and check it; return what each cost."""
    period = f"{world.now.date() - timedelta(days=30)}/{world.now.date()}"
    making = run("--dir", world.directory, "--period", period, "--out", out)
    assert making["exit"] == 0, making["said"]
    return making, run("verify", out, "--log-policy", world.directory / "log-policy")


def test_what_is_left_out_is_seen_wherever_it_stands(world: World, tmp_path: Path) -> None:
    """The entries are in a file that is written piece by piece, also where the last bundle is not full."""
    grown(world, 1000)
    paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, msgspec.structs.replace(PERIOD, auditor="Another"))
    size = world.seal.logger.health().size
    _, checking = reported(world, tmp_path / "r.zip")
    assert checking["exit"] == 0, checking["said"]
    assert "nothing is missing" in checking["said"]
    with zipfile.ZipFile(tmp_path / "r.zip") as archive:
        octets = archive.read(papers.ENTRIES)
        assert json.loads(archive.read(papers.MANIFEST))["log"] | {"origin": ""} == {
            "origin": "", "size": size, "root": world.checkpoint().root.hex(), "entries": True,
        }  # fmt: skip
    seen = at = 0
    while at < len(octets):
        seen, at = seen + 1, at + 2 + int.from_bytes(octets[at : at + 2], "big")
    assert seen == size


def test_a_log_beyond_the_limit_is_not_in_it_and_that_is_said(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever checks is told that nobody can tell; it does not pass for complete."""
    from privyseal.cli.main import run as privyseal

    monkeypatch.setattr(made, "MOST_ENTRIES", 2)
    grown(world, 3)
    period = f"{world.now.date() - timedelta(days=30)}/{world.now.date()}"
    out = tmp_path / "r.zip"
    assert privyseal(["report", "--dir", str(world.directory), "--period", period, "--out", str(out)]) == 0
    privyseal(["report", "verify", str(out), "--log-policy", str(world.directory / "log-policy")])
    assert "nobody can tell whether a statement was left out" in capsys.readouterr().err


@pytest.mark.nightly
def test_a_quarter_of_a_million_entries_take_no_memory(tmp_path: Path) -> None:
    """Making the report and checking it take a tenth more memory than for 5,000 entries at the most."""
    peaks = []
    for size in (5000, LARGE):
        world = World(found(tmp_path / f"seal-{size}"), tmp_path / f"world-{size}")
        try:
            paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, PERIOD)
            grown(world, size)
            making, checking = reported(world, tmp_path / "r.zip")
        finally:
            world.discard()
        print(size, (tmp_path / "r.zip").stat().st_size, making, checking)
        assert checking["exit"] == 0
        assert "nothing is missing" in checking["said"]
        peaks.append((making["peak"], checking["peak"]))
    (made_few, checked_few), (made_many, checked_many) = peaks
    assert made_many < 1.1 * made_few + 8
    assert checked_many < 1.1 * checked_few + 8
