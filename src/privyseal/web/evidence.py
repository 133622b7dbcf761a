"""What members state, over HTTP: documents in and out by their digest, statements in, a list of what the log has.

Nothing here needs an Idempotency-Key: a document is its digest, and what counts already is not stated again.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from litestar import Response
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from privyseal.compliance.statements import Matter, Stated
from privyseal.records import statements
from privyseal.records.documents import Draft
from privyseal.signing import paper
from privyseal.web.desk import Desk, TheDesk
from privyseal.web.files import PIECE
from privyseal.web.intake import Incoming, require_media_type
from privyseal.web.views_of_findings import OCTETS, StatementList, StatementView


def statement_view(stated: Stated) -> StatementView:
    """Show a statement."""
    return StatementView(
        entry=stated.entry, topic=stated.said.matter.topic, said=stated.said, octets=stated.octets, salt=stated.salt
    )


async def list_statements(subscriber: FromPath[str], desk: TheDesk) -> StatementList:
    """List what members of the Subscriber stated: documents, reviews, declarations, choices."""
    found = await desk.read(subscriber, statements.listed)
    return StatementList(tuple(map(statement_view, found)))


async def make_statement(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Matter], desk: TheDesk
) -> Response[StatementView]:
    """State something: it is logged before it counts. What counts already is answered as it stands.

    A document's octets are to be sent first.
    """
    actor = request.user
    stated, _ = await desk.slow(lambda: paper.state(desk.seal, actor, subscriber, data))
    return Response(statement_view(stated), status_code=201)


async def send_document(
    request: Incoming, subscriber: FromPath[str], digest: FromPath[str], desk: TheDesk
) -> Response[None]:
    """Send the octets of a document; its SHA-256 is checked when the last one came. It is evidence once stated to be.

    A broken transfer leaves nothing; sending a document that is here already changes nothing.
    """
    require_media_type(request.headers.get("content-type"), OCTETS)
    actor = request.user
    most = paper.documents(desk.seal).largest
    with desk.transfer():
        draft = await desk.file(lambda: paper.draft(desk.seal, actor, subscriber, digest))
        if draft is None:
            async for _ in request.pieces(most):
                pass
            return Response(None, status_code=204)
        try:
            await _take_in(request, desk, draft, most)
            await desk.slow(draft.keep)
        finally:
            await desk.disk(draft.close)
    return Response(None, status_code=204)


async def _take_in(request: Incoming, desk: Desk, draft: Draft, most: int) -> None:
    waiting = bytearray()
    async for piece in request.pieces(most):
        waiting += piece
        if len(waiting) >= PIECE:
            octets, waiting = waiting, bytearray()
            await desk.disk(lambda octets=octets: draft.append(octets))  # type: ignore[misc]
    if waiting:
        await desk.disk(lambda: draft.append(waiting))


async def read_document(request: Incoming, subscriber: FromPath[str], digest: FromPath[str], desk: TheDesk) -> Stream:
    """Fetch a document that a member of the Subscriber has stated something of."""
    actor = request.user
    fd, size = await desk.file(lambda: paper.open_document(desk.seal, actor, subscriber, digest))
    headers = {
        "Content-Length": str(size),
        "ETag": f'"{digest}"',
        "Cache-Control": "no-store",
        "Content-Disposition": "attachment",
    }
    return Stream(_octets(desk, fd, size), headers=headers, media_type=OCTETS)


async def _octets(desk: Desk, fd: int, size: int) -> AsyncIterator[bytes]:
    at = 0
    try:
        while at < size:
            octets = await desk.disk(lambda at=at: os.pread(fd, PIECE, at))  # type: ignore[misc]
            if not octets:
                return  # shorter than it was; the announced length tells the client
            at += len(octets)
            yield octets
    finally:
        os.close(fd)
