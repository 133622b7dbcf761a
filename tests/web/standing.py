"""One application for one house after the other: to route 170 handlers takes a sixth of a second.

Only the desk behind them differs from house to house, so another one is put in its place. As many applications are made
as houses stand at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from litestar.types import ASGIApp

from privyseal.web import app
from privyseal.web.desk import Desk


class _Stand(Desk):
    """Is the desk that stands behind it."""

    def __init__(self) -> None:
        """Stand before none yet."""

    def __getattribute__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "behind"), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(object.__getattribute__(self, "behind"), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(object.__getattribute__(self, "behind"), name)


_free: list[tuple[_Stand, ASGIApp]] = []


@contextmanager
def application(desk: Desk) -> Iterator[ASGIApp]:
    """Give the application over a desk, to be started and stopped once, until the block ends."""
    stand, built = _free.pop() if _free else _new()
    object.__setattr__(stand, "behind", desk)
    yield built
    _free.append((stand, built))  # not after a failure, which may leave one half stopped


def _new() -> tuple[_Stand, ASGIApp]:
    stand = _Stand()
    return stand, app.build(stand)
