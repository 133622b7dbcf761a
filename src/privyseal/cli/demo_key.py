"""The demo's key from its plan to its destruction: born in a token where SoftHSM is installed, agreed to by its people.

Nobody enables, certifies or destroys it alone. SoftHSM is a real PKCS#11 module, and software: what the service says of
it by the Requirements is what it says of a file.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from privyseal.cli import demo_story as story
from privyseal.cli.demo_person import FOLDER, KEY, Person
from privyseal.cli.demo_story import Story
from privyseal.errors import Misused, Unavailable
from privyseal.strongroom.durable import write_whole

SCHEME = "ecdsa-p256"
TOKEN = "demo"  # noqa: S105 - the label of a token
LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib/pkcs11/libsofthsm2.so")
"""Where Debian, Fedora and Arch keep SoftHSM's module."""
WAITS = 6
"""Exit code of a command that waits for people."""
_BEGIN, _END = "# the demo's token: begin\n", "# the demo's token: end\n"


def plug_in(directory: Path, subscriber: str) -> bool:
    """Have the new keys of a Subscriber born in a token of SoftHSM; False where that is not installed.

    The token is made by the first demo in a directory, and each later one goes on with it. Misused where somebody has
    named other tokens there.
    """
    library = next((each for each in LIBRARIES if Path(each).exists()), None)
    program = shutil.which("softhsm2-util")
    if library is None or program is None:
        return False
    settings = directory / "signer" / "signer.toml"
    before, _, after = settings.read_text("utf-8").partition(_BEGIN)
    mine, _, rest = after.partition(_END)
    if "[[pkcs11]]" in before + rest:
        raise Misused(f"{settings} has a [[pkcs11]] that the demo did not write.", hint="--dir another directory")
    module = (directory / "module").resolve()
    if not mine:
        _initialise(module, program)
    known = [line for line in mine.splitlines() if line.startswith("subscribers = ")]
    names = [*json.loads(known[0].partition(" = ")[2] if known else "[]"), subscriber]
    section = (
        f'[[pkcs11]]\nmodule = "{library}"\ntoken = "{TOKEN}"\npin_file = "../module/pin"\n'
        f"subscribers = {json.dumps(names)}\n"
        f"environment = {{ SOFTHSM2_CONF = {json.dumps(str(module / 'softhsm2.conf'))} }}\n"
        'readable = ["../module/softhsm2.conf"]\nwritable = ["../module/tokens"]\n'
    )
    write_whole(settings, f"{before}{_BEGIN}{section}{_END}{rest}".encode())
    return True


def bear(told: Story, custodian: Person, approvers: Sequence[Person], *, in_token: bool) -> None:
    """Have the key planned and born, under a charter of the approvers' passkeys."""
    where = "in SoftHSM, a PKCS#11 module" if in_token else "in a file, for SoftHSM is not installed here"
    told.step(f"{custodian.first}, key custodian, proposes a key. It is born {where}; both approvers are its charter.")
    people = [each for person in approvers for each in ("--member", person.name)]
    why = ("--reason", "the releases of this year")
    charter = ("--scheme", SCHEME, *people, "--quorum", str(len(approvers)), *why)
    made = story.asked("key", "generate", KEY, *charter, *custodian.profile, into=custodian.into)["act"]
    if made["state"] != "done":
        raise Unavailable(f"The act on the key is {made['state']}, and not done.")
    story.done(f"key {KEY} ({SCHEME}) of {custodian.subscriber}: {len(approvers)} of {len(approvers)} must agree")


def certify(told: Story, custodian: Person, approvers: Sequence[Person], administrator: Person) -> None:
    """Have a certificate asked for, agreed to, issued, read and accepted."""
    told.step("A request for a certificate is a use of the key: logged, and agreed to by its people. Then a CA issues.")
    into, profile, request = custodian.into, custodian.profile, str(FOLDER / "release.csr")
    waits = story.asked("key", "csr", KEY, *profile, into=into, code=WAITS)["waiting"]["proposed"]
    for person in approvers:
        _agree(person, waits)
    story.call("key", "csr", KEY, "--act", waits, "-o", request, *profile, into=into)
    order = story.asked("cert", "ask", KEY, "--at", "rehearsal", "--csr", request, *profile, into=into)["order"]
    told.step(
        f"{administrator.first} reads the certificate and accepts it (CSBR 9.6.3). The key is active from then on."
    )
    into, profile = administrator.into, administrator.profile
    story.call("cert", "show", order["id"], *profile, into=into)
    story.call("cert", "accept", order["id"], order["fingerprint"], *profile, into=into)


def enable(told: Story, custodian: Person, approvers: Sequence[Person]) -> None:
    """Have a key that was stopped sign again, by its own people."""
    told.step("The signer believes no record: the key's own people give it their word before it signs again.")
    why = ("--reason", "nothing was wrong with the key")
    act = story.asked("key", "enable", KEY, *why, *custodian.profile, into=custodian.into)["act"]["id"]
    for person in approvers:
        _agree(person, act)


def destroy(told: Story, custodian: Person, approvers: Sequence[Person]) -> None:
    """Have the key destroyed in its module, by agreement, and show what it went through."""
    told.step("The key has served. It is destroyed in its module when both agree, and nothing brings it back.")
    why = ("--reason", "another key replaces it")
    act = story.asked("key", "destroy", KEY, *why, *custodian.profile, into=custodian.into)["act"]["id"]
    for person in approvers:
        _agree(person, act)
    story.call("key", "life", KEY, *custodian.profile, into=custodian.into)


def _agree(person: Person, act: str) -> None:
    """Open the act's page and agree with the passkey."""
    form = person.browser.forms(f"/console/keys/act?id={act}").get("/console/keys/agree")
    if form is None:
        raise Unavailable(f"The page of {act} does not ask {person.first}.")
    person.browser.send(form, answer=person.browser.passkey.get(form.options))
    story.done(f"{person.name} agrees to {act[:10]}..., by passkey")


def _initialise(module: Path, program: str) -> None:
    """Make a token with a PIN that was drawn now and stands in one file, 0600."""
    shutil.rmtree(module, ignore_errors=True)  # of a demo that was cut short before it was named in the settings
    (module / "tokens").mkdir(mode=0o700, parents=True)
    (module / "softhsm2.conf").write_text(f"directories.tokendir = {module / 'tokens'}\n")
    pin, officer = (f"{secrets.randbelow(10**10):010}" for _ in range(2))
    write_whole(module / "pin", pin.encode("ascii"))
    command = [program, "--init-token", "--free", "--label", TOKEN, "--pin", pin, "--so-pin", officer]
    environment = os.environ | {"SOFTHSM2_CONF": str(module / "softhsm2.conf")}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise Unavailable("softhsm2-util did not make a token.", hint="run it by hand; or uninstall softhsm2")
