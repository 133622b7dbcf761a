"""Which service a command speaks with, and for whom: the options that say so, the client, and how it sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import msgspec

from privyseal.cli import profile as profiles
from privyseal.cli.client import Answer, Service


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


def send(service: Service, method: str, document: msgspec.Struct, *path: str) -> Answer:
    """Send a document to a path of the Subscriber's, and return the answer."""
    headers = {"Content-Type": "application/json"}
    return service.ask(method, service.path(*path), msgspec.json.encode(document), headers)
