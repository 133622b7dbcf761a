"""The client of the native API against a server that can be told to misbehave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from privyseal import errors
from privyseal.cli import client, session
from privyseal.cli.client import Service
from privyseal.cli.profile import Profile
from privyseal.web.batching import LONGEST_RETRY_S

Reply = tuple[int, dict[str, str], bytes]


class Stub:
    """A server that answers by a script, one entry a request (the last for ever), and keeps what it was asked."""

    def __init__(self) -> None:
        self.replies: list[Reply | None] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections: set[tuple[str, int]] = set()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stub.connections.add(self.client_address)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                stub.asked.append((self.command, self.path, dict(self.headers.items()), body))
                reply = stub.replies.pop(0) if len(stub.replies) > 1 else stub.replies[0]
                if reply is None:
                    self.close_connection = True
                    return
                status, headers, octets = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(octets)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(octets)

            do_POST = do_GET  # noqa: N815 - the name is http.server's

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server of our own on loopback."""
    made = Stub()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def slept() -> list[float]:
    """How long the client would have slept."""
    return []


@pytest.fixture
def service(stub: Stub, slept: list[float]) -> Iterator[Service]:
    """A client of the stub that sleeps without waiting."""
    made = Service(Profile(url=stub.url + "/base/", subscriber="acme/x", token="sesame"), sleep=slept.append)
    yield made
    made.close()


def problem(status: int, code: str | None, detail: str, **more: object) -> Reply:
    document = {"title": "T", "status": status, "detail": detail, "code": code, **more}
    return status, {"Content-Type": "application/problem+json"}, json.dumps(document).encode()


def test_a_question_goes_to_the_right_place_with_its_credentials(stub: Stub, service: Service) -> None:
    """Path elements are escaped, the url's own path stays in front, the key and the token stand in their headers."""
    stub.replies = [(200, {}, b"{}")]
    service.post(service.path("keys", "a/../b c"), b"[1]", "K-1")
    method, path, headers, body = stub.asked[0]
    assert (method, path, body) == ("POST", "/base/v1/acme%2Fx/keys/a%2F..%2Fb%20c", b"[1]")
    assert (headers["Authorization"], headers["Idempotency-Key"]) == ("Bearer sesame", "K-1")
    assert headers["User-Agent"].startswith("privyseal/")


def test_one_connection_serves_many_questions(stub: Stub, service: Service) -> None:
    """The connection is kept; one that the server has closed meanwhile is replaced at once and silently."""
    stub.replies = [(200, {}, b"1"), (200, {}, b"2"), None, (200, {}, b"3")]
    assert [service.get("/a").body, service.get("/b").body] == [b"1", b"2"]
    assert len(stub.connections) == 1
    assert service.get("/c").body == b"3"
    assert len(stub.connections) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (problem(403, "not-permitted", "No."), errors.NotPermitted),
        (problem(409, "denied", "No."), errors.Denied),
        (problem(409, "failed", "No."), errors.Failed),
        (problem(422, "idempotency-mismatch", "No."), errors.IdempotencyMismatch),
        (problem(400, "malformed-request", "No."), errors.BadInput),
        (problem(415, None, "No."), errors.BadInput),
        ((401, {}, b"<html>"), errors.NotAuthenticated),
        ((404, {}, b""), errors.NotFound),
        ((302, {"Location": "http://evil.example/"}, b""), errors.Unavailable),
    ],
)
def test_a_refusal_is_the_same_error_on_both_sides_and_not_asked_again(
    reply: Reply, kind: type[errors.PrivySealError], stub: Stub, service: Service, slept: list[float]
) -> None:
    """A problem document becomes the class it was made from; all else is told by its status. A redirect is a no."""
    stub.replies = [reply]
    with pytest.raises(errors.PrivySealError) as refused:
        service.get("/x")
    assert type(refused.value) is kind
    assert (len(stub.asked), slept) == (1, [])


def test_words_from_the_network_cannot_act_on_the_terminal(stub: Stub, service: Service) -> None:
    """Detail and hint of a problem document are shown, with what moves a cursor escaped."""
    stub.replies = [problem(403, "not-permitted", "a\x1b[2Jb", hint="c\rd")]
    with pytest.raises(errors.NotPermitted) as refused:
        service.get("/x")
    assert (refused.value.detail, refused.value.hint) == ("a\\x1b[2Jb", "c\\rd")


@pytest.mark.parametrize(
    "trouble",
    [(503, {}, b""), (429, {}, b""), problem(503, "log-unavailable", "Log."), problem(409, "conflict", "C."), None],
)
def test_trouble_on_the_way_is_tried_again_a_few_times(
    trouble: Reply | None, stub: Stub, service: Service, slept: list[float]
) -> None:
    """The same body under the same key, with growing pauses; then it is an error that says running again is safe."""
    stub.replies = [trouble, (200, {}, b"good")]
    assert service.post("/x", b"body", "K").body == b"good"
    stub.replies = [trouble]
    with pytest.raises(errors.PrivySealError) as refused:
        service.post("/x", b"body", "K")
    assert refused.value.exit == 8
    assert slept[-3:] == list(client.PAUSES)
    assert {(body, headers["Idempotency-Key"]) for _, _, headers, body in stub.asked} == {(b"body", "K")}


def test_the_servers_own_pause_is_obeyed_within_reason(stub: Stub, service: Service, slept: list[float]) -> None:
    """Retry-After of seconds lengthens our pause; one beyond our patience ends the run at once."""
    stub.replies = [(503, {"Retry-After": "7"}, b""), (503, {"Retry-After": "Wed, 21 Oct"}, b""), (200, {}, b"")]
    service.get("/x")
    assert slept == [7.0, client.PAUSES[1]]
    stub.replies = [(503, {"Retry-After": "3600"}, b"")]
    with pytest.raises(errors.Unavailable):
        service.get("/x")
    assert len(slept) == 2


def test_as_long_as_our_own_service_asks_is_waited(stub: Stub, service: Service, slept: list[float]) -> None:
    """A service that is busy asks for at most so many seconds, and a build that was told so does not fail at once."""
    stub.replies = [(503, {"Retry-After": str(LONGEST_RETRY_S)}, b""), (200, {}, b"good")]
    assert service.post("/x", b"body", "K").body == b"good"
    assert slept == [LONGEST_RETRY_S]


def test_nobody_there_is_unavailable() -> None:
    """A port that nobody listens on: four tries, one sentence, exit 8."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    slept: list[float] = []
    with pytest.raises(errors.Unavailable, match=r"does not answer: Connection refused\."):
        Service(Profile(url=url, subscriber="s"), sleep=slept.append).get("/x")
    assert slept == list(client.PAUSES)


def test_an_endless_answer_is_cut(stub: Stub, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server makes us hold more than the limit."""
    monkeypatch.setattr(client, "LARGEST_ANSWER", 1000)
    stub.replies = [(200, {}, b"x" * 1001)]
    with pytest.raises(errors.Unavailable, match="more than 1000 octets"):
        service.get("/x")


class Document(msgspec.Struct):
    """Something to read."""

    id: str


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id":1}', b"\xff", b"[" * 100_000])
def test_an_answer_of_another_shape_is_not_our_service(body: bytes, stub: Stub, service: Service) -> None:
    """Whatever answers 200 with something else is no Privy Seal."""
    stub.replies = [(200, {}, body)]
    with pytest.raises(errors.Unavailable, match="answered with something that is no Document"):
        service.get("/x").read(Document)


@pytest.mark.parametrize(
    "url",
    [
        "seal.example.org",
        "ftp://x",
        "http://",
        "http://u:p@h",
        "http://h/?q",
        "http://h:x",
        "http://[",
        "https://h#f",
        "",
    ],
)
def test_an_unusable_url_is_misused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(errors.Misused):
        Service(Profile(url=url or None, subscriber="s"))


def test_a_token_does_not_travel_in_the_clear() -> None:
    """http is for this machine; without a token nothing is lost."""
    with pytest.raises(errors.Misused, match="not encrypted"):
        Service(Profile(url="http://seal.example.org", subscriber="s", token="t"))
    Service(Profile(url="http://seal.example.org", subscriber="s"))
    Service(Profile(url="http://[::1]:8470", subscriber="s", token="t"))
    Service(Profile(url="https://seal.example.org", subscriber="s", token="t"))


def test_threads_have_connections_of_their_own(stub: Stub, service: Service) -> None:
    """Several files are asked about at once, and no two questions mix on one connection."""
    stub.replies = [(200, {}, b"ok")]
    answers: list[bytes] = []
    ask: Callable[[], None] = lambda: answers.append(service.get("/x").body)  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"ok"] * 4
    assert 1 <= len(stub.connections) <= 4


def test_a_person_who_logged_in_is_nobodys_job(stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What ``privyseal login`` kept is sent; no build platform is asked, for a command without it is a job's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    token, ends = "psc_" + "k" * 43, datetime.now(UTC) + timedelta(hours=1)
    session.keep(session.Kept(url=stub.url, subscriber="acme", token=token, expires=ends))
    stub.replies = [(200, {}, b"{}")]
    made = Service(Profile(url=stub.url, subscriber="acme"))
    made.get("/x")
    made.close()
    assert stub.asked[0][2]["Authorization"] == f"Bearer {token}"
