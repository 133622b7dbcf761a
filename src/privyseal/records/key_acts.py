"""Acts on Key Pairs that somebody proposed, who agreed, and what became of them. No row is ever deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.tables import key_act_approvals, key_acts
from privyseal.terms.requests import Approval

MOST_LISTED = 500
"""Acts that are listed, the newest first."""
OPEN = ("waiting", "agreed")
"""States of an act that is not over."""

_APPROVAL = msgspec.json.Decoder(Approval)


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """One row."""

    id: str
    subscriber: str
    key_name: str
    purpose: str
    canonical: bytes
    why: str
    proposer: str
    created: datetime
    expires: datetime
    state: str = "waiting"
    ended: datetime | None = None
    outcome: str = ""


def add(tx: Transaction, proposed: Proposed) -> None:
    """Write down what was proposed."""
    tx.connection.execute(insert(key_acts).values(msgspec.structs.asdict(proposed) | {"subscriber": tx.subscriber}))


def get(tx: Transaction, act_id: str, *, locked: bool = False) -> Proposed:
    """Read one act of the Subscriber; NotFound where it has none. ``locked``: nobody else changes it now."""
    wanted = select(key_acts).where(key_acts.c.subscriber == tx.subscriber, key_acts.c.id == act_id)
    row = tx.connection.execute(wanted.with_for_update() if locked else wanted).first()
    if row is None:
        raise NotFound(f"There is no act {act_id[:40]!r}.", hint="privyseal key acts")
    return _proposed(row)


def listed(tx: Transaction, key_name: str | None = None) -> list[Proposed]:
    """List the Subscriber's acts, or those on one key, the newest first."""
    wanted = select(key_acts).where(key_acts.c.subscriber == tx.subscriber)
    if key_name is not None:
        wanted = wanted.where(key_acts.c.key_name == key_name)
    ordered = wanted.order_by(key_acts.c.created.desc(), key_acts.c.id).limit(MOST_LISTED)
    return [_proposed(row) for row in tx.connection.execute(ordered)]


def open_of_all_subscribers(connection: Connection, limit: int = MOST_LISTED) -> list[Proposed]:
    """List the acts that are not over, the oldest first."""
    wanted = select(key_acts).where(key_acts.c.state.in_(OPEN)).order_by(key_acts.c.created, key_acts.c.id)
    return [_proposed(row) for row in connection.execute(wanted.limit(limit))]


def owner_of_all_subscribers(connection: Connection, act_id: str) -> str | None:
    """Return whose act it is; None where there is none."""
    found: str | None = connection.execute(select(key_acts.c.subscriber).where(key_acts.c.id == act_id)).scalar()
    return found


def move(tx: Transaction, proposed: Proposed, state: str, now: datetime, outcome: str = "") -> None:
    """Write down how it stands now; Conflict where somebody else just did."""
    ended = None if state in OPEN else now
    this = update(key_acts).where(
        key_acts.c.subscriber == tx.subscriber, key_acts.c.id == proposed.id, key_acts.c.state == proposed.state
    )
    if tx.connection.execute(this.values(state=state, ended=ended, outcome=outcome)).rowcount != 1:
        raise Conflict("The act was changed by somebody else meanwhile.", hint="look at it again")


def agree(tx: Transaction, act_id: str, approval: Approval, now: datetime) -> None:
    """Write down that somebody agreed; Conflict where another transaction has just written the same."""
    row = {"of_act": act_id, "subscriber": tx.subscriber, "public_key": approval.public_key, "created": now}
    document = {"approver": approval.approver, "document": msgspec.json.encode(approval)}
    try:
        tx.connection.execute(insert(key_act_approvals).values(row | document))
    except IntegrityError:
        raise Conflict("The same agreement came at the same moment.", hint="look at the act again") from None


def approvals_of(tx: Transaction, act_id: str) -> list[Approval]:
    """List who agreed to an act, oldest first."""
    wanted = select(key_act_approvals.c.document).where(
        key_act_approvals.c.subscriber == tx.subscriber, key_act_approvals.c.of_act == act_id
    )
    ordered = wanted.order_by(key_act_approvals.c.created, key_act_approvals.c.public_key, key_act_approvals.c.approver)
    return [_APPROVAL.decode(row.document) for row in tx.connection.execute(ordered)]


def _proposed(row: Row[Any]) -> Proposed:
    values = {name: getattr(row, name) for name in Proposed.__struct_fields__}
    return Proposed(**(values | {"canonical": bytes(row.canonical)}))
