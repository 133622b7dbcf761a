"""Which signatures an auditor may draw a sample from: those of the period, one at a time, whatever their number."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from privyseal.records.tables import requests
from privyseal.terms.requests import State

PORTION = 5000
"""Rows that are fetched at once."""


class Signature(NamedTuple):
    """A request that was signed and released."""

    id: str
    subscriber: str
    created: datetime
    intent: int
    """Index of its intent in the log."""


def signatures_of_all_subscribers(connection: Connection, start: datetime, end: datetime) -> Iterator[Signature]:
    """Yield the released requests that were made from ``start`` to before ``end``, in no order."""
    wanted = select(requests.c.id, requests.c.subscriber, requests.c.created, requests.c.intent_index).where(
        requests.c.state == State.RELEASED.value, requests.c.created >= start, requests.c.created < end
    )
    rows = connection.execution_options(yield_per=PORTION).execute(wanted)
    for row in rows:
        yield Signature(row.id, row.subscriber, row.created, row.intent_index)


def receipt_of_all_subscribers(connection: Connection, request_id: str) -> str | None:
    """Return the receipt of one request."""
    receipt: str | None = connection.execute(select(requests.c.receipt).where(requests.c.id == request_id)).scalar()
    return receipt
