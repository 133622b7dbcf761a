"""One way to measure: the limit before, the subject, the limit after, several rounds, the median of the ratios.

A shared machine drifts by a third within the hour, so an absolute figure of one minute says nothing about another; a
ratio to what was measured just before and just after does. Nothing here asserts: a bench prints, people judge.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROUNDS = 5
"""Median of five, unless --rounds says otherwise."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, against what, and what we are out to reach."""

    work: str
    subject: float
    limit: float
    ratio: float
    unit: str
    target: str
    better: str = "higher"
    """Whether a good ratio is ``higher`` or ``lower``."""
    notes: str = ""
    rounds: tuple[float, ...] = field(default=())


def against(
    limit: Callable[[], float], subject: Callable[[], float], rounds: int = ROUNDS
) -> tuple[float, float, float, tuple[float, ...]]:
    """Return (median subject, median limit, median ratio, all ratios), the limit taken around each subject."""
    subjects, limits, ratios = [], [], []
    for _ in range(rounds):
        before = limit()
        value = subject()
        around = (before + limit()) / 2
        subjects.append(value)
        limits.append(around)
        ratios.append(value / around)
    return statistics.median(subjects), statistics.median(limits), statistics.median(ratios), tuple(ratios)


@dataclass(frozen=True)
class Run:
    """What one whole process took."""

    seconds: float
    peak_mib: float


_LAUNCHER = """
import os, sys, time
null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=null)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
"""Runs a command from a process of 10 MiB: what its parent has counts as a child's peak (setmax_mm_hiwater_rss in
exec.c of Linux), and a bench has more than what it measures."""


def process(command: Iterable[str | os.PathLike[str]], **environment: str) -> Run:
    """Run a command to its end and return wall seconds and peak resident set; raise where it failed."""
    words = [os.fspath(each) for each in command]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | environment,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{words[0]} could not be run: {done.stderr[-2000:]}")
    seconds, peak, code = done.stdout.split()
    if int(code):
        sys.exit(f"{words} failed with {code}: {done.stderr[-2000:]}")
    return Run(float(seconds), int(peak) / 1024)


def rate(work: Callable[[], int], seconds: float = 1.0) -> float:
    """Repeat ``work``, which returns how many it did, for about this long; return how many a second."""
    done, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        done += work()
    return done / spent


def table(rows: list[Row]) -> str:
    """Lay the rows out as text of at most 100 columns."""
    head = f"{'work':<52} {'ours':>10} {'against':>10} {'ratio':>7}  target"
    lines = [head, "-" * len(head)]
    for row in rows:
        figures = f"{row.subject:>10.3g} {row.limit:>10.3g} {row.ratio:>7.2f}"
        lines.append(f"{row.work:<52} {figures}  {row.target} {row.unit}")
        if row.notes:
            lines.append(f"    {row.notes}")
    return "\n".join(lines)


def write(rows: list[Row], folder: Path) -> Path:
    """Write the rows and what machine they were measured on as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    document = {
        "schema": "privyseal/bench/1",
        "at": now.isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "own_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rows": [asdict(row) for row in rows],
    }
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path
