"""Runs shell sessions: a test of the command line that reads as what one types and sees (after age's testdata).

A session is a text file of steps:

    # a sentence of what must hold; it names the step where it fails
    $ privyseal verify app.exe --trust ca.pem
    ? 3
    1> {"schema":"privyseal/verify/1",.*
    2> ✗ app.exe has no signature\\.

``$`` is a line for bash, in a folder of its own. ``?`` is the exit code, 0 where it is not given. Each ``1>`` is a
regular expression that must match a whole line of stdout, in order and without gaps, and stdout is empty where there is
none. Each ``2>`` must be found in a line of stderr, in order, gaps allowed; ``2!`` must be found in none.
Whatever a session expects, no step may ever show a traceback or a bug, and a line on stderr has at most 200 columns.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

STEP_LIMIT = 60
"""Seconds that one step may take before it counts as hanging."""


@dataclass
class Step:
    """One line for the shell and what must come of it."""

    line: int
    about: str
    command: str
    code: int = 0
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    never: list[str] = field(default_factory=list)


def parse(text: str) -> list[Step]:
    """Read a session; ValueError with the line's number where a line is none of its kinds."""
    steps: list[Step] = []
    about: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        kind, _, rest = line.partition(" ")
        if not line.strip():
            continue
        if kind == "#":
            if steps and about and steps[-1].about == " ".join(about):
                about = []
            about.append(rest)
        elif kind == "$":
            steps.append(Step(number, " ".join(about), rest))
        elif kind == "?" and steps:
            steps[-1].code = int(rest)
        elif kind in ("1>", "2>", "2!") and steps:
            {"1>": steps[-1].stdout, "2>": steps[-1].stderr, "2!": steps[-1].never}[kind].append(rest)
        else:
            raise ValueError(f"line {number} is neither of # $ ? 1> 2> 2!: {line}")
    return steps


def play(session: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Run every step of a session in ``folder``; AssertionError that shows the step and what came of it."""
    for step in parse(session.read_text(encoding="utf-8")):
        done = subprocess.run(
            ["bash", "-c", step.command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=STEP_LIMIT,
            check=False,
        )
        out, err = (octets.decode("utf-8", "backslashreplace") for octets in (done.stdout, done.stderr))
        wrong = complaint(step, done.returncode, out, err)
        if wrong:
            where = f"{session.name}:{step.line}: {step.about}\n$ {step.command}\n{wrong}"
            raise AssertionError(f"{where}\n--- exit {done.returncode}\n--- stdout\n{out}--- stderr\n{err}")


def complaint(step: Step, code: int, out: str, err: str) -> str | None:
    """Say what differs from what the step expects, or None."""
    if "Traceback (most recent call last)" in err or "This is a bug in Privy Seal" in err:
        return "it shows a traceback or a bug"
    if code != step.code:
        return f"exit code {step.code} was expected"
    lines = out.splitlines()
    if len(lines) != len(step.stdout):
        return f"{len(step.stdout)} lines on stdout were expected, and there are {len(lines)}"
    for pattern, line in zip(step.stdout, lines, strict=True):
        if not re.fullmatch(pattern, line):
            return f"on stdout this does not match: {pattern}"
    rest = iter(err.splitlines())
    for pattern in step.stderr:
        if not any(re.search(pattern, line) for line in rest):
            return f"on stderr this is missing, or not in this order: {pattern}"
    found = [pattern for pattern in step.never if re.search(pattern, err)]
    if found:
        return f"on stderr this must not be: {found[0]}"
    long = [line for line in err.splitlines() if len(line) > 200]
    return f"this line on stderr is longer than 200 columns: {long[0]}" if long else None
