"""All signatures of a service, read once and in bulk, and afterwards only those that came since.

A million signatures are alike but for their time: the same key and certificate, asked for in the same way. Verdicts
depend on what is alike and on which limits the time lies between (``SignatureRecord.limits``), so what is yielded is
one subject for each such group of a portion, with the number of signatures that it stands for. Events are read in the
order of their numbers, and a request's signature counts where its event ``released`` stands; whoever asked for it
stands before that, mostly in the same portion.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, and_, bindparam, case, func, or_, select

from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.known import SERVICE, Known, of_subscriber
from privyseal.compliance.requirement import Kind
from privyseal.compliance.subjects import SignatureRecord
from privyseal.records import evidence
from privyseal.records.tables import approvals, certificates, events, key_pairs, requests
from privyseal.terms.keys import KeyPair
from privyseal.tlog.proof import parse_proof

PORTION = 5000
"""Events that are read at once, with the requests that they release: about 6 MiB."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = 2**62
"""Behind every entry of every log."""
MOST_PENDING = 100_000
"""Requests that are not released yet of which is kept in mind who agreed and by what they proved it; of others it is
read again."""
_SURE_AFTER = 60_000_000
"""Microseconds from the first event that is read on within which a request may have events that stand before it."""


NEAR = 65_536
"""Entries below a head of the log among which an intent may stand whose completion does not: of those, receipts are
read. A walk logs both within seconds, and one that fell over is finished with the next duties."""

_Asked = tuple[tuple[str, str], ...]
"""Events about one request, (actor, what), in their order."""


class Alike(NamedTuple):
    """All that is judged of a signature, but for the time within its epoch."""

    subscriber: str
    key: str
    certificate: str
    asked: _Asked
    logged: bool
    names: bool
    """Whether the request itself, and so what the log commits to, says who asked."""
    epoch: int
    """How many limits lie before its time."""
    scan: evidence.Scanned = None


class Seen(msgspec.Struct):
    """Signatures that are alike: the first of them, and how many there are."""

    request: str
    signed: int
    """Microseconds since 1970, as the records have it."""
    intent: int | None
    number: int = 1


class Within(msgspec.Struct, frozen=True, kw_only=True):
    """Signatures to which reading is confined: those released in a period that a head of the log covers."""

    start: datetime
    end: datetime
    """The first moment that is not in the period any more."""
    size: int
    """Of the log: whatever was completed behind its last entry is not covered."""


class Portion(msgspec.Struct, frozen=True):
    """What was found up to and including one event."""

    event: int
    groups: dict[Alike, Seen]


class _Scan(msgspec.Struct, frozen=True):
    verdict: str


class _Seen(msgspec.Struct, frozen=True):
    scans: tuple[_Scan, ...]


class _Named(msgspec.Struct, frozen=True):
    """The part of a request's canonical octets that is looked at."""

    key: str
    certificate: str
    requester: str = ""
    """Who asks; empty where the request does not say it."""
    mode: str = "local"
    seen: _Seen | None = None

    @property
    def verdicts(self) -> list[str]:
        """Return what the scanners said of the file."""
        return [] if self.seen is None else [each.verdict for each in self.seen.scans]


class _Basis(msgspec.Struct):
    """What all signatures with one key under one certificate share."""

    example: SignatureRecord
    limits: list[int]
    """As microseconds since 1970."""


_TOLD = select(
    events.c.id, events.c.at, events.c.actor, events.c.what, events.c.subject, requests.c.subscriber,
    requests.c.requester, requests.c.canonical, requests.c.created, requests.c.intent_index,
    case((requests.c.intent_index >= bindparam("p_near"), requests.c.receipt)),
).select_from(
    events.outerjoin(requests, and_(requests.c.id == events.c.subject, events.c.what == "released"))
).where(
    events.c.id > bindparam("p_event"),
    or_(events.c.what == "released", events.c.what.like("by %"), events.c.what.like("approved as %")),
).order_by(events.c.id).limit(bindparam("p_most"))  # fmt: skip
"""Releases with their requests, and what tells of proofs and approvals; who asked, the request itself says."""
_PAIR = select(key_pairs.c.document).where(
    key_pairs.c.subscriber == bindparam("p_subscriber"), key_pairs.c.name == bindparam("p_key")
)
_CHAIN = select(certificates.c.chain).where(
    certificates.c.subscriber == bindparam("p_subscriber"), certificates.c.fingerprint == bindparam("p_certificate")
)


class Released:
    """Reads released requests in the order of their events, through one transaction that looks across Subscribers."""

    def __init__(self, connection: Connection, known: Known, at: datetime, within: Within | None = None) -> None:
        """Read through ``connection``, all signatures or those ``within``; subjects are as known at ``at``."""
        self._connection = connection
        self._known = known
        self._at = at
        self._within = within
        self._near = _NEVER if within is None else max(0, within.size - NEAR)
        self._pending: dict[str, _Asked] = {}
        self._bases: dict[tuple[str, str, str], _Basis] = {}
        self._machines = evidence.workloads(connection)
        self._decode = msgspec.json.Decoder(_Named).decode
        self._sure_from = 0
        """Of requests made before this, microseconds since 1970, who asked and agreed is read again."""

    def since(self, event: int, settled: datetime | None = None) -> Iterator[Portion]:
        """Yield portions of what follows on an event's number.

        With ``settled`` reading ends before the first event that is younger: another node may be about to commit one
        with a smaller number.
        """
        youngest = None if settled is None else _stored(settled)
        begun = event == 0
        while True:
            rows = self._raw(_TOLD, p_event=event, p_most=PORTION, p_near=self._near)
            if youngest is not None:
                rows = rows[: next((place for place, row in enumerate(rows) if row[1] > youngest), None)]
            if not rows:
                return
            if not begun:
                begun, self._sure_from = True, rows[0][1] + _SURE_AFTER
            event = rows[-1][0]
            yield Portion(event, self._groups(rows))

    def record(self, alike: Alike, seen: Seen) -> SignatureRecord:
        """Return the first of some signatures that are alike as it is judged."""
        by = evidence.told_by(alike.asked, self._machines)
        return msgspec.structs.replace(
            self._bases[alike[:3]].example,
            label=seen.request,
            signed=_EPOCH + timedelta(microseconds=seen.signed),
            by=by,
            agreed=sum(each.did == "agreed" for each in by),
            logged=seen.intent,
            log_names_actors=alike.names,
            scan=alike.scan,
        )

    def _raw(self, statement: Select[Any], **given: object) -> list[Any]:
        """Return rows as the driver has them: a million times, SQLAlchemy's own cost more than reading them does."""
        return list(self._connection.execute(statement, given).cursor.fetchall())

    def _groups(self, rows: Iterable[Any]) -> dict[Alike, Seen]:
        pending, found = self._pending, dict[Alike, Seen]()
        for row in rows:
            if row[5] is not None:
                self._count(found, row)
            elif row[3] != "released":
                pending[row[4]] = (*pending.get(row[4], ()), (row[2], row[3]))
        while len(pending) > MOST_PENDING:
            del pending[next(iter(pending))]
            self._sure_from = max(self._sure_from, row[1] + _SURE_AFTER)
        return found

    def _covers(self, within: Within, signed: int, intent: int | None, receipt: str | None) -> bool:
        if not _stored(within.start) <= signed < _stored(within.end):
            return False
        if intent is None or intent < self._near:
            return True
        return receipt is not None and parse_proof(receipt).index < within.size

    def _count(self, found: dict[Alike, Seen], row: Any) -> None:
        _, signed, _, _, request_id, subscriber, requester, canonical, created, intent, receipt = row
        if self._within is not None and not self._covers(self._within, signed, intent, receipt):
            self._pending.pop(request_id, None)
            return
        named = self._decode(canonical)
        place = (subscriber, named.key, named.certificate)
        basis = self._bases.get(place)
        if basis is None:
            basis = self._bases[place] = self._basis(*place)
        told = self._pending.pop(request_id, ())
        if created >= self._sure_from:
            asked = ((requester, "submitted"), *told)
        else:
            asked = self._asked(subscriber, request_id, _EPOCH + timedelta(microseconds=created))
        scan = None if named.mode == "local" else evidence.scan_of(named.mode, named.verdicts)
        epoch = bisect_right(basis.limits, signed)
        alike = Alike(*place, asked, intent is not None, named.requester != "", epoch, scan)
        seen = found.get(alike)
        if seen is None:
            found[alike] = Seen(request_id, signed, intent)
        else:
            seen.number += 1

    def _basis(self, subscriber: str, key: str, certificate: str) -> _Basis:
        document = self._raw(_PAIR, p_subscriber=subscriber, p_key=key)
        pair = msgspec.json.decode(document[0][0], type=KeyPair) if document else None
        chains = self._raw(_CHAIN, p_subscriber=subscriber, p_certificate=certificate)
        facts = evidence.facts_of(chains[0][0]) if chains else None
        example = SignatureRecord(
            label=key,
            at=self._at,
            evidence=self._known.documents(SERVICE, of_subscriber(subscriber)),
            quorum=None if pair is None else pair.quorum,
            not_before=None if facts is None else facts.not_before,
            not_after=None if facts is None else facts.not_after,
            status=self._known.status.get(certificate),
            accepted=self._known.accepted.get(certificate),
            believed=None if pair is None else self._known.believed.get(pair.key_id),
        )
        return _Basis(example, sorted(map(_stored, {*example.limits(), *_MIDNIGHTS})))

    def _asked(self, subscriber: str, request_id: str, created: datetime) -> _Asked:
        """Read who asked for a request, and who agreed, where that stands before what was read."""
        agreed = self._connection.execute(select(approvals.c.created).where(approvals.c.request == request_id))
        rows = self._connection.execute(
            select(events.c.actor, events.c.what)
            .where(
                events.c.subscriber == subscriber,
                events.c.at.in_({created, *agreed.scalars()}),
                events.c.subject == request_id,
                events.c.what != "released",
            )
            .order_by(events.c.id)
        )
        told = [(row.actor, row.what) for row in rows]
        return tuple((actor, "submitted" if what.startswith("submitted") else what) for actor, what in told)


def _stored(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def newest_event_of_all_subscribers(connection: Connection) -> int:
    """Return the number of the newest event; 0 where there is none."""
    return connection.execute(select(func.max(events.c.id))).scalar() or 0


def settled_event_of_all_subscribers(connection: Connection, after: int, settled: datetime) -> int:
    """Return the number of the last event, from ``after`` on, before the first one that is younger than ``settled``."""
    of = events.c
    young = connection.execute(select(func.min(of.id)).where(of.id > after, of.at > settled)).scalar()
    if young is None:
        return newest_event_of_all_subscribers(connection)
    wanted = select(func.max(of.id)).where(of.id > after, of.id < young)
    return connection.execute(wanted).scalar() or after


def newest_release_of_all_subscribers(connection: Connection) -> int:
    """Return the number of the event that released the newest signature; 0 where there is none."""
    wanted = select(events.c.id).where(events.c.what == "released").order_by(events.c.id.desc()).limit(1)
    return connection.execute(wanted).scalar() or 0


def _midnights() -> list[datetime]:
    """Return the moments at which a requirement on signatures begins or ceases to bind, on whatever reading."""
    days: set[date] = set()
    for each in REQUIREMENTS:
        if Kind.SIGNATURE in each.kinds:
            readings = () if each.conflict is None else each.conflict.readings
            days |= {each.in_force.since, *(one.since for one in readings if one.since is not None)}
            if each.in_force.until is not None:
                days.add(each.in_force.until + timedelta(days=1))
    return sorted(datetime.combine(day, time(), UTC) for day in days)


_MIDNIGHTS = _midnights()
