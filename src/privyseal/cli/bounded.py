"""Small files that a user names: read whole, up to a limit."""

from __future__ import annotations

from pathlib import Path

from privyseal.cli.output import shown_path
from privyseal.errors import BadInput


def bounded(path: Path, limit: int) -> bytes:
    """Read a file; BadInput where it cannot be read or has more than ``limit`` octets."""
    try:
        with path.open("rb") as file:
            octets = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{shown_path(path)}: {error.strerror}.") from error
    if len(octets) > limit:
        raise BadInput(f"{shown_path(path)} is larger than {limit} octets; it is nothing of ours.")
    return octets
