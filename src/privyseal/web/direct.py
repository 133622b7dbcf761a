"""The one route that is asked thousands of times a second, without a framework: ``POST /v1/{subscriber}/requests``.

Litestar's way to a handler and back costs several times what a signature with a short key does. So the request for
signatures is taken off before it, through the same doors in the same order as every other route: who you are and what
you may, the body under its limit and strictly decoded, the handler's own core in ``api.py``, and ``problem.py`` for
whatever is raised. Its line in the table of ``app.py`` describes it; whatever is not exactly this path goes there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from privyseal.access import permissions
from privyseal.access.credentials import Presented
from privyseal.terms.requests import SigningRequest
from privyseal.web import api, intake, problem
from privyseal.web.desk import Desk
from privyseal.web.tls import CLIENT_CERTIFICATE

TEMPLATE = "/v1/{subscriber}/requests"
"""How the route is called where requests are counted; as Litestar calls the same line of the table."""
_PATH = re.compile(r"/v1/([^/]+)/requests")

_encoder = msgspec.json.Encoder()


class Direct:
    """An ASGI application that answers one route itself and leaves everything else to another application."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        """Stand before ``app``; ask ``desk``."""
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for signatures, or pass on what is something else."""
        if scope["type"] == ScopeType.HTTP and scope["method"] == "POST" and (path := _PATH.fullmatch(scope["path"])):
            await self._answer(scope, path[1], receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: HTTPScope, subscriber: str, receive: Receive, send: Send) -> None:
        scope["path_template"] = TEMPLATE
        scope["path_params"] = {"subscriber": subscriber}
        try:
            status, headers, body = await self._asked(scope, subscriber, receive)
        except Exception as error:  # as Litestar does for every other route: none leaves without a document
            status, headers, body = problem.told(scope, error)
        fields = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        fields.append((b"content-length", str(len(body)).encode("ascii")))
        fields.append((b"x-request-id", problem.request_id(scope).encode("ascii")))
        fields.append((b"x-content-type-options", b"nosniff"))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _asked(self, scope: HTTPScope, subscriber: str, receive: Receive) -> tuple[int, dict[str, str], bytes]:
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


def _values(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _only(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    """Return the first field of that name, as every other route's framework does."""
    for name, value in headers:
        if name == wanted:
            return value.decode("latin-1")
    return None
