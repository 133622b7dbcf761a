"""Real guarded processes, started as ``serve`` starts them."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

READY_SECONDS = 120.0


class Process:
    """One guarded process; its standard error is kept for looking at. ``start`` replaces the module that is run."""

    def __init__(self, which: str, config: Path, socket: Path, *start: str) -> None:
        self.socket = socket
        self.errors = socket.with_suffix(".stderr")
        ready, say_ready = os.pipe()
        hold, self._lifeline = os.pipe()
        command = [sys.executable, *(start or ("-m", "privyseal.strongroom.run")), which, "--config", str(config)]
        command += ["--socket", str(socket), "--ready-fd", str(say_ready), "--lifeline-fd", str(hold)]
        with self.errors.open("ab") as errors:
            self.popen = subprocess.Popen(command, stderr=errors, pass_fds=(say_ready, hold))
        os.close(say_ready)
        os.close(hold)
        self.ready = bool(select.select([ready], [], [], READY_SECONDS)[0]) and os.read(ready, 100) == b"ready\n"
        os.close(ready)

    def kill(self) -> None:
        """End it as a crash does."""
        self.popen.kill()
        self.popen.wait()
        self.forget()

    def terminate(self, seconds: float = 20) -> int:
        """Ask it to end and return its exit code."""
        self.popen.terminate()
        code = self.popen.wait(seconds)
        self.forget()
        return code

    def abandon(self, seconds: float = 20) -> int:
        """End as if its parent had died, and return its exit code."""
        self.forget()
        return self.popen.wait(seconds)

    def forget(self) -> None:
        """Close the lifeline."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def said(self) -> str:
        """Return what it wrote on standard error so far, but for the line on what it is shut in by."""
        lines = self.errors.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if "ready; landlock" not in line)


def wait_until(condition: object, seconds: float = 10.0) -> None:
    """Wait until the condition holds; AssertionError if it does not in time."""
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)
