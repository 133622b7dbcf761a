"""Orders of certificates, by Subscriber: rows are added and change their state as the table in terms says."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.tables import certificate_orders
from privyseal.terms.orders import FOLLOWS, OPEN, Order

MOST_LISTED = 200
"""Orders in one list, the newest."""
MOST_OPEN = 32
"""Orders of one Subscriber of which something is still to be heard."""

_ORDER = msgspec.json.Decoder(Order)


def add(tx: Transaction, order: Order) -> None:
    """Write down an order; Conflict where the Subscriber has too many open ones."""
    mine = (certificate_orders.c.subscriber == tx.subscriber, certificate_orders.c.state.in_(OPEN))
    count = tx.connection.execute(select(func.count()).select_from(certificate_orders).where(*mine)).scalar_one()
    if count >= MOST_OPEN:
        raise Conflict(f"{count} orders wait already.", hint="refuse those that are not wanted any more")
    row = {"id": order.id, "subscriber": tx.subscriber, "key_name": order.key, "asked": order.asked}
    tx.connection.execute(insert(certificate_orders).values(row | _columns(order)))


def get(tx: Transaction, order_id: str) -> Order:
    """Read one order of the Subscriber; NotFound where it has none of that id."""
    mine = (certificate_orders.c.subscriber == tx.subscriber, certificate_orders.c.id == order_id)
    row = tx.connection.execute(select(certificate_orders.c.document).where(*mine)).first()
    if row is None:
        raise NotFound(f"There is no order {order_id[:40]!r}.", hint="privyseal cert orders")
    return _ORDER.decode(row.document)


def listed(tx: Transaction) -> list[Order]:
    """List the Subscriber's orders, the newest first."""
    wanted = select(certificate_orders.c.document).where(certificate_orders.c.subscriber == tx.subscriber)
    newest = certificate_orders.c.asked.desc(), certificate_orders.c.id
    return [_ORDER.decode(row.document) for row in tx.connection.execute(wanted.order_by(*newest).limit(MOST_LISTED))]


def of_certificate(tx: Transaction, fingerprint: str) -> Order | None:
    """Return the first order by which a certificate came; None where it came otherwise."""
    mine = (certificate_orders.c.subscriber == tx.subscriber, certificate_orders.c.fingerprint == fingerprint)
    row = tx.connection.execute(
        select(certificate_orders.c.document).where(*mine).order_by(certificate_orders.c.asked).limit(1)
    ).first()
    return None if row is None else _ORDER.decode(row.document)


def replace(tx: Transaction, before: Order, after: Order) -> Order:
    """Write down what became of an order; Conflict where it is no longer as ``before``, or cannot become that."""
    if after.state not in FOLLOWS[before.state] and after.state is not before.state:
        raise Conflict(f"The order is {before.state}, and cannot become {after.state}.")
    mine = (certificate_orders.c.subscriber == tx.subscriber, certificate_orders.c.id == before.id)
    same = (certificate_orders.c.state == before.state, certificate_orders.c.again.is_not_distinct_from(before.again))
    if tx.connection.execute(update(certificate_orders).where(*mine, *same).values(_columns(after))).rowcount != 1:
        raise Conflict("The order was changed meanwhile.", hint="look at it again")
    return after


def due_of_all_subscribers(connection: Connection, now: datetime, limit: int) -> list[tuple[str, Order]]:
    """List open orders whose authority is to be asked now, with whose they are; those that wait longest first."""
    table = certificate_orders
    wanted = (
        select(table.c.subscriber, table.c.document)
        .where(table.c.state.in_(OPEN), table.c.again <= now)
        .order_by(table.c.again, table.c.id)
        .limit(limit)
    )
    return [(row.subscriber, _ORDER.decode(row.document)) for row in connection.execute(wanted)]


def _columns(order: Order) -> dict[str, object]:
    return {
        "state": order.state.value,
        "again": order.again,
        "fingerprint": order.fingerprint,
        "document": msgspec.json.encode(order),
    }
