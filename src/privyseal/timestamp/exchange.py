"""HTTP to timestamp authorities (RFC 3161 3.4): connections that stay open, answers bounded in size and time.

Tokens are signed, so plain http is no weakness; credentials go over https or to this machine only. No redirect is
followed. One :class:`Lines` serves many files: what is idle is used again, and no more than ``MOST_CONNECTIONS`` are
open to one authority.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from privyseal.errors import Misused, Unavailable
from privyseal.timestamp import retry
from privyseal.timestamp.address import Address
from privyseal.timestamp.client import Reply
from privyseal.timestamp.messages import MAX_RESPONSE_OCTETS, REPLY_TYPE

MOST_CONNECTIONS = 4
"""Connections to one authority at once; browsers open six to a host."""

STEP_LIMIT_S = 10.0
"""Seconds without an octet before a connection counts as dead; connecting included."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts to which credentials may go without TLS, for nobody listens in between."""

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,17})){1,30}")
"""An object identifier in dotted decimal."""

Proxy = Callable[[str, str], tuple[str, int] | None]
"""Scheme and host of an authority -> host and port of the proxy to ask, or None."""


class _Place(NamedTuple):
    """Where one URL leads."""

    scheme: str
    host: str
    port: int | None


class Lines:
    """Lines to any number of authorities. Safe to use from several threads."""

    def __init__(
        self,
        *,
        proxy: Proxy | None = None,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        agent: str = "privyseal",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Connect to nobody yet.

        ``proxy`` names the one to go through, ``context`` makes what https is spoken by, ``agent`` is the User-Agent.
        A date in Retry-After is held against ``now`` where the answer has none of its own.
        """
        self._proxy = proxy
        self._make_context = context
        self._agent = agent
        self._now = now
        self._guard = threading.Lock()
        self._idle: dict[_Place, list[http.client.HTTPConnection]] = {}
        self._room: dict[_Place, threading.Semaphore] = {}
        self._busy: set[http.client.HTTPConnection] = set()
        self._context: ssl.SSLContext | None = None

    def post(self, url: str, body: bytes, media_type: str, limit_s: float) -> Reply:
        """POST and return the whole answer, of at most one octet more than ``MAX_RESPONSE_OCTETS``.

        Unavailable where none comes within ``limit_s`` seconds, or it is cut short; Misused for a URL that is none.
        """
        parts = split(url)
        place = _Place(parts.scheme, parts.hostname or "", parts.port)
        headers = {"Content-Type": media_type, "Accept": REPLY_TYPE, "User-Agent": self._agent}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        with self._guard:
            room = self._room.setdefault(place, threading.Semaphore(MOST_CONNECTIONS))
        until = time.monotonic() + limit_s
        if not room.acquire(timeout=limit_s):
            raise Unavailable("Its connections are all busy.")
        try:
            return self._exchange(place, _target(parts), body, headers, until)
        except TimeoutError:
            raise Unavailable("It did not answer in time.") from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise Unavailable(f"It cannot be reached, or was cut off: {_why(error)}.") from None
        finally:
            room.release()

    def close(self) -> None:
        """Close all connections; whoever waits on one stops waiting."""
        with self._guard:
            idle, self._idle = [one for several in self._idle.values() for one in several], {}
            busy = list(self._busy)
        for one in busy:
            _cut(one)
        for one in idle:
            one.close()

    def _exchange(self, place: _Place, target: str, body: bytes, headers: dict[str, str], until: float) -> Reply:
        """Send and read; at once again where the server had closed a connection that was kept open."""
        while True:
            with self._guard:
                several = self._idle.get(place)
                kept = several.pop() if several else None
            connection = kept or self._connection(place)
            keep = False
            with self._guard:
                self._busy.add(connection)
            alarm = _Alarm(connection, until)
            try:
                connection.request("POST", self._absolute(place, target), body, headers)
                response = connection.getresponse()
                reply, keep = _read(response, self._now())
                alarm.check()
                return reply
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                alarm.check()
                if kept is None:
                    raise
            except (OSError, http.client.HTTPException, ValueError):
                alarm.check()
                raise
            finally:
                keep = not alarm.off() and keep
                with self._guard:
                    self._busy.discard(connection)
                    if keep:
                        self._idle.setdefault(place, []).append(connection)
                if not keep:
                    connection.close()

    def _connection(self, place: _Place) -> http.client.HTTPConnection:
        proxy = self._proxy(place.scheme, place.host) if self._proxy is not None else None
        host, port = proxy or (place.host, place.port)
        if place.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=STEP_LIMIT_S)
        with self._guard:
            self._context = self._context or self._make_context()
        secure = http.client.HTTPSConnection(host, port, timeout=STEP_LIMIT_S, context=self._context)
        if proxy is not None:
            secure.set_tunnel(place.host, place.port or 443)
        return secure

    def _absolute(self, place: _Place, target: str) -> str:
        """Return what the request line names: all of the URL where a proxy is asked for plain http (RFC 9112 3.2.2)."""
        if place.scheme == "https" or self._proxy is None or self._proxy(place.scheme, place.host) is None:
            return target
        host = f"[{place.host}]" if ":" in place.host else place.host
        return f"http://{host}{'' if place.port is None else f':{place.port}'}{target}"


class _Alarm:
    """Ends a connection when its time is over.

    The one way to bound an answer that dribbles: its headers are read by http.client, line by line.
    """

    def __init__(self, connection: http.client.HTTPConnection, until: float) -> None:
        self._connection = connection
        self._rang = False
        self._timer = threading.Timer(max(until - time.monotonic(), 0.01), self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        self._rang = True
        _cut(self._connection)

    def check(self) -> None:
        """Raise TimeoutError where the time is over: whatever was read until then is not the answer."""
        if self._rang:
            raise TimeoutError

    def off(self) -> bool:
        """Turn it off; True where it rang."""
        self._timer.cancel()
        return self._rang


def _read(response: http.client.HTTPResponse, now: datetime) -> tuple[Reply, bool]:
    """Read an answer, and tell whether its connection can be used again."""
    octets = response.read(MAX_RESPONSE_OCTETS + 1)
    whole = len(octets) <= MAX_RESPONSE_OCTETS
    if whole and response.length:  # of what was announced: read() takes a body that is cut short for a whole one
        raise http.client.IncompleteRead(octets, response.length)
    after = retry.seconds(response.headers.get("Retry-After"), response.headers.get("Date"), now)
    reply = Reply(response.status, octets, response.headers.get("Content-Type", ""), after)
    return reply, whole and not response.will_close


def split(url: str) -> SplitResult:
    """Cut an authority's URL into its parts; Misused, without its credentials, where it is none."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError where it is no number
    except ValueError:
        raise Misused("The URL of a timestamp authority cannot be read.", hint="check it for typing errors") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment or not url.isprintable():
        shown = parts.hostname or "what was given"
        raise Misused(
            f"{shown[:200]!r} is no address of a timestamp authority.", hint="such as https://timestamp.example.org/tsr"
        )
    if parts.username is not None and parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise Misused(
            f"The password for {parts.hostname} would be readable on the way.", hint="use an https URL, or no password"
        )
    return parts


def check(address: Address) -> None:
    """Raise Misused where an authority's URL, pace or policy cannot be meant."""
    split(address.url)
    if not 0 <= address.every_s < 3600:
        raise Misused(
            f"every_s of {address.host} is {address.every_s}; from 0 to 3600 seconds were expected.",
            hint="leave it out where its operator asks for none",
        )
    if address.policy is not None and not _OID.fullmatch(address.policy):
        raise Misused(
            f"The policy of {address.host} is no object identifier.", hint="write it in dots, such as 2.23.140.1.4.2"
        )


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection under whoever waits for it."""
    if (sock := connection.sock) is not None:
        with contextlib.suppress(OSError):
            # Not SSLSocket's own, which also takes the session away from under the thread that reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, http.client.IncompleteRead):
        return "its answer was cut short"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
