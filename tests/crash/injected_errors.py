"""System calls of the real logger and the real signer fail, one at a time: EIO, ENOSPC, EINTR.

``strace`` is put on the running process, lets the nth call of one kind fail while a client asks, and is taken off
again. Which calls there are is not supposed but seen: a first session is only watched.
``python -m tests.crash.injected_errors [FIRST]`` does all of them, or those from one on.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.invariants import Outsider
from tests.crash.real_rooms import ROOMS, UNSAID, RealRooms, Room, place_of
from tests.world import found

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "openat", "ftruncate", "unlink", "mkdir")
ERRORS = ("EIO", "ENOSPC", "EINTR")
SYNCS = ("fsync", "fdatasync")
_TRACED = re.compile(r"^(\d+) +(\w+)\(", re.MULTILINE)
LOST = 8
"""The exit code of a process that lost a file to a failing disk (``strongroom/run.py``)."""


@dataclass(frozen=True)
class Injection:
    """The nth call of one kind, of each thread of one process, fails with an error."""

    room: Room
    call: str
    error: str
    nth: int


@dataclass
class Figures:
    """What was made to fail, and what came of it."""

    injections: int = 0
    missed: int = 0
    by: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    answers: int = 0

    def __str__(self) -> str:
        return (
            f"{self.injections} injections {dict(sorted(self.by.items()))}, {self.missed} not reached; ended: "
            f"{dict(sorted(self.exits.items()))}; {self.answers} answers held, nothing lost"
        )


@contextmanager
def strace(pid: int, output: Path, *options: str) -> Iterator[None]:
    """Have a running process traced until the block ends."""
    output.unlink(missing_ok=True)
    command = ["strace", "-f", "-o", str(output), "-p", str(pid), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        line = tracer.stderr.readline()
        assert "attached" in line, line
        time.sleep(0.05)  # the other threads' turn
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(60)
        except subprocess.TimeoutExpired:  # a thread it wants to let go of waits for the disk; the kernel lets it go
            tracer.kill()
            tracer.wait()
        tracer.stderr.close()


def watched(world: RealRooms, folder: Path) -> list[Injection]:
    """Watch a session and return every call that can fail in it, in each way."""
    wanted = []
    for room in ROOMS:
        output = folder / "watched"
        with strace(world.processes[room].popen.pid, output, "-e", f"trace={','.join(CALLS)}"):
            assert world.session().given
        counts: dict[str, int] = {}
        for (_, call), count in Counter(_TRACED.findall(output.read_text(errors="replace"))).items():
            counts[call] = max(count, counts.get(call, 0))
        wanted += [
            Injection(room, call, error, nth)
            for call, count in sorted(counts.items())
            for error in ERRORS
            for nth in range(1, count + 1)
        ]
    return wanted


def campaign(folder: Path, injections: int | None, seed: int = 1, first: int = 1) -> Figures:
    """Let so many calls fail, all from the ``first`` on if None; AssertionError where a promise is broken."""
    founded = found(folder / "founded")
    world = place_of(founded, folder, "world")
    try:
        assert world.session().given
        wanted = watched(world, folder)
        if injections is not None:
            wanted = _sample(wanted, injections, seed)
        figures = Figures()
        for number, injection in enumerate(wanted[first - 1 :], start=first):
            _suffer(world, injection, folder, figures)
            print(f"{number} of {len(wanted)}: {injection}", file=sys.stderr, flush=True)
        world.check()
        figures.answers = sum(len(ledger.given) for ledger in world.ledgers)
    finally:
        world.stop()
    outsider = Outsider(world.directory)
    assert outsider.check([]) > 0
    return figures


def _sample(wanted: list[Injection], count: int, seed: int) -> list[Injection]:
    """Choose some, and among them every call of every process with EIO."""
    chance = random.Random(seed)
    chance.shuffle(wanted)
    first: dict[tuple[str, str], Injection] = {}
    for each in wanted:
        if each.error == "EIO":
            first.setdefault((each.room, each.call), each)
    rest = [each for each in wanted if each not in first.values()]
    return (list(first.values()) + rest)[:count]


def _suffer(world: RealRooms, injection: Injection, folder: Path, figures: Figures) -> None:
    """Let one call fail, and everybody be served and satisfied after it."""
    output = folder / "injected"
    room = injection.room
    inject = f"inject={injection.call}:error={injection.error}:when={injection.nth}"
    with strace(world.processes[room].popen.pid, output, "-e", f"trace={injection.call}", "-e", inject):
        client = world.session()
    reached = "(INJECTED)" in output.read_text(errors="replace")
    ended = world.revive()
    figures.injections += reached
    figures.missed += not reached
    figures.by[f"{injection.call} {injection.error}"] += reached
    for code in ended:
        assert code == LOST, f"{injection}: the process ended with {code}: {world.said()[-2000:]}"
        figures.exits[f"{room} {injection.call} {injection.error}"] += 1
    if reached and injection.call in SYNCS and injection.error == "EIO" and not client.given:
        # Where the client was served, every commit was synced: it was SQLite's checkpoint of a full WAL, which nobody
        # waits for and which is done again, from the WAL that stays (sqlite3_wal_autocheckpoint).
        assert ended, f"{injection}: a sync failed and the process goes on"
    world.insist()
    assert client.given, f"{injection}: a client is not served any more: {world.said()[-2000:]}"
    world.check()
    assert not [word for word in UNSAID if word in world.said()], f"{injection}: {world.said()[-3000:]}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="strace-") as name:
        print(campaign(Path(name), None, first=int(sys.argv[1]) if len(sys.argv) > 1 else 1))
