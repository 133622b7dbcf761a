"""JSON over HTTPS with a bearer token, as the clouds of Google and Microsoft are spoken to; each call is made once.

No vendor's library is used for it: theirs make a call again by rules of their own, and a signature that may have been
made must not be asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable, Misused
from privyseal.keystore.clouds import NotDone, patiently
from privyseal.keystore.wire import Reply, Wire

EARLY_SECONDS = 300
"""How long before its end a token is replaced; those of both clouds last an hour, or five minutes at least."""
_BUSY = frozenset({429, 500, 502, 503, 504})
_S = TypeVar("_S")


class Grant(Struct, frozen=True):
    """What is read of the answer to a question for a token (RFC 6749 section 5.1)."""

    access_token: str
    expires_in: int

    def __repr__(self) -> str:
        """Show none of it."""
        return "Grant(...)"


class Bearer:
    """The access token of one identity, for one audience; got anew before it ends, and where it was refused."""

    def __init__(self, get: Callable[[], Grant], clock: Callable[[], datetime], wire: Wire | None = None) -> None:
        """Get tokens from ``get``, which may raise what a client may, and which asks over ``wire`` if over any."""
        self._get = get
        self._wire = wire
        self._clock = clock
        self._known: tuple[str, datetime] | None = None

    def token(self) -> str:
        """Return the token of this moment."""
        known = self._known
        if known is None or self._clock() >= known[1]:
            grant = self._get()
            seconds = max(0, min(grant.expires_in, 86400))  # whatever is said, nobody's lasts longer
            known = (grant.access_token, self._clock() + timedelta(seconds=max(seconds - EARLY_SECONDS, seconds / 2)))
            self._known = known
        return known[0]

    def forget(self) -> None:
        """Have the next call get a new token, because this one was refused."""
        self._known = None

    def close(self) -> None:
        """Close the connection over which tokens come."""
        if self._wire is not None:
            self._wire.close()


def granted(wire: Wire, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Grant:
    """Ask for a token once. NotDone where none was given: no key is reached by it, so all of it may be asked again."""
    try:
        reply = wire.call(method, path, headers, body)
    except KeyStoreUnavailable as error:
        raise NotDone(error, soon=False) from None
    if reply.status == 200:
        try:
            grant = msgspec.json.decode(reply.body, type=Grant)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NotDone(KeyStoreUnavailable(f"{wire.whom} gave no token that could be read."), soon=False) from None
        if grant.access_token.isascii() and grant.access_token.isprintable():
            return grant
        raise NotDone(KeyStoreUnavailable(f"{wire.whom} gave a token that is none."), soon=False)
    if reply.status in _BUSY:
        why = KeyStoreUnavailable(f"{wire.whom} gives no token for the moment (HTTP status {reply.status}).")
        raise NotDone(why, soon=True)
    raise Misused(
        f"{wire.whom} does not accept the credential (HTTP status {reply.status}).",
        hint="look at the credential in the settings, and at this machine's clock",
    )


class Rest:
    """One address and who we are there, used by one thread."""

    def __init__(
        self,
        wire: Wire,
        bearer: Bearer,
        refusal: Callable[[Reply], Exception],
        pauses: Mapping[str, Callable[[float], None]],
    ) -> None:
        """Ask over a wire; ``refusal`` says what an answer means that is none."""
        self._wire = wire
        self._bearer = bearer
        self._refusal = refusal
        self._pauses = pauses

    def ask(self, method: str, path: str, asked: object, kind: type[_S]) -> _S:
        """Ask, and again where it was certainly not done; ``asked`` None is no body.

        KeyStoreUnavailable where the answer cannot be read.
        """
        body = b"" if asked is None else msgspec.json.encode(asked)
        octets = patiently(lambda: self._once(method, path, body), **self._pauses)
        try:
            return msgspec.json.decode(octets, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise KeyStoreUnavailable(f"{self._wire.whom} answered with something that could not be read.") from None

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()
        self._bearer.close()

    def _once(self, method: str, path: str, body: bytes, *, fresh: bool = False) -> bytes:
        headers = {"Authorization": f"Bearer {self._bearer.token()}", "Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        reply = self._wire.call(method, path, headers, body)
        if 200 <= reply.status < 300:
            return reply.body
        if reply.status == 401 and not fresh:  # it was not looked at, so asking once more is safe
            self._bearer.forget()
            return self._once(method, path, body, fresh=True)
        raise self._refusal(reply)


def ca_file_of(name: str | None) -> Path | None:
    """Return the file of a section's ``ca_file``."""
    return None if name is None else Path(name)
