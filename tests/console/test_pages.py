"""Every page in a real browser, with a real service and a virtual authenticator."""

from __future__ import annotations

import base64
import re
import subprocess
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.console.conftest import Person, invite, shots
from tests.rehearsal import PRIVYSEAL, Rehearsal, program

from privyseal.access import totp

WORDS = "seven quiet herons"


def picture(page: Page, name: str) -> None:
    """Keep pictures for people to look at: light, dark and narrow."""
    folder = shots()
    if folder is None:
        return
    for scheme, width in (("light", 1100), ("dark", 1100), ("light", 400)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1100, "height": 800})


def fits(page: Page) -> None:
    """Assert what every page must be: one heading, labelled fields, named buttons, no scrolling sideways."""
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= 400"), "the page scrolls sideways"
    page.set_viewport_size({"width": 1100, "height": 800})
    assert page.locator("h1").count() == 1
    assert page.evaluate("""[...document.querySelectorAll('input:not([type=hidden]):not([hidden])')]
        .every((each) => each.labels.length === 1)"""), "a field has no label"
    assert page.evaluate("[...document.querySelectorAll('button, a')].every((each) => each.textContent.trim())")
    assert page.get_attribute("html", "lang") == "en" and page.title().endswith("Privy Seal")


def at(page: Page, heading: str) -> None:
    expect(page.locator("h1")).to_have_text(heading)
    fits(page)
    picture(page, re.sub(r"\W+", "-", heading.lower()).strip("-"))


def by_passkey(person: Person, name: str, *, synced: bool = False) -> None:
    """Come in by an invitation and a passkey."""
    person.plug_in(synced=synced)
    person.open(invite(person.service, name, "approver"))
    person.page.click("text=Create a passkey")
    expect(person.page.locator("[role=status]")).to_have_text("Your passkey is enrolled.")


def by_password(person: Person, name: str) -> None:
    """Come in by an invitation and a password."""
    person.open(invite(person.service, name, "approver"))
    person.page.fill("[name=password]", WORDS)
    person.page.click("text=Set the password")
    expect(person.page.locator("[role=status]")).to_contain_text("Your password is set")


def sign_in(person: Person, account: str, words: str = WORDS) -> None:
    person.open("/console/sign-in")
    person.page.fill("[name=account]", account)
    person.page.fill("[name=password]", words)
    person.page.click("button:text-is('Sign in')")


def code_of(secret: str) -> str:
    return totp.code(base64.b32decode(secret), totp.step_at(datetime.now(UTC)))


def test_a_person_comes_in_with_a_passkey_and_signs_in_with_it(person: Person, service: Rehearsal) -> None:
    """Invitation, passkey, sign-out, sign-in without a password; the invitation is over after that."""
    person.plug_in()
    link = invite(service, "Ada", "approver")
    person.open(link)
    at(person.page, "Welcome, Ada")
    person.page.click("text=Create a passkey")
    expect(person.page.locator("[role=status]")).to_have_text("Your passkey is enrolled.")
    expect(person.page.locator(".rows .tag")).to_have_text("bound to its device")
    at(person.page, "Sign-in and security")
    person.page.click("text=Sign out")
    at(person.page, "Sign in")
    person.page.click("text=Sign in with a passkey")
    at(person.page, "Overview")
    expect(person.page.locator("main")).to_contain_text("passkey")
    assert person.errors == []
    person.open(link)
    expect(person.page.locator("main")).to_contain_text("used already")
    at(person.page, "Not authenticated")


def test_a_synced_passkey_is_told_apart(person: Person) -> None:
    """The backup-eligible flag of the authenticator is what the page and the session say."""
    by_passkey(person, "Bea", synced=True)
    expect(person.page.locator(".rows .tag")).to_have_text("synced")
    person.open("/console/")
    expect(person.page.locator("main")).to_contain_text("synced-passkey")
    assert person.errors == []


def test_a_password_and_an_app_with_recovery_codes(person: Person) -> None:
    """Password first, then an app; after that the password opens nothing without a code, and each code opens once."""
    by_password(person, "Cyd")
    person.page.click("text=Enrol an app")
    at(person.page, "Enrol an app")
    secret = person.page.inner_text(".secret code")
    person.page.fill("[name=code]", code_of(secret))
    used = person.page.input_value("[name=code]")
    person.page.click("text=Confirm the app")
    at(person.page, "Your recovery codes")
    recovery = person.page.locator(".codes code").all_inner_texts()
    assert len(set(recovery)) == totp.RECOVERY_CODES
    person.page.click("text=I have kept them")
    expect(person.page.locator("main")).to_contain_text("10 recovery codes are left")
    person.page.click("text=Sign out")
    sign_in(person, "cyd@demo")
    at(person.page, "Confirm who you are")
    person.open("/console/security")  # the half of a session opens nothing
    expect(person.page.locator("h1")).to_have_text("Confirm who you are")
    person.page.fill("[name=code]", used)
    person.page.click("button:text-is('Confirm')")
    expect(person.page.locator("main")).to_contain_text("wrong, or was used already")
    for again in (False, True):
        person.open("/console/second-factor")
        person.page.fill("[name=code]", recovery[0])
        person.page.click("button:text-is('Confirm')")
        if not again:
            expect(person.page.locator("h1")).to_have_text("Overview")
        else:
            expect(person.page.locator("main")).to_contain_text("wrong, or was used already")


def test_a_wrong_password_waits_and_says_nothing_of_who_exists(person: Person) -> None:
    """Somebody unknown and a wrong password read alike; after three the next try waits, and none is locked out."""
    by_password(person, "Dot")
    person.page.click("text=Sign out")
    texts = []
    for account in ("dot@demo", "nobody@demo", "dot@nowhere"):
        sign_in(person, account, "not the password")
        texts.append(person.said())
    assert texts[0] == texts[1] == texts[2] and "name or the password is wrong" in texts[0]
    for _ in range(8):  # the waits grow until one is longer than this machine needs for the next try
        sign_in(person, "dot@demo", "not the password")
        if "the next try is in" in person.said():
            break
    at(person.page, "Wait before the next try")
    for _ in range(20):
        sign_in(person, "dot@demo")
        if person.page.inner_text("h1") == "Overview":
            break
        person.page.wait_for_timeout(1000)
    expect(person.page.locator("h1")).to_have_text("Overview")


def test_the_list_of_sessions_ends_another_browser(chromium: Browser, service: Rehearsal, person: Person) -> None:
    """The session that is ended in one browser is over in the other at its next click."""
    by_password(person, "Eve")
    other = Person(chromium, service)
    sign_in(other, "eve@demo")
    expect(other.page.locator("h1")).to_have_text("Overview")
    person.open("/console/sessions")
    at(person.page, "Sessions")
    assert person.page.locator(".rows li").count() == 2
    person.page.locator(".rows button").click()
    expect(person.page.locator("[role=status]")).to_have_text("The session has ended.")
    other.open("/console/security")
    expect(other.page.locator("h1")).to_have_text("Sign in")
    other.context.close()


def test_a_copied_cookie_opens_nothing_in_another_browser(
    chromium: Browser, service: Rehearsal, person: Person
) -> None:
    """A session is bound to the browser's User-Agent, and its cookie is closed to scripts and to other sites."""
    by_password(person, "Fay")
    (cookie,) = person.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["name"] == "privyseal-loopback"
    thief = Person(chromium, service, user_agent="another browser")
    thief.context.add_cookies([cookie])
    thief.open("/console/security")
    expect(thief.page.locator("h1")).to_have_text("Sign in")
    thief.context.close()
    assert person.page.evaluate("document.cookie") == ""


def test_keys_alone_are_enough(person: Person) -> None:
    """Tab reaches the skip link first, and then every button of the sign-in page; Enter submits."""
    by_password(person, "Gil")
    person.page.click("text=Sign out")
    person.open("/console/sign-in")
    person.page.keyboard.press("Tab")
    assert person.page.evaluate("document.activeElement.textContent") == "Skip to the page"
    reached = []
    for _ in range(8):
        person.page.keyboard.press("Tab")
        reached.append(person.page.evaluate("document.activeElement.name || document.activeElement.textContent"))
    assert [each for each in reached if each in ("Sign in with a passkey", "account", "password", "Sign in")] == [
        "Sign in with a passkey",
        "account",
        "password",
        "Sign in",
    ]
    person.page.focus("[name=account]")
    person.page.keyboard.type("gil@demo")
    person.page.keyboard.press("Tab")
    person.page.keyboard.type(WORDS)
    person.page.keyboard.press("Enter")
    expect(person.page.locator("h1")).to_have_text("Overview")


def test_a_passkey_that_is_cancelled_says_so(person: Person) -> None:
    """Without an authenticator the page says in words that no passkey was used, and its button works again."""
    person.plug_in()
    person.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": person.authenticator, "isUserVerified": False})
    person.open("/console/sign-in")
    person.page.click("text=Sign in with a passkey")
    expect(person.page.locator("#trouble")).to_contain_text("No passkey was used")
    expect(person.page.locator("text=Sign in with a passkey")).to_be_enabled()


def environment(service: Rehearsal, folder: object) -> dict[str, str]:
    return service.environment() | {"PRIVYSEAL_URL": service.url.replace("127.0.0.1", "localhost"), "HOME": str(folder)}


@pytest.mark.parametrize("way", ["browser", "device"])
def test_a_command_line_is_let_in_by_a_browser(
    way: str, person: Person, service: Rehearsal, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """``login`` waits, a person says yes, ``whoami`` names their factors, ``logout`` ends it."""
    by_passkey(person, f"Hal{way}")
    env = environment(service, tmp_path_factory.mktemp("home")) | {"XDG_STATE_HOME": ""}
    option = "--device" if way == "device" else "--no-browser"
    login = subprocess.Popen(
        [PRIVYSEAL, "login", option], env=env, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    assert login.stderr is not None
    login.stderr.readline()
    shown = login.stderr.readline().strip()
    if way == "browser":
        person.page.goto(shown)
        at(person.page, "Let this command line in?")
    else:
        person.open("/console/device")
        at(person.page, "Let a command line in")
        person.page.fill("[name=code]", shown.lower())
        person.page.click("text=Go on")
        at(person.page, "Let a command line in")
        expect(person.page.locator("main")).to_contain_text("asks to act as you")
    person.page.click("text=Let it in")
    _, said = login.communicate(timeout=60)
    assert login.returncode == 0, said
    assert f"Hal{way} of demo, by passkey, until" in said
    who = subprocess.run([program(), "whoami"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert who.returncode == 0 and "by       passkey" in who.stderr, who.stderr
    person.open("/console/sessions")
    expect(person.page.locator("main")).to_contain_text("command-line")
    out = subprocess.run([program(), "logout"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert out.returncode == 0 and "Logged out." in out.stderr
    who = subprocess.run([program(), "whoami"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert who.returncode == 4
    assert [each for each in person.errors if "127.0.0.1" not in each and "favicon" not in each] == []
