"""What took or takes force when: the catalogue's dates, the ballots' dates, and events of our own table, in one order.

Asked as of a day, it shows what could be known on that day: a date in the future stands there if its ballot had been
adopted. A date that the text contradicts itself about stands there too, and is marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources

import msgspec

from privyseal.compliance.ballots import Ballot, Table, counts_since
from privyseal.compliance.proposal_text import read_toml
from privyseal.compliance.requirement import Nature, Requirement

OURS = "ours"
"""Stands for the ballot of a house rule, which has none."""


class Mark(StrEnum):
    """What kind of line it is."""

    BALLOT = "ballot"
    REQUIREMENTS = "requirements"
    ENDS = "ends"
    EVENT = "event"


class Row(msgspec.Struct, frozen=True):
    """One line of the timeline."""

    day: date
    mark: Mark
    text: str
    ballot: str = ""
    requirements: tuple[str, ...] = ()
    conflict: bool = False
    """The text names this date and another one."""
    open: bool = False
    """It may never come: not adopted, or the operator's choice."""


class Happening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``timeline.toml``."""

    day: date = msgspec.field(name="date")
    text: str
    ballot: str = ""
    requirements: tuple[str, ...] = ()
    known: date | None = None
    conflict: bool = False
    open: bool = False


class _Events(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    event: tuple[Happening, ...]


@cache
def happenings() -> tuple[Happening, ...]:
    """Return the events that the program comes with."""
    octets = resources.files("privyseal.compliance").joinpath("timeline.toml").read_bytes()
    return read_toml(octets, _Events, "timeline.toml").event


def timeline(
    catalogue: Iterable[Requirement],
    table: Table,
    events: Sequence[Happening],
    as_of: date | None = None,
    choices: dict[str, str] | None = None,
) -> tuple[Row, ...]:
    """Return the lines in the order of their days; ``choices`` are the operator's, a ballot's number, or a
    requirement's id, to a reading.

    Raise BadInput for a reading that does not exist.
    """
    chosen = choices or {}
    waiting = {each.number for each in table.ballots if each.adopted_on and counts_since(each, chosen) is None}
    requirements = tuple(catalogue)
    rows = [
        *(row for ballot in table.ballots for row in _of_ballot(ballot, waiting)),
        *_of_events(events, waiting),
        *_of_catalogue(requirements, chosen, waiting),
    ]
    known = _known(table)
    shown = [row for row in rows if as_of is None or _could_be_known(row, as_of, known, events)]
    order = list(Mark)
    return tuple(sorted(shown, key=lambda row: (row.day, order.index(row.mark), row.ballot, row.text)))


def _of_ballot(ballot: Ballot, waiting: set[str]) -> Iterable[Row]:
    adopted = ballot.adopted_on
    if adopted is None:
        return
    version = f" makes {ballot.document} {ballot.result}" if ballot.result else " is adopted"
    text = f"{ballot.number}{version}: {ballot.title or 'no title known'}"
    yield Row(adopted, Mark.BALLOT, text, ballot.number, open=ballot.number in waiting)


def _of_events(events: Sequence[Happening], waiting: set[str]) -> Iterable[Row]:
    for each in events:
        open_ = each.open or each.ballot in waiting
        yield Row(each.day, Mark.EVENT, each.text, each.ballot, each.requirements, each.conflict, open_)


def _of_catalogue(requirements: Sequence[Requirement], choices: dict[str, str], waiting: set[str]) -> Iterable[Row]:
    """Gather the texts that begin, and those that end, on the same day by the same ballot."""
    begins: dict[tuple[date, str], list[str]] = {}
    ends: dict[date, list[str]] = {}
    for each in requirements:
        in_force = each.binding_since(choices)
        ballot = OURS if each.nature is Nature.HOUSE_RULE else each.source.ballot
        begins.setdefault((in_force.since, ballot), []).append(each.id)
        if in_force.until is not None:
            ends.setdefault(in_force.until, []).append(each.id)
    for (day, ballot), ids in begins.items():
        if ballot == OURS:
            rules = "1 house rule of ours begins" if len(ids) == 1 else f"{len(ids)} house rules of ours begin"
            yield Row(day, Mark.REQUIREMENTS, rules, "", tuple(ids))
            continue
        texts = "1 requirement binds" if len(ids) == 1 else f"{len(ids)} requirements bind"
        yield Row(day, Mark.REQUIREMENTS, f"{texts} by {ballot}", ballot, tuple(ids), open=ballot in waiting)
    for day, ids in ends.items():
        texts = "1 older text binds" if len(ids) == 1 else f"{len(ids)} older texts bind"
        yield Row(day, Mark.ENDS, f"{texts} for the last day", "", tuple(ids))


def _known(table: Table) -> dict[str, date]:
    return {each.number: each.adopted_on for each in table.ballots if each.adopted_on is not None}


def _could_be_known(row: Row, as_of: date, known: dict[str, date], events: Sequence[Happening]) -> bool:
    """Tell whether one could know of a line on a day: it was past, its ballot adopted, or it had been said."""
    adopted = known.get(row.ballot)
    if adopted is not None:
        return adopted <= as_of
    said = next((each.known for each in events if row.mark is Mark.EVENT and each.text == row.text), None)
    return (said or row.day) <= as_of
