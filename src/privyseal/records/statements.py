"""What members stated: written down before it is logged, shown to nobody until its place in the log stands beside it.

Each row belongs to the Subscriber whose member said it. Rows are added and get their place; nothing else of them ever
changes, and none is deleted. What people state has at most one row of a slot without a place, the last one.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from privyseal.compliance.statements import Said, Stated, read_said
from privyseal.errors import BadInput, Unavailable
from privyseal.records.database import Transaction
from privyseal.records.tables import statements


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A row: what was said, with its salt, and its place in the log if it has one."""

    id: str
    topic: str
    slot: str
    number: int
    octets: bytes
    """What the log commits to: canonical JSON."""
    salt: bytes
    at: datetime
    entry: int | None
    """Index of the log's entry."""


def add(tx: Transaction, written: Written) -> None:
    """Write down what is about to be logged; Conflict where somebody said something of the same slot meanwhile."""
    row = {name: getattr(written, name) for name in Written.__struct_fields__}
    tx.connection.execute(insert(statements).values(row | {"subscriber": tx.subscriber}))


def last(tx: Transaction, slot: str) -> Written | None:
    """Return the last row of a slot, logged or not."""
    row = tx.connection.execute(
        select(statements)
        .where(statements.c.subscriber == tx.subscriber, statements.c.slot == slot)
        .order_by(statements.c.number.desc())
        .limit(1)
    ).first()
    return None if row is None else _written(row)


def numbered(tx: Transaction, slot: str, number: int) -> Written | None:
    """Return the row of a slot with this number, counted from 0; None where there is none."""
    row = tx.connection.execute(
        select(statements).where(
            statements.c.subscriber == tx.subscriber, statements.c.slot == slot, statements.c.number == number
        )
    ).first()
    return None if row is None else _written(row)


def place(tx: Transaction, statement_id: str, entry: int) -> bool:
    """Write down where a statement stands; False where that is known already."""
    done = update(statements).where(
        statements.c.subscriber == tx.subscriber, statements.c.id == statement_id, statements.c.entry.is_(None)
    )
    return tx.connection.execute(done.values(entry=entry)).rowcount == 1


def listed(tx: Transaction, topic: str | None = None) -> list[Stated]:
    """List what members of the Subscriber stated and the log has, in its order."""
    wanted = select(statements).where(statements.c.subscriber == tx.subscriber, statements.c.entry.is_not(None))
    if topic is not None:
        wanted = wanted.where(statements.c.topic == topic)
    return [_stated(row) for row in tx.connection.execute(wanted.order_by(statements.c.entry))]


def noted(tx: Transaction, topic: str) -> list[Said]:
    """List what the service states of a topic for the Subscriber: the last of each slot, logged or about to be."""
    mine = select(statements).where(statements.c.subscriber == tx.subscriber, statements.c.topic == topic)
    rows = tx.connection.execute(mine.order_by(statements.c.number, statements.c.at))
    return list({row.slot: said_in(bytes(row.octets)) for row in rows}.values())


def of_slot(tx: Transaction, slot: str, limit: int = 1000) -> list[Said]:
    """List what was said of one slot, the oldest first, logged or about to be; of too many the newest."""
    mine = select(statements.c.octets).where(statements.c.subscriber == tx.subscriber, statements.c.slot == slot)
    rows = tx.connection.execute(mine.order_by(statements.c.number.desc()).limit(limit))
    return [said_in(bytes(row.octets)) for row in rows][::-1]


def stated_of_all_subscribers(connection: Connection, topics: Collection[str] | None = None) -> list[Stated]:
    """List everything that anybody stated and the log has, in its order; given ``topics``, only what is about those."""
    wanted = select(statements).where(statements.c.entry.is_not(None)).order_by(statements.c.entry)
    if topics is not None:
        wanted = wanted.where(statements.c.topic.in_(topics))
    return [_stated(row) for row in connection.execute(wanted)]


def extent_of_all_subscribers(connection: Connection) -> tuple[int, int]:
    """Return how many statements the log has, and the index of the last one; whoever remembers both knows of more."""
    asked = select(func.count(statements.c.entry), func.max(statements.c.entry))
    count, newest = connection.execute(asked).one()
    return count, newest or 0


def unplaced_of_all_subscribers(connection: Connection, limit: int) -> list[tuple[str, Written]]:
    """List what was written down and has no place in the log yet, with whose it is; of each slot in its order."""
    wanted = (
        select(statements)
        .where(statements.c.entry.is_(None))
        .order_by(statements.c.number, statements.c.at, statements.c.id)
    )
    return [(row.subscriber, _written(row)) for row in connection.execute(wanted.limit(limit))]


def _written(row: Row[Any]) -> Written:
    return Written(
        id=row.id,
        topic=row.topic,
        slot=row.slot,
        number=row.number,
        octets=bytes(row.octets),
        salt=bytes(row.salt),
        at=row.at,
        entry=row.entry,
    )


def said_in(octets: bytes) -> Said:
    """Read what a row says; Unavailable where it is nothing that was ever written."""
    try:
        return read_said(octets)
    except BadInput as error:
        raise Unavailable(f"A statement in the records cannot be read: {error.detail}", hint="restore them") from None


def _stated(row: Row[Any]) -> Stated:
    octets = bytes(row.octets)
    return Stated(said=said_in(octets), octets=octets, salt=bytes(row.salt), entry=row.entry)
