"""The application on a socket: bound before anything else, drained on SIGTERM, hostile heads refused early.

uvicorn keeps no access log: what is told of a request is told by ``front.py``, and only where the operator asks for it.
What happened to whom is in the records.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import resource
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, cast

import msgspec
import uvicorn
from litestar.types import ASGIApp
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
DRAIN_LIMIT_S = 40.0
"""How long requests under way are waited for; a POST that waits for its signature gives up after 30."""
MOST_CONNECTIONS = 2000
"""Connections at once; on more each request is refused, and beyond twice as many they are closed unheard."""
SPARE_DESCRIPTORS = 256
"""Open files that we need besides connections: databases, sockets of the guarded processes, files of the log."""
BACKLOG = 1024
"""Connections that wait to be accepted; Linux allows 4096 by default (net.core.somaxconn)."""
_LOOK_S = 0.02


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much the server takes on, and how it ends."""

    connections: int = MOST_CONNECTIONS
    drain_s: float = DRAIN_LIMIT_S
    under_way: Callable[[], int] = lambda: 0
    """Counts what must be finished before the socket is closed to those who come to be refused."""


def run(  # noqa: PLR0913 - each is one independent fact of how it is served
    app: ASGIApp,
    host: str,
    port: int,
    *,
    on_ready: Callable[[Server], None] = lambda server: None,
    on_stop: Callable[[], None] = lambda: None,
    bounds: Bounds | None = None,
    tls: TlsFiles | None = None,
) -> bool:
    """Serve until SIGTERM or SIGINT, then finish what is under way; tell whether all of it was finished.

    ``port`` 0 takes any free one. ``on_ready`` is called once when requests are accepted; ``on_stop`` on the event loop
    when draining begins. A second signal, or the bound, ends the draining. With ``tls`` it is https, and SIGHUP reads
    certificate and key anew; without, it changes nothing. Raises Misused where the address cannot be listened on, or a
    file of ``tls`` not used.
    """
    scheme = "https" if tls else "http"
    with bind(host, port) as listening:
        server = Server(app, lambda: on_ready(server), on_stop, bounds, tls)
        server.url = url_of(listening, scheme)
        _descriptors(2 * server.bounds.connections + SPARE_DESCRIPTORS)
        server.run(sockets=[listening])
    return not server.cut_off


def _descriptors(wanted: int) -> None:
    """Allow this process as many open files as it may need, as far as the system lets it (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        top = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, top), hard))


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
        app: ASGIApp,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
        bounds: Bounds | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        """Prepare to serve ``app``; see :func:`run`."""
        self.bounds = bounds or Bounds()
        self.url = ""
        self._told = False
        self.cut_off = False
        """Whether something was still under way at the end."""
        self._loop: asyncio.AbstractEventLoop | None = None
        most = self.bounds.connections
        context = tls.context() if tls else None
        config = uvicorn.Config(
            cast("Any", app),
            http=type("BoundedProtocol", (Protocol,), {"most_connections": most}),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody's X-Forwarded-For is believed
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(self.bounds.drain_s),
            ssl_context_factory=(lambda config, default: context) if context else None,
        )
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._tls, self._context = tls, context

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, then say so."""
        self._loop = asyncio.get_running_loop()
        if self._tls is not None:
            _bound_handshakes(asyncio.get_running_loop())
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def reload(self) -> None:
        """Read certificate and key anew for the connections to come; where they cannot be used, say so and go on.

        They are all that is read anew, so without ``[tls]`` there is nothing to do.
        """
        if self._tls is None or self._context is None:
            return
        try:
            self._tls.reload(self._context)
        except PrivySealError as error:
            logging.getLogger("privyseal").error("the certificate was not read anew: %s", error)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send home who only waits, refuse who comes, finish what is under way, and only then close the socket."""
        self._begin_to_stop()
        until = time.monotonic() + self.bounds.drain_s
        while self.bounds.under_way() and not self.force_exit and time.monotonic() < until:  # noqa: ASYNC110
            # A signal sets the one, the clock the other: nobody is there to set an event.
            await asyncio.sleep(_LOOK_S)
        self.cut_off = bool(self.bounds.under_way())
        self.config.timeout_graceful_shutdown = max(1, math.ceil(until - time.monotonic()))
        if self.cut_off:
            self.config.timeout_graceful_shutdown = 1
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop at the first signal, and give up on what is under way at the second."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin_to_stop)

    def _hang_up(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.reload)

    def _begin_to_stop(self) -> None:
        if not self._told:
            self._told = True
            self._on_stop()

    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self.server_state.connections)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, reload on SIGHUP; unlike uvicorn send ourselves no signal again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heard = {signal.SIGTERM: self.handle_exit, signal.SIGINT: self.handle_exit, signal.SIGHUP: self._hang_up}
        before = {number: signal.signal(number, handler) for number, handler in heard.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _bound_handshakes(loop: asyncio.AbstractEventLoop) -> None:
    """Have the loop's TLS servers give up a handshake after HANDSHAKE_TIMEOUT_S; uvicorn has no setting for it."""
    loop.create_server = functools.partial(loop.create_server, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S)  # type: ignore[method-assign]


class _Joined:
    """A connection that sends what is written to it in one turn of the loop together.

    uvicorn writes the head of an answer and then its body. Without delay on the socket each would be a packet, with a
    system call and a wake-up on either side: of a small answer's 140 microseconds 10 here, and as many at the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._first = b""
        """What was written in this turn; it goes out with the next octets, or alone when the turn is over."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, octets: bytes) -> None:
        """Keep the first octets of a turn, and send what is kept with the next ones."""
        if self._first:
            first, self._first = self._first, b""
            self._transport.writelines((first, octets))
        elif octets:
            self._first = octets
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Close the connection once everything is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._first and not self._transport.is_closing():
            first, self._first = self._first, b""
            self._transport.write(first)


def _refuse_doubt(version: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise ValueError for a head that a proxy before us may read in another way (RFC 9112 3.2, 6.1; RFC 9110 2.5)."""
    hosts, codings = 0, []
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
    if version not in ("1.0", "1.1"):
        raise ValueError(f"HTTP/{version} is not spoken here")
    if hosts != 1 and (hosts or version == "1.1"):
        raise ValueError(f"{hosts} fields tell the host, and one was expected")
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise ValueError("the only transfer coding that is taken is chunked")


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 with limits uvicorn does not set: how large the head of a request may be and how long it may take."""

    most_connections = MOST_CONNECTIONS
    _crowded = False
    _head_octets = 0
    _head_timer: asyncio.TimerHandle | None = None
    _certificate: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start the clock for the first request, and remember whom the TLS layer verified (its handshake is over)."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", _Joined(transport, self.loop))
        tls = transport.get_extra_info("ssl_object")
        # OpenSSL resumes sessions of TLS 1.2 for whoever was verified some time ago, and Python cannot tell it not to.
        if tls is not None and tls.context.verify_mode is not ssl.CERT_NONE and tls.version() == "TLSv1.3":
            self._certificate = tls.getpeercert(binary_form=True)
        self._crowded = len(self.connections) > self.most_connections
        if len(self.connections) > 2 * self.most_connections:
            transport.abort()
            return
        self.access_log = False  # uvicorn would ask the logger, which another part of the process may have set up
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and tell the request under way that nobody waits for it."""
        self._head_is_there()
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        if cycle is not None and not cycle.response_complete:
            problem.call_of(cycle.scope).gone = True
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
        """Begin to answer, where the head leaves no doubt who is asked and where the body ends."""
        self._head_is_there()
        _refuse_doubt(self.parser.get_http_version(), self.headers)
        if self._crowded:
            self.scope["state"]["crowded"] = True
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
