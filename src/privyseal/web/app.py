"""Every route of the service in one table: method, path, handler, who may come in, what may come out.

One route is answered before all that, as ``direct.py`` says. A request passes: the router (404, 405) -> ``routing.py``,
who you are and what you may -> the body, under its limit and strictly decoded (``intake.py``) -> the handler.
Whatever is raised on the way ends in ``problem.answer``.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp

from privyseal.web import (
    agreements,
    api,
    approving,
    certificate_requests,
    evidence,
    exchange,
    files,
    findings,
    freezes,
    grants,
    health,
    incidents,
    key_acts,
    key_evidence,
    logfiles,
    members,
    notices,
    orders,
    policies,
    problem,
    rehearsal,
    renewals,
    reports,
    routing,
    signin,
    subscribers,
    trust,
    tsa,
    who_signed,
)
from privyseal.web.console import mount
from privyseal.web.desk import Desk
from privyseal.web.direct import Direct
from privyseal.web.documented import DOCUMENTS
from privyseal.web.intake import Incoming
from privyseal.web.metrics import MEDIA_TYPE as METRICS
from privyseal.web.routing import Route


async def openapi() -> Response[bytes]:
    """Describe every path of this service (OpenAPI 3.1)."""
    return Response(openapi_document(), media_type="application/json", headers={"Cache-Control": "no-cache"})


_READ = (401, 403, 503)
_WRITE = (401, 403, 408, 409, 413, 415, 422, 503)

_UPLOAD = "/v1/{subscriber:str}/uploads/{upload_id:str}"
_REQUEST = "/v1/{subscriber:str}/requests/{request_id:str}"
_FILE = "/v1/{subscriber:str}/requests/{request_id:str}/files/{number:int}"

_EVIDENCE = "/v1/{subscriber:str}/evidence"
_TRUST = "/v1/{subscriber:str}/trust"
_TOKENS = "/v1/{subscriber:str}/tokens"
_MEMBER = "/v1/{subscriber:str}/members/{member:str}"
_DOCUMENT = "/v1/{subscriber:str}/evidence/documents/{digest:str}"

_FREEZES = "/v1/{subscriber:str}/freezes"
_INCIDENTS = "/v1/{subscriber:str}/incidents"
_IMPACT = "/v1/{subscriber:str}/impact/{fingerprint:str}"
_WEBHOOKS = "/v1/{subscriber:str}/webhooks"
_DELIVERIES = "/v1/{subscriber:str}/deliveries"
_SUBSCRIBERS = "/v1/{subscriber:str}/subscribers"
_MEMBERS = "/v1/{subscriber:str}/members"
_AGREEMENTS = "/v1/{subscriber:str}/agreements"
_PARTIES = "/v1/{subscriber:str}/parties"
_POLICIES = "/v1/{subscriber:str}/policies"
_GRANTS = "/v1/{subscriber:str}/grants"
_KEY = "/v1/{subscriber:str}/keys/{name:str}"
_LIVES = "/v1/{subscriber:str}/lives"
_KEY_ACTS = "/v1/{subscriber:str}/key-acts"
_ATTESTATIONS = "/v1/{subscriber:str}/attestations"
_ORDERS = "/v1/{subscriber:str}/certificate-orders"
_ORDER = _ORDERS + "/{order_id:str}"
_DER = "application/octet-stream"
RULES_LIMIT = 2 * 1024 * 1024
"""Octets of a body with files of rules: two thousand rules have about half as many."""

ROUTES: tuple[Route, ...] = (
    Route("GET", "/livez", api.livez, "anybody"),
    Route("GET", "/readyz", api.readyz, "anybody", (503,)),
    Route("GET", "/metrics", api.metrics, "watchers", (401, 503), media=METRICS),
    Route("GET", "/problems/{code:str}", api.problem_page, "anybody", media="text/plain"),
    Route("GET", "/log/{path:path}", logfiles.log_file, "anybody", media="application/octet-stream"),
    Route("POST", "/tsa", tsa.timestamp, "anybody", (408, 413, 415, 503), media=tsa.REPLY, limit=tsa.QUERY_LIMIT),
    Route(
        "POST",
        "/tsa/authenticode",
        tsa.timestamp_legacy,
        "anybody",
        (408, 413, 415, 422, 503),
        media=tsa.OCTETS,
        limit=tsa.QUERY_LIMIT,
    ),
    Route(
        "POST",
        "/tsa/{policy:str}",
        tsa.timestamp_under,
        "anybody",
        (408, 413, 415, 503),
        media=tsa.REPLY,
        limit=tsa.QUERY_LIMIT,
    ),
    Route("GET", "/v1/timestamps/{time:str}/{leaf:str}", tsa.token_place, "any member", (401, 422, 503)),
    Route("GET", "/v1/openapi.json", openapi, "anybody"),
    Route("GET", "/v1/whoami", api.whoami, "any member", (401, 503)),
    Route("GET", "/v1/{subscriber:str}/keys", api.list_keys, "see-keys", _READ),
    Route("GET", "/v1/{subscriber:str}/keys/{name:str}", api.read_key, "see-keys", _READ),
    Route("GET", "/v1/{subscriber:str}/certificates", api.list_certificates, "see-keys", _READ),
    Route("GET", "/v1/{subscriber:str}/certificates/{fingerprint:str}", api.read_certificate, "see-keys", _READ),
    Route("POST", "/v1/{subscriber:str}/requests", api.submit_request, "request", _WRITE, success=(201, 202)),
    Route("GET", "/v1/{subscriber:str}/requests/{request_id:str}", api.read_request, "see-requests", _READ),
    Route("POST", "/v1/{subscriber:str}/requests/{request_id:str}/approvals", api.approve_request, "approve", _WRITE),
    Route("GET", "/v1/{subscriber:str}/requests", approving.list_requests, "see-requests", (*_READ, 422)),
    Route("GET", _REQUEST + "/review", approving.review_request, "see-requests", _READ),
    Route("POST", _REQUEST + "/denial", approving.deny_request, "approve", _WRITE),
    Route("POST", _REQUEST + "/cancellation", approving.cancel_request, "request", _WRITE),
    Route("GET", "/v1/{subscriber:str}/findings", findings.list_findings, "see-findings", (*_READ, 422)),
    Route("GET", "/v1/{subscriber:str}/gates", findings.list_gates, "see-findings", _READ),
    Route("POST", "/v1/{subscriber:str}/gates/overrides", findings.override_gate, "override-gate", _WRITE),
    Route("POST", "/v1/{subscriber:str}/uploads", files.create_upload, "send-code", _WRITE, success=(201,)),
    Route("HEAD", _UPLOAD, files.read_upload, "send-code", _READ, success=(204,)),
    Route("PATCH", _UPLOAD, files.append_upload, "send-code", _WRITE, success=(204,)),
    Route("DELETE", _UPLOAD, files.delete_upload, "send-code", (*_READ, 409), success=(204,)),
    Route("GET", _FILE, files.read_file, "fetch-code", (*_READ, 409), media="application/octet-stream"),
    Route("DELETE", _FILE, files.delete_file, "fetch-code", (*_READ, 409), success=(204,)),
    Route("GET", _EVIDENCE, evidence.list_statements, "see-evidence", _READ),
    Route("POST", _EVIDENCE, evidence.make_statement, "state", _WRITE, success=(201,)),
    Route("PUT", _DOCUMENT, evidence.send_document, "state", _WRITE, success=(204,)),
    Route("POST", "/v1/token", exchange.exchange_token, "anybody", (408, 413, 415, 503), limit=exchange.FORM_LIMIT),
    Route("GET", _TRUST, trust.list_rules, "see-trust", _READ),
    Route("POST", _TRUST, trust.add_rule, "manage-trust", _WRITE, success=(201,)),
    Route("GET", f"{_TRUST}/{{rule_id:str}}", trust.read_rule, "see-trust", _READ),
    Route("DELETE", f"{_TRUST}/{{rule_id:str}}", trust.remove_rule, "manage-trust", (*_READ, 409), success=(204,)),
    Route("GET", _TOKENS, trust.list_tokens, "see-members", _READ),
    Route("POST", _TOKENS, trust.give_token, "manage-members", _WRITE, success=(201,)),
    Route("DELETE", f"{_TOKENS}/{{token_id:str}}", trust.revoke_token, "manage-members", (*_READ, 409), success=(204,)),
    Route("GET", _DOCUMENT, evidence.read_document, "see-evidence", _READ, media="application/octet-stream"),
    Route(
        "POST",
        "/v1/reports",
        reports.report_from_outside,
        "anybody",
        (408, 413, 415, 422, 503),
        success=(201,),
        limit=reports.REPORT_LIMIT,
    ),
    Route("GET", _FREEZES, freezes.list_freezes, "see-incidents", _READ),
    Route("POST", _FREEZES, freezes.freeze, "freeze", _WRITE, success=(201,)),
    Route("POST", _FREEZES + "/{name:str}/agreements", freezes.agree_to_thaw, "thaw", _WRITE),
    Route("GET", "/v1/{subscriber:str}/who-signed/{digest:str}", who_signed.who_signed, "who-signed", (*_READ, 422)),
    Route("GET", _INCIDENTS, incidents.list_incidents, "see-incidents", _READ),
    Route("POST", _INCIDENTS, incidents.report_incident, "report-incident", _WRITE, success=(201,)),
    Route("GET", _INCIDENTS + "/{name:str}", incidents.read_incident, "see-incidents", _READ),
    Route("POST", _INCIDENTS + "/{name:str}/steps", incidents.step_incident, "handle-incidents", _WRITE),
    Route("GET", _IMPACT, incidents.revocation_impact, "see-incidents", (*_READ, 422)),
    Route("GET", _WEBHOOKS, notices.list_webhooks, "manage-notifications", _READ),
    Route("POST", _WEBHOOKS, notices.add_webhook, "manage-notifications", _WRITE, success=(201,)),
    Route("DELETE", _WEBHOOKS + "/{name:str}", notices.remove_webhook, "manage-notifications", _READ, success=(204,)),
    Route("POST", _WEBHOOKS + "/{name:str}/tests", notices.try_webhook, "manage-notifications", _WRITE, success=(202,)),
    Route("GET", _DELIVERIES, notices.list_deliveries, "manage-notifications", _READ),
    Route(
        "POST",
        _DELIVERIES + "/{name:str}/replays",
        notices.replay_delivery,
        "manage-notifications",
        _WRITE,
        success=(202,),
    ),
    Route("GET", _SUBSCRIBERS, subscribers.list_subscribers, "manage-subscribers", _READ),
    Route("POST", _SUBSCRIBERS, subscribers.add_subscriber, "manage-subscribers", _WRITE, success=(201,)),
    Route("GET", _SUBSCRIBERS + "/{name:str}", subscribers.read_subscriber, "see-agreements", _READ),
    Route("PATCH", _SUBSCRIBERS + "/{name:str}", subscribers.change_subscriber, "manage-subscribers", _WRITE),
    Route("GET", _SUBSCRIBERS + "/{name:str}/identity", certificate_requests.read_identity, "see-agreements", _READ),
    Route(
        "PUT",
        _SUBSCRIBERS + "/{name:str}/identity",
        certificate_requests.state_identity,
        "manage-subscribers",
        _WRITE,
    ),
    Route(
        "POST", _KEY + "/csr", certificate_requests.request_certificate, "order-certificate", _WRITE, success=(200, 202)
    ),
    Route(
        "POST",
        _KEY + "/attestation",
        key_evidence.attest_key,
        "order-certificate",
        _WRITE,
        success=(201,),
        limit=key_evidence.FILES_LIMIT,
    ),
    Route("POST", _KEY + "/evidence", key_evidence.make_evidence, "order-certificate", _WRITE, success=(201,)),
    Route("GET", _MEMBERS, members.list_members, "see-members", _READ),
    Route("POST", _MEMBERS, members.add_member, "manage-members", _WRITE, success=(201,)),
    Route("POST", _MEMBERS + "/reviews", members.review_members, "manage-members", _WRITE, success=(201,)),
    Route("PATCH", _MEMBERS + "/{name:str}", members.set_roles, "manage-members", _WRITE),
    Route("DELETE", _MEMBERS + "/{name:str}", members.end_member, "manage-members", _WRITE),
    Route("GET", _AGREEMENTS, agreements.list_papers, "see-agreements", _READ),
    Route("POST", _AGREEMENTS, agreements.add_paper, "manage-agreements", _WRITE, success=(201,)),
    Route("POST", _AGREEMENTS + "/accepted", agreements.accept_paper, "accept-agreement", _WRITE, success=(201,)),
    Route("GET", _PARTIES, agreements.list_parties, "manage-agreements", _READ),
    Route("POST", _PARTIES, agreements.add_party, "manage-agreements", _WRITE, success=(201,)),
    Route("POST", _PARTIES + "/{name:str}", agreements.link_party, "manage-agreements", _WRITE, success=(201,)),
    Route("GET", _POLICIES, policies.list_policies, "see-policies", _READ),
    Route("GET", _POLICIES + "/{digest:str}", policies.read_policy, "see-policies", _READ),
    Route("POST", _POLICIES + "/plan", policies.plan_policy, "see-policies", _WRITE, limit=RULES_LIMIT),
    Route("POST", _POLICIES + "/test", policies.try_policy, "see-policies", _WRITE, limit=RULES_LIMIT),
    Route("POST", _POLICIES, policies.apply_policy, "manage-policies", _WRITE, success=(201,), limit=RULES_LIMIT),
    Route("POST", _ATTESTATIONS, policies.bring_attestation, "send-code", _WRITE, success=(201,)),
    Route("GET", _GRANTS, grants.list_grants, "see-grants", _READ),
    Route("POST", _GRANTS, grants.propose_grant, "request", _WRITE, success=(201,)),
    Route("GET", _GRANTS + "/{grant_id:str}", grants.read_grant, "see-grants", _READ),
    Route("POST", _GRANTS + "/{grant_id:str}/approvals", grants.agree_to_grant, "approve", _WRITE),
    Route("POST", _GRANTS + "/{grant_id:str}/revocation", grants.revoke_grant, "freeze", _WRITE),
    Route("GET", _REQUEST + "/grants", grants.fitting_grants, "see-grants", _READ),
    Route("POST", _REQUEST + "/grant", grants.use_grant, "request", _WRITE),
    Route("GET", _LIVES, key_acts.list_lives, "see-keys", _READ),
    Route("GET", _LIVES + "/{name:str}", key_acts.read_life, "see-keys", _READ),
    Route("POST", _LIVES, key_acts.propose_key, "manage-keys", _WRITE, success=(201,)),
    Route("POST", _LIVES + "/{name:str}", key_acts.propose_act, "freeze", _WRITE, success=(201,)),
    Route("GET", _KEY_ACTS, key_acts.list_acts, "see-keys", _READ),
    Route("GET", _KEY_ACTS + "/{act_id:str}", key_acts.read_act, "see-keys", _READ),
    Route("POST", _KEY_ACTS + "/{act_id:str}/agreements", key_acts.agree_to_act, "agree-to-acts", _WRITE),
    Route("DELETE", _KEY_ACTS + "/{act_id:str}", key_acts.withdraw_act, "manage-keys", (*_READ, 409)),
    Route(
        "POST",
        "/v1/{subscriber:str}/ceremonies",
        key_acts.take_in_ceremony,
        "state",
        _WRITE,
        success=(201,),
        limit=key_acts.CEREMONY_LIMIT,
    ),
    Route("GET", _ORDERS, orders.list_orders, "see-keys", _READ),
    Route(
        "POST",
        _ORDERS,
        orders.order_certificate,
        "order-certificate",
        _WRITE,
        success=(201,),
        limit=orders.ORDER_LIMIT,
    ),
    Route("GET", _ORDER, orders.read_order, "see-keys", _READ),
    Route(
        "POST",
        _ORDER + "/certificates",
        orders.upload_certificates,
        "order-certificate",
        _WRITE,
        limit=orders.CHAIN_LIMIT,
    ),
    Route("POST", _ORDER + "/acceptance", orders.accept_certificate, "accept-certificate", _WRITE),
    Route("POST", _ORDER + "/refusal", orders.refuse_certificate, "order-certificate", _WRITE),
    Route("GET", "/v1/{subscriber:str}/revocations", orders.list_revocations, "see-keys", _READ),
    Route("GET", "/v1/{subscriber:str}/renewals", renewals.list_renewals, "see-keys", _READ),
    Route("GET", "/v1/{subscriber:str}/key-health", health.list_health, "see-keys", _READ),
    Route(
        "POST",
        "/v1/{subscriber:str}/certificates/{fingerprint:str}/revocation",
        orders.revoke_certificate,
        "revoke-certificate",
        _WRITE,
    ),
    Route("GET", "/rehearsal-ca/{name:str}", rehearsal.rehearsal_file, "anybody", (503,), media=_DER),
    Route(
        "POST",
        "/rehearsal-ca/ocsp",
        rehearsal.ask_status,
        "anybody",
        (408, 413, 415, 503),
        media=rehearsal.RESPONSE,
        limit=rehearsal.REQUEST_LIMIT,
    ),
    Route(
        "GET", "/rehearsal-ca/ocsp/{question:path}", rehearsal.get_status, "anybody", (503,), media=rehearsal.RESPONSE
    ),
    Route("POST", "/v1/login/device", signin.ask_device, "anybody", (408, 413, 415, 422, 503)),
    Route("POST", "/v1/login/token", signin.ask_token, "anybody", (401, 408, 413, 415, 422, 429, 503)),
    Route("POST", "/v1/logout", signin.log_out, "any member", (401, 404, 408, 413, 415, 422, 503), success=(204,)),
    Route("POST", _MEMBER + "/invitations", signin.invite_member, "manage-members", _WRITE, success=(201,)),
    Route("DELETE", _MEMBER + "/credentials", signin.sign_out_member, "manage-members", _READ, success=(204,)),
)
"""Every route there is: a literal list."""


class _Lean(Litestar):
    """Litestar without its plugins for classes of pydantic and attrs: we have none, and to import pydantic, where some
    other package brought it, takes a tenth of the start."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def build(desk: Desk) -> ASGIApp:
    """Build the application over one desk, which it closes when it stops."""

    @asynccontextmanager
    async def closing(app: Litestar) -> AsyncIterator[None]:
        yield
        await desk.close()

    routed = _Lean(
        [*(routing.handler(route) for route in ROUTES), *mount.handlers()],
        state=State({"desk": desk}),
        dependencies={"desk": Provide(lambda: desk, sync_to_thread=False, use_cache=True)},
        request_class=Incoming,
        exception_handlers={Exception: problem.answer},
        before_send=[problem.stamp_response],
        lifespan=[closing],
        openapi_config=None,  # ours is one of the routes; Litestar's would come with HTML pages and its own 404
        logging_config=None,
        debug=False,
    )
    return Direct(routed, desk)


@functools.cache
def openapi_document() -> bytes:
    """Return the OpenAPI 3.1 document, JSON, made from the handlers' own types."""
    return routing.described(ROUTES, DOCUMENTS)
