"""The walk of the Requirements: what the records hold becomes subjects, subjects are judged, changed verdicts are kept.

It is done with the duties, at a time that is handed in. What has not changed is not judged again:

* signatures: those released since the last walk, counted by what is alike in them (``records/released.py``);
* certificates: those that were installed since the last walk, for none ever changes; all where the catalogue did;
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
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked, Kind
from privyseal.errors import PrivySealError
from privyseal.records import evidence, findings
from privyseal.records.events import changed_of_all_subscribers
from privyseal.records.findings import Kept, Progress
from privyseal.records.released import Released, newest_event_of_all_subscribers, settled_event_of_all_subscribers
from privyseal.signing import certified, judging
from privyseal.signing.instance import PrivySeal
from privyseal.signing.judging import NONE_DECLARED, Cell, Count, Live
from privyseal.signing.verdicts import FAULTS, Verdicts, kept
from privyseal.strongroom.messages import StamperState

SETTLED = timedelta(minutes=1)
"""Where several nodes write: how old an event must be before reading goes on behind it, so that none with a smaller
number is still to come; a transaction lives ten seconds at most."""


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
    authority = _authority(seal)
    walked = [
        _Things(seal, known, at, breathe).walk(authority),
        _certificates(seal, Asked(at, known.choices), () if authority is None else authority.chain, breathe),
        _signatures(seal, known, at, breathe),
    ]
    return Walked(sum(each.judged for each in walked), sum(each.changed for each in walked))


def _basis(known: Known, day: date | None) -> str:
    """Return what verdicts depend on beside the records: the day if they do, the catalogue, what was stated."""
    texts = [(each.id, each.in_force, each.text) for each in REQUIREMENTS]
    return hashlib.sha256(msgspec.json.encode((day, known, texts), order="sorted")).hexdigest()


class _Things:
    """Judges all that is neither a signature nor a certificate."""

    def __init__(self, seal: PrivySeal, known: Known, at: datetime, breathe: Callable[[], object]) -> None:
        self._breathe = breathe
        self._seal = seal
        self._known = known
        self._at = at
        self._asked = Asked(at, known.choices)
        self._verdicts = Verdicts(seal, at)

    def walk(self, authority: StamperState | None) -> Walked:
        """Judge Key Pairs, Subscribers, members and the service."""
        basis = _basis(self._known, self._at.astimezone(UTC).date())
        with self._seal.records.reading_all_subscribers() as connection:
            since = _since(self._seal, connection, Kind.KEY_PAIR, basis, self._at)
            if since is None:
                return Walked(0, 0)
            touched = since.touched(connection)
            self._key_pairs(connection, touched)
            self._others(connection, touched)
        if touched is None:
            self._service(_told_now(self._seal, self._at, authority))
        since.note(self._seal, self._at)
        return Walked(self._verdicts.judged, self._verdicts.changed)

    def _key_pairs(self, connection: Connection, touched: set[str] | None) -> None:
        if touched is not None and not (touched := _key_ids(connection, touched)):
            return
        for portion in judging.key_pairs(connection, self._known, self._at, touched):
            self._judge(portion)
            self._breathe()

    def _others(self, connection: Connection, touched: set[str] | None) -> None:
        parties = judging.parties(connection, self._known, self._at)
        self._judge([each for each in parties if touched is None or each[1].label in touched])

    def _service(self, live: Live) -> None:
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
            for (_, requirement), was in before.items()
            if was.verdict is not Verdict.NOT_APPLICABLE
        ]
        self._verdicts.append(gone)

    def _judge(self, subjects: Sequence[tuple[str | None, Subject]]) -> None:
        self._verdicts.judge(subjects, lambda each: judging.judge(each, self._asked, everything=True))


class _Since(msgspec.Struct, frozen=True):
    """From where one kind is judged on, and up to where that will be done."""

    kind: Kind
    basis: str
    last: Progress | None
    """None where it was never judged, or on another basis."""
    follows: int
    """The id of the row on which the next one follows."""
    event: int
    """The newest event that no other will come before."""

    def touched(self, connection: Connection) -> set[str] | None:
        """Return what events were about since then; None where everything is judged."""
        return None if self.last is None else changed_of_all_subscribers(connection, self.last.event)

    def note(self, seal: PrivySeal, at: datetime) -> None:
        """Write down how far it was judged."""
        progress = Progress(id=self.follows, event=self.event, basis=self.basis, begun=at, at=at)
        with seal.records.batch() as batch:
            findings.note_progress_of_all_subscribers(batch.across_subscribers(), self.kind, progress)


def _since(seal: PrivySeal, connection: Connection, kind: Kind, basis: str, at: datetime) -> _Since | None:
    """Return where one kind is judged on from; None where nothing happened since.

    Where several nodes write, what young events are about is judged now, and once more when they have settled: one with
    a smaller number may come in between, and to judge a thing twice changes nothing.
    """
    last = findings.progress_of_all_subscribers(connection, kind)
    newest = newest_event_of_all_subscribers(connection)
    same = last is not None and last.basis == basis
    if last is not None and same and last.event == newest:
        return None
    if seal.records.dialect.shared:
        newest = settled_event_of_all_subscribers(connection, 0 if last is None else last.event, at - SETTLED)
    return _Since(kind, basis, last if same else None, 0 if last is None else last.id, newest)


def _certificates(seal: PrivySeal, asked: Asked, authority: tuple[bytes, ...], breathe: Callable[[], object]) -> Walked:
    """Judge the certificates that came since the last walk; all of them where the catalogue is another.

    ``authority`` is the chain of the Timestamp Authority, which is judged where it is another than the last time.
    """
    at = asked.at
    verdicts, basis = Verdicts(seal, at), certified.basis(asked)

    def judge(some: Sequence[certified.Owned]) -> None:
        verdicts.judge(some, lambda each: judging.worst(certified.judge(each, asked)), FAULTS)

    with seal.records.reading_all_subscribers() as connection:
        since = _since(seal, connection, Kind.CERTIFICATE, basis, at)
        if since is not None:
            for portion in certified.installed(connection, since.touched(connection)):
                judge(portion)
                breathe()
        last = findings.progress_of_all_subscribers(connection, Kind.TIMESTAMP_AUTHORITY)
    if since is not None:
        since.note(seal, at)
    own = hashlib.sha256(b"".join((basis.encode(), *authority))).hexdigest()
    if authority and (last is None or last.basis != own):
        judge([(None, each) for each in certified.read(authority)])
        _Since(Kind.TIMESTAMP_AUTHORITY, own, None, 0 if last is None else last.id, 0).note(seal, at)
    return Walked(verdicts.judged, verdicts.changed)


def _told_now(seal: PrivySeal, at: datetime, authority: StamperState | None) -> Live:
    """Ask the logger, and add what the stamper said; the records are held against the log anew for this."""
    whole_at, entries = None, None
    if seal.recollection is not None:
        with suppress(PrivySealError):  # where the log cannot be asked now, nothing is known
            gap = seal.recollection.gap()
            entries, whole_at = gap.size, None if gap.missing else at
    until = None if authority is None else authority.not_after
    return Live(entries=entries, whole_at=whole_at, authority_until=until)


def _authority(seal: PrivySeal) -> StamperState | None:
    """Ask the stamper; where it does not answer, nothing is known of it."""
    with suppress(PrivySealError):
        return seal.stamper.health()
    return None


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


def _counted(cell: Cell, at: datetime, begun: datetime) -> Kept:
    row = kept(cell.subscriber, Kind.SIGNATURE, cell.key, cell.finding, at)
    return msgspec.structs.replace(row, sample=cell.sample, number=cell.number, begun=begun)


def _key_ids(connection: Connection, touched: set[str]) -> set[str]:
    """Return the ids of the Key Pairs that events touched: by their own id, or by that of a certificate."""
    return evidence.touched_keys_of_all_subscribers(connection, touched)
