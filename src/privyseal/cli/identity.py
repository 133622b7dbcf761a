"""Who the job is that this program runs in: its platform's identity token, exchanged late, once, for ten minutes.

Nothing is asked unless a service is called and no other credential is configured; nothing is written anywhere. The
package ``id`` asks GitHub and Google. The others are asked here: it would ask Google before them, on whose machines
many of them run, and not for the ids that trust rules are made of.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

import msgspec

from privyseal.cli.output import printable, shown_path, tell
from privyseal.cli.profile import Profile
from privyseal.errors import ClaimMismatch, Misused, NotAuthenticated, PrivySealError, Unavailable

LARGEST = 16 * 1024
"""Octets of an identity token, as the service has it (``access/workloads.py``)."""
LIMIT_S = 30
"""Seconds within which a platform gives a token."""
MARGIN_S = 60.0
"""Seconds before its end at which a token of ours is exchanged anew: longer than any one call takes."""

TOKEN, TOKEN_FILE = "PRIVYSEAL_ID_TOKEN", "PRIVYSEAL_ID_TOKEN_FILE"
"""An identity token itself, and the file of one (projected by Kubernetes, written by a SPIFFE helper)."""
GOOGLE_FILE = Path("/sys/class/dmi/id/product_name")
"""What says on a virtual machine that it is Google's."""

_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_IDENTITY = "urn:ietf:params:oauth:token-type:id_token"

Environment = Mapping[str, str]
"""Variables of the environment, by their names."""


class Identity(msgspec.Struct, frozen=True):
    """A platform's name and the token it gave."""

    platform: str
    token: str

    def __repr__(self) -> str:
        """Show no token."""
        return f"Identity({self.platform!r})"


class Exchanged(msgspec.Struct, frozen=True):
    """What the service gives for it, as far as it is read here."""

    access_token: str
    expires_in: int

    def __repr__(self) -> str:
        """Show no token."""
        return "Exchanged()"


class Answering(Protocol):
    """What is needed of the service's client."""

    def require_private(self) -> None:
        """Raise Misused where a token would be readable on the way."""
        ...

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Document:
        """Send a request and return the answer that is no refusal."""
        ...


class Document(Protocol):
    """An answer."""

    def read(self, kind: type[Exchanged]) -> Exchanged:
        """Decode its JSON."""
        ...


class LateToken:
    """The bearer token of a job, had when it is first needed and renewed when it ends. Safe to use from threads."""

    def __init__(
        self,
        profile: Profile,
        server: Answering,
        *,
        environment: Environment = os.environ,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        """Be ready to ask the platform; ``server`` is the service, called without a credential."""
        self._profile = profile
        self._server = server
        self._environment = environment
        self._tick = tick
        self._guard = threading.Lock()
        self._token: str | None = None
        self._ends = 0.0
        self._refused: PrivySealError | None = None
        self._nowhere = False

    def bearer(self) -> str | None:
        """Return a token that is good for another minute; None where this runs on no platform that we know.

        Raises what the platform or the service refuses; a trust rule that differs is told as a table, once.
        """
        with self._guard:
            if self._refused is not None:
                raise self._refused
            if self._nowhere or (self._token is not None and self._tick() < self._ends - MARGIN_S):
                return self._token
            try:
                self._token = self._exchange()
            except ClaimMismatch as error:
                self._refused = error
                tell(*table(error))
                raise
            except NotAuthenticated as error:
                self._refused = error
                raise
            self._nowhere = self._token is None
            return self._token

    def _exchange(self) -> str | None:
        """Exchange; where the answer got lost on the way the identity token is spent, so once more with a new one."""
        for last in (False, True):
            identity = ambient(self._profile.audience or self._profile.need("url").rstrip("/"), self._environment)
            if identity is None:
                return None
            self._server.require_private()
            try:
                given = self._server.ask("POST", "/v1/token", self._form(identity), {"Content-Type": _FORM})
            except NotAuthenticated:
                if last:
                    raise
                continue
            exchanged = given.read(Exchanged)
            self._ends = self._tick() + exchanged.expires_in
            return exchanged.access_token
        raise AssertionError("the last try returns or raises")

    def _form(self, identity: Identity) -> bytes:
        form = {"grant_type": _GRANT, "subject_token_type": _IDENTITY, "subject_token": identity.token}
        form["subscriber"] = self._profile.need("subscriber")
        form |= {name: value for name in ("rule", "policy") if (value := getattr(self._profile, name))}
        return urlencode(form).encode("ascii")


_FORM = "application/x-www-form-urlencoded"


def table(error: ClaimMismatch) -> list[str]:
    """Return the claims side by side: what came, what the rule expects, which one differs."""
    rows = [("claim", "this run", "the rule expects", "")]
    rows += [(c, came or "-", want, "same" if same else "DIFFERS") for c, came, want, same in error.compared]
    shown = [tuple(printable(cell, 60) for cell in row) for row in rows]
    widths = [max(len(row[n]) for row in shown) for n in range(3)]
    return ["  " + "  ".join(f"{row[n]:<{widths[n]}}" for n in range(3)) + f"  {row[3]}".rstrip() for row in shown]


def ambient(audience: str, environment: Environment = os.environ) -> Identity | None:
    """Ask the platform for an identity token for this audience; None where there is no platform that we know.

    Raises Misused where the job lacks the right to have one, Unavailable where the platform does not answer.
    """
    for name, detect in _PLATFORMS.items():
        token = detect(audience, environment)
        if token is not None:
            token = token.strip()
            if not token or len(token) > LARGEST or not token.isascii():
                raise Misused(f"What {name} gave is no identity token.")
            return Identity(name, token)
    return None


def _given(audience: str, environment: Environment) -> str | None:
    return environment.get(TOKEN)


def _file(audience: str, environment: Environment) -> str | None:
    path = environment.get(TOKEN_FILE)
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST + 1).decode("ascii", "replace")
    except OSError as error:
        raise Misused(f"{shown_path(path)} cannot be read: {error.strerror}.", hint=f"{TOKEN_FILE} names it") from None


def _github(audience: str, environment: Environment) -> str | None:
    if not environment.get("GITHUB_ACTIONS"):
        return None
    return _by_package("GitHub Actions", audience, "give the job the permission: id-token: write")


def _gitlab(audience: str, environment: Environment) -> str | None:
    if not environment.get("GITLAB_CI"):
        return None
    name = re.sub(r"[^A-Z0-9_]|^[^A-Z_]", "_", audience.upper()) + "_ID_TOKEN"  # as the package `id` has it
    if name not in environment:
        raise Misused(
            "This GitLab job has no identity token.",
            hint=f"give it one: id_tokens: {{ {TOKEN}: {{ aud: {printable(audience)} }} }}",
        )
    return environment[name]


def _azure(audience: str, environment: Environment) -> str | None:
    url = environment.get("SYSTEM_OIDCREQUESTURI")
    if not url:
        return None
    access = environment.get("SYSTEM_ACCESSTOKEN")
    if not access:
        raise Misused(
            "This Azure Pipelines step has no System.AccessToken.",
            hint="map it: env: { SYSTEM_ACCESSTOKEN: $(System.AccessToken) }",
        )
    from urllib import request  # 20 ms, only in Azure Pipelines

    local = url.startswith(("http://127.0.0.1:", "http://localhost:"))
    if not url.startswith("https://") and not local:
        raise Misused("SYSTEM_OIDCREQUESTURI is no https address.")
    headers = {"Authorization": f"Bearer {access}", "Content-Type": "application/json"}
    asked = request.Request(f"{url}{'&' if '?' in url else '?'}api-version=7.1", b"", headers)  # noqa: S310
    try:
        with request.urlopen(asked, timeout=LIMIT_S) as answer:  # noqa: S310 - the scheme is checked above
            token = msgspec.json.decode(answer.read(4 * LARGEST))["oidcToken"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _silent("Azure Pipelines", type(error).__name__) from None
    return str(token)


def _buildkite(audience: str, environment: Environment) -> str | None:
    if not environment.get("BUILDKITE"):
        return None
    ids = ["--claim", "organization_id", "--claim", "pipeline_id"]
    return _by_command("Buildkite", ["buildkite-agent", "oidc", "request-token", "--audience", audience, *ids])


def _circleci(audience: str, environment: Environment) -> str | None:
    if not environment.get("CIRCLECI"):
        return None
    claims = msgspec.json.encode({"aud": audience}).decode()
    return _by_command("CircleCI", ["circleci", "run", "oidc", "get", "--root-issuer", "--claims", claims])


def _google(audience: str, environment: Environment) -> str | None:
    try:
        here = GOOGLE_FILE.read_text().strip() in ("Google", "Google Compute Engine")
    except (OSError, UnicodeDecodeError):
        here = False
    if not here and not environment.get("GOOGLE_SERVICE_ACCOUNT_NAME"):
        return None
    return _by_package("Google Cloud", audience, "does the machine have a service account?")


_PLATFORMS: dict[str, Callable[[str, Environment], str | None]] = {
    TOKEN: _given,
    TOKEN_FILE: _file,
    "GitHub Actions": _github,
    "GitLab CI": _gitlab,
    "Azure Pipelines": _azure,
    "Buildkite": _buildkite,
    "CircleCI": _circleci,
    "Google Cloud": _google,
}
"""How each is asked, in this order; None where the program does not run there."""


def _by_package(name: str, audience: str, hint: str) -> str | None:
    import id as package  # and with it urllib3: only on these platforms

    try:
        return package.detect_credential(audience)
    except package.GitHubOidcPermissionCredentialError:
        raise Misused(f"{name} gives this job no identity token.", hint=hint) from None
    except package.IdentityError as error:
        raise _silent(name, str(error).partition(", body=")[0]) from None  # the body is the platform's own affair
    except (OSError, ValueError) as error:
        raise _silent(name, type(error).__name__) from None


def _by_command(name: str, command: list[str]) -> str:
    import subprocess  # only on these platforms

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _silent(name, f"{command[0]}: {type(error).__name__}") from None
    if done.returncode:
        raise _silent(name, f"{command[0]} ended with {done.returncode}")
    return done.stdout


def _silent(name: str, why: str) -> Unavailable:
    return Unavailable(f"{name} gave no identity token: {printable(why)}.", hint="running this again is safe")
