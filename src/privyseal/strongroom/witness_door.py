"""The witness's HTTP door: add-checkpoint and nothing else, with every size, count and duration bounded."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from privyseal.strongroom.witness import Witness
from privyseal.tlog.witness import MALFORMED, MAX_REQUEST, PATH, Answer, refusal

MAX_CONNECTIONS = 128
"""Conversations at once; a log keeps one."""
REQUEST_SECONDS = 30.0
"""From the last answer, or the beginning, to the next; nginx waits 60 s for each of several parts of this."""


class WitnessDoor(ThreadingHTTPServer):
    """Listens at once; answers from :meth:`serve_forever` on, one thread a connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], witness: Witness, note: Callable[[str], None]) -> None:
        """Bind and listen; OSError where that cannot be."""
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.witness = witness
        self.note = note
        self._since: dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        super().__init__(address, _Conversation)

    def begin(self, connection: socket.socket) -> bool:
        """Count a conversation's time anew; False if there are too many."""
        with self._guard:
            if connection not in self._since and len(self._since) >= MAX_CONNECTIONS:
                return False
            self._since[connection] = time.monotonic()
            return True

    def end(self, connection: socket.socket) -> None:
        """Forget a conversation."""
        with self._guard:
            self._since.pop(connection, None)

    def service_actions(self) -> None:
        """Cut off who takes too long, by whatever trick; called twice a second by :meth:`serve_forever`."""
        if self.witness.lost:
            threading.Thread(target=self.shutdown, daemon=True).start()
        now = time.monotonic()
        with self._guard:
            late = [each for each, since in self._since.items() if now - since > REQUEST_SECONDS]
        for connection in late:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of one connection's trouble: it is the client's, and may hold what it likes."""


class _Conversation(BaseHTTPRequestHandler):
    server: WitnessDoor
    protocol_version = "HTTP/1.1"
    server_version = "privyseal-witness"
    sys_version = ""
    timeout = REQUEST_SECONDS
    disable_nagle_algorithm = True

    def handle(self) -> None:
        if not self.server.begin(self.connection):
            return
        try:
            super().handle()
        finally:
            self.server.end(self.connection)

    def handle_one_request(self) -> None:
        self.server.begin(self.connection)
        super().handle_one_request()

    def do_POST(self) -> None:
        if self.path.rpartition("/")[2] != PATH[1:]:
            self._answer(refusal(404, f"There is nothing here but {PATH}."), keep=False)
            return
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or len(length) > 9 or "Transfer-Encoding" in self.headers:
            self._answer(refusal(MALFORMED, "The request has no Content-Length."), keep=False)
        elif int(length) > MAX_REQUEST:
            self._answer(refusal(413, f"The request has {length} octets; at most {MAX_REQUEST} are read."), keep=False)
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                self._answer(self.server.witness.add_checkpoint(body), keep=True)

    def _answer(self, answer: Answer, keep: bool) -> None:
        self.close_connection = self.close_connection or not keep
        head = f"HTTP/1.1 {answer.status} {self.responses.get(answer.status, ('',))[0]}\r\n"
        head += f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
        head += "Connection: close\r\n\r\n" if self.close_connection else "\r\n"
        self.wfile.write(head.encode("ascii") + answer.body)  # in one piece, so that it is one packet

    def log_message(self, format: str, *args: Any) -> None:
        return
