"""What a page refuses without a browser's help: forged forms, wrong hosts, and everything in every page's list."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.every import every
from tests.web.house import House, build_house

from privyseal.access import sessions
from privyseal.access.permissions import MAY
from privyseal.access.sealed import Sealer
from privyseal.records.schema import migrate
from privyseal.signing import enrol, people, signin
from privyseal.signing.gatehouse import Gatehouse
from privyseal.terms.parties import Factor, Member, Role
from privyseal.web.console import mount
from privyseal.web.console.pages import PAGES, SAID
from privyseal.web.console.visit import Page

AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0"
OWN = {"Host": "localhost", "User-Agent": AGENT, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Member]]:
    """Build a house that lets people in, with a member who has a password."""
    folder = tmp_path_factory.mktemp("pages")
    empty = folder / "empty.db"
    migrate(f"sqlite:///{empty}")
    with pytest.MonkeyPatch.context() as patched:
        rooms = Path(folder / "house")
        rooms.mkdir()
        for house in build_house(empty, rooms, patched):
            house.seal.gatehouse = Gatehouse(Sealer(secrets.token_bytes(32), secrets.token_bytes))
            member = enrol.member(house.seal, "demo", "Ada", (Role.ADMINISTRATOR,), workload=False)
            token = people.invite(house.seal, None, "demo", member.id, "ada")
            people.set_password(house.seal, member, "seven quiet herons", token)
            yield house, member


def begin(house: House, member: Member, *, whole: bool = True) -> str:
    """Begin a session; return its token."""
    proof = signin.Proof(member=member, factors=(Factor.PASSKEY,), whole=whole)
    visitor = signin.Visitor(sessions.agent_of([(b"user-agent", AGENT.encode())]), "Firefox")
    return signin.begin(house.seal, proof, visitor)[0]


def ask(house: House, to: Page, token: str = "", headers: dict[str, str] | None = None, **form: str) -> Any:
    sent = OWN | (headers or {}) | ({"Cookie": f"privyseal-loopback={token}"} if token else {})
    sent = {name: value for name, value in sent.items() if value}
    data = (form or {"nothing": ""}) if to.method == "POST" else None
    return house.client.request(to.method, to.path, headers=sent, data=data, follow_redirects=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
def test_a_page_admits_whom_it_says(page: Page, inside: tuple[House, Member]) -> None:
    """Strangers are led to the sign-in, or refused; whoever is signed in is not; every answer has the policy."""
    house, member = inside
    stranger = ask(house, page)
    assert stranger.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in stranger.headers["content-security-policy"]
    assert stranger.headers["content-type"] == "text/html; charset=utf-8"
    if page.admits != "anybody":
        assert stranger.status_code == (303 if page.method == "GET" else 401)
        assert "location" not in stranger.headers or stranger.headers["location"].startswith("/console/sign-in?next=")
    token = begin(house, member)
    answer = ask(house, page, token, page=sessions.page_token(token))
    may = page.verb is None or page.verb in MAY[Role.ADMINISTRATOR]
    assert answer.status_code != 500 and "sign-in?next" not in answer.headers.get("location", "")
    assert (answer.status_code == 403) == (not may)
    if page.method == "POST" and page.admits != "anybody":
        assert ask(house, page, begin(house, member), page="x" * 43).status_code == 401
        assert ask(house, page, begin(house, member)).status_code == 401


FORGED = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "a sister site": {"Sec-Fetch-Site": "same-site"},
    "typed in": {"Sec-Fetch-Site": "none"},
    "another origin": {"Origin": "http://evil.example", "Sec-Fetch-Site": ""},
    "another scheme": {"Origin": "https://localhost", "Sec-Fetch-Site": ""},
    "an opaque origin": {"Origin": "null", "Sec-Fetch-Site": ""},
    "neither": {"Origin": "", "Sec-Fetch-Site": ""},
}


@pytest.mark.parametrize("page", [page for page in PAGES if page.method == "POST"], ids=lambda page: page.path)
def test_a_form_from_anywhere_else_is_refused(page: Page, inside: tuple[House, Member]) -> None:
    """Even with the cookie and the page token: 401, and nothing happened."""
    house, member = inside
    with every() as case:
        for how, headers in FORGED.items():
            with case(how):
                token = begin(house, member)
                answer = ask(house, page, token, headers, page=sessions.page_token(token))
                assert answer.status_code == 401 and "does not come from a page of this service" in answer.text
                assert signin.find(house.seal, sessions.digest(token)) is not None


def test_the_api_takes_a_cookie_only_from_our_own_pages(inside: tuple[House, Member]) -> None:
    """Reading needs the cookie; what changes something also the header and the origin; the busiest route too."""
    house, member = inside
    token = begin(house, member)
    cookie = OWN | {"Cookie": f"privyseal-loopback={token}"}
    who = house.client.get("/v1/whoami", headers=cookie)
    assert who.status_code == 200 and who.json()["factors"] == ["passkey"]
    body = {"content": b'{"login": "ada"}'}
    path = f"/v1/demo/members/{member.id}/invitations"
    plain = cookie | {"Content-Type": "application/json"}
    proven = plain | {"X-Privyseal-Page": sessions.page_token(token)}
    assert house.client.post(path, headers=plain, **body).status_code == 401
    assert house.client.post(path, headers=proven | {"Sec-Fetch-Site": "cross-site"}, **body).status_code == 401
    invited = house.client.post(path, headers=proven, **body)
    assert invited.status_code == 201 and invited.json()["path"].startswith("/console/welcome?invitation=psi_")
    for headers in (plain, proven):
        answer = house.client.post("/v1/demo/requests", headers=headers, content=b"{}")
        assert answer.status_code == (401 if headers is plain else 403)


def test_step_up_has_a_code_of_its_own(inside: tuple[House, Member]) -> None:
    """An administrator's session without a recent second factor is told what to do."""
    house, member = inside
    token = begin(house, member, whole=False)
    headers = OWN | {"Cookie": f"privyseal-loopback={token}", "X-Privyseal-Page": sessions.page_token(token)}
    path = f"/v1/demo/members/{member.id}/invitations"
    answer = house.client.post(path, headers=headers | {"Content-Type": "application/json"}, content=b'{"login":"a"}')
    assert (answer.status_code, answer.json()["code"]) == (401, "step-up-needed")
    assert "/console/second-factor" in answer.json()["hint"]


def test_another_host_gets_nothing(inside: tuple[House, Member]) -> None:
    """A name that somebody else points at us is refused; an address of loopback is led to the name."""
    house, _ = inside
    page = next(page for page in PAGES if page.path == "/console/sign-in")
    assert ask(house, page, headers={"Host": "rebound.example"}).status_code == 403
    led = ask(house, page, headers={"Host": "127.0.0.1:8470"})
    assert led.headers["location"] == "http://localhost:8470/console/sign-in"


def test_nobody_is_led_away(inside: tuple[House, Member]) -> None:
    """``next`` leads to our own pages alone, and ``said`` says only what is ours."""
    house, _ = inside
    page = next(page for page in PAGES if page.path == "/console/sign-in/password")
    for bad in (
        "https://evil.example",
        "//evil.example",
        "/console/\\evil",
        "/\\evil",
        "javascript:x",
        "/console/../x",
    ):
        answer = ask(house, page, account="ada@demo", password="seven quiet herons", next=bad)
        assert answer.headers["location"] == "/console/", bad
    shown = house.client.get("/console/sign-in?said=<b>give me your password</b>", headers=OWN)
    assert "give me" not in shown.text and "signed-out" in SAID


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"a=1&a=2",
        b"&".join(b"a%d=1" % n for n in range(60)),
        b"=",
        b"note=%ff",
        b"account=a%00@demo&password=x",
    ],
    ids=["not ascii", "twice", "too many", "nameless", "not utf-8", "nul"],
)
def test_a_form_that_is_none_is_a_page_that_says_so(body: bytes, inside: tuple[House, Member]) -> None:
    """One sentence in HTML, never a traceback."""
    house, _ = inside
    headers = OWN | {"Content-Type": "application/x-www-form-urlencoded"}
    answer = house.client.post("/console/sign-in/password", headers=headers, content=body)
    assert answer.status_code in (401, 422) and "<h1>" in answer.text


@pytest.mark.parametrize(("name", "kind"), [("console.css", "text/css"), ("console.js", "text/javascript")])
def test_a_file_has_one_type(name: str, kind: str, inside: tuple[House, Member]) -> None:
    assert inside[0].client.get(f"/console/static/{name}").headers["content-type"] == f"{kind}; charset=utf-8"


def test_nothing_stands_within_a_page() -> None:
    """No script, style or handler in any template, nothing from elsewhere, and every form says who sent it."""
    folder = Path(str(mount.__file__)).parent / "templates"
    for path in folder.glob("*.html"):
        text = path.read_text()
        assert not re.search(
            r"<script(?! src=\"/console/static/)|<style|\sstyle=|\son\w+=|javascript:|\|\s*safe", text
        ), path
        assert not re.search(r"(?:src|href|action)=\"https?:", text), path
    assert {path.name for path in (folder.parent / "static").iterdir()} == set(mount.STATIC)
