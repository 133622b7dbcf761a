"""A real chronyd on loopback that touches no clock (``-x``) and needs no rights (``-U``)."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CHRONYD = shutil.which("chronyd") or "/usr/sbin/chronyd"

OFTEN = "iburst minpoll -2 maxpoll -2"
"""Ask four times a second."""


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """Return a port of loopback that is free now."""
    with socket.socket(socket.AF_INET, kind) as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@contextmanager
def chronyd(folder: Path, lines: Sequence[str]) -> Iterator[int]:
    """Run one with these lines in its chrony.conf until the block ends; yields the port at which it tells its state."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    given = [f"cmdport {port}", "bindcmdaddress 127.0.0.1", "bindcmdaddress /", f"pidfile {folder / 'pid'}", *lines]
    (folder / "chrony.conf").write_text("\n".join(given) + "\n")
    command = [CHRONYD, "-4", "-x", "-U", "-d", "-u", getpass.getuser(), "-f", str(folder / "chrony.conf")]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until and not (folder / "pid").exists():
            assert process.poll() is None, (folder / "said").read_text()
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(20)
