"""Who agrees or administers has just shown a second factor: held against every route of the table, by hand."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from tests.signing.test_people import VISITOR
from tests.web.house import House
from tests.web.test_authorization_matrix import ADMITS, FILLED

from privyseal.access import sessions
from privyseal.records import sessions as records
from privyseal.signing import enrol, signin
from privyseal.terms.parties import Factor, Role
from privyseal.web.app import ROUTES, Route

SEEN = {"GET", "HEAD"}
AT_ONCE = {"request", "send-code", "fetch-code", "report-incident", "see-policies"}
"""What changes something, or asks with a body, and needs no second factor of just now."""


def _needs_one(route: Route) -> bool:
    admits = ADMITS[route.method, route.path]
    return route.method not in SEEN and admits not in AT_ONCE | {"anybody", "any member", "watchers"}


@pytest.fixture(scope="module")
def session(shared_house: House) -> dict[str, str]:
    """Let somebody with every role in at a command line, by a passkey, and let twice as long pass as RECENT is."""
    house = shared_house
    (house.public_log / "checkpoint").write_text("privyseal.example/log\n0\n")
    member = enrol.member(house.seal, "demo", "Ada", tuple(Role), workload=False)
    proof = signin.Proof(member=member, factors=(Factor.PASSKEY,), whole=True)
    _, begun = signin.begin(house.seal, proof, VISITOR)
    token, digest = sessions.new_token("command-line", house.seal.draw)
    with house.seal.records.writing("demo") as tx:
        records.end(tx, member.id, begun.id)
        ends = begun.begun + sessions.COMMAND_LINE_LIMIT
        fields = {name: getattr(begun, name) for name in begun.__struct_fields__}
        records.add(tx, digest, sessions.Session(**fields | {"kind": "command-line", "ends": ends}))
    return {"Authorization": f"Bearer {token}"}


def _ask(house: House, route: Route, session: dict[str, str]) -> Any:
    path = route.path.replace("{subscriber:str}", "demo")
    path = re.sub(r"\{(\w+):\w+\}", lambda found: FILLED.get(found[1], "none"), path)
    headers = session | {"Content-Type": "application/json", "Idempotency-Key": "step-up"}
    body = None if route.method in SEEN else b"[]"
    return house.client.request(route.method, path, headers=headers, content=body)


def _asked_again(answered: Any) -> bool:
    return answered.status_code == 401 and answered.json()["code"] == "step-up-needed"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_second_factor_of_long_ago_does_not_do(route: Route, shared_house: House, session: dict[str, str]) -> None:
    """It is asked for again wherever somebody agrees or administers, and nowhere else; a moment after, it does."""
    if route.path == "/v1/logout":
        return  # it would end the session
    clock = shared_house.seal.clock
    assert not _asked_again(_ask(shared_house, route, session))
    shared_house.seal.clock = lambda: clock() + 2 * sessions.RECENT
    try:
        assert _asked_again(_ask(shared_house, route, session)) == _needs_one(route)
    finally:
        shared_house.seal.clock = clock


def test_a_session_without_a_second_factor_administers_nothing(house: House) -> None:
    """It reads, and it asks; and a machine's credential, which has nobody to ask, is not held up."""
    member = enrol.member(house.seal, "demo", "Ada", tuple(Role), workload=False)
    _, begun = signin.begin(house.seal, signin.Proof(member=member, factors=(Factor.OIDC,)), VISITOR)
    token, digest = sessions.new_token("command-line", house.seal.draw)
    with house.seal.records.writing("demo") as tx:
        fields = {name: getattr(begun, name) for name in begun.__struct_fields__}
        changed = {"kind": "command-line", "id": "Z-other", "ends": begun.begun + timedelta(hours=1)}
        records.add(tx, digest, sessions.Session(**fields | changed))
    headers = {"Authorization": f"Bearer {token}"}
    assert house.client.get("/v1/demo/members", headers=headers).status_code == 200
    new = {"name": "Bob", "roles": ["requester"], "workload": False}
    assert _asked_again(house.client.post("/v1/demo/members", headers=headers, json=new))
    done = house.client.post("/v1/demo/members", headers=house.auth("administrator"), json=new)
    assert done.status_code == 201, done.text
