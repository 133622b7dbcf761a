"""ClamAV: ``clamd`` over its socket (clamd(8), INSTREAM), the file sent in pieces and never whole in memory.

What clamd answers is believed only where it is exactly one of its own sentences. Three of its manners would let a file
pass that nobody has looked at, and each is refused:

* A stream beyond ``StreamMaxLength`` is broken off with an error of its own.
* A file, or something packed in it, beyond another limit is by default passed over and called ``OK``. With
  ``AlertExceedsMax yes`` it is called ``Heuristics.Limits.Exceeded...``. clamd tells nobody which of the two it was
  started with, so it is shown a nest of archives deeper than it ever unpacks, and must complain.
* Its signatures may be old: it says how old, and without an official database it says nothing, which counts as old.
"""

from __future__ import annotations

import contextlib
import functools
import io
import ipaddress
import os
import re
import select
import socket
import struct
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import msgspec

from privyseal.errors import Infected, Misused, TooLarge, Unavailable
from privyseal.scanning.protocol import HEALTH_SECONDS, Standing, seconds_for
from privyseal.terms.scans import Scan, ScannerName

PIECE = 256 << 10
"""Octets in one piece of a stream; clamd itself reads 128 KiB at a time."""

LONGEST_REPLY = 4096
"""Octets of an answer; clamd's are a line, and a signature's name has at most some hundred."""

LONGEST_PATH = 107
"""Octets of a Unix socket's path (unix(7), ``sun_path``)."""

NESTED = 101
"""Archives in each other: clamd unpacks 17 deep by default and 100 at most (``CLI_MAX_MAXRECLEVEL``)."""

AHEAD = timedelta(days=1)
"""How far ahead of our clock signatures may be made: clamd says local time, and nobody knows of which place."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_VERSION = re.compile(
    r"(ClamAV [0-9A-Za-z.+~_-]{1,40})"
    r"(?:/([0-9]{1,9})/[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([0-9]{4}))?"
)
_FOUND = re.compile(r"stream: ([\x21-\x7e][\x20-\x7e]{0,198}) FOUND")
_CLEAN = "stream: OK"
_BEYOND = "Heuristics.Limits.Exceeded"

Address: TypeAlias = str | tuple[str, int]
"""A Unix socket's path, or host and port."""


class ClamavSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="clamav"
):
    """``[[scanners]]`` with ``kind = "clamav"``: a running clamd."""

    name: ScannerName = "clamav"
    address: str = "/run/clamav/clamd.ctl"
    """Its Unix socket, or ``127.0.0.1:3310``: files travel to it in the clear, so no other machine."""
    seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 120.0
    """For any file, and a second more for each 8 MiB; clamd's own ``MaxScanTime`` is 120."""
    oldest_database_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 7
    """Days after which signatures count as old; 0: they never do."""
    outdated: Literal["refuse", "note"] = "refuse"
    """What is done with old signatures: nothing is signed, or the request says so to whoever approves it."""


class Version(msgspec.Struct, frozen=True):
    """What clamd says of itself; without an official database it does not speak of any."""

    engine: str
    database: str | None
    database_time: datetime | None


class Clamav:
    """One clamd. Each question has a connection of its own."""

    def __init__(self, section: ClamavSection, base: Path) -> None:
        """Read where it is, a relative path from ``base``; Misused where that is no socket of this machine."""
        self.name = section.name
        self._section = section
        self._address = address(section.address, base)

    def standing(self, now: datetime) -> Standing:
        """Ask for its version, and show it the nest."""
        until = time.monotonic() + HEALTH_SECONDS
        version = self._version(until)
        why = self._age(version, now) if self._section.outdated == "refuse" else ""
        if not why and not self._complains(until):
            why = self._careless()
        return Standing(
            engine=version.engine,
            database=version.database,
            database_time=version.database_time,
            ready=not why,
            why=why,
        )

    def scan(self, path: Path, now: datetime) -> Scan:
        """Stream a file to it. What it judges by is asked before, so what is recorded is never newer than was used."""
        size = path.stat().st_size
        until = time.monotonic() + seconds_for(size, self._section.seconds)
        version = self._version(until)
        old = self._age(version, now)
        if old and self._section.outdated == "refuse":
            raise Unavailable(old, hint="whoever runs the service must look at freshclam; nothing was signed")
        if not self._complains(until):
            raise Unavailable(self._careless(), hint="set it in clamd.conf and start clamd again; nothing was signed")
        found = verdict(self._streamed(path, size, until))
        if found is not None and found.startswith(_BEYOND):
            raise TooLarge(
                f"Scanner {self.name} did not look at all of the file: {found}.",
                hint="raise that limit in clamd.conf; what was not looked at is not signed",
            )
        if found is not None:
            raise Infected(f"Scanner {self.name} found {found}.", hint="the file was not signed")
        return Scan(
            scanner=self.name,
            engine=version.engine,
            database=version.database,
            database_time=version.database_time,
            verdict="outdated" if old else "clean",
            time=now.astimezone(UTC).replace(microsecond=0),
        )

    def _age(self, version: Version, now: datetime) -> str:
        """Return why its signatures count as old; empty where they do not."""
        most = self._section.oldest_database_days
        if not most:
            return ""
        if version.database_time is None:
            return f"Scanner {self.name} does not say how old its signatures are, and they may be {most} days old."
        if version.database_time > now + AHEAD:
            return f"Scanner {self.name} says that its signatures are of {version.database_time:%Y-%m-%d}, after today."
        age = (now - version.database_time).days
        if now - version.database_time > timedelta(days=most):
            return f"The signatures of scanner {self.name} are {age} days old, and they may be {most}."
        return ""

    def _careless(self) -> str:
        return f"Scanner {self.name} passes what is beyond its limits: AlertExceedsMax is not set."

    def _complains(self, until: float) -> bool:
        """Tell whether it says so where it does not look at everything."""
        return (self._verdict_on(_nest(), until) or "").startswith(_BEYOND)

    def _version(self, until: float) -> Version:
        return version(self._asked(b"zVERSION\0", until))

    def _verdict_on(self, octets: bytes, until: float) -> str | None:
        piece = struct.pack(">I", len(octets)) + octets
        return verdict(self._asked(b"zINSTREAM\0" + piece + bytes(4), until))

    def _asked(self, question: bytes, until: float) -> str:
        with self._connected(until) as connection:
            with contextlib.suppress(ConnectionError):  # it hung up, and perhaps it said why
                self._send(connection, question, until)
            return self._reply(connection, until)

    def _streamed(self, path: Path, size: int, until: float) -> str:
        """Send a file; Unavailable where clamd says that it is clean before it has all of it."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._connected(until) as connection:
                whole = self._pour(fd, size, connection, until)
                said = self._reply(connection, until)
        finally:
            os.close(fd)
        if said == "INSTREAM size limit exceeded. ERROR":
            raise TooLarge(
                f"Scanner {self.name} takes no stream of {size} octets.",
                hint="raise StreamMaxLength in clamd.conf; what was not looked at is not signed",
            )
        if not whole:
            raise Unavailable(f"Scanner {self.name} broke off.", hint="safe to run again")
        return said

    def _pour(self, fd: int, size: int, connection: socket.socket, until: float) -> bool:
        """Send the octets of an open file; False where clamd hung up or spoke before it had all of them."""
        buffer = memoryview(bytearray(PIECE))
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        at = 0
        try:
            self._send(connection, b"zINSTREAM\0", until)
            while count := os.preadv(fd, [buffer], at):
                if poll.poll(0):
                    return False
                self._send(connection, struct.pack(">I", count), until)
                self._send(connection, buffer[:count], until)
                at += count
            if at != size:
                raise Unavailable("The file changed while it was scanned.", hint="safe to run again")
            self._send(connection, bytes(4), until)
        except ConnectionError:
            return False
        return True

    def _connected(self, until: float) -> socket.socket:
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        if isinstance(self._address, tuple) and ":" in self._address[0]:
            family = socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._left(until))
            connection.connect(self._address)
        except OSError as error:
            connection.close()
            raise Unavailable(
                f"Scanner {self.name} does not answer: {error.strerror or 'it took too long'}.",
                hint="is clamd running? Safe to run again",
            ) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _send(self, connection: socket.socket, octets: bytes | memoryview, until: float) -> None:
        """Send octets; Unavailable where it takes too long, ConnectionError where the other side is gone."""
        connection.settimeout(self._left(until))
        try:
            connection.sendall(octets)
        except TimeoutError as error:
            raise self._late() from error

    def _reply(self, connection: socket.socket, until: float) -> str:
        """Read the one answer there is, up to the end of the connection; Unavailable where it is none."""
        said = b""
        try:
            while len(said) <= LONGEST_REPLY:
                connection.settimeout(self._left(until))
                octets = connection.recv(LONGEST_REPLY)
                if not octets and not said:
                    raise Unavailable(f"Scanner {self.name} broke off.", hint="safe to run again")
                if not octets:
                    return text(said)
                said += octets
        except TimeoutError as error:
            raise self._late() from error
        except OSError as error:
            if said not in (b"", _CLEAN.encode() + b"\0"):  # it hung up on what it refuses, and has said so
                return text(said)
            raise Unavailable(f"Scanner {self.name} broke off.", hint="safe to run again") from error
        raise Unavailable(f"Scanner {self.name} answers without end.", hint="whoever runs the service must look")

    def _left(self, until: float) -> float:
        left = until - time.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def _late(self) -> Unavailable:
        return Unavailable(f"Scanner {self.name} takes too long.", hint="safe to run again")


def address(given: str, base: Path) -> Address:
    """Read where clamd is; Misused unless it is a Unix socket or an address of this machine's loopback."""
    host, colon, port = given.rpartition(":")
    if colon and "/" not in given:
        try:
            if ipaddress.ip_address(host.strip("[]")).is_loopback and 0 < int(port) < 65536:
                return host.strip("[]"), int(port)
        except ValueError:
            pass
        raise Misused(
            f"The scanner's address {given[:100]!r} is no port of this machine.", hint='such as "127.0.0.1:3310"'
        )
    path = str(base / given)
    if len(os.fsencode(path)) > LONGEST_PATH or not given or "\0" in given:
        raise Misused(f"The scanner's socket {path[:200]!r} is no path of at most {LONGEST_PATH} octets.")
    return path


def text(octets: bytes) -> str:
    """Read an answer in clamd's ``z`` form: printable ASCII and one NUL behind it; Unavailable where it is not."""
    said = octets.removesuffix(b"\0")
    if len(said) != len(octets) - 1 or not said.isascii() or not said.decode("ascii").isprintable():
        raise Unavailable("A scanner answered what is no answer.", hint="whoever runs the service must look")
    return said.decode("ascii")


def verdict(said: str) -> str | None:
    """Return the name of what was found, None where nothing was; Unavailable where it says anything else."""
    if said == _CLEAN:
        return None
    found = _FOUND.fullmatch(said)
    if found is None:
        raise Unavailable(
            f"A scanner gave no verdict: {said[:100]!r}.", hint="whoever runs the service must look; nothing was signed"
        )
    return found[1]


def version(said: str) -> Version:
    """Read the answer to VERSION; Unavailable where it is none. The time is that of clamd's machine, which is ours."""
    found = _VERSION.fullmatch(said)
    try:
        if found is None:
            raise ValueError(said)
        if found[2] is None:
            return Version(found[1], None, None)
        day, hour, minute, second, year = (int(found[group]) for group in (4, 5, 6, 7, 8))
        local = datetime(year, _MONTHS.index(found[3]) + 1, day, hour, minute, second)  # noqa: DTZ001 - ctime(3)
        return Version(found[1], found[2], local.astimezone(UTC))
    except (ValueError, OverflowError) as error:
        raise Unavailable(
            f"A scanner does not say what it is: {said[:100]!r}.", hint="whoever runs the service must look"
        ) from error


@functools.cache
def _nest() -> bytes:
    """Return a small archive in an archive in an archive, deeper than any clamd unpacks."""
    octets = b"nothing"
    for _ in range(NESTED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a"), octets)
        octets = file.getvalue()
    return octets
