"""One question by HTTP to somebody whom the operator named: bounded in size and time, and never led elsewhere.

No proxy of the environment is used and no redirect followed, so what answers is whoever the configuration says.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from privyseal.access.oidc import LOOPBACK
from privyseal.errors import BadInput

STEP_LIMIT_S = 5.0
"""Seconds without an octet before a connection counts as dead."""


class Limits(NamedTuple):
    """What is taken of one answer."""

    most: int
    """Octets."""
    seconds: float
    """For all of it, however it dribbles."""


# The last two make a POST of it; both have defaults.
def ask(
    url: str,
    limits: Limits,
    *,
    loopback: bool,
    form: Mapping[str, str] | None = None,
    basic: tuple[str, str] | None = None,
) -> tuple[int, bytes]:
    """GET a URL, or POST a form with HTTP Basic; return status and body.

    By https, or where ``loopback`` from this machine by http. Raises OSError and HTTPException where nobody answers,
    TimeoutError where not all came in time, and BadInput for another kind of URL and for more than ``limits`` allow.
    """
    connection, path = _connection(url, min(STEP_LIMIT_S, abs(limits.seconds)), loopback)
    headers = {"Accept": "application/json", "User-Agent": "privyseal"}
    if basic is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode("ascii")
    body = None
    if form is not None:
        body, headers["Content-Type"] = urlencode(form).encode("ascii"), "application/x-www-form-urlencoded"
    until = time.monotonic() + limits.seconds
    try:
        connection.request("GET" if form is None else "POST", path, body, headers)
        with connection.getresponse() as response:
            octets = bytearray()
            while piece := response.read1(65536):
                octets += piece
                if len(octets) > limits.most:
                    raise BadInput(f"it sent more than {limits.most} octets.")
                if time.monotonic() > until:
                    raise TimeoutError(f"it did not send all within {limits.seconds:.0f} s")
            if response.length:  # of what was announced: read1 takes a body that is cut short for a whole one
                raise http.client.IncompleteRead(bytes(octets), response.length)
            return response.status, bytes(octets)
    finally:
        connection.close()


def _connection(url: str, step: float, loopback: bool) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https" and host:
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, parts.port, timeout=step, context=context), path
    if parts.scheme == "http" and loopback and host in LOOPBACK:
        return http.client.HTTPConnection(host, parts.port, timeout=step), path
    raise BadInput(f"{url[:200]!r} is no https address.")
