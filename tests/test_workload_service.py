"""A job signs with a real service, and nothing secret is stored anywhere: its platform on loopback vouches for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest
from tests.access import platform_tokens as tokens
from tests.provider import JOB_SECRET, Provider, providing
from tests.rehearsal import PRIVYSEAL, Rehearsal, initialise, program, serving

AUDIENCE = "https://seal.example.org"
SECRETS = re.compile(rb"eyJ0eXAi[A-Za-z0-9_-]{10}|ps[tsw]_[A-Za-z0-9_-]{10}|" + JOB_SECRET.encode())


class Job:
    """A simulated GitHub job: a profile without any credential, and what the runner puts into the environment."""

    def __init__(self, service: Rehearsal, provider: Provider, folder: Path) -> None:
        self.service = service
        self.provider = provider
        self.folder = folder
        self.changes: dict[str, str | None] = {}
        provider.mint = self.mint
        said = service.profile.read_text()
        kept = [line for line in said.splitlines() if not line.startswith("token")]
        self.profile = service.directory / "job.toml"
        self.profile.write_text("\n".join(kept) + "\n")

    def mint(self, audience: str) -> bytes:
        """Give a new token for whatever audience is asked."""
        number = len(self.provider.asked)
        return tokens.run(
            at=datetime.now(UTC), audience=audience, iss=self.provider.url, jti=f"j-{number}", **self.changes
        )

    def run(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command in the job; no secret is in what it says."""
        found = {k: v for k, v in os.environ.items() if not k.startswith(("PRIVYSEAL_", "GITHUB_", "ACTIONS_"))}
        home = {"HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        home |= {"PRIVYSEAL_AUDIENCE": AUDIENCE, "PRIVYSEAL_URL": self.service.url}
        done = subprocess.run(
            [program(), *map(str, arguments), "--profile", str(self.profile)],
            capture_output=True,
            timeout=120,
            env=found | home | self.provider.job() | environment,
            check=False,
        )
        assert not SECRETS.search(done.stdout + done.stderr)
        return done

    def program(self, name: str) -> Path:
        """Write a program of that name."""
        path = self.folder / name
        path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + name.encode())
        return path

    def admin(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the administrator."""
        given = [*arguments, "--profile", str(self.service.directory / "administrator.toml"), "--url", self.service.url]
        return subprocess.run(
            [program(), *given],
            capture_output=True,
            text=True,
            timeout=120,
            env=self.service.environment(),
            check=False,
        )


RULE = ["--repository-id", "1296269", "--owner-id", "583231", "--workflow", "release.yml", "--environment", "release"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Run a service that believes a provider on loopback."""
    folder = tmp_path_factory.mktemp("job")
    initialise(folder / "seal", "--scheme", "ecdsa-p256")
    with providing() as provider:
        section = f'\n[workloads]\naudience = "{AUDIENCE}"\n\n[[workloads.issuers]]\nplatform = "github"\n'
        section += f'issuer = "{provider.url}"\nplain_http_on_loopback = true\n'
        with (folder / "seal" / "serve.toml").open("a") as file:
            file.write(section)
        with serving(folder / "seal") as service:
            (folder / "work").mkdir()
            made = Job(service, provider, folder / "work")
            added = made.admin(
                "trust", "add", "github", "acme/app", *RULE, "--member", "bot", "--issuer", provider.url, "--json"
            )
            assert added.returncode == 0, added.stderr
            made.rule = json.loads(added.stdout)["rule"]["id"]  # type: ignore[attr-defined]
            yield made


def test_a_job_signs_with_no_stored_secret(job: Job) -> None:
    """One exchange for three files; they verify, and no file of the job holds anything but them and the receipts."""
    job.changes = {}
    files = [job.program(f"{n}.exe") for n in range(3)]
    before = job.provider.asked.count("/token")
    done = job.run("sign", *files)
    assert done.returncode == 0, done.stderr
    assert job.provider.asked.count("/token") == before + 1
    assert job.service.run("verify", *files).returncode == 0
    left = {path.name for path in job.folder.rglob("*") if path.is_file()}
    assert {name.removesuffix(".tlog-proof") for name in left} == {"0.exe", "1.exe", "2.exe"}
    assert not any(SECRETS.search(path.read_bytes()) for path in job.folder.rglob("*.tlog-proof"))


def test_the_service_keeps_no_token(job: Job) -> None:
    """Neither the job's nor its own."""
    assert job.run("sign", job.program("kept.exe")).returncode == 0
    stored = b"".join(path.read_bytes() for path in job.service.directory.glob("records.db*"))
    assert b"workload-token" in stored and not SECRETS.search(stored)


def test_a_run_that_differs_is_told_which_claim(job: Job) -> None:
    """Exit 5, and a table; nothing of it without the rule's name."""
    job.changes = {"environment": None}
    file = job.program("differs.exe")
    done = job.run("sign", file, PRIVYSEAL_RULE=job.rule)  # type: ignore[attr-defined]
    assert done.returncode == 5
    assert re.search(rb"\n? *environment +- +release +DIFFERS\n", done.stderr), done.stderr.decode()
    assert re.search(rb" *workflow_file +release.yml +release.yml +same\n", done.stderr)
    assert b"do not copy" in done.stderr
    done = job.run("sign", file)
    assert done.returncode == 5 and b"No trust rule lets this run in." in done.stderr and b"DIFFERS" not in done.stderr
    job.changes = {}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"exp": 1}, 4, b"expired at 1970-01-01"),
        ({"aud": "https://elsewhere.example"}, 8, b"gave no identity token"),
        ({"repository_id": "4"}, 5, b"No trust rule"),
    ],
)
def test_a_bad_token_of_the_runner_is_one_sentence(
    job: Job, changes: dict[str, str | None], code: int, words: bytes
) -> None:
    """With the right exit code, and never a traceback."""
    job.changes = changes
    plain = job.mint
    if "aud" in changes:
        job.provider.mint = lambda audience: tokens.run(at=datetime.now(UTC), audience="https://elsewhere.example")
        job.changes = {}
    done = job.run("sign", job.program("bad.exe"))
    job.provider.mint, job.changes = plain, {}
    assert done.returncode == code and words in done.stderr, done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_job_without_the_permission_is_told_so(job: Job) -> None:
    """Exit 2, and what to write into the workflow."""
    done = job.run("sign", job.program("permission.exe"), ACTIONS_ID_TOKEN_REQUEST_TOKEN="")
    assert done.returncode == 2 and b"id-token: write" in done.stderr


def test_a_runner_that_does_not_answer_is_unavailable(job: Job) -> None:
    """Exit 8: safe to run again."""
    job.provider.answer = lambda path: (500, b"oops " + JOB_SECRET.encode()) if path == "/token" else None
    done = job.run("sign", job.program("runner.exe"))
    job.provider.answer = lambda path: None
    assert done.returncode == 8 and b"GitHub Actions gave no identity token" in done.stderr


def test_an_administrator_sees_why(job: Job, tmp_path: Path) -> None:
    """``trust test`` explains a token, or its claims, without letting anybody in."""
    token, claims = tmp_path / "token", tmp_path / "claims.json"
    token.write_bytes(tokens.run(iss=job.provider.url))
    good = job.admin("trust", "test", str(token))
    assert good.returncode == 0, good.stderr
    claims.write_text(json.dumps(tokens.claims("github", iss=job.provider.url, ref="x", environment="beta")))
    bad = job.admin("trust", "test", str(claims))
    assert bad.returncode == 5 and re.search(r"environment +beta +release +DIFFERS", bad.stderr)
    claims.write_text("{")
    broken = job.admin("trust", "test", str(claims))
    assert broken.returncode == 2 and "is not JSON" in broken.stderr


def test_rules_are_listed_shown_and_removed(job: Job) -> None:
    """And what is refused is refused before the service is asked."""
    listed = job.admin("trust", "list")
    assert job.rule in listed.stderr and "repository_id = 1296269" in listed.stderr  # type: ignore[attr-defined]
    wide = job.admin("trust", "add", "github", "a/b", *RULE[:6], "--ref", "refs/heads/*", "--member", "bot")
    assert wide.returncode == 2 and "matches too much" in wide.stderr
    other = job.admin(
        "trust", "add", "github", "a/b", *RULE, "--ref", "refs/tags/v*", "--member", "b2", "--issuer", job.provider.url
    )
    assert other.returncode == 0, other.stderr
    rule = re.search(r"T-[a-z2-7]+", other.stderr)
    assert rule is not None
    assert job.admin("trust", "show", rule[0]).returncode == 0
    assert job.admin("trust", "remove", rule[0]).returncode == 0
    assert job.admin("trust", "show", rule[0]).returncode == 2


def test_static_tokens_are_given_listed_and_revoked(job: Job) -> None:
    """Shown once on stdout, and said to be a single factor."""
    made = job.admin("token", "new", "--member", "old-build", "--key", "release", "--days", "2")
    assert made.returncode == 0 and "single factor" in made.stderr
    token = made.stdout.strip()
    assert token.startswith("pss_") and token not in made.stderr
    environment = job.service.environment() | {"PRIVYSEAL_TOKEN": token, "PRIVYSEAL_SUBSCRIBER": "demo"}
    command = [PRIVYSEAL, "sign", str(job.program("static.exe")), "--profile", str(job.profile), "--key", "release"]

    def sign() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)

    done = sign()
    assert done.returncode == 0, done.stderr
    listed = job.admin("token", "list", "--json")
    (one,) = json.loads(listed.stdout)["tokens"]
    assert one["used"] == datetime.now(UTC).date().isoformat() and token not in listed.stdout
    assert job.admin("token", "revoke", one["id"]).returncode == 0
    command[2] = str(job.program("static-2.exe"))
    assert sign().returncode == 4
