"""The client of the native API (``/v1/...``), over ``http.client``: no other HTTP library starts in under 70 ms.

Connections are kept open and shared by threads. What fails on the way is tried again a few times with the same
Idempotency-Key, which is what makes that safe; then it is Unavailable. An answer that says no is not tried again.
Redirects are not followed: the token is for the server that was named.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from privyseal import __version__
from privyseal.cli.identity import LateToken
from privyseal.cli.output import printable
from privyseal.cli.profile import Profile
from privyseal.cli.tls import SYSTEM_TRUST, Tls, refusal
from privyseal.errors import (
    BadInput,
    ClaimMismatch,
    Misused,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    NotYet,
    PrivySealError,
    TooLarge,
    Unavailable,
    from_code,
)
from privyseal.terms.canonical import decoder
from privyseal.timestamp import retry

T = TypeVar("T")

PAUSES = (0.3, 1.0, 3.0)
"""Seconds before the second, third and fourth try; together less than a person waits, more than a restart of `serve`
takes."""

LONGEST_PAUSE = 30.0
"""Seconds of a Retry-After that we obey: the most that our own service asks for. A longer one ends the run, for a build
should not sleep in our hands."""

TIMEOUT = 60.0
"""Seconds without an octet before a connection counts as dead; one signature takes well under a second."""

LARGEST_ANSWER = 16 * 1024 * 1024
"""Octets of one answer; a receipt has some 3 KiB and a blob some 8, so this is a list of thousands."""

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may be sent again (RFC 9110 15; 409 says so itself, by ``retryable``)."""

BY_STATUS: dict[int, type[PrivySealError]] = {
    401: NotAuthenticated,
    403: NotPermitted,
    404: NotFound,
    413: TooLarge,
}
"""What a refusal means that names none of our codes: a proxy's, or one of HTTP's own mistakes."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts to which a token may go without TLS, for nobody listens in between."""


class Mismatch(msgspec.Struct, frozen=True):
    """One claim of a run and what its trust rule expects of it."""

    claim: str
    came: str
    expected: str
    same: bool


class Problem(msgspec.Struct, frozen=True):
    """An RFC 9457 problem document, as far as it is read here."""

    title: str | None = None
    detail: str | None = None
    code: str | None = None
    hint: str | None = None
    retryable: bool = False
    mismatches: tuple[Mismatch, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What the server said, where it did not say no."""

    status: int
    body: bytes
    request_id: str | None = None
    """By which the service's log knows this call."""

    def read(self, kind: type[T]) -> T:
        """Decode the JSON body as a ``kind``; raise Unavailable where it is none, for that is not our service."""
        try:
            return decoder(kind).decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(
                f"The service answered with something that is no {kind.__name__}: {printable(str(error))}.",
                hint="is the url right, and is the service of this version?",
            ) from error


class Server:
    """One HTTP server. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        tls: Tls = SYSTEM_TRUST,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare to talk to the server at ``url``; nothing is sent yet.

        Raises Misused for an unusable url, and for files of ``tls`` that cannot be used.
        """
        self.url = url.rstrip("/")
        self._token = token
        self._sleep = sleep
        self._guard = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        parts = _split(self.url)
        self._secure = parts.scheme == "https"
        self._host, self._port, self._prefix = parts.hostname or "", parts.port, parts.path
        if self._token:
            self.require_private()
        self._certified = tls.certificate is not None
        if self._certified and not self._secure:
            raise Misused(f"A client certificate is configured, and {printable(self.url)} is not https.")
        self._context = tls.context() if self._secure else None

    def require_private(self) -> None:
        """Raise Misused where a token would be readable on the way."""
        if not self._secure and self._host not in LOOPBACK:
            raise Misused(
                f"{printable(self.url)} is not encrypted, and the token would be readable on the way.",
                hint="use an https url; only a service on this machine may be called by http",
            )

    def close(self) -> None:
        """Close the connections that are kept open."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send one request, again and again where that may help, and return the answer that is no refusal.

        Raises the error of ours that a refusal names or means; Unavailable where nobody answers.
        """
        headers = {"Accept": "application/json", **headers, "User-Agent": f"privyseal/{__version__}"}
        if (token := self._bearer()) is not None:
            headers["Authorization"] = f"Bearer {token}"
        request_id = headers["X-Request-Id"] = "C-" + secrets.token_hex(10)  # one for all tries
        for pause in (*PAUSES, None):
            retry_after: float | None = None
            try:
                status, answered, octets = self._exchange(method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                handshake = refusal(self.url, error)
                refused: PrivySealError = handshake or self._unreachable(error)
                again = handshake is None
            else:
                if status < 300:
                    return Answer(status, octets, request_id)
                refused, again = self._refusal(status, octets)
                refused.request_id = request_id
                retry_after = retry.seconds(answered.get("Retry-After"), answered.get("Date"), datetime.now(UTC))
            if pause is None or not again or (retry_after or 0.0) > LONGEST_PAUSE:
                raise refused
            self._sleep(max(pause, retry_after or 0.0))
        raise AssertionError("the last pause is None")

    @contextlib.contextmanager
    def opened(
        self, method: str, path: str, headers: Mapping[str, str], body: Iterator[bytes] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Send one request, once, and give its answer to be read piece by piece; refusals are raised as in :meth:`ask`.

        Whoever calls tries again by itself, for it knows what came through. Raises OSError and HTTPException as they
        come; a refusal that was sent while we were still sending is read all the same.
        """
        headers = {"Accept": "*/*", **headers, "User-Agent": f"privyseal/{__version__}"}
        if (token := self._bearer()) is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = self._connect()
        try:
            try:
                connection.request(method, self._prefix + path, body, headers)
            except (BrokenPipeError, ConnectionResetError) as error:
                try:
                    response = connection.getresponse()
                except (OSError, http.client.HTTPException):
                    raise error from None
            else:
                response = connection.getresponse()
            if response.status >= 300:
                raise self._refusal(response.status, response.read(LARGEST_ANSWER))[0]
            yield response
        finally:
            connection.close()

    def _bearer(self) -> str | None:
        """Return the token to send, if any."""
        return self._token

    def sleep(self, seconds: float) -> None:
        """Wait before another try."""
        self._sleep(seconds)

    def unreachable(self, error: Exception) -> Unavailable:
        """Say that the server does not answer, and why."""
        return self._unreachable(error)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send one request and read its answer; at once again where the server had closed a connection kept open."""
        while True:
            with self._guard:
                kept = self._idle.pop() if self._idle else None
            connection = kept or self._connect()
            keep = False
            try:
                connection.request(method, self._prefix + path, body, headers)
                response = connection.getresponse()
                octets = response.read(LARGEST_ANSWER + 1)
                if len(octets) > LARGEST_ANSWER:
                    raise http.client.HTTPException(f"an answer of more than {LARGEST_ANSWER} octets")
                keep = not response.will_close
                return response.status, response.headers, octets
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if kept is None:
                    raise
            finally:
                if keep:
                    with self._guard:
                        self._idle.append(connection)
                else:
                    connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        proxy = proxy_of("https" if self._secure else "http", self._host)
        host, port = (proxy.hostname or "", proxy.port or 3128) if proxy else (self._host, self._port)
        if not self._secure:
            if proxy:
                raise Misused("A proxy is configured, and the service's url is not https.", hint="set NO_PROXY")
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=self._context)
        if proxy:
            connection.set_tunnel(self._host, self._port)
        return connection

    def _unreachable(self, error: Exception) -> Unavailable:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if self._certified and isinstance(error, ConnectionResetError):  # its alert got lost with the connection
            why += ", perhaps because the client certificate is refused"
        return Unavailable(
            f"The service at {printable(self.url)} does not answer: {printable(why)}.",
            hint="is it running, and is the url right? Running this again is safe",
        )

    def _refusal(self, status: int, octets: bytes) -> tuple[PrivySealError, bool]:
        """Turn an answer that says no into an error of ours, and tell whether to ask again."""
        try:
            problem = decoder(Problem).decode(octets)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = Problem()
        hint = printable(problem.hint, 400) if problem.hint else None
        text = printable(problem.detail or problem.title or "", 1000)
        if status == 401 and self._certified and not self._token and "No credential" in text:
            hint = "the service asks for no client certificate: its [tls] names no client_authorities"
        refused = from_code(problem.code or "", text, hint)
        if isinstance(refused, ClaimMismatch):
            refused.compared = tuple((one.claim, one.came, one.expected, one.same) for one in problem.mismatches)
        if problem.code and refused.code == problem.code:
            soon = not isinstance(refused, NotYet)
            return refused, soon and (problem.retryable or refused.retryable)
        kind = BY_STATUS.get(status, Unavailable if status in AGAIN or not 400 <= status < 500 else BadInput)
        detail = f"The service at {printable(self.url)} answered with HTTP status {status}"
        return kind(f"{detail}: {text}" if text else f"{detail}.", hint=hint), problem.retryable or status in AGAIN


def kept_token(profile: Profile) -> str | None:
    """Return the configured token, or the one that ``privyseal login`` kept for this service."""
    if profile.token is not None or profile.client_certificate is not None or profile.url is None:
        return profile.token
    from privyseal.cli import session  # only who has no credential of another kind

    kept = session.recall(profile.url)
    return kept.token if kept else None


class Service(Server):
    """One Privy Seal service, on behalf of one Subscriber."""

    def __init__(self, profile: Profile, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Prepare to talk to the service of a profile; Misused where the profile lacks something."""
        kept = kept_token(profile)
        super().__init__(profile.need("url"), token=kept, tls=Tls.of(profile), sleep=sleep)
        self.profile = profile
        self.subscriber = profile.need("subscriber")
        self._late: LateToken | None = None
        if kept is None and profile.client_certificate is None:
            self._late = LateToken(profile, Server(self.url, tls=Tls.of(profile), sleep=sleep))

    def _bearer(self) -> str | None:
        """Return the profile's token, that of ``privyseal login``, or the one that a job gets for its identity."""
        if self._late is None:
            return super()._bearer()
        return self._late.bearer()

    def path(self, *elements: str) -> str:
        """Return ``/v1/SUBSCRIBER/...``, each element escaped."""
        return "/v1/" + "/".join(quote(element, safe="") for element in (self.subscriber, *elements))

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET a path below the service's url."""
        return self.ask("GET", path, None, headers or {})

    def post(self, path: str, document: bytes, idempotency_key: str) -> Answer:
        """POST a JSON document under an Idempotency-Key."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        return self.ask("POST", path, document, headers)


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError where it is no number
    except ValueError as error:
        raise Misused(f"{printable(url)} is no url: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Misused(f"{printable(url)} is no url of a service; one such as https://seal.example.org was expected.")
    return parts


def proxy_of(scheme: str, host: str) -> Any:
    """Return the proxy that the environment asks for (HTTPS_PROXY, NO_PROXY), split, or None."""
    if not any(
        os.environ.get(name) for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    ):
        return None
    from urllib import request  # 20 ms, only behind a proxy

    if host in LOOPBACK or request.proxy_bypass(host):
        return None
    proxies = request.getproxies()
    chosen = proxies.get(scheme) or proxies.get("all")
    return urlsplit(chosen if "//" in chosen else f"http://{chosen}") if chosen else None
