"""The application on a socket: bound before anything else, drained on SIGTERM, hostile heads refused early.

No access log is kept: a line for every request would say who signs what where nobody looks after it. What happened to
whom is in the records.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import uvicorn
from litestar import Litestar
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from privyseal.errors import Misused, PrivySealError
from privyseal.web import problem
from privyseal.web.tls import CLIENT_CERTIFICATE, HANDSHAKE_TIMEOUT_S, TlsFiles

LARGEST_HEAD = 32 * 1024
"""Octets of a request's target and header fields together; nginx and Apache stop between 8 and 32 KiB."""
HEAD_TIMEOUT_S = 30.0
"""How long the head of a request may take to arrive; nginx's client_header_timeout is 60 s."""
KEEP_ALIVE_S = 75
"""How long an idle connection is kept: as nginx does, and longer than a build takes between two files."""
DRAIN_LIMIT_S = 40
"""How long requests under way are waited for; a POST that waits for its signature gives up after 30."""
BACKLOG = 1024


def run(
    app: Litestar,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str], None] = lambda url: None,
    on_stop: Callable[[], None] = lambda: None,
    tls: TlsFiles | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return.

    ``port`` 0 takes any free one. ``on_ready`` is called once, with the URL, when requests are accepted; ``on_stop`` on
    the event loop when draining begins. With ``tls`` it is https, and SIGHUP reads certificate and key anew. Raises
    Misused where the address cannot be listened on, or a file of ``tls`` not used.
    """
    scheme = "https" if tls else "http"
    with bind(host, port) as listening:
        Server(app, lambda: on_ready(url_of(listening, scheme)), on_stop, tls).run(sockets=[listening])


def bind(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; raise Misused where there is no such address or it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise Misused(f"{host!r} is no address of this machine: {error}.") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise Misused(
            f"Cannot listen on {host} port {port}: {error.strerror}.", hint="choose another one with --bind HOST:PORT"
        ) from error
    return listening


def url_of(listening: socket.socket, scheme: str = "http") -> str:
    """Return the URL under which a listening socket is reached, with its real port."""
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if listening.family == socket.AF_INET6 else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """A uvicorn server that says when it is ready, and returns when it was asked to stop."""

    def __init__(
        self,
        app: Litestar,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
        tls: TlsFiles | None = None,
    ) -> None:
        """Prepare to serve ``app``; see :func:`run`."""
        context = tls.context() if tls else None
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody's X-Forwarded-For is believed
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_LIMIT_S,
            ssl_context_factory=(lambda config, default: context) if context else None,
        )
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._tls, self._context = tls, context

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, then say so."""
        if self._tls is not None:
            _bound_handshakes(asyncio.get_running_loop())
            with contextlib.suppress(ValueError, RuntimeError):  # only the main thread hears signals
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def reload(self) -> None:
        """Read certificate and key anew for the connections to come; where they cannot be used, say so and go on."""
        if self._tls is None or self._context is None:
            return
        try:
            self._tls.reload(self._context)
        except PrivySealError as error:
            logging.getLogger("privyseal").error("the certificate was not read anew: %s", error)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send home who only waits, then drain."""
        self._on_stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; unlike uvicorn do not send ourselves the signal again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _bound_handshakes(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop's TLS servers give up a handshake after HANDSHAKE_TIMEOUT_S; uvicorn has no setting for it."""
    loop.create_server = functools.partial(loop.create_server, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S)  # type: ignore[method-assign]


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with limits uvicorn does not set: how large the head of a request may be and how long it may take."""

    _head_octets = 0
    _head_timer: asyncio.TimerHandle | None = None
    _certificate: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the clock for the first request, and remember whom the TLS layer verified (its handshake is over)."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.context.verify_mode is not ssl.CERT_NONE:
            self._certificate = tls.getpeercert(binary_form=True)
        self.access_log = False  # uvicorn would ask the logger, which another part of the process may have set up
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._head_is_there()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start the clock for a further request."""
        super().on_message_begin()
        if self._certificate is not None:
            extensions: Any = {CLIENT_CERTIFICATE: self._certificate}
            self.scope["extensions"] = extensions
        self._head_octets = 0
        self._await_head()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._head_is_there()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem document too; no handler and no framework ever sees it."""
        kind = problem.HTTP_KINDS[400]
        scope: Any = {"headers": []}
        document = problem.document(kind, msg, None, problem.request_id(scope))
        body = msgspec.json.encode(document)
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {problem.MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {document.request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def _count(self, octets: int) -> None:
        self._head_octets += octets
        if self._head_octets > LARGEST_HEAD:
            raise ValueError(f"the head of the request is larger than {LARGEST_HEAD} octets")

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
