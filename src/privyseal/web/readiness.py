"""Whether the service could sign now, and which part could not and why: for ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import functools
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from privyseal.errors import PrivySealError, Unavailable
from privyseal.records import schema
from privyseal.scanning.protocol import Scanner, Standing
from privyseal.signing.instance import PrivySeal

LEAST_FREE = 256 << 20
"""Octets that must be free where the service writes, where its configuration does not say."""

REMEMBERED_S = 5.0
"""Seconds for which a scanner that could be used counts as usable; one that could not is asked again."""


class Look(msgspec.Struct, frozen=True):
    """What was found when every part was asked once."""

    missing: dict[str, str]
    """A sentence for each part that is not ready, by its name."""
    states: dict[str, object]
    """What each guarded process said of itself, by its name; the newest kinds of state are as welcome as the old."""
    seconds: dict[str, float]
    """How long each part took to answer."""
    at: float
    """When, on the monotonic clock."""

    def require(self) -> None:
        """Raise Unavailable with one sentence that names every part that is not ready."""
        if self.missing:
            said = " ".join(f"{part}: {why}" for part, why in self.missing.items())
            raise Unavailable(f"Not ready. {said}", hint="privyseal doctor looks closer")


class Readiness:
    """Asks the parts of one service, one after the other, in whatever thread it is called in."""

    def __init__(self, seal: PrivySeal, directories: Mapping[str, Path], least_free: int = LEAST_FREE) -> None:
        """Ask the parts of ``seal``; in each of ``directories`` at least ``least_free`` octets must be free."""
        self._seal = seal
        self.directories = dict(directories)
        self._least_free = least_free
        self._said: dict[str, tuple[float, Standing]] = {}
        self.asking = ""
        """The part that is being asked, for whoever cannot wait for its answer."""

    def look(self) -> Look:
        """Ask every part once; what is wrong with one does not hide the others."""
        missing: dict[str, str] = {}
        states: dict[str, object] = {}
        seconds: dict[str, float] = {}
        parts: dict[str, Callable[[], object]] = {
            "records": self._records_take_writes,
            "logger": self._seal.logger.health,
            "signer": self._seal.signer.health,
            "stamper": self._seal.stamper.health,
            "disk": self._there_is_room,
        }
        if self._seal.timestampers.elsewhere:
            parts["timestamps"] = self._seal.timestampers.require_open
        premises = self._seal.premises
        for scanner in () if premises is None else premises.scanners:
            parts[f"scanner {scanner.name}"] = functools.partial(self._standing, scanner)
        for part, question in parts.items():
            began, self.asking = time.monotonic(), part
            try:
                state = question()
            except PrivySealError as error:
                missing[part] = error.detail
            else:
                if state is not None:
                    states[part] = state
                    if why := _complaint(part, state):
                        missing[part] = why
            seconds[part] = time.monotonic() - began
        self.asking = ""
        return Look(missing, states, seconds, time.monotonic())

    def _standing(self, scanner: Scanner) -> Standing:
        """Ask a scanner how it is, or remember what it said just now: some start a program each time they are asked."""
        at, known = self._said.get(scanner.name, (-math.inf, None))
        if known is None or time.monotonic() - at > REMEMBERED_S:
            self._said.pop(scanner.name, None)
            known = scanner.standing(self._seal.clock())
            self._said[scanner.name] = time.monotonic(), known
        return known

    def _records_take_writes(self) -> None:
        schema.require_fit(self._seal.records)
        with self._seal.records.batch() as batch:
            connection = batch.across_subscribers()
            if connection.dialect.name == "sqlite":
                # Changes nothing, so nothing is synced; but it needs the writers' lock, and a disk that takes writes.
                connection.exec_driver_sql("UPDATE subscribers SET name = name WHERE 1 = 0")
            connection.exec_driver_sql("SELECT 1 FROM subscribers LIMIT 1").first()
            if connection.dialect.name == "postgresql":
                standby = connection.exec_driver_sql("SELECT current_setting('transaction_read_only')").scalar()
                if standby == "on":
                    raise Unavailable("The database is read-only; it may be a standby.")
        self._seal.require_memory()

    def _there_is_room(self) -> None:
        for directory in self.directories.values():
            try:
                free = shutil.disk_usage(directory).free
            except OSError as error:
                raise Unavailable(f"{directory} cannot be looked at: {error.strerror}.") from error
            if free < self._least_free:
                raise Unavailable(
                    f"Only {free >> 20} MiB are free in {directory}; at least {self._least_free >> 20} were expected."
                )


def _complaint(part: str, state: object) -> str:
    """Return why a process that answered is not ready by its own word; empty where it is.

    Read by the names of fields, so that a part which says more about itself one day is understood today.
    """
    if getattr(state, "ready", True) is False:
        return str(getattr(state, "why", "")) or "It says that it is not ready."
    if part == "signer" and getattr(state, "keys", None) == 0:
        return "It holds no key."
    tokens = getattr(state, "tokens", ())
    served = {each.pool for each in tokens if each.pool and each.state == "usable"}
    away = [each for each in tokens if each.keys and each.state != "usable" and each.pool not in served]
    return " ".join(f"Token {each.name}, {_keys(each.keys)}: {each.why}" for each in away)


def _keys(count: int) -> str:
    return "which holds one key" if count == 1 else f"which holds {count} keys"
