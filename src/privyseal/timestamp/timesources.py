"""Kinds of time sources: how each is written in ``time_servers``; ``strongroom/timesource.py`` asks them."""

from __future__ import annotations

from collections.abc import Callable

from privyseal.timestamp import cmdmon, sntp

KINDS: dict[str, Callable[[str], tuple[str, object]]] = {
    cmdmon.PREFIX: cmdmon.name,
    "": sntp.address,
}
"""What a source begins with -> what reads it; the first that fits."""


def kind(source: str) -> str:
    """Return which of ``KINDS`` a source is of; digits behind it are the port of a server that has a kind's name."""
    return next(each for each in KINDS if source.startswith(each) and not (each and source[len(each) :].isdigit()))


def place(source: str) -> tuple[str, object]:
    """Return what tells a source from all others; BadInput if it is none."""
    return KINDS[kind(source)](source)
