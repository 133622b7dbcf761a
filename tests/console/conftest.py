"""A real service on loopback and a real browser with a virtual authenticator, for the tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.rehearsal import Rehearsal, initialise, run_here, serving

pytest.importorskip("playwright.sync_api", reason="the extra 'test' brings playwright")

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run a service of its own processes."""
    directory = tmp_path_factory.mktemp("console") / "D"
    initialise(directory, "--scheme", "ecdsa-p256")
    with serving(directory) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start a browser for one file of tests: while Playwright is there, asyncio cannot run in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Person:
    """Somebody at a browser of their own, with a security key."""

    def __init__(self, browser: Browser, service: Rehearsal, **context: Any) -> None:
        self.service = service
        self.context: BrowserContext = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.cdp = self.context.new_cdp_session(self.page)
        self.cdp.send("WebAuthn.enable")
        self.authenticator = ""

    @property
    def home(self) -> str:
        """The service's address by its name, which passkeys need."""
        return self.service.url.replace("127.0.0.1", "localhost")

    def plug_in(self, *, synced: bool = False) -> str:
        """Give the browser an authenticator with user verification."""
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal" if synced else "usb",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "defaultBackupEligibility": synced,
            "defaultBackupState": synced,
        }
        made = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self.authenticator = made["authenticatorId"]
        return self.authenticator

    def open(self, path: str) -> None:
        self.page.goto(self.home + path)

    def said(self) -> str:
        return self.page.inner_text("main")


def invite(service: Rehearsal, name: str, *roles: str) -> str:
    """Invite somebody at the machine; return the link's path."""
    given = [word for role in roles for word in ("--role", role)]
    done = run_here("invite", "demo", name, "--dir", service.directory, *given)
    assert done.returncode == 0, done.stderr
    link = done.stdout.strip()
    return link[link.index("/console/") :]


@pytest.fixture
def person(chromium: Browser, service: Rehearsal) -> Iterator[Person]:
    one = Person(chromium, service)
    yield one
    one.context.close()


def shots() -> Path | None:
    """Where pictures are kept for people to look at, if anybody asked for them."""
    import os

    asked = os.environ.get("PRIVYSEAL_TEST_PICTURES")
    return Path(asked) if asked else None
