"""How keys are found to be, over HTTP."""

from __future__ import annotations

from litestar.params import FromPath

from privyseal.records import health
from privyseal.records.database import Transaction
from privyseal.signing.forms_of_renewals import HealthList, KeyHealth
from privyseal.web.desk import TheDesk


async def list_health(subscriber: FromPath[str], desk: TheDesk) -> HealthList:
    """List when each key was looked at and probed last, and what came of it."""

    def read(tx: Transaction) -> HealthList:
        return HealthList(
            keys=tuple(
                KeyHealth(
                    key=each.key,
                    looked=each.looked,
                    met=each.met,
                    probed=each.probed,
                    answers=each.answers,
                    words=each.words,
                )
                for each in health.listed(tx)
            )
        )

    return await desk.read(subscriber, read)
