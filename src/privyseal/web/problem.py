"""Every error as an RFC 9457 problem document: the only mapping from ``errors.py`` (and from HTTP itself) to the wire.

An answer that says no is ``application/problem+json`` and never empty, whatever went wrong and wherever. What nobody
foresaw is logged with its traceback and told to the caller as a request id, nothing more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Response
from litestar.connection import Request
from litestar.exceptions import HTTPException
from litestar.types import HTTPScope, Message, Scope

from privyseal import telemetry
from privyseal.errors import NotAuthenticated, NotFound, Overloaded, PrivySealError, TooLarge

MEDIA_TYPE = "application/problem+json"
"""The media type of a problem (RFC 9457 6.1)."""

RETRY_AFTER_S = 1
"""What a retryable refusal asks for: longer than a restarted process takes, and within every client's patience."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An RFC 9457 problem document; the members after ``instance`` are ours."""

    type: str
    """URI reference of a page about this code: ``/problems/<code>``, served here."""
    title: str
    status: int
    detail: str
    """One sentence: what happened and what was expected."""
    instance: str
    """``urn:privyseal:request:<request id>``: this one occurrence, as the service's log knows it."""
    code: str
    """A stable slug: what a program acts on."""
    request_id: str
    retryable: bool
    """Whether the very same request may succeed later."""
    hint: str | None
    """What the reader can do about it."""


class Kind(msgspec.Struct, frozen=True):
    """What all occurrences of one code have in common, and what its page says."""

    code: str
    title: str
    status: int
    retryable: bool
    about: str


HTTP_KINDS: dict[int, Kind] = {
    kind.status: kind
    for kind in (
        Kind(
            "malformed-request", "Request not understood", 400, False, "A header or body that is not even well-formed."
        ),
        Kind("method-not-allowed", "Method not allowed", 405, False, "The path exists, but not for this HTTP method."),
        Kind("timed-out", "Body not received in time", 408, True, "The body did not arrive in the time allowed."),
        Kind("unsupported-media-type", "Media type not understood", 415, False, "Another Content-Type was expected."),
    )
}
"""Mistakes of HTTP itself, which no other part of Privy Seal can make, by status."""


def kinds() -> dict[str, Kind]:
    """Return every kind of problem there is, by code: the leaves of ``errors.py`` and the mistakes of HTTP."""
    ours = {leaf.code: _kind(leaf) for leaf in _leaves(PrivySealError)}
    return ours | {kind.code: kind for kind in HTTP_KINDS.values()}


def _leaves(of: type[PrivySealError]) -> Iterator[type[PrivySealError]]:
    yield of
    for leaf in of.__subclasses__():
        yield from _leaves(leaf)


def _kind(error: type[PrivySealError]) -> Kind:
    return Kind(error.code, error.title, error.status, error.retryable, (error.__doc__ or "").strip())


def request_id(scope: Scope) -> str:
    """Return the id of this request: the caller's ``X-Request-Id`` where it is fit for a log, else one of ours."""
    return call_of(scope).request_id


def call_of(scope: Scope) -> telemetry.Call:
    """Return the call that a request is, made from its headers the first time it is asked for."""
    state: dict[str, Any] = scope.setdefault("state", {})
    if "call" not in state:
        given = trace = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = given or value
            elif name == b"traceparent":
                trace = trace or value
        parent = telemetry.traceparent(trace.decode("latin-1"))
        state["call"] = telemetry.Call(telemetry.request_id(given.decode("latin-1"), parent), parent)
    call: telemetry.Call = state["call"]
    return call


async def stamp_response(message: Message, scope: Scope) -> None:
    """Put ``X-Request-Id`` on every answer, errors included; Litestar calls this before anything is sent."""
    if message["type"] == "http.response.start":
        headers = list(message["headers"])
        headers.append((b"x-request-id", request_id(scope).encode("ascii")))
        headers.append((b"x-content-type-options", b"nosniff"))
        if scope.get("method") == "PATCH" and not scope["state"].get("body-read"):
            headers.append((b"connection", b"close"))  # or the rest of a file would be read only to be thrown away
        message["headers"] = headers


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Turn whatever a handler, a guard or the router raised into a problem document."""
    status, headers, body = told(request.scope, error)
    return Response(body, status_code=status, media_type=headers.pop("Content-Type"), headers=headers)


def told(scope: HTTPScope, error: Exception) -> tuple[int, dict[str, str], bytes]:
    """Return status, header fields and problem document of whatever was raised; log it where nobody foresaw it."""
    headers = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if isinstance(error, HTTPException) and error.status_code < 500:
        kind, detail, hint = _of_http(error, scope)
        if error.status_code == 405:
            headers["Allow"] = (error.headers or {}).get("allow", "")
    elif isinstance(error, PrivySealError) and type(error) is not PrivySealError:
        kind, detail, hint = _kind(type(error)), error.detail, error.hint
    else:
        route = scope.get("path_template")
        facts = telemetry.Facts(
            request_id=request_id(scope), method=scope["method"], route=route, where=telemetry.where(error)
        )
        telemetry.tell("a bug of ours", facts, logging.ERROR)
        kind, detail = _kind(PrivySealError), "Something went wrong inside; it is in the service's log."
        hint = "quote the request id when you report it"
    if kind.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="privyseal"'  # RFC 9110 11.6.1 requires one
    if kind.retryable and kind.status == 503:
        headers["Retry-After"] = str(retry_after(error))
    return kind.status, headers, msgspec.json.encode(document(kind, detail, hint, request_id(scope)))


def retry_after(error: Exception) -> int:
    """Return the seconds after which the same may be asked again."""
    return error.retry_after if isinstance(error, Overloaded) else RETRY_AFTER_S


def octets(error: PrivySealError, request: str) -> tuple[dict[str, str], bytes]:
    """Return the header fields and the body of a refusal that no handler and no framework will see."""
    body = msgspec.json.encode(document(_kind(type(error)), error.detail, error.hint, request))
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "x-request-id": request}
    headers |= {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if error.status == 503 and error.retryable:
        headers["retry-after"] = str(retry_after(error))
    return headers, body


def document(kind: Kind, detail: str, hint: str | None, request: str) -> Problem:
    """Build the document of one occurrence; ``request`` is the request id."""
    return Problem(
        type=f"/problems/{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=f"urn:privyseal:request:{request}",
        code=kind.code,
        request_id=request,
        retryable=kind.retryable,
        hint=hint,
    )


def _of_http(error: HTTPException, scope: HTTPScope) -> tuple[Kind, str, str | None]:
    """Name what the framework refused, in our words where its own say nothing."""
    status = error.status_code
    if status == 404:
        return _kind(NotFound), f"There is nothing at {scope['path'][:200]}.", "see /v1/openapi.json"
    if status == 405:
        detail = f"{scope['method']} is not a method of this path."
        return HTTP_KINDS[405], detail, f"allowed: {(error.headers or {}).get('allow', 'none')}"
    if status == 413:
        return _kind(TooLarge), "The body is larger than this path takes.", None
    if status == 401:
        return _kind(NotAuthenticated), "Not authenticated.", None
    hint = error.extra.get("hint") if isinstance(error.extra, dict) else None
    return HTTP_KINDS.get(status, HTTP_KINDS[400]), _sentence(error.detail), hint


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
