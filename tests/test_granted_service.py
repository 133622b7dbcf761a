"""A key that two people guard signs for a job without anybody waiting: they agreed beforehand, and nothing is stored.

The platform is on loopback, the service is a real one, and the commands are those of the how-to.
"""

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
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.access import platform_tokens as tokens
from tests.provider import Provider, providing
from tests.rehearsal import Rehearsal, program, serving
from tests.signing.agreeing import Signer, guarded
from tests.world import SUBSCRIBER, World, found

from privyseal.signing import enrol
from privyseal.terms.keys import Stage
from privyseal.terms.parties import Role

AUDIENCE = "https://seal.example.org"
RULE = ["--repository-id", "1296269", "--owner-id", "583231", "--workflow", "release.yml", "--environment", "release"]


class Release:
    """A service, the people of its key, and a simulated GitHub job."""

    def __init__(self, service: Rehearsal, provider: Provider, folder: Path, people: dict[str, str]) -> None:
        self.service, self.provider, self.folder, self.people = service, provider, folder, people
        said = service.profile.read_text().splitlines()
        self.profile = service.directory / "job.toml"
        self.profile.write_text("\n".join(line for line in said if not line.startswith("token")) + "\n")
        self.claims: dict[str, str] = {}
        provider.mint = lambda audience: tokens.run(
            at=datetime.now(UTC), audience=audience, iss=provider.url, jti=f"j-{len(provider.asked)}", **self.claims
        )

    def as_person(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as one of the members."""
        return self._run(self.people[name], {}, *arguments)

    def as_job(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command in the job."""
        return self._run("", self.provider.job() | {"PRIVYSEAL_AUDIENCE": AUDIENCE}, *map(str, arguments))

    def _run(self, token: str, more: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PRIVYSEAL_", "GITHUB_", "ACTIONS_"))}
        plain |= {"LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
        plain |= {"PRIVYSEAL_URL": self.service.url, "PRIVYSEAL_KEY": "guarded"}
        plain |= {"PRIVYSEAL_TOKEN": token} if token else {}
        command = [program(), *arguments, "--profile", str(self.profile)]
        return subprocess.run(command, capture_output=True, text=True, timeout=180, env=plain | more, check=False)

    def program(self, name: str) -> Path:
        """Write a program of that name."""
        path = self.folder / name
        path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + name.encode())
        return path


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Found a service with a guarded key, and serve it beside a provider on loopback."""
    folder = tmp_path_factory.mktemp("granted")
    world = World(found(folder / "founded"), folder / "seal")
    roles = {"ann": (Role.APPROVER,), "bob": (Role.APPROVER,), "dev": (Role.REQUESTER,), "adm": (Role.ADMINISTRATOR,)}
    members = {name: enrol.member(world.seal, SUBSCRIBER, name, given, False) for name, given in roles.items()}
    people = {name: enrol.token(world.seal, member) for name, member in members.items()}
    signers = [Signer(name, member=members[name].id) for name in ("ann", "bob")]
    guarded(world, signers, (Stage(2),))
    world.stop()
    (folder / "work").mkdir()
    for each in signers:
        path = folder / "work" / f"{each.name}.pem"
        path.touch(0o600)
        path.write_bytes(each.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with providing() as provider:
        section = f'\n[workloads]\naudience = "{AUDIENCE}"\n\n[[workloads.issuers]]\nplatform = "github"\n'
        section += f'issuer = "{provider.url}"\nplain_http_on_loopback = true\n'
        with (folder / "seal" / "serve.toml").open("a") as file:
            file.write(section)
        with serving(folder / "seal") as service:
            yield Release(service, provider, folder / "work", people)


def test_a_job_signs_with_a_guarded_key_and_nobody_waits(release: Release) -> None:
    """Propose, agree twice, sign three files of three, and the fourth waits; who-signed names the grant."""
    added = release.as_person(
        "adm",
        "trust",
        "add",
        "github",
        "acme/app",
        *RULE,
        "--member",
        "bot",
        "--issuer",
        release.provider.url,
        "--json",
    )
    assert added.returncode == 0, added.stderr
    rule = json.loads(added.stdout)["rule"]["id"]
    waits = release.as_job("sign", release.program("before.exe"))
    assert waits.returncode == 6, waits.stderr
    proposed = release.as_person(
        "dev", "grant", "propose", "--key", "guarded", "--rule", rule, "--signatures", "3",
        "--where", "ref=refs/tags/v2.4.0", "--json",
    )  # fmt: skip
    assert proposed.returncode == 0, proposed.stderr
    grant = json.loads(proposed.stdout)["grant"]["id"]
    for name, state in (("ann", "proposed"), ("bob", "agreed")):
        key = str(release.folder / f"{name}.pem")
        agreed = release.as_person(name, "grant", "agree", grant, "--identity-key", key, "--yes")
        assert agreed.returncode == 0 and f"is {state}." in agreed.stderr, agreed.stderr
        assert "ref = refs/tags/v2.4.0" in agreed.stderr and "3 signatures, 3 of them left" in agreed.stderr
    files = [release.program(f"{n}.exe") for n in range(3)]
    done = release.as_job("sign", *files)
    assert done.returncode == 0, done.stderr
    assert f"granted under {grant}: " in done.stderr and "0 of 3 signatures left" in done.stderr
    assert release.service.run("verify", *files).returncode == 0
    fourth = release.as_job("sign", release.program("fourth.exe"))
    assert fourth.returncode == 6, fourth.stderr
    said = release.as_person("ann", "who-signed", str(files[0]))
    assert said.returncode == 0 and re.search(rf"granted +under {grant}, agreed to by ann, bob", said.stderr), (
        said.stderr
    )
    listed = release.as_person("ann", "grant", "list")
    assert re.search(rf"{grant} +used up +guarded +0 of 3 left", listed.stderr), listed.stderr


def test_another_run_waits_for_people(release: Release) -> None:
    """With one sentence that says what differs, and without anything counted."""
    rules = json.loads(release.as_person("adm", "trust", "list", "--json").stdout)["rules"]
    proposed = release.as_person(
        "dev", "grant", "propose", "--key", "guarded", "--rule", rules[0]["id"], "--signatures", "5",
        "--where", "ref=refs/tags/v3.0.0", "--json",
    )  # fmt: skip
    assert proposed.returncode == 0, proposed.stderr
    grant = json.loads(proposed.stdout)["grant"]["id"]
    for name in ("ann", "bob"):
        key = str(release.folder / f"{name}.pem")
        assert release.as_person(name, "grant", "agree", grant, "--identity-key", key, "--yes").returncode == 0
    done = release.as_job("sign", release.program("other.exe"))
    assert done.returncode == 6 and "whose ref is 'refs/tags/v3.0.0'" in done.stderr, done.stderr
    key = str(release.folder / "ann.pem")
    revoked = release.as_person("ann", "grant", "revoke", grant, "--reason", "test", "--identity-key", key)
    assert revoked.returncode == 0 and "in the records and in the signer" in revoked.stderr, revoked.stderr
    release.claims = {"ref": "refs/tags/v3.0.0"}
    done = release.as_job("sign", release.program("late.exe"))
    release.claims = {}
    assert done.returncode == 6, done.stderr
    shown = release.as_person("ann", "grant", "show", grant)
    assert "(revoked)" in shown.stderr and "5 of them left" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("agree", "G-nobody"), 2, "With which key do you agree?"),
        (("show", "G-nobody"), 2, "There is no grant"),
        (("propose", "--key", "guarded", "--signatures", "1"), 2, "for the runs of --rule"),
        (("propose", "--key", "guarded", "--signatures", "0", "--rule", "T"), 2, "This is no grant"),
        (("propose", "--key", "guarded", "--signatures", "1", "--rule", "T", "--hours", "721"), 2, "This is no grant"),
        (("propose", "--key", "guarded", "--signatures", "1", "--rule", "T", "--where", "x"), 2, "CLAIM=VALUE"),
        (("revoke", "G-nobody", "--reason", "r"), 5, "do not allow"),
    ],
)
def test_what_cannot_be_is_one_sentence(release: Release, arguments: tuple[str, ...], code: int, words: str) -> None:
    """With the right exit code, and never a traceback."""
    done = release.as_person("dev", "grant", *arguments)
    assert done.returncode == code and words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
