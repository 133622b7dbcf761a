"""What ``privyseal doctor`` finds about the stamper's books: whether they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from privyseal.cli.diagnosis import Diagnosis
from privyseal.errors import PrivySealError
from privyseal.strongroom.client import SocketAsk, StamperClient
from privyseal.strongroom.older_books import said

ASK_LIMIT = 10.0
"""Seconds for the stamper's answer; it reads nothing for it."""


def books(directory: Path) -> Iterator[Diagnosis]:
    """Ask the stamper what its books lack since they were put back; nothing where it is away."""
    stamper = SocketAsk(directory / "run" / "stamper.sock", ASK_LIMIT)
    try:
        lost = StamperClient(stamper).health().lost
    except PrivySealError:  # said already, of the sandbox
        return
    finally:
        stamper.close()
    for each in lost:
        yield Diagnosis("books", "weak", f"the stamper's were put back to an older state. {said(each)}")
    if not lost:
        yield Diagnosis("books", "good", "the stamper's books were never put back to an older state")
