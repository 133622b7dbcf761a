"""``privyseal request``: look at requests to sign, wait for the people who must agree to one, take one back."""

from __future__ import annotations

import time

import click
import msgspec

from privyseal.cli.client import Service
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, quiet_option
from privyseal.cli.pieces import Pending
from privyseal.errors import BadInput, Denied, Failed, PrivySealError, Unavailable
from privyseal.formats import fact_words
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import FINAL, SigningRequest, State
from privyseal.web.views import RequestView, sight
from privyseal.web.views_of_requests import RequestList

LOOK = 30
"""Seconds that one question to the service may stay open; it allows 50."""
AWAY = 5.0
"""Seconds between two looks at a service that does not answer, each of which tries for some seconds itself."""


@click.group()
def request() -> None:
    """Look at requests to sign, wait for one, take one back."""


@request.command("list", cls=Command)
@click.option("--state", type=click.Choice([each.value for each in State]), help="Only requests in this state.")
@service_options
@json_option
def list_requests(
    state: str | None, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """List the newest requests."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("requests") + (f"?state={state}" if state else ""))
    output = Output(json_mode)
    for each in body.read(RequestList).requests:
        files = printable(each.files[0] if each.files else "", 40) + (
            f" and {len(each.files) - 1} more" if len(each.files) > 1 else ""
        )
        output.say(f"{printable(each.id):<27} {each.state:<10} {printable(each.key):<20} {files}")
    output.result(msgspec.json.decode(body.body))


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


@request.command("cancel", cls=Command)
@click.argument("request_id", metavar="ID")
@service_options
@json_option
def cancel(
    request_id: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Take back a request of your own that nobody began to sign."""
    service = connect(profile, url, subscriber)
    path = service.path("requests", request_id, "cancellation")
    view = service.post(path, b"", request_id).read(RequestView)
    output = Output(json_mode)
    output.say(f"{mark(True)} Request {printable(view.id)} is {view.state}.")
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
    have still not agreed, 7 when they said no, 8 when it failed. A connection that drops and a service that starts
    anew are waited for, too.
    """
    service = connect(profile, url, subscriber)
    output = Output(json_mode, quiet=quiet)
    view = awaited(service, request_id, timeout, output)
    end = _end(view)
    sign = mark(True if end is None else None if isinstance(end, Pending) else False)
    (output.say if end is None else output.warn)(f"{sign} Request {printable(view.id)} is {view.state}.")
    output.result(msgspec.to_builtins(view))
    return [end]


def awaited(service: Service, request_id: str, timeout: float, output: Output) -> RequestView:
    """Look at a request until it is over or the time is; where the service is away meanwhile, look again.

    Unavailable only where it was not there once, or is still away at the end; what else it refuses is raised at once.
    """
    until = time.monotonic() + timeout
    view = _read(service, request_id)
    told = False
    while view.state not in FINAL and (left := until - time.monotonic()) > 0:
        seconds = max(1, min(LOOK, int(left)))
        try:
            view = _read(service, request_id, {"Prefer": f"wait={seconds}"})
            told = False
        except Unavailable as error:
            if time.monotonic() + AWAY >= until:
                raise
            if not told:
                output.warn(f"{mark(None)} {error.detail} Waiting for it to come back.")
            told = True
            service.sleep(AWAY)
    return view


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
    lines += asked_in_words(asked)
    if view.grant is not None:
        lines += fill("granted", f"beforehand, by the grant with the digest {view.grant}")
    if view.policy is not None:
        lines += fill("allowed", printable(f"by {', '.join(view.allowed_by)} of policy {view.policy[:12]}", 400))
    if view.failure_detail:
        lines += fill("why", printable(view.failure_detail, 400))
    return lines


def asked_in_words(asked: SigningRequest) -> list[str]:
    """Return what a request asks for, every part of it that changes what the signature means."""
    lines: list[str] = []
    for one in asked.described:
        lines += fill("code", f"{printable(one.filename)} ({printable(one.format)}, {one.size} octets)")
        lines += fill("", f"{one.digest_algorithm} {one.digest.hex()}")
        facts = ", ".join(f"{name} {value}" for name, value in fact_words.in_words(one).items())
        lines += fill("", printable(facts, len(facts) + 1)) if facts else []
    lines += fill("key", f"{printable(asked.key)} of {printable(asked.subscriber)} ({printable(asked.scheme)})")
    lines += fill("", f"{asked.key_id}")
    lines += fill("certif.", asked.certificate)
    if asked.requester is not msgspec.UNSET:
        lines += fill("asked by", printable(asked.requester))
    named = [printable(each, len(each) + 1) for each in (asked.options.program_name, asked.options.program_url) if each]
    if named:
        lines += fill("program", ", ".join(named))
    lines += fill("mode", _MODES[asked.mode])
    if asked.input is not msgspec.UNSET:
        lines += fill("", f"the file sent: sha256 {asked.input}")
    file, scans = sight(asked.canonical())
    lines += fill("file", file)
    for scan in scans:
        lines += fill("", scan.in_words())
    kept = "replaces" if asked.options.mode == "replace" else "is added to"
    stamped = "with a timestamp" if asked.options.timestamp else "without a timestamp"
    lines += fill("options", f"{kept} signatures that the file carries, {stamped}")
    for name, text in asked.options.said().items():
        lines += fill("", printable(f"{name} {text}", len(text) + 100))
    return lines + fill("until", f"{asked.expires_at:%Y-%m-%d %H:%M:%S} UTC")


_MODES = {
    "local": "the service does not see the file, only what is described here",
    "server": "the service saw the file and describes it",
}
