"""Reports and what came of them: one row each, whose document is replaced by compare-and-swap on its version."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from privyseal.compliance.incidents import Case
from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.tables import events, incidents, requests

_decoder = msgspec.json.Decoder(Case)


LOOKED_AT = 1000
"""Newest releases among which the last one with a key is looked for."""


class _Named(msgspec.Struct):
    key_id: str


class Kept(msgspec.Struct, frozen=True):
    """A case with the version in which it was read."""

    subscriber: str
    version: int
    case: Case


def add(tx: Transaction, case: Case) -> None:
    """Write down a new case."""
    row = {"id": case.id, "subscriber": tx.subscriber, "version": 1, "opened": case.reported_at}
    tx.connection.execute(insert(incidents).values(row | {"document": msgspec.json.encode(case)}))


def get(tx: Transaction, incident_id: str) -> Kept:
    """Read one case; NotFound where the Subscriber has none of that id."""
    wanted = select(incidents).where(incidents.c.subscriber == tx.subscriber, incidents.c.id == incident_id)
    row = tx.connection.execute(wanted).first()
    if row is None:
        raise NotFound(f"There is no incident {incident_id[:40]!r}.")
    return _kept(row)


def replace(tx: Transaction, kept: Kept, case: Case) -> None:
    """Write down what a case has become; Conflict where somebody else changed it meanwhile."""
    this = update(incidents).where(
        incidents.c.subscriber == tx.subscriber, incidents.c.id == case.id, incidents.c.version == kept.version
    )
    values = {"version": kept.version + 1, "closed": case.closed, "document": msgspec.json.encode(case)}
    if tx.connection.execute(this.values(values)).rowcount != 1:
        raise Conflict("The incident was changed by somebody else meanwhile.", hint="look at it again")


def listed(tx: Transaction, limit: int) -> list[Case]:
    """List the Subscriber's cases, the newest first."""
    wanted = select(incidents).where(incidents.c.subscriber == tx.subscriber).order_by(incidents.c.opened.desc())
    return [_kept(row).case for row in tx.connection.execute(wanted.limit(limit))]


def cases_of_all_subscribers(connection: Connection) -> list[Kept]:
    """List all cases, the oldest first."""
    return [_kept(row) for row in connection.execute(select(incidents).order_by(incidents.c.opened, incidents.c.id))]


def extent_of_all_subscribers(connection: Connection) -> tuple[int, int]:
    """Return how many cases there are and how often they were written: whoever remembers both knows of changes."""
    count, versions = connection.execute(
        select(func.count(), func.sum(incidents.c.version)).select_from(incidents)
    ).one()
    return count, int(versions or 0)


def last_release_of_all_subscribers(
    connection: Connection, subscriber: str, key_ids: Collection[str]
) -> datetime | None:
    """Return when the Subscriber's newest signature with one of these keys was released, among the newest few.

    None where none of those was made with them: it is not known then, for older ones are not read.
    """
    wanted = (
        select(events.c.at, requests.c.canonical)
        .join(requests, requests.c.id == events.c.subject)
        .where(events.c.subscriber == subscriber, events.c.what == "released")
        .order_by(events.c.at.desc())
    )
    for row in connection.execute(wanted.limit(LOOKED_AT)):
        if msgspec.json.decode(row.canonical, type=_Named).key_id in key_ids:
            found: datetime = row.at
            return found
    return None


def _kept(row: Row[Any]) -> Kept:
    return Kept(row.subscriber, row.version, _decoder.decode(bytes(row.document)))
