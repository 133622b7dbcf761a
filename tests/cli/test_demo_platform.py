"""The demo's platform vouches for its one job, by a key that is published, and for nobody else; and it is configured
without touching what somebody else configured."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from privyseal import config
from privyseal.cli.demo_people import AUDIENCE, believe
from privyseal.cli.demo_platform import OWNER_ID, REPOSITORY_ID, Platform, platform
from privyseal.errors import Misused


def fetched(url: str, **headers: str) -> dict[str, object]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        document = json.load(answer)
    assert isinstance(document, dict)
    return document


def test_a_job_gets_a_token_that_its_published_key_made() -> None:
    """With numeric ids, for the audience asked, of the tag whose run it is; the private key is not published."""
    with platform() as one:
        job = one.start("v1.0")
        about = fetched(f"{one.url}/.well-known/openid-configuration")
        keys = fetched(str(about["jwks_uri"]))
        bearer = {"Authorization": f"Bearer {job['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"}
        token = str(fetched(f"{job['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience=https://x.example", **bearer)["value"])
    claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=["RS256"]).claims  # type: ignore[arg-type]
    assert (claims["iss"], claims["aud"], claims["ref"]) == (about["issuer"], "https://x.example", "refs/tags/v1.0")
    assert (claims["repository_id"], claims["repository_owner_id"]) == (REPOSITORY_ID, OWNER_ID)
    assert '"d"' not in json.dumps(keys)


def test_nobody_but_the_job_gets_one() -> None:
    """Without the job's own secret, or with another one, there is nothing."""
    with platform() as one:
        url = one.start("v1.0")["ACTIONS_ID_TOKEN_REQUEST_URL"]
        for given in ({}, {"Authorization": "Bearer other"}):
            with pytest.raises(urllib.error.HTTPError) as refused:
                fetched(url, **given)
            assert refused.value.code == 404
            refused.value.close()


def test_the_service_is_told_and_told_anew(tmp_path: Path) -> None:
    """A second demo in the same directory puts its own platform in the place of the first; all else stays."""
    path = tmp_path / config.FILE
    path.write_text('[service]\nname = "R"\nrehearsal = true\n')
    for port in (1001, 1002):
        one = Platform()
        one.url = f"http://127.0.0.1:{port}"
        believe(tmp_path, one)
    settings = config.load(tmp_path)
    assert [each.issuer for each in settings.workloads.issuers] == ["http://127.0.0.1:1002"]
    assert (settings.service.name, settings.workloads.audience) == ("R", AUDIENCE)


def test_what_somebody_else_configured_is_not_touched(tmp_path: Path) -> None:
    """A directory with trust of its own is refused in one sentence, and stays octet for octet as it was."""
    path = tmp_path / config.FILE
    text = '[service]\nname = "R"\n\n[workloads]\naudience = "https://seal.example.org"\n'
    path.write_text(text)
    with pytest.raises(Misused, match="did not write"):
        believe(tmp_path, Platform())
    assert path.read_text() == text
