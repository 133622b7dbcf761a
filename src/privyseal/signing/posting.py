"""One signed POST to a stranger's URL: Standard Webhooks, and nowhere that the URL's owner could not reach by itself.

A Subscriber chooses the URL and the service calls it, from inside the operator's network (server-side request forgery,
CWE-918). So the name is resolved once, every address it has is judged, and that very address is connected to; redirects
are not followed, no proxy of the environment is used, and little of the answer is read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

import msgspec

from privyseal import __version__
from privyseal.errors import BadInput, Unavailable

Targets: TypeAlias = Literal["public", "loopback", "private"]
"""Where messages may go: only to public addresses, to this machine as well, or to anywhere."""

TIMEOUT_S = 10.0
"""Seconds for connecting and for each read; Standard Webhooks advises 15 to 30 for all of it."""
LARGEST_URL = 2000
"""Characters of a URL, as browsers and proxies take them."""
_LARGEST_ANSWER = 4096
_SECRET_TAG = b"privyseal/webhook/v1\0"


class Message(msgspec.Struct, frozen=True):
    """What is posted: its id, its time in whole seconds since 1970, its body."""

    id: str
    timestamp: int
    body: bytes


def secret(key: bytes, webhook: str) -> str:
    """Return a webhook's secret as Standard Webhooks writes it: made from the service's own key, and stored nowhere."""
    octets = hmac.new(key, _SECRET_TAG + webhook.encode("utf-8"), hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(octets).decode("ascii")


def signature(secret_text: str, message: Message) -> str:
    """Return ``webhook-signature``: HMAC-SHA-256 over id, timestamp and body (Standard Webhooks, Signature scheme)."""
    key = base64.b64decode(secret_text.removeprefix("whsec_"))
    signed = f"{message.id}.{message.timestamp}.".encode() + message.body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")


def check_url(url: str, targets: Targets) -> SplitResult:
    """Read a URL that messages may go to, without asking anybody; BadInput says why it is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadInput("This is no URL.", hint="https://host/path") from None
    if len(url) > LARGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise BadInput(f"A webhook's URL has at most {LARGEST_URL} printable ASCII characters and no blanks.")
    if not host or port == 0 or parts.username is not None or parts.password is not None or parts.fragment:
        raise BadInput("A webhook's URL has a host, and no user, password or fragment.", hint="https://host/path")
    if parts.scheme == "https":
        return parts
    if parts.scheme == "http" and targets != "public" and host in ("127.0.0.1", "::1", "localhost"):
        return parts
    raise BadInput("Messages go to https URLs only.", hint="http is for this machine alone, where [notices] allows it")


def post(url: str, message: Message, secret_text: str, targets: Targets) -> str:
    """Send one message; return what the receiver said, in a few words.

    Raises Unavailable where it was not taken, BadInput where it must not go there.
    """
    parts = check_url(url, targets)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"privyseal/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(message.timestamp),
        "webhook-signature": signature(secret_text, message),
    }
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = _connected(parts, targets)
        try:
            connection.request("POST", path, message.body, headers)
            answer = connection.getresponse()
            answer.read(_LARGEST_ANSWER)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise Unavailable(f"It could not be reached: {str(why)[:200]}.") from error
    if not 200 <= answer.status < 300:
        raise Unavailable(f"It answered with status {answer.status}.")
    return f"taken with status {answer.status}"


def _connected(parts: SplitResult, targets: Targets) -> http.client.HTTPConnection:
    """Connect to an address that was judged, so that no second look at the name leads elsewhere (DNS rebinding)."""
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        _require_allowed(address, targets)
    stream: socket.socket = socket.create_connection((addresses[0], port), TIMEOUT_S)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    if secure:
        connection.default_port = 443
        try:
            stream = ssl.create_default_context().wrap_socket(stream, server_hostname=host)
        except BaseException:
            stream.close()
            raise
    connection.sock = stream
    return connection


_NOWHERE = tuple(map(ipaddress.ip_network, ("64:ff9b:1::/48", "fec0::/10")))
"""Not global, though Python 3.11 has it so: a network's own translation (RFC 8215), and site-local (RFC 3879)."""
_TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "::/96")))
"""Whose last four octets are an IPv4 address: translated by a gateway (RFC 6052), and of old (RFC 4291 2.5.5.1)."""


def _within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which an IPv6 address leads, None where it leads to none."""
    if any(address in one for one in _TRANSLATED) and int(address) > 1:  # :: and ::1 are addresses of their own
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _require_allowed(address: str, targets: Targets) -> None:
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = _within(found) if isinstance(found, ipaddress.IPv6Address) else None
    for each in (found, *([inner] if inner is not None else [])):
        if targets == "private" or (each.is_loopback and targets == "loopback"):
            continue
        if not each.is_global or each.is_multicast or any(each in one for one in _NOWHERE):
            raise BadInput(
                "Its address is not a public one, and messages go to public ones only.",
                hint="the operator can allow others: [notices] targets",
            )
