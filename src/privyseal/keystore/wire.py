"""One kept connection to a cloud, over which it is known of every failed call whether the cloud can have seen it.

No proxy, redirect or credential of the environment is used: whoever answers is whom the section names. Certificates
are checked against the system's authorities or the one file that the section names.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from privyseal.errors import KeyStoreUnavailable, Misused
from privyseal.keystore.clouds import NotDone

MAX_ANSWER_OCTETS = 4 << 20
"""Octets of one answer; a page of 50 events of CloudTrail, the largest that is asked for, has some 150 KiB."""


class Reply(NamedTuple):
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


class Wire:
    """A connection to one address, used by one thread and made anew where it was lost."""

    def __init__(self, whom: str, url: str, ca_file: Path | None, seconds: float) -> None:
        """Call ``whom``, as messages name it, at an address; ``seconds`` without an octet are too many."""
        self.whom = whom
        self._parts = urlsplit(url)
        self._seconds = seconds
        self._context = _context(ca_file) if self._parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        self.host = self._parts.netloc

    def call(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Make one call, once.

        Raises NotDone where it certainly was not received whole, and KeyStoreUnavailable where it may have been.
        """
        connection = self._connected()
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body or None, dict(headers))
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NotDone(self._unreached(error), soon=False) from None
        try:
            with connection.getresponse() as response:
                octets = response.read(MAX_ANSWER_OCTETS + 1)
                # What is left of the announced length: a read that is told how much to read does not miss the rest.
                if len(octets) > MAX_ANSWER_OCTETS or response.length:
                    raise http.client.HTTPException("more or fewer octets came than announced, or than are taken")
                if response.will_close:
                    self.close()
                return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, octets)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise KeyStoreUnavailable(
                f"{self.whom} broke off in the middle of a call ({_reason(error)}).",
                hint="whether it was done is unknown; it is not asked again for the same",
            ) from None

    def close(self) -> None:
        """Close the connection; the next call makes one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        kept = self._connection
        if kept is not None and kept.sock is not None and not select.select([kept.sock], [], [], 0)[0]:
            return kept  # what is readable before a question was closed by the other side, or is not ours
        self.close()
        host, port = self._parts.hostname or "", self._parts.port
        if self._context is not None:
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._seconds, context=self._context
            )
        else:
            made = http.client.HTTPConnection(host, port, timeout=self._seconds)
        try:
            made.connect()
            made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            made.close()
            raise NotDone(self._unreached(error), soon=False) from None
        self._connection = made
        return made

    def _unreached(self, error: Exception) -> KeyStoreUnavailable:
        return KeyStoreUnavailable(
            f"{self.whom} at {self._parts.hostname} cannot be reached ({_reason(error)}).",
            hint="look at the address in the settings and at the network; it is tried again by itself",
        )


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError):
        raise Misused(f"{ca_file} holds no certificates in PEM that TLS could trust.") from None


def _reason(error: Exception) -> str:
    """Return why, in a few words; what the other side said is not repeated."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "it closed the connection" if isinstance(error, ConnectionError) else "what it sent is no whole answer"
