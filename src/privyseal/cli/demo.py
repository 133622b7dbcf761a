"""``privyseal demo``: a real service on loopback signs real Windows programs, and everything is checked.

Every step is a command that anyone can type; it is shown before it runs. At the end stands what the service found of
itself by the Requirements, with all that a rehearsal does not meet. The programs are the launchers that PyPI's
``distlib`` ships. Where osslsigncode is installed it judges as well, and what it prints is read line by line, for its
exit code alone proves neither timestamp nor checksum.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import click

from privyseal import config
from privyseal.cli.demo_findings import report, wait_until_judged
from privyseal.cli.output import WIDTH, mark, paint, tell
from privyseal.cli.requirement import kept_in
from privyseal.errors import BadInput, Conflict, Unavailable, VerificationFailed

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
    """Sign and check real programs with a service of its own."""
    began, given = time.monotonic(), directory
    if not (directory / config.FILE).exists():
        _step("A new rehearsal service: one Subscriber, a key in its signer process, a log, a timestamp authority.")
        _run("init", "--dir", directory, "--rehearsal")
    _step("The service starts: web, signer, logger and stamper, each a process of its own.")
    with _serving(directory) as url:
        files = _programs(directory)
        os.chdir(directory)  # so that the commands below are short enough to be read
        client = ("--profile", "client.toml")
        _step("Each program is hashed here; only its description travels. The intent is logged, then the key signs.")
        _run("sign", *files, *client, "--url", url, "--program-name", "Privy Seal demo")
        _step("Our verifier: signature, certificate, timestamp, and the receipt from the log. It needs no service.")
        _run("verify", files[0], *client)
        _run("verify", "-q", *files[1:], *client)
        tell(f"  {mark(True)} the other {len(files) - 1} as well")
        _step("One bit of a signed program is changed. Verification must say no.")
        _expect_no(files[0], client)
        _step("Signing again: nothing is signed twice.")
        _run("sign", *files, *client, "--url", url)
        _step("The whole log is read again as an outsider would, every entry and every hash.")
        _run("log", "fsck", "--dir", ".")
        _strangers(files)
        _requirements(given)
    took = time.monotonic() - began
    _step(f"All of it verified, in {took:.0f} s. The service is stopped; its files are in {directory}.")
    tell("REHEARSAL: one user runs every process and the CA is our own. Nothing signed here is for release.")


def _requirements(directory: Path) -> None:
    """Say what the service found of itself by now, and of its one Subscriber; ``directory`` is as the user named it."""
    _step("The service judged itself by the Requirements while it ran. A rehearsal:")
    complete = wait_until_judged(Path())
    tell(*report(kept_in(Path(), SUBSCRIBER), complete=complete), "  More, with what to do about each:")
    _show(("requirement", "findings", "--dir", directory, "--subscriber", SUBSCRIBER))


def _programs(directory: Path) -> list[Path]:
    """Put fresh, unsigned copies of the launchers into the directory."""
    folder = directory / "programs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = resources.files("distlib")
    for ours, theirs in PROGRAMS.items():
        (folder / ours).write_bytes((source / theirs).read_bytes())
    return [Path("programs") / ours for ours in PROGRAMS]


def _expect_no(file: Path, profile: Sequence[str | Path]) -> None:
    """Flip one bit in the middle of a copy and make sure that ``verify`` refuses it."""
    copy = file.with_name("tampered.exe")
    octets = bytearray(file.read_bytes())
    octets[len(octets) // 3] ^= 1
    copy.write_bytes(octets)
    shutil.copyfile(f"{file}.tlog-proof", f"{copy}.tlog-proof")
    try:
        if _call("verify", copy, *profile) != VerificationFailed.exit:
            raise VerificationFailed("A program that was changed after signing was not refused.")
    finally:
        copy.unlink()
        Path(f"{copy}.tlog-proof").unlink()


def _strangers(files: Sequence[Path]) -> None:
    """Have osslsigncode judge what we made, where it is installed."""
    stranger = shutil.which("osslsigncode")
    if stranger is None:
        _step("osslsigncode is not installed here, so no stranger judged; `./seal test` has several do so.")
        return
    _step("A stranger's verifier, osslsigncode, judges the same files.")
    for file in files:
        command = [stranger, "verify", "-CAfile", "ca.pem", "-TSA-CAfile", "ca.pem", "-CRLfile", "ca.crl"]
        command += ["-in", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        judge_osslsigncode(done.returncode, done.stdout + done.stderr, file.name)
        tell(f"  {mark(True)} osslsigncode: {file.name}: signature ok, timestamp ok")


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
    _show(command[2:])
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
    tell(f"  {mark(True)} ready at {url}")
    return url


def _step(text: str) -> None:
    tell("", paint(text, "cyan"))


def _show(arguments: Sequence[str | Path]) -> None:
    words = [
        shlex.quote(str(each)) for each in (arguments if arguments[0] == "privyseal" else ("privyseal", *arguments))
    ]
    lines = textwrap.wrap(" ".join(words), WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    tell("  $ " + " \\\n      ".join(lines))


def _call(*arguments: str | Path) -> int:
    _show(arguments)
    command = [sys.executable, "-m", "privyseal", *map(str, arguments)]
    return subprocess.run(command, check=False, env=_environment()).returncode


def _run(*arguments: str | Path) -> None:
    code = _call(*arguments)
    if code != 0:
        kind = {BadInput.exit: BadInput, VerificationFailed.exit: VerificationFailed, Conflict.exit: Conflict}
        raise kind.get(code, Unavailable)(f"privyseal {arguments[0]} ended with exit code {code}.")


def _environment() -> dict[str, str]:
    """Leave out whatever the user's own environment says of other services."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PRIVYSEAL_")}
