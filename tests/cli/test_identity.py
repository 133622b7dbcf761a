"""Which platform a job runs on, what it is asked, and what is said where it gives nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.access import platform_tokens as tokens
from tests.provider import JOB_SECRET, Provider, providing

from privyseal.cli import identity
from privyseal.cli.identity import LateToken, ambient, table
from privyseal.cli.profile import Profile
from privyseal.errors import ClaimMismatch, Misused, NotAuthenticated, Unavailable

AUDIENCE = "https://seal.example.org"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Provider]:
    """Run one, and let this machine be nobody's."""
    monkeypatch.setattr(identity, "GOOGLE_FILE", tmp_path / "none")
    with providing() as running:
        running.mint = lambda audience: tokens.run(audience=audience)
        yield running


def command(folder: Path, name: str, script: str) -> str:
    """Write a program of a platform's; return a PATH that has it."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_nowhere_nothing_is_asked(provider: Provider) -> None:
    """A laptop has no identity token."""
    assert ambient(AUDIENCE, {}) is None and provider.asked == []


def test_a_token_can_be_given(provider: Provider, tmp_path: Path) -> None:
    """As itself, or as a file that is read anew each time; it comes before all others."""
    found = ambient(AUDIENCE, {"PRIVYSEAL_ID_TOKEN": "a.b.c", "GITLAB_CI": "true"})
    assert found is not None and found.token == "a.b.c" and "a.b.c" not in repr(found)
    path = tmp_path / "token"
    for text in ("one.b.c\n", "two.b.c"):
        path.write_text(text)
        found = ambient(AUDIENCE, {"PRIVYSEAL_ID_TOKEN_FILE": str(path)})
        assert found is not None and found.token == text.strip()
    for octets in (b"", b"x" * 20000, b"\xff"):
        path.write_bytes(octets)
        with pytest.raises(Misused, match="is no identity token"):
            ambient(AUDIENCE, {"PRIVYSEAL_ID_TOKEN_FILE": str(path)})
    with pytest.raises(Misused, match="cannot be read"):
        ambient(AUDIENCE, {"PRIVYSEAL_ID_TOKEN_FILE": str(tmp_path / "gone")})


def test_a_github_job_asks_its_runner(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the package ``id``, for our audience."""
    for name, value in provider.job().items():
        monkeypatch.setenv(name, value)
    found = ambient(AUDIENCE)
    assert found is not None and found.platform == "GitHub Actions"
    assert found.token.encode() == tokens.run(audience=AUDIENCE)
    provider.answer = lambda path: (500, b"secret-" + JOB_SECRET.encode())
    with pytest.raises(Unavailable) as refused:
        ambient(AUDIENCE)
    assert JOB_SECRET not in str(refused.value)
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    with pytest.raises(Misused) as without:
        ambient(AUDIENCE)
    assert "id-token: write" in str(without.value)


def test_a_gitlab_job_has_its_token(provider: Provider) -> None:
    """In a variable named for the audience, or ours; without, it is told what to write."""
    found = ambient(AUDIENCE, {"GITLAB_CI": "true", "HTTPS___SEAL_EXAMPLE_ORG_ID_TOKEN": "g.b.c"})
    assert found is not None and found.token == "g.b.c"
    with pytest.raises(Misused) as refused:
        ambient(AUDIENCE, {"GITLAB_CI": "true"})
    assert "id_tokens: { PRIVYSEAL_ID_TOKEN: { aud: https://seal.example.org } }" in str(refused.value)


def test_an_azure_step_asks_its_server(provider: Provider) -> None:
    """With the job's access token; without that it is told how to map it."""
    step = {"SYSTEM_OIDCREQUESTURI": f"{provider.url}/oidctoken", "SYSTEM_ACCESSTOKEN": JOB_SECRET}
    found = ambient(AUDIENCE, step)
    assert found is not None and found.platform == "Azure Pipelines" and found.token.count(".") == 2
    with pytest.raises(Misused, match=r"no System\.AccessToken"):
        ambient(AUDIENCE, {"SYSTEM_OIDCREQUESTURI": provider.url})
    with pytest.raises(Misused, match="no https address"):
        ambient(AUDIENCE, step | {"SYSTEM_OIDCREQUESTURI": "http://192.0.2.1/x"})
    for bad in ((500, JOB_SECRET.encode()), (200, b"{}"), (200, b"<html>")):
        provider.answer = lambda path, bad=bad: bad  # type: ignore[misc]
        with pytest.raises(Unavailable, match="gave no identity token") as refused:
            ambient(AUDIENCE, step)
        assert JOB_SECRET not in str(refused.value)


def test_buildkite_and_circleci_have_commands(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buildkite's is asked for the ids that rules are made of."""
    monkeypatch.setenv("PATH", command(tmp_path, "buildkite-agent", 'echo "$*" | tr " :/" ".__"'))
    found = ambient(AUDIENCE, {"BUILDKITE": "true"})
    assert found is not None and "--claim.organization_id.--claim.pipeline_id" in found.token
    monkeypatch.setenv("PATH", command(tmp_path, "circleci", "echo c.b.c"))
    found = ambient(AUDIENCE, {"CIRCLECI": "true"})
    assert found is not None and found.token == "c.b.c"
    monkeypatch.setenv("PATH", command(tmp_path, "circleci", "echo eyJsecret >&2; exit 1"))
    with pytest.raises(Unavailable) as refused:
        ambient(AUDIENCE, {"CIRCLECI": "true"})
    assert "ended with 1" in str(refused.value) and "eyJ" not in str(refused.value)


class Service:
    """Stands in for the client: answers as it is told, and remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []
        self.private = True

    def require_private(self) -> None:
        if not self.private:
            raise Misused("readable")

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        self.asked.append(body or b"")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return self

    def read(self, kind: type[identity.Exchanged]) -> identity.Exchanged:
        return identity.Exchanged(f"psw_{len(self.asked)}", 600)


def late(service: Service, clock: list[float], environment: dict[str, str] | None = None) -> LateToken:
    """Make the token of a job with a fixed identity token."""
    found = {"PRIVYSEAL_ID_TOKEN": "a.b.c"} if environment is None else environment
    profile = Profile(url="https://seal.example.org/", subscriber="demo", rule="T-1")
    return LateToken(profile, service, environment=found, tick=lambda: clock[0])


def test_a_token_is_exchanged_late_and_once_and_renewed() -> None:
    """A minute before its end another one is had."""
    service, clock = Service(1, 1), [0.0]
    token = late(service, clock)
    assert service.asked == []
    assert [token.bearer() for _ in range(3)] == ["psw_1"] * 3
    assert b"subject_token=a.b.c" in service.asked[0] and b"rule=T-1" in service.asked[0]
    clock[0] = 541.0
    assert token.bearer() == "psw_2"


def test_an_answer_that_got_lost_costs_another_identity_token() -> None:
    """Then the first one is spent; twice is once too often, and is remembered."""
    service = Service(NotAuthenticated("exchanged before"), 1)
    assert late(service, [0.0]).bearer() == "psw_2"
    service = Service(*[NotAuthenticated("exchanged before")] * 2)
    token = late(service, [0.0])
    for _ in range(3):
        with pytest.raises(NotAuthenticated):
            token.bearer()
    assert len(service.asked) == 2


def test_a_difference_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """However many files wait for the token."""
    error = ClaimMismatch("differs")
    error.compared = (("ref", "\x1b[2Jx", "refs/tags/v*", False), ("environment", "", "release", False))
    token = late(Service(error), [0.0])
    for _ in range(2):
        with pytest.raises(ClaimMismatch):
            token.bearer()
    said = capsys.readouterr().err
    assert said.count("DIFFERS") == 2 and "\x1b" not in said and said == "\n".join(table(error)) + "\n"


def test_nothing_is_sent_that_could_be_read_on_the_way() -> None:
    """Nor does a machine without an identity send anything."""
    service = Service(1)
    service.private = False
    with pytest.raises(Misused, match="readable"):
        late(service, [0.0]).bearer()
    assert service.asked == []
