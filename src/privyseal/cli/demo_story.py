"""How the demo tells its story: numbered steps, and each command shown before it runs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from privyseal.cli.output import WIDTH, mark, paint, tell
from privyseal.errors import BadInput, Conflict, PrivySealError, Unavailable, VerificationFailed

COMMAND_LIMIT = 90.0
"""Seconds that one command may take on a slow, busy machine."""

_ENDINGS: dict[int, type[PrivySealError]] = {kind.exit: kind for kind in (BadInput, VerificationFailed, Conflict)}


class Story:
    """Steps that count themselves."""

    def __init__(self) -> None:
        """Begin before the first step."""
        self._number = 0

    def part(self, title: str) -> None:
        """Begin a part of the story."""
        tell("", paint(title, "cyan"), paint("=" * len(title), "cyan"))

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._number += 1
        number = f"{self._number:>2}. "
        lines = textwrap.wrap(text, WIDTH, initial_indent=number, subsequent_indent=" " * len(number))
        tell("", *(paint(line, "cyan") for line in lines))


def note(text: str) -> None:
    """Tell something beside the steps."""
    tell(*textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))


def done(text: str) -> None:
    """Tell that something was seen to be as it must be."""
    first, *rest = textwrap.wrap(text, WIDTH - 4, break_on_hyphens=False)
    tell(f"  {mark(True)} {first}", *(f"    {line}" for line in rest))


def show(*arguments: str | Path, who: str = "") -> None:
    """Show a command as one would type it; ``who`` stands before it where it is not the operator."""
    words = [shlex.quote(str(each)).replace(" ", "\0") for each in ("privyseal", *arguments)]  # no break within one
    lines = textwrap.wrap(" ".join(words), WIDTH - 6 - len(who) - 2, break_long_words=False, break_on_hyphens=False)
    tell(f"  {who}$ " + " \\\n      ".join(lines).replace("\0", " "))


def call(*arguments: str | Path, into: Mapping[str, str] = {}, code: int = 0) -> None:
    """Show and run a command, whose words go to the terminal; raise unless it ends with ``code``."""
    show(*arguments, who=into.get("USER", ""))
    _require(arguments, _started(arguments, into, None).returncode, code)


def asked(*arguments: str | Path, into: Mapping[str, str] = {}, code: int = 0) -> dict[str, Any]:
    """Show and run a command with ``--json`` and return its document, which is not shown: it may hold a secret."""
    show(*arguments, who=into.get("USER", ""))
    ran = _started((*arguments, "--json"), into, subprocess.PIPE)
    _require(arguments, ran.returncode, code)
    found = json.loads(ran.stdout)
    if not isinstance(found, dict):
        raise Unavailable(f"privyseal {arguments[0]} gave no document.")
    return found


def environment(into: Mapping[str, str] = {}) -> dict[str, str]:
    """Leave out whatever the user's own environment says of other services, jobs and keyrings, and add ``into``."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PRIVYSEAL_", "GITHUB_", "ACTIONS_"))}
    return kept | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"} | dict(into)


def _started(
    arguments: tuple[str | Path, ...], into: Mapping[str, str], stdout: int | None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "privyseal", *map(str, arguments)]
    try:
        return subprocess.run(
            command, check=False, env=environment(into), stdin=subprocess.DEVNULL, stdout=stdout, timeout=COMMAND_LIMIT
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"privyseal {arguments[0]} took longer than {COMMAND_LIMIT:.0f} s.") from None


def _require(arguments: tuple[str | Path, ...], came: int, wanted: int) -> None:
    if came == wanted:
        return
    said = f"privyseal {arguments[0]} ended with exit code {came}" + (f" and not {wanted}." if wanted else ".")
    raise _ENDINGS.get(came, VerificationFailed if wanted else Unavailable)(said)
