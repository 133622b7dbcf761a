"""Policies over HTTP, and what auditors are shown: written down before they see it."""

from __future__ import annotations

from typing import Any

from tests.web.house import House

from privyseal.records.events import events_about
from privyseal.terms.parties import Role

ALL = {"all.toml": '[all]\nkeys = ["*"]\nwho = { roles = ["requester"] }\npublisher = ["Acme"]\n'}


def send(house: House, what: str, document: dict[str, Any], who: str = "administrator") -> Any:
    headers = house.auth(who) | {"Content-Type": "application/json"}
    return house.client.post(f"/v1/demo/policies{what}", json=document, headers=headers)


def test_a_policy_is_planned_applied_shown_and_heeded(house: House) -> None:
    """From the plan to a refused request, with the digest in the request that was allowed."""
    planned = send(house, "/plan", {"files": ALL})
    assert planned.status_code in (200, 201), planned.text
    plan = planned.json()
    assert (plan["was"], plan["added"], plan["idle"]) == (None, ["all"], [])
    applied = send(house, "", {"files": ALL, "was": None, "accept_conflict": "One member has every role here."})
    assert applied.status_code == 201, applied.text
    digest = applied.json()["digest"]
    assert digest == plan["digest"]
    shown = house.client.get(f"/v1/demo/policies/{digest}", headers=house.auth("administrator")).json()
    assert list(shown["rules"]) == ["all"]
    refused = house.post(house.request(), "refused")
    assert (refused.status_code, refused.json()["code"]) == (403, "policy-refused")
    allowed = house.post(house.request(options={"program_name": "Acme"}), "allowed")
    assert allowed.status_code == 201, allowed.text
    assert (allowed.json()["policy"], allowed.json()["allowed_by"]) == (digest, ["all"])
    tried = send(house, "/test", {"member": "requester", "key": "release"}, "auditor").json()
    assert (tried["allowed"], list(tried["rules"])) == (False, ["all"])


def test_what_is_no_policy_is_one_sentence(house: House) -> None:
    """Unknown members of the document and of a rule, and files that are no TOML."""
    assert send(house, "", {"files": ALL, "force": True}).status_code == 422
    for text in ("[a]\nkees = 1", "[", "a = 1"):
        answered = send(house, "/plan", {"files": {"a.toml": text}})
        assert answered.status_code == 422, answered.text
        assert answered.json()["detail"].startswith("a.toml")


def test_every_view_of_an_auditor_is_written_down_and_nobody_else_s(house: House) -> None:
    """By path, whatever the answer is."""
    for who in ("requester", "auditor"):
        house.client.get("/v1/demo/keys", headers=house.auth(who))
        house.client.get("/v1/demo/keys/none", headers=house.auth(who))
    with house.seal.records.reading("demo") as tx:
        for path in ("/v1/demo/keys", "/v1/demo/keys/none"):
            assert [each.what for each in events_about(tx, path)] == ["viewed"]
    assert Role.AUDITOR.value in house.tokens
