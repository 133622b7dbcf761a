"""A real file system that is full: a small tmpfs holds the whole service, and something else eats its space."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.invariants import Outsider
from tests.crash.real_rooms import UNSAID, place_of

from privyseal.errors import PrivySealError

LEFT = (0, 4096, 8192, 16384, 24576, 32768, 49152, 65536, 98304, 131072)
"""Octets that are left free, so that the space runs out at one write after the other."""


@dataclass
class Figures:
    """What was said while the disk was full."""

    times: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)


@contextmanager
def small_disk(place: Path, megabytes: int, mode: str = "700") -> Iterator[None]:
    """Mount a tmpfs of this size; only root can, and CI is root."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode={mode}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def campaign(founded: Path, folder: Path) -> Figures:
    """Fill the disk again and again, ask, make room, and see everybody served; AssertionError otherwise."""
    figures = Figures()
    disk = folder / "disk"
    with small_disk(disk, 6):
        world = place_of(founded, disk, "w")
        try:
            assert world.session().given
            for left in LEFT:
                ballast = disk / "ballast"
                fill(ballast, left)
                for _ in range(3):
                    client = world.client(1000 + figures.times, timestamp=False)
                    figures.times += 1
                    for outcome in world._ask_safely([client]):
                        if isinstance(outcome, PrivySealError):
                            figures.refused[outcome.code] += 1
                ballast.unlink()
                figures.exits.update(world.revive())
                world.insist()
                assert all(ledger.given for ledger in world.ledgers), world.said()
                world.check()
            assert not [word for word in UNSAID if word in world.said()], world.said()
        finally:
            world.stop()
        assert Outsider(world.directory).check([]) >= 2 * figures.times
    return figures


def fill(ballast: Path, left: int) -> None:
    """Take all space but ``left`` octets, page by page."""
    status = os.statvfs(ballast.parent)
    free = status.f_bavail * status.f_frsize - left
    with ballast.open("wb", buffering=0) as file:
        try:
            for _ in range(max(0, free) // 4096):
                file.write(bytes(4096))
        except OSError:
            return
