"""A TOML file in which somebody says what is so: an organisation, its incidents, its audits."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from privyseal.cli.output import printable, shown_path
from privyseal.errors import BadInput

LONGEST_SENTENCE = 400
"""Characters of a refusal that are shown; what a file says may stand in it."""

Facts = TypeVar("Facts")


def read_fact_file(path: Path, most: int, understand: Callable[[dict[str, Any]], Facts]) -> Facts:
    """Return what ``understand`` makes of a file of ``most`` octets at most; BadInput where it is no such file."""
    try:
        with path.open("rb") as file:
            octets = file.read(most + 1)
    except OSError as error:
        raise BadInput(f"{shown_path(path)} cannot be read: {error.strerror}.") from error
    if len(octets) > most:
        size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most >> 10} KiB"
        raise BadInput(f"{shown_path(path)} is larger than {size}; that is no file of facts.")
    try:
        document = tomllib.loads(octets.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{shown_path(path)} is not TOML: {printable(str(error))}.") from error
    try:
        return understand(document)
    except BadInput as error:
        raise BadInput(printable(error.detail, LONGEST_SENTENCE), hint=error.hint).about(shown_path(path)) from error
