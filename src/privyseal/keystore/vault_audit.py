"""What an audit device of Vault says of the use of keys (Vault documentation, "Audit devices": the file device).

Each request and each response is a line of JSON. Paths and operations stand there in the clear; what was signed is
an HMAC. A response without an error is a use; one of a batch is as many as it has results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable, Misused
from privyseal.keystore.audit import AuditLog

MAX_FILE_OCTETS = 2 << 30
"""Octets of an audit file that is read: some two million entries of a kilobyte, and a minute. Rotate it daily."""
_MAX_LINE = 1 << 20


class _Request(Struct, frozen=True):
    path: str = ""
    operation: str = ""


class _Data(Struct, frozen=True):
    batch_results: list[Any] | None = None


class _Response(Struct, frozen=True):
    data: _Data | None = None


class _Entry(Struct, frozen=True):
    time: datetime
    type: str
    error: str | None = None
    request: _Request = _Request()
    response: _Response | None = None


class _Device(Struct, frozen=True):
    type: str
    options: dict[str, str] | None = None


_entries = msgspec.json.Decoder(_Entry)


def described(devices: Any, url: str, path: str, last: datetime) -> AuditLog:
    """Return what the audit devices are, from the answer of ``sys/audit``, and what they leave out."""
    try:
        listed = devices.get("data") if isinstance(devices, dict) else None
        found = msgspec.convert(listed, dict[str, _Device])
    except msgspec.ValidationError:
        raise KeyStoreUnavailable("Vault's list of audit devices could not be read.") from None
    filtered = [name for name, each in found.items() if {"filter", "exclude"} & {*(each.options or {})}]
    gaps = [f"The audit device {name[:80]} leaves out what its filter says." for name in sorted(filtered)]
    return AuditLog(
        source=f"{', '.join(sorted(found)) or 'no audit device'} of {url}, read from {path}",
        on=bool(found),
        gaps=() if len(filtered) < len(found) else tuple(gaps),
        complete_until=last,
    )


def signed_by(path: Path, mount: str, since: datetime, until: datetime) -> tuple[Counter[str], datetime]:
    """Return how often each key, by name, signed from ``since`` on and before ``until``, and the last entry's time.

    Misused if the file cannot be read, is too large or is none of an audit device.
    """
    counted, last = Counter[str](), None
    prefix = f"{mount}/sign/"
    try:
        with path.open("rb") as file:
            for line in _lines(file, path):
                entry = _entry(line, path)
                last = entry.time
                if (
                    entry.type == "response"
                    and entry.error in (None, "")
                    and entry.request.operation == "update"
                    and entry.request.path.startswith(prefix)
                    and since <= entry.time < until
                ):
                    name = entry.request.path.removeprefix(prefix).partition("/")[0]
                    counted[name] += _uses(entry.response)
    except OSError as error:
        raise Misused(f"The audit file {path} cannot be read: {error.strerror}.") from None
    if last is None:
        raise Misused(f"The audit file {path} has no entry.", hint="look at the audit device that writes it")
    return counted, last


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    octets = 0
    while line := file.readline(_MAX_LINE + 1):
        octets += len(line)
        if len(line) > _MAX_LINE or octets > MAX_FILE_OCTETS:
            raise Misused(f"The audit file {path} is longer than is read here.", hint="rotate it, daily or by size")
        if line.endswith(b"\n"):  # the last one may be half written
            yield line


def _entry(line: bytes, path: Path) -> _Entry:
    try:
        return _entries.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Misused(f"{path} is no file of an audit device of Vault in JSON.") from None


def _uses(response: _Response | None) -> int:
    results = response.data.batch_results if response is not None and response.data is not None else None
    return 1 if results is None else len(results)
