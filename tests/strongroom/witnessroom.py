"""Real witness processes, and stand-ins that lie, for the logger's tests."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from privyseal.strongroom.founding import admit_log, create_witness
from privyseal.strongroom.witnessing import build
from privyseal.tlog.log import Head
from privyseal.tlog.note import parse_vkey

READY_SECONDS = 60.0


def free_port() -> int:
    """A port that was free a moment ago; a witness that is started again keeps its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class WitnessProcess:
    """A witness in a directory of its own, as ``privyseal witness`` runs it."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory / name
        self.vkey = create_witness(self.directory, f"witness.example/{name}")
        self.key = parse_vkey(self.vkey)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.errors = directory / f"{name}.stderr"
        self._process: subprocess.Popen[bytes] | None = None

    def admit(self, log: str) -> None:
        admit_log(self.directory, log)

    def start(self) -> WitnessProcess:
        command = [sys.executable, "-m", "privyseal", "witness", "--dir", str(self.directory)]
        command += ["--bind", f"127.0.0.1:{self.port}"]
        with self.errors.open("ab") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], READY_SECONDS)[0], self.said()
        assert self._process.stdout.readline().startswith(b"ready http://"), self.said()
        return self

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(20)
        self._forget()
        return code

    def kill(self) -> None:
        """End it as a crash does, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._forget()

    def latest(self, origin: str) -> Head:
        """What its record holds; only while it does not run."""
        from datetime import UTC, datetime

        witness = build(self.directory, lambda: datetime.now(UTC), print)
        try:
            return witness.latest(origin)
        finally:
            witness.close()

    def said(self) -> str:
        return self.errors.read_text()

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            process.stdout.close()


class Liar:
    """An HTTP server that answers add-checkpoint with whatever ``answer`` makes of the request."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler, bytes], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def say(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
