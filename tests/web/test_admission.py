"""Who may come in: every route of the table with every kind of caller, against statuses written down by hand.

A route that is not declared here fails, so nobody adds one without saying who may use it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest
from sqlalchemy import Connection, delete
from tests.every import every
from tests.web.house import House

from privyseal.access.credentials import token_digest
from privyseal.errors import NotFound
from privyseal.records.tables import tokens
from privyseal.signing import enrol
from privyseal.terms.parties import Member
from privyseal.web import desk
from privyseal.web.app import ROUTES, Route
from privyseal.web.desk import REMEMBERED

CALLERS = (
    "nobody", "unknown", "expired", "requester", "approver", "administrator", "auditor", "no role", "other",
)  # fmt: skip

EVERYBODY = dict.fromkeys(CALLERS, 200)
UNAUTHENTICATED = {"nobody": 401, "unknown": 401, "expired": 401}
WATCHERS = {"approver": 200, "administrator": 200, "auditor": 200}
READERS = {"requester": 200, "approver": 200, "administrator": 200, "auditor": 200}
WATCHING = {"administrator": 200, "auditor": 200}
SEE = UNAUTHENTICATED | READERS | {"no role": 403, "other": 404}
ONLY = UNAUTHENTICATED | dict.fromkeys(READERS, 403) | {"no role": 403, "other": 404}

_UPLOAD = "/v1/{subscriber:str}/uploads/{upload_id:str}"
_DOCUMENT = "/v1/{subscriber:str}/evidence/documents/{digest:str}"
_GRANTS = "/v1/{subscriber:str}/grants"
_REQUEST = "/v1/{subscriber:str}/requests/{request_id:str}"
_LIVES = "/v1/{subscriber:str}/lives"
_KEY_ACTS = "/v1/{subscriber:str}/key-acts"
_TRUST = "/v1/{subscriber:str}/trust"
_ORDERS = "/v1/{subscriber:str}/certificate-orders"
_TOKENS = "/v1/{subscriber:str}/tokens"
_FREEZES = "/v1/{subscriber:str}/freezes"
_INCIDENTS = "/v1/{subscriber:str}/incidents"
_WEBHOOKS = "/v1/{subscriber:str}/webhooks"
_DELIVERIES = "/v1/{subscriber:str}/deliveries"
_POLICIES = "/v1/{subscriber:str}/policies"
_MEMBER = "/v1/{subscriber:str}/members/{member:str}"
_FILE = "/v1/{subscriber:str}/requests/{request_id:str}/files/{number:int}"

EXPECTED: dict[tuple[str, str], dict[str, int]] = {
    ("GET", "/livez"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("GET", "/metrics"): dict.fromkeys(CALLERS, 401),  # no role opens it; see test_metrics.py
    ("GET", "/problems/{code:str}"): EVERYBODY,
    ("GET", "/log/{path:path}"): EVERYBODY,
    ("POST", "/tsa"): EVERYBODY,
    ("POST", "/tsa/{policy:str}"): EVERYBODY,
    ("POST", "/tsa/authenticode"): dict.fromkeys(CALLERS, 404),  # this house does not offer it
    ("GET", "/v1/openapi.json"): EVERYBODY,
    ("GET", "/v1/timestamps/{time:str}/{leaf:str}"): UNAUTHENTICATED
    | dict.fromkeys(READERS, 422)
    | {"no role": 422, "other": 422},
    ("GET", "/v1/whoami"): UNAUTHENTICATED | READERS | {"no role": 200, "other": 200},
    ("GET", "/v1/{subscriber:str}/keys"): SEE,
    ("GET", "/v1/{subscriber:str}/keys/{name:str}"): SEE,
    ("GET", "/v1/{subscriber:str}/certificates"): SEE,
    ("GET", "/v1/{subscriber:str}/certificates/{fingerprint:str}"): SEE,
    ("POST", "/v1/{subscriber:str}/requests"): ONLY | {"requester": 201},
    ("GET", "/v1/{subscriber:str}/requests/{request_id:str}"): SEE,
    # Let in, and then told that the approval sent here is not over this request.
    ("POST", "/v1/{subscriber:str}/requests/{request_id:str}/approvals"): ONLY | {"approver": 422},
    ("GET", "/v1/{subscriber:str}/requests"): SEE,
    ("GET", "/v1/{subscriber:str}/requests/{request_id:str}/review"): SEE,
    # Let in, and then told that a reason is missing, that the request is somebody else's.
    ("POST", "/v1/{subscriber:str}/requests/{request_id:str}/denial"): ONLY | {"approver": 422},
    ("POST", "/v1/{subscriber:str}/requests/{request_id:str}/cancellation"): ONLY | {"requester": 403},
    ("GET", "/v1/{subscriber:str}/findings"): ONLY | WATCHERS,
    ("GET", "/v1/{subscriber:str}/gates"): ONLY | WATCHERS,
    # Let in, and then told that no such override can exist.
    ("POST", "/v1/{subscriber:str}/gates/overrides"): ONLY | {"administrator": 422},
    ("GET", "/v1/{subscriber:str}/evidence"): ONLY | {"administrator": 200, "auditor": 200},
    # Let in, and then told that nothing is stated here, that the body has no type, that there is no such document.
    ("POST", "/v1/{subscriber:str}/evidence"): ONLY | {"administrator": 400},
    ("PUT", _DOCUMENT): ONLY | {"administrator": 415},
    ("GET", _DOCUMENT): ONLY | {"administrator": 404, "auditor": 404},
    # Of parties only the operator's role may anything, which none of these callers has.
    ("GET", "/v1/{subscriber:str}/subscribers"): ONLY,
    ("POST", "/v1/{subscriber:str}/subscribers"): ONLY,
    ("GET", "/v1/{subscriber:str}/subscribers/{name:str}"): ONLY,
    ("PATCH", "/v1/{subscriber:str}/subscribers/{name:str}"): ONLY,
    # Let in, and then told that nobody wrote that down, that the body says nothing.
    ("GET", "/v1/{subscriber:str}/subscribers/{name:str}/identity"): ONLY | {"administrator": 404, "auditor": 404},
    ("PUT", "/v1/{subscriber:str}/subscribers/{name:str}/identity"): ONLY,
    ("POST", "/v1/{subscriber:str}/keys/{name:str}/csr"): ONLY | {"administrator": 400},
    ("POST", "/v1/{subscriber:str}/keys/{name:str}/attestation"): ONLY | {"administrator": 400},
    # Let in, and then told that this house's signer cannot say anything.
    ("POST", "/v1/{subscriber:str}/keys/{name:str}/evidence"): ONLY | {"administrator": 404},
    ("GET", _ORDERS): SEE,
    # Let in, and then told that the body says nothing, or that there is no such order.
    ("POST", _ORDERS): ONLY | {"administrator": 400},
    ("GET", _ORDERS + "/{order_id:str}"): SEE | dict.fromkeys(READERS, 404),
    ("POST", _ORDERS + "/{order_id:str}/certificates"): ONLY | {"administrator": 400},
    ("POST", _ORDERS + "/{order_id:str}/acceptance"): ONLY | {"administrator": 400},
    ("POST", _ORDERS + "/{order_id:str}/refusal"): ONLY | {"administrator": 400},
    ("GET", "/v1/{subscriber:str}/revocations"): SEE,
    ("GET", "/v1/{subscriber:str}/renewals"): SEE,
    ("GET", "/v1/{subscriber:str}/key-health"): SEE,
    ("POST", "/v1/{subscriber:str}/certificates/{fingerprint:str}/revocation"): ONLY | {"administrator": 400},
    # This house has no rehearsal CA, and this body no type.
    ("GET", "/rehearsal-ca/{name:str}"): dict.fromkeys(CALLERS, 404),
    ("POST", "/rehearsal-ca/ocsp"): dict.fromkeys(CALLERS, 415),
    ("GET", "/rehearsal-ca/ocsp/{question:path}"): dict.fromkeys(CALLERS, 404),
    ("POST", "/v1/{subscriber:str}/agreements"): ONLY,
    ("GET", "/v1/{subscriber:str}/parties"): ONLY,
    ("POST", "/v1/{subscriber:str}/parties"): ONLY,
    ("POST", "/v1/{subscriber:str}/parties/{name:str}"): ONLY,
    ("GET", "/v1/{subscriber:str}/agreements"): ONLY | {"administrator": 200, "auditor": 200},
    ("GET", "/v1/{subscriber:str}/members"): ONLY | {"administrator": 200, "auditor": 200},
    # Let in, and then told that the body says nothing.
    ("POST", "/v1/{subscriber:str}/agreements/accepted"): ONLY | {"administrator": 400},
    ("POST", "/v1/{subscriber:str}/members"): ONLY | {"administrator": 400},
    ("POST", "/v1/{subscriber:str}/members/reviews"): ONLY | {"administrator": 400},
    ("PATCH", "/v1/{subscriber:str}/members/{name:str}"): ONLY | {"administrator": 400},
    ("DELETE", "/v1/{subscriber:str}/members/{name:str}"): ONLY | {"administrator": 400},
    ("GET", _POLICIES): ONLY | {"administrator": 200, "auditor": 200},
    # Let in, and then told that there is no such policy, or that there is no body.
    ("GET", _POLICIES + "/{digest:str}"): ONLY | {"administrator": 404, "auditor": 404},
    ("POST", _POLICIES + "/plan"): ONLY | {"administrator": 400, "auditor": 400},
    ("POST", _POLICIES + "/test"): ONLY | {"administrator": 400, "auditor": 400},
    ("POST", _POLICIES): ONLY | {"administrator": 400},
    ("POST", "/v1/{subscriber:str}/attestations"): ONLY | {"requester": 400},
    ("POST", "/v1/{subscriber:str}/uploads"): ONLY | {"requester": 201},
    # Let in, and then told that there is no such upload, that the body is no piece, that the request has no file.
    ("HEAD", _UPLOAD): ONLY | {"requester": 404},
    ("PATCH", _UPLOAD): ONLY | {"requester": 415},
    ("DELETE", _UPLOAD): ONLY | {"requester": 404},
    ("GET", _FILE): ONLY | {"requester": 404},
    ("POST", "/v1/token"): dict.fromkeys(CALLERS, 415),  # whoever it is, this body is no form
    # Let in, and then told that the body says nothing, or that there is no such act; nobody here is a custodian.
    ("POST", "/v1/{subscriber:str}/ceremonies"): ONLY | {"administrator": 400},
    ("GET", _LIVES): SEE,
    ("POST", _LIVES): ONLY,
    ("GET", _LIVES + "/{name:str}"): SEE,
    ("POST", _LIVES + "/{name:str}"): ONLY | {"approver": 400, "administrator": 400},
    ("GET", _KEY_ACTS): SEE,
    ("GET", _KEY_ACTS + "/{act_id:str}"): SEE | dict.fromkeys(READERS, 404),
    ("POST", _KEY_ACTS + "/{act_id:str}/agreements"): ONLY | {"approver": 400},
    ("DELETE", _KEY_ACTS + "/{act_id:str}"): ONLY,
    ("GET", _GRANTS): SEE,
    ("POST", _GRANTS): ONLY | {"requester": 400},
    ("GET", _GRANTS + "/{grant_id:str}"): SEE | dict.fromkeys(READERS, 404),
    ("POST", _GRANTS + "/{grant_id:str}/approvals"): ONLY | {"approver": 404},
    ("POST", _GRANTS + "/{grant_id:str}/revocation"): ONLY | {"approver": 400, "administrator": 400},
    ("GET", _REQUEST + "/grants"): SEE,
    ("POST", _REQUEST + "/grant"): ONLY | {"requester": 400},
    ("GET", _TRUST): ONLY | {"administrator": 200, "auditor": 200},
    ("POST", _TRUST): ONLY | {"administrator": 400},
    ("GET", _TRUST + "/{rule_id:str}"): ONLY | {"administrator": 404, "auditor": 404},
    ("DELETE", _TRUST + "/{rule_id:str}"): ONLY | {"administrator": 404},
    ("GET", _TOKENS): ONLY | {"administrator": 200, "auditor": 200},
    ("POST", _TOKENS): ONLY | {"administrator": 400},
    ("DELETE", _TOKENS + "/{token_id:str}"): ONLY | {"administrator": 404},
    ("DELETE", _FILE): ONLY | {"requester": 404},
    ("POST", "/v1/reports"): dict.fromkeys(CALLERS, 400),  # let in, and then told that the body says nothing
    ("GET", _FREEZES): ONLY | WATCHING,
    # Let in, and then told that the body says nothing of what is to be frozen; nobody here may thaw.
    ("POST", _FREEZES): ONLY | {"approver": 400, "administrator": 400},
    ("POST", _FREEZES + "/{name:str}/agreements"): ONLY,
    # Let in, and then told that nothing of the kind was signed here.
    ("GET", "/v1/{subscriber:str}/who-signed/{digest:str}"): ONLY | dict.fromkeys((*WATCHING, "approver"), 422),
    ("GET", _INCIDENTS): ONLY | WATCHING,
    ("POST", _INCIDENTS): ONLY | {"requester": 400, "approver": 400, "administrator": 400},
    ("GET", _INCIDENTS + "/{name:str}"): ONLY | dict.fromkeys(WATCHING, 404),
    ("POST", _INCIDENTS + "/{name:str}/steps"): ONLY,
    # Let in, and then told that the date is missing.
    ("GET", "/v1/{subscriber:str}/impact/{fingerprint:str}"): ONLY | dict.fromkeys(WATCHING, 400),
    ("GET", _WEBHOOKS): ONLY | {"administrator": 200},
    ("POST", _WEBHOOKS): ONLY | {"administrator": 400},
    ("DELETE", _WEBHOOKS + "/{name:str}"): ONLY | {"administrator": 404},
    # Let in, and then told that this service tells nobody.
    ("POST", _WEBHOOKS + "/{name:str}/tests"): ONLY | {"administrator": 422},
    ("GET", _DELIVERIES): ONLY | {"administrator": 200},
    ("POST", _DELIVERIES + "/{name:str}/replays"): ONLY | {"administrator": 422},
    # Nobody can sign in to this house, which has no gatehouse: told so where they get so far. No credential is asked.
    ("POST", "/v1/login/device"): dict.fromkeys(CALLERS, 422),
    ("POST", "/v1/login/token"): dict.fromkeys(CALLERS, 422),
    # Let in, and then told that a static token is no session.
    ("POST", "/v1/logout"): UNAUTHENTICATED | dict.fromkeys((*READERS, "no role", "other"), 422),
    # Let in, and then told that there is no such member.
    ("POST", _MEMBER + "/invitations"): ONLY | {"administrator": 404},
    ("DELETE", _MEMBER + "/credentials"): ONLY | {"administrator": 404},
}


@pytest.fixture(scope="module")
def waiting(shared_house: House) -> str:
    """Submit a request that waits for approval; return its id."""
    (shared_house.public_log / "checkpoint").write_text("privyseal.example/log\n0\n")
    request = shared_house.request("guarded", requester=shared_house.members["asker"])
    answered = shared_house.post(request, "waiting", "asker")
    assert answered.status_code == 202, answered.text
    return str(answered.json()["id"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_admits_whom_it_is_declared_to_admit(route: Route, shared_house: House, waiting: str) -> None:
    """The status is the declared one, and whoever is refused gets a problem document."""
    assert (route.method, route.path) in EXPECTED, "declare in EXPECTED who may use this route"
    with every() as case:
        for caller in CALLERS:
            with case(caller):
                _admits(route, caller, shared_house, waiting)


def _admits(route: Route, caller: str, house: House, waiting: str) -> None:
    path = (
        route.path.replace("{subscriber:str}", "demo")
        .replace("{name:str}", "release")
        .replace("{code:str}", "not-found")
        .replace("{path:path}", "checkpoint")
        .replace("{request_id:str}", waiting)
        .replace("{fingerprint:str}", house.request().certificate)
        .replace("{upload_id:str}", "U-none")
        .replace("{policy:str}", "1.2.3")
        .replace("{number:int}", "0")
        .replace("{digest:str}", "0" * 64)
        .replace("{rule_id:str}", "T-none")
        .replace("{token_id:str}", "K-none")
        .replace("{act_id:str}", "K-none")
        .replace("{member:str}", "M-none")
    )
    headers = {} if caller == "nobody" else house.auth(caller)
    body = None
    if path == "/tsa/authenticode":
        headers, body = headers | {"Content-Type": "application/octet-stream"}, b"query"
    elif path.startswith("/tsa"):
        headers, body = headers | {"Content-Type": "application/timestamp-query"}, b"query"
    elif path.endswith("/requests"):
        headers |= {"Content-Type": "application/json", "Idempotency-Key": "admission"}
        body = house.request().canonical()
    elif path.endswith("/denial"):
        headers |= {"Content-Type": "application/json"}
        body = b'{"reason":""}'
    elif path.endswith("/uploads"):
        headers |= {"Content-Type": "application/json"}
        body = msgspec.json.encode({"filename": "a", "size": 1, "sha256": "0" * 64})
    elif path.startswith("/v1/login/"):
        headers, body = headers | {"Content-Type": "application/json"}, b"{}"
    elif path.endswith("/invitations"):
        headers, body = headers | {"Content-Type": "application/json"}, b'{"login": "ada"}'
    elif path.endswith("/overrides"):
        headers |= {"Content-Type": "application/json"}
        lifted = {"subscriber": "demo", "requirement": "CSBR-6.2.7.3-03", "reason": "release 7, at once"}
        lifted |= {"since": "2026-11-25T00:00:00Z", "until": "2026-11-26T00:00:00Z"}
        body = msgspec.json.encode({"override": lifted, "approvals": []})
    elif path.endswith("/approvals"):
        headers |= {"Content-Type": "application/json"}
        body = msgspec.json.encode(house.approval(house.request("release")))
    answered = house.client.request(route.method, path, headers=headers, content=body)
    assert answered.status_code == EXPECTED[(route.method, route.path)][caller], answered.text
    if answered.status_code >= 400:
        assert answered.headers["content-type"] == "application/problem+json"
        assert (answered.status_code == 401) == ("www-authenticate" in answered.headers)


def test_nothing_is_declared_that_does_not_exist() -> None:
    """A declaration without a route would hide that one was renamed."""
    assert {(route.method, route.path) for route in ROUTES} == set(EXPECTED)


def test_nobody_learns_whether_another_subscriber_exists(shared_house: House) -> None:
    """Somebody else's path and a made-up one are answered alike but for the name the caller sent."""
    answers = []
    for subscriber, who in (("other", "requester"), ("nowhere", "requester"), ("demo", "other")):
        answered = shared_house.client.get(f"/v1/{subscriber}/keys/release", headers=shared_house.auth(who))
        document = answered.json()
        for ours in ("instance", "request_id"):
            del document[ours]
        answers.append(msgspec.json.encode(document).replace(subscriber.encode(), b"NAME"))
    assert answers[0] == answers[1] == answers[2]


def test_a_refused_caller_s_body_is_not_looked_at(shared_house: House) -> None:
    """Without a credential even malformed JSON is 401, and an over-long body is not read."""
    answered = shared_house.client.post("/v1/demo/requests", content=b"{" * 2_000_000)
    assert answered.status_code == 401


def test_a_revoked_token_is_refused_a_second_later(house: House) -> None:
    """A token found good is believed for a second without asking; the moment that is over, the records decide."""
    start = house.seal.clock()
    house.seal.clock = lambda: start
    assert house.client.get("/v1/whoami", headers=house.auth()).status_code == 200
    with house.seal.records.writing("demo") as tx:
        tx.connection.execute(delete(tokens))
    house.seal.clock = lambda: start + REMEMBERED - timedelta(microseconds=1)
    assert house.client.get("/v1/whoami", headers=house.auth()).status_code == 200
    assert house.client.get("/v1/whoami", headers=house.auth("auditor")).status_code == 401
    for passed in (REMEMBERED, -timedelta(microseconds=1)):  # the latter where the clock was put back
        house.seal.clock = lambda passed=passed: start + passed
        assert house.client.get("/v1/whoami", headers=house.auth()).status_code == 401


def test_a_token_that_is_revoked_here_is_refused_at_once(house: House) -> None:
    """No second passes: the very next request is refused, and everybody else's token is as good as before."""
    start = house.seal.clock()
    house.seal.clock = lambda: start
    other = house.auth("auditor")
    for headers in (house.auth(), other):
        assert house.client.get("/v1/whoami", headers=headers).status_code == 200
    digest = token_digest(house.auth()["Authorization"].removeprefix("Bearer ").encode())
    enrol.revoke_token(house.seal, "demo", digest)
    assert house.client.get("/v1/whoami", headers=house.auth()).status_code == 401
    assert house.client.get("/v1/whoami", headers=other).status_code == 200
    with pytest.raises(NotFound):
        enrol.revoke_token(house.seal, "demo", digest)


def test_a_token_revoked_while_it_is_looked_up_is_not_remembered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was found good before the revocation, by a question that ends after it, is asked for again."""
    start = house.seal.clock()
    house.seal.clock = lambda: start
    digest = token_digest(house.auth()["Authorization"].removeprefix("Bearer ").encode())
    plain = desk.member_by_token_of_all_subscribers

    def slow(connection: Connection, asked: bytes, now: datetime) -> Member | None:
        found = plain(connection, asked, now)
        enrol.revoke_token(house.seal, "demo", digest)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(desk, "member_by_token_of_all_subscribers", slow)
        assert house.client.get("/v1/whoami", headers=house.auth()).status_code == 200
    assert house.client.get("/v1/whoami", headers=house.auth()).status_code == 401


def test_a_token_of_another_subscriber_cannot_be_revoked(house: House) -> None:
    """NotFound, as if it were nobody's, and it is as good as before."""
    digest = token_digest(house.auth()["Authorization"].removeprefix("Bearer ").encode())
    with pytest.raises(NotFound):
        enrol.revoke_token(house.seal, "other", digest)
    assert house.client.get("/v1/whoami", headers=house.auth()).status_code == 200


def test_what_other_nodes_say_of_credentials_is_heeded(house: House) -> None:
    """A row that another node removed counts from its notice on, and so after every new connection that listens."""
    start = house.seal.clock()
    house.seal.clock = lambda: start
    for notice in (["credentials"], None):
        assert house.client.get("/v1/whoami", headers=house.auth()).status_code == 200
        house.desk.tell(["R-another"])
        assert len(house.desk._known) == 1
        house.desk.tell(notice)
        assert not house.desk._known


def test_a_memory_of_tokens_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """More callers than it holds are served all the same."""
    monkeypatch.setattr(desk, "MOST_REMEMBERED", 1)
    for who in ("requester", "auditor", "requester"):
        assert house.client.get("/v1/whoami", headers=house.auth(who)).status_code == 200
    assert len(house.desk._known) == 1
