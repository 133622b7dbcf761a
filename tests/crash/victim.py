"""A real service that is killed again and again: its processes, the page that arms crash points, its homes.

One service suffers a whole campaign, because its state is what the campaign is about: every crash starts from what the
crashes before it left behind.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import psycopg
from tests import postgres
from tests.crash.injection.crash_points import POINTS, Point
from tests.rehearsal import PRIVYSEAL, initialise, wait_ready

INJECTION = Path(__file__).parent / "injection"
PAGE_SIZE, COUNTERS = 16384, 1024
ORDER = struct.Struct("<IIII")
ROOMS = ("logger", "signer", "stamper")
PATIENCE = 120.0
"""Seconds until a killed service must be itself again, on a machine that is busy with other tests."""


Killing = Callable[[], bool]
"""Ends something and lets it come again; False where there was nothing to end at this moment."""


def _in_sqlite(directory: Path) -> AbstractContextManager[Mapping[str, Killing]]:
    initialise(directory, "--scheme", "ecdsa-p256")
    return nullcontext({})


@contextmanager
def _in_postgresql(directory: Path) -> Iterator[Mapping[str, Killing]]:
    """Keep the records in a cluster of our own, for it is killed as well."""
    cluster = postgres.Cluster()
    try:
        made = cluster.database()
        initialise(directory, "--scheme", "ecdsa-p256", "--records", made.url, "--owner", made.owner)
        # Whoever could not give a request back, for the database was away, holds it for a whole lease; a client that
        # meets that three times would have lost its patience with the lease of a minute that services have.
        with (directory / "serve.toml").open("a") as settings:
            settings.write("\n[node]\nlease_seconds = 5\n")
        sessions = "FROM pg_stat_activity WHERE application_name = 'privyseal' ORDER BY random() LIMIT 2"

        def restart() -> bool:
            cluster.end_immediately()
            time.sleep(random.random())
            cluster.start()
            return True

        def terminate() -> bool:
            with made.connect() as connection:
                return bool(connection.execute(f"SELECT pg_terminate_backend(pid) {sessions}").fetchall())

        def kill() -> bool:
            with made.connect() as connection:
                row = connection.execute(f"SELECT pid {sessions}").fetchone()
            if row is None:
                return False
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(int(row[0]), signal.SIGKILL)
            _await(cluster)
            return True

        yield {"postgresql": restart, "a session": terminate, "a backend": kill}
    finally:
        cluster.stop()


def _await(cluster: postgres.Cluster) -> None:
    """Wait until a server that lost a process has thrown all others out and recovered."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return cluster.execute("SELECT 1")
        except psycopg.Error:
            assert time.monotonic() < until, "PostgreSQL does not recover"
            time.sleep(0.02)


HOMES: dict[str, Callable[[Path], AbstractContextManager[Mapping[str, Killing]]]] = {
    "sqlite": _in_sqlite,
    "postgresql": _in_postgresql,
}
"""Where the records live: each makes a service in a directory, keeps what it needs running inside its block, and says
what else there is to kill."""


class Page:
    """The memory that the campaign shares with the service's processes; see ``injection/sitecustomize.py``."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(PAGE_SIZE))
        self.path = path
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), PAGE_SIZE)

    def arm(self, point: Point, nth: int = 1) -> None:
        """Let the process of this point die there at its nth call."""
        self._memory[: ORDER.size] = ORDER.pack(1, POINTS.index(point), nth, 0)

    def disarm(self) -> None:
        """Let nobody die."""
        self._memory[: ORDER.size] = bytes(ORDER.size)

    def fired(self) -> int:
        """Return the pid of the process that died at the armed point, 0 while none has."""
        return int(ORDER.unpack(self._memory[: ORDER.size])[3])

    def reached(self) -> dict[Point, int]:
        """Count how often each point was passed."""
        counters = struct.unpack_from(f"<{len(POINTS)}Q", self._memory, COUNTERS)
        return dict(zip(POINTS, counters, strict=True))


class Victim:
    """A running service, killed and started again under one URL."""

    def __init__(self, directory: Path, page: Page | None = None, others: Mapping[str, Killing] | None = None) -> None:
        self.directory = directory
        self.page = page
        self.others = others or {}
        """What the service stands on and does not start itself, by name, and how each is killed."""
        self.kills = 0
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.errors = directory.with_name(f"{directory.name}.stderr")
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if self.page is not None:
            environment |= {"PYTHONPATH": str(INJECTION), "SEAL_CRASH_PAGE": str(self.page.path)}
        command = [PRIVYSEAL, "serve", "--dir", str(self.directory), "--bind", f"127.0.0.1:{self.port}"]
        with self.errors.open("ab") as errors:
            return subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, env=environment
            )

    def await_ready(self) -> None:
        """Wait until ``serve`` says that it is ready."""
        wait_ready(self.process)

    def rooms(self) -> dict[str, int]:
        """Return the pids of the guarded processes, by name."""
        found = {}
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            children += [
                c
                for each in Path(f"/proc/{self.process.pid}/task").iterdir()
                for c in (each / "children").read_text().split()
            ]
        except OSError:
            return {}
        for child in set(children):
            try:
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"privyseal.strongroom.run" in words:
                found[words[words.index(b"privyseal.strongroom.run") + 1].decode()] = int(child)
        return found

    def kill(self, who: str) -> bool:
        """End ``serve``, a room or what they stand on, as ``kill -9`` does; False if it is not there at this moment."""
        if who in self.others:
            if not self.others[who]():
                return False
        elif who == "serve":
            self.process.kill()
        else:
            pid = self.rooms().get(who)
            if pid is None:
                return False
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return False
        self.kills += 1
        return True

    def revive(self) -> None:
        """Start ``serve`` again if it is gone, and wait until every part answers."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self.process.poll() is not None:
                self._forget()
                self.process = self._start()
                try:
                    self.await_ready()
                except AssertionError:
                    continue
            if self.ready():
                return
            time.sleep(0.03)
        raise AssertionError(f"the service did not recover: {self.said()[-2000:]}")

    def ready(self) -> bool:
        """Tell whether every part answers, and every room is a process."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=20) as answer:
                return answer.status == 200 and set(self.rooms()) >= set(ROOMS)
        except (OSError, urllib.error.URLError):
            return False

    def said(self) -> str:
        """Return what all its processes wrote on standard error."""
        return self.errors.read_text(errors="replace")

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self._forget()

    def fsck(self) -> None:
        """Have ``privyseal log fsck`` look at the log."""
        command = [sys.executable, "-m", "privyseal", "log", "fsck", "--dir", str(self.directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _forget(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def victim(directory: Path, home: str, *, points: bool = False) -> Iterator[Victim]:
    """Found a service whose records live in ``home`` and run it until the block ends."""
    with HOMES[home](directory) as others:
        running = Victim(directory, Page(directory.with_name(f"{directory.name}.page")) if points else None, others)
        try:
            running.await_ready()
            yield running
        finally:
            running.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
