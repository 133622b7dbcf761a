"""Starts one guarded process: ``python -m privyseal.strongroom.run signer --config F --socket S --ready-fd N``.

It writes ``ready`` and a newline to the descriptor once it accepts questions, then closes it. SIGTERM and
SIGINT let nobody in any more, finish what was asked, and end with 0. With ``--lifeline-fd`` it does the same
when the other end of that pipe is closed, so that it does not outlive the process that started it. Exit 2:
wrong configuration; 8: it could not start, or it lost a file to a failing disk, and what is true is what the
next start reads.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from privyseal.errors import Misused, PrivySealError
from privyseal.strongroom.confinement import confine
from privyseal.strongroom.door import Door
from privyseal.strongroom.durable import lock_room
from privyseal.strongroom.hardening import harden
from privyseal.strongroom.messages import Answer, Question, StamperState
from privyseal.strongroom.rooms import HEALTH, ROOMS, Built, nursery_for, territory

DRAIN_SECONDS = 30.0
"""How long what was asked may take to finish; systemd waits 90 s before it kills."""
SWITCH_SECONDS = 0.0005
"""A thread that needs the interpreter for microseconds waits at most this long for one that computes; Python's
5 ms starves
short signatures (P-256 falls from 36,000 to 1,100 a second beside one busy thread)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process that the arguments name until it is told to end; return the exit code."""
    parser = argparse.ArgumentParser(prog="privyseal.strongroom.run", description="Start one guarded process.")
    parser.add_argument("which", choices=sorted(ROOMS))
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--lifeline-fd", type=int)
    asked = parser.parse_args(arguments)
    try:
        return _run(asked)
    except PrivySealError as error:
        _note(asked.which, str(error))
        return error.exit
    except OSError as error:  # a file or directory of the room that cannot be used
        _note(asked.which, f"{error.filename or asked.config}: {error.strerror}.")
        return Misused.exit


def _run(asked: argparse.Namespace) -> int:
    harden()
    os.umask(0o022 if asked.which == "logger" else 0o077)  # only tiles and checkpoint are for everybody
    sys.setswitchinterval(SWITCH_SECONDS)
    if not asked.config.is_file():
        raise Misused(f"There are no settings at {asked.config}.", hint="privyseal init makes them")
    config = asked.config.resolve()
    nursery = nursery_for(asked.which, config)  # it forks workers and signals them, which we cannot once confined
    confine(territory(asked.which, config), asked.socket.absolute().parent)  # before there is any other thread
    lock = lock_room(config.parent)
    try:
        more = {} if nursery is None else {"nursery": nursery}
        built = ROOMS[asked.which](config, clock, lambda line: _note(asked.which, line), **more)
        try:
            _look(asked.which, built)
            return _answer(asked, built)
        finally:
            built.room.close()
    finally:
        os.close(lock)


def _look(which: str, built: Built) -> None:
    """Ask the room how it is before anybody else does, and say so where it is unwell; it then answers with refusals."""
    try:
        state = built.room.handle(HEALTH[which])
        if isinstance(state, StamperState) and not state.ready:
            _note(which, state.why)
    except PrivySealError as error:
        _note(which, str(error))


def _answer(asked: argparse.Namespace, built: Built) -> int:
    room = built.room

    def handle(question: Question) -> Answer:
        try:
            return room.handle(question)
        finally:
            if room.lost:
                door.stop()

    door = Door(asked.socket, handle, admitted=built.admitted, note=lambda line: _note(asked.which, line))
    door.open()
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
    print(f"privyseal {which}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
