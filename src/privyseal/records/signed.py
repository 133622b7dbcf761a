"""By what a signature is found again: rows are written with the release, and never change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, insert, select

from privyseal.records.database import Transaction
from privyseal.records.prepared import Prepared
from privyseal.records.tables import events, request_runs, requests, signed_digests
from privyseal.terms.parties import Workload
from privyseal.terms.signed import Kind

_AT_ONCE = 500
"""Requests that are asked for at once."""


class Thing(msgspec.Struct, frozen=True):
    """One digest by which a request is found."""

    request: str
    digest: bytes
    kind: Kind


_INSERT = Prepared(insert(signed_digests), ("digest", "subscriber", "request", "kind"))


def index(tx: Transaction, things: Iterable[tuple[bytes, str, Kind]]) -> None:
    """Write down by what released requests are found: digest, request, and what the digest is of."""
    rows = [
        {"digest": digest, "subscriber": tx.subscriber, "request": request, "kind": kind}
        # One request may sign the same content twice; in the order of the tree what lies together is found together.
        for digest, request, kind in sorted(set(things))
    ]
    _INSERT.carry_out(tx.connection, rows)


def found(tx: Transaction, digest: bytes, limit: int) -> list[Thing]:
    """List the Subscriber's requests that signed something with this digest."""
    return _found(tx.connection, digest, limit, tx.subscriber)


def owners_of_all_subscribers(connection: Connection, digest: bytes) -> list[str]:
    """Name every Subscriber who has signed something with this digest."""
    wanted = select(signed_digests.c.subscriber).where(signed_digests.c.digest == digest).distinct()
    return list(connection.execute(wanted.order_by(signed_digests.c.subscriber)).scalars())


def _found(connection: Connection, digest: bytes, limit: int, subscriber: str) -> list[Thing]:
    wanted = select(signed_digests).where(signed_digests.c.subscriber == subscriber, signed_digests.c.digest == digest)
    rows = connection.execute(wanted.order_by(signed_digests.c.request, signed_digests.c.kind).limit(limit))
    return [Thing(row.request, bytes(row.digest), row.kind) for row in rows]


def beside(tx: Transaction, requester: str, around: datetime, within: timedelta, limit: int) -> list[str]:
    """List the requests of one member that were made so near in time, the earliest first."""
    wanted = select(requests.c.id).where(
        requests.c.subscriber == tx.subscriber,
        requests.c.requester == requester,
        requests.c.created.between(around - within, around + within),
        requests.c.receipt.is_not(None),
    )
    return list(tx.connection.execute(wanted.order_by(requests.c.created, requests.c.id).limit(limit)).scalars())


def note_runs(tx: Transaction, asked: Iterable[tuple[str, Workload]]) -> None:
    """Write down which run of a machine made each request, with all that its platform said of it."""
    rows = [
        {"request": number, "subscriber": tx.subscriber, "run": _run(by), "document": msgspec.json.encode(by)}
        for number, by in asked
    ]
    if rows:
        tx.connection.execute(insert(request_runs), rows)


def run_of(tx: Transaction, request: str) -> Workload | None:
    """Return the run that made a request; None where it was none, or that was not recorded."""
    wanted = select(request_runs.c.document).where(
        request_runs.c.subscriber == tx.subscriber, request_runs.c.request == request
    )
    found = tx.connection.execute(wanted).scalar()
    return None if found is None else msgspec.json.decode(found, type=Workload)


def runs_of(tx: Transaction, requests_asked: Sequence[str]) -> dict[str, Workload]:
    """Return the runs that made some of these requests, by request."""
    found: dict[str, Workload] = {}
    for start in range(0, len(requests_asked), _AT_ONCE):
        wanted = select(request_runs.c.request, request_runs.c.document).where(
            request_runs.c.subscriber == tx.subscriber,
            request_runs.c.request.in_(requests_asked[start : start + _AT_ONCE]),
        )
        found |= {
            row.request: msgspec.json.decode(row.document, type=Workload) for row in tx.connection.execute(wanted)
        }
    return found


def of_run(tx: Transaction, by: Workload, limit: int) -> list[str]:
    """List the released requests of a run, in all its attempts."""
    wanted = (
        select(request_runs.c.request)
        .join(requests, requests.c.id == request_runs.c.request)
        .where(request_runs.c.subscriber == tx.subscriber, request_runs.c.run == _run(by))
        .where(requests.c.receipt.is_not(None))
        .order_by(requests.c.created, requests.c.id)
    )
    return list(tx.connection.execute(wanted.limit(limit)).scalars())


def _run(by: Workload) -> str:
    return hashlib.sha256(msgspec.json.encode((by.issuer, by.run))).hexdigest()


class Released(msgspec.Struct, frozen=True):
    """A released request, as far as its reach is judged."""

    id: str
    canonical: bytes
    tokens: bytes | None
    released: datetime


def released_between(
    tx: Transaction, start: datetime | None, end: datetime | None, after: tuple[datetime, str] | None, limit: int
) -> list[Released]:
    """List a portion of what was released in a span, the earliest first; ``after`` is where the last portion ended."""
    wanted = (
        select(requests.c.id, requests.c.canonical, requests.c.tokens, events.c.at)
        .join(requests, (requests.c.id == events.c.subject) & (requests.c.subscriber == events.c.subscriber))
        .where(events.c.subscriber == tx.subscriber, events.c.what == "released")
    )
    if start is not None:
        wanted = wanted.where(events.c.at >= start)
    if end is not None:
        wanted = wanted.where(events.c.at <= end)
    if after is not None:
        at, last = after
        wanted = wanted.where((events.c.at > at) | ((events.c.at == at) & (requests.c.id > last)))
    rows = tx.connection.execute(wanted.order_by(events.c.at, requests.c.id).limit(limit))
    return [Released(row.id, bytes(row.canonical), row.tokens, row.at) for row in rows]
