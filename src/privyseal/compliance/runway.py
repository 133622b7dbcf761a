"""When a ballot could bind at the earliest, and how much time those get who are bound.

Business days are Monday to Friday: holidays are not known, so the latest dates may lie later still.
"""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from privyseal.compliance.ballots import Ballot, Period, Phrase
from privyseal.compliance.voting import Facts, Guideline, Rules

SATURDAY = 5
"""Of ``date.weekday()``."""


class Milestone(msgspec.Struct, frozen=True):
    """One step on the way into force: the earliest day, and the latest that the rules allow where they say so."""

    name: str
    earliest: date
    latest: date | None = None
    given: bool = False
    """The day was given, not computed."""


class Binding(msgspec.Struct, frozen=True):
    """One date of the ballot, held against the day of its adoption."""

    phrase: Phrase
    first_day: date
    runway_days: int
    """Days between the earliest adoption and the first day; negative where it would bind before it is adopted."""
    text: str
    requirements: tuple[str, ...] = ()


class Runway(msgspec.Struct, frozen=True):
    """All dates that follow from a ballot's own."""

    milestones: tuple[Milestone, ...]
    bindings: tuple[Binding, ...]
    problems: tuple[str, ...]

    def named(self, name: str) -> Milestone | None:
        """Return one milestone; None where its day cannot be told."""
        return next((each for each in self.milestones if each.name == name), None)


def business_days_after(day: date, count: int) -> date:
    """Return the ``count``-th Monday to Friday after ``day``."""
    while count > 0:
        day += timedelta(days=1)
        count -= day.weekday() < SATURDAY
    return day


def runway(ballot: Ballot, facts: Facts, by: Rules) -> Runway:
    """Compute the dates of a ballot from those that are given."""
    try:
        return _runway(ballot, facts, by)
    except OverflowError:
        return Runway((), (), ("Its dates lead beyond the year 9999.",))


def _runway(ballot: Ballot, facts: Facts, by: Rules) -> Runway:
    milestones = _milestones(ballot, facts, by)
    if ballot.adopted_on is not None:
        milestones = tuple(each for each in milestones if each.name not in ("adopted", "binds"))
        milestones += (Milestone("adopted", ballot.adopted_on, given=True),)
    adopted = next((each.earliest for each in milestones if each.name == "adopted"), None)
    if adopted is None:
        return Runway(milestones, (), ("No date can be told: when discussion, vote or review begins is not known.",))
    bindings = tuple(
        Binding(each.phrase, each.first_day, (each.first_day - adopted).days, each.text, each.requirements)
        for each in ballot.takes_force
    )
    return Runway(milestones, bindings, _problems(bindings, facts))


def _milestones(ballot: Ballot, facts: Facts, by: Rules) -> tuple[Milestone, ...]:
    discussion, voting, review = (each or Period() for each in (ballot.discussion, ballot.voting, ballot.review))
    found: list[Milestone] = []
    start = _first(
        found, "vote begins", voting.start, _after(discussion.start, by.discussion.at_least_days), discussion.end
    )
    end = _first(found, "vote ends", voting.end, _after(start, by.voting.exactly_days))
    if review.start is not None:
        found.append(Milestone("review begins", review.start, given=True))
    elif end is not None:
        announced = business_days_after(end, by.announcement.within_business_days)
        latest = business_days_after(announced, by.review.starts_within_business_days)
        found.append(Milestone("review begins", end, latest))
    days = by.review.final_days if facts.guideline is Guideline.FINAL else by.review.maintenance_days
    begins = found[-1] if found and found[-1].name == "review begins" else None
    if review.end is not None:
        found += [Milestone("review ends", review.end, given=True), Milestone("adopted", review.end)]
    elif begins is not None:
        last = _after(begins.latest, days)
        found += [Milestone(name, begins.earliest + timedelta(days=days), last) for name in ("review ends", "adopted")]
    if facts.runway_days is not None and found and found[-1].name == "adopted":
        wait = facts.runway_days
        found.append(Milestone("binds", found[-1].earliest + timedelta(days=wait), _after(found[-1].latest, wait)))
    return tuple(found)


def _first(found: list[Milestone], name: str, given: date | None, *computed: date | None) -> date | None:
    """Note a day that is given, or else the latest of those that have to be waited for; return it."""
    known = [each for each in computed if each is not None]
    day = given or (max(known) if known else None)
    if day is not None:
        found.append(Milestone(name, day, given=given is not None))
    return day


def _after(day: date | None, days: int) -> date | None:
    return None if day is None else day + timedelta(days=days)


def _problems(bindings: tuple[Binding, ...], facts: Facts) -> tuple[str, ...]:
    problems = []
    for each in bindings:
        if each.runway_days < 0:
            problems.append(f"It would bind on {each.first_day}, {-each.runway_days} days before it can be adopted.")
        elif facts.runway_days is not None and each.runway_days < facts.runway_days:
            problems.append(f"{each.first_day} leaves {each.runway_days} days; {facts.runway_days} were promised.")
    return tuple(problems)
