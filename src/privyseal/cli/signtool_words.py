"""What ``privyseal-signtool`` prints, and the exit codes of signtool."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from privyseal.cli.output import printable
from privyseal.cli.signtool_arguments import Parsed

SUCCESS, FAILURE, WARNINGS = 0, 1, 2
"""Exit codes (Microsoft, "SignTool.exe", "Remarks")."""


def counted(parsed: Parsed, done: str, good: Sequence[bool], warned: int = 0) -> int:
    """Print the numbers, and return the code that they make."""
    errors = len(good) - sum(good)
    if parsed.has("v") or len(good) > 1 or errors:
        say(
            parsed,
            f"\nNumber of files successfully {done}: {sum(good)}",
            f"Number of warnings: {warned}",
            f"Number of errors: {errors}",
        )
    return FAILURE if errors else WARNINGS if warned else SUCCESS


def say(parsed: Parsed, *lines: str) -> None:
    """Print what went well, unless ``/q``."""
    if not parsed.has("q"):
        print("\n".join(map(_shown, lines)), flush=True)


def fail(text: str, hint: str | None = None) -> None:
    """Print what went wrong."""
    print(f"SignTool Error: {_shown(text)}" + (f" ({_shown(hint)})" if hint else ""), file=sys.stderr, flush=True)


def _shown(text: str) -> str:
    """Return text fit for a terminal; line feeds are ours."""
    return "\n".join(printable(part, 4096) for part in text.split("\n"))


def warn(text: str) -> None:
    """Print what may be wrong."""
    print(f"SignTool Warning: {_shown(text)}", file=sys.stderr, flush=True)
