"""Signing in by an identity provider that is not ours, in a real browser, with a real service and its processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.console.conftest import Person, invite
from tests.rehearsal import Rehearsal, initialise, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what the provider is made of, in its thread


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run a service whose people may sign in at a provider on loopback."""
    import oidc_provider_mock

    directory = tmp_path_factory.mktemp("provider") / "D"
    initialise(directory, "--scheme", "ecdsa-p256")
    with oidc_provider_mock.run_server_in_thread() as server:
        secret = directory / "idp.secret"
        secret.touch(mode=0o600)
        secret.write_text("s3cret\n")
        _tell(directory, f"http://localhost:{server.server_port}", secret)
        with serving(directory) as running:
            yield running


def _tell(directory: Path, issuer: str, secret: Path) -> None:
    with (directory / "serve.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[[oidc]]\nname = "idp"\nissuer = "{issuer}"\nclient_id = "seal"\n')
        file.write(f'client_secret_file = "{os.fspath(secret)}"\n')


def at_the_provider(person: Person, subject: str) -> None:
    """Press the provider's button and say there who one is; the browser comes back by itself."""
    assert person.errors == []
    person.page.get_by_role("link", name="idp").click()
    person.page.fill("input[name=sub]", subject)
    person.page.get_by_role("button", name="Authorize").click()
    person.page.wait_for_url(f"{person.home}/console/**")
    person.errors.clear()  # the provider's own page asks for a style sheet from the Internet


def test_linked_by_an_invitation_signed_in_by_the_provider(chromium: Browser, trusting: Rehearsal) -> None:
    """The invited is linked at the provider; a browser of hers elsewhere is let in; a stranger's is not."""
    ada = Person(chromium, trusting)
    ada.open(invite(trusting, "Ada", "approver"))
    at_the_provider(ada, "ada")
    expect(ada.page.locator("main")).to_contain_text("Ada")
    ada.open("/console/sessions")
    expect(ada.page.locator("main")).to_contain_text("oidc")
    assert ada.errors == []
    ada.context.close()

    elsewhere = Person(chromium, trusting)
    elsewhere.open("/console/")
    at_the_provider(elsewhere, "ada")
    expect(elsewhere.page.locator("main")).to_contain_text("You have no second factor")
    elsewhere.open("/console/")
    assert elsewhere.errors == []
    elsewhere.context.close()

    stranger = Person(chromium, trusting)
    stranger.open("/console/")
    at_the_provider(stranger, "mallory")
    expect(stranger.page.locator("main")).to_contain_text("not linked to a member")
    stranger.context.close()
