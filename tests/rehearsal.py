"""A real rehearsal service on loopback: its own processes, its own directory, ended with the tests."""

from __future__ import annotations

import atexit
import functools
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import readied

from privyseal.cli import main

PRIVYSEAL = str(Path(sys.executable).with_name("privyseal"))

OFFLINE = ("verify", "inspect")
"""Commands that talk to no service, and so take no ``--url``."""

START_LIMIT = 120.0
"""Seconds until a service must say that it is ready, on a machine that is busy with other tests."""


def program() -> str:
    """Return the path of a ``privyseal`` that starts at once where its locale is C.UTF-8 (``readied.py``)."""
    return str(readied.bin_folder() / "privyseal")


def run_here(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run ``privyseal`` with these arguments in the environment of the tests, and return what it said."""
    command = [program(), *map(str, arguments)]
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=environment)


class Rehearsal:
    """One running service and how to talk to it."""

    def __init__(self, directory: Path, url: str, process: subprocess.Popen[bytes]) -> None:
        """Remember where it is and which process it is."""
        self.directory = directory
        self.url = url
        self.process = process

    @property
    def profile(self) -> Path:
        """Path of the client profile that ``init`` wrote."""
        return self.directory / "client.toml"

    def environment(self) -> dict[str, str]:
        """Return an environment for commands: nobody's configuration but this service's url."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PRIVYSEAL_")}
        where = {"HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory), "LC_ALL": "C.UTF-8"}
        return kept | where | {"PRIVYSEAL_URL": self.url}

    def run(
        self, *arguments: str | Path, profile: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run ``privyseal`` with these arguments and this service's profile, and return what it said."""
        given = [str(each) for each in arguments]
        if profile:
            given += ["--profile", str(self.profile)]
            given += [] if given[0] in OFFLINE else ["--url", self.url]
        return subprocess.run(
            [program(), *given],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment(),
            check=False,
        )


PLAIN = frozenset({"--scheme", "ecdsa-p256", "rsa-3072"})
"""What may be asked of a service that needs nothing outside its directory, and so can be copied."""


def initialise(directory: Path, *more: str) -> None:
    """Make a rehearsal service in ``directory``: a plain one is a copy of the first that this process of tests made."""
    if set(more) <= PLAIN:
        shutil.copytree(_plain(more), directory, dirs_exist_ok=True)
    else:
        _initialise(directory, *more)


@functools.cache
def _plain(more: tuple[str, ...]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="plain-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _initialise(folder / "seal", *more)
    return folder / "seal"


def _initialise(directory: Path, *more: str) -> None:
    """Run ``privyseal init`` in this process, which has imported it and has keys for rehearsal CAs in stock."""
    assert main.run(["init", "--dir", str(directory), "--rehearsal", *more]) == 0


@contextmanager
def serving(directory: Path, *more: str, real: bool = False) -> Iterator[Rehearsal]:
    """Run ``privyseal serve`` on a free port of loopback until the block ends."""
    process = start(directory, *more, real=real)
    try:
        yield Rehearsal(directory, wait_ready(process), process)
    finally:
        stop(process)


def start(directory: Path, *more: str, real: bool = False) -> subprocess.Popen[bytes]:
    """Start ``privyseal serve`` without waiting for it.

    Unless it is the ``real`` program, what is returned is a small one that hands signals on (``readied.py``): it is not
    to be killed or stopped, and nothing is learnt from its process.
    """
    command = [PRIVYSEAL if real else program(), "serve", "--dir", str(directory), "--bind", "127.0.0.1:0", *more]
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment)


def wait_ready(process: subprocess.Popen[bytes]) -> str:
    """Wait for the one line ``ready URL`` and return the URL."""
    assert process.stdout is not None
    until, said = time.monotonic() + START_LIMIT, b""
    while b"\n" not in said and time.monotonic() < until and process.poll() is None:
        if select.select([process.stdout], [], [], 0.2)[0]:
            said += os.read(process.stdout.fileno(), 4096)
    assert said.startswith(b"ready http"), f"serve said {said!r} and its exit code is {process.poll()}"
    return said.split()[1].decode()


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask the service to drain and wait for its end; return its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return code
