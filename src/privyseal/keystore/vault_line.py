"""How Vault is called: hvac's API classes over a wire of ours, and a login that is renewed in time.

hvac (the extra ``vault``) knows paths and parameters. Its own transport is left out: it reads tokens, proxies and
certificates out of the environment, follows redirects with the token, and does not tell whether a call was received.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from privyseal.errors import KeyStoreUnavailable, Misused, NotFound, PrivySealError
from privyseal.keystore.clouds import NotDone, patiently, read_secret
from privyseal.keystore.vault import VaultSection
from privyseal.keystore.wire import Reply, Wire

_S = TypeVar("_S")
_ADMIT = "its token, role and policy; the how-to lists what the policy must allow"
_AGAIN = "whether it was done is unknown; what was asked is not asked again for the same intent"


class _Grant(Struct, frozen=True):
    """A login's or a renewal's ``auth`` (Vault HTTP API, "auth/token")."""

    client_token: str = ""
    lease_duration: int = 0
    """Seconds; 0: it does not end."""
    renewable: bool = False

    def __repr__(self) -> str:
        return "_Grant(...)"


class _Granted(Struct, frozen=True):
    auth: _Grant


class _Own(Struct, frozen=True):
    """What lookup-self says of a token."""

    ttl: int = 0
    renewable: bool = False


class _OwnFound(Struct, frozen=True):
    data: _Own


class ForbiddenError(Exception):
    """Vault does not let this token do it: it may have run out, so a fresh one may be tried."""


class VaultLine:
    """One connection to Vault as who the section says; what hvac's API classes call their adapter."""

    def __init__(
        self, section: VaultSection, clock: Callable[[], datetime], pause: Callable[[float], None] | None = None
    ) -> None:
        """Call for a section; nobody is called yet."""
        self._section = section
        self._clock = clock
        self._pauses = {} if pause is None else {"pause": pause}
        ca_file = None if section.ca_file is None else Path(section.ca_file)
        self._wire = Wire("Vault", section.url, ca_file, section.timeout / 3)
        self._token: str | None = None
        self._renew_at: datetime | None = None
        self._read_at: tuple[int, int] = (0, 0)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    # -- what hvac asks of an adapter --------------------------------------------------------------------------------
    def get(self, url: str) -> Any:
        """Return what a path holds."""
        return self._asked("GET", url, None)

    def post(self, url: str, json: Mapping[str, object] | None = None) -> Any:
        """Do something."""
        return self._asked("POST", url, json)

    def delete(self, url: str) -> Any:
        """Delete what a path holds."""
        return self._asked("DELETE", url, None)

    # -- calls -------------------------------------------------------------------------------------------------------
    def _asked(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:
        try:
            octets = patiently(lambda: self._once(method, path, body, self._identity()), **self._pauses)
        except ForbiddenError:  # it was not done
            self._token = None
            try:
                octets = patiently(lambda: self._once(method, path, body, self._identity()), **self._pauses)
            except ForbiddenError:
                raise Misused(f"Vault does not allow this at {path.removeprefix('/v1/')}.", hint=_ADMIT) from None
        try:
            return msgspec.json.decode(octets) if octets else {}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise KeyStoreUnavailable("Vault answered with something that could not be read.") from None

    def _once(self, method: str, path: str, body: Mapping[str, object] | None, token: str | None) -> bytes:
        headers = {"X-Vault-Request": "true", "Content-Type": "application/json"}
        if token is not None:
            headers["X-Vault-Token"] = token
        if self._section.namespace is not None:
            headers["X-Vault-Namespace"] = self._section.namespace
        reply = self._wire.call(method, path, headers, b"" if body is None else msgspec.json.encode(body))
        if reply.status in (200, 204):
            return reply.body
        raise _refusal(reply, path)

    # -- who we are --------------------------------------------------------------------------------------------------
    def _identity(self) -> str:
        """Return a token that is good at this moment, logging in or renewing where that is due.

        None of it uses a key, so that whatever fails here counts as not done.
        """
        path = Path(self._section.secret)
        try:
            status = path.stat()
        except OSError as error:
            raise Misused(f"The credential {path} cannot be read: {error.strerror}.") from None
        version = (status.st_mtime_ns, status.st_ino)
        replaced = self._section.token_file is not None and version != self._read_at
        try:
            if self._token is None or replaced:
                self._read_at = version
                self._token = self._fresh(read_secret(path))
            elif self._renew_at is not None and self._clock() >= self._renew_at:
                self._token = self._renewed(self._token, path)
        except ForbiddenError:
            self._token = None
            raise Misused("Vault does not accept the credential.", hint=f"put a good one into {path}") from None
        except KeyStoreUnavailable as error:
            raise NotDone(error, soon=False) from None
        return self._token

    def _fresh(self, secret: str) -> str:
        section = self._section
        if section.token_file is not None:
            own = self._said("GET", "/v1/auth/token/lookup-self", None, secret, _OwnFound).data
            self._due(own.ttl if own.renewable else 0)
            return secret
        if section.role_id is not None:
            path, login = section.auth_mount or "approle", {"role_id": section.role_id, "secret_id": secret}
        else:
            path, login = section.auth_mount or "jwt", {"role": section.role or "", "jwt": secret}
        return self._granted(f"/v1/auth/{path}/login", login, None)

    def _renewed(self, token: str, path: Path) -> str:
        """Renew a token; where it cannot be any longer, log in anew, or go on with a token from a file to its end."""
        try:
            return self._granted("/v1/auth/token/renew-self", {}, token) or token
        except (ForbiddenError, Misused):
            if self._section.token_file is not None:
                self._renew_at = None
                return token
            return self._fresh(read_secret(path))

    def _granted(self, path: str, body: Mapping[str, object], token: str | None) -> str:
        grant = self._said("POST", path, body, token, _Granted).auth
        self._due(grant.lease_duration)
        return grant.client_token

    def _said(self, method: str, path: str, body: Mapping[str, object] | None, token: str | None, kind: type[_S]) -> _S:
        try:
            return msgspec.json.decode(self._once(method, path, body, token), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise KeyStoreUnavailable("Vault answered a login with something that could not be read.") from None

    def _due(self, seconds: int) -> None:
        """Have the token renewed when half of its time is over; never, where it does not end."""
        self._renew_at = self._clock() + timedelta(seconds=seconds / 2) if seconds > 0 else None


class _Errors(Struct, frozen=True):
    errors: tuple[str, ...] = ()


def _refusal(reply: Reply, path: str) -> Exception:
    """Return what an answer means that is none (Vault HTTP API, "HTTP status codes"); its text is not repeated."""
    try:
        said = " ".join(msgspec.json.decode(reply.body, type=_Errors).errors).lower()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = ""
    where = path.removeprefix("/v1/")
    if reply.status == 429:
        return NotDone(
            KeyStoreUnavailable("Vault has too many requests and did not take ours.", hint=_AT_REST), soon=True
        )
    if 300 <= reply.status < 400:
        return NotDone(
            KeyStoreUnavailable("This node of Vault is a standby and led elsewhere.", hint="name the active one"),
            soon=False,
        )
    if reply.status == 503 and "sealed" in said:
        return NotDone(
            KeyStoreUnavailable("Vault is sealed.", hint="unseal it; it is tried again by itself"), soon=False
        )
    if reply.status == 403:
        return ForbiddenError()
    if reply.status == 404 and "no handler" in said:
        return Misused(f"Vault has nothing mounted at {where}.", hint="look at mount, auth_mount and namespace")
    if reply.status == 404 or (reply.status == 400 and "not found" in said):
        return NotFound("Vault has no such key.", hint="it was destroyed, or it is in another engine")
    if reply.status in (400, 405):
        return _bad(said, where)
    return KeyStoreUnavailable(f"Vault failed inside (HTTP status {reply.status}).", hint=_AGAIN)


_AT_REST = "nothing was done; try again, and look at its rate limit quotas if it comes often"


def _bad(said: str, where: str) -> PrivySealError:
    if "invalid role" in said or "secret id" in said or "role id" in said:
        return Misused("Vault does not accept the credential.", hint="put a good one into the file of the section")
    return Misused(f"Vault finds a request to {where} malformed.", hint="please report it with the version of Vault")
