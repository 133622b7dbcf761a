"""``privyseal freeze``: stop a key, a policy or a Subscriber at once. One person and one command are enough."""

from __future__ import annotations

import click
import msgspec

from privyseal.cli.connection import connect
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.errors import Misused
from privyseal.web.views_of_requests import FreezeList, FreezeView


@click.command(cls=Command)
@click.option("--key", help="The Key Pair that is to sign nothing more.")
@click.option("--policy", help="The policy under which nothing more is to be signed.")
@click.option("--subscriber", help="The Subscriber for whom nothing more is to be signed.")
@click.option("--reason", help="Why, for the log and for everybody whose request is stopped.")
@click.option("--list", "listing", is_flag=True, help="Show what is and was frozen, and change nothing.")
@click.option("--url", help="The service's address.")
@click.option("--profile", help="A profile's name, or the path of a TOML file such as D/client.toml.")
@json_option
# Each argument is an option of the command line.
def freeze(  # noqa: PLR0913
    key: str | None,
    policy: str | None,
    subscriber: str | None,
    reason: str | None,
    listing: bool,
    url: str | None,
    profile: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Stop a key, a policy or a Subscriber at once.

    It holds from the answer on, also while the signer is down. Thawing takes two people: privyseal thaw.
    """
    wanted = {"key": key, "policy": policy, "subscriber": subscriber}
    named = [(kind, name) for kind, name in wanted.items() if name is not None]
    output = Output(json_mode)
    service = connect(profile, url, None)
    if listing:
        if named or reason is not None:
            raise Misused("--list changes nothing and takes no name.", hint="ask twice")
        body = service.get(service.path("freezes"))
        for each in body.read(FreezeList).freezes:
            output.say(*in_words(each))
        output.result({"schema": "privyseal/freezes/1", **msgspec.json.decode(body.body)})
        return
    if len(named) != 1 or not reason:
        raise Misused("One of --key, --policy and --subscriber is frozen, and --reason says why.")
    [(kind, name)] = named
    document = msgspec.json.encode({"kind": kind, "name": name, "reason": reason})
    body = service.post(service.path("freezes"), document, f"freeze-{kind}-{name}"[:255])
    view = body.read(FreezeView)
    output.say(*in_words(view))
    if view.signer in ("freeze", "refused"):
        output.warn(
            f"{mark(None)} the signer has not followed yet; nothing is signed all the same"
            if view.signer == "freeze"
            else f"{mark(None)} the signer's own rules ask for an approver; the service signs nothing all the same"
        )
    output.result({"schema": "privyseal/freeze/1", **msgspec.json.decode(body.body)})


def in_words(view: FreezeView) -> list[str]:
    """Say what is frozen, by whom and why."""
    lines = [f"{mark(None)} {view.kind} {printable(view.name)}: "]
    lines[0] += f"thawed at {view.thawed:%Y-%m-%d %H:%M} UTC" if view.thawed is not None else "frozen"
    lines += fill("freeze", view.id)
    lines += fill("since", f"{view.at:%Y-%m-%d %H:%M:%S} UTC by {printable(view.frozen_by)}")
    lines += fill("because", printable(view.reason, 600))
    if view.agreed:
        lines += fill("thaw", "agreed to by " + printable(" and ".join(view.agreed), 400))
    return lines
