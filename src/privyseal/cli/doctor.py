"""``privyseal doctor``: what is wrong with a service, or only weak, in one sentence each."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import ssl
import stat
import struct
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import click
import msgspec

from privyseal import config
from privyseal.cli.output import Command, JsonMode, Output, json_option, mark
from privyseal.cli.processes import ROOMS, settings_of
from privyseal.cli.serve import tls_files
from privyseal.errors import Misused, PrivySealError, Unavailable
from privyseal.records import schema
from privyseal.records.database import open_records
from privyseal.strongroom import confinement

LEAST_FREE = 256 * 1024 * 1024
"""Octets; a full disk stops every signature, and a day's log of a busy service takes about a tenth of this."""

ASK_LIMIT = 10.0
"""Seconds to wait for /readyz, which itself asks every process."""


class Diagnosis(msgspec.Struct, frozen=True):
    """One thing looked at: ``good``, ``weak`` (works, but not for production) or ``bad``, and a sentence."""

    what: str
    state: Literal["good", "weak", "bad"]
    text: str


@click.command(cls=Command)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--url", help="Where it listens, if not where its configuration says.")
@json_option
def doctor(directory: Path, url: str | None, json_mode: JsonMode | None) -> int:
    """Find out what is wrong with a service.

    Exit 0 where nothing is bad, 2 where a configuration is, 8 where the service does not answer as it should.
    """
    output = Output(json_mode)
    found = [*examine(directory, url)]
    for each in found:
        sign = mark({"good": True, "bad": False, "weak": None}[each.state])
        output.say(f"{sign} {each.what}: {each.text}")
    output.result({"schema": "privyseal/doctor/1", "findings": found})
    bad = [each.what for each in found if each.state == "bad"]
    if "configuration" in bad or "secrets" in bad:
        return Misused.exit
    return Unavailable.exit if bad else 0


def examine(directory: Path, url: str | None) -> Iterator[Diagnosis]:
    """Look at everything there is to look at; a broken configuration ends it early, for all else rests on it."""
    try:
        settings = config.load(directory)
    except PrivySealError as error:
        yield Diagnosis("configuration", "bad", str(error))
        return
    yield Diagnosis("configuration", "good", f"{directory / config.FILE} is right")
    try:
        context = _trust_itself(settings, directory)
    except PrivySealError as error:
        yield Diagnosis("configuration", "bad", str(error))
        return
    here: tuple[Callable[[], Diagnosis], ...] = (
        lambda: _secrets(directory),
        lambda: _separation(directory),
        lambda: _keys(settings),
        lambda: _mark(directory),
    )
    if settings.node.rooms == "join":
        here = (lambda: _secrets(directory), lambda: _keys(settings))  # the guarded processes are another node's
    checks: tuple[Callable[[], Diagnosis], ...] = (
        *here,
        lambda: _room(directory),
        _memory,
        lambda: _sandbox(directory),
        lambda: _records(settings, directory),
        lambda: _answers(url or f"{'https' if settings.tls else 'http'}://{settings.service.bind}", context),
    )
    for check in checks:
        yield check()


def _secrets(directory: Path) -> Diagnosis:
    """Nobody but their owner may read what holds a passphrase, a key or a token."""
    holders = [settings_of(directory, room) for room in ROOMS]
    holders += [directory / "client.toml", directory / "rehearsal-ca" / "ca.key", directory / "logger" / "log.key"]
    open_to_others = [str(path) for path in holders if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_to_others:
        return Diagnosis("secrets", "bad", f"others can read {', '.join(open_to_others)}; run chmod 600 on each")
    return Diagnosis("secrets", "good", "only their owner can read the files that hold secrets")


def _separation(directory: Path) -> Diagnosis:
    """One user for all processes voids what the separation is for."""
    owners = {settings_of(directory, room).parent.stat().st_uid for room in ROOMS} | {directory.stat().st_uid}
    if len(owners) < len(ROOMS) + 1:
        return Diagnosis("separation", "weak", "one user runs several processes, so a break-in into one reaches all")
    return Diagnosis("separation", "good", "each process has a user of its own")


def _keys(settings: config.Settings) -> Diagnosis:
    if settings.service.rehearsal:
        return Diagnosis("keys", "weak", "REHEARSAL: keys are files, the CA is our own; nothing signed is for release")
    return Diagnosis("keys", "good", "not a rehearsal")


def _mark(directory: Path) -> Diagnosis:
    """The logger's mark should never be put back together with its journal."""
    journal, marks = directory / "logger", directory / "marks"
    if marks.exists() and marks.stat().st_dev == journal.stat().st_dev:
        return Diagnosis("mark", "weak", "the log's mark is on the journal's disk; one restore would put back both")
    return Diagnosis("mark", "good", "the log's mark is on a disk of its own")


def _records(settings: config.Settings, directory: Path) -> Diagnosis:
    """Ask the database itself what it would lose, and what it would show to whom."""
    try:
        records = open_records(config.records_url(settings.records, directory))
        try:
            schema.require_fit(records)
            weak = schema.weaknesses(records)
        finally:
            records.close()
    except PrivySealError as error:
        return Diagnosis("records", "bad", str(error))
    if weak:
        return Diagnosis("records", "weak", "; ".join(weak))
    return Diagnosis("records", "good", "commits are durable, and Subscribers are kept apart")


def _room(directory: Path) -> Diagnosis:
    free = shutil.disk_usage(directory).free
    if free < LEAST_FREE:
        return Diagnosis("disk", "bad", f"only {free >> 20} MiB are free; with a full disk nothing is signed")
    return Diagnosis("disk", "good", f"{free >> 20} MiB are free")


def _memory() -> Diagnosis:
    """Keys in memory that may be swapped out end up on a disk."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() != 0 and soft != resource.RLIM_INFINITY and soft < 64 << 20:
        return Diagnosis("memory", "weak", f"only {soft >> 10} KiB may be locked, so keys could be swapped to disk")
    return Diagnosis("memory", "good", "memory may be locked against swapping")


def _sandbox(directory: Path) -> Diagnosis:
    """Ask the kernel, not the processes, what holds each of them: found by their sockets, read in /proc."""
    weak: list[str] = []
    for room in ROOMS:
        status = _status(directory / "run" / f"{room}.sock")
        if status is None:
            return Diagnosis("sandbox", "weak", f"the {room} process does not run, so what holds it cannot be seen")
        weak += [] if status.get("Seccomp") == "2" else [f"{room}: no seccomp"]
        weak += [] if status.get("NoNewPrivs") == "1" else [f"{room}: may gain privileges"]
        weak += [f"{room}: memory not locked"] if status.get("VmLck", "0 kB") == "0 kB" else []
    landlock = confinement.version()
    weak += [] if landlock else ["this kernel has no landlock"]
    if weak:
        return Diagnosis("sandbox", "weak", "; ".join(weak))
    return Diagnosis("sandbox", "good", f"landlock {landlock}, seccomp and locked memory hold every guarded process")


def _status(door: Path) -> dict[str, str] | None:
    """Return what the kernel says of the process behind a socket, or None where nobody is there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ASK_LIMIT)
        try:
            connection.connect(str(door))
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            lines = Path(f"/proc/{struct.unpack('iII', peer)[0]}/status").read_text().splitlines()
        except OSError:
            return None
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _trust_itself(settings: config.Settings, directory: Path) -> ssl.SSLContext | None:
    """Make a context that believes in the service's own certificate alone, whatever its name; Misused if it is bad."""
    tls = tls_files(settings, directory)
    if tls is None:
        return None
    tls.context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(tls.certificate)
    return context


def _answers(url: str, context: ssl.SSLContext | None) -> Diagnosis:
    if not url.startswith(("http://", "https://")):
        return Diagnosis("service", "bad", f"{url} is no http or https address")
    try:
        # The scheme is checked above.
        with urllib.request.urlopen(f"{url}/readyz", timeout=ASK_LIMIT, context=context) as answer:  # noqa: S310
            answer.read(4096)
        return Diagnosis("service", "good", f"{url} and every process behind it answer")
    except urllib.error.HTTPError as error:
        try:
            detail = json.loads(error.read(65536)).get("detail", "")
        except ValueError:
            detail = ""
        return Diagnosis("service", "bad", f"{url} answers with {error.code}: {detail or 'no reason given'}")
    except (OSError, ValueError) as error:
        return Diagnosis("service", "bad", f"{url} does not answer: {getattr(error, 'reason', error)}")
