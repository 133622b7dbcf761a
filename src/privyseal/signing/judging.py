"""Who is judged in a service, and how: one way, for the walk that keeps verdicts, for reports, and for what-ifs.

Everything is read through one connection, at a time that is handed in, and nothing is written. What only the living
processes can tell is handed in too (``Live``): a report, which must come out the same tomorrow, has none of it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.evaluate import Subject, evaluate
from privyseal.compliance.incidents import record as incident_record
from privyseal.compliance.known import SERVICE, Known, of_key, of_subscriber
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked, Kind, Party, Requirement, Scope
from privyseal.compliance.statements_of_timestamps import TimestampKeyUsed
from privyseal.compliance.subjects import (
    TIMESTAMPS,
    AuditPeriodRecord,
    IncidentRecord,
    KeyPairRecord,
    LogRecord,
    OrganisationRecord,
    TimestampAuthorityRecord,
)
from privyseal.records import agreements, evidence
from privyseal.records import incidents as reported
from privyseal.records.released import Alike, Released, Seen, Within

MOST_ALIKE = 10_000
"""Sorts of signatures whose verdicts are remembered while they are counted."""

NONE_DECLARED = "none declared"
"""What stands in the place of an audit period where nobody declared one."""

_OURS = frozenset({Party.SIGNING_SERVICE, Party.SUBSCRIBER, Party.TIMESTAMP_AUTHORITY})
_WORST = (Verdict.NOT_MET, Verdict.BROKEN, Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT, Verdict.MET)

Owned = tuple[str | None, Subject]
"""A subject and the name of the Subscriber whose it is; None for the service's own."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What the living processes told just now; None where they did not, or were not asked."""

    entries: int | None = None
    """Of the log."""
    whole_at: datetime | None = None
    """When the records lacked nothing that the log holds of them."""
    authority_until: datetime | None = None
    """The end of the Timestamp Authority's certificate."""


NOT_ASKED = Live()
"""Nothing that a living process tells."""


@functools.cache
def requirements_for(kind: Kind) -> tuple[Requirement, ...]:
    """Return what is judged on one kind of subject in a service like ours: what binds it, or its Subscribers."""
    return tuple(each for each in REQUIREMENTS if kind in each.kinds and _OURS & set(each.binds))


def judge(subject: Subject, asked: Asked, *, everything: bool = False) -> Iterator[Finding]:
    """Yield one finding for each requirement on a subject: of several the worst, for one row tells one verdict."""
    return worst(evaluate(subject, requirements_for(subject.kind), asked, everything=everything))


def worst(found: Iterable[Finding]) -> Iterator[Finding]:
    """Yield of several findings on one requirement the worst, for each requirement."""
    by_requirement: dict[str, list[Finding]] = {}
    for each in found:
        by_requirement.setdefault(each.requirement, []).append(each)
    for several in by_requirement.values():
        yield (
            several[0]
            if len(several) == 1
            else min(several, key=lambda each: _WORST.index(each.verdict) if each.verdict in _WORST else len(_WORST))
        )


# -- who is judged -----------------------------------------------------------------------------------------------------
def key_pairs(
    connection: Connection, known: Known, at: datetime, only: Collection[str] | None = None
) -> Iterator[list[Owned]]:
    """Yield all Key Pairs in portions; ``only`` those with these key ids."""
    for portion in evidence.key_pairs_of_all_subscribers(connection, known, at, only):
        yield [(owner, record) for owner, record in portion]


def parties(connection: Connection, known: Known, at: datetime) -> Iterator[Owned]:
    """Yield every Subscriber, every member and every incident."""
    for each in evidence.subscribers_of_all(connection, known, at):
        yield each.label, each
    yield from evidence.members_of_all_subscribers(connection, known, at)
    yield from incidents(connection, known, at)


def incidents(connection: Connection, known: Known, at: datetime) -> Iterator[tuple[str, IncidentRecord]]:
    """Yield every report that nobody found to be unfounded, with the name of its Subscriber."""
    for each in reported.cases_of_all_subscribers(connection):
        if each.case.judged != "unfounded" and each.case.reported_at <= at:
            documents = known.documents(SERVICE, of_subscriber(each.subscriber))
            last = reported.last_release_of_all_subscribers(connection, each.subscriber, each.case.key_ids)
            yield each.subscriber, incident_record(each.case, at, documents, last)


def service(connection: Connection, known: Known, at: datetime, name: str, live: Live) -> Iterator[Subject]:
    """Yield the service itself: its organisation, log, Timestamp Authority with its keys, and audit periods."""
    documents = known.documents(SERVICE)
    internal = agreements.internal_of_all_subscribers(connection, at)
    teams = None if internal is None else (internal.ca_team, internal.service_team)
    yield OrganisationRecord(label=name, at=at, evidence=documents, teams=teams, clouds=known.clouds)
    yield LogRecord(
        label="log",
        at=at,
        evidence=documents,
        begun=evidence.oldest_of_all_subscribers(connection),
        entries=live.entries,
        whole_at=live.whole_at,
        losses=tuple(each for each in evidence.losses_of_all_subscribers(connection) if each.at <= at),
        checks=tuple(each for each in evidence.log_checks_of_all_subscribers(connection) if each <= at),
    )
    yield TimestampAuthorityRecord(
        label="timestamp authority", at=at, evidence=documents, not_after=live.authority_until
    )
    yield from (timestamp_key(each, known, at) for each in known.timestamp_keys)
    yield from audit_periods(known, at)


def timestamp_key(used: TimestampKeyUsed, known: Known, at: datetime) -> KeyPairRecord:
    """Return a key of the Timestamp Authority as the clauses on keys see it."""
    guard = used.protection
    return KeyPairRecord(
        label=f"timestamp key {used.key_id[:16]}",
        at=at,
        scopes=TIMESTAMPS,
        evidence=known.documents(of_key(used.key_id)),
        store=None if guard is None else guard.store,
        assurance=None if guard is None else guard.assurance,
        generated_inside=None if guard is None else guard.generated_inside,
        never_extractable=None if guard is None else guard.never_extractable,
        module="" if guard is None else guard.module,
        register=known.modules,
        issued=used.issued,
    )


def audit_periods(known: Known, at: datetime) -> list[AuditPeriodRecord]:
    """Return the audit periods that are declared; where none is, one of which nothing is known, so that it is seen."""
    documents = known.documents(SERVICE)
    # As long as none is declared of the Timestamp Authority, the clauses on its audit are asked of the service's.
    scopes: frozenset[Scope] = frozenset({Scope.EV, Scope.NON_EV}) if known.authority_audits else frozenset()
    declared = [
        AuditPeriodRecord(
            label=f"{start.date()} to {end.date()}", at=at, evidence=documents, start=start, end=end, scopes=scopes
        )
        for start, end in known.audit_periods
    ]
    declared = declared or [AuditPeriodRecord(label=NONE_DECLARED, at=at, evidence=documents, scopes=scopes)]
    return declared + [
        AuditPeriodRecord(
            label=f"timestamp authority {start.date()} to {end.date()}",
            at=at,
            evidence=(*documents, *own),
            start=start,
            end=end,
            scopes=TIMESTAMPS,
        )
        for start, end, own in known.authority_audits
    ]


def things(connection: Connection, known: Known, at: datetime, name: str) -> Iterator[Subject]:
    """Yield all that is not a signature, as it was at ``at`` as far as the records tell, and nobody is asked.

    What is a Subscriber's is named with it, such as ``acme/release``. What came after ``at`` is left out where its time
    is known; of members it is not.
    """
    for portion in evidence.key_pairs_of_all_subscribers(connection, known, at):
        for owner, pair in portion:
            if pair.generated is None or pair.generated <= at:
                yield msgspec.structs.replace(pair, label=f"{owner}/{pair.label}")
    for each in evidence.subscribers_of_all(connection, known, at):
        if each.enrolled is None or each.enrolled <= at:
            begun = each.first_signature is not None and each.first_signature <= at
            yield each if begun else msgspec.structs.replace(each, first_signature=None)
    for owner, member in evidence.members_of_all_subscribers(connection, known, at):
        yield msgspec.structs.replace(member, label=f"{owner}/{member.label}")
    for owner, incident in incidents(connection, known, at):
        yield msgspec.structs.replace(incident, label=f"{owner}/{incident.label}")
    yield from service(connection, known, at, name, NOT_ASKED)


def with_certificates(connection: Connection, known: Known, at: datetime, name: str) -> Iterator[Subject]:
    """Yield the certificates, and then all that is not a signature: what a ballot may be held against."""
    for owner, certificate in evidence.certificates_of_all_subscribers(connection, at):
        yield msgspec.structs.replace(certificate, label=f"{owner}/{certificate.label}")
    yield from things(connection, known, at, name)


# -- what is found -----------------------------------------------------------------------------------------------------
def findings(
    connection: Connection, known: Known, at: datetime, name: str, within: Within
) -> Iterator[tuple[Finding, int]]:
    """Yield all that is found of a service (``name``) and its signatures ``within``, each with how many it speaks of.

    Signatures are counted by key and verdict, and named by both key and the request of the first of them.
    """
    asked = Asked(at, known.choices)
    for subject in things(connection, known, at, name):
        for finding in judge(subject, asked):
            yield finding, 1
    count = Count(Released(connection, known, at, within), asked)
    for portion in count.released.since(0):
        count.add_all(portion.groups.items())
    for cell in count.cells:
        label = f"{cell.subscriber}/{cell.key}, {cell.sample}"
        governed = cell.finding.governed if cell.number == 1 else None  # several have several days
        yield msgspec.structs.replace(cell.finding, subject=label, governed=governed), cell.number


class Cell(msgspec.Struct):
    """How many signatures with one key have one verdict on one requirement."""

    subscriber: str
    key: str
    finding: Finding
    """About the first of them."""
    sample: str
    """Its request."""
    number: int = 0


class Count:
    """Counts signatures by key, requirement and verdict: memory grows with the number of keys only."""

    def __init__(self, released: Released, asked: Asked) -> None:
        """Count what ``released`` yields, as of the day asked."""
        self.released = released
        self._asked = asked
        self._cells: dict[Alike, list[Cell]] = {}
        self._counted: dict[tuple[str, str, str, Verdict], Cell] = {}
        self.judged = 0

    @property
    def cells(self) -> Iterable[Cell]:
        """Return what was counted, in the order in which it was first seen."""
        return self._counted.values()

    def add_all(self, groups: Iterable[tuple[Alike, Seen]]) -> None:
        """Judge the first of each group of signatures, unless one like it was judged before, and count them all."""
        for alike, seen in groups:
            self.judged += seen.number
            cells = self._cells.get(alike)
            if cells is None:
                if len(self._cells) >= MOST_ALIKE:
                    self._cells.clear()
                cells = self._cells[alike] = self._cells_of(alike, seen)
            for cell in cells:
                cell.number += seen.number

    def _cells_of(self, alike: Alike, seen: Seen) -> list[Cell]:
        cells = []
        for finding in judge(self.released.record(alike, seen), self._asked):
            place = (alike.subscriber, alike.key, finding.requirement, finding.verdict)
            cell = self._counted.get(place)
            if cell is None:
                cell = self._counted[place] = Cell(alike.subscriber, alike.key, finding, seen.request)
            cells.append(cell)
        return cells
