"""What happened to whom and by whom, in order (CSBR 5.4.1)."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, insert, select

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


def changed_of_all_subscribers(connection: Connection, event: int) -> set[str]:
    """Return what the events that follow on this one's number are about, and whose; signing is left out.

    Of requests there is no end, and they are counted elsewhere.
    """
    routine = ("released", "expired", "denied", "cancelled")
    rows = connection.execute(
        select(events.c.subscriber, events.c.what, events.c.subject)
        .where(events.c.id > event, events.c.what.not_in(routine), events.c.what.not_like("submitted%"))
        .execution_options(yield_per=5000)
    )
    found: set[str] = set()
    for row in rows:
        if not row.what.startswith(("by ", "approved as ", "verdict ", "viewed")):
            found |= {row.subject, row.subscriber}
    return found
