"""The demo's releases: a build asks, two people agree with passkeys, and whatever was swapped is refused."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import msgspec
from sqlalchemy import update

from privyseal import config
from privyseal.access.quorum import Waiting
from privyseal.cli import demo_story as story
from privyseal.cli.approve import in_words
from privyseal.cli.demo_people import Acme
from privyseal.cli.demo_person import FOLDER, KEY, Person
from privyseal.cli.demo_platform import Platform
from privyseal.cli.demo_story import Story
from privyseal.cli.output import tell
from privyseal.errors import Denied, Unavailable, VerificationFailed
from privyseal.records import approvals, requests
from privyseal.records.database import Records, open_records
from privyseal.records.tables import requests as request_rows
from privyseal.signing.review import Review
from privyseal.strongroom.approvals import tally
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import Stage
from privyseal.terms.requests import Approval, SigningRequest, State, approved_octets, request_digest

PROGRAM = FOLDER / "app.exe"
RECEIPT = Path(f"{PROGRAM}.tlog-proof")
JOB = ("--profile", f"./{FOLDER}/job.toml")
WAITS = 6
"""Exit code of a command whose request waits for people."""
SWAP_LIMIT = 60.0
"""Seconds within which the service takes up a request that somebody wrote down as approved."""


def release(told: Story, acme: Acme, platform: Platform) -> None:
    """Release twice, try to slip another file in, ask who signed, and freeze and thaw the key."""
    told.step("A build of tag v1.0 asks, with an identity token of its platform and no stored secret. It must wait.")
    job = platform.start("v1.0")
    _build(1)
    first = _waiting(job)
    told.step("Grace looks at what would be signed, and agrees with her passkey; then Alan with his.")
    _agree(acme.grace, first, show="all")
    _agree(acme.alan, first)
    _finish(told, job)
    second = _second(told, acme, platform)
    _swap(told, acme, platform, second)
    told.step("Who signed this? The file answers: which build, by which proof, who agreed, which log entries.")
    story.call("who-signed", PROGRAM, *acme.ada.profile, into=acme.ada.into)
    _freeze(told, acme, platform)


def _finish(told: Story, job: Mapping[str, str]) -> None:
    told.step("The build runs the same command again. It finds its request, and the file is signed.")
    story.call("sign", PROGRAM, *JOB, into=job)
    story.call("verify", "-q", PROGRAM, *JOB)
    story.done("our verifier agrees; it needs no service")


def _second(told: Story, acme: Acme, platform: Platform) -> str:
    told.step("Tag v1.1. Now the approvers see what changed since the last release that people agreed to.")
    job = platform.start("v1.1")
    _build(2)
    waits = _waiting(job)
    _agree(acme.grace, waits, show="changes")
    _agree(acme.alan, waits)
    story.call("sign", PROGRAM, *JOB, into=job)
    return waits


def _swap(told: Story, acme: Acme, platform: Platform, approved: str) -> None:
    """Have another file asked for, and try to have it signed by the approvals of the right one."""
    told.step("In the next run somebody swapped the file. What was agreed to was another one: nothing is signed.")
    kept = FOLDER / "app-1.1.exe"
    shutil.copyfile(PROGRAM, kept)
    shutil.copyfile(RECEIPT, f"{kept}.tlog-proof")
    job = platform.start("v1.1")
    _build(666)
    swapped = _waiting(job)
    told.step("An intruder in the database copies both real approvals to it and marks it approved. The signer refuses.")
    records = open_records(config.records_url(config.load(Path()).records, Path()))
    try:
        _forge(records, acme.subscriber, approved, swapped)
        _require_refused(records, acme.subscriber, swapped)
    finally:
        records.close()
    story.done("no signature: the signer verifies each approval itself, against the charter that it keeps")
    story.note("The build that asks once more gets a new request, to which again nobody has agreed:")
    time.sleep(1)  # what asks for the same until the same second is taken for the request that has just failed
    story.call("sign", PROGRAM, *JOB, into=job, code=WAITS)
    shutil.move(kept, PROGRAM)
    shutil.move(f"{kept}.tlog-proof", RECEIPT)


def _forge(records: Records, subscriber: str, approved: str, swapped: str) -> None:
    """Write what whoever owns the database can write."""
    with records.writing(subscriber) as tx:
        key_id = decode_canonical(requests.get(tx, swapped).canonical, SigningRequest).key_id
        for each in approvals.approvals_of(tx, approved):
            approvals.add_approval(tx, swapped, each, requests.get(tx, approved).created, key_id)
        row = update(request_rows).where(request_rows.c.id == swapped)
        tx.connection.execute(row.values(state=State.APPROVED.value))


def _require_refused(records: Records, subscriber: str, swapped: str) -> None:
    until = time.monotonic() + SWAP_LIMIT
    while time.monotonic() < until:
        with records.reading(subscriber) as tx:
            found = requests.get(tx, swapped)
        if found.state is State.FAILED and not found.signatures:
            story.note(f"The records now say {found.state}, {found.failure_code}: {found.failure_detail}")
            return
        if found.signatures:
            raise VerificationFailed("A file that nobody agreed to was signed.")
        time.sleep(0.2)
    raise Unavailable("The service did not take up the forged request in time.")


def _freeze(told: Story, acme: Acme, platform: Platform) -> None:
    told.step("Something smells. One person and one command stop the key; the next request ends with exit 7.")
    reason = ("--reason", "a build asked for an unknown file")
    frozen = story.asked("freeze", "--key", KEY, *reason, *acme.grace.profile, into=acme.grace.into)
    job = platform.start("v1.2")
    signed = FOLDER / "app-1.2.exe"
    _build(3, signed)
    story.call("sign", signed, *JOB, into=job, code=Denied.exit)
    told.step("It takes two people to thaw it.")
    for person in (acme.grace, acme.alan):
        story.call("thaw", frozen["id"], *person.profile, into=person.into)


def _build(number: int, where: Path = PROGRAM) -> None:
    """Build a program: a launcher that PyPI's distlib ships, with a number behind it."""
    where.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + number.to_bytes(8, "little"))
    Path(f"{where}.tlog-proof").unlink(missing_ok=True)


def _waiting(job: Mapping[str, str]) -> str:
    """Ask for the program's signature and return the request that waits for approval."""
    answer = story.asked("sign", PROGRAM, *JOB, into=job, code=WAITS)
    return str(answer["files"][0]["request"])


def _agree(person: Person, request_id: str, show: str = "") -> None:
    """Look at the request as a page does, compute its digest here, and say yes to it with the passkey."""
    path = f"/v1/{person.subscriber}/requests/{request_id}"
    seen = msgspec.json.decode(person.browser.read(f"{path}/review"), type=Review)
    request, digest = decode_canonical(seen.request, SigningRequest), request_digest(seen.request)
    words = in_words(seen, request, digest)
    begins = next(place for place, line in enumerate(words) if line.strip().startswith("last"))
    tell(*(f"  {line}" for line in (words if show == "all" else words[begins:] if show else ())))
    stages = tuple(Stage(each.need, each.among) for each in seen.stages)
    asker = None if request.requester is msgspec.UNSET else request.requester
    counted = tally(seen.approvals, seen.approvers, stages, digest, asker)
    outcome = counted.outcome
    if not isinstance(outcome, Waiting):
        raise VerificationFailed(f"Request {request_id} does not wait for {person.first}.")
    signature, assertion = person.browser.passkey.approve(approved_octets(digest, outcome.stage, counted.earlier))
    mine = next(each for each in seen.approvers if each.name == person.name)
    given = Approval(
        approver=mine.name,
        public_key=mine.public_key,
        request_digest=digest,
        signature=signature,
        stage=outcome.stage,
        assertion=assertion,
    )
    person.browser.post(f"{path}/approvals", given)
    story.done(f"{person.name} agrees to {digest.hex()[:16]}..., by passkey")
