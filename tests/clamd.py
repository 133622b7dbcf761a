"""A real clamd for tests: its own configuration, signatures of ours (others cannot be had offline), a Unix socket."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from privyseal.scanning.clamav import ClamavSection

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The test file that every scanner is to find (eicar.org); in two parts, so that this file is not one."""

EICAR_NAME = "Seal.Test.EICAR.UNOFFICIAL"
"""What our clamd calls it; it adds the last word to every signature that is not its makers'."""

START_LIMIT = 60.0
"""Seconds until clamd must answer, on a machine that is busy with other tests."""


class Clamd:
    """One running clamd in a folder of its own."""

    def __init__(self, folder: Path, *settings: str) -> None:
        """Write its configuration; ``settings`` are lines that come first, and so count."""
        self.socket = folder / "clamd.sock"
        database = folder / "signatures"
        database.mkdir()
        (database / "seal.ndb").write_text(f"Seal.Test.EICAR:0:*:{EICAR.hex()}\n")
        whole = hashlib.sha256(b"evil2" * 9).hexdigest()
        (database / "seal.hsb").write_text(f"{whole}:45:Seal.Test.Whole\n")
        self.configuration = folder / "clamd.conf"
        lines = [*settings, f"LocalSocket {self.socket}", f"DatabaseDirectory {database}", "Foreground yes"]
        named = {line.split()[0] for line in lines}
        defaults = ["AlertExceedsMax yes", "StreamMaxLength 8M", "MaxFileSize 8M", "MaxThreads 4"]
        lines += [line for line in defaults if line.split()[0] not in named]
        lines += ["User root"] if os.geteuid() == 0 else []
        self.configuration.write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["/usr/sbin/clamd", "--config-file", str(self.configuration)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_LIMIT
        while not self._answers():
            assert self.process.poll() is None, "clamd ended by itself"
            assert time.monotonic() < until, "clamd does not answer"
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGKILL) -> None:
        """End it, and wait for that."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(5)
            connection.connect(str(self.socket))
            connection.sendall(b"zPING\0")
            return connection.recv(16) == b"PONG\0"
        return False

    def section(self, **changes: object) -> ClamavSection:
        """Return settings for it; our signatures have no official age, so none is asked for unless ``changes`` do."""
        plain: dict[str, object] = {"address": str(self.socket), "seconds": 20.0, "oldest_database_days": 0}
        return ClamavSection(**(plain | changes))  # type: ignore[arg-type]


@contextmanager
def running(*settings: str) -> Iterator[Clamd]:
    """Run a clamd until the block ends; its folder has a short name, for that of a socket is bounded."""
    folder = Path(tempfile.mkdtemp(prefix="clamd-"))
    made = Clamd(folder, *settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@contextmanager
def imposter(answer: Callable[[socket.socket, bytes], None]) -> Iterator[Path]:
    """Listen like clamd does; ``answer`` gets each connection and the command, ``zVERSION`` or ``zINSTREAM``."""
    folder = Path(tempfile.mkdtemp(prefix="clamd-"))
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(16)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    command = b""
                    while not command.endswith(b"\0"):
                        command += connection.recv(1)
                    answer(connection, command[:-1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            shutil.rmtree(folder)


def drain(connection: socket.socket) -> int:
    """Read a stream to its end as clamd does, and return how many octets it had."""
    count = 0
    while size := int.from_bytes(_exactly(connection, 4), "big"):
        _exactly(connection, size)
        count += size
    return count


def _exactly(connection: socket.socket, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        more = connection.recv(size - len(octets))
        if not more:
            raise ConnectionError
        octets += more
    return octets
