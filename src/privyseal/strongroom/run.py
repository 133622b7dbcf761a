"""Starts one guarded process: ``python -m privyseal.strongroom.run signer --config F --socket S --ready-fd N``.

It writes ``ready`` and a newline to the descriptor once it accepts questions, then closes it. SIGTERM and
SIGINT let nobody in any more, finish what was asked, and end with 0. With ``--lifeline-fd`` it does the same
when the other end of that pipe is closed, so that it does not outlive the process that started it. Exit 2:
wrong configuration; 8: it could not start, or it lost a file to a failing disk, and what is true is what the
next start reads.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from privyseal import telemetry
from privyseal.errors import Misused, PrivySealError
from privyseal.strongroom.confinement import confine
from privyseal.strongroom.door import Door
from privyseal.strongroom.durable import lock_room
from privyseal.strongroom.hardening import harden
from privyseal.strongroom.messages import Answer, Question
from privyseal.strongroom.messages_of_stamps import StamperState
from privyseal.strongroom.rooms import HEALTH, ROOMS, SUMMONED, Built, needs, nursery_for, ports, servers_for, territory
from privyseal.strongroom.seccomp import Needs, restrict, settle
from privyseal.terms.learnt import learn_types

DRAIN_SECONDS = 30.0
"""How long what was asked may take to finish; systemd waits 90 s before it kills."""
SWITCH_SECONDS = 0.0005
"""A thread that needs the interpreter for microseconds waits at most this long for one that computes; Python's
5 ms starves
short signatures (P-256 falls from 36,000 to 1,100 a second beside one busy thread)."""

YOUNG = 50_000
"""Objects that may be made before one looks for garbage among them: as ``serve`` does (``cli/lifetime.py``)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process that the arguments name until it is told to end; return the exit code."""
    parser = argparse.ArgumentParser(prog="privyseal.strongroom.run", description="Start one guarded process.")
    parser.add_argument("which", choices=sorted(ROOMS | SUMMONED))
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--lifeline-fd", type=int)
    parser.add_argument("--log", choices=("json", "text"))
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="warning")
    asked = parser.parse_args(arguments)
    telemetry.set_up(asked.which, asked.log, asked.log_level)
    try:
        return _run(asked)
    except PrivySealError as error:
        _note(asked.which, str(error))
        return error.exit
    except OSError as error:  # a file or directory of the room that cannot be used
        _note(asked.which, f"{error.filename or asked.config}: {error.strerror}.")
        return Misused.exit


def _run(asked: argparse.Namespace) -> int:
    locked = harden()
    os.umask(0o022 if asked.which == "logger" else 0o077)  # only tiles and checkpoint are for everybody
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(YOUNG)
    if not asked.config.is_file():
        raise Misused(f"There are no settings at {asked.config}.", hint="privyseal init makes them")
    config = asked.config.resolve()
    learn_types()
    nursery = nursery_for(asked.which, config)  # it forks workers and signals them, which we cannot once confined
    servers = servers_for(asked.which, config)  # another process, for the same reason
    wants, calls = needs(asked.which, config), ports(asked.which, config)
    sandbox = _shut_in(territory(asked.which, config), asked.socket.absolute().parent, wants, calls, locked)
    lock = lock_room(config.parent)
    try:
        more: dict[str, Any] = {} if nursery is None else {"nursery": nursery}
        more |= {} if servers is None else {"servers": servers}
        built = (ROOMS | SUMMONED)[asked.which](config, clock, lambda line: _note(asked.which, line), **more)
        learn_types()  # what the room has brought along, such as the formats; nobody asks it yet
        try:
            _look(asked.which, built)
            return _answer(asked, built, sandbox, wants)
        finally:
            built.room.close()
    finally:
        if servers is not None:
            servers.close()
        os.close(lock)


def _shut_in(rooms: set[Path], sockets: Path, wants: Needs, calls: tuple[int, ...], locked: bool) -> str:
    """Take away what this process does not need, before there is any other thread; return what is in force, in words.

    What the kernel does not have is left to the unit or container, and said.
    """
    landlock = confine(rooms, sockets, calls)
    seccomp = restrict(wants)
    return ", ".join(
        (
            f"landlock {landlock}" if landlock else "NO landlock",
            "seccomp" if seccomp else "NO seccomp",
            "memory locked" if locked else "memory NOT locked (RLIMIT_MEMLOCK)",
            "no core dumps",
        )
    )


def _look(which: str, built: Built) -> None:
    """Ask the room how it is before anybody else does, and say so where it is unwell; it then answers with refusals."""
    try:
        state = built.room.handle(HEALTH[which])
        if isinstance(state, StamperState) and not state.ready:
            _note(which, state.why)
    except PrivySealError as error:
        _note(which, str(error))


def _answer(asked: argparse.Namespace, built: Built, sandbox: str, wants: Needs) -> int:
    room = built.room

    def handle(question: Question) -> Answer:
        try:
            return room.handle(question)
        finally:
            if room.lost:
                door.stop()

    def note(line: str) -> None:
        _note(asked.which, line)
        with suppress(PrivySealError):  # a room that cannot write is lost by its next question at the latest
            built.noted(line)

    door = Door(asked.socket, handle, admitted=built.admitted, note=note)
    door.open()
    settle(wants)
    _note(asked.which, f"ready; {sandbox}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: door.stop())
    if asked.lifeline_fd is not None:
        threading.Thread(target=_hold, args=(asked.lifeline_fd, door.stop), daemon=True).start()
    if asked.ready_fd is not None:
        os.write(asked.ready_fd, b"ready\n")
        os.close(asked.ready_fd)
    door.serve()
    drained = door.drain(DRAIN_SECONDS)
    if not drained:
        _note(asked.which, f"conversations were still going after {DRAIN_SECONDS:.0f} s and were cut off")
    door.dispose()
    if room.lost:
        _note(asked.which, "a file was lost to a failing disk; this process ends so that the next one reads it anew")
        return 8
    return 0


def _hold(lifeline: int, stop: Callable[[], None]) -> None:
    while os.read(lifeline, 1):
        pass
    stop()


def clock() -> datetime:
    """Return the time of day, UTC: the one place where a guarded process reads a clock."""
    return datetime.now(UTC)


def _note(which: str, line: str) -> None:
    """Say something to whoever keeps the process's standard error."""
    telemetry.tell("note", telemetry.Facts(room=which, detail=line), logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
