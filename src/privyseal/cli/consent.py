"""Whether the person at the terminal agrees."""

from __future__ import annotations

import sys

import click

from privyseal.errors import Misused


def given(names: str) -> bool:
    """Ask on the terminal; Misused where there is none, for consent that nobody gave is none.

    ``names`` says as whom, as people are shown it.
    """
    if not sys.stdin.isatty():
        raise Misused("There is no terminal to ask on.", hint="--yes agrees without being asked")
    return click.confirm(f"Agree as {names}?", default=False, err=True)
