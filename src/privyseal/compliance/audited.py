"""The audit of a Signing Service: by which clause, under which scheme, and from which period on (CSBR 8.1, 8.4.2).

An audit period is under the clauses that bound on its first day. So a period that began before the first day of 8.4.2
stays under 8.1 to its end, and there is no period that no clause has audited.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import date, timedelta

import msgspec

from privyseal.compliance.catalogue import BY_ID

CLAUSES = ("CSBR-8.1-90", "CSBR-8.1-04", "CSBR-8.4.2-01", "CSBR-8.4.2-02", "CSBR-8.4.2-03")
"""What has a Signing Service audited, in the order in which it came."""

SCHEMES = (
    "WebTrust for Code Signing 2.0 or later, with WebTrust for Network Security 1.0 or later",
    "ETSI EN 319 411-1, with EN 319 401",
)
"""What 8.4.2 allows; one is enough."""

BEFORE = ("the CA's own scheme (8.4.1), within the CA's audit or in a report of its own",)
"""What 8.1 allows for periods that began before."""

_FIRST_PERIODS = date(2019, 8, 13)
"""Nothing bound a period that began before version 1.2, so such a period counts as begun on that day."""


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The audit that is due for a Signing Service on a day."""

    clauses: tuple[str, ...]
    """Ids of the requirements that have it audited."""
    schemes: tuple[str, ...]
    """Any one of these will do."""
    first_day: date
    """From which day the start of a period puts it under 8.4.2, by the reading that was chosen."""
    first_period: date | None
    """The first day of the first such period; None where it is not known when its periods start."""
    text: str


def audit_of(bound: Set[str], day: date, starts: date | None, choices: Mapping[str, str]) -> Audit:
    """Return the audit that is due on ``day``, where the requirements ``bound`` bind.

    ``starts`` is the first day of any of its periods, which are taken to be a year long each.
    """
    first_day = BY_ID["CSBR-8.4.2-01"].binding_since(dict(choices)).since
    clauses = tuple(each for each in CLAUSES if each in bound)
    own = "CSBR-8.4.2-01" in clauses
    first_period = None if starts is None else _first_from(starts, first_day)
    return Audit(
        clauses=clauses,
        schemes=SCHEMES if own else BEFORE,
        first_day=first_day,
        first_period=first_period,
        text=_text(own, first_day, first_period, day),
    )


def governing_day(day: date, starts: date | None) -> date:
    """Return the first day of the audit period under way on ``day``; ``day`` itself where no start is known."""
    if starts is None:
        return day
    began = _anniversary(starts, day.year)
    if began > day:
        began = _anniversary(starts, day.year - 1)
    return max(began, _FIRST_PERIODS)


def _first_from(starts: date, first: date) -> date:
    """Return the first day on ``first`` or later on which a period starts, counting by years from ``starts``."""
    began = _anniversary(starts, first.year)
    return began if began >= first else _anniversary(starts, first.year + 1)


def _anniversary(starts: date, year: int) -> date:
    """Return the day in another year; 29 February is 1 March where there is none."""
    try:
        return starts.replace(year=year)
    except ValueError:
        return date(year, 3, 1)


def _text(own: bool, first_day: date, first_period: date | None, day: date) -> str:
    if first_period is not None:
        tense = "began" if first_period <= day else "begins"
        return f"The first period under 8.4.2 {tense} on {first_period}; until then 8.1 has it audited."
    if not own:
        return f"8.1 has it audited until its first period that starts on {first_day} or later, which is under 8.4.2."
    if day - first_day < timedelta(days=366):
        return f"A period that started before {first_day} is under 8.1 to its end; the next is under 8.4.2."
    return f"Each period since the first that started on {first_day} or later is under 8.4.2."
