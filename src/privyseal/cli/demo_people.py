"""The demo's second Subscriber: taken in as the operator would, with people who have passkeys and a key that asks them.

Everything goes through the service: its API, its pages, its command line. The key's charter names the approvers'
passkeys from its first moment on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from privyseal import config
from privyseal.cli import demo_key
from privyseal.cli import demo_story as story
from privyseal.cli.demo_browser import Browser
from privyseal.cli.demo_findings import first_judged
from privyseal.cli.demo_person import FOLDER, KEY, Person
from privyseal.cli.demo_platform import OWNER_ID, REPOSITORY_ID, Platform
from privyseal.cli.demo_story import Story
from privyseal.errors import Misused, Unavailable
from privyseal.records import parties
from privyseal.records.database import open_records
from privyseal.web.views_of_findings import FindingView

AUDIENCE = "https://seal.rehearsal.invalid"
"""For whom the build's identity tokens must be: our service by a name that stays, and not by its port."""
OPERATOR = ("--profile", "./operator.toml")
LOGIN_LIMIT = 60.0
"""Seconds for ``privyseal login``."""

_BEGIN, _END = "# the demo's build platform: begin\n", "# the demo's build platform: end\n"

COMMITMENTS = """kind = "commitments"
title = "Rehearsal commitments of Acme, which bind nobody"
parties = ["Rehearsal Signing Service", "Acme Ltd"]
[[clauses]]
number = "1"
text = "Acme uses the service as authorised, within agreement, Requirements and law."
answers = ["CSBR-9.6.5-04"]
[[clauses]]
number = "2"
text = "Acme never knowingly hands in Suspect Code."
answers = ["CSBR-9.6.5-05"]
[[clauses]]
number = "3"
text = "Acme tells the service when code that it handed in proves to be Suspect Code."
answers = ["CSBR-9.6.5-06"]
"""
"""The document, TOML, by which the demo's Subscriber commits itself (CSBR 9.6.5)."""
AGREEMENT = """kind = "ca-agreement"
title = "Rehearsal Subscriber Agreement of Acme, which binds nobody"
parties = ["Rehearsal CA", "Acme Ltd"]
[[clauses]]
number = "1"
text = "It stands where a CA's Subscriber Agreement would."
"""
"""The document, TOML, in the place of a Subscriber Agreement with a CA."""
IDENTITY = """organization = "Acme Ltd"
country = "GB"
locality = "London"
"""
"""The demo's Subscriber as a certificate names it, TOML."""
POLICY = f"""[release-from-tags]
because = "Releases come from tagged builds of our own repository."
keys = ["{KEY}"]
formats = ["pe"]
who = {{ workload = {{ provider = "github", repository_id = "{REPOSITORY_ID}", ref = "refs/tags/v*" }} }}
at-most = {{ per-hour = 20 }}
"""
"""The demo's rules, TOML: builds of tagged sources may sign programs."""


class Acme(msgspec.Struct, frozen=True):
    """The Subscriber as it stands once it is enrolled."""

    subscriber: str
    ada: Person
    """Its administrator."""
    katherine: Person
    """Its key custodian, who proposes and decides nothing."""
    grace: Person
    alan: Person
    """Its approvers, who are its security officers as well."""
    before: list[FindingView]
    """What the service found of it before it had agreed to anything."""


def believe(directory: Path, platform: Platform) -> None:
    """Have ``serve.toml`` name the platform on loopback, in place of one of an earlier demo.

    Misused where somebody has said by other means whose tokens are believed: that is not ours to change.
    """
    path = directory / config.FILE
    before, _, after = path.read_text("utf-8").partition(_BEGIN)
    rest = after.partition(_END)[2]
    if "[workloads]" in before + rest:
        raise Misused(f"{path} has a [workloads] that the demo did not write.", hint="--dir another directory")
    section = f'[workloads]\naudience = "{AUDIENCE}"\n\n[[workloads.issuers]]\nplatform = "github"\n'
    section += f'issuer = "{platform.url}"\nplain_http_on_loopback = true\n'
    path.write_text(f"{before}{_BEGIN}{section}{_END}{rest}", "utf-8")


def free_name(directory: Path) -> str:
    """Return a name that no Subscriber of this service has: each demo enrols a new one."""
    records = open_records(config.records_url(config.load(directory).records, directory))
    try:
        with records.reading_all_subscribers() as connection:
            taken = {each.name for each, _ in parties.subscribers_of_all(connection)}
    finally:
        records.close()
    names = ("acme", *(f"acme-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def enrol(told: Story, url: str, platform: Platform, subscriber: str, *, in_token: bool) -> Acme:
    """Take the Subscriber in, step by step; nothing is signed yet."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    at = ("--url", url)
    told.step(f"The operator takes in a second Subscriber, {subscriber}.")
    who = ("--display-name", "Acme Ltd", "--administrator", "Ada Lovelace")
    story.asked("subscriber", "add", subscriber, *who, *OPERATOR, *at)
    story.note("Ada was given a token for the first day; she has a passkey instead, and it stays unused.")
    _write_profiles(url, subscriber)
    told.step("Four people are invited and make passkeys in the service's own pages. Software stands in for devices.")
    ada = _arrive(url, subscriber, "Ada Lovelace")
    katherine = _arrive(url, subscriber, "Katherine Johnson", "--role", "key-custodian")
    roles = ("--role", "approver", "--role", "security-officer")
    grace, alan = (_arrive(url, subscriber, name, *roles) for name in ("Grace Hopper", "Alan Turing"))
    demo_key.bear(told, katherine, (grace, alan), in_token=in_token)
    before = first_judged(Path(), subscriber)
    told.step("Ada trusts the jobs of one repository, by numbers, and says what they may have signed. No secret.")
    rule = ["--repository-id", REPOSITORY_ID, "--owner-id", OWNER_ID, "--workflow", "release.yml"]
    rule += ["--environment", "release", "--member", "release-bot", "--issuer", platform.url]
    story.call("trust", "add", "github", "acme/app", *rule, *ada.profile, into=ada.into)
    (FOLDER / "policy").mkdir(exist_ok=True)
    (FOLDER / "policy" / "release.toml").write_text(POLICY)
    story.call("policy", "apply", f"{FOLDER}/policy", "--yes", *ada.profile, into=ada.into)
    _agree(told, ada, subscriber, at)
    told.step("The operator writes down who Acme is in law: what a certificate will say.")
    identity = "Rehearsal: no CA has a record of Acme."
    (FOLDER / "identity.toml").write_text(IDENTITY)
    story.call("subscriber", "identity", subscriber, f"{FOLDER}/identity.toml", "--how", identity, *OPERATOR, *at)
    demo_key.certify(told, katherine, (grace, alan), ada)
    told.step("All that enrolment asks for is there. Acme may sign from now on.")
    story.call("subscriber", "resume", subscriber, "--identity", identity, *OPERATOR, *at)
    return Acme(subscriber, ada, katherine, grace, alan, before)


def leave() -> None:
    """Forget the sessions of everybody's command line; the passkeys end with this process."""
    shutil.rmtree(FOLDER / "homes", ignore_errors=True)


def _agree(told: Story, ada: Person, subscriber: str, at: tuple[str, str]) -> None:
    told.step("Acme makes the three commitments of CSBR 9.6.5 by a named representative.")
    for kind, text in (("ca-agreement", AGREEMENT), ("commitments", COMMITMENTS)):
        (FOLDER / f"{kind}.toml").write_text(text)
        story.call("agreement", "add", f"{FOLDER}/{kind}.toml", "--of", subscriber, *OPERATOR, *at)
        seen = story.asked("agreement", "show", kind, *ada.profile, into=ada.into)["paper"]
        by = ["--name", "Ada Lovelace", "--title", "CTO", "--capacity", "managing director"]
        by += ["--authenticated", "not at all: this is a rehearsal"]
        story.call("agreement", "accept", kind, "--sha256", seen["sha256"], *by, *ada.profile, into=ada.into)


def _write_profiles(url: str, subscriber: str) -> None:
    """Write how people and jobs talk to the service: neither file holds a credential."""
    shared = f'url = "{url}"\nsubscriber = "{subscriber}"\nkey = "{KEY}"\ntrust = "../ca.pem"\ncrl = "../ca.crl"\n'
    shared += 'log_policy = "../log-policy"\nrehearsal_anchors = "../ca.pem"\n'
    (FOLDER / "person.toml").write_text(shared)
    (FOLDER / "job.toml").write_text(f'{shared}audience = "{AUDIENCE}"\n')


def _arrive(url: str, subscriber: str, name: str, *roles: str) -> Person:
    """Invite somebody at the machine, have a passkey made behind the link, and a command line let in."""
    invited = story.asked("invite", subscriber, name, "--dir", ".", *roles)
    link = urlsplit(invited["link"])
    browser, home = Browser(url), (FOLDER / "homes" / name.split()[0].lower()).resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    person = Person(subscriber, name, invited["member"], browser, home)
    welcome = browser.forms(f"{link.path}?{link.query}")["/console/welcome/passkey"]
    browser.create_passkey(welcome, "software, for a rehearsal")
    _log_in(person, url)
    story.done(f"{name} has a passkey, and let a command line in by it")
    return person


def _log_in(person: Person, url: str) -> None:
    """Run ``privyseal login``, and say yes in the person's browser."""
    command = [sys.executable, "-m", "privyseal", "login", "--no-browser", *person.profile]
    login = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=story.environment(person.into), text=True
    )
    try:
        page = urlsplit(_address(login))
        form = person.browser.forms(f"{page.path}?{page.query}")["/console/allow"]
        back = urlsplit(person.browser.send(form, answer="yes"))
        Browser(f"http://127.0.0.1:{back.port}").forms(f"{back.path}?{back.query}")
        if login.wait(LOGIN_LIMIT) != 0:
            raise Unavailable(f"privyseal login of {person.first} ended with exit code {login.returncode}.")
    finally:
        if login.poll() is None:
            login.kill()
            login.wait()
        if login.stderr is not None:
            login.stderr.close()


def _address(login: subprocess.Popen[str]) -> str:
    until = time.monotonic() + LOGIN_LIMIT
    while login.stderr is not None and time.monotonic() < until:
        line = login.stderr.readline()
        if found := re.search(r"http://\S+", line):
            return found[0]
        if not line:
            break
    raise Unavailable("privyseal login showed no address.")
