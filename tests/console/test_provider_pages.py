"""The way to a provider and back through the pages: a real provider on loopback, and our own pages before it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from tests.web.house import House, build_house

from privyseal.access.sealed import Sealer
from privyseal.records.schema import migrate
from privyseal.signing import enrol, people
from privyseal.signing.gatehouse import Gatehouse, Provider
from privyseal.terms.parties import Role

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the provider is made of, in its thread
OWN = {"Host": "localhost", "User-Agent": "Firefox/150.0"}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Build a house that knows a provider."""
    import oidc_provider_mock

    migrate(f"sqlite:///{tmp_path / 'empty.db'}")
    (tmp_path / "house").mkdir()
    with oidc_provider_mock.run_server_in_thread() as server:
        issuer = f"http://localhost:{server.server_port}"
        known = Provider(name="idp", issuer=issuer, client_id="seal", client_secret="s3cret")
        for each in build_house(tmp_path / "empty.db", tmp_path / "house", monkeypatch):
            each.seal.gatehouse = Gatehouse(Sealer(secrets.token_bytes(32), secrets.token_bytes), None, [known])
            yield each


def get(house: House, path: str, cookie: str = "") -> Any:
    house.client.cookies.clear()
    sent = OWN | ({"Cookie": cookie} if cookie else {})
    return house.client.get(path, headers=sent, follow_redirects=False)


def away_and_back(house: House, query: str = "", cookie: str | None = None) -> Any:
    """Go to the provider, sign in there as one person, and come back."""
    left = get(house, f"/console/provider?name=idp{query}")
    assert left.status_code == 303
    kept = left.headers["set-cookie"].partition(";")[0]
    assert "samesite=lax" in left.headers["set-cookie"].lower() and "httponly" in left.headers["set-cookie"].lower()
    there = httpx2.post(left.headers["location"], data={"sub": "ada"}, follow_redirects=False, trust_env=False)
    came = urlsplit(there.headers["location"])
    assert dict(parse_qsl(came.query)).keys() >= {"code", "state"}
    return get(house, f"{came.path}?{came.query}", kept if cookie is None else cookie)


def test_linked_by_an_invitation_and_then_let_in(house: House) -> None:
    """A stranger is refused; the invited is linked; then the provider alone lets in, in that browser only."""
    stranger = away_and_back(house)
    assert stranger.status_code == 401 and "not linked to a member" in stranger.text
    member = enrol.member(house.seal, "demo", "Ada", (Role.APPROVER,), workload=False)
    token = people.invite(house.seal, None, "demo", member.id, "ada")
    linked = away_and_back(house, f"&invitation={token}")
    assert linked.status_code == 200, linked.text
    assert 'content="0; url=/console/"' in linked.text
    again = away_and_back(house, "&next=/console/sessions")
    assert again.status_code == 200 and "url=/console/sessions" in again.text
    session = next(each for each in again.headers.get_list("set-cookie") if each.startswith("privyseal-loopback="))
    home = get(house, "/console/", session.partition(";")[0])
    assert home.status_code == 200 and "oidc" in home.text and "You have no second factor" in home.text
    assert away_and_back(house, cookie="privyseal-away-loopback=x").status_code == 401
    assert get(house, f"/console/provider?name=idp&invitation={token}").status_code == 401
    assert get(house, "/console/provider?name=other").status_code == 404
