"""Whether the machine's clock may be believed: by a majority of time servers, and by a count that nobody sets.

The servers are held against the *steady* count (since boot, sleep included), never against the clock: what they agree
on says what UTC is at any moment until they agree again. The clock is compared with that for each timestamp, so a clock
that is turned is found out at once, in either direction, without asking anybody.

That no timestamps are given then is a house rule. CSBR 6.8 asks that a drift or jump is detected and reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

import msgspec

from privyseal.timestamp.sntp import Leap, Reading, Silence

LIMIT = 1.0
"""Seconds by which the clock may be off, and the step from which on it is an adjustment to be logged (CSBR 6.8)."""
HOLD = 24 * 3600.0
"""Seconds for which what the servers last agreed on is believed (CSBR 6.8: synchronised at least every 24 hours)."""
LEAST_SOURCES = 4
"""Servers to ask: of four, one may be wrong and the others still are three who agree."""
MARGIN = 0.05
"""Seconds added to the distance of each reading, for what a busy machine adds between packet and clock."""
ROUNDING = 0.01
"""Seconds within which two clocks are read one after the other."""
LEAP_PAUSE = 2.0
"""Seconds before and after a leap second in which no time is given: some clocks repeat a second, some smear it."""
REMEMBERED = 24 * 3600.0
"""Seconds over which the drift is measured."""
LEAST_SPAN = 600.0
"""Seconds below which a drift says nothing."""
SYNCHRONISED_EVERY = 6 * 3600.0
"""Seconds after which it is noted again that the servers agree."""

NOT_YET = "The time servers have not agreed on the time yet."
"""Why no time is given before the first agreement."""

Heard: TypeAlias = Reading | Silence
"""What came of one question to one server."""
Kind = Literal["adjusted", "refused", "trusted", "synchronised", "leap"]
"""What is noted of the clock: a step, that time is refused or given again, an agreement, a leap second."""


class Noted(msgspec.Struct, frozen=True):
    """Something about the clock that an auditor wants to know of."""

    what: Kind
    detail: str


class Agreement(msgspec.Struct, frozen=True):
    """What a majority of the servers agrees on."""

    utc: float
    """UTC minus the steady count."""
    members: tuple[str, ...]
    leap: Leap


class SourceState(msgspec.Struct, frozen=True):
    """What one server said last."""

    name: str
    offset: float | None
    """Seconds by which the clock is ahead of it; None where it said nothing."""
    stratum: int | None
    why: str
    """Why it does not count; empty where it agrees with the others."""


class ClockState(msgspec.Struct, frozen=True, kw_only=True):
    """How the clock stands at a moment."""

    standing: Literal["agreed", "holding", "refusing", "unwatched"]
    """The servers agree; they are not heard, and what they said last still counts; no time is given; a rehearsal's
    clock, which is believed as it is."""
    why: str = ""
    offset: float | None = None
    """Seconds by which the clock is ahead of UTC, as the servers agree on it."""
    drift_ppm: float | None = None
    """Millionths by which the steady count runs faster than UTC, over up to a day."""
    agreed_at: datetime | None = None
    leap: Leap = ""
    sources: tuple[SourceState, ...] = ()


def needed(sources: int) -> int:
    """Return how many of the servers must agree: three of four, and as large a part of more."""
    return max(3, math.ceil(3 * sources / 4))


def agree(readings: Sequence[Reading], least: int) -> Agreement | None:
    """Return what at least so many of the readings agree on (Marzullo's algorithm, as RFC 5905 11.2.1 has it).

    Each reading is an interval in which UTC lies if its server is right. The times that most intervals have in common
    are what they agree on, and its middle is taken.
    """
    edges = sorted(
        edge
        for each in readings
        for edge in ((each.utc - _reach(each), -1), (each.utc + _reach(each), 1))  # at one place, begin before you end
    )
    best, depth, low, high = 0, 0, 0.0, 0.0
    for place, (at, kind) in enumerate(edges):
        depth -= kind
        if depth > best:
            best, low, high = depth, at, edges[place + 1][0]
    if best < least:
        return None
    utc = (low + high) / 2
    members = [each for each in readings if abs(each.utc - utc) <= _reach(each)]
    announced: list[Leap] = [leap for leap in ("insert", "delete") if _count(members, leap) >= least]
    return Agreement(utc, tuple(each.source for each in members), announced[0] if announced else "")


class Timekeeper:
    """Judges one clock by what servers say; it reads no clock itself, and one thread at a time uses it."""

    def __init__(self, sources: Sequence[str], *, limit: float = LIMIT, hold: float = HOLD) -> None:
        """Expect answers from ``sources``; without any, nothing but steps of the clock is found out."""
        self._sources = tuple(sources)
        self._needed = needed(len(sources))
        self._limit = limit
        self._hold = hold
        self._heard: dict[str, Heard] = {}
        self._agreement: Agreement | None = None
        self._agreed_at: float | None = None
        self._dissent = ""
        self._history: list[tuple[float, float]] = []
        self._leap: tuple[float, Leap] | None = None
        self._clock_base: float | None = None
        self._seen_base: float | None = None
        self._refusing: str | None = None
        self._noted_at = -math.inf

    def hear(self, heard: Iterable[Heard]) -> None:
        """Take what came of one round of questions; what was heard before of these servers is forgotten."""
        self._heard.update((each.source, each) for each in heard if each.source in self._sources)
        readings = [each for each in self._heard.values() if isinstance(each, Reading)]
        found = agree(readings, self._needed)
        if found is not None:
            self._take(found, max(each.at for each in readings))
            return
        strangers = len(readings) - (0 if self._agreement is None else self._near(readings, self._agreement.utc))
        if len(readings) >= self._needed or (self._agreement is not None and strangers > self._tolerated):
            largest = max((agreed for agreed in range(1, len(readings) + 1) if agree(readings, agreed)), default=0)
            self._dissent = (
                f"Of {len(self._sources)} time servers {len(readings)} answered, and no more than {largest} agree; "
                f"{self._needed} were expected to."
            )

    def judge(self, wall: float, steady: float) -> str:
        """Say why the clock, ``wall`` seconds since 1970, must not be believed now; empty where it may be."""
        if not self._sources:
            step = 0.0 if self._clock_base is None else wall - steady - self._clock_base
            return "" if abs(step) < self._limit - ROUNDING else _stepped(step)
        if self._agreement is None or self._agreed_at is None:
            return self._dissent or NOT_YET
        if self._dissent:
            return self._dissent
        if steady - self._agreed_at > self._hold:
            return f"The time servers have not agreed on the time for {(steady - self._agreed_at) / 3600:.0f} hours."
        utc = self._utc(steady)
        if self._leap is not None and abs(steady + self._agreement.utc - self._leap[0]) <= LEAP_PAUSE:
            return "A leap second is due; time is given again in a moment."
        if abs(wall - utc) > self._limit:
            return (
                f"The clock is {_seconds(abs(wall - utc))} {'ahead of' if wall > utc else 'behind'} the time servers."
            )
        return ""

    def look(self, wall: float, steady: float) -> tuple[str, list[Noted]]:
        """Judge, and return beside it what is to be noted because it is otherwise than at the last look."""
        noted: list[Noted] = []
        if step := self._step(wall - steady):
            noted.append(Noted("adjusted", f"The clock was set by {step:+.3f} s."))
        why = self.judge(wall, steady)
        if why and not self._refusing and why != NOT_YET:
            noted.append(Noted("refused", why))
        elif not why and self._refusing != "":
            noted.append(Noted("trusted", self._evidence(wall, steady)))
            self._noted_at = steady
        elif not why and self._sources and self._fresh(steady) and steady - self._noted_at >= SYNCHRONISED_EVERY:
            noted.append(Noted("synchronised", self._evidence(wall, steady)))
            self._noted_at = steady
        self._refusing = why
        return why, noted

    def state(self, wall: float, steady: float) -> ClockState:
        """Return how the clock stands."""
        why = self.judge(wall, steady)
        if not self._sources:
            return ClockState(standing="refusing" if why else "unwatched", why=why)
        known = self._agreement is not None and self._agreed_at is not None
        fresh = "agreed" if self._fresh(steady) else "holding"
        return ClockState(
            standing="refusing" if why else fresh,  # type: ignore[arg-type]  # one of two literals
            why=why,
            offset=round(wall - self._utc(steady), 6) if known else None,
            drift_ppm=self._drift(),
            agreed_at=datetime.fromtimestamp(self._utc(self._agreed_at), UTC) if self._agreed_at is not None else None,
            leap="" if self._agreement is None else self._agreement.leap,
            sources=tuple(self._said(name, wall - steady) for name in self._sources),
        )

    def _step(self, base: float) -> float:
        """Return by how much the clock was set since the last look, if that is a second or more, else 0.

        Both counts are slewed together, so what is between them changes only where somebody sets the clock. Small steps
        add up until they are a second.
        """
        if self._seen_base is None:
            self._seen_base = self._clock_base = base
        step = base - self._seen_base
        if abs(step) < LIMIT - ROUNDING:
            return 0.0
        self._seen_base = base
        return step

    @property
    def _tolerated(self) -> int:
        return len(self._sources) - self._needed

    def _take(self, found: Agreement, at: float) -> None:
        self._agreement, self._agreed_at, self._dissent = found, at, ""
        self._history = [each for each in self._history if at - each[0] <= REMEMBERED] or []
        if not self._history or at - self._history[-1][0] >= LEAST_SPAN / 10:
            self._history.append((at, found.utc))
        now = at + found.utc
        if found.leap:
            self._leap = (_end_of_month(now), found.leap)
        elif self._leap is not None and abs(now - self._leap[0]) > LEAP_PAUSE:
            self._leap = None  # it is over, or was taken back

    def _utc(self, steady: float) -> float:
        """Return UTC as POSIX counts it; a leap second that came since the last agreement is left out of the count."""
        assert self._agreement is not None and self._agreed_at is not None  # noqa: S101 - every caller has looked
        utc = steady + self._agreement.utc
        if self._leap is not None and self._agreed_at + self._agreement.utc <= self._leap[0] < utc:
            utc -= 1.0 if self._leap[1] == "insert" else -1.0
        return utc

    def _near(self, readings: Sequence[Reading], utc: float) -> int:
        return sum(abs(each.utc - utc) <= _reach(each) + LIMIT / 2 for each in readings)

    def _fresh(self, steady: float) -> bool:
        """Tell whether the last answers agreed, or are from before they are old."""
        heard = [each for each in self._heard.values() if isinstance(each, Reading)]
        return self._agreed_at is not None and len(heard) >= self._needed and not self._dissent

    def _drift(self) -> float | None:
        """Return how the steady count runs, from the first and the last agreement of a day."""
        if len(self._history) < 2 or self._history[-1][0] - self._history[0][0] < LEAST_SPAN:
            return None
        (first, early), (last, late) = self._history[0], self._history[-1]
        return round((early - late) / (last - first) * 1e6, 3)

    def _evidence(self, wall: float, steady: float) -> str:
        if not self._sources or self._agreement is None:
            return "The clock of this machine is believed as it is; a rehearsal asks no time servers."
        drift = self._drift()
        drifting = "" if drift is None else f", drift {drift:+.1f} ppm"
        members = ", ".join(self._agreement.members)
        return f"Offset {wall - self._utc(steady):+.3f} s{drifting}; these agree: {members}."[:1900]

    def _said(self, name: str, base: float) -> SourceState:
        heard = self._heard.get(name)
        if not isinstance(heard, Reading):
            return SourceState(name, None, None, "It was not asked yet." if heard is None else heard.why)
        agreed = self._agreement is not None and name in self._agreement.members and not self._dissent
        return SourceState(name, round(base - heard.utc, 6), heard.stratum, "" if agreed else "It disagrees.")


def _reach(reading: Reading) -> float:
    return reading.distance + MARGIN


def _count(readings: Sequence[Reading], leap: Leap) -> int:
    return sum(each.leap == leap for each in readings)


def _end_of_month(now: float) -> float:
    """Return the first moment of the next month, before which a leap second stands (RFC 5905 7.3: end of the month)."""
    day = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=32)).replace(day=1).timestamp()


def _stepped(step: float) -> str:
    return f"The clock was set by {step:+.1f} s, and no time server is asked which is right; set it back, or restart."


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"
