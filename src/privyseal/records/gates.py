"""What was done to gates: since when each is known and refuses, and who overrode one for a while."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, insert, select

from privyseal.compliance.gates import Enabled, Overridden
from privyseal.records.database import Transaction
from privyseal.records.tables import gates

_ENABLED, _OVERRIDDEN = "enabled", "overridden"


def enabled_of_all_subscribers(connection: Connection) -> list[Enabled]:
    """Return since when each gate is known, and from when on it refuses; the first word on a gate holds."""
    rows = connection.execute(select(gates).where(gates.c.act == _ENABLED).order_by(gates.c.id))
    found: dict[str, Enabled] = {}
    for row in rows:
        found.setdefault(row.requirement, Enabled(row.requirement, row.at, row.until))
    return list(found.values())


def enable_of_all_subscribers(connection: Connection, new: list[Enabled]) -> None:
    """Write down that gates are known from now on."""
    for each in new:
        row = {"subscriber": None, "requirement": each.requirement, "at": each.at, "act": _ENABLED}
        connection.execute(insert(gates).values(row | {"until": each.enforced, "document": b""}))


def override(tx: Transaction, given: Overridden) -> None:
    """Write down an override for the Subscriber."""
    lifted = given.override
    row = {"subscriber": tx.subscriber, "requirement": lifted.requirement, "at": lifted.since, "act": _OVERRIDDEN}
    tx.connection.execute(insert(gates).values(row | {"until": lifted.until, "document": msgspec.json.encode(given)}))


def overrides(tx: Transaction, at: datetime) -> list[Overridden]:
    """Return the Subscriber's overrides that are not over yet, the oldest first."""
    wanted = select(gates.c.document).where(
        gates.c.subscriber == tx.subscriber, gates.c.act == _OVERRIDDEN, gates.c.until > at
    )
    rows = tx.connection.execute(wanted.order_by(gates.c.id))
    return [msgspec.json.decode(row.document, type=Overridden) for row in rows]
