"""What comes in: a body read under its limit, and JSON decoded once, strictly, into the very struct the core uses.

Litestar would decode JSON leniently, taking ``"12"`` for 12 and a bare number for a time. Here a time is an RFC 3339
string with its offset, a number is a number, an unknown field is refused by its name, and a body that is not UTF-8 or
nested too deep is malformed like any other.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar.connection import Request
from litestar.exceptions import ClientException, HTTPException
from litestar.types import Receive

from privyseal.errors import BadInput, TooLarge

BODY_LIMIT = 1024 * 1024
"""Octets of a JSON body: a request describes at most 128 pieces of code in well under 1 KiB each."""

BODY_TIMEOUT_S = 30.0
"""How long a body may take to arrive; nginx allows 60 s between two reads, and ours are a hundredth of its bodies."""

SLOWEST_BODY = 1024
"""Octets a second that a long body must come with on the whole; Apache's mod_reqtimeout asks for 500."""

BODY_READ = "body-read"
"""Set in the ASGI scope's state when a body was read to its end, so that the connection can be used again."""

_LONGEST_DETAIL = 300
"""Characters of msgspec's explanation that are passed on: an unknown field's name may be as long as the body."""


class Incoming(Request[Any, Any, Any]):
    """A request whose body is bounded and whose JSON is decoded strictly, as the type its handler calls ``data``."""

    async def body(self) -> bytes:
        """Read the whole body, never keeping more than its route's limit.

        Raises TooLarge, and as Litestar's own exceptions 400 (the client left), 408 (too slow) and 415 (compressed).
        """
        known = self._connection_state.body
        if not isinstance(known, bytes):
            known = await receive_whole(
                self.receive,
                self.route_handler.resolve_request_max_body_size() or BODY_LIMIT,
                encoding=self.headers.get("content-encoding"),
                announced=self.headers.get("content-length"),
            )
            self._connection_state.body = known
        return known

    async def pieces(self, most: int) -> AsyncIterator[bytes]:
        """Yield the body as it comes, at most ``most`` octets of it, without keeping any.

        Nothing more is read of a body that is too large, too slow or broken: the connection is closed after the answer.
        Raises TooLarge before the octets that are too many are yielded, and 400, 408 and 415 as :meth:`body` does.
        """
        _refuse_encoding(self.headers.get("content-encoding"))
        if _octets(self.headers.get("content-length")) > most:
            raise _too_large(most)
        clock = asyncio.get_running_loop()
        began, received, more = clock.time(), 0, True
        while more:
            # Whoever sends one octet every 29 s would hold a connection for years (slowloris); so the whole has a pace.
            late = began + BODY_TIMEOUT_S + received / SLOWEST_BODY
            try:
                async with asyncio.timeout_at(min(late, clock.time() + BODY_TIMEOUT_S)):
                    event: Any = await self.receive()
            except TimeoutError as error:
                raise HTTPException("The body came too slowly; what came is kept.", status_code=408) from error
            if event["type"] == "http.disconnect":
                raise ClientException("The client left before its body was complete.")
            octets, more = event.get("body", b""), event.get("more_body", False)
            received += len(octets)
            if received > most:
                raise _too_large(most)
            yield octets
        self.scope.setdefault("state", {})[BODY_READ] = True

    async def json(self) -> Any:
        """Decode the body as the handler's ``data``: 415 or 400 where it is no JSON, BadInput where it is another."""
        require_media_type(self.headers.get("content-type"), "application/json")
        field = self.route_handler.parsed_data_field
        return decode(await self.body(), field.annotation if field else Any)


async def receive_whole(receive: Receive, limit: int, encoding: str | None, announced: str | None) -> bytes:
    """Read a whole body, never keeping more than ``limit`` octets of it.

    ``encoding`` and ``announced`` are the request's Content-Encoding and Content-Length, None where it has none. Raises
    as :meth:`Incoming.body`.
    """
    _refuse_encoding(encoding)
    if _octets(announced) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _received(receive, limit)
    except TimeoutError as error:
        raise HTTPException(f"The body did not arrive within {BODY_TIMEOUT_S:.0f} s.", status_code=408) from error


async def _received(receive: Receive, limit: int) -> bytes:
    received = bytearray()
    while True:
        event: Any = await receive()
        if event["type"] == "http.disconnect":
            raise ClientException("The client left before its body was complete.")
        received += event.get("body", b"")
        if len(received) > limit:
            raise _too_large(limit)
        if not event.get("more_body", False):
            return bytes(received)


def _refuse_encoding(encoding: str | None) -> None:
    if (encoding or "").strip().lower() not in ("identity", ""):
        raise HTTPException(
            "The body is compressed; it was expected as it is.",
            status_code=415,
            extra={"hint": "send it without Content-Encoding"},
        )


def _octets(announced: str | None) -> int:
    if announced is None:
        return 0
    if not announced.isascii() or not announced.isdigit():
        raise ClientException("The Content-Length header is not a number.")
    return int(announced) if len(announced) <= 18 else 10**18


def require_media_type(content_type: str | None, expected: str) -> None:
    """Raise 415 where the body is declared as something other than ``expected``; parameters do not matter."""
    declared = (content_type or "").partition(";")[0].strip().lower()
    if declared != expected:
        raise HTTPException(
            f"The body's Content-Type is {declared[:100]!r}; {expected} was expected.",
            status_code=415,
            extra={"hint": f"send the header 'Content-Type: {expected}'"},
        )


def decode(body: bytes, kind: Any) -> Any:
    """Decode JSON strictly as ``kind``; raise 400 where it is no JSON and BadInput where it is not of that shape."""
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        name = getattr(kind, "__name__", "document")
        raise BadInput(
            f"The body is not a {name}: {str(error)[:_LONGEST_DETAIL]}.", hint="see /v1/openapi.json for its fields"
        ) from error
    except RecursionError as error:
        raise ClientException("The body is nested too deep to be anything that is expected here.") from error
    except UnicodeDecodeError as error:
        raise ClientException("The body is not UTF-8, as JSON must be (RFC 8259 8.1).") from error
    except ValueError as error:  # msgspec.DecodeError is one
        raise ClientException(f"The body is not JSON: {str(error)[:_LONGEST_DETAIL]}.") from error


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=True)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit} octets, the most this path takes.")
