"""Code in and signed code out (mode ``server``): uploads that can be resumed, downloads that can be read in part.

Offsets, appending and cancelling are those of draft-ietf-httpbis-resumable-upload: ``HEAD`` tells ``Upload-Offset``,
``PATCH`` with ``application/partial-upload`` appends at one, ``DELETE`` cancels. An upload is created by a document of
our own, which announces size and SHA-256 before the first octet comes.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from typing import Annotated

from litestar import Response
from litestar.exceptions import ClientException
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.response import Stream

from privyseal.errors import BadInput, NotFound
from privyseal.records.spool import Part
from privyseal.signing import artifacts, uploads
from privyseal.terms.uploads import PARTIAL, NewUpload, Upload
from privyseal.web import views
from privyseal.web.desk import Desk, TheDesk
from privyseal.web.intake import Incoming, require_media_type

PIECE = 1 << 20
"""Octets that are collected before they go to the disk, and read from it at a time: each is a turn of a thread."""

_OFFSET = re.compile(r"[0-9]{1,15}")
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})")

UploadOffset = Annotated[
    str | None,
    HeaderParameter(
        name="Upload-Offset", required=True, description="Where the piece begins: how many octets are there."
    ),
]
"""The header that says where a piece goes (draft-ietf-httpbis-resumable-upload)."""
UploadComplete = Annotated[
    str | None,
    HeaderParameter(
        name="Upload-Complete",
        required=False,
        description="`?1`: the file ends with this piece; refused if it does not.",
    ),
]
"""The header that says whether a piece is the last one; a structured field's boolean (RFC 8941 3.3.6)."""
Range = Annotated[
    str | None,
    HeaderParameter(name="Range", required=False, description="One range, `bytes=FIRST-` or `bytes=FIRST-LAST`."),
]
"""The header that asks for a part of a file (RFC 9110 14.2)."""


async def create_upload(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[NewUpload], desk: TheDesk
) -> Response[views.UploadView]:
    """Announce a file, or find how far it came: the same size and SHA-256 are the same upload.

    Announcing again changes nothing, so it needs no Idempotency-Key.
    """
    actor = request.user
    upload, offset = await desk.file(lambda: uploads.announce(desk.seal, actor, subscriber, data))
    headers = {"Location": f"/v1/{subscriber}/uploads/{upload.id}", **_standing(upload, offset, upload.complete)}
    return Response(views.upload_view(upload, offset), status_code=201, headers=headers)


async def read_upload(
    request: Incoming, subscriber: FromPath[str], upload_id: FromPath[str], desk: TheDesk
) -> Response[None]:
    """Tell in headers how much of an upload is there: Upload-Offset, Upload-Length, Upload-Complete."""
    actor = request.user
    upload, offset = await desk.file(lambda: uploads.find(desk.seal, actor, subscriber, upload_id))
    headers = {"Cache-Control": "no-store", **_standing(upload, offset, upload.complete)}
    return Response(None, status_code=204, headers=headers)


async def append_upload(
    request: Incoming,
    subscriber: FromPath[str],
    upload_id: FromPath[str],
    desk: TheDesk,
    upload_offset: UploadOffset = None,
    upload_complete: UploadComplete = None,
) -> Response[None]:
    """Append a piece: straight to the disk, never past the announced size, one sender at a time.

    With the last octet the SHA-256 of the whole is checked; where it is another than announced, the upload is dropped.
    What came before a broken connection is kept.
    """
    require_media_type(request.headers.get("content-type"), PARTIAL)
    at, ends, actor = _offset(upload_offset), _flag(upload_complete), request.user
    with desk.transfer():
        part = await desk.file(lambda: uploads.open_part(desk.seal, actor, subscriber, upload_id, at))
        try:
            await _take_in(request, desk, part)
            upload, _ = await desk.file(lambda: uploads.find(desk.seal, actor, subscriber, upload_id))
            whole = part.offset == part.size
            if ends and not whole:
                raise BadInput(
                    f"The file was said to end at {part.offset}, and {part.size} octets were announced.",
                    hint="go on from there, or delete the upload and announce the file anew",
                )
            if whole:
                await desk.slow(lambda: uploads.accept(desk.seal, actor, upload, part))
        finally:
            part.close()
    return Response(None, status_code=204, headers=_standing(upload, part.offset, whole))


async def _take_in(request: Incoming, desk: Desk, part: Part) -> None:
    """Write the body behind what is there; also what came of a body that broke off."""
    waiting = bytearray()
    try:
        async for piece in request.pieces(part.size - part.offset):
            waiting += piece
            if len(waiting) >= PIECE:
                octets, waiting = waiting, bytearray()
                await desk.disk(lambda octets=octets: part.append(octets))  # type: ignore[misc]
    finally:
        if waiting:
            await desk.disk(lambda: part.append(waiting))
    if part.offset < part.size:
        await desk.disk(part.settle)


async def delete_upload(
    request: Incoming, subscriber: FromPath[str], upload_id: FromPath[str], desk: TheDesk
) -> Response[None]:
    """Delete an upload; 409 where a request that is not over needs it."""
    actor = request.user
    await desk.file(lambda: uploads.cancel(desk.seal, actor, subscriber, upload_id))
    return Response(None, status_code=204)


async def read_file(
    request: Incoming,
    subscriber: FromPath[str],
    request_id: FromPath[str],
    number: FromPath[int],
    desk: TheDesk,
    wanted: Range = None,
) -> Stream:
    """Fetch the finished file of a released request in mode ``server``; its number is 0, for a request has one file.

    ``ETag`` is its SHA-256 in hex. One range may be asked for; more than one, or one that there is not, is ignored.
    """
    _require_first(number)
    actor = request.user
    artifact, opened = await desk.file(lambda: artifacts.fetch(desk.seal, actor, subscriber, request_id))
    size = artifact.size or 0
    first, last = _range(wanted, size)
    headers = {
        "Content-Length": str(last + 1 - first),
        "ETag": f'"{artifact.sha256}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "Content-Disposition": "attachment",
    }
    whole = (first, last) == (0, size - 1)
    if not whole:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return Stream(
        _octets(desk, opened, first, last + 1),
        status_code=200 if whole else 206,
        headers=headers,
        media_type="application/octet-stream",
    )


async def _octets(desk: Desk, opened: io.FileIO, at: int, end: int) -> AsyncIterator[bytes]:
    with opened:
        opened.seek(at)
        while at < end:
            count = min(PIECE, end - at)
            octets = await desk.disk(lambda count=count: opened.read(count))  # type: ignore[misc]
            if not octets:
                return  # shorter than the records say; the announced length tells the client
            at += len(octets)
            yield octets


async def delete_file(
    request: Incoming,
    subscriber: FromPath[str],
    request_id: FromPath[str],
    number: FromPath[int],
    desk: TheDesk,
) -> Response[None]:
    """Delete the finished file of a request before its time; the request and its receipt stay."""
    _require_first(number)
    actor = request.user
    await desk.file(lambda: artifacts.delete(desk.seal, actor, subscriber, request_id))
    return Response(None, status_code=204)


def _standing(upload: Upload, offset: int, complete: bool) -> dict[str, str]:
    """Say how far an upload is, as structured fields (RFC 9651)."""
    return {
        "Upload-Offset": str(offset),
        "Upload-Length": str(upload.size),
        "Upload-Complete": "?1" if complete else "?0",
    }


def _offset(value: str | None) -> int:
    if value is None or not _OFFSET.fullmatch(value.strip()):
        raise ClientException(
            "The Upload-Offset header is missing or no number.",
            extra={"hint": "HEAD tells where the next piece begins"},
        )
    return int(value)


def _flag(value: str | None) -> bool:
    if value is not None and value.strip() not in ("?0", "?1"):
        raise ClientException("The Upload-Complete header is neither ?0 nor ?1.")
    return value is not None and value.strip() == "?1"


def _range(asked: str | None, size: int) -> tuple[int, int]:
    """Return the first and last octet to send; all of them where none, several or impossible ones are asked for."""
    found = _RANGE.fullmatch(asked.strip()) if asked else None
    if found is None:
        return 0, size - 1
    first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    return (first, last) if first <= last else (0, size - 1)


def _require_first(number: int) -> None:
    if number != 0:
        raise NotFound(f"The request has no file {number}.", hint="it has one file, whose number is 0")
