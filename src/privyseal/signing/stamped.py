"""What statements on timestamps show of the clauses on Timestamp Authorities (CSBR 5.4.1.2, 6.3.2, 6.8). Pure.

Where the times alone decide, a record comes with its verdict; where a person has to judge, it is evidence and no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from privyseal.compliance.clocks_timestamps import REMOVED_MONTHS, RENEW_BEFORE, must_go, signs_until
from privyseal.compliance.held import Held, Review
from privyseal.compliance.known import SERVICE, Known, of_key
from privyseal.compliance.periods import months_after
from privyseal.compliance.statements import Stated
from privyseal.compliance.statements_of_timestamps import (
    BooksCompared,
    StamperNoted,
    TimestampKeyRemoved,
    TimestampKeyUsed,
)

SYNCHRONISED = timedelta(hours=24)
"""CSBR 6.8: the clock is synchronised at least so often."""
COMPARED = timedelta(days=2)
"""House rule: how long a comparison of the stamper's books with the log speaks; one is made every day."""
CONFIGURATION, STEPS, STARTS = "CSBR-5.4.1.2-02", "CSBR-5.4.1.2-06", "CSBR-5.4.1.2-07"
TAMPERING, SECURITY = "CSBR-5.4.1.2-03", "CSBR-5.4.1.2-04"
SYNC, DRIFT, ADJUSTMENTS, LEAP = "CSBR-6.8-04", "CSBR-6.8-05", "CSBR-6.8-06", "CSBR-6.8-03"
REMOVAL, WITNESSED = "CSBR-6.3.2-05", "CSBR-6.3.2-06"
REMOVALS = ("log:key", "key-deletion-ceremony")
"""Kinds of records that either clause on removals wants."""

About = tuple[str, Held]
"""A subject by its label, and a record of the log about it."""
Verdict = Literal["met", "not-met"]
"""What the record of a duty says of it."""


def keys(stated: Iterable[Stated]) -> tuple[TimestampKeyUsed, ...]:
    """Return every key that signed timestamps, as it was stated last, given the last of each slot."""
    return tuple(each.said.matter for each in stated if isinstance(each.said.matter, TimestampKeyUsed))


def removed(stated: Iterable[Stated]) -> frozenset[str]:
    """Return the ids of the keys that were removed before witnesses."""
    return frozenset(each.said.matter.key_id for each in stated if isinstance(each.said.matter, TimestampKeyRemoved))


def reminders(known: Known, at: datetime) -> tuple[str, ...]:
    """Say what is to be done with timestamp keys at a moment: another one to be made, old ones to be removed."""
    found: list[str] = []
    for place, each in enumerate(known.timestamp_keys):
        name, until = each.key_id[:16], signs_until(each.issued, each.until)
        last = place == len(known.timestamp_keys) - 1
        if last and at >= until - RENEW_BEFORE:
            found.append(f"Make a new timestamp key: {name} signs until {until:%Y-%m-%d} (privyseal tsa renew).")
        if not must_go(each.issued, each.until) or each.key_id in known.timestamp_keys_removed or at < until:
            continue
        deadline = months_after(each.issued, REMOVED_MONTHS)
        words = f"by {deadline:%Y-%m-%d}" if at <= deadline else f"now; it was due by {deadline:%Y-%m-%d}"
        found.append(f"Remove the timestamp key {name} before two witnesses {words} (privyseal tsa remove-key).")
    return tuple(found)


def records(stated: Sequence[Stated]) -> list[About]:
    """Return what the stampers' diaries and the removals of their keys show, as records of the log."""
    diary = [each for each in stated if isinstance(each.said.matter, StamperNoted)]
    found = [(SERVICE, each) for each in _diary(diary)] if diary else []
    for each in stated:
        if isinstance(each.said.matter, TimestampKeyRemoved):
            found += [(of_key(each.said.matter.key_id), record) for record in _removed(each, each.said.matter)]
    compared = {each.slot: each for each in stated if isinstance(each.said.matter, BooksCompared)}
    found += [(SERVICE, record) for each in compared.values() for record in _compared(each)]
    gone = removed(stated)
    last = {each.said.matter.key_id: each for each in stated if isinstance(each.said.matter, TimestampKeyUsed)}
    for key_id, each in last.items():
        if key_id not in gone and isinstance(used := each.said.matter, TimestampKeyUsed):
            found += [(of_key(key_id), record) for record in _still_there(each, used)]
    return found


def _compared(stated: Stated) -> list[Held]:
    """Return what the last comparison of a stamper's books with the log shows of attempts to change them."""
    matter = stated.said.matter
    if not isinstance(matter, BooksCompared):
        return []
    words = f"{matter.entries} entries and {matter.batches} batches of the stamper's books are as the log has them"
    until = (matter.at + COMPARED).astimezone(UTC).date()
    said = "" if matter.altered else words  # what was altered a person has to judge: that it is logged, it is
    return [_record(stated, kind, TAMPERING, said, until=until) for kind in ("log:alert", "log:integrity")]


def _still_there(stated: Stated, used: TimestampKeyUsed) -> list[Held]:
    """Return what holds from the day on which a key that nobody removed should have been gone."""
    if not must_go(used.issued, used.until):
        words = "its certificate ends before a removal is asked for"
        return [_record(stated, kind, each, words) for each in (REMOVAL, WITNESSED) for kind in REMOVALS]
    deadline = months_after(used.issued, REMOVED_MONTHS)
    words = f"{REMOVED_MONTHS} months were over on {deadline:%Y-%m-%d}, and no removal is known"
    late = Review(requirement=REMOVAL, verdict="not-met", who="The service's own records", at=deadline, why=words)
    digest = hashlib.sha256(stated.octets).hexdigest()
    return [Held(kind="log:key", sha256=digest, clauses=(REMOVAL,), reviews=(late,), valid_from=deadline.date())]


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
        _record(last, "log:change", SECURITY),
        _record(last, "log:system", SECURITY),
    ]
    if any(each.what == "door" for each in noted):
        found.append(_record(last, "log:authentication", SECURITY))
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
    return [
        _record(stated, kind, clause, words, verdict)
        for clause, words, verdict in ((REMOVAL, when, in_time), (WITNESSED, who, "met"))
        for kind in REMOVALS
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
