"""``privyseal key``: the Key Pairs that the service keeps for a Subscriber, and how every command finds a service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click
import msgspec

from privyseal.cli import profile as profiles
from privyseal.cli.client import Service
from privyseal.cli.key_amend import amend
from privyseal.cli.key_attestation import verify_attestation
from privyseal.cli.key_csr import csr_command
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, printable
from privyseal.web.views import KeyList, KeyView


def service_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which service, and on whose behalf."""
    for option in (
        click.option("--subscriber", help="On whose behalf."),
        click.option("--url", help="The service's address."),
        click.option("--profile", help="A profile's name, or the path of a TOML file such as D/client.toml."),
    ):
        function = option(function)
    return function


def connect(profile: str | None, url: str | None, subscriber: str | None) -> Service:
    """Return the service that options, environment and files name."""
    return Service(profiles.load({"url": url, "subscriber": subscriber}, profile))


@click.group()
def key() -> None:
    """List, show, amend and certify Key Pairs."""


@key.command("list", cls=Command)
@service_options
@json_option
def list_keys(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the Subscriber's Key Pairs."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("keys"))
    output = Output(json_mode)
    for each in body.read(KeyList).keys:
        state = "frozen" if each.frozen else "rehearsal" if each.rehearsal else "in use"
        output.say(f"{printable(each.name):<24} {each.scheme:<11} {state:<10} {len(each.certificates)} certificate(s)")
    output.result(msgspec.json.decode(body.body))


@key.command("show", cls=Command)
@click.argument("name")
@service_options
@json_option
def show_key(
    name: str, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Show one Key Pair and its certificates."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("keys", name))
    one = body.read(KeyView)
    output = Output(json_mode)
    guard = one.protection
    lines = [f"Key Pair {printable(one.name)}", *fill("scheme", one.scheme), *fill("key id", one.key_id)]
    lines += fill("kept in", f"{guard.store} ({guard.assurance}{', rehearsal only' if one.rehearsal else ''})")
    lines += fill("born", _when(one.born) + (" inside the key store" if guard.generated_inside else ""))
    lines += fill("asks for", f"{one.quorum} approval(s)" + ("; FROZEN" if one.frozen else ""))
    lines += fill("log tag", one.key_tag)
    for each in one.certificates:
        lines += fill("cert", f"{each.fingerprint} until {_when(each.not_after)}")
    output.say(*lines)
    output.result(msgspec.json.decode(body.body))


key.add_command(amend)
key.add_command(csr_command)
key.add_command(verify_attestation)


def _when(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")
