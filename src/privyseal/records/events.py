"""What happened to whom and by whom, in order (CSBR 5.4.1)."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import insert, select

from privyseal.records.database import Transaction
from privyseal.records.prepared import Prepared
from privyseal.records.tables import events


class Event(msgspec.Struct, frozen=True):
    """One thing that happened: an actor (a member's id, or ``service``) did ``what`` to ``subject``."""

    at: datetime
    actor: str
    what: str
    subject: str


_INSERT = Prepared(insert(events), ("subscriber", "at", "actor", "what", "subject"))


def record(tx: Transaction, *happened: Event) -> None:
    """Append events to the Subscriber's, in the order given."""
    rows = [
        {"subscriber": tx.subscriber, "at": one.at, "actor": one.actor, "what": one.what, "subject": one.subject}
        for one in happened
    ]
    _INSERT.carry_out(tx.connection, rows)


def events_about(tx: Transaction, subject: str) -> list[Event]:
    """List the Subscriber's events about one subject, such as a request's id, oldest first."""
    rows = tx.connection.execute(
        select(events).where(events.c.subscriber == tx.subscriber, events.c.subject == subject).order_by(events.c.id)
    )
    return [Event(row.at, row.actor, row.what, row.subject) for row in rows]
