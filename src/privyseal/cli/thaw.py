"""``privyseal thaw``: agree that something frozen signs again. Two different people have to."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from privyseal.cli import own_key
from privyseal.cli.connection import connect, service_options
from privyseal.cli.freeze import in_words
from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, printable
from privyseal.errors import Misused, NotFound
from privyseal.signing.forms_of_requests import Agreement
from privyseal.web.views_of_requests import FreezeList, FreezeView


@click.command(cls=Command)
@click.argument("freeze_id", metavar="FREEZE")
@click.option("--name", help="Your name as an overseer, as serve.toml has it.")
@click.option("--key", type=click.Path(path_type=Path), help="Your Ed25519 private key, PEM.")
@service_options
@json_option
# Each argument is an option of the command line.
def thaw(  # noqa: PLR0913
    freeze_id: str,
    name: str | None,
    key: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Agree that what is frozen signs again.

    The second person's word thaws it. A member agrees by having signed in; an overseer with --name and --key.
    """
    if (name is None) != (key is None):
        raise Misused("--name and --key go together: whose signature it is, and the key that makes it.")
    service = connect(profile, url, subscriber)
    given = Agreement()
    if name is not None and key is not None:
        listed = service.get(service.path("freezes")).read(FreezeList).freezes
        found = next((each for each in listed if each.id == freeze_id), None)
        if found is None:
            raise NotFound(f"There is no freeze {printable(freeze_id, 60)}.", hint="privyseal freeze --list")
        given = Agreement(approval=own_key.agreement(key, name, found.digest))
    document = msgspec.json.encode(given)
    body = service.post(service.path("freezes", freeze_id, "agreements"), document, f"thaw-{freeze_id}"[:255])
    view = body.read(FreezeView)
    output = Output(json_mode)
    output.say(*in_words(view))
    if view.thawed is None:
        output.say("One more person has to agree: privyseal thaw " + printable(freeze_id, 60))
    elif view.signer in ("thaw", "refused"):
        output.warn(
            f"{mark(None)} the signer has not followed yet; the key signs when it has"
            if view.signer == "thaw"
            else f"{mark(None)} the signer keeps it frozen: its charter asks the key's own people.",
            *([f"  privyseal key enable {printable(view.name)}, and they agree"] if view.signer == "refused" else []),
        )
    output.result({"schema": "privyseal/freeze/1", **msgspec.json.decode(body.body)})
