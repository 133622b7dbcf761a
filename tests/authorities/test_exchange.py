"""One exchange with a CA: bounded in size and time, led nowhere else, and each trouble told in one sentence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from privyseal.authorities import exchange
from privyseal.authorities.byhand import ByHand, ByHandSection
from privyseal.authorities.catalogue import authorities, authority
from privyseal.authorities.exchange import Line, secret
from privyseal.authorities.protocol import LARGEST_ANSWER, Waiting, Wishes
from privyseal.authorities.rehearsal import RehearsalSection
from privyseal.errors import BadInput, Misused, Unavailable

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers as the test says."""

    answer: Answer


class Handler(BaseHTTPRequestHandler):
    """Hands on to the test."""

    server: Server

    def do_POST(self) -> None:
        """Answer."""
        self.server.answer(self)

    def do_GET(self) -> None:
        """Answer."""
        self.server.answer(self)

    def log_message(self, *said: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server on loopback, of the test's own."""
    made = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def line(server: Server, path: str = "/base") -> Line:
    """Return the way to the server."""
    return Line("the CA example", f"http://127.0.0.1:{server.server_port}{path}")


def says(status: int, body: bytes, **headers: str) -> Answer:
    """Return an answer."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_what_is_asked_arrives_and_what_is_answered_comes_back(server: Server) -> None:
    """Method, path behind the base, headers, body; status and headers of the answer, also of a refusal."""
    seen: list[tuple[str, str, bytes, str]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        seen.append((handler.command, handler.path, body, handler.headers["X-Token"]))
        says(403, b'{"why":"no"}', Content_Type="application/json")(handler)

    server.answer = answer
    replied = line(server).ask("POST", "/sign?x=1", b"csr", {"X-Token": "t"})
    assert seen == [("POST", "/base/sign?x=1", b"csr", "t")]
    assert (replied.status, replied.json("it"), replied.headers["content-type"]) == (
        403,
        {"why": "no"},
        "application/json",
    )


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (says(200, b"x" * (LARGEST_ANSWER + 1)), BadInput, "more than 1048576 octets"),
        (says(302, b"", Location="http://127.0.0.1:1/"), BadInput, "leads elsewhere"),
        (says(503, b"<html>"), Unavailable, "answered 503"),
        (says(429, b""), Unavailable, "answered 429"),
        (lambda handler: handler.wfile.write(b"\x16\x03\x01 no http\r\n"), Unavailable, "cannot be reached"),
        (lambda handler: None, Unavailable, "cannot be reached"),
    ],
    ids=["too much", "redirect", "down", "too often", "no http", "nothing"],
)
def test_trouble_is_one_sentence(server: Server, answer: Answer, kind: type[Exception], words: str) -> None:
    server.answer = answer
    with pytest.raises(kind, match=words) as refused:
        line(server).ask("GET", "/")
    assert str(refused.value).startswith("the CA example")


def test_html_where_json_was_expected_is_one_sentence(server: Server) -> None:
    server.answer = says(200, b"<html>sign in</html>", Content_Type="text/html; charset=utf-8")
    with pytest.raises(BadInput, match="answered 200 with 'text/html' where JSON was expected"):
        line(server).ask("GET", "/").json("the CA example")
    server.answer = says(200, b"[" * 100_000)
    with pytest.raises(BadInput, match="JSON was expected"):
        line(server).ask("GET", "/").json("the CA example")


def test_whoever_dribbles_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though an octet comes before each pause is over; and so is whoever says nothing at all."""
    monkeypatch.setattr(exchange, "ALL_S", 0.3)
    ending = threading.Event()

    def dribble(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not ending.wait(0.05):
            try:
                handler.wfile.write(b"x")
            except OSError:
                return

    server.answer = dribble
    with pytest.raises(Unavailable, match="did not answer in time"):
        line(server).ask("GET", "/")
    ending.set()
    monkeypatch.setattr(exchange, "STEP_LIMIT_S", 0.2)
    silent = threading.Event()
    server.answer = lambda handler: silent.wait(5) and None
    with pytest.raises(Unavailable, match="did not answer in time"):
        line(server).ask("GET", "/")
    silent.set()


def test_nobody_at_home_is_one_sentence(server: Server) -> None:
    server.server_close()
    with pytest.raises(Unavailable, match="Connection refused"):
        Line("the CA example", "http://127.0.0.1:1").ask("GET", "/")


@pytest.mark.parametrize(
    "url", ["http://ca.example", "ftp://127.0.0.1", "ca.example", "https://", "https://ca.example?x", "http://10.0.0.1"]
)
def test_plain_http_goes_to_this_machine_only(url: str) -> None:
    with pytest.raises(Misused, match="no https address"):
        Line("x", url)


def test_a_credential_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """And no sentence holds it."""
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    path.chmod(0o644)
    with pytest.raises(Misused, match="others can read") as refused:
        secret("x", path)
    assert "s3cret" not in str(refused.value)
    path.chmod(0o600)
    assert secret("x", path) == "s3cret"
    with pytest.raises(Misused, match="cannot be read"):
        secret("x", tmp_path / "none")
    with pytest.raises(Misused, match="anchors or our certificate"):
        Line("x", "https://ca.example", trust=path)


def test_by_hand_is_always_there_and_names_are_given_once(tmp_path: Path) -> None:
    """A section of that name takes its place; the rehearsal's CA is there where there is one."""
    assert set(authorities((), tmp_path, None)) == {"by-hand"}
    mine = ByHandSection(name="by-hand", how="the portal")
    now = datetime(2026, 11, 30, tzinfo=UTC)
    wishes = Wishes(reference="O-1", subscriber="demo", key="release")
    assert authorities((mine,), tmp_path, None)["by-hand"].ask(b"", wishes, now) == Waiting(
        order="", words="the portal"
    )
    with pytest.raises(Misused, match="Two"):
        authorities((mine, mine), tmp_path, None)
    with pytest.raises(Misused, match="no rehearsal CA"):
        authority(RehearsalSection(), tmp_path, None)
    assert ByHand(mine).by_people
