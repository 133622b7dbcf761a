"""An OpenID provider on loopback, real HTTP: it publishes keys, gives tokens to jobs, and can misbehave."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.access import platform_tokens as tokens

JOB_SECRET = "job-secret-that-nobody-may-see"


class Provider:
    """What it answers, and how often it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[dict[str, Any]] = [tokens.public("RS256"), tokens.public("ES256", "e1")]
        self.asked: list[str] = []
        self.answer: Callable[[str], tuple[int, bytes] | None] = lambda path: None
        self.mint: Callable[[str], bytes] = lambda audience: b""

    def document(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Answer a GET or POST of this path."""
        parts = urlsplit(path)
        self.asked.append(parts.path)
        bad = self.answer(parts.path)
        if bad is not None:
            return bad
        if parts.path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}).encode()
        if parts.path == "/jwks":
            return 200, json.dumps({"keys": self.keys}).encode()
        if parts.path in ("/token", "/oidctoken"):
            if authorization.lower() != f"bearer {JOB_SECRET}":
                return 403, b"{}"
            audience = parse_qs(parts.query).get("audience", [""])[0]
            name = "value" if parts.path == "/token" else "oidcToken"
            return 200, json.dumps({name: self.mint(audience).decode()}).encode()
        return 404, b""

    def job(self) -> dict[str, str]:
        """Return what a GitHub job finds in its environment."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": JOB_SECRET,
        }


@contextlib.contextmanager
def providing() -> Iterator[Provider]:
    """Run a provider until the block ends."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, octets = provider.document(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            with contextlib.suppress(OSError):  # who has read enough hangs up
                self.wfile.write(octets)

        do_POST = do_GET  # noqa: N815 - the base class calls it so

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that closing it waits for their sockets
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
