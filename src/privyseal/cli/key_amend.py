"""``privyseal key amend``: who must agree to what a key signs, changed at the service's machine."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, printable, shown_path
from privyseal.errors import BadInput, Misused
from privyseal.terms.keys import Approver

LARGEST = 256 * 1024
"""Octets of a file with approvers; 64 of them with passkeys have about 40 KiB."""


@click.command("amend", cls=Command)
@click.argument("name")
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--subscriber", required=True, help="Whose key it is.")
@click.option("--member", "members", multiple=True, metavar="NAME", help="Agrees by the passkeys they have enrolled.")
@click.option(
    "--approvers",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file with approvers as the page 'My approver key' shows them, JSON.",
)
@click.option("--quorum", type=click.IntRange(min=0), required=True, help="How many people must agree.")
@json_option
# Each argument is an option of the command line.
def amend(  # noqa: PLR0913
    name: str,
    directory: Path,
    subscriber: str,
    members: tuple[str, ...],
    files: tuple[Path, ...],
    quorum: int,
    json_mode: JsonMode | None,
) -> None:
    """Say who may agree to what a key signs, and how many must, in place of what was said before.

    The service must be running: its signer keeps the charter, and refuses what the charter in force does not allow.
    A key whose approvers must agree to that is not amended by this command.
    """
    if quorum and not members and not files:
        raise Misused("Nobody is named who could agree.", hint="--member NAME, or --approvers FILE")
    from privyseal import config  # the whole service, which ``privyseal key list`` does without
    from privyseal.records import schema
    from privyseal.signing import amending

    settings = config.load(directory)
    seal = config.privy_seal(settings, directory, config.Sockets.under(directory / "run"))
    try:
        schema.require_fit(seal.records)
        given = (
            *amending.by_passkeys(seal, subscriber, members),
            *(one for file in files for one in read_approvers(file)),
        )
        rules = amending.Rules(subscriber=subscriber, key=name, approvers=given, quorum=quorum)
        pair = amending.amend(seal, None, rules)
    finally:
        seal.records.close()
    people = sorted({each.person for each in pair.approvers})
    output = Output(json_mode)
    names = printable(", ".join(each.name for each in pair.approvers) or "nobody", 400)
    output.say(f"{mark(True)} Key Pair {printable(name)} asks for {pair.quorum} of {len(people)} people: {names}.")
    output.result({"key": pair.name, "quorum": pair.quorum, "approvers": [each.name for each in pair.approvers]})


def read_approvers(path: Path) -> tuple[Approver, ...]:
    """Read approvers from a file, JSON as the page 'My approver key' shows them; BadInput where it is none."""
    octets = path.read_bytes()[: LARGEST + 1]
    if len(octets) > LARGEST:
        raise BadInput(f"{shown_path(path)} is larger than {LARGEST} octets.")
    try:
        return msgspec.json.decode(octets, type=tuple[Approver, ...])
    except msgspec.MsgspecError as error:
        raise BadInput(
            f"{shown_path(path)} is no list of approvers: {error}.", hint="copy it from the page My approver key"
        ) from None
