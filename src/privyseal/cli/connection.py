"""Which service a command speaks with, and on whose behalf: the options that say so, and the client they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from privyseal.cli import profile as profiles
from privyseal.cli.client import Service


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
