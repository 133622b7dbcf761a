"""What the records know of the log, to be held against it, and the gaps that an operator has accepted."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, insert, select

from privyseal.records.database import Transaction
from privyseal.records.tables import key_pairs, log_gaps, requests
from privyseal.terms.keys import KeyPair
from privyseal.terms.requests import State


def newest_intent_of_all_subscribers(connection: Connection) -> int | None:
    """Return the largest index of an intent that a request is known to have; None where there is none."""
    return connection.execute(select(func.max(requests.c.intent_index))).scalar()


def intents_of_all_subscribers(connection: Connection, start: int, end: int) -> set[int]:
    """Return the indexes from ``start`` to below ``end`` at which the intent of a known request stands."""
    column = requests.c.intent_index
    return set(connection.execute(select(column).where(column >= start, column < end)).scalars())


def unplaced_of_all_subscribers(connection: Connection) -> list[tuple[bytes, bytes]]:
    """List (salt, canonical octets) of the requests whose intent may be in the log without our knowing where."""
    wanted = select(requests.c.salt, requests.c.canonical).where(
        requests.c.state == State.SIGNING.value, requests.c.intent_index.is_(None)
    )
    return [(row.salt, row.canonical) for row in connection.execute(wanted)]


def owners_of_all_key_tags(connection: Connection) -> dict[str, str]:
    """Return whose each key tag is."""
    rows = connection.execute(select(key_pairs.c.subscriber, key_pairs.c.document))
    return {msgspec.json.decode(row.document, type=KeyPair).key_tag: row.subscriber for row in rows}


def accept(tx: Transaction, size: int, missing: int, now: datetime) -> None:
    """Write down that an operator knows how many of the Subscriber's intents, up to ``size`` entries, are lost."""
    tx.connection.execute(insert(log_gaps).values(subscriber=tx.subscriber, size=size, missing=missing, at=now))


def accepted_size_of_all_subscribers(connection: Connection) -> int:
    """Return the size of the log up to which gaps were accepted; 0 where none was."""
    return connection.execute(select(func.max(log_gaps.c.size))).scalar() or 0
