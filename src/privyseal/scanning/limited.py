"""Other programs, run with limits: no shell, no more memory and time than allowed, and nothing left of them afterwards.

Limits are set by a small process that then becomes the program: setting them between fork and exec in a process with
threads may hang. The program has a session of its own, so that whatever it starts ends with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

import msgspec

from privyseal.errors import Unavailable

KEPT = 64 << 10
"""Octets that are kept of what a program says; the rest is read and dropped, so that it does not wait for us."""

LARGEST_WRITTEN = 1 << 30
"""Octets of a file that a program may write, for what it unpacks."""

CANNOT_START = 126
"""Exit code of a program that could not be started, as shells have it; those above are a shell's too."""

_SLICE = 20
"""Milliseconds between two looks at whether the program has ended, while it says nothing."""
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # prctl(2)


class Ran(msgspec.Struct, frozen=True):
    """How a program ended: its exit code, negative for a signal, and the first KEPT octets that it said."""

    code: int
    output: bytes


def run(argv: Sequence[str], *, seconds: float, memory: int) -> Ran:
    """Run a program to its end; Unavailable where it takes too long or nothing can be started.

    ``memory`` is in octets, of each of its processes. Its standard input is empty, and it knows of our environment
    only the path and the language.
    """
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TZ")}
    launcher = [sys.executable, "-I", "-m", "privyseal.scanning.limited", str(memory), str(int(seconds) + 1), *argv]
    try:
        child = subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"No process could be started: {error.strerror}.", hint="safe to run again") from error
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    with child.stdout:
        try:
            output = _heard(child, child.stdout, time.monotonic() + seconds)
        finally:
            # Before it is reaped, while the number of its group is certainly its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            code = child.wait()
    if output is None:
        raise Unavailable(f"{argv[0]} was ended: it took longer than {seconds:.0f} s.", hint="safe to run again")
    return Ran(code, output)


def _heard(child: subprocess.Popen[bytes], said: IO[bytes], until: float) -> bytes | None:
    """Listen until the program ends, which leaves it unreaped; None where it takes too long."""
    kept, fd = bytearray(), said.fileno()
    os.set_blocking(fd, False)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        ended = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        if poll.poll(0 if ended else _SLICE):
            octets = os.read(fd, KEPT)
            kept += octets[: KEPT - len(kept)]
            if octets and time.monotonic() < until and len(kept) < KEPT:
                continue  # there may be more, also of one that has ended
            if not octets and not ended:
                time.sleep(_SLICE / 1000)  # it has closed its output and goes on
        if ended:
            return bytes(kept)
        if time.monotonic() >= until:
            return None


def main() -> None:
    """Become the program that is named, with the limits that come before it: octets of memory, seconds of a core."""
    memory, seconds, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for what, most in (
        (resource.RLIMIT_CORE, 0),  # it would hold somebody's code
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, LARGEST_WRITTEN),
    ):
        resource.setrlimit(what, (most, most))
    os.umask(0o077)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - without a shell, as it should be
    except OSError as error:
        print(f"it cannot be started: {error.strerror}")
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()
