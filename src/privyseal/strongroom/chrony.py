"""Asks the chronyd of this machine about its sources, by the port at which it only tells: a way to time under NTS.

What chronyd measured before somebody else set the clock is of a clock that is no more, and chronyd does not know. So a
measurement counts only if it was made while we saw the machine's clock and the steady count keep their distance. At
the beginning, and after each step, that is the next one: have chronyd measure every 64 s (``maxpoll 6``).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial

from privyseal.errors import BadInput
from privyseal.timestamp import cmdmon
from privyseal.timestamp.clock import MARGIN, Heard
from privyseal.timestamp.cmdmon import Measured
from privyseal.timestamp.sntp import Leap, Silence

ANSWER_SECONDS = 1.0
"""Seconds for all answers of one round; chronyd is on this machine and takes a tenth of a millisecond for one."""
MAX_OCTETS = 1024
"""Octets of an answer that are read; the longest has 284."""

_LOOKS = 5
"""Times that both counts are read, for one time without anything in between."""


class Chrony:
    """One chronyd. It remembers what was measured before the clock was last set."""

    def __init__(
        self,
        sources: Iterable[str],
        port: int,
        wall: Callable[[], float] = time.time,
        count: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask at ``port`` of this machine about ``sources``, each written ``chrony:NAME``, by the name or the address
        that chrony.conf has. ``wall`` is the clock that chronyd keeps, ``count`` the steady one."""
        self._sources = {cmdmon.name(each)[1]: each for each in sources}
        self._port = port
        self._wall = wall
        self._count = count
        self._base: float | None = None
        self._before: dict[bytes, float] = {}

    def round(self) -> dict[str, Heard]:
        """Ask once about each source, and return what came of it, by source."""
        if not self._sources:
            return {}
        try:
            base = self._distance()
            correction, leap, found = self._ask()
            now = self._distance()
        except (OSError, BadInput) as error:
            why = f"chronyd cannot be asked: {error.detail if isinstance(error, BadInput) else error.strerror or error}"
            return {each: Silence(each, self._count(), why.rstrip(".") + ".") for each in self._sources.values()}
        # Small steps add up until they are seen, for the distance is held against that of the last step that was.
        if self._base is None or abs(now - self._base) > MARGIN or abs(now - base) > MARGIN:
            self._before = {each.place: each.original for _, each in found}
            self._base = now
        heard: dict[str, Heard] = {}
        for names, each in found:
            for source in (self._sources[one] for one in names if one in self._sources):
                heard[source] = self._heard(source, each, (correction, leap), now)
        for source in self._sources.values():
            heard.setdefault(source, Silence(source, self._count(), "chronyd has no source of this name."))
        return heard

    def _heard(self, source: str, measured: Measured, tracked: tuple[float, Leap], distance: float) -> Heard:
        if self._before.get(measured.place) == measured.original:
            return Silence(
                source, self._count(), "chronyd has not measured it since the clock was set, or since we look."
            )
        self._before.pop(measured.place, None)
        try:
            steady = self._count()
            return measured.reading(source, *tracked, distance + steady, steady)
        except BadInput as error:
            return Silence(source, self._count(), error.detail)

    def _ask(self) -> tuple[float, Leap, list[tuple[set[str], Measured]]]:
        """Ask for everything; OSError, TimeoutError among them, or BadInput where something is not told."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            door.connect(("127.0.0.1", self._port))
            until = self._count() + ANSWER_SECONDS

            def asked(question: Callable[[int], bytes]) -> tuple[bytes, int]:
                number = int.from_bytes(os.urandom(4), "big")
                door.send(question(number))
                while (left := until - self._count()) > 0:
                    door.settimeout(left)
                    octets = door.recv(MAX_OCTETS)
                    if octets[16:20] == number.to_bytes(4, "big"):
                        return octets, number
                raise TimeoutError("it did not answer in time")

            correction, leap = cmdmon.read_tracking(*asked(cmdmon.ask_tracking))
            found = []
            for place in range(cmdmon.read_count(*asked(cmdmon.ask_count))):
                measured = cmdmon.read_source(*asked(partial(cmdmon.ask_source, place=place)))
                named = cmdmon.read_name(*asked(partial(cmdmon.ask_name, source=measured)))
                found.append(({named.lower(), measured.address}, measured))
            return correction, leap, found

    def _distance(self) -> float:
        """Return the clock minus the steady count, of several looks the one that took the shortest."""
        looks = []
        for _ in range(_LOOKS):
            before = self._count()
            wall = self._wall()
            after = self._count()
            looks.append((after - before, wall - (before + after) / 2))
        return min(looks)[1]
