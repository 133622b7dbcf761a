"""The pages with which people work, in a real browser with a virtual authenticator, before a real service.

A request is asked for by the command line, agreed to in the browser, and signed: what lets it through is the signer.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.console.conftest import Person, invite
from tests.console.test_pages import fits, picture
from tests.formats import pe_builder
from tests.rehearsal import Rehearsal, program

from privyseal import config
from privyseal.records import agreements as papers
from privyseal.signing import agreements
from privyseal.signing.instance import PrivySeal
from privyseal.terms.agreements import Clause, PaperKind

AXE = Path(__file__).with_name("axe") / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""What axe looks for."""
MOST_SHOWN = 6


@cache
def axe() -> str:
    return AXE.read_text()


def at(person: Person, heading: str, name: str = "") -> None:
    """Assert that this page is there, fits, and that axe finds nothing that keeps anybody out, light and dark."""
    page = person.page
    expect(page.locator("h1")).to_have_text(heading)
    fits(page)
    picture(page, name or re.sub(r"\W+", "-", heading.lower()).strip("-"))
    page.evaluate(axe())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("tags => axe.run({runOnly: tags})", TAGS)
        said = [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found["violations"]]
        assert said == [], f"{heading} ({scheme}): {said[:MOST_SHOWN]}"
    page.emulate_media(color_scheme="light")


def come_in(chromium: Browser, service: Rehearsal, name: str, role: str) -> Person:
    person = Person(chromium, service)
    person.plug_in()
    person.open(invite(service, name, role))
    person.page.click("text=Create a passkey")
    expect(person.page.locator("[role=status]")).to_have_text("Your passkey is enrolled.")
    return person


def command(service: Rehearsal, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program(), *arguments], capture_output=True, text=True, timeout=120, check=False, env=service.environment()
    )


def amend(service: Rehearsal, *more: str) -> subprocess.CompletedProcess[str]:
    return command(service, "key", "amend", "release", "--dir", str(service.directory), "--subscriber", "demo", *more)


@pytest.fixture(scope="module")
def ada(chromium: Browser, service: Rehearsal) -> Iterator[Person]:
    """An approver by passkey, in the charter of the key ``release`` from now on."""
    person = come_in(chromium, service, "Ada Approver", "approver")
    person.open("/console/approver-key")
    at(person, "My approver key", "approver-key-before")
    shown = service.directory / "approvers.json"
    shown.write_text(person.page.inner_text("section:has-text('For an amendment') pre >> nth=0"))
    done = amend(service, "--approvers", str(shown), "--quorum", "1")
    assert done.returncode == 0 and "asks for 1 of 1 people: Ada Approver" in done.stderr, done.stderr
    yield person
    person.context.close()


@pytest.fixture(scope="module")
def guard(chromium: Browser, service: Rehearsal) -> Iterator[Person]:
    person = come_in(chromium, service, "Gus Guard", "security-officer")
    yield person
    person.context.close()


@pytest.fixture(scope="module")
def boss(chromium: Browser, service: Rehearsal) -> Iterator[Person]:
    person = come_in(chromium, service, "Bo Boss", "administrator")
    yield person
    person.context.close()


def asked(service: Rehearsal, folder: Path, name: str) -> str:
    """Ask for a signature that waits for approval; return the request's id."""
    path = folder / name
    path.write_bytes(pe_builder.program() + name.encode() * 8)
    done = service.run("sign", path, "--json")
    assert done.returncode == 6, done.stderr
    found: str = json.loads(done.stdout)["files"][0]["request"]
    return found


def state(service: Rehearsal, number: str) -> str:
    with seal_of(service).records.reading("demo") as tx:
        from privyseal.records import requests

        return requests.get(tx, number).state.value


@cache
def seal_of(service: Rehearsal) -> PrivySeal:
    """Open the service's records beside it, as its operator at the machine does."""
    directory = service.directory
    return config.privy_seal(config.load(directory), directory, config.Sockets.under(directory / "run"))


def look_at(person: Person, number: str) -> None:
    person.open(f"/console/requests/one?id={number}")


def test_approve_with_a_passkey_releases(ada: Person, service: Rehearsal, tmp_path: Path) -> None:
    """Listed as waiting, read, agreed to by a passkey: the signer lets it through, and the next one is compared."""
    number = asked(service, tmp_path, "setup.exe")
    ada.open("/console/")
    at(ada, "Overview", "overview-approver")
    expect(ada.page.locator("section:has(#waits)")).to_contain_text("setup.exe")
    ada.page.click("nav >> text=Requests")
    at(ada, "Requests")
    ada.page.click("text=Look at it")
    at(ada, "setup.exe", "request-waiting")
    expect(ada.page.locator("main")).to_contain_text("not seen by the service")
    expect(ada.page.locator("main")).to_contain_text("machine x64 (0x8664), magic PE32+ (0x20b)")
    expect(ada.page.locator("main")).to_contain_text("No release of this key was approved before")
    digest = ada.page.inner_text("#decide .digest").replace(" ", "").replace("\n", "")
    with seal_of(service).records.reading("demo") as tx:
        from privyseal.records import requests

        assert digest == requests.get(tx, number).digest
    ada.page.click("text=Approve with passkey")
    expect(ada.page.locator("[role=status]").first).to_contain_text("You have approved the request.")
    assert state(service, number) == "released"
    at(ada, "setup.exe", "request-released")
    second = asked(service, tmp_path, "helper.exe")
    look_at(ada, second)
    at(ada, "helper.exe", "request-changed")
    expect(ada.page.locator("section:has(#changed) table")).to_contain_text("new helper.exe")
    assert ada.errors == []


def test_what_changed_between_page_and_passkey_is_refused(ada: Person, service: Rehearsal, tmp_path: Path) -> None:
    """Another request's id and digest under the page that was read: one sentence, and neither request is approved."""
    good, evil = asked(service, tmp_path, "good.exe"), asked(service, tmp_path, "evil.exe")
    look_at(ada, good)
    ada.page.evaluate("id => { document.querySelector('form[data-passkey] [name=id]').value = id }", evil)
    ada.page.click("text=Approve with passkey")
    expect(ada.page.locator(".card.trouble")).to_contain_text("is not the one that the page showed")
    look_at(ada, evil)
    other = ada.page.get_attribute("form[data-passkey] [name=digest]", "value")
    look_at(ada, good)
    ada.page.evaluate(
        """([id, digest]) => { const form = document.querySelector('form[data-passkey]');
        form.elements.id.value = id; form.elements.digest.value = digest }""",
        [evil, other],
    )
    ada.page.click("text=Approve with passkey")
    expect(ada.page.locator(".card.trouble")).to_contain_text("answered another challenge")
    assert (state(service, good), state(service, evil)) == ("requested", "requested")


def test_deny_with_a_reason(ada: Person, service: Rehearsal, tmp_path: Path) -> None:
    """The reason is asked for, kept, and what was denied can no longer be approved."""
    number = asked(service, tmp_path, "unwanted.exe")
    look_at(ada, number)
    ada.page.click("summary")
    ada.page.fill("textarea", "This is not a release of ours.")
    ada.page.click("text=Deny for good")
    expect(ada.page.locator("main")).to_contain_text("Ada Approver denied it: This is not a release of ours.")
    assert state(service, number) == "denied"
    expect(ada.page.locator("form[data-passkey]")).to_have_count(0)
    at(ada, "unwanted.exe", "request-denied")


def test_a_requester_sees_its_own_and_takes_it_back(
    ada: Person, chromium: Browser, service: Rehearsal, tmp_path: Path
) -> None:
    """Who asks has Cancel on its own requests alone, and no button to approve."""
    theirs = asked(service, tmp_path, "theirs.exe")
    rob = come_in(chromium, service, "Rob Requester", "requester")
    look_at(rob, theirs)
    at(rob, "theirs.exe", "request-of-another")
    expect(rob.page.locator("text=Cancel this request")).to_have_count(0)
    expect(rob.page.locator("text=Approve with passkey")).to_have_count(0)
    rob.open("/console/members")
    expect(rob.page.locator("main")).to_contain_text("do not allow 'see-members'")
    rob.context.close()


def test_an_amendment_asks_the_approvers(ada: Person, service: Rehearsal) -> None:
    """From the first approver on nobody at the machine changes the charter alone."""
    refused = amend(service, "--member", "Ada Approver", "--quorum", "0")
    assert refused.returncode == 5 and "1 more of these must approve" in refused.stderr, refused.stderr
    nobody = amend(service, "--quorum", "1")
    assert nobody.returncode == 2 and "Nobody is named" in nobody.stderr


def test_freeze_by_one_and_thaw_by_two(
    ada: Person, guard: Person, chromium: Browser, service: Rehearsal, tmp_path: Path
) -> None:
    """One person stops a key at once; two security officers let it sign again, and not one of them twice."""
    number = asked(service, tmp_path, "frozen.exe")
    guard.open("/console/freezes")
    at(guard, "Freezes", "freezes-none")
    guard.page.select_option("[name=what]", "key release")
    guard.page.fill("[name=reason]", "A token was stolen.")
    guard.page.click("text=Freeze now")
    expect(guard.page.locator("[role=status]")).to_have_text("It is frozen from now on.")
    at(guard, "Freezes")
    look_at(ada, number)
    expect(ada.page.locator("p.trouble[role=alert]").last).to_contain_text("A token was stolen")
    ada.page.click("text=Approve with passkey")
    expect(ada.page.locator(".card.trouble")).to_contain_text("was frozen by")
    guard.open("/console/freezes")
    guard.page.click("button:has-text('Agree to thaw')")
    expect(guard.page.locator("[role=status]")).to_contain_text("when another person agrees too")
    expect(guard.page.locator(".tag")).to_have_text("you have agreed")
    other = come_in(chromium, service, "Gwen Guard", "security-officer")
    other.open("/console/freezes")
    other.page.click("button:has-text('Agree to thaw')")
    expect(other.page.locator("[role=status]")).to_have_text("It is thawed: it signs again.")
    at(other, "Freezes", "freezes-thawed")
    other.context.close()
    assert guard.errors == []


def test_accept_an_agreement(boss: Person, service: Rehearsal) -> None:
    """A new version is compared with the accepted one clause by clause, and accepted by a named representative."""
    seal = seal_of(service)
    with seal.records.reading("demo") as tx:
        old = papers.version(tx, PaperKind.COMMITMENTS).paper
    more = Clause(number="99", text="Suspect Code is reported within 24 hours.")
    new = type(old)(kind=old.kind, title=old.title, parties=old.parties, clauses=(*old.clauses, more))
    agreements.add(seal, None, "demo", new)
    boss.open("/console/")
    at(boss, "Overview", "overview-administrator")
    assert "compliant" not in boss.said().lower()
    boss.page.click("text=Read the agreements")
    at(boss, "Agreements")
    boss.page.click("li:has-text('a newer version waits') >> text=Read")
    at(boss, old.title, "agreement")
    expect(boss.page.locator("section:has(#changed)")).to_contain_text("Clause 99 is new")
    boss.page.fill("[name=title]", "Chief Technology Officer")
    boss.page.fill("[name=capacity]", "managing director")
    boss.page.click("button:has-text('Accept version')")
    expect(boss.page.locator("[role=status]")).to_have_text("The paper is accepted and in force.")
    with seal.records.reading("demo") as tx:
        said = {each.kind: each for each in agreements.in_force(tx)}[PaperKind.COMMITMENTS]
    assert said.sha256 == new.digest() and said.representative.title == "Chief Technology Officer"
    assert "by passkey" in said.representative.authenticated and boss.errors == []


def test_members_come_and_leave(boss: Person, chromium: Browser, service: Rehearsal) -> None:
    """An invitation made in the page lets somebody in, once; who left is signed out at the next click."""
    boss.open("/console/members")
    at(boss, "Members")
    boss.page.fill("[name=name]", "Vera Visitor")
    boss.page.select_option("[name=role]", "auditor")
    boss.page.click("text=Make the invitation")
    at(boss, "Vera Visitor is invited", "invited")
    link = boss.page.inner_text("pre")
    vera = Person(chromium, service)
    vera.plug_in()
    vera.page.goto(link)
    vera.page.click("text=Create a passkey")
    expect(vera.page.locator("[role=status]")).to_have_text("Your passkey is enrolled.")
    vera.open("/console/members")
    at(vera, "Members", "members-auditor")
    boss.open("/console/members")
    boss.page.locator("tr", has_text="Vera Visitor").locator("summary").click()
    boss.page.locator("tr", has_text="Vera Visitor").get_by_text("End all access now").click()
    expect(boss.page.locator("[role=status]")).to_contain_text("has ended")
    vera.open("/console/members")
    expect(vera.page.locator("h1")).to_have_text("Sign in")
    vera.context.close()


def test_report_an_incident(guard: Person) -> None:
    """A report is taken in and shown; its text is text, whatever it says."""
    guard.open("/console/incidents")
    at(guard, "Incidents", "incidents-none")
    guard.page.select_option("[name=kind]", "suspect-code")
    guard.page.fill("[name=text]", "<script>alert(1)</script> was seen in setup.exe")
    guard.page.click("text=Report it")
    at(guard, "Incident")
    expect(guard.page.locator("main")).to_contain_text("<script>alert(1)</script> was seen")
    guard.open("/console/incidents")
    at(guard, "Incidents")
    assert guard.errors == []


def test_without_a_recent_second_factor_nothing_is_offered(chromium: Browser, service: Rehearsal) -> None:
    """Whoever came in by a password alone reads, and is led to the second factor instead of a button."""
    person = Person(chromium, service)
    person.open(invite(service, "Pat Password", "security-officer"))
    person.page.fill("[name=password]", "seven quiet herons")
    person.page.click("text=Set the password")
    person.open("/console/freezes")
    expect(person.page.locator("text=Freeze now")).to_have_count(0)
    at(person, "Freezes", "freezes-no-factor")
    person.context.close()


def test_a_key_is_enabled_by_its_approver_and_suspended_by_one(ada: Person, guard: Person, service: Rehearsal) -> None:
    """What a thaw could not do, an approver's passkey does: proposed at a command line, agreed to in the page."""
    for person in (ada, guard):
        person.errors.clear()  # of pages that were refused before
    ada.open("/console/keys/one?name=release")
    expect(ada.page.locator("main .tag").first).to_have_text("suspended")  # thawed, and still frozen in the signer
    custodian = ("--profile", str(service.directory / "custodian.toml"), "--url", service.url)
    done = command(service, "key", "enable", "release", "--reason", "The token was found.", "--json", *custodian)
    assert done.returncode == 0, done.stderr
    act = json.loads(done.stdout)["act"]
    assert act["state"] == "waiting"
    ada.open("/console/keys")
    at(ada, "Keys", "keys-waiting")
    ada.page.click("text=enable release")
    at(ada, "Enable release", "key-act-waiting")
    digest = ada.page.get_by_label("digest of the act").inner_text().replace(" ", "").replace("\n", "")
    assert digest == act["digest"]
    ada.page.click("text=Agree with passkey")
    expect(ada.page.locator("[role=status]").first).to_have_text("You have agreed.")
    expect(ada.page.locator("main .tag").first).to_have_text("done")
    guard.open("/console/keys")
    at(guard, "Keys")
    guard.page.click("main table >> text=release >> nth=0")
    at(guard, "Key release", "key-active")
    expect(guard.page.locator("main .tag").first).to_have_text("active")
    guard.page.fill("[name=reason]", "Its token is in repair.")
    guard.page.click("text=Suspend now")
    expect(guard.page.locator("[role=status]").first).to_contain_text("suspended from now on")
    at(guard, "Suspend release", "key-act-done")
    ada.open("/console/keys/one?name=release")
    expect(ada.page.locator("main .tag").first).to_have_text("suspended")
    assert (ada.errors, guard.errors) == ([], [])
    ada.open("/console/keys/act?id=K-nobody")
    expect(ada.page.locator("main")).to_contain_text("There is no act")
