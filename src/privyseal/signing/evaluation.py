"""The walk of the Requirements: what the records hold becomes subjects, subjects are judged, changed verdicts are kept.

It is done with the duties, at a time that is handed in. What has not changed is not judged again:

* signatures: those released since the last walk, counted by what is alike in them (``records/released.py``);
* Key Pairs, Subscribers, members, the log, the organisation: where an event since the last walk is about one of them,
  and all of them when the *basis* changed, that is the day (UTC), the catalogue, or what was stated beside the records.

Nothing here says that a service is compliant: there are verdicts on single requirements, and unknown is never met.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import msgspec
from sqlalchemy import Connection

from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.evaluate import Subject, evaluate
from privyseal.compliance.known import SERVICE, Known
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked, Kind, Party, Requirement
from privyseal.compliance.subjects import AuditPeriodRecord, LogRecord, OrganisationRecord, TimestampAuthorityRecord
from privyseal.errors import PrivySealError
from privyseal.records import evidence, findings
from privyseal.records.events import changed_of_all_subscribers
from privyseal.records.findings import Kept, Progress
from privyseal.records.released import Alike, Released, Seen, newest_event_of_all_subscribers
from privyseal.signing import announce
from privyseal.signing.instance import PrivySeal

SETTLED = timedelta(minutes=1)
"""Where several nodes write: how old an event must be to be read, so that none with a smaller number is still to come;
a transaction lives ten seconds at most."""

MOST_ALIKE = 10_000
"""Sorts of signatures whose verdicts are remembered within one walk."""

NONE_DECLARED = "none declared"
"""What stands in the place of an audit period where nobody declared one."""

_OURS = frozenset({Party.SIGNING_SERVICE, Party.SUBSCRIBER, Party.TIMESTAMP_AUTHORITY})


class Walked(msgspec.Struct, frozen=True):
    """What one walk did."""

    judged: int
    """Subjects that were judged; of signatures all that they stand for."""
    changed: int
    """Rows that were written."""


def requirements_for(kind: Kind) -> tuple[Requirement, ...]:
    """Return what is judged on one kind of subject in a service like ours: what binds it, or its Subscribers."""
    return tuple(each for each in REQUIREMENTS if kind in each.kinds and _OURS & set(each.binds))


def walk(seal: PrivySeal, at: datetime, *, breathe: Callable[[], object] = lambda: None) -> Walked:
    """Judge what changed since the last walk, or all where there was none; keep what changed.

    ``breathe`` is called after each portion. Where another node was quicker its count stands: Conflict.
    """
    with seal.records.reading_all_subscribers() as connection:
        known = seal.stated.known_of_all_subscribers(connection)
    things = _Things(seal, known, at, breathe).walk()
    signatures = _signatures(seal, known, at, breathe)
    return Walked(things.judged + signatures.judged, things.changed + signatures.changed)


def _basis(known: Known, day: date | None) -> str:
    """Return what verdicts depend on beside the records: the day if they do, the catalogue, what was stated."""
    texts = [(each.id, each.in_force, each.text) for each in REQUIREMENTS]
    return hashlib.sha256(msgspec.json.encode((day, known, texts), order="sorted")).hexdigest()


class _Things:
    """Judges all that is not a signature."""

    def __init__(self, seal: PrivySeal, known: Known, at: datetime, breathe: Callable[[], object]) -> None:
        self._breathe = breathe
        self._seal = seal
        self._known = known
        self._at = at
        self._asked = Asked(at, known.choices)
        self.judged = self.changed = 0

    def walk(self) -> Walked:
        """Judge Key Pairs, Subscribers, members and the service."""
        basis = _basis(self._known, self._at.astimezone(UTC).date())
        with self._seal.records.reading_all_subscribers() as connection:
            last = findings.progress_of_all_subscribers(connection, Kind.KEY_PAIR)
            newest = newest_event_of_all_subscribers(connection)
            if last is not None and last.basis == basis:
                if last.event == newest:
                    return Walked(0, 0)
                touched: set[str] | None = changed_of_all_subscribers(connection, last.event)
            else:
                touched = None
        with self._seal.records.reading_all_subscribers() as connection:
            self._key_pairs(connection, touched)
            self._others(connection, touched)
        if touched is None:
            self._service()
        progress = Progress(id=0 if last is None else last.id, event=newest, basis=basis, begun=self._at, at=self._at)
        with self._seal.records.batch() as batch:
            findings.note_progress_of_all_subscribers(batch.across_subscribers(), Kind.KEY_PAIR, progress)
        return Walked(self.judged, self.changed)

    def _key_pairs(self, connection: Connection, touched: set[str] | None) -> None:
        if touched is not None and not (touched := _key_ids(connection, touched)):
            return
        for portion in evidence.key_pairs_of_all_subscribers(connection, self._known, self._at, touched):
            self._judge([(of, record) for of, record in portion])
            self._breathe()

    def _others(self, connection: Connection, touched: set[str] | None) -> None:
        subscribers = evidence.subscribers_of_all(connection, self._known, self._at)
        self._judge([(each.label, each) for each in subscribers if touched is None or each.label in touched])
        members = evidence.members_of_all_subscribers(connection, self._known, self._at)
        self._judge([(of, each) for of, each in members if touched is None or each.label in touched])

    def _service(self) -> None:
        seal, known, at = self._seal, self._known, self._at
        organisation = OrganisationRecord(label=seal.service.name, at=at, evidence=known.documents(SERVICE))
        self._judge([(None, organisation), (None, log_record(seal, known, at)), (None, authority(seal, known, at))])
        self._judge([(None, each) for each in audit_periods(known, at)])
        if known.audit_periods:
            self._retire(Kind.AUDIT_PERIOD, NONE_DECLARED, "Audit periods are declared by now.")

    def _retire(self, kind: Kind, label: str, why: str) -> None:
        """Append that nothing applies any more to a subject of the service that is no more."""
        with self._seal.records.reading_all_subscribers() as connection:
            before = findings.verdicts_of_all_subscribers(connection, kind, None, [label])
        gone = [
            Kept(
                subscriber=None,
                at=self._at,
                kind=kind,
                subject=label,
                requirement=requirement,
                verdict=Verdict.NOT_APPLICABLE,
                begun=self._at,
                text=why,
            )
            for (_, requirement), verdict in before.items()
            if verdict is not Verdict.NOT_APPLICABLE
        ]
        if gone:
            with self._seal.records.batch() as batch:
                findings.add_of_all_subscribers(batch.across_subscribers(), gone)
        self.changed += len(gone)

    def _judge(self, subjects: Sequence[tuple[str | None, Subject]]) -> None:
        """Judge some subjects and append the verdicts that are others than before."""
        by_owner: dict[tuple[str | None, Kind], list[Subject]] = {}
        for owner, subject in subjects:
            by_owner.setdefault((owner, subject.kind), []).append(subject)
        self.judged += len(subjects)
        with self._seal.records.reading_all_subscribers() as connection:
            new, changed = [], []
            for (owner, kind), some in by_owner.items():
                before = findings.verdicts_of_all_subscribers(connection, kind, owner, [each.label for each in some])
                rules = requirements_for(kind)
                for subject in some:
                    for finding in _merged(evaluate(subject, rules, self._asked, everything=True)):
                        was = before.get((subject.label, finding.requirement))
                        if was is finding.verdict or (was is None and finding.verdict is Verdict.NOT_APPLICABLE):
                            continue
                        row = _kept(owner, kind, subject.label, finding, self._at)
                        new.append(row)
                        if was is not None:
                            changed.append(row)
        self.changed += len(new)
        if new:
            with self._seal.records.batch() as batch:
                findings.add_of_all_subscribers(batch.across_subscribers(), new)
                announce.verdicts_changed(self._seal, batch, changed)


def log_record(seal: PrivySeal, known: Known, at: datetime) -> LogRecord:
    """Return the log as it is judged; the records are held against it anew for this."""
    whole_at, entries = None, None
    if seal.recollection is not None:
        with suppress(PrivySealError):  # where the log cannot be asked now, nothing is known
            gap = seal.recollection.gap()
            entries, whole_at = gap.size, None if gap.missing else at
    with seal.records.reading_all_subscribers() as connection:
        return LogRecord(
            label="log",
            at=at,
            evidence=known.documents(SERVICE),
            begun=evidence.oldest_of_all_subscribers(connection),
            entries=entries,
            whole_at=whole_at,
            losses=evidence.losses_of_all_subscribers(connection),
        )


def authority(seal: PrivySeal, known: Known, at: datetime) -> TimestampAuthorityRecord:
    """Return the service's own Timestamp Authority as it is judged; what its clock did nobody records yet."""
    not_after = None
    with suppress(PrivySealError):  # where the stamper does not answer, that is not known either
        not_after = seal.stamper.health().not_after
    return TimestampAuthorityRecord(
        label="timestamp authority", at=at, evidence=known.documents(SERVICE), not_after=not_after
    )


def audit_periods(known: Known, at: datetime) -> list[AuditPeriodRecord]:
    """Return the audit periods that are declared; where none is, one of which nothing is known, so that it is seen."""
    documents = known.documents(SERVICE)
    declared = [
        AuditPeriodRecord(label=f"{start.date()} to {end.date()}", at=at, evidence=documents, start=start, end=end)
        for start, end in known.audit_periods
    ]
    return declared or [AuditPeriodRecord(label=NONE_DECLARED, at=at, evidence=documents)]


def _signatures(seal: PrivySeal, known: Known, at: datetime, breathe: Callable[[], object]) -> Walked:
    """Count the verdicts of signatures that were released since the last walk; of all where their basis changed."""
    basis, settled = _basis(known, None), at - SETTLED if seal.records.dialect.shared else None
    with seal.records.reading_all_subscribers() as connection:
        last = findings.progress_of_all_subscribers(connection, Kind.SIGNATURE)
        goes_on = last is not None and last.basis == basis
        start = Progress(id=last.id if last else 0, basis=basis, begun=at, at=at)
        if last is not None and goes_on:
            start = msgspec.structs.replace(last, at=at)
        released = Released(connection, known, at)
        count = _Count(released, start.begun, Asked(at, known.choices))
        event = start.event
        for portion in released.since(event, settled):
            event = portion.event
            for alike, seen in portion.groups.items():
                count.add(alike, seen)
            breathe()
    if goes_on and event == start.event:
        return Walked(0, 0)
    rows = count.rows
    with seal.records.batch() as batch:
        across = batch.across_subscribers()
        findings.add_of_all_subscribers(across, rows)
        findings.note_progress_of_all_subscribers(across, Kind.SIGNATURE, msgspec.structs.replace(start, event=event))
    return Walked(count.judged, len(rows))


class _Count:
    """Counts signatures by key, requirement and verdict."""

    def __init__(self, released: Released, begun: datetime, asked: Asked) -> None:
        self._released = released
        self._begun = begun
        self._asked = asked
        self._rules = requirements_for(Kind.SIGNATURE)
        self._cells: dict[Alike, list[_Cell]] = {}
        self._counted: dict[tuple[str, str, str, Verdict], _Cell] = {}
        self.judged = 0

    @property
    def rows(self) -> list[Kept]:
        """Return what was counted, as it is kept."""
        return [msgspec.structs.replace(cell.kept, number=cell.number) for cell in self._counted.values()]

    def add(self, alike: Alike, seen: Seen) -> None:
        """Judge the first of some signatures, unless one like it was judged before, and count them all."""
        self.judged += seen.number
        cells = self._cells.get(alike)
        if cells is None:
            if len(self._cells) >= MOST_ALIKE:
                self._cells.clear()
            cells = self._cells[alike] = self._cells_of(alike, seen)
        for cell in cells:
            cell.number += seen.number

    def _cells_of(self, alike: Alike, seen: Seen) -> list[_Cell]:
        record = self._released.record(alike, seen)
        cells = []
        for finding in _merged(evaluate(record, self._rules, self._asked)):
            place = (alike.subscriber, alike.key, finding.requirement, finding.verdict)
            cell = self._counted.get(place)
            if cell is None:
                row = _kept(alike.subscriber, Kind.SIGNATURE, alike.key, finding, self._asked.at)
                kept = msgspec.structs.replace(row, sample=seen.request, begun=self._begun)
                cell = self._counted[place] = _Cell(kept)
            cells.append(cell)
        return cells


class _Cell(msgspec.Struct):
    """How many signatures with one key have one verdict on one requirement."""

    kept: Kept
    number: int = 0


_WORST = (Verdict.NOT_MET, Verdict.BROKEN, Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT, Verdict.MET)


def _merged(found: Iterable[Finding]) -> Iterable[Finding]:
    """Yield one finding for each requirement: of several the worst, for one row tells one verdict."""
    by_requirement: dict[str, list[Finding]] = {}
    for each in found:
        by_requirement.setdefault(each.requirement, []).append(each)
    for several in by_requirement.values():
        yield min(several, key=lambda each: _WORST.index(each.verdict) if each.verdict in _WORST else len(_WORST))


def _kept(owner: str | None, kind: Kind, subject: str, finding: Finding, at: datetime) -> Kept:
    return Kept(
        subscriber=owner,
        at=at,
        kind=kind,
        subject=subject,
        requirement=finding.requirement,
        verdict=finding.verdict,
        begun=at,
        text=finding.text,
        mend=finding.mend,
    )


def _key_ids(connection: Connection, touched: set[str]) -> set[str]:
    """Return the ids of the Key Pairs that events touched: by their own id, or by that of a certificate."""
    return evidence.touched_keys_of_all_subscribers(connection, touched)
