"""``privyseal login``, ``logout`` and ``whoami``: a person's command line, let in by a browser for ten hours."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import platform
import secrets
import sys
import time
import webbrowser
from urllib.parse import parse_qsl, urlencode, urlsplit

import click
import msgspec

from privyseal.cli import profile as profiles
from privyseal.cli import session
from privyseal.cli.client import Server, kept_token
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, printable, tell
from privyseal.cli.tls import Tls
from privyseal.errors import NotAuthenticated, TooSoon, Unavailable
from privyseal.web.views import Whoami
from privyseal.web.views_of_parties import DeviceAnswer, TokenAnswer

PATIENCE_S = 300.0
"""Seconds for which the command waits for the browser."""
_DONE = (
    b"<!doctype html><html lang=en><meta charset=utf-8><link rel=icon href=data:,><title>Privy Seal</title>"
    b"<p>You can close this page."
)


def _options(function: click.decorators.FC) -> click.decorators.FC:
    function = click.option("--url", help="The service's address.")(function)
    return click.option("--profile", help="A profile's name, or the path of a TOML file.")(function)


@click.command(cls=Command)
@_options
@click.option("--device", is_flag=True, help="Show a code to type in any browser, and open none here.")
@click.option("--no-browser", is_flag=True, help="Show the address instead of opening it.")
@json_option
def login(profile: str | None, url: str | None, device: bool, no_browser: bool, json_mode: JsonMode | None) -> None:
    """Sign in, in a browser, and let this command line in.

    The token lasts ten hours and is kept in the system's keyring, or in a file that only you can read.
    """
    known = profiles.load({"url": url}, profile)
    server = Server(known.need("url"), tls=Tls.of(known))
    output = Output(json_mode)
    try:
        answer = _by_device(server) if device or not (no_browser or _can_browse()) else _by_browser(server, no_browser)
    finally:
        server.close()
    if answer.expires is None:
        raise Unavailable("The service gave a token without an end.", hint="is it of this version?")
    kept = session.Kept(url=server.url, subscriber=answer.subscriber, token=answer.token, expires=answer.expires)
    path = session.keep(kept)
    if path is not None:
        output.warn(
            f"The token is in {path}, which only you can read; there is no keyring here.",
            "  hint: pip install 'privyseal[keyring]'",
        )
    factors = " and ".join(answer.factors)
    output.say(f"{printable(answer.name)} of {printable(answer.subscriber)}, by {factors}, until {_when(answer)}")
    output.result({"subscriber": answer.subscriber, "name": answer.name, "factors": answer.factors})


@click.command(cls=Command)
@_options
@json_option
def logout(profile: str | None, url: str | None, json_mode: JsonMode | None) -> None:
    """End the command line's session.

    It ends here and at the service.
    """
    known = profiles.load({"url": url}, profile)
    address = known.need("url").rstrip("/")
    kept = session.recall(address)
    output = Output(json_mode)
    if kept is not None:
        server = Server(address, token=kept.token, tls=Tls.of(known))
        try:
            server.ask("POST", "/v1/logout", b"", {})
        except NotAuthenticated:  # it has ended there already
            pass
        finally:
            server.close()
    session.forget(address)
    output.say("Logged out." if kept else "Nobody was logged in.")
    output.result({"ended": kept is not None})


@click.command(cls=Command)
@_options
@json_option
def whoami(profile: str | None, url: str | None, json_mode: JsonMode | None) -> None:
    """Say who you are here, and by which factors."""
    known = profiles.load({"url": url}, profile)
    server = Server(known.need("url"), token=kept_token(known), tls=Tls.of(known))
    try:
        answer = server.ask("GET", "/v1/whoami", None, {})
    finally:
        server.close()
    who, output = answer.read(Whoami), Output(json_mode)
    output.say(
        f"{printable(who.name)} of {printable(who.subscriber)}",
        *fill("service", printable(who.service)),
        *fill("member", who.member),
        *fill("roles", ", ".join(who.roles) or "none"),
        *fill("by", " and ".join(who.factors)),
    )
    output.result(msgspec.json.decode(answer.body))


def _by_browser(server: Server, no_browser: bool) -> TokenAnswer:
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Listener(state) as listener:
        asked = {"port": str(listener.server_port), "state": state, "challenge": challenge, "label": _label()}
        address = f"{server.url}/console/allow?{urlencode(asked)}"
        if no_browser or not webbrowser.open(address):
            tell("Open this address in a browser on this computer:", f"  {address}")
        else:
            tell("Say yes in the browser that has just opened.")
        code = listener.code()
    body = msgspec.json.encode({"code": code, "verifier": verifier})
    return server.ask("POST", "/v1/login/token", body, {"Content-Type": "application/json"}).read(TokenAnswer)


class _Listener(http.server.HTTPServer):
    """A port of loopback to which the browser brings the code (RFC 8252 7.3)."""

    def __init__(self, state: str) -> None:
        self._state = state
        self.found: dict[str, str] | None = None
        super().__init__(("127.0.0.1", 0), _Once)

    def code(self) -> str:
        """Wait for the code; NotAuthenticated where the answer was no, Unavailable where none came."""
        until = time.monotonic() + PATIENCE_S
        while self.found is None and (left := until - time.monotonic()) > 0:
            self.timeout = left
            self.handle_request()
        if self.found is None:
            raise Unavailable("The browser did not answer in time.", hint="privyseal login --device needs none here")
        if "code" not in self.found:
            raise NotAuthenticated("The command line was not let in.", hint="somebody said no in the browser")
        return self.found["code"]

    def take(self, path: str) -> bool:
        """Take what a browser brought, if it is for us."""
        came = dict(parse_qsl(urlsplit(path).query, max_num_fields=10)) if len(path) < 16384 else {}
        if not secrets.compare_digest(came.get("state", "").encode(), self._state.encode()):
            return False
        self.found = came
        return True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: whoever connects and leaves is no trouble of the user's."""


class _Once(http.server.BaseHTTPRequestHandler):
    timeout = 5

    def do_GET(self) -> None:
        """Take the browser's answer."""
        listener = self.server
        good = isinstance(listener, _Listener) and listener.take(self.path)
        self.send_response(200 if good else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Length", str(len(_DONE) if good else 0))
        self.end_headers()
        self.wfile.write(_DONE if good else b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the path holds the code."""


def _by_device(server: Server) -> TokenAnswer:
    headers = {"Content-Type": "application/json"}
    body = msgspec.json.encode({"label": _label()})
    asked = server.ask("POST", "/v1/login/device", body, headers).read(DeviceAnswer)
    tell(
        f"Open {server.url}{asked.verification_path} in any browser and type this code:",
        f"  {printable(asked.user_code)}",
    )
    body, pause = msgspec.json.encode({"device_code": asked.device_code}), float(asked.interval)
    until = time.monotonic() + asked.expires_in
    while time.monotonic() < until:
        time.sleep(pause)
        try:
            answer = server.ask("POST", "/v1/login/token", body, headers).read(TokenAnswer)
        except TooSoon:
            pause += 5.0  # RFC 8628 3.5
            continue
        if answer.state == "in":
            return answer
    raise NotAuthenticated("Nobody let the command line in in time.", hint="run privyseal login again")


def _can_browse() -> bool:
    """Tell whether a browser can be opened that its user sees: not over ssh, not without a display."""
    if os.environ.get("SSH_CONNECTION") or os.environ.get("CI"):
        return False
    shown = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(shown)


def _label() -> str:
    return f"privyseal on {platform.node()}"[:60]


def _when(answer: TokenAnswer) -> str:
    return answer.expires.strftime("%Y-%m-%d %H:%M UTC") if answer.expires else ""
