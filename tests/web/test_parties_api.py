"""Subscribers, members and papers over HTTP: who is stopped is stopped at the next request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.web.house import House, check


def _send(house: House, method: str, path: str, who: str, document: dict[str, Any]) -> Any:
    return house.client.request(method, path, json=document, headers=house.auth(who))


def test_a_new_subscriber_s_administrator_sees_its_own_and_nothing_else(house: House) -> None:
    """By the token that is told once; the operator's list has both."""
    new = {"name": "acme", "display_name": "Acme", "administrator": "Ada"}
    added = _send(house, "POST", "/v1/demo/subscribers", "service-operator", new)
    assert (added.status_code, added.headers["cache-control"]) == (201, "no-store")
    house.tokens["ada"] = added.json()["token"]
    assert added.json()["token"].encode() not in added.request.content
    own = house.client.get("/v1/acme/subscribers/acme", headers=house.auth("ada")).json()
    assert (own["standing"], sorted(own["steps"])) == ("enrolling", ["identity", "key", "papers", "people"])
    check(house.client.get("/v1/acme/subscribers/demo", headers=house.auth("ada")), 404, "not-found")
    check(house.client.get("/v1/acme/subscribers/nobody", headers=house.auth("ada")), 404, "not-found")
    check(house.client.get("/v1/acme/subscribers", headers=house.auth("ada")), 403, "not-permitted")
    listed = house.client.get("/v1/demo/subscribers", headers=house.auth("service-operator")).json()
    assert [each["name"] for each in listed["subscribers"]] == ["acme", "demo", "other"]
    check(_send(house, "POST", "/v1/demo/subscribers", "service-operator", new), 409, "conflict")
    names = {"name": "acme2", "display_name": "\u0410cme", "administrator": "Ada"}
    check(_send(house, "POST", "/v1/demo/subscribers", "service-operator", names), 422, "bad-input")


def test_the_operator_s_role_elsewhere_is_nobody_s(house: House) -> None:
    """A member of another Subscriber with every role operates nothing."""
    new = {"name": "acme", "display_name": "Acme", "administrator": "Ada"}
    check(_send(house, "POST", "/v1/other/subscribers", "other", new), 403, "not-permitted")
    check(house.client.get("/v1/other/parties", headers=house.auth("other")), 403, "not-permitted")


def test_who_left_is_refused_at_the_next_request(house: House) -> None:
    """Though the desk remembered the token a moment ago."""
    assert house.client.get("/v1/demo/keys", headers=house.auth()).status_code == 200
    left = {"left": datetime.now(UTC).replace(microsecond=0).isoformat()}
    done = _send(house, "DELETE", "/v1/demo/members/requester", "administrator", left)
    assert done.status_code == 200, done.text
    check(house.client.get("/v1/demo/keys", headers=house.auth()), 401, "not-authenticated")


def test_other_roles_hold_at_the_next_request(house: House) -> None:
    """What a role allowed is refused, and what the new one allows is not."""
    assert house.client.get("/v1/demo/keys", headers=house.auth()).status_code == 200
    changed = _send(house, "PATCH", "/v1/demo/members/requester", "administrator", {"roles": ["auditor"]})
    assert changed.json()["roles"] == ["auditor"]
    check(house.post(house.request()), 403, "not-permitted")
    assert house.client.get("/v1/demo/evidence", headers=house.auth()).status_code == 200


def test_a_suspended_subscriber_is_told_so_and_reads_its_records(house: House) -> None:
    """409 for a request to sign; keys, members and papers are there as before."""
    with house.seal.records.writing("demo") as tx:
        tx.connection.exec_driver_sql("UPDATE subscribers SET state = 'suspended' WHERE name = 'demo'")
    found = check(house.post(house.request(), "suspended"), 409, "denied")
    assert "is suspended" in found["detail"]
    for path in ("keys", "members", "agreements", "evidence"):
        assert house.client.get(f"/v1/demo/{path}", headers=house.auth("administrator")).status_code == 200
    with house.seal.records.writing("demo") as tx:
        tx.connection.exec_driver_sql("UPDATE subscribers SET state = 'closed' WHERE name = 'demo'")
    assert "is closed" in check(house.post(house.request(), "closed"), 403, "not-permitted")["detail"]


def test_bad_bodies_are_one_sentence(house: House) -> None:
    """Each names what is wrong; nothing is taken in."""
    for method, path, document in (
        ("POST", "members", {"name": "a\0b", "roles": [], "workload": False}),
        ("POST", "members", {"name": "x", "roles": ["king"], "workload": False}),
        ("POST", "members", {"name": "x", "roles": ["auditor", "auditor"], "workload": False}),
        ("POST", "members", {"name": "x", "roles": [], "workload": False, "token": "pst_x"}),
        ("DELETE", "members/requester", {"left": "2026-03-01"}),
        ("DELETE", "members/requester", {"left": "2999-03-01T00:00:00Z"}),
        ("POST", "agreements/accepted", {"kind": "promise", "sha256": "", "representative": {}}),
    ):
        answered = _send(house, method, f"/v1/demo/{path}", "administrator", document)
        check(answered, 422, "bad-input")
    members = house.client.get("/v1/demo/members", headers=house.auth("administrator")).json()
    assert all(each["ended"] is None for each in members["accounts"])
