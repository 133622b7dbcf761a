"""The guarded processes as children: started, waited for, started again when one dies, ended with us."""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from privyseal.config import Sockets
from privyseal.errors import Unavailable
from privyseal.telemetry import Facts, tell

Room = Literal["logger", "signer", "stamper", "standby", "issuer"]
"""A guarded process, by what it is called everywhere: its folder, its socket, its lines in the log."""
ROOMS: tuple[Room, ...] = ("logger", "signer", "stamper")
"""What every service has, in the order in which they are started; ``standby`` is a further logger, which a node may run
besides or instead, and ``issuer`` the CA of a rehearsal, which is started when it is first asked."""

START_LIMIT = 60.0
"""Seconds a process may take until it answers; the signer spends most on Argon2id, well under one."""
DRAIN_LIMIT = 20.0
"""Seconds a process may take to end after SIGTERM before it is killed; systemd's own limit is 90."""
RESTART_PAUSE = 0.5
"""Seconds between the death of a process and its next start, so that one that cannot start does not spin."""

_LONGEST_SOCKET_PATH = 100
"""Octets; ``sun_path`` holds 108 on Linux (unix(7)), and the longest name under the folder takes 13."""


def settings_of(directory: Path, room: Room) -> Path:
    """Return where a process's own configuration is in a service's directory."""
    return directory / room / f"{room}.toml"


class Processes:
    """The guarded processes of one service directory, kept running by a thread of this process."""

    def __init__(
        self,
        directory: Path,
        rooms: tuple[Room, ...] = ROOMS,
        arguments: Sequence[str] = (),
        standby: str | None = None,
    ) -> None:
        """Prepare to start ``rooms`` for the service in ``directory``, each with ``arguments`` besides its own.

        ``standby`` is the folder of a further logger that is to be started too.
        """
        rooms = (*rooms, "standby") if standby is not None else rooms
        self._standby = standby
        self._arguments = tuple(arguments)
        self._directory = directory.resolve()
        self._rooms = rooms
        self._children: dict[Room, subprocess.Popen[bytes]] = {}
        self._ending = threading.Event()
        # Nothing is ever written to this pipe. Its writing end closes with us, however we end, and each guarded process
        # watches the other: none outlives a killed ``serve`` with keys in its memory.
        self._held, self._lifeline = os.pipe()
        self._folder, self._temporary = _socket_folder(self._directory)
        self.sockets = Sockets.under(self._folder, standby)
        self._watcher = threading.Thread(target=self._watch, name="processes", daemon=True)
        self._restarts: dict[Room, int] = dict.fromkeys(rooms, 0)
        self._summoning = threading.Lock()

    def __enter__(self) -> Processes:
        """Start every process and wait until each answers; end them all again if one does not."""
        try:
            starting = [(room, self._spawn(room)) for room in self._rooms]
            for room, ready in starting:
                self._wait_ready(room, ready)
        except BaseException:
            self._end()
            raise
        self._watcher.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End every process: SIGTERM, which drains, then SIGKILL."""
        self._end()

    def summon(self, room: Room) -> None:
        """Start a process that is not always there, where nobody has yet; from then on it is kept running."""
        with self._summoning:
            if room in self._children or self._ending.is_set():
                return
            self._restarts[room] = 0
            ready = self._spawn(room)
            self._wait_ready(room, ready)

    @property
    def restarts(self) -> int:
        """Count how often any process was started anew."""
        return sum(self._restarts.values())

    def children(self) -> dict[str, tuple[int, int]]:
        """Return the pid of each process, and how often it was started anew."""
        return {room: (child.pid, self._restarts[room]) for room, child in list(self._children.items())}

    def _spawn(self, room: Room) -> int:
        ready, say = os.pipe()
        which, config = room, settings_of(self._directory, room)
        if room == "standby":
            which, config = "logger", self._directory / str(self._standby) / "logger.toml"
        command = [sys.executable, "-m", "privyseal.strongroom.run", which]
        command += ["--config", str(config), "--socket", str(getattr(self.sockets, room))]
        command += ["--ready-fd", str(say), "--lifeline-fd", str(self._held), *self._arguments]
        try:
            # In a session of its own: Ctrl-C on the terminal reaches a whole group, and only we decide when these end.
            self._children[room] = subprocess.Popen(
                command, pass_fds=(say, self._held), stdin=subprocess.DEVNULL, start_new_session=True
            )
        finally:
            os.close(say)
        return ready

    def _wait_ready(self, room: Room, ready: int) -> None:
        until = time.monotonic() + START_LIMIT
        try:
            while time.monotonic() < until:
                if select.select([ready], [], [], 0.1)[0]:
                    if os.read(ready, 1):
                        return
                    break
                if self._children[room].poll() is not None:
                    break
        finally:
            os.close(ready)
        raise Unavailable(f"The {room} process did not start.", hint="what it printed above says why")

    def _watch(self) -> None:
        while not self._ending.wait(RESTART_PAUSE):
            for room, child in list(self._children.items()):
                if child.poll() is None or self._ending.is_set():
                    continue
                detail = f"the {room} process ended ({child.returncode}); starting it again"
                tell("restart", Facts(room=room, detail=detail), logging.WARNING)
                self._restarts[room] += 1
                try:
                    self._wait_ready(room, self._spawn(room))
                except (Unavailable, OSError) as error:
                    detail = error.detail if isinstance(error, Unavailable) else str(error.strerror)
                    tell("restart failed", Facts(room=room, detail=detail), logging.ERROR)

    def _end(self) -> None:
        self._ending.set()
        if self._watcher.is_alive() and self._watcher is not threading.current_thread():
            self._watcher.join(START_LIMIT)
        children = list(self._children.values())  # one that is being summoned now ends by its lifeline
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        until = time.monotonic() + DRAIN_LIMIT
        for child in children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for end in (self._held, self._lifeline):
            os.close(end)
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)


def _socket_folder(directory: Path) -> tuple[Path, bool]:
    """Return a folder for the sockets, 0700, and whether it is temporary because ``directory``'s path is too long."""
    folder = directory / "run"
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET_PATH - 13:
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder, False
    return Path(tempfile.mkdtemp(prefix="privyseal-")), True
