"""Questions by HTTP to whom the operator named: a whole answer or none."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from privyseal.authorities.exchange import Line
from privyseal.errors import Unavailable
from privyseal.signing.asking import Limits, ask

BODY = b'{"keys": []}'


class Handler(BaseHTTPRequestHandler):
    """Keep the connection, or hang up in the middle of what was announced."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        short = self.path == "/short"
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY) + 5 * short))
        self.end_headers()
        self.wfile.write(BODY)
        self.close_connection = short

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_answer_that_is_cut_short_is_none(url: str) -> None:
    """A body with a length is whole or refused, also where what came could be read by itself."""
    limits = Limits(1000, 5)
    assert ask(f"{url}/whole", limits, loopback=True) == (200, BODY)
    with pytest.raises(http.client.IncompleteRead):
        ask(f"{url}/short", limits, loopback=True)
    line = Line("The CA", url)
    assert line.ask("GET", "/whole").body == BODY
    with pytest.raises(Unavailable, match="cannot be reached"):
        line.ask("GET", "/short")
