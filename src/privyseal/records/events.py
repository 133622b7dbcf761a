"""What happened to whom and by whom, in order (CSBR 5.4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, insert, select

from privyseal.records.database import Transaction
from privyseal.records.prepared import Prepared
from privyseal.records.tables import events
from privyseal.terms.parties import Factor


class Event(msgspec.Struct, frozen=True):
    """One thing that happened: an actor (a member's id, or ``service``) did ``what`` to ``subject``."""

    at: datetime
    actor: str
    what: str
    subject: str


LONGEST = 40
"""Characters of what an event says happened."""


def proofs(about: Event, factors: Sequence[Factor]) -> list[Event]:
    """Return the events beside ``about`` that tell by what its actor proved who they are; none for a bearer token.

    Each is ``by`` and a factor, or several that fit; whoever reads them puts them together again.
    """
    if tuple(factors) == (Factor.BEARER,):
        return []
    said: list[str] = []
    for factor in factors:
        longer = f"{said[-1]} and {factor}" if said else ""
        if said and len(longer) <= LONGEST:
            said[-1] = longer
        else:
            said.append(f"by {factor}")
    return [msgspec.structs.replace(about, what=each) for each in said]


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
