"""Makes handlers of the list of pages: who comes in, what a form must prove, how an answer or a refusal looks.

The policy for content allows our own files and nothing else: no script or style within a page, no frame around it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response
from litestar.handlers import HTTPRouteHandler

from privyseal import telemetry
from privyseal.access import permissions, sessions
from privyseal.access.permissions import Verb
from privyseal.errors import NotAuthenticated, NotFound, PrivySealError, StepUpNeeded
from privyseal.formats import fact_words
from privyseal.signing import signin, viewing
from privyseal.signing.people import gatehouse
from privyseal.signing.signin import find
from privyseal.web import intake
from privyseal.web.api import carry_on
from privyseal.web.console.pages import PAGES, SAID
from privyseal.web.console.visit import HOME, Page, Reply, Visit, go, read_form, session_cookie
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming

FORM_LIMIT = 128 * 1024
"""Octets of a form; a passkey's answer is the largest field, at most 64 KiB."""
SIGNED_WITHIN_S = 10
"""Seconds that whoever approves waits for the signature; the page says how far it came."""
FORM = "application/x-www-form-urlencoded"
STATIC = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "seal.svg": "image/svg+xml",
}
"""Every file that a page loads, and its type."""


def handlers() -> list[HTTPRouteHandler]:
    """Return a handler for each page, and one for the files."""
    return [_handler(page) for page in PAGES] + [_files()]


def _handler(page: Page) -> HTTPRouteHandler:
    async def answer(request: Incoming, desk: TheDesk) -> Response[bytes]:
        headers = tuple(request.scope["headers"])
        form: dict[str, str] = {}
        refused: PrivySealError | None = None
        if page.method == "POST":
            intake.require_media_type(request.headers.get("content-type"), FORM)
            body = await request.body()
        try:
            if page.method == "POST":
                form = read_form(body)
        except PrivySealError as error:
            refused = error
        visit = Visit(desk.seal, "", page.path, headers, dict(request.query_params), form)
        known = [visit]

        def work() -> Reply:
            if refused is not None:
                raise refused
            known[0] = _let_in(visit, page, request.url.scheme, request.headers.get("host", ""))
            return page.handler(known[0])

        try:
            if page.method == "GET" and (elsewhere := _by_name(desk.seal.gatehouse, request)):
                return _response(go(elsewhere), visit)
            reply = await desk.slow(work)
            if reply.approved is not None:
                with contextlib.suppress(PrivySealError):  # it is approved all the same, and the duties go on with it
                    await carry_on(desk, reply.approved, SIGNED_WITHIN_S)
        except PrivySealError as error:
            reply = _refusal(known[0], page, error)
        return _response(reply, known[0])

    wrap = HTTPRouteHandler(
        page.path,
        http_method=page.method,
        status_code=200,
        media_type="text/html",
        opt={"admits": page.admits},
        request_max_body_size=FORM_LIMIT,
        include_in_schema=False,
        name=f"{page.method} {page.path}",
    )
    return wrap(answer)


def _by_name(gate: Any, request: Incoming) -> str:
    """Return the same page at ``localhost`` where it is asked at an address of loopback: passkeys need a name."""
    host = request.headers.get("host", "")
    if gate is None or gate.origin is not None or not host.startswith("127.0.0.1"):
        return ""
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.scheme}://localhost{host.removeprefix('127.0.0.1')}{request.url.path}{query}"


def _let_in(visit: Visit, page: Page, scheme: str, host: str) -> Visit:
    """Find out our own address and whose session this is, and refuse what one of our own pages did not send."""
    origin = gatehouse(visit.seal).origin_of(scheme, host)
    visit = replace(visit, origin=origin)
    if page.method == "POST":
        sessions.require_own_page(visit.headers, origin)
    try:
        found = sessions.find(visit.headers, functools.partial(find, visit.seal), visit.seal.clock(), half=True)
    except NotAuthenticated:
        if page.admits != "anybody":
            raise
        found = None
    if found is not None and found[0].kind == "browser":
        visit = replace(visit, session=found[0], token=found[1])
        if page.method == "POST" and page.admits != "anybody":
            sessions.require_page_token(found[1], visit.form.get("page", ""))
    if page.admits != "anybody":
        session = visit.signed_in
        if session.pending and page.admits == "signed in":
            raise StepUpNeeded("The second factor of this session is still owed.", hint="confirm who you are")
        signin.touch(visit.seal, session)
        if page.verb is not None:
            _require_rights(visit, page, page.verb)
    return visit


def _require_rights(visit: Visit, page: Page, verb: Verb) -> None:
    permissions.require(visit.actor, verb, visit.actor.subscriber)
    if page.recent:
        sessions.require_recent(visit.actor, visit.seal.clock())
    if page.method == "GET" and viewing.is_watched(visit.actor):
        viewing.seen(visit.seal, visit.actor, visit.actor.subscriber, page.path)


def _refusal(visit: Visit, page: Page, error: PrivySealError) -> Reply:
    """Show why, or lead to where the cure is."""
    query = f"?{urlencode(visit.query, quote_via=quote)}" if visit.query else ""
    here = quote(page.path + query, safe="")
    if isinstance(error, StepUpNeeded) and page.method == "GET":
        return go(f"/console/second-factor?next={here}")
    if isinstance(error, NotAuthenticated) and page.method == "GET" and page.admits != "anybody":
        return go(f"/console/sign-in?next={here}", *([session_cookie(visit, "")] if visit.origin else []))
    cure = ""
    if isinstance(error, StepUpNeeded):
        cure = "/console/second-factor"
    elif isinstance(error, NotAuthenticated) and page.admits != "anybody":
        cure = "/console/sign-in"
    facts = telemetry.Facts(code=error.code, route=page.path, status=error.status)
    telemetry.tell("page refused", facts)
    return Reply("problem.html", {"error": error, "cure": cure}, status=error.status)


def _response(reply: Reply, visit: Visit) -> Response[bytes]:
    headers = {
        "Content-Security-Policy": policy(reply.form_action),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer" if visit.origin.startswith("https:") else "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Permissions-Policy": "publickey-credentials-create=(self), publickey-credentials-get=(self)",
    }
    body = b""
    if reply.to:
        headers["Location"] = reply.to
    else:
        body = render(reply.template, visit, dict(reply.shows)).encode("utf-8")
    cookies = list(reply.cookies)
    return Response(body, status_code=reply.status, media_type="text/html", headers=headers, cookies=cookies)


def policy(form_action: str = "") -> str:
    """Return the Content-Security-Policy (CSP 3): everything is ours, and nothing stands within the page."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'none'; "
        f"form-action 'self'{' ' + form_action if form_action else ''}; frame-ancestors 'none'; base-uri 'none'"
    )


def render(template: str, visit: Visit, shows: dict[str, Any]) -> str:
    """Render one template in the layout that all share."""
    session = visit.session if visit.session is not None and not visit.session.pending else None
    return (
        environment()
        .get_template(template)
        .render(
            shows
            | {
                "service": visit.seal.service.name,
                "session": session,
                "page_token": sessions.page_token(visit.token) if visit.token else "",
                "navigation": _navigation(visit) if session is not None else [],
                "said": SAID.get(visit.query.get("said", ""), ""),
                "next": visit.next,
                "here": visit.path,
                "chapter": _chapter(visit.path),
            }
        )
    )


def _navigation(visit: Visit) -> list[Page]:
    return [page for page in PAGES if page.navigation and (page.verb is None or visit.may(page.verb))]


def _chapter(here: str) -> str:
    """Return the page in the navigation to which a page belongs."""
    known = [page.path for page in PAGES if page.navigation and here.startswith(page.path)]
    return max((each for each in known if each != HOME or here == HOME), key=len, default="")


@functools.cache
def environment() -> Environment:
    """Return the templates: everything is escaped, and what a page forgot to hand over is an error."""
    made = Environment(
        loader=PackageLoader("privyseal.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["facts_in_words"] = fact_words.in_words
    made.filters["moment"] = lambda at: at.strftime("%Y-%m-%d %H:%M UTC")
    made.filters["groups"] = lambda digest: [digest[start : start + 8] for start in range(0, len(digest), 8)]
    return made


def _files() -> HTTPRouteHandler:
    wrap = HTTPRouteHandler(
        "/console/static/{name:str}", http_method="GET", media_type="text/plain", include_in_schema=False
    )
    serve: Callable[..., Any] = static_file
    return wrap(serve)


async def static_file(request: Incoming) -> Response[bytes]:
    """Send one of our own files; no other name leads anywhere."""
    name = request.path_params["name"]
    if name not in STATIC:
        raise NotFound("There is no such file.")
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'none'"}
    return Response(_octets(name), media_type=STATIC[name], headers=headers)


@functools.cache
def _octets(name: str) -> bytes:
    return (resources.files("privyseal.web.console") / "static" / name).read_bytes()
