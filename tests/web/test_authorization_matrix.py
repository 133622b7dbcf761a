"""Every route of the table, as every kind of caller, on one's own, another's and a suspended Subscriber's behalf.

Nothing here is read off the code under test but the routes: who may what is written down by hand in ``ADMITS`` and in
the table of ``tests/access/test_permissions.py``. A route without a line in ``ADMITS`` fails the suite.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from sqlalchemy import text
from tests.access.test_permissions import TABLE
from tests.every import every
from tests.web.house import House

from privyseal.records.tables import subscribers
from privyseal.signing import enrol
from privyseal.terms.parties import Role
from privyseal.web.app import ROUTES, Route

_ONE = "/v1/{subscriber:str}"
_FILE = _ONE + "/requests/{request_id:str}/files/{number:int}"
_UPLOAD = _ONE + "/uploads/{upload_id:str}"
_DOCUMENT = _ONE + "/evidence/documents/{digest:str}"

ADMITS: dict[tuple[str, str], str] = {
    ("GET", "/livez"): "anybody",
    ("GET", "/readyz"): "anybody",
    ("GET", "/metrics"): "watchers",
    ("GET", "/problems/{code:str}"): "anybody",
    ("GET", "/log/{path:path}"): "anybody",
    ("POST", "/tsa"): "anybody",
    ("POST", "/tsa/{policy:str}"): "anybody",
    ("POST", "/tsa/authenticode"): "anybody",
    ("GET", "/v1/timestamps/{time:str}/{leaf:str}"): "any member",
    ("GET", "/v1/openapi.json"): "anybody",
    ("GET", "/v1/whoami"): "any member",
    ("GET", _ONE + "/keys"): "see-keys",
    ("GET", _ONE + "/keys/{name:str}"): "see-keys",
    ("GET", _ONE + "/certificates"): "see-keys",
    ("GET", _ONE + "/certificates/{fingerprint:str}"): "see-keys",
    ("POST", _ONE + "/requests"): "request",
    ("GET", _ONE + "/requests/{request_id:str}"): "see-requests",
    ("POST", _ONE + "/requests/{request_id:str}/approvals"): "approve",
    ("GET", _ONE + "/findings"): "see-findings",
    ("GET", _ONE + "/gates"): "see-findings",
    ("POST", _ONE + "/gates/overrides"): "override-gate",
    ("POST", _ONE + "/uploads"): "send-code",
    ("HEAD", _UPLOAD): "send-code",
    ("PATCH", _UPLOAD): "send-code",
    ("DELETE", _UPLOAD): "send-code",
    ("GET", _FILE): "fetch-code",
    ("DELETE", _FILE): "fetch-code",
    ("GET", _ONE + "/evidence"): "see-evidence",
    ("POST", _ONE + "/evidence"): "state",
    ("PUT", _DOCUMENT): "state",
    ("GET", _DOCUMENT): "see-evidence",
    ("GET", _ONE + "/policies"): "see-policies",
    ("GET", _ONE + "/policies/{digest:str}"): "see-policies",
    ("POST", _ONE + "/policies/plan"): "see-policies",
    ("POST", _ONE + "/policies/test"): "see-policies",
    ("POST", _ONE + "/policies"): "manage-policies",
    ("POST", "/v1/token"): "anybody",
    ("POST", "/v1/reports"): "anybody",
    ("POST", "/v1/login/device"): "anybody",
    ("POST", "/v1/login/token"): "anybody",
    ("POST", "/v1/logout"): "any member",
    ("GET", _ONE + "/requests"): "see-requests",
    ("GET", _ONE + "/requests/{request_id:str}/review"): "see-requests",
    ("POST", _ONE + "/requests/{request_id:str}/denial"): "approve",
    ("POST", _ONE + "/requests/{request_id:str}/cancellation"): "request",
    ("GET", _ONE + "/trust"): "see-trust",
    ("POST", _ONE + "/trust"): "manage-trust",
    ("GET", _ONE + "/trust/{rule_id:str}"): "see-trust",
    ("DELETE", _ONE + "/trust/{rule_id:str}"): "manage-trust",
    ("GET", _ONE + "/tokens"): "see-members",
    ("POST", _ONE + "/tokens"): "manage-members",
    ("DELETE", _ONE + "/tokens/{token_id:str}"): "manage-members",
    ("GET", _ONE + "/freezes"): "see-incidents",
    ("POST", _ONE + "/freezes"): "freeze",
    ("POST", _ONE + "/freezes/{name:str}/agreements"): "thaw",
    ("GET", _ONE + "/who-signed/{digest:str}"): "who-signed",
    ("GET", _ONE + "/incidents"): "see-incidents",
    ("POST", _ONE + "/incidents"): "report-incident",
    ("GET", _ONE + "/incidents/{name:str}"): "see-incidents",
    ("POST", _ONE + "/incidents/{name:str}/steps"): "handle-incidents",
    ("GET", _ONE + "/impact/{fingerprint:str}"): "see-incidents",
    ("GET", _ONE + "/webhooks"): "manage-notifications",
    ("POST", _ONE + "/webhooks"): "manage-notifications",
    ("DELETE", _ONE + "/webhooks/{name:str}"): "manage-notifications",
    ("POST", _ONE + "/webhooks/{name:str}/tests"): "manage-notifications",
    ("GET", _ONE + "/deliveries"): "manage-notifications",
    ("POST", _ONE + "/deliveries/{name:str}/replays"): "manage-notifications",
    ("GET", _ONE + "/subscribers"): "manage-subscribers",
    ("POST", _ONE + "/subscribers"): "manage-subscribers",
    ("GET", _ONE + "/subscribers/{name:str}"): "see-agreements",
    ("PATCH", _ONE + "/subscribers/{name:str}"): "manage-subscribers",
    ("GET", _ONE + "/subscribers/{name:str}/identity"): "see-agreements",
    ("PUT", _ONE + "/subscribers/{name:str}/identity"): "manage-subscribers",
    ("POST", _ONE + "/keys/{name:str}/csr"): "order-certificate",
    ("POST", _ONE + "/keys/{name:str}/attestation"): "order-certificate",
    ("POST", _ONE + "/keys/{name:str}/evidence"): "order-certificate",
    ("GET", _ONE + "/certificate-orders"): "see-keys",
    ("POST", _ONE + "/certificate-orders"): "order-certificate",
    ("GET", _ONE + "/certificate-orders/{order_id:str}"): "see-keys",
    ("POST", _ONE + "/certificate-orders/{order_id:str}/certificates"): "order-certificate",
    ("POST", _ONE + "/certificate-orders/{order_id:str}/acceptance"): "accept-certificate",
    ("POST", _ONE + "/certificate-orders/{order_id:str}/refusal"): "order-certificate",
    ("GET", _ONE + "/revocations"): "see-keys",
    ("GET", _ONE + "/renewals"): "see-keys",
    ("GET", _ONE + "/key-health"): "see-keys",
    ("POST", _ONE + "/certificates/{fingerprint:str}/revocation"): "revoke-certificate",
    ("GET", "/rehearsal-ca/{name:str}"): "anybody",
    ("POST", "/rehearsal-ca/ocsp"): "anybody",
    ("GET", "/rehearsal-ca/ocsp/{question:path}"): "anybody",
    ("GET", _ONE + "/members"): "see-members",
    ("POST", _ONE + "/members"): "manage-members",
    ("POST", _ONE + "/members/reviews"): "manage-members",
    ("PATCH", _ONE + "/members/{name:str}"): "manage-members",
    ("DELETE", _ONE + "/members/{name:str}"): "manage-members",
    ("POST", _ONE + "/members/{member:str}/invitations"): "manage-members",
    ("DELETE", _ONE + "/members/{member:str}/credentials"): "manage-members",
    ("GET", _ONE + "/agreements"): "see-agreements",
    ("POST", _ONE + "/agreements"): "manage-agreements",
    ("POST", _ONE + "/agreements/accepted"): "accept-agreement",
    ("GET", _ONE + "/parties"): "manage-agreements",
    ("POST", _ONE + "/parties"): "manage-agreements",
    ("POST", _ONE + "/parties/{name:str}"): "manage-agreements",
    ("POST", _ONE + "/attestations"): "send-code",
    ("POST", _ONE + "/ceremonies"): "state",
    ("GET", _ONE + "/lives"): "see-keys",
    ("POST", _ONE + "/lives"): "manage-keys",
    ("GET", _ONE + "/lives/{name:str}"): "see-keys",
    ("POST", _ONE + "/lives/{name:str}"): "freeze",
    ("GET", _ONE + "/key-acts"): "see-keys",
    ("GET", _ONE + "/key-acts/{act_id:str}"): "see-keys",
    ("POST", _ONE + "/key-acts/{act_id:str}/agreements"): "agree-to-acts",
    ("DELETE", _ONE + "/key-acts/{act_id:str}"): "manage-keys",
    ("GET", _ONE + "/grants"): "see-grants",
    ("POST", _ONE + "/grants"): "request",
    ("GET", _ONE + "/grants/{grant_id:str}"): "see-grants",
    ("POST", _ONE + "/grants/{grant_id:str}/approvals"): "approve",
    ("POST", _ONE + "/grants/{grant_id:str}/revocation"): "freeze",
    ("GET", _ONE + "/requests/{request_id:str}/grants"): "see-grants",
    ("POST", _ONE + "/requests/{request_id:str}/grant"): "request",
}
"""Who comes in by each route: anybody, any member, whoever may watch, or who has a role for a verb."""

MEMBERS: dict[str, tuple[Role, ...]] = {
    **{role.value: (role,) for role in Role},
    "no role": (),
    "workload": (Role.REQUESTER,),
    "every role": tuple(Role),
}
STRANGERS = ("nobody", "unknown")
CALLERS = (*MEMBERS, *STRANGERS)
WHOSE = ("own", "other", "suspended")
FILLED = {"code": "not-found", "path": "checkpoint", "number": "0", "digest": "0" * 64, "fingerprint": "0" * 64}


in_sqlite = pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
"""Who may come in does not hang on the database; ``test_admission.py`` asks on both."""


def expected(admits: str, caller: str, whose: str) -> int | None:
    """Return the status with which a caller is turned away; None where it is let in."""
    if admits == "anybody":
        return None
    if admits == "watchers":  # no role opens it; see test_metrics.py
        return 401
    if caller in STRANGERS:
        return 401
    if admits == "any member":
        return None
    if whose == "other":
        return 404
    may = {verb for role in MEMBERS[caller] for verb in TABLE[role].split()}
    return None if admits in may else 403


def turned_away(answered: Any) -> int | None:
    """Return the status with which the door, and not the handler behind it, turned a caller away."""
    if answered.status_code == 401:
        return 401
    if not answered.headers["content-type"].startswith("application/problem+json"):
        return None
    detail = answered.json()["detail"] if answered.content else ""
    if answered.status_code == 403 and detail.startswith("This member's roles"):
        return 403
    return 404 if answered.status_code == 404 and "There is no Subscriber named" in detail else None


@pytest.fixture(scope="module")
def callers(shared_house: House) -> dict[tuple[str, str], dict[str, str]]:
    """Return the Authorization header of each caller; members of ``paused`` call for the suspended Subscriber."""
    house = shared_house
    (house.public_log / "checkpoint").write_text("privyseal.example/log\n0\n")
    enrol.subscriber(house.seal, "paused", "Paused")
    headers: dict[tuple[str, str], dict[str, str]] = {}
    for whose, of in (("own", "demo"), ("other", "demo"), ("suspended", "paused")):
        for name, roles in MEMBERS.items():
            member = enrol.member(house.seal, of, f"{name} of {whose}", roles, workload=name == "workload")
            headers[whose, name] = {"Authorization": f"Bearer {enrol.token(house.seal, member)}"}
        headers[whose, "nobody"], headers[whose, "unknown"] = {}, house.auth("unknown")
    suspend(house, "paused")
    return headers


def suspend(house: House, name: str) -> bool:
    """Suspend a Subscriber where the records have a state for it; tell whether they have."""
    if "state" not in subscribers.c:
        return False
    with house.seal.records.writing(name) as tx:
        tx.connection.execute(text("UPDATE subscribers SET state = 'suspended' WHERE name = :name"), {"name": name})
    return True


@in_sqlite
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_authorization_matrix(
    route: Route, shared_house: House, callers: dict[tuple[str, str], dict[str, str]]
) -> None:
    """Each cell is let in or turned away as it is declared, and nothing ever is a bug of ours."""
    assert (route.method, route.path) in ADMITS, "declare in ADMITS who may use this route"
    with every() as case:
        for caller, whose in itertools.product(CALLERS, WHOSE):
            with case(f"{caller} of {whose}"):
                _cell(route, caller, whose, shared_house, callers)


def _cell(
    route: Route, caller: str, whose: str, shared_house: House, callers: dict[tuple[str, str], dict[str, str]]
) -> None:
    subscriber = {"own": "demo", "other": "other", "suspended": "paused"}[whose]
    path = route.path.replace("{subscriber:str}", subscriber)
    path = path.replace("/subscribers/{name:str}", f"/subscribers/{subscriber}")  # which names one, and is asked of it
    path = re.sub(r"\{(\w+):\w+\}", lambda found: FILLED.get(found[1], "none"), path)
    headers = callers[whose, caller] | {"Content-Type": "application/json", "Idempotency-Key": "matrix"}
    body = b"{}" if route.method in ("POST", "PUT", "PATCH") else None
    answered = shared_house.client.request(route.method, path, headers=headers, content=body)
    if route.method == "HEAD" and answered.status_code in (403, 404):
        return _without_a_body(answered.status_code, expected(ADMITS[route.method, route.path], caller, whose))
    assert turned_away(answered) == expected(ADMITS[route.method, route.path], caller, whose), answered.text
    assert answered.status_code != 500, answered.text
    return None


def _without_a_body(status: int, wanted: int | None) -> None:
    assert status == (wanted or 404)


def test_the_authorization_matrix_is_whole() -> None:
    """Every route is declared, nothing else is, and there are as many cells as were promised."""
    assert {(route.method, route.path) for route in ROUTES} == set(ADMITS)
    assert len(ROUTES) * len(CALLERS) * len(WHOSE) >= 1000


def test_nothing_is_signed_for_a_suspended_subscriber(house: House) -> None:
    """Where the records know of suspension, who may ask otherwise is refused, and reading goes on."""
    if not suspend(house, "demo"):
        return
    answered = house.post(house.request())
    assert answered.status_code in (403, 409), answered.text
    assert not house.walk.batches
    assert house.client.get("/v1/demo/keys", headers=house.auth()).status_code == 200


def _lists(house: House) -> dict[str, bytes]:
    found = {}
    for route in ROUTES:
        if route.method != "GET" or ADMITS[route.method, route.path] in ("anybody", "watchers"):
            continue
        path = re.sub(
            r"\{(\w+):\w+\}", lambda one: FILLED.get(one[1], "none"), route.path.replace("{subscriber:str}", "demo")
        )
        answered = house.client.get(path, headers=house.auth("administrator") | {"X-Request-Id": "same"})
        kept = sorted((name, value) for name, value in answered.headers.items() if name != "date")
        found[path] = repr((answered.status_code, kept)).encode() + answered.content
    return found


def test_answers_are_the_same_octets_whether_or_not_another_subscriber_exists(house: House) -> None:
    """Whatever a second Subscriber has, nothing that the first is shown changes by an octet."""
    before = _lists(house)
    enrol.subscriber(house.seal, "third", "Third")
    theirs = enrol.member(house.seal, "third", "administrator", tuple(Role))
    headers = {"Authorization": f"Bearer {enrol.token(house.seal, theirs)}", "Content-Type": "application/json"}
    rule = '[all]\nkeys = ["*"]\n'
    answered = house.client.post("/v1/third/policies/plan", headers=headers, json={"files": {"a.toml": rule}})
    assert answered.status_code in (200, 201), answered.text
    house.client.post("/v1/third/uploads", headers=headers, json={"filename": "a", "size": 1, "sha256": "0" * 64})
    assert _lists(house) == before
