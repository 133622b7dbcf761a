"""``privyseal doctor``: what is wrong with a service, or only weak, in one sentence each."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import shutil
import socket
import ssl
import stat
import struct
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from privyseal import config
from privyseal.cli.diagnosis import Diagnosis
from privyseal.cli.doctor_books import books
from privyseal.cli.doctor_duties import duties
from privyseal.cli.doctor_roots import roots
from privyseal.cli.doctor_timestamps import timestamp_keys
from privyseal.cli.doctor_tokens import tokens
from privyseal.cli.output import Command, JsonMode, Output, json_option, mark
from privyseal.cli.processes import ROOMS, settings_of
from privyseal.cli.serve import tls_files
from privyseal.errors import Misused, PrivySealError, Unavailable
from privyseal.records import schema
from privyseal.records.database import open_records
from privyseal.scanning import catalogue
from privyseal.strongroom import confinement

ASK_LIMIT = 10.0
"""Seconds to wait for /readyz, which itself asks every process."""

CLOCK_LOOK = 0.25
"""Seconds that the two clocks are compared for."""
CLOCK_STEP = 0.1
"""Seconds that they may differ after that; a clock that is slewed differs by a thousandth of it."""
CLOCK_AHEAD = 5.0
"""Seconds that a file may have been written later than now; file systems keep times by a clock of their own."""
WIDTH = 80
"""Columns of the text; a path that is longer is not broken."""
LATE = 0
"""Entries that may be without a published head: a head is published before anybody is answered."""
LARGEST_METRICS = 4 * 1024 * 1024
"""Octets read of the metrics; a busy service has some 60 KiB."""
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
_LAG = "privyseal_log_unpublished_entries"


@click.command(cls=Command)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--url", help="Where it listens, if not where its configuration says.")
@json_option
def doctor(directory: Path, url: str | None, json_mode: JsonMode | None) -> int:
    """Find out what is wrong with a service.

    It looks at files, permissions, disks and clocks, and asks the service if that runs.

    Exit 0 where nothing is bad, 2 where a configuration is, 8 where the service does not answer as it should.
    """
    output = Output(json_mode)
    found = [*examine(directory, url)]
    for each in found:
        sign = mark({"good": True, "bad": False, "weak": None}[each.state])
        line = f"{sign} {each.what}: {each.text}"
        for piece in textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False):
            output.say(piece)
    output.say(_summary(found))
    output.result({"schema": "privyseal/doctor/1", "findings": found})
    bad = [each.what for each in found if each.state == "bad"]
    if {"configuration", "secrets", "permissions"} & set(bad):
        return Misused.exit
    return Unavailable.exit if bad else 0


def _summary(found: Sequence[Diagnosis]) -> str:
    """Say in one line what all of it comes to."""
    bad, weak = (sum(each.state == state for each in found) for state in ("bad", "weak"))
    if bad:
        return f"{bad} of {len(found)} things looked at must be mended; {weak} are weak."
    if weak:
        return f"Nothing is wrong. {weak} of {len(found)} things looked at are too weak for production."
    return f"Nothing is wrong and nothing is weak: {len(found)} things were looked at."


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
    rooms: tuple[Callable[[], Diagnosis], ...] = (
        lambda: _separation(directory),
        lambda: _mark(directory),
        _memory,
        lambda: _rooms_closed(directory),
        lambda: _sandbox(directory),
    )
    checks: tuple[Callable[[], Diagnosis], ...] = (
        lambda: _secrets(directory),
        lambda: _keys(settings),
        *(rooms if settings.node.rooms == "start" else ()),  # else they are another node's
        lambda: _room(directory, settings.limits.least_free_mib << 20),
        _clock,
        lambda: _future(directory),
        lambda: _records(settings, directory),
    )
    for check in checks:
        yield check()
    yield from duties(settings, directory)
    if settings.node.rooms == "start":
        yield from timestamp_keys(directory, datetime.now(UTC))
    yield from scanners(settings, directory)
    yield from roots(settings, directory)
    at = url or f"{'https' if settings.tls else 'http'}://{settings.service.bind}"
    answers = _answers(at, context)
    yield answers
    if settings.node.rooms == "start":
        yield from tokens(directory)
        yield from books(directory)
    if answers.state == "good":
        yield from _watched(at, context)


def _secrets(directory: Path) -> Diagnosis:
    """Nobody but their owner may read what holds a passphrase, a key or a token."""
    holders = [settings_of(directory, room) for room in ROOMS]
    holders += [directory / each for each in ("client.toml", "administrator.toml")]
    holders += [directory / "rehearsal-ca" / "ca.key", directory / "logger" / "log.key"]
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


def _room(directory: Path, least: int) -> Diagnosis:
    """Every disk that is written to needs room; the fullest one is told."""
    written = [directory, *(path for name in (*ROOMS, "marks", "log") if (path := directory / name).exists())]
    free, fullest = min((shutil.disk_usage(path).free, str(path)) for path in written)
    if free < least:
        return Diagnosis("disk", "bad", f"only {free >> 20} MiB are free in {fullest}, and {least >> 20} should be")
    return Diagnosis("disk", "good", f"at least {free >> 20} MiB are free wherever it writes")


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
            where = f"nobody answers at run/{room}.sock"
            return Diagnosis("sandbox", "weak", f"{where}, so what holds the {room} process cannot be seen")
        for who, held in ((room, status), *((f"{room}'s child", each) for each in _below(status.get("Pid", "")))):
            weak += [] if held.get("Seccomp") == "2" else [f"{who}: no seccomp"]
            weak += [] if held.get("NoNewPrivs") == "1" else [f"{who}: may gain privileges"]
            weak += [f"{who}: memory not locked"] if held.get("VmLck", "0 kB") == "0 kB" else []
    landlock = confinement.version()
    weak += [] if landlock else ["this kernel has no landlock"]
    if weak:
        return Diagnosis("sandbox", "weak", "; ".join(weak))
    return Diagnosis("sandbox", "good", f"landlock {landlock}, seccomp and locked memory hold every guarded process")


def scanners(settings: config.Settings, directory: Path) -> Iterator[Diagnosis]:
    """Ask each scanner what it is, by which signatures it judges, and whether it would."""
    for section in settings.scanners if settings.spool.enabled else ():
        what = f"scanner {section.name}"
        try:
            found = catalogue.scanner(section, directory.resolve()).standing(datetime.now(UTC))
        except PrivySealError as error:
            yield Diagnosis(what, "bad", str(error))
            continue
        made = "" if found.database_time is None else f" of {found.database_time:%Y-%m-%d}"
        database = "" if found.database is None else f", signatures {found.database[:16]}{made}"
        yield Diagnosis(what, "good" if found.ready else "bad", found.why or f"{found.engine}{database}")


def _status(door: Path) -> dict[str, str] | None:
    """Return what the kernel says of the process behind a socket, or None where nobody is there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ASK_LIMIT)
        try:
            connection.connect(str(door))
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return _of_process(str(struct.unpack("iII", peer)[0]))
        except OSError:
            return None


def _of_process(pid: str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _below(pid: str) -> Iterator[dict[str, str]]:
    """Return what the kernel says of a process's children and theirs: a signer's nursery and its tokens' workers."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield _of_process(child)
            yield from _below(child)


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


def _clock() -> Diagnosis:
    """The time of day must run as the monotonic clock does, and the kernel should know it to be synchronised."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(CLOCK_LOOK)
    drift = (time.time() - wall) - (time.monotonic() - steady)
    if abs(drift) > CLOCK_STEP:
        return Diagnosis("clock", "bad", f"the time of day moved by {drift:+.2f} s while it was looked at")
    if _unsynchronised():
        return Diagnosis("clock", "weak", "the kernel does not know the clock to be synchronised; is NTP running?")
    return Diagnosis("clock", "good", "it runs evenly, and the kernel says that it is synchronised")


def _unsynchronised() -> bool:
    """Ask the kernel (adjtimex(2)) whether its clock is synchronised; where there is no such question, it is."""
    try:
        ask = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return False
    asked = ctypes.create_string_buffer(512)  # struct timex has 208 octets; modes 0 changes nothing
    return bool(ask(asked) == _TIME_ERROR)


def _future(directory: Path) -> Diagnosis:
    """A file written later than now says that the clock was ahead then, or is behind now."""
    now = time.time()
    names = ("log/checkpoint", "records.db", "records.db-wal", "stamper/time.mark", "marks/log.mark")
    ahead = [name for name in names if (p := directory / name).exists() and p.stat().st_mtime > now + CLOCK_AHEAD]
    if ahead:
        return Diagnosis("time", "bad", f"{', '.join(ahead)}: written later than now, so the clock went back")
    return Diagnosis("time", "good", "nothing was written later than now")


def _rooms_closed(directory: Path) -> Diagnosis:
    """A room's directory is nobody else's to look into."""
    rooms = [directory / room for room in (*ROOMS, "marks", "rehearsal-ca", "issuer")]
    open_to_others = [path.name for path in rooms if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    if open_to_others:
        return Diagnosis("permissions", "bad", f"others can enter {', '.join(open_to_others)}; run chmod 700 on each")
    return Diagnosis("permissions", "good", "nobody else can enter the processes' directories")


def _watched(url: str, context: ssl.SSLContext | None) -> Iterator[Diagnosis]:
    """What can be read of the metrics, and by them how far the published head is behind the log."""
    try:
        # The scheme was checked with the service's own line.
        with urllib.request.urlopen(f"{url}/metrics", timeout=ASK_LIMIT, context=context) as answer:  # noqa: S310
            text = answer.read(LARGEST_METRICS).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        why = {401: "only with the token, or on its own machine", 404: "they are switched off"}
        yield Diagnosis("metrics", "weak", f"not readable from here: {why.get(error.code, f'status {error.code}')}")
        return
    except (OSError, ValueError) as error:
        yield Diagnosis("metrics", "weak", f"not readable: {_why(error)}")
        return
    series = sum(1 for line in text.splitlines() if line and not line.startswith("#"))
    yield Diagnosis("metrics", "good", f"{series} numbers can be read")
    lag = next((line.split()[1] for line in text.splitlines() if line.startswith(_LAG + " ")), None)
    if lag is not None:
        late = float(lag)
        where = "every entry is under the published head" if late <= 0 else f"{late:.0f} entries are not published yet"
        yield Diagnosis("log", "good" if late <= LATE else "bad", where)


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
        return Diagnosis("service", "bad", f"{url} does not answer: {_why(error)}; is serve running there?")


def _why(error: Exception) -> str:
    """Return what the system says, without its number."""
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)
