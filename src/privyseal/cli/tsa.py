"""``privyseal tsa``: the Timestamp Authority's keys, for who sits at the service's machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from privyseal import config
from privyseal.cli.bounded import bounded
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark
from privyseal.compliance import ceremonies
from privyseal.compliance.periods import months_after
from privyseal.errors import Misused, NotFound
from privyseal.pki import certificates
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.records import schema
from privyseal.signing import rehearsal_ca, timestamp_keys
from privyseal.signing.stamped import REMOVED_MONTHS
from privyseal.strongroom import renewal_of_stampers as renewal
from privyseal.timestamp.authority import USE_MONTHS

_DIRECTORY = click.option(
    "--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory."
)
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


class KeyShown(msgspec.Struct, frozen=True):
    """A timestamp key as ``show --json`` tells of it."""

    key_id: str
    in_use: bool
    issued: datetime
    until: datetime
    signs_until: datetime
    remove_before: datetime


@click.group()
def tsa() -> None:
    """Renew the timestamp key, and remove old ones before witnesses."""


@tsa.command(cls=Command)
@_DIRECTORY
@json_option
def show(directory: Path, json_mode: JsonMode | None) -> None:
    """Show the timestamp keys: which one signs, until when, and when each must be gone."""
    found = [_shown(each) for each in renewal.keys(directory / "stamper")]
    output = Output(json_mode)
    for each in found:
        now = datetime.now(UTC)
        late = now > (each.signs_until if each.in_use else each.remove_before)
        what = f"signs until {each.signs_until:%Y-%m-%d}" if each.in_use else "signs no more"
        output.say(f"{mark(not late)} {each.key_id}: {what}")
        output.say(*fill("certificate", f"{each.issued:%Y-%m-%d} to {each.until:%Y-%m-%d}"))
        output.say(*fill("remove", f"before {each.remove_before:%Y-%m-%d} (CSBR 6.3.2)"))
    output.result({"schema": "privyseal/tsa/1", "keys": msgspec.to_builtins(found)})


@tsa.command(cls=Command)
@_DIRECTORY
@json_option
def renew(directory: Path, json_mode: JsonMode | None) -> None:
    """Have a new timestamp key born and certified by the rehearsal's CA; the stamper uses it from its next start."""
    path = directory / rehearsal_ca.KEY
    if not path.exists():
        raise Misused(
            "Only a rehearsal's CA issues timestamp certificates here.",
            hint="for another CA's: docs/how-to/run-a-timestamp-authority.md",
        )
    now = datetime.now(UTC)
    authority = RehearsalAuthority.load(path.read_bytes())
    uri, spki = renewal.generate(directory / "stamper", lambda: now)
    chain = (authority.issue_timestamp_authority(spki, now), authority.timestamp_issuer)
    renewal.install(directory / "stamper", uri, spki, chain)
    fresh = certificates.key_id(spki)
    output = Output(json_mode)
    output.say(f"{mark(True)} The key {fresh} signs timestamps once the stamper starts again.")
    output.result({"schema": "privyseal/tsa-renew/1", "key_id": fresh})


@tsa.command("remove-key", cls=Command)
@click.argument("key_id", metavar="KEY_ID")
@_DIRECTORY
@click.option("--script", type=_FILE, help="The script of the ceremony; --new prints one.")
@click.option("--record", type=_FILE, help="Its record, signed by two witnesses: privyseal key ceremony.")
@click.option("--new", is_flag=True, help="Print a script for the removal, to fit to your house.")
@json_option
# Each argument is an option of the command line.
def remove_key(
    key_id: str, directory: Path, script: Path | None, record: Path | None, new: bool, json_mode: JsonMode | None
) -> None:
    """Remove a former timestamp key from its store, before two witnesses.

    \b
    privyseal tsa remove-key KEY_ID --dir D --new > removal.toml
    privyseal key ceremony removal.toml --record record.json --step 1 --by "Ada"
    privyseal key ceremony removal.toml --record record.json --witness "Wim" --identity-key wim.pem
    privyseal tsa remove-key KEY_ID --dir D --script removal.toml --record record.json
    """
    if new:
        click.echo(ceremonies.removal_template(timestamp_keys.name(key_id)), nl=False)
        return
    if script is None or record is None:
        raise Misused("A removal needs --script and --record.", hint="--new prints a script")
    room = directory / "stamper"
    found = [each for each in renewal.keys(room) if certificates.read(each.chain[0]).key_id == key_id]
    if not found:
        raise NotFound("The stamper has no such timestamp key.", hint="privyseal tsa show names its keys")
    settings = config.load(directory)
    seal = config.privy_seal(settings, directory, config.Sockets.under(directory / "run"))
    try:
        schema.require_fit(seal.records)
        removed = timestamp_keys.remove(
            seal,
            found[0].chain[0],
            bounded(script, ceremonies.LARGEST),
            bounded(record, ceremonies.LARGEST),
            lambda: renewal.remove(room, key_id, lambda: datetime.now(UTC)),
        )
    finally:
        seal.records.close()
    output = Output(json_mode)
    output.say(f"{mark(True)} The key {key_id} is removed; witnesses: {', '.join(removed.witnesses)}.")
    output.result({"schema": "privyseal/tsa-removed/1", "removed": msgspec.to_builtins(removed)})


def _shown(key: renewal.TimestampKey) -> KeyShown:
    own = certificates.read(key.chain[0])
    signs, gone = months_after(own.not_before, USE_MONTHS), months_after(own.not_before, REMOVED_MONTHS)
    return KeyShown(own.key_id, key.in_use, own.not_before, own.not_after, min(signs, own.not_after), gone)
