"""What goes to stderr, what to stdout, and how it may look.

The rules, after those at the head of age's ``cmd/age/tui.go``:

* People read stderr: every sentence, warning, error and all progress goes there. Nothing a person reads is on stdout.
* Programs read stdout: ``--json`` puts exactly one object there, also when the command fails; ``--json=lines`` puts one
  object a line, events while running and exactly one ``result`` (or ``error``) last. Nothing else is ever on stdout.
* With ``--json`` the sentences about things that went well are left out on stderr; warnings and errors stay.
* Colour only where stderr is a terminal, ``NO_COLOR`` is not set and ``TERM`` is not ``dumb``; and no meaning by
  colour alone.
* Text that came out of a file, a certificate or a network is shown through :func:`printable`, so that nobody can move
  the cursor, forge a line or turn the reading direction in somebody else's terminal.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Literal

import click
import msgspec

from privyseal.cli import streams

JsonMode = Literal["object", "lines"]
"""``object``: one document when all is done; ``lines``: one document a file, as each is done."""

WIDTH = 80
"""Columns that our lines try to fit; the narrowest terminal anyone still opens."""

_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that :func:`printable` escapes: controls, format characters (bidi overrides), surrogates,
unassigned."""


class Command(click.Command):
    """A command whose ``--json`` may stand alone or with a value, which click itself would take from the next
    argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read a bare ``--json`` as ``--json=object``, as far as the options go."""
        end = args.index("--") if "--" in args else len(args)
        plain = ["--json=object" if arg == "--json" else arg for arg in args[:end]]
        return super().parse_args(ctx, plain + args[end:])


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command of class :class:`Command` the option ``--json[=lines]``, as the parameter ``json_mode``."""
    return click.option(
        "--json",
        "json_mode",
        type=click.Choice(["object", "lines"]),
        metavar="[=lines]",
        help="One JSON object on stdout; with =lines events while running, the result last.",
    )(function)


def quiet_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``-q``."""
    return click.option("-q", "--quiet", is_flag=True, help="Say nothing about what went well.")(function)


class Output:
    """Where one command's words and documents go."""

    def __init__(self, json_mode: JsonMode | None = None, *, quiet: bool = False) -> None:
        """Talk to people, or with ``json_mode`` to programs; ``quiet`` leaves out what went well."""
        self.json_mode = json_mode
        self.quiet = quiet or json_mode is not None

    def say(self, *lines: str) -> None:
        """Tell people something that went well; silent with ``-q`` or ``--json``."""
        if not self.quiet:
            tell(*lines)

    def warn(self, *lines: str) -> None:
        """Tell people something they should know in any case."""
        tell(*lines)

    def event(self, name: str, **facts: object) -> None:
        """Put an event on stdout, with ``--json=lines`` only."""
        if self.json_mode == "lines":
            _put({"event": name, **facts})

    def result(self, document: object) -> None:
        """Put the result on stdout, in either JSON mode; called once, last. ``document`` is what msgspec can encode."""
        if self.json_mode == "lines":
            _put({"event": "result", **msgspec.to_builtins(document)})
        elif self.json_mode == "object":
            _put(document)


def tell(*lines: str) -> None:
    """Write lines to stderr, for people; where it takes nothing (a log on a full disk) the work goes on unheard."""
    try:
        sys.stderr.write("".join(line + "\n" for line in lines))
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        streams.forsake(sys.stderr)


def _put(document: object) -> None:
    sys.stdout.write(msgspec.json.encode(document).decode("utf-8") + "\n")
    sys.stdout.flush()


def json_mode_of(arguments: Iterable[str]) -> JsonMode | None:
    """Tell from raw arguments whether JSON was asked for, also where they could not be parsed any further."""
    mode: JsonMode | None = None
    for argument in arguments:
        if argument == "--":
            break
        if argument == "--json" or argument.startswith("--json="):
            mode = "lines" if argument == "--json=lines" else "object"
    return mode


def put_error(json_mode: JsonMode, code: str, text: str, hint: str | None, exit_code: int) -> None:
    """Put a command's failure on stdout as its one object, where it has no result."""
    error = {"code": code, "text": text, "hint": hint, "exit": exit_code}
    document = {"schema": "privyseal/error/1", "error": error}
    _put({"event": "error", **document} if json_mode == "lines" else document)


def colours() -> bool:
    """Tell whether stderr may be coloured."""
    return terminal() and "NO_COLOR" not in os.environ


def terminal() -> bool:
    """Tell whether stderr is a terminal on which a line can be redrawn, and not a build server's log."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")


def paint(text: str, colour: str) -> str:
    """Return the text in a colour ("green", "red", "yellow"), or as it is where colours are not wanted."""
    return click.style(text, fg=colour, bold=True) if colours() else text


def mark(good: bool | None) -> str:
    """Return the sign that begins a line about a file: done, not done, or (None) neither."""
    sign, plain, colour = {True: ("✓", "ok", "green"), False: ("✗", "NO", "red"), None: ("!", "!", "yellow")}[good]
    try:
        sign.encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        sign = plain
    return paint(sign, colour)


def printable(text: str, limit: int = 200) -> str:
    """Return text from outside fit for a terminal: ``limit`` characters at most, none that moves, hides or reorders.

    Source of the danger: terminal control sequences, and the reordering of "Trojan Source" (CVE-2021-42574).
    """
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSHOWN else c for c in shown)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path as text for JSON: octets that are not UTF-8 become ``\\xNN``, all else stays."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def shown_path(path: str | os.PathLike[str]) -> str:
    """Return a path as people are shown it, never cut short."""
    text = path_text(path)
    return printable(text, len(text) + 1)


def fill(label: str, text: str) -> list[str]:
    """Return ``text`` as lines of at most :data:`WIDTH` columns behind a label of eight, as ``verify`` prints its
    facts."""
    words, lines = text.split(" "), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH - 11:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return [f"  {label if n == 0 else '':<8} {line}" for n, line in enumerate(lines)]
