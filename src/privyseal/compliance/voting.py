"""A vote, rehearsed: whether this ballot would be adopted by the rules, and why.

The rules are data (``voting_rules.toml``) with their source. A rule whose facts are not known gives ``not-evidenced``,
and then the outcome cannot be told; it is never taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from fractions import Fraction
from functools import cache
from importlib import resources

import msgspec

from privyseal.compliance.ballots import Ballot, Category, Period
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.proposal_text import read_toml

_Share = tuple[int, int]


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share that has to be reached (``at_least``) or surpassed (``more_than``)."""

    source: str
    name: str = ""
    at_least: _Share | None = None
    more_than: _Share | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError unless exactly one of the two shares is given."""
        if (self.at_least is None) == (self.more_than is None):
            raise ValueError("a threshold is either at_least or more_than")

    def holds(self, part: int, whole: Fraction | int) -> bool:
        """Tell whether ``part`` of ``whole`` is enough."""
        if self.at_least is not None:
            return part >= whole * Fraction(*self.at_least)
        return self.more_than is not None and part > whole * Fraction(*self.more_than)

    @property
    def words(self) -> str:
        """Say the share: ``at least 2/3``."""
        share = self.at_least or self.more_than or (0, 1)
        size = "all" if share[0] == share[1] else f"{share[0]}/{share[1]}"
        return f"{'at least' if self.at_least else 'more than'} {size}"


class Count(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number that has to be reached."""

    at_least: int
    source: str


class DiscussionRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a ballot is discussed, and when it lapses (Bylaws 2.3)."""

    at_least_days: int
    stale_after_days: int
    source: str


class VotingRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a vote lasts (Bylaws 2.3)."""

    exactly_days: int
    source: str


class QuorumRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many members have to take part; two documents say it differently."""

    meetings: int
    default: str
    readings: tuple[Threshold, ...]
    note: str = ""


class AnnouncementRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Until when the result is announced (Bylaws 2.3)."""

    within_business_days: int
    source: str


class ReviewRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long members may exclude patents (Bylaws 2.4, IPR Policy 4.1)."""

    starts_within_business_days: int
    maintenance_days: int
    final_days: int
    source: str


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By which rules a working group adopts a ballot."""

    name: str
    endorsers: Count
    discussion: DiscussionRule
    voting: VotingRule
    issuers: Threshold
    consumers: Threshold
    each_category: Count
    quorum: QuorumRule
    announcement: AnnouncementRule
    review: ReviewRule


@cache
def rules() -> Rules:
    """Return the rules that the program comes with: those of the Code Signing Certificate Working Group."""
    octets = resources.files("privyseal.compliance").joinpath("voting_rules.toml").read_bytes()
    return read_toml(octets, Rules, "voting_rules.toml")


class Guideline(StrEnum):
    """What a ballot proposes; it decides how long the review lasts (Bylaws 2.4)."""

    MAINTENANCE = "maintenance"
    FINAL = "final"


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rehearsal needs beside the ballot itself; absent is unknown."""

    guideline: Guideline = Guideline.MAINTENANCE
    participants: tuple[int, ...] | None = None
    """How many Voting Member organisations took part in each of the last three meetings."""
    last_version: date | None = None
    """When the proposer last posted a version."""
    runway_days: int | None = None
    """Days that those who are bound get after adoption."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that cannot be."""
        if self.participants is not None and any(not 0 <= each <= 10_000 for each in self.participants):
            raise ValueError("participants are counts of organisations, 0 to 10000")
        if self.runway_days is not None and not 0 <= self.runway_days <= 3660:
            raise ValueError("runway_days lies between 0 and 3660")


class Result(StrEnum):
    """What comes of a rehearsal."""

    ADOPTED = "would be adopted"
    FAILS = "fails"
    UNKNOWN = "cannot be told"


class Step(msgspec.Struct, frozen=True):
    """One rule, held against the facts."""

    rule: str
    verdict: Verdict
    text: str
    source: str


def held(ballot: Ballot, facts: Facts, by: Rules, day: date | None = None) -> tuple[Step, ...]:
    """Hold a ballot against every rule; ``day`` is today where the ballot still waits for its vote."""
    return (
        _endorsed(ballot, by),
        _discussed(ballot, facts, by, day),
        _voted_in_time(ballot, by),
        *_categories(ballot, by),
        *_quorum(ballot, facts, by),
    )


def result(steps: tuple[Step, ...]) -> Result:
    """Sum the steps up: one that is not met fails the ballot, one that is not known leaves it open."""
    counted = [step.verdict for step in steps if step.verdict is not Verdict.NOT_APPLICABLE]
    if Verdict.NOT_MET in counted:
        return Result.FAILS
    return Result.ADOPTED if counted and set(counted) == {Verdict.MET} else Result.UNKNOWN


def _verdict(good: bool) -> Verdict:
    return Verdict.MET if good else Verdict.NOT_MET


def _endorsed(ballot: Ballot, by: Rules) -> Step:
    need = by.endorsers.at_least
    if ballot.endorsers is None:
        return Step(
            "endorsers", Verdict.NOT_EVIDENCED, f"Who endorses it is not known; {need} have to.", by.endorsers.source
        )
    count = len({name.casefold() for name in ballot.endorsers} - {(ballot.proposer or "").casefold()})
    return Step(
        "endorsers",
        _verdict(count >= need),
        f"{count} endorse it beside the proposer; {need} have to.",
        by.endorsers.source,
    )


def _discussed(ballot: Ballot, facts: Facts, by: Rules, day: date | None) -> Step:
    rule, period = by.discussion, ballot.discussion or Period()
    begins = ballot.voting.start if ballot.voting is not None else None
    end = period.end or begins or day
    if period.start is None or end is None:
        return Step("discussion", Verdict.NOT_EVIDENCED, "When it was discussed is not known.", rule.source)
    days = (end - period.start).days
    if days < 0:
        return Step("discussion", Verdict.NOT_EVIDENCED, f"It is to be discussed from {period.start} on.", rule.source)
    posted, vote = facts.last_version or period.start, begins or day
    idle = None if vote is None else (vote - posted).days
    if days < rule.at_least_days:
        text = f"{days} days of discussion; {rule.at_least_days} are the least."
        still = period.end is None and begins is None
        return Step("discussion", Verdict.NOT_EVIDENCED if still else Verdict.NOT_MET, text, rule.source)
    if idle is not None and idle > rule.stale_after_days:
        text = f"No vote within {rule.stale_after_days} days of its last version of {posted}; it lapses."
        known = facts.last_version is not None
        text = (
            text
            if known
            else f"Its last version is not known; that of {posted} is older than {rule.stale_after_days} days."
        )
        return Step("discussion", Verdict.NOT_MET if known else Verdict.NOT_EVIDENCED, text, rule.source)
    return Step(
        "discussion", Verdict.MET, f"{days} days of discussion; {rule.at_least_days} are the least.", rule.source
    )


def _voted_in_time(ballot: Ballot, by: Rules) -> Step:
    rule, period = by.voting, ballot.voting or Period()
    if period.start is None or period.end is None:
        return Step("voting", Verdict.NOT_EVIDENCED, "When the vote began and ended is not known.", rule.source)
    days = (period.end - period.start).days
    return Step(
        "voting",
        _verdict(days == rule.exactly_days),
        f"The vote takes {days} days; {rule.exactly_days} it is.",
        rule.source,
    )


def _categories(ballot: Ballot, by: Rules) -> Iterator[Step]:
    for name, rule in (("Certificate Issuers", by.issuers), ("Certificate Consumers", by.consumers)):
        if ballot.votes is None:
            yield Step(name, Verdict.NOT_EVIDENCED, f"How {name} vote is not known.", rule.source)
            continue
        category: Category = ballot.votes.issuers if rule is by.issuers else ballot.votes.consumers
        yes, counted = len(category.yes), len(category.yes) + len(category.no)
        good = yes >= by.each_category.at_least and rule.holds(yes, counted)
        text = f"{yes} of {counted} votes that count say yes; {rule.words} have to, and one at least."
        yield Step(name, _verdict(good), text, rule.source)


def _quorum(ballot: Ballot, facts: Facts, by: Rules) -> Iterator[Step]:
    """Hold the votes against every reading of the quorum; only the default one counts for the result."""
    rule, facts_of = by.quorum, facts.participants
    taking_part = None if ballot.votes is None else ballot.votes.issuers.cast + ballot.votes.consumers.cast
    known = facts_of is not None and len(facts_of) == rule.meetings
    average = Fraction(sum(facts_of or ()), rule.meetings)
    for reading in rule.readings:
        if taking_part is None:
            text, verdict = "How many take part is not known.", Verdict.NOT_EVIDENCED
        elif not known:
            text = f"{taking_part} take part; how many came to the last {rule.meetings} meetings is not known."
            verdict = Verdict.NOT_EVIDENCED
        else:
            text = f"{taking_part} take part; it takes {reading.words} of {float(average):.2f}"
            text += f", the average of {rule.meetings} meetings."
            verdict = _verdict(reading.holds(taking_part, average))
        if reading.name != rule.default:
            text, verdict = f"{text} For comparison only: {verdict}.", Verdict.NOT_APPLICABLE
        yield Step(f"quorum ({reading.name})", verdict, text, reading.source)
