"""Addresses of clouds, which the settings of every guarded process name, and which most of them never call.

So nothing here brings HTTP or TLS along: that does ``wire.py``, in the worker that calls.
"""

from __future__ import annotations

from urllib.parse import urlsplit

METADATA = "http://169.254.169.254"
"""Where a machine in a cloud is told who it is: a link-local address that both clouds use, by plain http."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_address(url: str) -> None:
    """Refuse, with ValueError, what is no https address; http is for this machine alone."""
    parts = urlsplit(url)
    if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)) or not parts.hostname:
        raise ValueError(f"{url[:200]} is no https address, nor an http one of this machine")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("an address of a cloud has no user, query or fragment")


def port_of(url: str) -> int:
    """Return the TCP port of an address."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
