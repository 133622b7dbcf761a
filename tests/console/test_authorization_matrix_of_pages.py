"""Every page of the list, as every kind of caller: who may what is written down here by hand.

A page without a line in ``ADMITS`` fails the suite. What is another Subscriber's does not exist for anybody.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.access.test_permissions import TABLE
from tests.console.test_forgery import OWN, ask, begin
from tests.every import every
from tests.web.house import House, build_house

from privyseal.access import sessions
from privyseal.access.sealed import Sealer
from privyseal.records.schema import migrate
from privyseal.signing import enrol
from privyseal.signing.gatehouse import Gatehouse
from privyseal.terms.parties import Role
from privyseal.web.console.pages import PAGES
from privyseal.web.console.visit import Page

_ANYBODY = (
    "welcome welcome/password welcome/passkey sign-in sign-in/password sign-in/passkey provider provider/callback"
)
_HALF = "second-factor second-factor/passkey second-factor/code sign-out"
_OWN = (
    " security security/password security/passkey security/passkey/remove security/app security/app/confirm "
    "security/recovery-codes sessions sessions/end sessions/end-others allow device device/look"
)
ADMITS: dict[str, str] = {
    **dict.fromkeys(_ANYBODY.split(), "anybody"),
    **dict.fromkeys(_HALF.split(), "half signed in"),
    **dict.fromkeys(("", *_OWN.split()), "any member"),
    "requests": "see-requests",
    "requests/one": "see-requests",
    "requests/approve": "approve recent",
    "requests/deny": "approve recent",
    "requests/cancel": "request",
    "keys": "see-keys",
    "keys/one": "see-keys",
    "keys/act": "see-keys",
    "keys/suspend": "freeze recent",
    "keys/agree": "agree-to-acts recent",
    "freezes": "see-keys",
    "freezes/freeze": "freeze recent",
    "freezes/thaw": "thaw recent",
    "incidents": "see-incidents",
    "incidents/one": "see-incidents",
    "incidents/report": "report-incident recent",
    "certificates": "see-keys",
    "certificates/one": "see-keys",
    "certificates/upload": "order-certificate recent",
    "certificates/accept": "accept-certificate recent",
    "certificates/refuse": "order-certificate recent",
    "agreements": "see-agreements",
    "agreements/one": "see-agreements",
    "agreements/accept": "accept-agreement recent",
    "members": "see-members",
    "members/invite": "manage-members recent",
    "members/leave": "manage-members recent",
    "approver-key": "see-keys",
}
"""Who comes in to each page below ``/console/``: anybody, any member, or who may do this; and whether it asks for a
second factor that was shown recently."""

MEMBERS: dict[str, tuple[Role, ...]] = {
    **{role.value: (role,) for role in Role},
    "no role": (),
    "every role": tuple(Role),
}
CALLERS = (*MEMBERS, "without a recent factor", "half signed in", "nobody")
DISTURBING = ("/console/sign-out", "/console/sessions/end-others")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("matrix")
    migrate(f"sqlite:///{folder / 'empty.db'}")
    (folder / "house").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        for each in build_house(Path(folder / "empty.db"), folder / "house", patched):
            each.seal.gatehouse = Gatehouse(Sealer(secrets.token_bytes(32), secrets.token_bytes))
            yield each


@pytest.fixture(scope="module")
def people(house: House) -> dict[str, Any]:
    """Return a member for each kind of caller."""
    roles = MEMBERS | {"without a recent factor": tuple(Role), "half signed in": tuple(Role)}
    return {
        name: enrol.member(house.seal, "demo", f"{name} at a page", given, workload=False)
        for name, given in roles.items()
    }


def token_of(house: House, people: dict[str, Any], caller: str) -> str:
    if caller == "nobody":
        return ""
    token = begin(house, people[caller], whole=caller not in ("without a recent factor", "half signed in"))
    if caller == "half signed in":
        from sqlalchemy import update

        from privyseal.records.tables import sessions as rows

        with house.seal.records.writing("demo") as tx:
            tx.connection.execute(update(rows).where(rows.c.digest == sessions.digest(token)).values(pending=True))
    return token


def expected(admits: str, caller: str) -> str:
    """Return how a caller is turned away: by what the page then says; empty where it is let in."""
    verb, _, recent = admits.partition(" ")
    if admits == "anybody" or (admits == "half signed in" and caller != "nobody"):
        return ""
    if caller == "nobody":
        return "sign in"
    if caller == "half signed in":
        return "second factor"
    if admits == "any member":
        return ""
    given = MEMBERS.get(caller, tuple(Role))
    if verb not in {each for role in given for each in TABLE[role].split()}:
        return "not permitted"
    return "second factor" if recent and caller == "without a recent factor" else ""


def turned_away(page: Page, answered: Any) -> str:
    led = answered.headers.get("location", "")
    if led.startswith("/console/sign-in?next") or (
        answered.status_code == 401 and "Nobody is signed in" in answered.text
    ):
        return "sign in"
    if led.startswith("/console/second-factor?next") or (
        answered.status_code == 401 and "step-up-needed" in answered.text
    ):
        return "second factor"
    return "not permitted" if answered.status_code == 403 and "This member&#39;s roles" in answered.text else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
def test_authorization_matrix_of_pages(page: Page, house: House, people: dict[str, Any]) -> None:
    """Each cell is let in or turned away as it is declared, and nothing ever is a bug of ours."""
    name = page.path.removeprefix("/console/")
    assert name in ADMITS, "declare in ADMITS who may open this page"
    with every() as case:
        for caller in CALLERS:
            with case(caller):
                token = token_of(house, people, caller)
                answered = ask(house, page, token, page=sessions.page_token(token) if token else "")
                assert answered.status_code != 500, answered.text
                assert turned_away(page, answered) == expected(ADMITS[name], caller), answered.text


def test_another_subscribers_request_is_not_there(house: House, people: dict[str, Any]) -> None:
    """The same words for what is somebody else's and for what nobody has, in reading and in answering."""
    house.post(house.request("guarded"), "page-matrix")
    (number,) = [each["id"] for each in house.client.get("/v1/demo/requests", headers=house.auth()).json()["requests"]][
        :1
    ]
    stranger = enrol.member(house.seal, "other", "stranger at a page", tuple(Role), workload=False)
    token = begin(house, stranger)
    sent = OWN | {"Cookie": f"privyseal-loopback={token}"}
    said = []
    for asked in (number, "R-nothing"):
        answers = [house.client.get(f"/console/requests/one?id={asked}", headers=sent)]
        form = {"page": sessions.page_token(token), "id": asked, "reason": "no", "digest": "0" * 64, "stage": "0"}
        form["answer"] = '{"id":"AAAA","response":{"authenticatorData":"","clientDataJSON":"","signature":""}}'
        for what in ("approve", "deny", "cancel"):
            answers.append(house.client.post(f"/console/requests/{what}", headers=sent, data=form))
        assert [each.status_code for each in answers] == [404] * 4
        said.append([each.text.replace(asked, "X") for each in answers])
    assert said[0] == said[1]
