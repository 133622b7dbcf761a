"""Every page of the console, as everybody who could open it: written down by hand, as for the routes of the API."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from tests.web.house import House

from privyseal.access import sessions
from privyseal.access.sealed import Sealer
from privyseal.signing import enrol, leavers, signin
from privyseal.signing.gatehouse import Gatehouse
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.web.console.pages import PAGES
from privyseal.web.console.visit import Page

ADMITS = {
    "GET /console/": "signed in",
    "GET /console/welcome": "anybody",
    "POST /console/welcome/password": "anybody",
    "POST /console/welcome/passkey": "anybody",
    "GET /console/sign-in": "anybody",
    "POST /console/sign-in/password": "anybody",
    "POST /console/sign-in/passkey": "anybody",
    "GET /console/provider": "anybody",
    "GET /console/provider/callback": "anybody",
    "GET /console/second-factor": "half signed in",
    "POST /console/second-factor/passkey": "half signed in",
    "POST /console/second-factor/code": "half signed in",
    "POST /console/sign-out": "half signed in",
    "GET /console/security": "signed in",
    "POST /console/security/password": "signed in",
    "POST /console/security/passkey": "signed in",
    "POST /console/security/passkey/remove": "signed in",
    "POST /console/security/app": "signed in",
    "POST /console/security/app/confirm": "signed in",
    "POST /console/security/recovery-codes": "signed in",
    "GET /console/sessions": "signed in",
    "POST /console/sessions/end": "signed in",
    "POST /console/sessions/end-others": "signed in",
    "GET /console/allow": "signed in",
    "POST /console/allow": "signed in",
    "GET /console/device": "signed in",
    "POST /console/device/look": "signed in",
    "POST /console/device": "signed in",
}
"""Who is let in by each page. A page without a line here fails the suite."""

AGENT = "Firefox/150.0"
LET_IN = {"whole": {"anybody", "half signed in", "signed in"}, "half": {"anybody", "half signed in"}}
CALLERS = ("nobody", "unknown", "half", "whole", "of another browser", "who left")


@pytest.fixture
def pages(house: House) -> House:
    """Let people sign in to the house."""
    house.seal.gatehouse = Gatehouse(Sealer(secrets.token_bytes(32), secrets.token_bytes))
    return house


def _token(house: House, caller: str) -> str:
    if caller == "nobody":
        return ""
    if caller == "unknown":
        return "pss_" + "A" * 43
    member = enrol.member(house.seal, "demo", "Ada", tuple(Role), workload=False)
    agent = "Safari/1" if caller == "of another browser" else AGENT
    visitor = signin.Visitor(sessions.agent_of([(b"user-agent", agent.encode())]), "a browser")
    proof = signin.Proof(member=member, factors=(Factor.PASSKEY,), whole=True)
    token, session = signin._session(house.seal, proof, visitor, owed=caller == "half")
    with house.seal.records.writing("demo") as tx:
        signin.records.add(tx, sessions.digest(token), session)
    if caller == "who left":
        administrator = Member(house.members["administrator"], "demo", "administrator", (Role.ADMINISTRATOR,))
        leavers.leave(house.seal, Actor(administrator, (Factor.BEARER,)), member.id, house.seal.clock())
    return token


def _open(house: House, page: Page, token: str) -> Any:
    house.client.cookies.clear()
    headers = {"Host": "localhost", "User-Agent": AGENT, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    if token:
        headers["Cookie"] = f"{sessions.LOOPBACK_COOKIE}={token}"
    form = {"page": sessions.page_token(token) if token else "none"}
    data = form if page.method == "POST" else None
    return house.client.request(page.method, page.path, headers=headers, data=data, follow_redirects=False)


def _turned_away(answered: Any) -> bool:
    """Tell whether the door, and not the page behind it, refused: by a page that says so, or by the way to the cure."""
    to = answered.headers.get("location", "")
    if answered.status_code == 303:
        return to.startswith(("/console/sign-in?next=", "/console/second-factor?next="))
    said = ("Nobody is signed in", "is still owed", "has ended or is unknown", "was begun in another browser")
    return answered.status_code == 401 and any(each in answered.text for each in said)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_page_admits_whom_it_is_declared_to_admit(caller: str, pages: House) -> None:
    """Each is let in or turned away as it is declared, and nothing ever is a bug of ours."""
    for page in PAGES:
        named = f"{page.method} {page.path}"
        answered = _open(pages, page, _token(pages, caller))
        wanted = ADMITS[named] in LET_IN.get(caller, {"anybody"})
        assert _turned_away(answered) is not wanted, (named, answered.status_code, answered.text[:300])
        assert answered.status_code < 500, (named, answered.text)


def test_every_page_is_declared() -> None:
    """And nothing else is."""
    assert [f"{page.method} {page.path}" for page in PAGES] == list(ADMITS)
