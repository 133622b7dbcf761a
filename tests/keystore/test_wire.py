"""The line to a cloud: what certainly was not received, what may have been, and what it is never led to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from privyseal.errors import KeyStoreUnavailable, Misused
from privyseal.keystore.addresses import check_address, port_of
from privyseal.keystore.clouds import NotDone, patiently
from privyseal.keystore.wire import MAX_ANSWER_OCTETS, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Script = Callable[[socket.socket], None]


@pytest.fixture
def scripted() -> Iterator[Callable[..., Wire]]:
    """Make wires to a server that does with each connection what the next script says."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []
    wires = []

    def serve(scripts: tuple[Script, ...]) -> None:
        for script in scripts:
            connection, _ = listener.accept()
            with connection:
                script(connection)

    def make(*scripts: Script) -> Wire:
        thread = threading.Thread(target=serve, args=(scripts,), daemon=True)
        thread.start()
        threads.append(thread)
        wires.append(Wire("The cloud", f"http://127.0.0.1:{listener.getsockname()[1]}/base", None, 2.0))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()
    listener.close()
    for thread in threads:
        thread.join(5)


def _answers(octets: bytes, asked: list[bytes] | None = None) -> Script:
    def script(connection: socket.socket) -> None:
        got = connection.recv(65536)
        if asked is not None:
            asked.append(got)
        connection.sendall(octets)

    return script


def test_a_kept_connection_that_was_closed_is_made_anew_before_the_next_call(scripted: Callable[..., Wire]) -> None:
    """The other side closed it while nobody asked: noticed before a request goes out, so nothing is in doubt."""
    asked: list[bytes] = []
    wire = scripted(_answers(OK, asked), _answers(OK, asked))
    for body in (b"one", b"two"):
        reply = wire.call("POST", "/sign", {"X-A": "b"}, body)
        assert (reply.status, reply.body) == (200, b"ok")
        threading.Event().wait(0.05)  # until its end of the connection has come in
    assert len(asked) == 2 and all(each.startswith(b"POST /base/sign HTTP/1.1\r\n") for each in asked)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf", "broke off"),
        (b"canary, and no HTTP\r\n\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70000 + b"\r\n\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_ANSWER_OCTETS + 1) + bytes(1024), "broke off"),
    ],
    ids=["nothing", "half", "no HTTP", "a long header", "less than announced"],
)
def test_what_was_sent_whole_may_have_been_done(scripted: Callable[..., Wire], answer: bytes, words: str) -> None:
    """Whatever comes back then, or does not: unknown, in one sentence that repeats nothing of it."""
    wire = scripted(_answers(answer))
    with pytest.raises(KeyStoreUnavailable, match=words) as told:
        wire.call("POST", "/sign", {}, b"body")
    assert "canary" not in str(told.value)


def test_who_does_not_answer_in_time_leaves_it_open(scripted: Callable[..., Wire]) -> None:
    """Received, and nothing said for as long as the wire waits."""
    done = threading.Event()

    def silent(connection: socket.socket) -> None:
        connection.recv(65536)
        done.wait(10)

    wire = scripted(silent)
    wire._seconds = 0.2
    with pytest.raises(KeyStoreUnavailable, match="did not answer in time"):
        wire.call("POST", "/sign", {}, b"body")
    done.set()


def test_where_nobody_listens_nothing_was_done() -> None:
    """No connection: certainly not done, and said so with the host and no more."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotDone, match=r"The cloud at 127\.0\.0\.1 cannot be reached") as told:
        Wire("The cloud", f"http://127.0.0.1:{port}", None, 1.0).call("POST", "/sign", {}, b"body")
    assert not told.value.soon


def test_who_speaks_no_tls_was_not_asked(scripted: Callable[..., Wire], tmp_path) -> None:
    """The handshake fails before a request goes out; a file that holds no certificate is the operator's to mend."""
    plain = scripted(_answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    secure = Wire("The cloud", f"https://127.0.0.1:{plain._parts.port}", None, 1.0)
    with pytest.raises(NotDone, match="cannot be reached"):
        secure.call("POST", "/sign", {}, b"body")
    (tmp_path / "ca.pem").write_text("canary")
    with pytest.raises(Misused, match=r"holds no certificates in PEM") as told:
        Wire("The cloud", "https://127.0.0.1:1", tmp_path / "ca.pem", 1.0)
    assert "canary" not in str(told.value)


def test_it_is_led_nowhere(scripted: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect is an answer like any other, and the environment's proxy is not used."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    wire = scripted(_answers(b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"))
    reply = wire.call("POST", "/sign", {"X-Vault-Token": "t"}, b"body")
    assert (reply.status, reply.headers["location"]) == (307, "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://kms.eu-central-1.amazonaws.com", 443),
        ("https://vault.example:8200/prefix", 8200),
        ("http://127.0.0.1:8200", 8200),
        ("http://[::1]", 80),
    ],
)
def test_an_address_has_a_port(url: str, port: int) -> None:
    """The one that the worker may call, and no other."""
    check_address(url)
    assert port_of(url) == port


@pytest.mark.parametrize(
    "url",
    ["http://kms.example", "ftp://127.0.0.1", "https://", "kms.example", "https://a@b", "https://a/?q", "https://a#f"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """In the clear to another machine, another protocol, no host, and what does not belong into one."""
    with pytest.raises(ValueError, match="address"):
        check_address(url)


def test_patience_ends() -> None:
    """Five pauses that grow, then the refusal; what may have been done is not asked once more."""
    pauses: list[float] = []
    calls: list[int] = []

    def throttled() -> None:
        calls.append(1)
        raise NotDone(KeyStoreUnavailable("too many"), soon=True)

    with pytest.raises(NotDone):
        patiently(throttled, pauses.append)
    assert pauses == sorted(pauses) and len(calls) == len(pauses) + 1 == 6 and sum(pauses) < 5

    def unknown() -> None:
        calls.append(1)
        raise KeyStoreUnavailable("broke off")

    with pytest.raises(KeyStoreUnavailable):
        patiently(unknown, pauses.append)
    assert len(calls) == 7
