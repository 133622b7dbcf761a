"""What statements on timestamps show of the clauses on Timestamp Authorities (CSBR 5.4.1.2, 6.3.2, 6.8). Pure.

Where the times alone decide, a record comes with its verdict; where a person has to judge, it is evidence and no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from privyseal.compliance.held import Held, Review
from privyseal.compliance.known import SERVICE, of_key
from privyseal.compliance.periods import months_after
from privyseal.compliance.statements import Stated
from privyseal.compliance.statements_of_timestamps import StamperNoted, TimestampKeyRemoved, TimestampKeyUsed

SYNCHRONISED = timedelta(hours=24)
"""CSBR 6.8: the clock is synchronised at least so often."""
REMOVED_MONTHS = 18
"""CSBR 6.3.2: a timestamp key has left its module so long after its certificate was issued."""
CONFIGURATION, STEPS, STARTS = "CSBR-5.4.1.2-02", "CSBR-5.4.1.2-06", "CSBR-5.4.1.2-07"
SYNC, DRIFT, ADJUSTMENTS, LEAP = "CSBR-6.8-04", "CSBR-6.8-05", "CSBR-6.8-06", "CSBR-6.8-03"
REMOVAL, WITNESSED = "CSBR-6.3.2-05", "CSBR-6.3.2-06"

About = tuple[str, Held]
Verdict = Literal["met", "not-met"]


def keys(stated: Iterable[Stated]) -> tuple[TimestampKeyUsed, ...]:
    """Return every key that signed timestamps, as it was stated last, given the last of each slot."""
    return tuple(each.said.matter for each in stated if isinstance(each.said.matter, TimestampKeyUsed))


def records(stated: Sequence[Stated]) -> list[About]:
    """Return what the stampers' diaries and the removals of their keys show, as records of the log."""
    diary = [each for each in stated if isinstance(each.said.matter, StamperNoted)]
    found = [(SERVICE, each) for each in _diary(diary)] if diary else []
    for each in stated:
        if isinstance(each.said.matter, TimestampKeyRemoved):
            found += [(of_key(each.said.matter.key_id), record) for record in _removed(each, each.said.matter)]
    return found


def _diary(diary: Sequence[Stated]) -> list[Held]:
    noted = [each.said.matter for each in diary if isinstance(each.said.matter, StamperNoted)]
    counts = {
        what: sum(each.what == what for each in noted) for what in ("configured", "adjusted", "started", "stopped")
    }
    since = f"since {noted[0].at:%Y-%m-%d}"
    crashes = _unstopped(noted)
    last = diary[-1]
    found = [
        _record(last, "log:change", CONFIGURATION, f"each of {counts['configured']} configurations {since} is there"),
        _record(last, "log:clock", STEPS, f"each of {counts['adjusted']} steps of a second or more {since} is there"),
        _record(last, "log:clock", ADJUSTMENTS),
        _record(last, "log:change", ADJUSTMENTS),
        _record(last, "log:clock", LEAP),
        _record(last, "log:clock", DRIFT),
    ]
    starts = f"{counts['started']} starts and {counts['stopped']} stops {since}"
    found.append(_record(last, "log:system", STARTS, "" if crashes else f"{starts}, by turns"))
    if any(each.what == "refused" for each in noted):
        found.append(_record(last, "log:alert", DRIFT))
    if (sync := _synchronised(last, noted)) is not None:
        found.append(sync)
    return found


def _unstopped(noted: Sequence[StamperNoted]) -> int:
    """Return how often a stamper started without having stopped before, of any one's books."""
    running: dict[str, bool] = {}
    found = 0
    for each in noted:
        if each.what in ("started", "stopped"):
            found += each.what == "started" and running.get(each.books, False)
            running[each.books] = each.what == "started"
    return found


def _synchronised(last: Stated, noted: Sequence[StamperNoted]) -> Held | None:
    """Return the record of synchronisations; None where no time servers are asked.

    Between two of them are at most 24 hours, except where no time was given in between.
    """
    marks: dict[str, datetime] = {}
    seen: datetime | None = None
    worst = timedelta()
    for each in noted:
        if each.what in ("trusted", "synchronised") and each.detail.startswith("Offset "):
            if each.books in marks:
                worst = max(worst, each.at - marks[each.books])
            marks[each.books] = seen = each.at
        elif each.what in ("refused", "stopped", "started"):
            marks.pop(each.books, None)
    if seen is None:
        return None
    hours = worst.total_seconds() / 3600
    verdict: Verdict = "met" if worst <= SYNCHRONISED else "not-met"
    words = f"between two synchronisations while time was given are at most {hours:.1f} hours"
    until = (seen + SYNCHRONISED).astimezone(UTC).date()
    return _record(last, "log:clock", SYNC, words, verdict, until)


def _removed(stated: Stated, removed: TimestampKeyRemoved) -> list[Held]:
    """Return the log's entry and the ceremony's record for either clause: both want both kinds."""
    deadline = months_after(removed.issued, REMOVED_MONTHS)
    in_time: Verdict = "met" if removed.removed <= deadline else "not-met"
    when = f"it was removed on {removed.removed:%Y-%m-%d}, {REMOVED_MONTHS} months were over on {deadline:%Y-%m-%d}"
    who = f"{len(removed.witnesses)} witnesses signed: {', '.join(removed.witnesses)}"
    both = ("log:key", "key-deletion-ceremony")
    return [
        _record(stated, kind, clause, words, verdict)
        for clause, words, verdict in ((REMOVAL, when, in_time), (WITNESSED, who, "met"))
        for kind in both
    ]


def _record(
    stated: Stated, kind: str, requirement: str, words: str = "", verdict: Verdict = "met", until: date | None = None
) -> Held:
    """Return a dated record of the log; without ``words`` it is evidence that a person has to judge."""
    day = stated.said.at.astimezone(UTC).date()
    review = Review(
        requirement=requirement, verdict=verdict, who=f"The log's record of {day}", at=stated.said.at, why=words
    )
    return Held(
        kind=kind,
        sha256=hashlib.sha256(stated.octets).hexdigest(),
        clauses=(requirement,),
        valid_until=until,
        reviews=(review,) if words else (),
    )
