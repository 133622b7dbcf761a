"""``POST /tsa``: RFC 3161 3.4, a TimeStampReq in, a TimeStampResp out; whoever waits is stamped in one batch."""

from __future__ import annotations

from litestar import Response
from litestar.exceptions import ClientException

from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming, require_media_type

QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"

QUERY_LIMIT = 64 * 1024
"""Octets of a query; one with a SHA-512 imprint, policy and nonce has under 200."""


async def timestamp(request: Incoming, desk: TheDesk) -> Response[bytes]:
    """Timestamp a digest (RFC 3161).

    A query that is understood but not granted (SHA-1, an unknown policy), or that is no TimeStampReq at all, is
    answered by the authority itself with status 200 and a rejection inside.
    """
    require_media_type(request.headers.get("content-type"), QUERY)
    query = await request.body()
    if not query:
        raise ClientException("The body is empty; a DER TimeStampReq was expected.")
    return Response(await desk.stamp(query), media_type=REPLY, headers={"Cache-Control": "no-store"})
