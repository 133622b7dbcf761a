"""``privyseal request``: look at a request to sign, and wait for the people who must agree to it."""

from __future__ import annotations

import time

import click
import msgspec

from privyseal.cli.client import Service
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, quiet_option
from privyseal.cli.pieces import Pending
from privyseal.cli.things import connect, service_options
from privyseal.errors import BadInput, Denied, Failed, PrivySealError
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import FINAL, SigningRequest, State
from privyseal.web.views import RequestView

LOOK = 30
"""Seconds that one question to the service may stay open; it allows 50."""


@click.group()
def request() -> None:
    """Look at a request to sign, or wait for it."""


@request.command("show", cls=Command)
@click.argument("request_id", metavar="ID")
@service_options
@json_option
def show(
    request_id: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Show what a request asks for, and where it stands."""
    view = _read(connect(profile, url, subscriber), request_id)
    output = Output(json_mode)
    output.say(*in_words(view))
    output.result(msgspec.to_builtins(view))


@request.command("wait", cls=Command)
@click.argument("request_id", metavar="ID")
@click.option("--timeout", type=click.IntRange(min=0), default=600, show_default=True, help="Seconds to wait at most.")
@service_options
@json_option
@quiet_option
def wait(  # noqa: PLR0913 - one argument for each option, as click has it
    request_id: str,
    timeout: int,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
    quiet: bool,
) -> list[object]:
    """Wait until a request is signed, denied or over.

    Ends with 0 when it is signed: run `privyseal sign` as before, and the signature is fetched. Ends with 6 when people
    have still not agreed, 7 when they said no, 8 when it failed.
    """
    service = connect(profile, url, subscriber)
    output = Output(json_mode, quiet=quiet)
    until = time.monotonic() + timeout
    view = _read(service, request_id)
    while view.state not in FINAL and (left := until - time.monotonic()) > 0:
        seconds = max(1, min(LOOK, int(left)))
        view = _read(service, request_id, {"Prefer": f"wait={seconds}"})
    end = _end(view)
    sign = mark(True if end is None else None if isinstance(end, Pending) else False)
    (output.say if end is None else output.warn)(f"{sign} Request {printable(view.id)} is {view.state}.")
    output.result(msgspec.to_builtins(view))
    return [end]


def _read(service: Service, request_id: str, headers: dict[str, str] | None = None) -> RequestView:
    return service.get(service.path("requests", request_id), headers).read(RequestView)


def _end(view: RequestView) -> PrivySealError | Pending | None:
    """Return what the exit code is made of."""
    if view.state is State.RELEASED:
        return None
    if view.state in (State.DENIED, State.EXPIRED):
        return Denied(f"Request {view.id} is {view.state}.")
    if view.state is State.FAILED:
        return Failed(f"Request {view.id} failed.")
    return Pending(view.id)


def in_words(view: RequestView) -> list[str]:
    """Return a request as people read it; what it asks for comes out of the very octets that are approved."""
    lines = [f"Request {printable(view.id)} is {view.state}, made {view.created:%Y-%m-%d %H:%M:%S} UTC"]
    lines += fill("digest", view.digest)
    try:
        asked = decode_canonical(view.request, SigningRequest)
    except BadInput as error:
        return [*lines, *fill("wrong", error.detail)]
    for one in asked.described:
        lines += fill("code", f"{printable(one.filename)} ({printable(one.format)}, {one.size} octets)")
        lines += fill("", f"{one.digest_algorithm} {one.digest.hex()}")
    lines += fill("key", f"{printable(asked.key)} of {printable(asked.subscriber)} ({printable(asked.scheme)})")
    named = [printable(each) for each in (asked.options.program_name, asked.options.program_url) if each]
    if named:
        lines += fill("program", ", ".join(named))
    lines += fill("until", f"{asked.expires_at:%Y-%m-%d %H:%M:%S} UTC")
    if view.policy is not None:
        lines += fill("allowed", printable(f"by {', '.join(view.allowed_by)} of policy {view.policy[:12]}", 400))
    if view.failure_detail:
        lines += fill("why", printable(view.failure_detail, 400))
    return lines
