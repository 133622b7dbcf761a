"""The demo's second Subscriber: taken in as the operator would, with people who have passkeys and a key that asks them.

Everything but the key's birth goes through the service: its API, its pages, its command line. The key is born at the
service's machine, by the function with which ``init`` has one born, because its charter names the approvers' passkeys
from its first moment on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from privyseal import config
from privyseal.cli import demo_story as story
from privyseal.cli.demo_browser import Browser
from privyseal.cli.demo_findings import first_judged
from privyseal.cli.demo_platform import OWNER_ID, REPOSITORY_ID, Platform
from privyseal.cli.demo_story import Story
from privyseal.errors import Misused, Unavailable
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.records import parties
from privyseal.records.database import open_records
from privyseal.signing import amending, custody
from privyseal.signing import enrol as enrol_functions
from privyseal.signing.instance import PrivySeal
from privyseal.strongroom.acts import Generate
from privyseal.terms.keys import KeyPair
from privyseal.web.views_of_findings import FindingView

KEY, SCHEME = "release", "ecdsa-p256"
FOLDER = Path("acme")
"""Everything that the demo writes for its second Subscriber, within the service's directory."""
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
AGREEMENT = """kind = "ca-agreement"
title = "Rehearsal Subscriber Agreement of Acme, which binds nobody"
parties = ["Rehearsal CA", "Acme Ltd"]
[[clauses]]
number = "1"
text = "It stands where a CA's Subscriber Agreement would."
"""
POLICY = f"""[release-from-tags]
because = "Releases come from tagged builds of our own repository."
keys = ["{KEY}"]
formats = ["pe"]
who = {{ workload = {{ provider = "github", repository_id = "{REPOSITORY_ID}", ref = "refs/tags/v*" }} }}
at-most = {{ per-hour = 20 }}
"""


class Person(msgspec.Struct, frozen=True):
    """Somebody with a browser, a passkey, and a command line of their own."""

    subscriber: str
    name: str
    member: str
    browser: Browser
    home: Path
    """Where their command line keeps its session."""

    @property
    def first(self) -> str:
        """Return the first name."""
        return self.name.split()[0]

    @property
    def into(self) -> Mapping[str, str]:
        """Return what is in their environment."""
        return {"XDG_STATE_HOME": str(self.home), "USER": self.first.lower()}

    @property
    def profile(self) -> tuple[str, str]:
        """Return the option that names the Subscriber's profile, in which no credential stands."""
        return "--profile", f"./{FOLDER}/person.toml"


class Acme(msgspec.Struct, frozen=True):
    """The Subscriber as it stands once it is enrolled."""

    subscriber: str
    ada: Person
    """Its administrator."""
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


def free_name() -> str:
    """Return a name that no Subscriber of this service has: each demo enrols a new one."""
    records = open_records(config.records_url(config.load(Path()).records, Path()))
    try:
        with records.reading_all_subscribers() as connection:
            taken = {each.name for each, _ in parties.subscribers_of_all(connection)}
    finally:
        records.close()
    names = ("acme", *(f"acme-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def enrol(told: Story, url: str, platform: Platform, subscriber: str) -> Acme:
    """Take the Subscriber in, step by step; nothing is signed yet."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    at = ("--url", url)
    told.step(f"The operator takes in a second Subscriber, {subscriber}.")
    who = ("--display-name", "Acme Ltd", "--administrator", "Ada Lovelace")
    story.asked("subscriber", "add", subscriber, *who, *OPERATOR, *at)
    story.note("Ada was given a token for the first day; she has a passkey instead, and it stays unused.")
    _write_profiles(url, subscriber)
    told.step("Three people are invited and make passkeys in the service's own pages. Software stands in for devices.")
    ada = _arrive(url, subscriber, "Ada Lovelace")
    roles = ("--role", "approver", "--role", "security-officer")
    grace, alan = (_arrive(url, subscriber, name, *roles) for name in ("Grace Hopper", "Alan Turing"))
    told.step("A key is born. Its charter, which the signer keeps itself, asks for both approvers' passkeys.")
    pair = _bear(subscriber, (grace, alan))
    story.done(f"key {pair.name} ({pair.scheme}) of {subscriber}: {pair.quorum} of {len(pair.approvers)} must agree")
    before = first_judged(Path(), subscriber)
    told.step("Ada trusts the jobs of one repository, by numbers, and says what they may have signed. No secret.")
    rule = ["--repository-id", REPOSITORY_ID, "--owner-id", OWNER_ID, "--workflow", "release.yml"]
    rule += ["--environment", "release", "--member", "release-bot", "--issuer", platform.url]
    story.call("trust", "add", "github", "acme/app", *rule, *ada.profile, into=ada.into)
    (FOLDER / "policy").mkdir(exist_ok=True)
    (FOLDER / "policy" / "release.toml").write_text(POLICY)
    story.call("policy", "apply", f"{FOLDER}/policy", "--yes", *ada.profile, into=ada.into)
    _agree(told, ada, subscriber, at)
    return Acme(subscriber, ada, grace, alan, before)


def leave() -> None:
    """Forget the sessions of everybody's command line; the passkeys end with this process."""
    shutil.rmtree(FOLDER / "homes", ignore_errors=True)


def _agree(told: Story, ada: Person, subscriber: str, at: tuple[str, str]) -> None:
    told.step("Acme makes the three commitments of CSBR 9.6.5 by a named representative, and may sign from then on.")
    for kind, text in (("ca-agreement", AGREEMENT), ("commitments", COMMITMENTS)):
        (FOLDER / f"{kind}.toml").write_text(text)
        story.call("agreement", "add", f"{FOLDER}/{kind}.toml", "--of", subscriber, *OPERATOR, *at)
        seen = story.asked("agreement", "show", kind, *ada.profile, into=ada.into)["paper"]
        by = ["--name", "Ada Lovelace", "--title", "CTO", "--capacity", "managing director"]
        by += ["--authenticated", "not at all: this is a rehearsal"]
        story.call("agreement", "accept", kind, "--sha256", seen["sha256"], *by, *ada.profile, into=ada.into)
    identity = "Rehearsal: no CA has a record of Acme."
    story.call("subscriber", "resume", subscriber, "--identity", identity, *OPERATOR, *at)


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


def _bear(subscriber: str, approvers: tuple[Person, ...]) -> KeyPair:
    """Have a Key Pair born under a charter of these people's passkeys, and certified by the rehearsal CA."""
    settings = config.load(Path())
    seal = config.privy_seal(settings, Path(), config.Sockets.under(Path("run").resolve()))
    try:
        pair = custody.generate(
            seal,
            Generate(
                subscriber=subscriber,
                key=KEY,
                scheme=SCHEME,
                approvers=amending.by_passkeys(seal, subscriber, [each.name for each in approvers]),
                quorum=len(approvers),
                rehearsal=True,
                tag_key_sha256=_tag_key_digest(seal, subscriber),
                expires_at=(seal.clock() + custody.LIFE_OF_AN_ACT).replace(microsecond=0),
            ),
        )
        authority = RehearsalAuthority.load(Path("rehearsal-ca/ca.key").read_bytes())
        certificate = authority.issue_code_signing(pair.public_key, "Acme Ltd", seal.clock())
        custody.certify(seal, pair, (certificate, authority.code_signing_issuer))
        return pair
    finally:
        seal.records.close()


def _tag_key_digest(seal: PrivySeal, subscriber: str) -> str:
    with seal.records.reading(subscriber) as tx:
        return enrol_functions.tag_key_digest(parties.subscriber(tx))
