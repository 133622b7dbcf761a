"""``privyseal deny``: say no to a request, and why."""

from __future__ import annotations

import hashlib

import click
import msgspec

from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, printable
from privyseal.web.views import RequestView
from privyseal.web.views_of_requests import Denial


@click.command("deny", cls=Command)
@click.argument("request_id", metavar="ID")
@click.option("--reason", required=True, help="Why; whoever asked is told.")
@service_options
@json_option
def deny(
    request_id: str,
    reason: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say no to a request that waits for approval; that is final."""
    service = connect(profile, url, subscriber)
    body = msgspec.json.encode(Denial(reason))
    view = service.post(service.path("requests", request_id, "denial"), body, _once(body)).read(RequestView)
    output = Output(json_mode)
    output.say(f"{mark(True)} Request {printable(view.id)} is {view.state}.")
    output.result(msgspec.to_builtins(view))


def _once(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
