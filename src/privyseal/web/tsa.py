"""``POST /tsa``: RFC 3161 3.4, a TimeStampReq in, a TimeStampResp out; whoever waits is stamped in one batch.

``POST /tsa/OID`` is the same under one policy. ``GET /v1/timestamps/...`` tells where a token is in the log.
"""

from __future__ import annotations

import re

from litestar import Response
from litestar.exceptions import ClientException
from litestar.params import FromPath

from privyseal.errors import BadInput, NotFound
from privyseal.signing import stamps
from privyseal.web.desk import Desk, TheDesk
from privyseal.web.intake import Incoming, require_media_type
from privyseal.web.views_of_stamps import TokenPlace

QUERY, REPLY = "application/timestamp-query", "application/timestamp-reply"
"""The media types of query and reply (RFC 3161 3.4)."""

OCTETS = "application/octet-stream"
HEADERS = {"Cache-Control": "no-store"}
"""Of each reply: it is for whoever asked."""

QUERY_LIMIT = 64 * 1024
"""Octets of a query; one with a SHA-512 imprint, policy and nonce has under 200."""


_OID = re.compile(r"[012](\.(0|[1-9][0-9]{0,38})){1,31}", re.ASCII)


async def timestamp(request: Incoming, desk: TheDesk) -> Response[bytes]:
    """Timestamp a digest (RFC 3161).

    A query that is understood but not granted (SHA-1, an unknown policy), or that is no TimeStampReq at all, is
    answered by the authority itself with status 200 and a rejection inside.
    """
    return await _answer(request, desk, "")


async def timestamp_under(request: Incoming, policy: FromPath[str], desk: TheDesk) -> Response[bytes]:
    """Timestamp a digest under the policy of this address, an OID (RFC 3161).

    A policy that the authority does not have is refused inside the reply, as one that the query asks for is.
    """
    if not _OID.fullmatch(policy):
        raise NotFound("The address is no policy's: a dotted object identifier was expected behind /tsa/.")
    return await _answer(request, desk, policy)


async def timestamp_legacy(request: Incoming, desk: TheDesk) -> Response[bytes]:
    """Timestamp a signature as Authenticode did before RFC 3161: base64 in, base64 out; 404 where that is not offered.

    Only a service whose operator asked for it offers it, and never with a publicly trusted key.
    """
    require_media_type(request.headers.get("content-type"), OCTETS)
    return Response(await desk.stamp_legacy(await request.body()), media_type=OCTETS, headers=HEADERS)


async def _answer(request: Incoming, desk: TheDesk, policy: str) -> Response[bytes]:
    require_media_type(request.headers.get("content-type"), QUERY)
    return Response(await answer(desk, await request.body(), policy), media_type=REPLY, headers=HEADERS)


async def answer(desk: Desk, query: bytes, policy: str = "") -> bytes:
    """Return the TimeStampResp for a query as it came; 400 where there is none."""
    if not query:
        raise ClientException("The body is empty; a DER TimeStampReq was expected.")
    return await desk.stamp(query, policy)


async def token_place(request: Incoming, time: FromPath[str], leaf: FromPath[str], desk: TheDesk) -> TokenPlace:
    """Tell where a timestamp token is in the log, by its genTime (``YYYYMMDDHHMMSSZ``) and its leaf, 64 hex digits.

    The leaf is SHA-256 over a zero octet and the token's TSTInfo. 404 for one that was not given out here, or whose
    hour is not over.
    """
    if not re.fullmatch(r"[0-9]{14}Z", time, re.ASCII) or not re.fullmatch(r"[0-9a-f]{64}", leaf, re.ASCII):
        raise BadInput("A time like 20261130120000Z and 64 lower-case hex digits were expected.")
    octets = bytes.fromhex(leaf)
    if desk.seal.each_token:
        await desk.file(lambda: desk.seal.stamper.held(time, octets))  # 404 for one that was not given out here
        return TokenPlace(await desk.file(lambda: stamps.own_place(desk.seal, octets)), 0, (), b"", b"")
    found, written = await desk.file(lambda: stamps.place(desk.seal, time, octets))
    entry = written.entry or 0
    return TokenPlace(entry, found.index, found.path, written.octets, written.salt)
