"""Freezing takes one call; thawing takes the words of two people."""

from __future__ import annotations

import msgspec
from litestar import Response
from litestar.params import FromPath, JSONBody

from privyseal.records import freezes as kept
from privyseal.records.database import Transaction
from privyseal.signing import freezes
from privyseal.signing.forms_of_requests import Agreement
from privyseal.signing.freezes import Asked, Standing
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_requests import FreezeList, FreezeView


def freeze_view(standing: Standing) -> FreezeView:
    """Show a freeze."""
    said = msgspec.structs.asdict(standing.frozen)
    return FreezeView(**said, agreed=standing.agreed, digest=freezes.digest(standing.frozen))


async def list_freezes(subscriber: FromPath[str], desk: TheDesk) -> FreezeList:
    """List what is and was frozen of the Subscriber."""

    def read(tx: Transaction) -> FreezeList:
        found = kept.listed(tx, freezes.MOST_SHOWN)
        standings = (Standing(frozen=each, agreed=tuple(kept.agreed(tx, each.id))) for each in found)
        return FreezeList(freezes=tuple(map(freeze_view, standings)))

    return await desk.read(subscriber, read)


async def freeze(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Asked], desk: TheDesk
) -> Response[FreezeView]:
    """Freeze a key, a policy or the Subscriber from now on; what is frozen already is answered as it was frozen."""
    frozen = await desk.slow(lambda: freezes.freeze(desk.seal, request.user, data))
    return Response(freeze_view(Standing(frozen=frozen)), status_code=201)


async def agree_to_thaw(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[Agreement], desk: TheDesk
) -> FreezeView:
    """Agree that something is thawed; the second person's word thaws it. Repeating it changes nothing."""
    return freeze_view(await desk.slow(lambda: freezes.agree(desk.seal, request.user, name, data)))
