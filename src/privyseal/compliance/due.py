"""One duty with a clock: from when, until when, and how it stands at a moment.

The states, and how one gets there:

* ``unknown``: nobody knows from when the clock runs, or for how long. Unknown is never in time.
* ``clock-set-back``: the clock starts after the moment asked. Either a clock was set back or the fact is wrong; nothing
  else is said before that is cleared up.
* ``in-time``, then ``warning`` from the warning on, then ``breached`` one second after the time that is due.
* ``done`` where it was done in time. What was done too late stays ``breached``: the duty was broken.
* ``lapsed``: what ended is a permission, and nothing is broken until somebody uses it.

What had not yet happened at the moment asked is not taken into account, so any day of the past can be asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum

import msgspec

from privyseal.compliance import spans
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.requirement import DatedBy, Nature


class State(StrEnum):
    """How a duty stands; the order is that of urgency, the worst first."""

    BREACHED = "breached"
    CLOCK_SET_BACK = "clock-set-back"
    WARNING = "warning"
    UNKNOWN = "unknown"
    LAPSED = "lapsed"
    IN_TIME = "in-time"
    DONE = "done"


URGENCY: dict[State, int] = {state: position for position, state in enumerate(State)}
"""0 is the worst."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """How one duty stands at the moment that was asked about; all times in UTC."""

    requirement: str
    """The id in the catalogue."""
    clause: str
    """As it is cited: ``CSBR 9.6.5``."""
    nature: Nature
    """What the time rests on, which can differ from what the requirement rests on: a clause that says *at once* has no
    hours, and the hours are then a house rule."""
    what: str
    """What has to be done, without the one for whom."""
    whom: str
    """What or whom it is about: an incident, a CA, a period, a member."""
    starts: datetime | None
    warning: datetime | None
    due: datetime | None
    """The last second that is in time."""
    state: State
    text: str
    """The sentence."""


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """What the facts say of one duty, before the moment is known for which it is read."""

    requirement: str
    what: str
    whom: str
    nature: Nature = Nature.TEXT
    starts: datetime | None = None
    warning: datetime | None = None
    due: datetime | None = None
    done: datetime | None = None
    note: str = ""
    """Said behind the sentence in every state."""
    unknown: str = ""
    """Said instead of it where start or end are not known: what to find out."""
    governed: date | None = None
    """The day that decides whether the clause binds, where that is not the day on which the clock starts."""
    permission: bool = False
    """The end breaks nothing: something may no longer be used."""


def read(clock: Clock, at: datetime, choices: Mapping[str, str]) -> Due | None:
    """Return how a duty stands at ``at``; None where its clause did not bind."""
    requirement = BY_ID[clock.requirement]
    if not requirement.binding_since(dict(choices)).on(_governing(clock, at)):
        return None
    state, text = _state(clock, at)
    return Due(
        requirement=clock.requirement,
        clause=requirement.cited,
        nature=clock.nature,
        what=clock.what,
        whom=clock.whom,
        starts=_utc(clock.starts),
        warning=_utc(clock.warning),
        due=_utc(clock.due),
        state=state,
        text=f"{text} {clock.note}".strip(),
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _governing(clock: Clock, at: datetime) -> date:
    if clock.governed is not None:
        return clock.governed
    by_day = BY_ID[clock.requirement].dated_by is DatedBy.DAY
    return (at if by_day or clock.starts is None else clock.starts).astimezone(UTC).date()


def _state(clock: Clock, at: datetime) -> tuple[State, str]:
    if clock.starts is None:
        return State.UNKNOWN, clock.unknown or "Nobody knows from when the time runs."
    if spans.after(clock.starts, at):
        return State.CLOCK_SET_BACK, (
            f"It starts on {shown(clock.starts)}, after the moment asked about ({shown(at)}): a clock was set back, or"
            " the fact is wrong."
        )
    if clock.due is None:
        return State.UNKNOWN, clock.unknown or "Nobody knows how long it may take."
    if clock.done is not None and not spans.after(clock.done, at):
        if spans.after(clock.done, clock.due):
            late = spans.in_words(clock.done - clock.due)
            return State.BREACHED, f"Done on {shown(clock.done)}, {late} after it was due."
        return State.DONE, f"Done on {shown(clock.done)}, in time."
    left = spans.in_words(clock.due - at)
    if spans.after(at, clock.due):
        if clock.permission:
            return State.LAPSED, f"Lapsed {left} ago."
        return State.BREACHED, f"It was due {left} ago, and is not known to be done."
    if clock.warning is not None and at >= clock.warning:
        return State.WARNING, f"Due in {left}."
    return State.IN_TIME, f"Due in {left}."


def shown(moment: datetime) -> str:
    """Return a moment as people read it, in UTC; a day's last second as the day alone."""
    utc = moment.astimezone(UTC)
    if (utc.hour, utc.minute, utc.second) == (23, 59, 59):
        return utc.strftime("%Y-%m-%d")
    return utc.strftime("%Y-%m-%d %H:%M:%SZ" if utc.second else "%Y-%m-%d %H:%MZ")
