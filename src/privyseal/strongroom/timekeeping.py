"""The stamper's clock, watched: each reading of it is judged, and what an auditor wants to know is written down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from privyseal.errors import PrivySealError, TimestampUnavailable
from privyseal.strongroom.stamps import Stamps
from privyseal.strongroom.timesource import TimeServers, steady
from privyseal.timestamp.clock import ClockState, Timekeeper

LOOK_SECONDS = 0.5
"""How often the clock is looked at where nobody asks for the time: what is wrong is noted within a second."""


class Timekeeping:
    """A clock that is called for the time, or raises TimestampUnavailable while it cannot be believed.

    Safe to use from several threads.
    """

    def __init__(
        self,
        keeper: Timekeeper,
        stamps: Stamps,
        clock: Callable[[], datetime],
        count: Callable[[], float] = steady,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Judge ``clock`` by ``keeper`` against the steady ``count``, and write into ``stamps``.

        ``note`` tells whoever keeps the process's standard error.
        """
        self._keeper = keeper
        self._stamps = stamps
        self._clock = clock
        self._count = count
        self._note = note
        self._guard = threading.Lock()
        self._ending = threading.Event()
        self._unwritten: list[tuple[str, str]] = []  # what a failing disk did not take yet; no time is given meanwhile
        self.lost = False

    def __call__(self) -> datetime:
        """Return the time; TimestampUnavailable with the reason where the clock must not be believed."""
        with self._guard:
            wall, why = self._look()
        if why:
            raise TimestampUnavailable(why, hint="look at the clock of the machine and at its time servers")
        return wall

    def wall(self) -> datetime:
        """Return what the clock says, right or wrong."""
        return self._clock()

    def state(self) -> ClockState:
        """Return how the clock stands."""
        with self._guard:
            wall, _ = self._look()
            return self._keeper.state(wall.timestamp(), self._count())

    def watch(self, servers: TimeServers) -> None:
        """Take in what the servers say, and look at the clock twice a second, until the end, in a thread of its own."""
        while not self._ending.is_set():
            heard = servers.round(LOOK_SECONDS)
            if heard is None and self._ending.is_set():
                return
            if heard is None:
                self._note("the process that asks the time servers has ended")
                self.lost = True  # a fresh one starts with a fresh stamper, for this one can start nothing any more
                return
            try:
                with self._guard:
                    if heard:
                        self._keeper.hear(heard)
                    self._look()
            except PrivySealError as error:
                self._note(str(error))

    def end(self) -> None:
        """Stop watching."""
        self._ending.set()

    def _look(self) -> tuple[datetime, str]:
        """Read both clocks together and judge the one by the other; what is noted must be on the disk."""
        before = self._count()
        wall = self._clock()
        why, noted = self._keeper.look(wall.timestamp(), (before + self._count()) / 2)
        self._unwritten += [(each.what, each.detail) for each in noted]
        if self._unwritten:
            for each in noted:
                if each.what in ("adjusted", "refused"):
                    self._note(f"clock {each.what}: {each.detail}")
            self._stamps.note(wall.astimezone(UTC), self._unwritten)
            self._unwritten = []
        return wall, why
