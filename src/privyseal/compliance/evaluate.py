"""Requirements and a subject in, findings out. Pure, so the law of any day can be applied to any day's facts.

Each requirement that is judged on the subject's kind gives at least one finding. A check that fails gives ``broken``
and stops nobody else; a requirement that was not in force on the day that governs gives none at all, unless
``everything`` is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Protocol

from privyseal.compliance.held import judged_by_documents
from privyseal.compliance.outcome import Finding, Outcome, Verdict, not_applicable, not_evidenced
from privyseal.compliance.requirement import Asked, DatedBy, Kind, Requirement, Scope


class Subject(Protocol):
    """Anything that requirements are judged on."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    @property
    def label(self) -> str:
        """How people tell it from others of its kind."""

    @property
    def scopes(self) -> frozenset[Scope]:
        """For which kinds of certificates it counts; empty where that cannot be told, and then all requirements do."""

    def when(self, clock: DatedBy) -> datetime | None:
        """Return the moment that this clock shows for it, aware; None where nobody knows."""


def evaluate(
    subject: Subject, requirements: Iterable[Requirement], asked: Asked, *, everything: bool = False
) -> Iterator[Finding]:
    """Yield the findings about one subject, in the order of the requirements.

    With ``everything`` also those requirements give a finding that do not speak about this subject or its date; the
    finding says why. Never raises for what a check does.
    """
    kind, scopes = subject.kind, subject.scopes
    days: dict[DatedBy, date | None] = {}
    for requirement in requirements:
        if kind not in requirement.kinds:
            continue
        clock = requirement.dated_by
        if clock not in days:
            governed = asked.at if clock is DatedBy.DAY else subject.when(clock)
            days[clock] = None if governed is None else governed.astimezone(UTC).date()
        day = days[clock]
        for outcome in _outcomes(subject, scopes, requirement, day, asked):
            if outcome.verdict is Verdict.NOT_APPLICABLE and not everything:
                continue
            yield Finding(
                requirement=requirement.id,
                clause=requirement.cited,
                ballot=requirement.source.ballot,
                subject=subject.label,
                verdict=outcome.verdict,
                text=outcome.text,
                mend=outcome.mend,
                governed=day,
            )


def _outcomes(
    subject: Subject, scopes: frozenset[Scope], requirement: Requirement, day: date | None, asked: Asked
) -> list[Outcome]:
    if scopes and scopes.isdisjoint(requirement.applies_to):
        return [not_applicable(f"It speaks of {_words(requirement.applies_to)} only.")]
    if day is None:
        return [
            not_evidenced(
                f"The date that decides whether this binds ({requirement.dated_by}) is not known.",
                f"record when it was: {requirement.dated_by}",
            )
        ]
    in_force = requirement.binding_since(asked.choices)
    if day < in_force.since:
        return [not_applicable(f"It binds since {in_force.since}; {day} decides here.")]
    if in_force.until is not None and day > in_force.until:
        return [not_applicable(f"It bound until {in_force.until}; {day} decides here.")]
    if requirement.check is None:
        return [_wanted(requirement, subject, asked)]
    try:
        given = requirement.check(subject, asked)
        outcomes = [given] if isinstance(given, Outcome) else list(given)
    except Exception as error:  # a check that fails must neither pass nor hide the rest
        return [Outcome(Verdict.BROKEN, f"The check itself failed ({type(error).__name__}); this tells nothing.")]
    return outcomes or [Outcome(Verdict.BROKEN, "The check gave no answer; this tells nothing.")]


def _wanted(requirement: Requirement, subject: Subject, asked: Asked) -> Outcome:
    """Return what the documents that the subject carries, if it carries any, allow to say."""
    assert requirement.wants is not None  # noqa: S101 - a requirement has a check, or says what it wants instead
    return judged_by_documents(requirement, requirement.wants, getattr(subject, "evidence", ()), asked.at)


def _words(scopes: Iterable[Scope]) -> str:
    names = {
        Scope.EV: "EV certificates",
        Scope.NON_EV: "Non-EV certificates",
        Scope.TIMESTAMP: "timestamp certificates",
    }
    return " and ".join(names[each] for each in scopes)
