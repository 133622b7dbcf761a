"""The plans of renewal over HTTP, and what they look like."""

from __future__ import annotations

from litestar.params import FromPath

from privyseal.records.database import Transaction
from privyseal.signing import renewals
from privyseal.signing.forms_of_renewals import RenewalList
from privyseal.web.desk import TheDesk


async def list_renewals(subscriber: FromPath[str], desk: TheDesk) -> RenewalList:
    """Plan the next certificate of every key in use: when to ask, how long both overlap, whether the key may go on."""

    def read(tx: Transaction) -> RenewalList:
        return RenewalList(renewals=renewals.plans(desk.seal, tx))

    return await desk.read(subscriber, read)
