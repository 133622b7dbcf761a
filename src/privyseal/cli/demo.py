"""``privyseal demo``: a real service on loopback signs real Windows programs, and everything is checked.

Every step is a command that anyone can type; it is shown before it runs. At the end stands what the service found of
itself by the Requirements, with all that a rehearsal does not meet. The programs are the launchers that PyPI's
``distlib`` ships. Where osslsigncode is installed it judges as well, and what it prints is read line by line, for its
exit code alone proves neither timestamp nor checksum.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import click

from privyseal import config
from privyseal.cli import demo_key, demo_kinds, demo_people, demo_platform, demo_release, demo_turned
from privyseal.cli import demo_story as story
from privyseal.cli.demo_findings import report, wait_until_judged
from privyseal.cli.demo_people import Acme
from privyseal.cli.demo_platform import Platform
from privyseal.cli.demo_story import Story
from privyseal.cli.output import tell
from privyseal.cli.requirement import kept_in
from privyseal.errors import Unavailable, VerificationFailed
from privyseal.formats import catalogue, publisher_name
from privyseal.formats.examine import examine
from privyseal.formats.source import FileSource

PROGRAMS = {
    "hello-x64.exe": "t64.exe",
    "hello-x86.exe": "t32.exe",
    "window-x64.exe": "w64.exe",
    "hello-arm64.exe": "t64-arm.exe",
}
"""What they are called here -> what distlib calls them."""

SUBSCRIBER = "demo"
"""The one Subscriber of a rehearsal service."""

EVALUATE_EVERY = 3
"""Seconds between two evaluations by the Requirements while the demo runs; a service that stays has an hour."""

START_LIMIT = 90.0
"""Seconds for the service to start on a slow, busy machine."""


@click.command()
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), default=Path("demo-data"), show_default=True, help="Kept."
)
def demo(directory: Path) -> None:
    """Sign and check real programs with a service of its own.

    First with a key that asks nobody, then as a Subscriber whose two approvers agree with passkeys.
    """
    began, told = time.monotonic(), Story()
    with demo_platform.platform() as platform:
        subscriber, in_token = _make(told, directory, platform)
        with _serving(directory) as url:
            os.chdir(directory)  # so that the commands below are short enough to be read
            told.part("One key that asks nobody")
            files = _sign_alone(told, url)
            _strangers(told, files)
            told.part("A Subscriber with people, a build and no stored secret")
            try:
                acme = demo_people.enrol(told, url, platform, subscriber, in_token=in_token)
                demo_release.release(told, acme, platform)
                demo_key.enable(told, acme.katherine, (acme.grace, acme.alan))
                _strangers(told, [demo_release.PROGRAM])
                told.part("What is left of it")
                _requirements(told, directory, acme)
                demo_key.destroy(told, acme.katherine, (acme.grace, acme.alan))
                story.call("verify", "-q", demo_release.PROGRAM, *demo_release.JOB)
                story.done("what it signed in its time stays good")
            finally:
                demo_people.leave()
            _log(told)
    took = time.monotonic() - began
    told.step(f"All of it verified, in {took:.0f} s. The service is stopped; its files are in {directory}.")
    tell(
        "REHEARSAL: one user runs every process, the CA, the build platform and the",
        "passkeys are our own software. Nothing signed here is for release.",
    )


def _make(told: Story, directory: Path, platform: Platform) -> tuple[str, bool]:
    """Make the service where there is none; return what its next Subscriber is called, and whether it has a token."""
    if not (directory / config.FILE).exists():
        told.step("A new rehearsal service: one Subscriber, a key in its signer process, a log, a timestamp authority.")
        story.call("init", "--dir", directory, "--rehearsal")
    demo_people.believe(directory, platform)
    subscriber = demo_people.free_name(directory)
    in_token = demo_key.plug_in(directory, subscriber)
    told.step("The service starts: web, signer, logger and stamper, each a process of its own.")
    return subscriber, in_token


def _sign_alone(told: Story, url: str) -> list[Path]:
    """Sign as the Subscriber whose key asks nobody, and check."""
    files, client = _programs(Path()), ("--profile", "client.toml")
    told.step("Each program is hashed here; only its description travels. The intent is logged, then the key signs.")
    story.call("sign", *files, *client, "--url", url, "--program-name", "Privy Seal demo")
    told.step("Our verifier: signature, certificate, timestamp, and the receipt from the log. It needs no service.")
    story.call("verify", files[0], *client)
    story.call("verify", "-q", *files[1:], *client)
    story.done(f"the other {len(files) - 1} as well")
    told.step("One bit of a signed program is changed. Verification must say no.")
    _expect_no(files[0], client)
    told.step("Signing again: nothing is signed twice.")
    story.call("sign", *files, *client, "--url", url)
    return files + _sign_each_kind(told, url, files[0])


def _sign_each_kind(told: Story, url: str, signed: Path) -> list[Path]:
    """Sign a file of every other format in one command, under the certificate of a program that is signed already.

    Returns those that osslsigncode can judge.
    """
    told.step("And a file of every other format of Windows: each is hashed and signed by rules of its own.")
    with FileSource.open(signed) as code:
        (signature, *_) = examine(catalogue.recognise(code), code).signatures
    shutil.rmtree(demo_kinds.FOLDER, ignore_errors=True)
    kinds = demo_kinds.put(Path(demo_kinds.FOLDER), publisher_name.of_certificate(signature.signer or b""))
    client = ("--profile", "client.toml")
    story.call("sign", *kinds, *client, "--url", url)
    variable = Path(demo_kinds.FOLDER) / demo_kinds.VARIABLE
    story.call("sign", "--efi-time", "now", variable, *client, "--url", url)
    story.call("verify", "-q", *kinds, variable, *client)
    story.done(f"all {len(kinds) + 1} verify")
    return [each for each in kinds if each.suffix in demo_kinds.JUDGED]


def _log(told: Story) -> None:
    told.step("The whole log is read again as an outsider would, every entry and every hash.")
    story.call("log", "fsck", "--dir", ".")


def _requirements(told: Story, directory: Path, acme: Acme) -> None:
    """Say what the service found by now, and what the steps changed; ``directory`` is as the user named it."""
    told.step("The service judged itself by the Requirements while it ran. What the steps changed:")
    complete = wait_until_judged(Path())
    now, alone = kept_in(Path(), acme.subscriber), kept_in(Path(), SUBSCRIBER)
    tell(*demo_turned.report(acme.before, now, acme.subscriber), "")
    tell(*demo_turned.compared(((SUBSCRIBER, alone), (acme.subscriber, now))))
    told.step(f"And all else that holds of {acme.subscriber} and of the service. A rehearsal:")
    tell(*report(now, complete=complete), "  More, with what to do about each:")
    story.show("requirement", "findings", "--dir", directory, "--subscriber", acme.subscriber)


def _programs(directory: Path) -> list[Path]:
    """Put fresh, unsigned copies of the launchers into the directory."""
    folder = directory / "programs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = resources.files("distlib")
    for ours, theirs in PROGRAMS.items():
        (folder / ours).write_bytes((source / theirs).read_bytes())
    return [Path("programs") / ours for ours in PROGRAMS]


def _expect_no(file: Path, profile: tuple[str, ...]) -> None:
    """Flip one bit in the middle of a copy and make sure that ``verify`` refuses it."""
    copy = file.with_name("tampered.exe")
    octets = bytearray(file.read_bytes())
    octets[len(octets) // 3] ^= 1
    copy.write_bytes(octets)
    shutil.copyfile(f"{file}.tlog-proof", f"{copy}.tlog-proof")
    try:
        story.call("verify", copy, *profile, code=VerificationFailed.exit)
    finally:
        copy.unlink()
        Path(f"{copy}.tlog-proof").unlink()


def _strangers(told: Story, files: Sequence[Path]) -> None:
    """Have osslsigncode judge what we made, where it is installed."""
    stranger = shutil.which("osslsigncode")
    if stranger is None:
        told.step("osslsigncode is not installed here, so no stranger judged; `./seal test` has several do so.")
        return
    told.step("A stranger's verifier, osslsigncode, judges what was signed.")
    for file in files:
        command = [stranger, "verify", "-CAfile", "ca.pem", "-TSA-CAfile", "ca.pem", "-CRLfile", "ca.crl"]
        command += ["-in", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        judge_osslsigncode(done.returncode, done.stdout + done.stderr, file.name)
        story.done(f"osslsigncode: {file.name}: signature ok, timestamp ok")


def judge_osslsigncode(code: int, said: str, name: str) -> None:
    """Raise VerificationFailed unless osslsigncode's words, not only its exit code, say that all is well."""
    for wanted in ("Signature verification: ok", "Timestamp Server Signature verification: ok"):
        if code != 0 or wanted not in said:
            raise VerificationFailed(f"osslsigncode did not say {wanted!r} of {name}: {said.strip()[-400:]}")
    if "invalid PE checksum" in said:
        raise VerificationFailed(f"osslsigncode says that the PE checksum of {name} is invalid.")


@contextmanager
def _serving(directory: Path) -> Iterator[str]:
    """Run ``privyseal serve`` on a free port of loopback and yield its URL."""
    command = [sys.executable, "-m", "privyseal", "serve", "--dir", str(directory), "--bind", "127.0.0.1:0"]
    command += ["--evaluate-every", str(EVALUATE_EVERY)]
    story.show(*command[3:])
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield _ready(service)
        service.send_signal(signal.SIGTERM)
        if service.wait(60) != 0:
            raise Unavailable(f"The service ended with exit code {service.returncode} when it was told to stop.")
    finally:
        if service.poll() is None:
            service.terminate()
            try:
                service.wait(60)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()
        if service.stdout is not None:
            service.stdout.close()


def _ready(service: subprocess.Popen[bytes]) -> str:
    if service.stdout is None:
        raise Unavailable("The service has no standard output.")
    until, said = time.monotonic() + START_LIMIT, b""
    while b"\n" not in said and time.monotonic() < until and service.poll() is None:
        if select.select([service.stdout], [], [], 0.2)[0]:
            said += os.read(service.stdout.fileno(), 4096)
    if not said.startswith(b"ready "):
        raise Unavailable("The service did not start.", hint="what it printed above says why")
    url = said.split()[1].decode("ascii")
    story.done(f"ready at {url}")
    return url
