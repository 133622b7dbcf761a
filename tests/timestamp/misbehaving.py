"""Timestamp authorities on loopback, with real keys, that misbehave in every way one can think of."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.pki import mint
from tests.pki.mint import Minted
from tests.timestamp.clockwork import POLICY

from privyseal.pki import cms, der
from privyseal.terms.signatures import ToBeSigned
from privyseal.timestamp.messages import Failure, granted, message_imprint, parse_request, rejected
from privyseal.timestamp.token import ID_SIGNING_CERTIFICATE_V2, ID_TST_INFO

HUGE = 50 << 20
"""Octets of the largest answer."""


@lru_cache
def root(name: str = "Loopback root") -> Minted:
    return mint.certify(name, mint.key("ecdsa-p256", 40), ca=True, start=mint.NOW - timedelta(days=500), days=3000)


@lru_cache
def unit(kind: str = "good") -> Minted:
    """Return a timestamp certificate that is good, or wrong in one way."""
    key = mint.key("ecdsa-p256", 41)
    purposes, critical, issuer, start = (mint.TIME_STAMPING,), True, root(), mint.NOW - timedelta(days=1)
    if kind == "other-purpose":
        purposes = (ExtendedKeyUsageOID.CODE_SIGNING,)
    elif kind == "stranger":
        issuer = mint.certify("Nobody's root", mint.key("ecdsa-p256", 42), ca=True)
    elif kind == "expired":
        start = mint.NOW - timedelta(days=400)
    elif kind == "expired-issuer":
        issuer = old_issuer()
    return mint.certify(f"TSU {kind}", key, issuer, purposes=purposes, critical=critical, start=start)


@lru_cache
def old_issuer() -> Minted:
    start = mint.NOW - timedelta(days=400)
    return mint.certify("Old CA", mint.key("ecdsa-p256", 43), root(), ca=True, start=start, days=300)


def token(
    digest: bytes,
    minted: Minted | None = None,
    *,
    nonce: int | None = None,
    when: datetime | None = None,
    algorithm: str = "sha256",
    more: tuple[bytes, ...] = (),
    policy: str = POLICY,
    serial: int | None = None,
) -> bytes:
    """Build a token by hand, whatever is wrong with it."""
    minted = minted or unit()
    when = (when or datetime.now(UTC)).replace(microsecond=0)
    info = der.sequence(
        der.integer(1),
        der.oid(policy),
        message_imprint(algorithm, digest),  # type: ignore[arg-type]
        der.integer(serial or 1 + int.from_bytes(hashlib.sha256(digest).digest()[:12], "big")),
        der.generalized_time(when),
        b"" if nonce is None else der.integer(nonce),
    )
    named = der.sequence(der.sequence(der.sequence(der.octet_string(hashlib.sha256(minted.der).digest()))))
    signed = [
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid(ID_TST_INFO)),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(hashlib.sha256(info).digest())),
        cms.attribute(ID_SIGNING_CERTIFICATE_V2, named),
    ]
    value = mint.sign(minted.key, ToBeSigned(cms.attributes_to_be_signed(signed), "sha256"))
    signer = cms.signer_info(
        certificate=minted.der, digest_algorithm="sha256", signed_attributes=signed, signature=value
    )
    return cms.build_signed_data(
        content_type=ID_TST_INFO,
        content=der.octet_string(info),
        digest_algorithm="sha256",
        certificates=sorted([minted.der, *more]),
        signers=[signer],
        version=3,
    )


def reply(how: str, body: bytes) -> bytes:
    """Answer a request, in one way or another; the HTTP around it is for the server."""
    asked = parse_request(body)
    nonce, digest, algorithm = asked.nonce, asked.digest, asked.digest_algorithm
    now = datetime.now(UTC)
    match how:
        case "wrong-nonce":
            return granted(token(digest, nonce=(nonce or 0) + 1))
        case "other-imprint":
            return granted(token(hashlib.sha256(b"something else").digest(), nonce=nonce))
        case "other-digest":
            return granted(token(hashlib.sha512(b"").digest(), nonce=nonce, algorithm="sha512"))
        case "other-policy":
            return granted(token(digest, nonce=nonce, algorithm=algorithm, policy="1.2.3.4"))
        case "other-purpose" | "stranger" | "expired":
            return granted(token(digest, unit(how), nonce=nonce, algorithm=algorithm))
        case "expired-issuer":
            more = (old_issuer().der,)
            return granted(token(digest, unit(how), nonce=nonce, algorithm=algorithm, more=more))
        case "a-day-late" | "a-day-early":
            days = 1 if how == "a-day-late" else -0.9
            return granted(token(digest, nonce=nonce, algorithm=algorithm, when=now - timedelta(days=-days)))
        case "refuses":
            return rejected(Failure.BAD_ALG, "no such digest here")
        case "no-time":
            return rejected(Failure.TIME_NOT_AVAILABLE, "the clock is off")
        case "garbage":
            return b"<html>welcome to our captive portal</html>"
        case "empty":
            return b""
        case "cut-token":
            return granted(token(digest, nonce=nonce, algorithm=algorithm))[:-9]
    return granted(token(digest, nonce=nonce, algorithm=algorithm))


class Server:
    """One server whose paths are ways to misbehave; it counts requests and connections."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.connections = 0
        self.pause = 0.0
        self.retry_after = "7"
        self.failures = 0
        """How many requests to ``/flaky`` fail before one is answered."""
        self.seen: list[dict[str, str]] = []
        self.gone = threading.Event()

    def url(self, how: str) -> str:
        return f"http://127.0.0.1:{self.port}/{how}"


@contextmanager
def serving() -> Iterator[Server]:
    """Serve until the block ends."""
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            state.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            how = self.path.strip("/").partition("?")[0]
            state.asked[how] = state.asked.get(how, 0) + 1
            state.seen.append(dict(self.headers.items()))
            (WAYS.get(how) or _plain)(state, self, how, body)

        def log_message(self, *_: object) -> None:
            pass

    class Threading(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that give up leave in the middle; that is what is tested."""

    server = Threading(("127.0.0.1", 0), Handler)
    state.port = server.server_port  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.gone.set()
        server.shutdown()
        server.server_close()


Handler = http.server.BaseHTTPRequestHandler


def _send(handler: Handler, status: int, body: bytes, kind: str = "application/timestamp-reply", **more: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in more.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def _plain(state: Server, handler: Handler, how: str, body: bytes) -> None:
    time.sleep(state.pause)
    kind = "text/html" if how == "garbage" else "application/timestamp-reply"
    _send(handler, 200, reply(how, body), kind)


def _hangs(state: Server, handler: Handler, how: str, body: bytes) -> None:
    state.gone.wait(30)
    handler.close_connection = True


def _drips(state: Server, handler: Handler, how: str, body: bytes) -> None:
    """Send a header octet by octet, so that no single wait is long."""
    handler.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not state.gone.wait(0.05):
        try:
            handler.connection.sendall(b"x")
        except OSError:
            break
    handler.close_connection = True


def _cut(state: Server, handler: Handler, how: str, body: bytes) -> None:
    whole = reply("good", body)
    handler.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole) + whole[:100])
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def _huge(state: Server, handler: Handler, how: str, body: bytes) -> None:
    handler.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE)
    sent, block = 0, bytes(1 << 20)
    while sent < HUGE:
        sent += handler.connection.send(block)
    handler.close_connection = True


def _busy(state: Server, handler: Handler, how: str, body: bytes) -> None:
    _send(handler, 429, b"slow down", "text/plain", Retry_After=state.retry_after)


def _flaky(state: Server, handler: Handler, how: str, body: bytes) -> None:
    if state.asked[how] <= state.failures:
        _send(handler, 503, b"not now", "text/plain")
    else:
        _plain(state, handler, "good", body)


def _moved(state: Server, handler: Handler, how: str, body: bytes) -> None:
    _send(handler, 302, b"", Location=state.url("good"))


def _closes(state: Server, handler: Handler, how: str, body: bytes) -> None:
    """Close the connection after each answer without saying so beforehand."""
    _plain(state, handler, "good", body)
    handler.close_connection = True


WAYS: dict[str, Callable[[Server, Handler, str, bytes], None]] = {
    "hangs": _hangs,
    "drips": _drips,
    "cut": _cut,
    "huge": _huge,
    "busy": _busy,
    "flaky": _flaky,
    "moved": _moved,
    "closes": _closes,
}
