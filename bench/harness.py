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


def process(command: Iterable[str | os.PathLike[str]], **environment: str) -> Run:
    """Run a command to its end and return wall seconds and peak resident set; raise where it failed."""
    start = time.perf_counter()
    child = subprocess.Popen(
        [os.fspath(each) for each in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{list(map(str, command))} failed with {child.returncode}: {said.decode(errors='replace')[-2000:]}")
    return Run(seconds, usage.ru_maxrss / 1024)


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
