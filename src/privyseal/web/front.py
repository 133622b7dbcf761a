"""Before the application: whose call this is, whether there is room for it, how long it took.

Whoever is refused here costs no handler, no thread and no database, so that refusing stays possible under any load.
Probes are never refused for want of room: an orchestrator that cannot ask would take a busy service for a dead one.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from privyseal.errors import PrivySealError, Unavailable
from privyseal.telemetry import CALLS, Call, Facts, tell, told
from privyseal.web import problem
from privyseal.web.batching import overloaded
from privyseal.web.metrics import Metrics

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Paths that are answered however full it is."""
WHILE_STOPPING = frozenset({"/livez", "/metrics"})
"""Paths that are answered while the service stops; a refusal is what ``/readyz`` has to say then."""


class Front:
    """The application as the server calls it: an ASGI application around another one."""

    def __init__(self, app: ASGIApp, *, requests: int, metrics: Metrics) -> None:
        """Let at most ``requests`` into ``app`` at once."""
        self._app = app
        self._most = requests
        self._metrics = metrics
        self._tracing = metrics.tracing
        self.under_way = 0
        self.stopping = False
        metrics.living.under_way = lambda: self.under_way

    def stop(self) -> None:
        """Refuse whatever comes from now on; what is under way goes on."""
        self.stopping = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == ScopeType.HTTP:
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        call = problem.call_of(scope)
        refusal = self._refusal(scope)
        if refusal is not None:
            await self._refuse(scope, call, refusal, send)
            return
        probe = scope["path"] in PROBES
        self.under_way += not probe
        began, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        mine = CALLS.set((call,))
        if self._tracing is not None:
            self._tracing.begin(call, scope["method"])
        try:
            await self._app(scope, receive, noting)
        finally:
            CALLS.reset(mine)
            self.under_way -= not probe
            self._over(scope, call, status, time.monotonic() - began)

    def _refusal(self, scope: HTTPScope) -> PrivySealError | None:
        if self.stopping and scope["path"] not in WHILE_STOPPING:
            self._metrics.refused("stopping")
            return Unavailable("Not ready. The service is stopping.", hint="ask another one, or this one in a moment")
        if scope["path"] in PROBES:
            return None
        if scope["state"].get("crowded"):
            self._metrics.refused("connections")
            return overloaded("There are more connections than the service takes.", 0)
        if self.under_way >= self._most:
            self._metrics.refused("requests")
            return overloaded("There are more requests under way than the service takes.", 0)
        return None

    async def _refuse(self, scope: HTTPScope, call: Call, error: PrivySealError, send: Send) -> None:
        headers, body = problem.octets(error, call.request_id)
        if self.stopping or scope["state"].get("crowded"):
            headers["connection"] = "close"
        fields = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": error.status, "headers": fields})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        if told():
            tell("refused", Facts(request_id=call.request_id, method=scope["method"], status=503, code=error.code))

    def _over(self, scope: HTTPScope, call: Call, status: int, seconds: float) -> None:
        # Of what the router did not know only that it did not: a path is as long and as various as a caller likes.
        route: str = scope.get("path_template") or "unknown"
        self._metrics.request(scope["method"], route, status, seconds)
        if self._tracing is not None:
            self._tracing.end(call, f"{scope['method']} {route}", status)
        level = logging.WARNING if status >= 500 and status != 503 else logging.INFO
        if told(level):
            known: dict[str, Any] = scope.get("path_params") or {}
            facts = Facts(
                request_id=call.request_id,
                method=scope["method"],
                route=route,
                status=status,
                subscriber=_short(known.get("subscriber")),
                request=call.request or _short(known.get("request_id")),
                state="gone" if call.gone else call.state,
                duration_ms=round(seconds * 1000, 3),
            )
            tell("request", facts, level)


def _short(named: object) -> str | None:
    return None if named is None else str(named)[:64]
