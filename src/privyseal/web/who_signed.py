"""Who signed what has this digest."""

from __future__ import annotations

from litestar.params import FromPath, FromQuery

from privyseal.signing import who_signed as walk
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_requests import SignedList


async def who_signed(
    request: Incoming,
    subscriber: FromPath[str],
    digest: FromPath[str],
    desk: TheDesk,
    everywhere: FromQuery[bool] = False,
) -> SignedList:
    """Say who signed what has this digest: content, signature or finished file; 422 where nobody here did."""
    actor = request.user
    found = await desk.file(lambda: walk.who_signed(desk.seal, actor, digest, everywhere=everywhere))
    return SignedList(signed=tuple(found))
