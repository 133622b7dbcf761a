"""Who wants to be told of what, what is still to be told, and what became of each message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.tables import deliveries, notices, webhooks
from privyseal.terms.deliveries import DeliveryState


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that wants to be told of some topics."""

    id: str
    url: str
    topics: tuple[str, ...]
    created: datetime


class Noticed(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the outbox."""

    id: int
    subscriber: str
    topic: str
    bundle: str
    at: datetime
    document: bytes


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one webhook, or to people where ``webhook`` is empty."""

    id: str
    subscriber: str
    webhook: str
    topic: str
    made: datetime
    body: bytes
    state: DeliveryState = "waiting"
    tries: int = 0
    next: datetime | None = None
    said: str = ""
    """What came of the last try, in a few words."""


_LISTENS = (
    select(webhooks.c.id)
    .where(webhooks.c.subscriber == bindparam("p_subscriber"), webhooks.c.removed.is_(None))
    .limit(1)
)


# -- who wants to be told ----------------------------------------------------------------------------------------------
def add_webhook(tx: Transaction, hook: Webhook, most: int) -> None:
    """Write down a webhook; Conflict where the Subscriber has ``most`` of them."""
    if len(webhooks_of(tx)) >= most:
        raise Conflict(f"There are {most} webhooks already.", hint="remove one first")
    row = {"id": hook.id, "subscriber": tx.subscriber, "url": hook.url, "created": hook.created}
    tx.connection.execute(insert(webhooks).values(row | {"topics": " ".join(hook.topics)}))


def listens(tx: Transaction) -> bool:
    """Tell whether the Subscriber has any webhook: asked by every batch, so the statement is built once."""
    return tx.connection.execute(_LISTENS, {"p_subscriber": tx.subscriber}).first() is not None


def webhooks_of(tx: Transaction) -> list[Webhook]:
    """List the Subscriber's webhooks, the oldest first."""
    wanted = select(webhooks).where(webhooks.c.subscriber == tx.subscriber, webhooks.c.removed.is_(None))
    return [_webhook(row) for row in tx.connection.execute(wanted.order_by(webhooks.c.created, webhooks.c.id))]


def webhook(tx: Transaction, webhook_id: str) -> Webhook:
    """Read one webhook; NotFound where the Subscriber has none of that id."""
    for each in webhooks_of(tx):
        if each.id == webhook_id:
            return each
    raise NotFound(f"There is no webhook {webhook_id[:40]!r}.")


def remove_webhook(tx: Transaction, webhook_id: str, now: datetime) -> None:
    """End a webhook; what waits for it is dead. NotFound where there is none of that id."""
    webhook(tx, webhook_id)
    mine = (webhooks.c.subscriber == tx.subscriber, webhooks.c.id == webhook_id)
    tx.connection.execute(update(webhooks).where(*mine).values(removed=now))
    waiting = (deliveries.c.subscriber == tx.subscriber, deliveries.c.webhook == webhook_id)
    ended = update(deliveries).where(*waiting, deliveries.c.state == "waiting")
    tx.connection.execute(ended.values(state="dead", next=None, said="the webhook was removed"))


# -- the outbox --------------------------------------------------------------------------------------------------------
def note(tx: Transaction, rows: Sequence[tuple[str, str, datetime, bytes]]) -> None:
    """Put (topic, bundle, from when on it is told, JSON) into the outbox."""
    given = [
        {"subscriber": tx.subscriber, "topic": topic, "bundle": bundle, "at": at, "document": document}
        for topic, bundle, at, document in rows
    ]
    if given:
        tx.connection.execute(insert(notices), given)


def withdraw(tx: Transaction, topic: str, bundle: str, document: Callable[[bytes], bool]) -> None:
    """Take rows of a bundle back of which nobody was told yet; ``document`` says of its JSON which."""
    mine = (notices.c.subscriber == tx.subscriber, notices.c.topic == topic, notices.c.bundle == bundle)
    rows = tx.connection.execute(select(notices.c.id, notices.c.document).where(*mine)).all()
    gone = [row.id for row in rows if document(bytes(row.document))]
    tx.connection.execute(delete(notices).where(notices.c.subscriber == tx.subscriber, notices.c.id.in_(gone)))


def ripe_of_all_subscribers(connection: Connection, now: datetime, limit: int) -> list[tuple[str, str, str]]:
    """List (Subscriber, topic, bundle) of what need not wait any longer for more of its bundle."""
    grouped = (
        select(notices.c.subscriber, notices.c.topic, notices.c.bundle)
        .group_by(notices.c.subscriber, notices.c.topic, notices.c.bundle)
        .having(func.min(notices.c.at) <= now)
        .order_by(func.min(notices.c.id))
    )
    return [(row.subscriber, row.topic, row.bundle) for row in connection.execute(grouped.limit(limit))]


def take(tx: Transaction, topic: str, bundle: str, limit: int) -> list[Noticed]:
    """Take a bundle's rows out of the outbox; Conflict where another node is at it."""
    wanted = select(notices).where(
        notices.c.subscriber == tx.subscriber, notices.c.topic == topic, notices.c.bundle == bundle
    )
    rows = tx.connection.execute(wanted.order_by(notices.c.id).limit(limit)).all()
    gone = delete(notices).where(notices.c.subscriber == tx.subscriber, notices.c.id.in_([row.id for row in rows]))
    if tx.connection.execute(gone).rowcount != len(rows):
        raise Conflict("Another node is making these deliveries.", hint="nothing is to be done")
    return [
        Noticed(id=r.id, subscriber=r.subscriber, topic=r.topic, bundle=r.bundle, at=r.at, document=bytes(r.document))
        for r in rows
    ]


# -- messages ----------------------------------------------------------------------------------------------------------
def add(tx: Transaction, new: Sequence[Delivery]) -> None:
    """Write down messages that are to be sent."""
    rows = [msgspec.structs.asdict(each) | {"subscriber": tx.subscriber} for each in new]
    if rows:
        tx.connection.execute(insert(deliveries), rows)


def due_of_all_subscribers(connection: Connection, now: datetime, limit: int) -> list[Delivery]:
    """List the messages whose next try is due, the longest due first."""
    wanted = select(deliveries).where(deliveries.c.state == "waiting", deliveries.c.next <= now)
    return [_delivery(row) for row in connection.execute(wanted.order_by(deliveries.c.next).limit(limit))]


def begin_try(tx: Transaction, one: Delivery, until: datetime) -> Delivery | None:
    """Count one more try and keep others from it ``until`` then; None where another node is at it."""
    mine = update(deliveries).where(
        deliveries.c.subscriber == tx.subscriber,
        deliveries.c.id == one.id,
        deliveries.c.state == "waiting",
        deliveries.c.tries == one.tries,
    )
    done = tx.connection.execute(mine.values(tries=one.tries + 1, next=until)).rowcount == 1
    return msgspec.structs.replace(one, tries=one.tries + 1, next=until) if done else None


def end_try(tx: Transaction, one: Delivery, state: DeliveryState, said: str, again: datetime | None) -> None:
    """Write down what came of a try; nothing changes where the message was changed meanwhile."""
    mine = update(deliveries).where(
        deliveries.c.subscriber == tx.subscriber, deliveries.c.id == one.id, deliveries.c.tries == one.tries
    )
    tx.connection.execute(mine.values(state=state, said=said[:500], next=again))


def replay(tx: Transaction, delivery_id: str, now: datetime) -> Delivery:
    """Have a message sent again, the same octets under the same id; NotFound where there is none of that id."""
    wanted = select(deliveries).where(deliveries.c.subscriber == tx.subscriber, deliveries.c.id == delivery_id)
    row = tx.connection.execute(wanted.where(deliveries.c.webhook != "")).first()
    if row is None:
        raise NotFound(f"There is no delivery {delivery_id[:40]!r}.")
    webhook(tx, row.webhook)
    again = update(deliveries).where(deliveries.c.subscriber == tx.subscriber, deliveries.c.id == delivery_id)
    tx.connection.execute(again.values(state="waiting", tries=0, next=now, said="to be sent again"))
    return msgspec.structs.replace(_delivery(row), state="waiting", tries=0, next=now, said="to be sent again")


def listed(tx: Transaction, limit: int) -> list[Delivery]:
    """List the messages to the Subscriber's webhooks, the newest first."""
    wanted = select(deliveries).where(deliveries.c.subscriber == tx.subscriber, deliveries.c.webhook != "")
    rows = tx.connection.execute(wanted.order_by(deliveries.c.made.desc(), deliveries.c.id).limit(limit))
    return [_delivery(row) for row in rows]


def forget_of_all_subscribers(connection: Connection, before: datetime) -> None:
    """Delete messages that are over and were made before then."""
    connection.execute(delete(deliveries).where(deliveries.c.state != "waiting", deliveries.c.made < before))


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(id=row.id, url=row.url, topics=tuple(row.topics.split()), created=row.created)


def _delivery(row: Row[Any]) -> Delivery:
    found = {name: getattr(row, name) for name in Delivery.__struct_fields__}
    return Delivery(**found | {"body": bytes(row.body)})
