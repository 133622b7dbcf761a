"""The routes that are asked thousands of times a second, without a framework: for signatures, and for timestamps.

Litestar's way to a handler and back costs several times what a signature with a short key does. So these two are taken
off before it, through the same doors in the same order as every other route: who you are and what you may, the body
under its limit and strictly decoded, the handler's own core in ``api.py`` and ``tsa.py``, and ``problem.py`` for
whatever is raised. Their lines in the table of ``app.py`` describe them; whatever is not exactly these paths goes
there.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from privyseal.access import permissions
from privyseal.access.credentials import Presented
from privyseal.terms.requests import SigningRequest
from privyseal.web import api, intake, problem, tsa
from privyseal.web.desk import Desk
from privyseal.web.tls import CLIENT_CERTIFICATE

TEMPLATE = "/v1/{subscriber}/requests"
"""How the route is called where requests are counted; as Litestar calls the same line of the table."""
STAMPS = "/tsa"
"""The address of the Timestamp Authority, without a policy."""
_PATH = re.compile(r"/v1/([^/]+)/requests")

_encoder = msgspec.json.Encoder()

Answered = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


class Direct:
    """An ASGI application that answers two routes itself and leaves everything else to another application."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        """Stand before ``app``; ask ``desk``."""
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for signatures or a timestamp, or pass on what is something else."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif scope["path"] == STAMPS:
            scope["path_template"] = STAMPS
            await _answer(scope, send, self._stamped(scope, receive))
        elif path := _PATH.fullmatch(scope["path"]):
            scope["path_template"] = TEMPLATE
            scope["path_params"] = {"subscriber": path[1]}
            await _answer(scope, send, self._asked(scope, path[1], receive))
        else:
            await self._app(scope, receive, send)

    async def _stamped(self, scope: HTTPScope, receive: Receive) -> Answered:
        headers = tuple(scope["headers"])
        intake.require_media_type(_only(headers, b"content-type"), tsa.QUERY)
        query = await intake.receive_whole(
            receive, tsa.QUERY_LIMIT, _only(headers, b"content-encoding"), _only(headers, b"content-length")
        )
        return 200, {"Content-Type": tsa.REPLY, **tsa.HEADERS}, await tsa.answer(self._desk, query)

    async def _asked(self, scope: HTTPScope, subscriber: str, receive: Receive) -> Answered:
        headers = tuple(scope["headers"])
        extensions: dict[str, Any] = scope.get("extensions") or {}
        presented = Presented(headers, extensions.get(CLIENT_CERTIFICATE), scope["method"])
        actor = await self._desk.authenticate(presented)
        permissions.require(actor, "request", subscriber)
        intake.require_media_type(_only(headers, b"content-type"), "application/json")
        body = await intake.receive_whole(
            receive, intake.BODY_LIMIT, _only(headers, b"content-encoding"), _only(headers, b"content-length")
        )
        asked = api.Asked(
            actor=actor,
            subscriber=subscriber,
            keys=_values(headers, b"idempotency-key"),
            prefer=_only(headers, b"prefer"),
            request=intake.decode(body, SigningRequest),
        )
        status, more, view = await api.ask_for(self._desk, asked, problem.call_of(scope))
        return status, {"Content-Type": "application/json", **more}, _encoder.encode(view)


async def _answer(scope: HTTPScope, send: Send, answer: Awaitable[Answered]) -> None:
    try:
        status, headers, body = await answer
    except Exception as error:  # as Litestar does for every other route: none leaves without a document
        status, headers, body = problem.told(scope, error)
    fields = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    fields.append((b"content-length", str(len(body)).encode("ascii")))
    fields.append((b"x-request-id", problem.request_id(scope).encode("ascii")))
    fields.append((b"x-content-type-options", b"nosniff"))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _values(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _only(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    """Return the first field of that name, as every other route's framework does."""
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return None
