"""``privyseal subscriber identity``: who a Subscriber is in law, as the subjects of its certificates say it."""

from __future__ import annotations

from pathlib import Path

import click

from privyseal.cli import own_key
from privyseal.cli.connection import connect, send, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.errors import Misused
from privyseal.terms.identity import LegalIdentity, read_identity
from privyseal.web.views_of_attested_keys import IdentityView, NewIdentity


@click.command(cls=Command)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True), required=False)
@click.option("--how", default="", help="By which record of the CA it is known: an order, a certificate.")
@service_options
@json_option
# Each argument is an option of the command line.
def identity(  # noqa: PLR0913
    name: str,
    file: Path | None,
    how: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Show who a Subscriber is in law, or with FILE (TOML) write it down, as the CA validated it.

    The subject of its requests for certificates is made of it. The operator's members write it; its own may read it.
    """
    service = connect(profile, url, subscriber)
    if file is None:
        seen = service.get(service.path("subscribers", name, "identity")).read(IdentityView)
    elif not how.strip():
        raise Misused("How the identity was checked is not said.", hint="--how TEXT names the CA's record")
    else:
        new = NewIdentity(identity=read_identity(own_key.octets_of(file)), how=how)
        seen = send(service, "PUT", new, "subscribers", name, "identity").read(IdentityView)
    output = Output(json_mode)
    output.say(f"{mark(True)} {printable(seen.subscriber)} in law", *_lines(seen.identity))
    output.say(*fill("known by", printable(seen.how, 400)))
    output.result({"schema": "privyseal/identity/1", "identity": seen})


def _lines(known: LegalIdentity) -> list[str]:
    places = (known.locality, known.state, known.country)
    lines = fill("name", printable(known.organization)) + fill("place", printable(", ".join(filter(None, places)), 400))
    if (where := known.jurisdiction) is None:
        return lines + fill("for EV", "not validated")
    registered = ", ".join(filter(None, (where.locality, where.state, where.country)))
    return lines + fill("for EV", printable(f"{where.business_category} {where.number}, {registered}", 400))
