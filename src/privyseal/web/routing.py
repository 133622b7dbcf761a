"""What a route is, who is let in by one, and how a list of them is handed to the router and described.

Who calls is found out before any body is read; a person who administers or agrees must, besides, have shown a second
factor just now. That is asked here, of the verb, so that no route can forget it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import Components, License, SecurityScheme

from privyseal import __version__
from privyseal.access import permissions
from privyseal.access.credentials import Presented
from privyseal.access.permissions import Verb
from privyseal.access.sessions import SAFE_METHODS, require_recent
from privyseal.signing import viewing
from privyseal.signing.notices import TOPICS
from privyseal.web import problem, views
from privyseal.web.desk import Desk
from privyseal.web.intake import BODY_LIMIT, Incoming
from privyseal.web.tls import CLIENT_CERTIFICATE

Admission = Verb | Literal["anybody", "any member", "watchers"]
"""Who may come in: anybody at all, any authenticated member, whoever the configuration lets read metrics (the handler
asks), or whose role allows a verb for the path's Subscriber."""


class Route(msgspec.Struct, frozen=True):
    """One line of the table."""

    method: Literal["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Callable[..., Any]
    admits: Admission
    refusals: tuple[int, ...] = ()
    """Statuses of the problem documents it may answer with, besides 400, 404, 405 and 500, which every path may."""
    success: tuple[int, ...] = (200,)
    """Statuses of success, all with the same document."""
    media: str = "application/json"
    """Media type of success."""
    limit: int = BODY_LIMIT
    """Octets of a body."""


async def _admit(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Find out who is calling and let pass whom the route admits; the body has not been read yet."""
    desk: Desk = connection.app.state.desk
    scope = connection.scope
    certificate: bytes | None = (scope.get("extensions") or {}).get(CLIENT_CERTIFICATE)  # type: ignore[assignment]
    actor = await desk.authenticate(Presented(tuple(scope["headers"]), certificate, str(scope.get("method", ""))))
    connection.scope["user"] = actor
    admits: Admission = handler.opt["admits"]
    if admits != "anybody" and admits != "any member" and admits != "watchers":
        subscriber = connection.path_params["subscriber"]
        permissions.require(actor, admits, subscriber)
        if scope.get("method") not in SAFE_METHODS and permissions.needs_recent(admits):
            require_recent(actor, desk.seal.clock())
        if viewing.is_watched(actor) and scope.get("method") in ("GET", "HEAD"):
            await desk.file(lambda: viewing.seen(desk.seal, actor, subscriber, scope["path"]))


def handler(route: Route) -> HTTPRouteHandler:
    """Return what the router takes of a route."""
    open_to_all = route.admits in ("anybody", "watchers")
    wrap = HTTPRouteHandler(
        route.path,
        http_method=route.method,
        status_code=route.success[0],
        media_type=route.media,
        guards=None if open_to_all else [_admit],
        opt={"admits": route.admits},
        request_max_body_size=route.limit,
        security=None if route.admits == "anybody" else [{"bearer": []}, {"clientCertificate": []}],
        responses=_responses(route),
        summary=(route.handler.__doc__ or "").partition("\n")[0],
        operation_id=route.handler.__name__,
    )
    return wrap(route.handler)


def _responses(route: Route) -> dict[int, ResponseSpec]:
    kinds = problem.kinds().values()
    refusals = {
        status: ResponseSpec(
            problem.Problem,
            description=", ".join(sorted(k.code for k in kinds if k.status == status)),
            media_type=problem.MEDIA_TYPE,
            generate_examples=False,
        )
        for status in sorted({400, 404, 405, 500, *route.refusals})
    }
    unfinished = {
        status: ResponseSpec(views.RequestView, description="Not finished yet", generate_examples=False)
        for status in route.success[1:]
    }
    return unfinished | refusals


def described(routes: Sequence[Route], documents: Sequence[Any]) -> bytes:
    """Describe routes, and what goes in and out by them, as an OpenAPI 3.1 document, JSON."""
    made = Litestar(
        [handler(route) for route in routes],
        dependencies={"desk": Provide(object, sync_to_thread=False)},
        request_class=Incoming,
        openapi_config=OpenAPIConfig(
            title="Privy Seal",
            version=__version__,
            description="Sign code, prove it, and check it. Every refusal is an RFC 9457 problem document.",
            license=License(name="Apache-2.0", identifier="Apache-2.0"),
            use_handler_docstrings=True,
            components=Components(
                security_schemes={
                    "bearer": SecurityScheme(type="http", scheme="bearer"),
                    "clientCertificate": SecurityScheme(type="mutualTLS"),
                }
            ),
        ),
        logging_config=None,
    )
    document = made.openapi_schema.to_schema()
    # Litestar's schemas of our structs do not say that unknown fields are refused and that octets are base64.
    _, exact = msgspec.json.schema_components(documents, ref_template="#/components/schemas/{name}")
    document["components"]["schemas"] |= exact
    document["webhooks"] = {topic: _told(about) for topic, about in TOPICS.items()}
    return msgspec.json.encode(document)


def _told(about: str) -> dict[str, Any]:
    """Describe one topic of which webhooks are told (OpenAPI 3.1, webhooks; Standard Webhooks)."""
    fields = {"type": {"type": "string"}, "timestamp": {"type": "string", "format": "date-time"}}
    schema = {"type": "object", "properties": fields | {"data": {"type": "object"}}, "required": [*fields, "data"]}
    headers = [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ]
    body = {"content": {"application/json": {"schema": schema}}}
    taken = {"204": {"description": "Any status of 200 to 299 says that it was taken."}}
    return {"post": {"summary": about, "parameters": headers, "requestBody": body, "responses": taken}}
