"""What is read at the moment somebody asks for metrics: queues, processes, the log's files, what the parts said."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from privyseal.errors import PrivySealError
from privyseal.timestamp.authorities import Health
from privyseal.tlog.note import cosignature_time, parse_note
from privyseal.web.judged import Judged
from privyseal.web.readiness import Look

MOST_FACTS = 64
"""Numbers that one guarded process may say about itself; a signer with ten tokens has about thirty."""
LARGEST_HEAD = 64 * 1024
"""Octets read of the published checkpoint; a signed note has no more (``tlog.note.MAX_NOTE``)."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Queue(Protocol):
    """A desk at which requests wait."""

    refused: int
    dropped: int

    @property
    def waiting(self) -> int:
        """How many wait."""
        ...

    def expected_wait(self) -> float:
        """How long who comes now would wait, in seconds."""
        ...


class Living(Collector):
    """Collects what has a value only now; whoever builds a part hangs it in here."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self.queues: dict[str, Queue] = {}
        self.children: Callable[[], Mapping[str, tuple[int, int]]] = dict
        """Of each guarded process its pid and how often it was started anew."""
        self.under_way: Callable[[], int] = lambda: 0
        self.connections: Callable[[], int] = lambda: 0
        self.directories: Mapping[str, Path] = {}
        self.public_log: Path | None = None
        self.look: Look | None = None
        self.judged: Judged | None = None
        self.authorities: Callable[[], Sequence[Health]] = tuple
        """How timestamp authorities elsewhere did."""

    def collect(self) -> Iterator[Metric]:
        """Read everything."""
        yield from self._of_queues()
        yield from self._of_children()
        yield from self._of_the_log()
        yield from self._of_the_look()
        yield from self._of_authorities()
        if self.judged is not None:
            yield from self.judged.families()
        yield _one("privyseal_http_requests_under_way", "Requests in handlers.", self.under_way())
        yield _one("privyseal_http_connections", "Connections that are open.", self.connections())
        free = GaugeMetricFamily("privyseal_disk_free_bytes", "Octets free where the service writes.", labels=["of"])
        for name, directory in self.directories.items():
            try:
                free.add_metric([name], shutil.disk_usage(directory).free)
            except OSError:
                continue
        yield free
        # What Python holds, without what its allocators keep for later: a leak of one object a request is seen here.
        blocks = sys.getallocatedblocks()
        yield _one("privyseal_python_allocated_blocks", "Pieces of memory that Python has in use.", blocks)

    def _of_queues(self) -> Iterator[Metric]:
        length = GaugeMetricFamily("privyseal_queue_length", "Items that wait for a thread.", labels=["queue"])
        wait = GaugeMetricFamily(
            "privyseal_queue_expected_wait_seconds", "Seconds until one that comes now would be done.", labels=["queue"]
        )
        refused = CounterMetricFamily("privyseal_queue_refused", "Items refused at once.", labels=["queue"])
        dropped = CounterMetricFamily(
            "privyseal_queue_dropped", "Items dropped: their turn came too late or nobody waited.", labels=["queue"]
        )
        for name, queue in self.queues.items():
            length.add_metric([name], queue.waiting)
            wait.add_metric([name], queue.expected_wait())
            refused.add_metric([name], queue.refused)
            dropped.add_metric([name], queue.dropped)
        yield from (length, wait, refused, dropped)

    def _of_children(self) -> Iterator[Metric]:
        restarts = CounterMetricFamily("privyseal_room_restarts", "Times a process was started anew.", labels=["room"])
        memory = GaugeMetricFamily(
            "privyseal_room_resident_memory_bytes", "Resident memory of a guarded process.", labels=["room"]
        )
        for room, (pid, count) in self.children().items():
            restarts.add_metric([room], count)
            octets = resident(pid)
            if octets is not None:
                memory.add_metric([room], octets)
        yield from (restarts, memory)

    def _of_the_log(self) -> Iterator[Metric]:
        if self.public_log is None or (head := published(self.public_log)) is None:
            return
        size, signed = head
        yield _one("privyseal_log_published_entries", "Entries under the head that everybody can read.", size)
        yield _one("privyseal_log_checkpoint_timestamp_seconds", "When the published head was written.", signed)
        known = getattr(self.look.states.get("logger"), "size", None) if self.look else None
        if isinstance(known, int):
            lag = max(0, known - size)
            yield _one("privyseal_log_unpublished_entries", "Entries of the log without a published head.", lag)
        seen = GaugeMetricFamily(
            "privyseal_log_cosignature_timestamp_seconds",
            "When a witness cosigned the published head, by its own clock.",
            labels=["witness"],
        )
        for witness, cosigned in cosignatures(self.public_log).items():
            seen.add_metric([witness], cosigned)
        yield seen

    def _of_authorities(self) -> Iterator[Metric]:
        """Tell by host: how often each was asked, what came of it, and whether it would be asked now."""
        said = self.authorities()
        if not said:
            return
        about = "privyseal_timestamp_authority"
        would = GaugeMetricFamily(f"{about}_open", "1 where it would be asked now.", labels=["host"])
        asked = CounterMetricFamily(f"{about}_requests", "Requests to it.", labels=["host"])
        stamped = CounterMetricFamily(f"{about}_tokens", "Good tokens of it.", labels=["host"])
        wrong = CounterMetricFamily(f"{about}_disbelieved", "Answers of it that were wrong.", labels=["host"])
        for host in dict.fromkeys(each.host for each in said):
            of_it = [each for each in said if each.host == host]
            would.add_metric([host[:64]], any(each.open for each in of_it))
            asked.add_metric([host[:64]], sum(each.asked for each in of_it))
            stamped.add_metric([host[:64]], sum(each.stamped for each in of_it))
            wrong.add_metric([host[:64]], sum(each.disbelieved for each in of_it))
        yield from (would, asked, stamped, wrong)

    def _of_the_look(self) -> Iterator[Metric]:
        if self.look is None:
            return
        ready = GaugeMetricFamily("privyseal_ready", "1 where a part is ready.", labels=["part"])
        took = GaugeMetricFamily(
            "privyseal_health_duration_seconds", "Seconds a part took to say how it is.", labels=["part"]
        )
        for part, seconds in self.look.seconds.items():
            ready.add_metric([part], part not in self.look.missing)
            took.add_metric([part], seconds)
        state = GaugeMetricFamily(
            "privyseal_room_state", "Numbers that a guarded process says about itself.", labels=["room", "fact"]
        )
        for room, said in self.look.states.items():
            for fact, value in list(numbers(said))[:MOST_FACTS]:
                state.add_metric([room, fact], value)
        tokens = GaugeMetricFamily("privyseal_token_usable", "1 where keys in a token can be used.", labels=["token"])
        for each in getattr(self.look.states.get("signer"), "tokens", ()):
            tokens.add_metric([each.name[:64]], each.state == "usable")
        yield from (ready, took, state, tokens)
        age = time.monotonic() - self.look.at
        yield _one("privyseal_health_age_seconds", "Seconds since every part had answered or refused.", age)


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def numbers(state: object, under: str = "") -> Iterator[tuple[str, float]]:
    """Return every number in what a process says of itself, named by its way to it; a time is seconds since 1970.

    In a list each part is named by its ``name``, ``label`` or ``origin``, else by its place.
    """
    if isinstance(state, bool | int | float):
        yield under or "value", float(state)
    elif isinstance(state, datetime):
        yield under, state.timestamp()
    elif isinstance(state, msgspec.Struct):
        for field in state.__struct_fields__:
            yield from numbers(getattr(state, field), f"{under}.{field}" if under else field)
    elif isinstance(state, tuple | list):
        for place, part in enumerate(state):
            named = next((got for of in _NAMES if isinstance(got := getattr(part, of, None), str)), str(place))
            yield from numbers(part, f"{under}.{named[:64]}")
    elif isinstance(state, dict):
        for name, part in state.items():
            yield from numbers(part, f"{under}.{str(name)[:64]}")


_NAMES = ("name", "label", "origin")


def resident(pid: int) -> int | None:
    """Return the octets a process has in memory (proc(5), statm); None where there is none such, or no such file."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


def published(public_log: Path) -> tuple[int, float] | None:
    """Return the size in the published checkpoint, unverified, and when its file was written; None without one."""
    path = public_log / "checkpoint"
    try:
        with path.open("rb") as file:
            size = file.read(LARGEST_HEAD).split(b"\n")[1]
        return (int(size), path.stat().st_mtime) if size.isdigit() and len(size) < 20 else None
    except (OSError, IndexError):
        return None


def cosignatures(public_log: Path) -> dict[str, int]:
    """Return when each witness cosigned the published checkpoint, unverified, in seconds since 1970 by its name."""
    try:
        with (public_log / "checkpoint").open("rb") as file:
            lines = parse_note(file.read(LARGEST_HEAD)).signatures
    except (OSError, PrivySealError):
        return {}
    return {line.name: time for line in lines if (time := cosignature_time(line.value)) is not None}
