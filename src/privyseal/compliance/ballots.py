"""Ballots as data: who proposed what, how it went, from when it binds; and what of that was known on a given day.

The table is ``ballots.toml`` beside this file. What is unknown is absent and stays so: a ballot without votes has
unknown votes, not none. The one file that is opened here is that table, which is part of the program.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Self

import msgspec

from privyseal.compliance.proposal_text import read_toml
from privyseal.errors import BadInput, NotFound


class Status(StrEnum):
    """Where a ballot stands."""

    UNKNOWN = "unknown"
    IDEA = "idea"
    ANNOUNCED = "announced"
    DRAFT = "draft"
    IN_DISCUSSION = "in discussion"
    IN_VOTING = "in voting"
    PASSED = "passed"
    """The vote is won; the review period may still void it (Bylaws 2.4)."""
    ADOPTED = "adopted"
    ADOPTED_UNSEEN = "adopted, text not seen"
    FAILED = "failed"
    NOT_ADOPTED = "not adopted under this number"
    DORMANT = "dormant"
    SHELVED = "shelved"
    SUPERSEDED = "superseded"
    HOUSEKEEPING = "housekeeping"
    NO_DOCUMENT = "not a document ballot"


ADOPTED = frozenset({Status.ADOPTED, Status.ADOPTED_UNSEEN})
"""The states in which a ballot's text is part of its document."""

VOTED = ADOPTED | {Status.PASSED, Status.FAILED}
"""The states in which the votes are known to all."""


class Phrase(StrEnum):
    """How a ballot says from when it binds, as its clauses do (CSBR 1.2.2)."""

    ISSUED_ON_OR_AFTER = "issued-on-or-after"
    AUDIT_PERIODS_STARTING_AFTER = "audit-periods-starting-after"
    FROM_DATE = "from-date"


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A period of discussion, voting or review (Bylaws 2.3, 2.4); a date that is not known is absent."""

    start: date | None = None
    end: date | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an end before its start."""
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"a period ends ({self.end}) before it starts ({self.start})")


class Category(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The votes of Certificate Issuers, or of Certificate Consumers; each member votes once (Bylaws 2.3)."""

    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    abstain: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where a member voted twice."""
        voters = [name.casefold() for name in (*self.yes, *self.no, *self.abstain)]
        twice = next((name for name in voters if voters.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} voted twice")

    @property
    def cast(self) -> int:
        """Count the votes, abstentions too."""
        return len(self.yes) + len(self.no) + len(self.abstain)


class Votes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All votes of a ballot, by category."""

    issuers: Category
    consumers: Category


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a ballot's history."""

    day: date = msgspec.field(name="date")
    status: Status
    text: str = ""
    waits_for: str = ""
    """What has to come before the ballot goes on."""
    known_as: str = ""
    """What it was called then, where it had no number yet."""
    by: bool = False
    """The day is when it was on record, and it may have come about earlier."""


class TakesForce(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when the ballot, or some of its requirements, binds."""

    phrase: Phrase
    day: date = msgspec.field(name="date")
    text: str = ""
    requirements: tuple[str, ...] = ()
    """None: all that no other date of the ballot names."""
    moved_by: str = ""
    """The ballot that moved the date before it came."""

    @property
    def first_day(self) -> date:
        """Return the first day that the phrase covers: the day after, where it says "after"."""
        return self.day + timedelta(days=1) if self.phrase is Phrase.AUDIT_PERIODS_STARTING_AFTER else self.day


class Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a ballot did to the catalogue, by requirements' ids."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """New texts that took the place of older ones, or whose dates moved."""
    dropped: tuple[str, ...] = ()
    """Texts that nothing took the place of."""

    @property
    def all(self) -> tuple[str, ...]:
        """Return every id that the ballot touched."""
        return self.added + self.changed + self.dropped


class Sketch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a ballot would change whose text is known in outline only."""

    clause: str
    text: str
    when: str = ""
    requirements: tuple[str, ...] = ()


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator has to decide about a ballot, and what holds until then."""

    class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        """One way to decide."""

        name: str
        text: str
        since: date | None = None
        """From when the ballot counts; never, where it is absent."""

    text: str
    readings: tuple[Reading, ...]
    default: str

    def __post_init__(self) -> None:
        """Raise ValueError where the default is none of the readings."""
        self.named(self.default)

    def named(self, name: str) -> Reading:
        """Return one reading; ValueError where there is none of that name."""
        found = next((each for each in self.readings if each.name == name), None)
        if found is None:
            raise ValueError(
                f"no reading is named {name!r}; there are {', '.join(each.name for each in self.readings)}"
            )
        return found


class Ballot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ballot, or one that may come."""

    number: str
    """Its number, ``CSC-21``; ``FB-...`` for those that have none yet."""
    summary: str
    source: str
    title: str | None = None
    document: str | None = None
    base: str | None = None
    """The version that it was written against."""
    result: str | None = None
    """The version that it made."""
    effective: date | None = None
    """When that version became the one in force."""
    proposer: str | None = None
    endorsers: tuple[str, ...] | None = None
    discussion: Period | None = None
    voting: Period | None = None
    review: Period | None = None
    votes: Votes | None = None
    history: tuple[Event, ...] = ()
    takes_force: tuple[TakesForce, ...] = ()
    changes: Changes = Changes()
    sketches: tuple[Sketch, ...] = ()
    choice: Choice | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for periods that overlap, or a history out of order."""
        periods = [each for each in (self.discussion, self.voting, self.review) if each is not None]
        for before, after in pairwise(periods):
            over, begun = before.end or before.start, after.start or after.end
            if over is not None and begun is not None and begun < over:
                raise ValueError(f"{self.number}: two periods overlap, {over} lies after {begun}")
        dates = [each.day for each in self.history]
        if dates != sorted(dates):
            raise ValueError(f"{self.number}: the history is not in the order of its dates")

    def event_on(self, day: date | None) -> Event | None:
        """Return the last event that was on record on ``day``; the last of all where no day is given."""
        past = [each for each in self.history if day is None or each.day <= day]
        return past[-1] if past else None

    @property
    def status(self) -> Status:
        """Say where it stands, as far as the table goes."""
        event = self.event_on(None)
        return Status.UNKNOWN if event is None else event.status

    @property
    def adopted_on(self) -> date | None:
        """Return the day from which its text is part of its document; None where it is not."""
        return next((each.day for each in self.history if each.status in ADOPTED), None)

    def as_of(self, day: date) -> Self | None:
        """Return the ballot as it was known on ``day``, without what came later; None where it was not known at all."""
        event = self.event_on(day)
        if event is None:
            return None
        past = tuple(each for each in self.history if each.day <= day)
        adopted, voted = event.status in ADOPTED, event.status in VOTED
        return msgspec.structs.replace(
            self,
            title=event.known_as or self.title,
            summary=self.summary if adopted else event.text,
            history=past,
            base=self.base if voted else None,
            result=self.result if adopted else None,
            effective=self.effective if adopted else None,
            votes=self.votes if voted else None,
            voting=_until(self.voting, day),
            review=_until(self.review, day),
            discussion=_until(self.discussion, day),
            takes_force=self.takes_force if adopted else (),
            changes=self.changes if adopted else Changes(),
            choice=self.choice if adopted else None,
            notes=self.notes if adopted else (),
        )


def _until(period: Period | None, day: date) -> Period | None:
    if period is None or (period.start or period.end or day) > day:
        return None
    return period


class OpenItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that the minutes left open, and what came of it."""

    name: str
    ballot: str
    raised: date
    asked: str
    settled: date
    outcome: str
    clauses: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ballots and open items that the program knows."""

    known_until: date
    """The last day of which the table's sources tell."""
    ballots: tuple[Ballot, ...] = msgspec.field(name="ballot")
    open_items: tuple[OpenItem, ...] = msgspec.field(name="open_item", default=())

    def __post_init__(self) -> None:
        """Raise ValueError for a number that stands twice, or an open item of no ballot."""
        numbers = [each.number for each in self.ballots]
        twice = next((number for number in numbers if numbers.count(number) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} stands twice in the table")
        lost = next((item.name for item in self.open_items if item.ballot not in numbers), None)
        if lost is not None:
            raise ValueError(f"the open item {lost} belongs to no ballot of the table")

    def named(self, number: str) -> Ballot:
        """Return one ballot, however its number is capitalised; raise NotFound where the table has none."""
        found = next((each for each in self.ballots if number.casefold() in _numbers(each)), None)
        if found is None:
            raise NotFound(f"There is no ballot {number[:40]!r} in the table.", hint="privyseal ballot list")
        return found

    def as_of(self, day: date) -> tuple[Ballot, ...]:
        """Return the ballots as they were known on ``day``, without those that were not."""
        return tuple(each for ballot in self.ballots if (each := ballot.as_of(day)) is not None)

    def items_of(self, number: str, day: date | None) -> tuple[OpenItem, ...]:
        """Return the open items of a ballot that had been raised by ``day``."""
        mine = (each for each in self.open_items if each.ballot == number)
        return tuple(each for each in mine if day is None or each.raised <= day)


def _numbers(ballot: Ballot) -> set[str]:
    """Return what a ballot can be asked for by; two of the table's rows share a line."""
    return {ballot.number.casefold(), *(part.casefold() for part in ballot.number.split("/"))}


def counts_since(ballot: Ballot, choices: dict[str, str]) -> date | None:
    """Return from when a ballot counts under the operator's choices (number to reading); None where it does not.

    Raise BadInput for a reading that the ballot does not have.
    """
    if ballot.choice is None:
        if ballot.number in choices:
            raise BadInput(f"{ballot.number} leaves nothing to choose.")
        return ballot.adopted_on
    try:
        return ballot.choice.named(choices.get(ballot.number, ballot.choice.default)).since
    except ValueError as error:
        raise BadInput(f"{ballot.number}: {error}.") from error


def parse_table(octets: bytes, name: str) -> Table:
    """Read a table of ballots from TOML; raise BadInput with a sentence where it is not right."""
    return read_toml(octets, Table, name)


@cache
def table() -> Table:
    """Return the table that the program comes with."""
    return parse_table(resources.files("privyseal.compliance").joinpath("ballots.toml").read_bytes(), "ballots.toml")
