"""``privyseal key health``: when each key was looked at and probed last, and what came of it."""

from __future__ import annotations

from datetime import datetime

import click
import msgspec

from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.signing.forms_of_renewals import HealthList


@click.command(cls=Command)
@service_options
@json_option
def health(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """Say of each key whether it signed its last probe, and whether its public key was found weak or elsewhere."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    body = service.get(service.path("key-health"))
    for each in body.read(HealthList).keys:
        good = False if each.met or each.answers is False else each.answers
        output.say(f"{mark(good)} {printable(each.key)}", *fill("looked", _when(each.looked)))
        said = "" if each.answers is None else ", it signed" if each.answers else f", {printable(each.words, 300)}"
        output.say(*fill("probed", _when(each.probed) + said))
        if each.met:
            output.say(*fill("met", printable(each.met, 600)))
    output.result({"schema": "privyseal/key-health/1", **msgspec.json.decode(body.body)})


def _when(moment: datetime | None) -> str:
    return "not yet" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
