"""A ballot as a file that anybody can write, and the catalogue that it would make out of ours.

It adds, changes or drops requirements, for everybody or for some roles only (``scenarios.roles``); the format is
described in docs/reference/ballots.md. A text that changes on a day stands twice in the new catalogue, under one id:
the old one until the day before, the new one from that day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from privyseal.compliance.ballots import Ballot, TakesForce
from privyseal.compliance.classify import ServiceRole
from privyseal.compliance.evidence import KINDS
from privyseal.compliance.limit import Limit
from privyseal.compliance.proposal_text import read_toml, sentence
from privyseal.compliance.requirement import (
    DatedBy,
    EnforcedBy,
    InForce,
    Kind,
    Nature,
    Obligation,
    Party,
    Requirement,
    Scope,
    Severity,
    Source,
    Wants,
)
from privyseal.compliance.scenarios import roles as told_apart
from privyseal.compliance.voting import Facts
from privyseal.errors import BadInput

_ID = re.compile(r"(?:CSBR|NSR|HOUSE|PROPOSED)-([0-9]+(?:\.[0-9]+)*)-[0-9]{2}")
_SECTIONS = {str(number) for number in range(1, 10)}
"""The sections of RFC 3647, to which the Requirements keep since version 3.0."""


class Drop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requirements that no longer bind from a day on; ``CSBR-8.4.2-*`` names a whole clause."""

    requirements: tuple[str, ...]
    starts: date = msgspec.field(name="from")
    roles: tuple[ServiceRole, ...] = ()
    """For whom; none for everybody."""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another text for one requirement, or other dates; what is not named stays."""

    requirement: str
    starts: date | None = msgspec.field(name="from", default=None)
    """From when the new text holds; where it is absent, the text always read so."""
    roles: tuple[ServiceRole, ...] = ()
    since: date | None = None
    until: date | None = None
    text: str | None = None
    obligation: Obligation | None = None
    binds: tuple[Party, ...] | None = None
    applies_to: tuple[Scope, ...] | None = None
    dated_by: DatedBy | None = None
    severity: Severity | None = None
    enforced_by: tuple[EnforcedBy, ...] | None = None
    limit: Limit | None = None
    """A measure in place of the check that the requirement had."""


class Addition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A requirement that is not in the catalogue."""

    id: str
    title: str
    text: str
    since: date
    binds: tuple[Party, ...]
    kinds: tuple[Kind, ...]
    until: date | None = None
    roles: tuple[ServiceRole, ...] = ()
    obligation: Obligation = Obligation.SHALL
    applies_to: tuple[Scope, ...] = (Scope.EV, Scope.NON_EV)
    dated_by: DatedBy = DatedBy.DAY
    severity: Severity = Severity.MEDIUM
    enforced_by: tuple[EnforcedBy, ...] = (EnforcedBy.NOBODY,)
    limit: Limit | None = None
    wants: str = ""
    evidence: tuple[str, ...] = ()


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file: the ballot, the facts of its vote, and what it does to the catalogue."""

    ballot: Ballot
    vote: Facts = Facts()
    drop: tuple[Drop, ...] = ()
    change: tuple[Change, ...] = ()
    add: tuple[Addition, ...] = ()


def parse_proposal(octets: bytes, name: str, catalogue: Sequence[Requirement]) -> Proposal:
    """Read a proposal and hold its ids and dates against the catalogue; raise BadInput in one sentence."""
    proposal = read_toml(octets, Proposal, name)
    try:
        _check(proposal, catalogue)
        for role in (None, *told_apart()):
            applied(proposal, catalogue, role)
    except ValueError as error:
        raise BadInput(f"{name}: {sentence(str(error))}") from error
    except OverflowError as error:
        raise BadInput(f"{name}: a date leads beyond the years 1 to 9999.") from error
    return proposal


def applied(
    proposal: Proposal, catalogue: Sequence[Requirement], role: ServiceRole | None = None
) -> tuple[Requirement, ...]:
    """Return the catalogue as the proposal makes it for one role.

    Without a role only what holds for everybody is applied: who is not known to have a role is not let off.
    """
    drops: dict[str, Drop] = {}
    for drop in proposal.drop:
        if _meant(drop.roles, role):
            drops |= {each.id: drop for name in drop.requirements for each in _matching(name, catalogue)}
    changes = {each.requirement: each for each in proposal.change if _meant(each.roles, role)}
    made: list[Requirement] = []
    for each in catalogue:
        if each.id in drops:
            made += _ended(each, drops[each.id].starts)
        elif each.id in changes and _touches(each, changes[each.id]):
            made += _changed(each, changes[each.id])
        else:
            made.append(each)
    made += [_added(each, proposal.ballot) for each in proposal.add if _meant(each.roles, role)]
    return tuple(made)


def undone(
    ballot: Ballot, catalogue: Sequence[Requirement], moves: Iterable[TakesForce] = ()
) -> tuple[Requirement, ...]:
    """Return the catalogue without what a ballot of the table did to it.

    What it added goes, what it replaced or dropped binds on. ``moves`` are the dates of others that it moved.
    """
    gone = {each.id for each in catalogue if each.id in ballot.changes.all and each.source.ballot == ballot.number}
    gone -= set(ballot.changes.dropped)
    back = {name: each.first_day for each in moves for name in each.requirements if name in ballot.changes.changed}
    made: list[Requirement] = []
    for each in catalogue:
        if each.id in gone:
            continue
        if each.id in back:
            each = msgspec.structs.replace(each, in_force=InForce(back[each.id], each.in_force.until))
        elif each.superseded_by in gone or each.id in ballot.changes.dropped:
            each = msgspec.structs.replace(each, in_force=InForce(each.in_force.since), superseded_by=None)
        made.append(each)
    return tuple(made)


def touched(proposal: Proposal, catalogue: Sequence[Requirement]) -> tuple[str, ...]:
    """Return the ids that a proposal adds, changes or drops, in that order."""
    dropped = [each.id for drop in proposal.drop for name in drop.requirements for each in _matching(name, catalogue)]
    return tuple(dict.fromkeys([*(a.id for a in proposal.add), *(c.requirement for c in proposal.change), *dropped]))


def _meant(roles: tuple[ServiceRole, ...], role: ServiceRole | None) -> bool:
    return not roles or role in roles


def _matching(name: str, catalogue: Sequence[Requirement]) -> list[Requirement]:
    """Return the requirements of an id, or of a whole clause: ``CSBR-8.4.2-*``, without what ended long ago."""
    if not name.endswith("-*"):
        return [each for each in catalogue if each.id == name]
    return [each for each in catalogue if each.id.rpartition("-")[0] == name[:-2] and each.superseded_by is None]


def _check(proposal: Proposal, catalogue: Sequence[Requirement]) -> None:
    """Raise ValueError for what a proposal must not say."""
    parts: tuple[Drop | Change | Addition, ...] = (*proposal.drop, *proposal.change, *proposal.add)
    named = (role for each in parts for role in each.roles)
    strange = next((role for role in named if role not in told_apart()), None)
    if strange is not None:
        raise ValueError(f"no scenario is about the role {strange}; there are {', '.join(told_apart())}")
    seen: list[tuple[str, tuple[ServiceRole, ...]]] = []
    for drop in proposal.drop:
        for name in drop.requirements:
            found = _matching(name, catalogue)
            if not found:
                raise ValueError(f"it drops {name[:60]}, which is not in the catalogue")
            seen += [(each.id, drop.roles) for each in found]
    for change in proposal.change:
        if not _matching(change.requirement, catalogue) or change.requirement.endswith("-*"):
            raise ValueError(f"it changes {change.requirement[:60]}, which is not in the catalogue")
        seen.append((change.requirement, change.roles))
    for addition in proposal.add:
        _check_addition(addition, catalogue)
        seen.append((addition.id, ()))
    for number, (name, roles) in enumerate(seen):
        for other, others in seen[:number]:
            if name == other and (not roles or not others or set(roles) & set(others)):
                raise ValueError(f"it touches {name} twice for the same role, and the dates would overlap")


def _check_addition(addition: Addition, catalogue: Sequence[Requirement]) -> None:
    given = _ID.fullmatch(addition.id)
    if given is None:
        raise ValueError(f"it adds {addition.id[:60]!r}; an id looks like PROPOSED-8.4.2-01")
    if given[1].partition(".")[0] not in _SECTIONS:
        raise ValueError(f"it adds {addition.id}, and the Requirements have no section {given[1]}")
    if any(each.id == addition.id for each in catalogue):
        raise ValueError(f"it adds {addition.id}, which is in the catalogue already")
    if not addition.binds or not addition.kinds or not addition.applies_to:
        raise ValueError(f"{addition.id} binds nobody, or is judged on nothing")
    unknown = next((kind for kind in addition.evidence if kind not in KINDS), None)
    if unknown is not None:
        raise ValueError(f"{addition.id} wants evidence of a kind that does not exist: {unknown[:40]}")


def _window(since: date, until: date | None, name: str) -> InForce:
    if until is not None and until < since:
        raise ValueError(f"{name} would end ({until}) before it begins ({since})")
    return InForce(since, until)


def _ended(each: Requirement, starts: date) -> list[Requirement]:
    """Return the requirement as it ends the day before; nothing where it never comes to bind."""
    until = starts - timedelta(days=1)
    if each.in_force.until is not None and each.in_force.until <= until:
        return [each]
    if until < each.in_force.since:
        return []
    return [msgspec.structs.replace(each, in_force=InForce(each.in_force.since, until))]


def _touches(each: Requirement, change: Change) -> bool:
    """Tell whether a change is for this text, and not for an earlier one of the same id."""
    return change.starts is None or each.in_force.until is None or change.starts <= each.in_force.until


def _changed(each: Requirement, change: Change) -> list[Requirement]:
    named = ("text", "obligation", "binds", "applies_to", "dated_by", "severity", "enforced_by")
    new: dict[str, Any] = {name: value for name in named if (value := getattr(change, name)) is not None}
    since = change.since or (each.in_force.since if change.starts is None else max(change.starts, each.in_force.since))
    window = _window(since, change.until or each.in_force.until, each.id)
    if change.since is not None or change.starts is not None:
        new["conflict"] = None  # the proposal says the date, so there is nothing left to read in two ways
    if change.limit is not None:
        said = f"{each.text.rstrip('.')}; as proposed, {change.limit.words}."
        new |= {"check": change.limit.judge, "wants": None, "text": change.text or said}
    later = msgspec.structs.replace(each, in_force=window, **new)
    if change.starts is None:
        return [later]
    if change.since is not None and change.since < change.starts:
        raise ValueError(f"{each.id} would bind from {change.since}, before its change of {change.starts}")
    return [*_ended(each, since), later]


def _added(addition: Addition, ballot: Ballot) -> Requirement:
    check = None if addition.limit is None else addition.limit.judge
    sentence = addition.wants or "Somebody has to look whether it is kept."
    wants = Wants(sentence, addition.evidence, judgement=not addition.evidence) if check is None else None
    return Requirement(
        id=addition.id,
        clause=addition.id.rpartition("-")[0].partition("-")[2],
        title=addition.title,
        text=addition.text,
        obligation=addition.obligation,
        binds=addition.binds,
        applies_to=addition.applies_to,
        source=Source(ballot.number, ballot.result or "proposed"),
        in_force=_window(addition.since, addition.until, addition.id),
        dated_by=addition.dated_by,
        kinds=addition.kinds,
        severity=addition.severity,
        enforced_by=addition.enforced_by,
        check=check,
        wants=wants,
        nature=Nature.TEXT,
    )
