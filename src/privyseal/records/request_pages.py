"""Requests to look through: a page at a time, the newest first, without what signing them made."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, or_, select

from privyseal.records import requests
from privyseal.records.database import Transaction
from privyseal.records.tables import requests as table
from privyseal.terms.requests import Dossier, State


def page(tx: Transaction, states: Sequence[State], limit: int, after: str = "") -> list[Dossier]:
    """List the Subscriber's requests in these states; ``after`` is the id of the last one of the page before.

    NotFound where there is no such request.
    """
    wanted = select(table.c.id).where(
        table.c.subscriber == tx.subscriber, table.c.state.in_([each.value for each in states])
    )
    if after:
        last = requests.get(tx, after)
        older = and_(table.c.created == last.created, table.c.id > last.id)
        wanted = wanted.where(or_(table.c.created < last.created, older))
    ids = tx.connection.execute(wanted.order_by(table.c.created.desc(), table.c.id).limit(limit)).scalars().all()
    return [requests.get(tx, each) for each in ids]
