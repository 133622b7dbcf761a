"""A small HTTPS server on loopback, for stand-ins of other people's services, with a certificate of its own CA.

``orders`` makes it misbehave: the next call that an order names meets it instead of, or on top of, what is right.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

MOST = 1 << 20


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What goes back."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Stub:
    """A server whose answers a class below this one makes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = folder / "ca.pem"
        self.orders: dict[str, list[str]] = {}
        """What is called (an action, a path's beginning) -> what goes wrong, once each: see :meth:`disobeyed`."""
        self.lock = threading.RLock()
        self.calls: list[str] = []
        """What was called, as orders name it, in the order in which it came."""
        self.hold = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            disable_nagle_algorithm = True
            wbufsize = -1

            def _serve(self) -> None:
                octets = int(self.headers.get("Content-Length") or 0)
                assert octets <= MOST
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, self.rfile.read(octets))
                answer = stub._obeyed(asked)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(len(answer.body)))
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_LIST = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # connections that clients drop
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain = folder / "server.pem"
        chain.write_bytes(certificate())
        self.ca_file.write_bytes(certificate())
        context.load_cert_chain(chain)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def order(self, what: str, *faults: str) -> None:
        """Have the next calls of ``what`` meet these faults, one each."""
        self.orders.setdefault(what, []).extend(faults)

    def named(self, asked: Asked) -> str:
        """Return what an order calls this request."""
        raise NotImplementedError

    def answer(self, asked: Asked) -> Answer:
        """Return the right answer."""
        raise NotImplementedError

    def disobeyed(self, fault: str, asked: Asked, right: Callable[[], Answer]) -> Answer:
        """Return the answer that a fault of this service's own makes of it."""
        raise NotImplementedError(fault)

    def _obeyed(self, asked: Asked) -> Answer | None:
        name = self.named(asked)
        with self.lock:
            self.calls.append(name)
            faults = self.orders.get(name, [])
            fault = faults.pop(0) if faults else ""
        if not fault:
            return self.answer(asked)
        if fault == "drop before":
            return None
        if fault == "drop after":  # it was done, and nobody is told
            self.answer(asked)
            return None
        if fault == "hang":
            self.hold.wait(60)
            return None
        if fault == "junk":
            return Answer(200, b"\xff\xfe<html>" + bytes(64))
        if fault == "huge":
            return Answer(200, bytes(5 << 20))
        return self.disobeyed(fault, asked, lambda: self.answer(asked))


@cache
def private_key(kind: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """Return a key for a scheme: fresh for a curve on each first call, one RSA key for all, for they take long."""
    if kind.startswith("rsa-"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))
    curves = {"ecdsa-p256": ec.SECP256R1(), "ecdsa-p384": ec.SECP384R1(), "ecdsa-p521": ec.SECP521R1()}
    return ec.generate_private_key(curves[kind])


def fresh_key(kind: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """Return a key that no other has, where that is quick."""
    return private_key(kind) if kind.startswith("rsa-") else private_key.__wrapped__(kind)


@cache
def certificate() -> bytes:
    """Return a certificate for 127.0.0.1 that is its own authority, and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A stub's own")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM) + private
