"""Findings as they were found, in order: a verdict that changed is a new row, and no row ever changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, RowMapping, and_, func, insert, select

from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.records.prepared import Prepared
from privyseal.records.tables import evaluations, findings


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what was found of one subject, or of so many signatures with one key."""

    subscriber: str | None
    """None where it is about the service itself."""
    at: datetime
    kind: Kind
    subject: str
    """A Key Pair's name, a Subscriber's, a member's id; of signatures the name of their key."""
    requirement: str
    verdict: Verdict
    number: int = 1
    """How many signatures; 1 for every other kind."""
    sample: str = ""
    """Of signatures, the request of the first."""
    begun: datetime
    """Of signatures, when the count began that the row belongs to; else since when the verdict is the same: what is to
    be done about it may have changed ``at`` a later time."""
    text: str
    mend: str = ""


class Last(NamedTuple):
    """What was found last of one subject by one requirement."""

    verdict: Verdict
    mend: str
    begun: datetime


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one kind was evaluated: up to which event, on which basis, since when on that."""

    id: int = 0
    event: int = 0
    basis: str = ""
    begun: datetime
    at: datetime


_COLUMNS = (
    "subscriber",
    "at",
    "kind",
    "subject",
    "requirement",
    "verdict",
    "number",
    "sample",
    "begun",
    "text",
    "mend",
)
_INSERT = Prepared(insert(findings), _COLUMNS)
_MOST = 10_000
"""Rows that one question answers with at most."""


def add_of_all_subscribers(connection: Connection, found: Sequence[Kept]) -> None:
    """Append rows."""
    rows = [{name: getattr(each, name) for name in _COLUMNS} for each in found]
    for row in rows:
        row["kind"], row["verdict"] = row["kind"].value, row["verdict"].value
    _INSERT.carry_out(connection, rows)


def verdicts_of_all_subscribers(
    connection: Connection, kind: Kind, subscriber: str | None, subjects: Collection[str]
) -> dict[tuple[str, str], Last]:
    """Return what was found last of some subjects of one Subscriber, by (subject, requirement)."""
    of = findings.c
    wanted = select(of.subject, of.requirement, of.verdict, of.mend, of.begun).where(
        of.subscriber == subscriber, of.kind == kind.value, of.subject.in_(subjects)
    )
    rows = connection.execute(wanted.order_by(of.id))
    return {(row.subject, row.requirement): Last(Verdict(row.verdict), row.mend, row.begun) for row in rows}


def note_progress_of_all_subscribers(connection: Connection, kind: Kind, progress: Progress) -> None:
    """Remember how far one kind was evaluated; ``progress.id`` is that of the row on which this one follows.

    Where somebody else's row follows on that already, the database refuses this one, and the transaction with it.
    """
    row = {"subscriber": None, "at": progress.at, "kind": kind.value, "event": progress.event, "basis": progress.basis}
    connection.execute(insert(evaluations).values(row | {"begun": progress.begun, "after": progress.id}))


def progress_of_all_subscribers(connection: Connection, kind: Kind) -> Progress | None:
    """Return how far one kind was evaluated last; None where it never was."""
    row = connection.execute(
        select(evaluations).where(evaluations.c.kind == kind.value).order_by(evaluations.c.id.desc()).limit(1)
    ).first()
    if row is None:
        return None
    return Progress(id=row.id, event=row.event, basis=row.basis, begun=row.begun, at=row.at)


def current(
    connection: Connection,
    subscriber: str | None,
    *,
    subject: str | None = None,
    verdict: Verdict | None = None,
    as_of: datetime | None = None,
) -> list[Kept]:
    """Return what holds of one Subscriber, or of the service itself (None), now or at a moment.

    Of each subject and requirement that is the last row, of signatures the sum of all rows with one verdict; what does
    not apply any more is left out.
    """
    wanted = select(findings).where(findings.c.subscriber == subscriber)
    if subject is not None:
        wanted = wanted.where(findings.c.subject == subject)
    if as_of is not None:
        wanted = wanted.where(findings.c.at <= as_of)
    kept = _folded(_kept(row) for row in connection.execute(wanted.order_by(findings.c.id)).mappings())
    return [each for each in kept if verdict in (None, each.verdict)][:_MOST]


def newest_of_all_subscribers(connection: Connection) -> int:
    """Return the number of the newest row; whoever remembers it knows whether there is more."""
    return connection.execute(select(func.max(findings.c.id))).scalar() or 0


def counts_of_all_subscribers(connection: Connection) -> dict[tuple[Kind, Verdict], int]:
    """Return how many findings hold, of all Subscribers and of the service, as :func:`current` has them, in one look.

    Of signatures that is how many keys and requirements have a verdict, not how many signatures.
    """
    of, counts = findings.c, findings.c.kind == Kind.SIGNATURE.value
    last = select(func.max(of.id)).where(~counts).group_by(of.subscriber, of.kind, of.subject, of.requirement)
    things = select(of.kind, of.verdict, func.count()).where(
        of.id.in_(last), of.verdict != Verdict.NOT_APPLICABLE.value
    )
    newest = select(of.subscriber, func.max(of.begun).label("begun")).where(counts).group_by(of.subscriber).subquery()
    cells = (
        select(of.subscriber, of.subject, of.requirement, of.verdict)
        .join(newest, and_(newest.c.subscriber == of.subscriber, newest.c.begun == of.begun))
        .where(counts)
        .distinct()
        .subquery()
    )
    found = {
        (Kind(kind), Verdict(verdict)): number
        for kind, verdict, number in connection.execute(things.group_by(of.kind, of.verdict))
    }
    for verdict, number in connection.execute(select(cells.c.verdict, func.count()).group_by(cells.c.verdict)):
        found[Kind.SIGNATURE, Verdict(verdict)] = number
    return found


def _folded(rows: Iterable[Kept]) -> list[Kept]:
    found: dict[tuple[str, str, str, str], Kept] = {}
    for each in rows:
        counts = each.kind is Kind.SIGNATURE
        place = (each.kind.value, each.subject, each.requirement, each.verdict.value if counts else "")
        before = found.get(place)
        if counts and before is not None and before.begun == each.begun:
            found[place] = msgspec.structs.replace(each, number=before.number + each.number, sample=before.sample)
        else:
            found[place] = each
    newest = max((each.begun for each in found.values() if each.kind is Kind.SIGNATURE), default=None)
    return [each for each in found.values() if _holds(each, newest)]


def _holds(kept: Kept, newest: datetime | None) -> bool:
    if kept.kind is Kind.SIGNATURE:
        return kept.begun == newest
    return kept.verdict is not Verdict.NOT_APPLICABLE


def _kept(row: RowMapping) -> Kept:
    given = {name: row[name] for name in _COLUMNS}
    return Kept(**given | {"kind": Kind(row["kind"]), "verdict": Verdict(row["verdict"])})
