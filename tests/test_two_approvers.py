"""The tutorial of two approvers, typed from its page: what stands in it works, with software passkeys."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.rehearsal import PRIVYSEAL, Rehearsal, initialise, serving

import privyseal
from privyseal.cli.demo_browser import Browser
from privyseal.cli.demo_people import _log_in
from privyseal.cli.demo_person import Person
from privyseal.cli.demo_release import _agree

PAGE = Path(privyseal.__file__).parents[2] / "docs" / "tutorial" / "two-approvers.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
DISTLIB = ".venv/lib/python3.*/site-packages/distlib"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Rehearsal]:
    initialise(tmp_path / "svc")
    with serving(tmp_path / "svc") as running:
        yield running


class Reader:
    """Somebody who types what the page says, in a folder of their own."""

    def __init__(self, service: Rehearsal, folder: Path) -> None:
        import distlib

        self.url = service.url
        self.folder = folder
        self.launchers = str(Path(distlib.__file__).parent)
        self.environment = service.environment() | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}

    def type(self, block: str, **into: str) -> tuple[list[str], str]:
        """Type a block; return the lines of stdout, and stderr."""
        text = block.replace("./seal ", f"{PRIVYSEAL} ").replace(DISTLIB, self.launchers)
        text = text.replace("http://127.0.0.1:8470", self.url)
        environment = self.environment | into
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        return done.stdout.splitlines(), done.stderr

    def arrive(self, link: str, name: str) -> Person:
        """Open the link of an invitation and create a passkey."""
        page, browser, home = urlsplit(link), Browser(self.url), self.folder / name
        home.mkdir()
        browser.create_passkey(browser.forms(f"{page.path}?{page.query}")["/console/welcome/passkey"], "soft")
        return Person("demo", name, "", browser, home)


@pytest.mark.timeout(600)
def test_what_the_page_says_works(service: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit codes are those that it names, and who signed names two people with passkeys."""
    reader = Reader(service, tmp_path)
    invite, amend, ask, fetch, swap, who, freeze, thaw = BLOCKS
    links, _ = reader.type(invite)
    people = [reader.arrive(link, name) for link, name in zip(links, ("Grace", "Alan"), strict=True)]
    assert "asks for 2 of 2 people: Grace, Alan" in reader.type(amend)[1]
    said, words = reader.type(ask)
    assert said == ["6"]
    request = re.search(r"R-\w+", words)
    assert request is not None
    for person in people:
        _agree(person, request[0])
    assert "✓ app.exe: signed" in reader.type(fetch)[1]
    assert reader.type(swap)[0] == ["6"]
    assert reader.type(who)[1].count("proved by passkey") == 2
    said, words = reader.type(freeze)
    frozen = re.search(r"F-\w+", words)
    assert said == ["7"] and frozen is not None
    login, _, command = thaw.partition("\n")
    assert login == "./seal login --url http://127.0.0.1:8470"
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "person.toml").write_text(f'url = "{service.url}"\nsubscriber = "demo"\n')
    monkeypatch.chdir(tmp_path)
    for person in people:
        _log_in(person, service.url)
        words = reader.type(command.replace("F-...", frozen[0]), **person.into)[1]
    assert "thawed at" in words
    assert os.path.exists(tmp_path / "released.exe.tlog-proof")
