"""The walk of the Requirements: what the records hold becomes subjects, subjects are judged, changed verdicts are kept.

It is done with the duties, at a time that is handed in. What has not changed is not judged again:

* signatures: those released since the last walk, counted by what is alike in them (``records/released.py``);
* Key Pairs, Subscribers, members, the log, the organisation: where an event since the last walk is about one of them,
  and all of them when the *basis* changed, that is the day (UTC), the catalogue, or what was stated beside the records.

Nothing here says that a service is compliant: there are verdicts on single requirements, and unknown is never met.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import msgspec
from sqlalchemy import Connection

from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.evaluate import Subject
from privyseal.compliance.known import Known
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Asked, Kind
from privyseal.errors import PrivySealError
from privyseal.records import evidence, findings
from privyseal.records.events import changed_of_all_subscribers
from privyseal.records.findings import Kept, Progress
from privyseal.records.released import Released, newest_event_of_all_subscribers
from privyseal.signing import announce, judging
from privyseal.signing.instance import PrivySeal
from privyseal.signing.judging import NONE_DECLARED, Cell, Count, Live

SETTLED = timedelta(minutes=1)
"""Where several nodes write: how old an event must be to be read, so that none with a smaller number is still to come;
a transaction lives ten seconds at most."""


class Walked(msgspec.Struct, frozen=True):
    """What one walk did."""

    judged: int
    """Subjects that were judged; of signatures all that they stand for."""
    changed: int
    """Rows that were written."""


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
        for portion in judging.key_pairs(connection, self._known, self._at, touched):
            self._judge(portion)
            self._breathe()

    def _others(self, connection: Connection, touched: set[str] | None) -> None:
        parties = judging.parties(connection, self._known, self._at)
        self._judge([each for each in parties if touched is None or each[1].label in touched])

    def _service(self) -> None:
        live = _told_now(self._seal, self._at)
        with self._seal.records.reading_all_subscribers() as connection:
            service = list(judging.service(connection, self._known, self._at, self._seal.service.name, live))
        self._judge([(None, each) for each in service])
        if self._known.audit_periods:
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
                for subject in some:
                    for finding in judging.judge(subject, self._asked, everything=True):
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


def _told_now(seal: PrivySeal, at: datetime) -> Live:
    """Ask the logger and the stamper; the records are held against the log anew for this."""
    whole_at, entries, not_after = None, None, None
    if seal.recollection is not None:
        with suppress(PrivySealError):  # where the log cannot be asked now, nothing is known
            gap = seal.recollection.gap()
            entries, whole_at = gap.size, None if gap.missing else at
    with suppress(PrivySealError):  # where the stamper does not answer, that is not known either
        not_after = seal.stamper.health().not_after
    return Live(entries=entries, whole_at=whole_at, authority_until=not_after)


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
        count = Count(released, Asked(at, known.choices))
        event = start.event
        for portion in released.since(event, settled):
            event = portion.event
            count.add_all(portion.groups.items())
            breathe()
    if goes_on and event == start.event:
        return Walked(0, 0)
    rows = [_counted(cell, at, start.begun) for cell in count.cells]
    with seal.records.batch() as batch:
        across = batch.across_subscribers()
        findings.add_of_all_subscribers(across, rows)
        findings.note_progress_of_all_subscribers(across, Kind.SIGNATURE, msgspec.structs.replace(start, event=event))
    return Walked(count.judged, len(rows))


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


def _counted(cell: Cell, at: datetime, begun: datetime) -> Kept:
    row = _kept(cell.subscriber, Kind.SIGNATURE, cell.key, cell.finding, at)
    return msgspec.structs.replace(row, sample=cell.sample, number=cell.number, begun=begun)


def _key_ids(connection: Connection, touched: set[str]) -> set[str]:
    """Return the ids of the Key Pairs that events touched: by their own id, or by that of a certificate."""
    return evidence.touched_keys_of_all_subscribers(connection, touched)
