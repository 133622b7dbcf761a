"""What is frozen, and who agrees that it is thawed. Rows are added and thawed; what was frozen stays on record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.prepared import Question
from privyseal.records.tables import freezes, thaw_agreements
from privyseal.terms.freezes import Follows, Frozen

MOST = 256
"""Freezes of one Subscriber that hold at once; who has more freezes the Subscriber."""


# Every batch of the walk asks these two, so they are built once.
_HOLD = select(freezes).where(freezes.c.thawed.is_(None)).order_by(freezes.c.at, freezes.c.id)
_HOLD_OF = Question(_HOLD.where(freezes.c.subscriber == bindparam("p_subscriber")))
_HOLD_OF_ALL = Question(_HOLD)


def add(tx: Transaction, frozen: Frozen) -> None:
    """Write down that something is frozen from now on; Conflict where the Subscriber has too many freezes."""
    if len(holding(tx)) >= MOST:
        raise Conflict(f"{MOST} freezes hold already.", hint="freeze the Subscriber, or thaw some")
    tx.connection.execute(insert(freezes).values(msgspec.structs.asdict(frozen) | {"subscriber": tx.subscriber}))


def holding(tx: Transaction) -> list[Frozen]:
    """List what is frozen of the Subscriber, the oldest first."""
    return [_frozen(row) for row in _HOLD_OF.all(tx.connection, p_subscriber=tx.subscriber)]


def holding_of_all_subscribers(connection: Connection) -> list[Frozen]:
    """List all that is frozen, the oldest first: one question for a whole batch of requests."""
    return [_frozen(row) for row in _HOLD_OF_ALL.all(connection)]


def listed(tx: Transaction, limit: int) -> list[Frozen]:
    """List what is and was frozen of the Subscriber, the newest first."""
    wanted = select(freezes).where(freezes.c.subscriber == tx.subscriber).order_by(freezes.c.at.desc(), freezes.c.id)
    return [_frozen(row) for row in tx.connection.execute(wanted.limit(limit))]


def get(tx: Transaction, freeze_id: str) -> Frozen:
    """Read one freeze of the Subscriber and keep others from changing it meanwhile; NotFound where there is none."""
    wanted = select(freezes).where(freezes.c.subscriber == tx.subscriber, freezes.c.id == freeze_id)
    row = tx.connection.execute(wanted.with_for_update()).first()
    if row is None:
        raise NotFound(f"There is no freeze {freeze_id[:40]!r}.")
    return _frozen(row)


def thaw(tx: Transaction, frozen: Frozen, at: datetime, signer: Follows) -> None:
    """Write down that it holds no more; Conflict where somebody else just did."""
    _change(tx, frozen, {"thawed": at, "signer": signer})


def follow(tx: Transaction, frozen: Frozen, signer: Follows) -> None:
    """Write down how far the signer has followed; Conflict where that changed meanwhile."""
    _change(tx, frozen, {"signer": signer})


def _change(tx: Transaction, frozen: Frozen, values: dict[str, Any]) -> None:
    this = update(freezes).where(
        freezes.c.subscriber == tx.subscriber,
        freezes.c.id == frozen.id,
        freezes.c.signer == frozen.signer,
        freezes.c.thawed.is_(None) if frozen.thawed is None else freezes.c.thawed.is_not(None),
    )
    if tx.connection.execute(this.values(values)).rowcount != 1:
        raise Conflict("The freeze was changed by somebody else meanwhile.", hint="look at it again")


def owed_of_all_subscribers(connection: Connection, limit: int = MOST) -> list[Frozen]:
    """List the freezes and thaws of which the signer is still to be told."""
    wanted = select(freezes).where(freezes.c.signer.in_(("freeze", "thaw"))).order_by(freezes.c.at).limit(limit)
    return [_frozen(row) for row in connection.execute(wanted)]


def agree(tx: Transaction, freeze_id: str, person: str, at: datetime, document: bytes) -> None:
    """Write down that somebody agrees to the thaw; agreeing again changes nothing."""
    if person not in agreed(tx, freeze_id):
        row = {"of_freeze": freeze_id, "person": person, "subscriber": tx.subscriber, "at": at, "document": document}
        tx.connection.execute(insert(thaw_agreements).values(row))


def agreed(tx: Transaction, freeze_id: str) -> list[str]:
    """List who agrees to the thaw, in the order of their words."""
    wanted = select(thaw_agreements.c.person).where(
        thaw_agreements.c.subscriber == tx.subscriber, thaw_agreements.c.of_freeze == freeze_id
    )
    return list(tx.connection.execute(wanted.order_by(thaw_agreements.c.at, thaw_agreements.c.person)).scalars())


def _frozen(row: Row[Any]) -> Frozen:
    return Frozen(**{name: getattr(row, name) for name in Frozen.__struct_fields__})
