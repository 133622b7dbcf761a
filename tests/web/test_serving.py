"""The application on a real socket: what only raw octets and real signals can show."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import msgspec
import pytest
from tests.web.house import House
from tests.web.standing import application

from privyseal.errors import Misused, PrivySealError
from privyseal.signing.instance import PrivySeal
from privyseal.signing.submit import Submission
from privyseal.terms.requests import Dossier
from privyseal.web import desk, intake, problem, serving
from privyseal.web.desk import Desk
from privyseal.web.front import Front


class Served:
    """A house behind a real uvicorn on loopback, in a thread."""

    def __init__(self, house: House, connections: int = 1000) -> None:
        self.house = house
        self._listening = serving.bind("127.0.0.1", 0)
        self.port = self._listening.getsockname()[1]
        self.url = ""
        self._ready = threading.Event()
        self.desk = Desk(house.seal, house.public_log)
        self._standing = ExitStack()
        routed = self._standing.enter_context(application(self.desk))
        self.front = Front(routed, requests=1000, metrics=self.desk.metrics)
        bounds = serving.Bounds(connections=connections, under_way=lambda: self.front.under_way)
        self.server = serving.Server(self.front, self._is_ready, self._stop, bounds)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._listening]})
        self._thread.start()
        assert self._ready.wait(20)

    def _stop(self) -> None:
        self.front.stop()
        self.desk.stop()

    def _is_ready(self) -> None:
        self.url = serving.url_of(self._listening)
        self._ready.set()

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._standing.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def say(self, octets: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send raw octets and read one answer."""
        with self.connect() as connection:
            connection.sendall(octets)
            return answer(connection)


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, header fields, body."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def is_problem(answered: tuple[int, dict[str, str], bytes], status: int, code: str) -> None:
    """Assert that an answer is the problem document it should be."""
    assert answered[0] == status, answered
    assert answered[1]["content-type"] == problem.MEDIA_TYPE
    document = msgspec.json.decode(answered[2], type=problem.Problem)
    assert (document.code, document.status, document.request_id) == (code, status, answered[1]["x-request-id"])


@pytest.fixture
def served(house: House) -> Iterator[Served]:
    running = Served(house)
    yield running
    running.stop()


def post(served: Served, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    """Compose a POST of a signing request with more header lines."""
    lines = [
        "POST /v1/demo/requests HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {served.house.tokens['requester']}",
        "Content-Type: application/json",
        *([f"Content-Length: {len(body)}"] if length else []),
        *headers,
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def test_a_real_client_gets_a_real_signature(served: Served) -> None:
    """The whole way over a socket, on one connection that stays open, with the real port in the URL."""
    assert served.url == f"http://127.0.0.1:{served.port}" and served.port > 0
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    for number in range(3):
        connection.request(
            "POST",
            "/v1/demo/requests",
            served.house.request().canonical(),
            served.house.auth() | {"Content-Type": "application/json", "Idempotency-Key": f"k-{number}"},
        )
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["state"]) == (201, "released")
    connection.close()


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 100) for n in range(400)) + b"\r\n",
    ],
    ids=[
        "TLS",
        "words",
        "length",
        "target",
        "both lengths",
        "no host",
        "two hosts",
        "two hosts of old",
        "HTTP/0.9",
        "two codings",
        "a further coding",
        "a coding of old",
        "long field",
        "long target",
        "many fields",
    ],
)
def test_what_is_no_http_is_answered_with_a_problem_too(served: Served, octets: bytes) -> None:
    """No handler ever sees it, and the connection is closed."""
    with served.connect() as connection:
        connection.sendall(octets)
        answered = answer(connection)
        is_problem(answered, 400, "malformed-request")
        assert answered[1]["connection"] == "close"


def test_an_old_client_without_a_host_is_answered(served: Served) -> None:
    """HTTP/1.0 has no Host, and load balancers ask so for a sign of life."""
    with served.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert answer(connection)[0] == 200


def test_an_answer_is_one_packet(served: Served) -> None:
    """Head and body leave together: Linux counts the segments with data that came in (tcp_info.tcpi_data_segs_in)."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        for answers in (1, 2, 3):
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.read()
            told = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
            assert int.from_bytes(told[152:156], sys.byteorder) == answers


def test_a_repeated_header_is_seen_as_such(served: Served) -> None:
    """Two Idempotency-Keys, equal or not, and two credentials."""
    body = served.house.request().canonical()
    for second in ("a", "b"):
        sent = post(served, body, "Idempotency-Key: a", f"Idempotency-Key: {second}")
        is_problem(served.say(sent), 400, "misused")
    token = served.house.tokens["requester"]
    sent = post(served, body, "Idempotency-Key: a", f"Authorization: Bearer {token}")
    is_problem(served.say(sent), 401, "not-authenticated")


@pytest.mark.parametrize(
    "target",
    [
        b"/log/../../../../etc/passwd",
        b"/log/..%2f..%2fetc%2fpasswd",
        b"/log/%2e%2e/%2e%2e/secret",
        b"/log//etc/passwd",
        b"/log/tile/0/000/../../../../secret",
        b"/log/tile/0/000%00",
        b"/log/tile/0/000%0a",
        b"/log/%ff%fe",
        b"/log/",
        b"/../log/checkpoint%00",
    ],
)
def test_no_spelling_of_a_path_leads_out_of_the_log(served: Served, target: bytes) -> None:
    """As raw octets, which no client library has tidied up."""
    (served.house.public_log.parent / "secret").write_text("secret")
    is_problem(served.say(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"), 404, "not-found")


def test_a_body_without_end_is_refused_where_it_passes_the_limit(served: Served) -> None:
    """A chunked body is never collected beyond the limit."""
    with served.connect() as connection:
        connection.sendall(post(served, b"", "Idempotency-Key: a", "Transfer-Encoding: chunked", length=False))
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(intake.BODY_LIMIT // 65536 + 2):
            connection.sendall(chunk)
        is_problem(answer(connection), 413, "too-large")


def test_a_body_that_is_announced_too_long_is_not_asked_for(served: Served) -> None:
    """With ``Expect: 100-continue`` the refusal comes instead of the invitation to send."""
    sent = post(served, b"", "Idempotency-Key: a", "Expect: 100-continue", "Content-Length: 99999999", length=False)
    with served.connect() as connection:
        connection.sendall(sent)
        assert connection.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 413"
        is_problem(answer(connection), 413, "too-large")


def test_who_is_slow_is_not_waited_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that does not come is hung up on, a body that does not come is 408."""
    monkeypatch.setattr(serving, "HEAD_TIMEOUT_S", 0.3)
    monkeypatch.setattr(intake, "BODY_TIMEOUT_S", 0.3)
    for beginning in (b"", b"GET /livez HTTP/1.1\r\nHo"):
        with served.connect() as connection:
            connection.sendall(beginning)
            assert connection.recv(100) == b""
    with served.connect() as connection:  # a further request on a connection that was good
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer(connection)[0] == 200
        connection.sendall(b"GET /livez HTT")
        assert connection.recv(100) == b""
    sent = post(served, b"", "Idempotency-Key: a", "Content-Length: 10", length=False)
    is_problem(served.say(sent), 408, "timed-out")


def test_who_hangs_up_changes_nothing(served: Served) -> None:
    """Neither in the middle of a body nor while the signature is made; what was submitted is signed."""
    with served.connect() as connection:
        connection.sendall(post(served, b"", "Idempotency-Key: a", "Content-Length: 100", length=False) + b"{")
    gate = threading.Event()
    begun = threading.Event()

    def before() -> None:
        begun.set()
        gate.wait(20)

    served.house.walk.before = before
    body = served.house.request().canonical()
    with served.connect() as connection:
        connection.sendall(post(served, body, "Idempotency-Key: b"))
        assert begun.wait(20)
    gate.set()
    status, _, document = served.say(post(served, body, "Idempotency-Key: b"))
    assert (status, json.loads(document)["state"]) == (201, "released")


def test_many_at_once_share_batches(served: Served) -> None:
    """While two walks are away all further requests collect; each caller gets its own signature."""
    gate = threading.Event()
    served.house.walk.before = lambda: gate.wait(20) and None
    outcomes: list[tuple[int, str]] = []

    def one(number: int) -> None:
        body = served.house.request().canonical()
        status, _, document = served.say(post(served, body, f"Idempotency-Key: many-{number}"))
        outcomes.append((status, json.loads(document)["id"]))

    callers = [threading.Thread(target=one, args=(number,)) for number in range(40)]
    for caller in callers:
        caller.start()
    until = time.monotonic() + 10
    while len(served.desk._ask._waiting) < 20 and time.monotonic() < until:
        time.sleep(0.01)
    gate.set()
    for caller in callers:
        caller.join(30)
    assert {status for status, _ in outcomes} == {201}
    assert len({name for _, name in outcomes}) == 40
    assert len(served.house.walk.batches) <= 20


def test_nothing_about_a_request_is_logged(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """No access log, at any level."""
    caplog.set_level(logging.DEBUG)
    served.say(post(served, served.house.request().canonical(), "Idempotency-Key: quiet"))
    assert "POST" not in caplog.text and "Bearer" not in caplog.text and "quiet" not in caplog.text


def test_waiting_callers_are_sent_home_when_the_service_stops(house: House) -> None:
    """Nobody keeps a stopping service waiting for a person; a walk under way is finished first."""
    served = Served(house)
    where = house.post(house.request("guarded")).headers["location"]
    gate = threading.Event()
    house.walk.before = lambda: gate.wait(20) and None
    answers: list[tuple[int, dict[str, str], bytes]] = []
    credential = f"Authorization: Bearer {house.tokens['requester']}"
    get = f"GET {where} HTTP/1.1\r\nHost: a\r\nPrefer: wait=40\r\n{credential}\r\n\r\n"
    waiting = threading.Thread(target=lambda: answers.append(served.say(get.encode())))
    body = post(served, house.request().canonical(), "Idempotency-Key: last")
    signing = threading.Thread(target=lambda: answers.append(served.say(body)))
    waiting.start()
    signing.start()
    while not house.walk.batches:
        time.sleep(0.01)
    time.sleep(0.3)
    began = time.monotonic()
    threading.Timer(1.0, gate.set).start()
    served.stop()
    assert 0.5 < time.monotonic() - began < 15
    waiting.join(10)
    signing.join(10)
    assert sorted((status, json.loads(document)["state"]) for status, _, document in answers) == [
        (200, "requested"),
        (201, "released"),
    ]
    with pytest.raises(OSError, match=r"refused|reset"):
        served.connect()


def test_connections_are_bounded_twice(house: House) -> None:
    """One too many is told so and closed; beyond twice as many nobody is heard; then there is room again."""
    served = Served(house, connections=2)
    kept = [served.connect() for _ in range(2)]
    for connection in kept:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer(connection)[0] == 200
    crowded = [served.connect() for _ in range(2)]
    until = time.monotonic() + 10
    while served.server.connections() < 4 and time.monotonic() < until:
        time.sleep(0.01)
    with served.connect() as unheard, contextlib.suppress(ConnectionResetError):
        assert unheard.recv(100) == b""
    for connection in crowded:
        connection.sendall(b"GET /v1/whoami HTTP/1.1\r\nHost: a\r\n\r\n")
        answered = answer(connection)
        is_problem(answered, 503, "overloaded")
        assert (answered[1]["connection"], int(answered[1]["retry-after"]) >= 1) == ("close", True)
    for connection in [*kept, *crowded]:
        connection.close()
    until = time.monotonic() + 10
    while served.server.connections() and time.monotonic() < until:
        time.sleep(0.01)
    assert served.say(b"GET /v1/whoami HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 401
    served.stop()


def test_what_nobody_waits_for_is_not_written_down(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who hangs up before its turn is dropped; the one behind it, who stayed, has its signature."""
    gate, begun = threading.Event(), threading.Semaphore(0)
    submitted: list[str] = []
    real = desk.ask

    def slow(seal: PrivySeal, items: Sequence[Submission]) -> list[Dossier | PrivySealError]:
        submitted.extend(item.idempotency_key for item in items)
        begun.release()
        gate.wait(20)
        return real(seal, items)

    monkeypatch.setattr(desk, "ask", slow)
    body = served.house.request().canonical()
    connections = {}
    for name in ("one", "two", "leaver", "stayer"):  # two batches may be in their threads
        connections[name] = served.connect()
        connections[name].sendall(post(served, body, f"Idempotency-Key: {name}"))
        if name in ("one", "two"):
            assert begun.acquire(timeout=20)
    until = time.monotonic() + 20
    while served.desk._ask.waiting < 2 and time.monotonic() < until:
        time.sleep(0.01)
    connections.pop("leaver").close()
    while served.server.connections() > 3 and time.monotonic() < until:
        time.sleep(0.01)
    gate.set()
    for connection in connections.values():
        assert answer(connection)[0] == 201
        connection.close()
    assert (sorted(submitted), served.desk._ask.dropped) == (["one", "stayer", "two"], 1)


def test_an_address_that_cannot_be_had_is_a_sentence() -> None:
    """Taken, not ours, or no address at all."""
    with serving.bind("127.0.0.1", 0) as taken, pytest.raises(Misused, match="Cannot listen"):
        serving.bind("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(Misused):
        serving.bind("198.51.100.1", 0)
    with pytest.raises(Misused):
        serving.bind("no such host", 0)


SCRIPT = """
import asyncio
from litestar import Litestar, get
from privyseal.web import serving

@get("/slow")
async def slow() -> str:
    await asyncio.sleep(1)
    return "done"

serving.run(Litestar([slow]), "127.0.0.1", 0, on_ready=lambda server: print("ready", server.url, flush=True),
            on_stop=lambda: print("stopping", flush=True))
print("returned", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_run_returns(number: signal.Signals) -> None:
    """What is under way is answered, ``run`` returns, and the process ends with 0, not by the signal."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready, url = process.stdout.readline().split()
        assert ready == "ready"
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.request("GET", "/slow")
        time.sleep(0.3)
        process.send_signal(number)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"done")
        assert process.wait(20) == 0
        assert process.stdout.read().split() == ["stopping", "returned"]
