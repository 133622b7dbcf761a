"""``privyseal tsa``: the Timestamp Authority's keys, for who sits at the service's machine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from privyseal import config
from privyseal.cli.bounded import bounded
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, shown_path
from privyseal.cli.profile import read_whole
from privyseal.compliance import ceremonies
from privyseal.compliance.clocks_timestamps import REMOVED_MONTHS, must_go, signs_until
from privyseal.compliance.periods import months_after
from privyseal.errors import Conflict, Misused, NotFound
from privyseal.pki import bundle, certificates, csr
from privyseal.pki.chain import PinnedAnchor
from privyseal.pki.rehearsal import MARK, RehearsalAuthority
from privyseal.records import schema
from privyseal.signing import rehearsal_ca, timestamp_keys
from privyseal.signing.timestamp_certificates import SCHEMES, require_fit
from privyseal.strongroom import renewal_of_stampers as renewal
from privyseal.strongroom.durable import write_whole
from privyseal.strongroom.settings import StamperSettings
from privyseal.strongroom.settings import load as load_settings

_DIRECTORY = click.option(
    "--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory."
)
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_TARGET = click.Path(path_type=Path, dir_okay=False)


class WaitingShown(msgspec.Struct, frozen=True):
    """A timestamp key that waits for its certificate."""

    key_id: str
    asked: bool
    """Whether another CA was asked for it."""


class KeyShown(msgspec.Struct, frozen=True):
    """A timestamp key as ``show --json`` tells of it."""

    key_id: str
    in_use: bool
    issued: datetime
    until: datetime
    signs_until: datetime
    remove_before: datetime | None
    """None where no clause asks for it: a certificate of no more than 15 months (CSBR 6.3.2)."""


@click.group()
def tsa() -> None:
    """Give the stamper a new timestamp key, and remove old ones before witnesses."""


@tsa.command(cls=Command)
@_DIRECTORY
@json_option
def show(directory: Path, json_mode: JsonMode | None) -> None:
    """Show the timestamp keys: which one signs, until when, when each must be gone, and which one waits."""
    room, now = directory / "stamper", datetime.now(UTC)
    found = [_shown(each) for each in renewal.keys(room)]
    waits = renewal.waiting(room, lambda: now)
    output = Output(json_mode)
    for each in found:
        late = now > (each.signs_until if each.in_use else each.remove_before or now)
        what = f"signs until {each.signs_until:%Y-%m-%d}" if each.in_use else "signs no more"
        output.say(f"{mark(not late)} {each.key_id}: {what}")
        output.say(*fill("certificate", f"{each.issued:%Y-%m-%d} to {each.until:%Y-%m-%d}"))
        if each.remove_before is not None:
            output.say(*fill("remove", f"before {each.remove_before:%Y-%m-%d} (CSBR 6.3.2)"))
    if waits is not None:
        output.say(f"{mark(None)} {waits.key_id}: waits for its certificate, and signs nothing before")
    told = None if waits is None else WaitingShown(waits.key_id, bool(waits.request))
    result = {"schema": "privyseal/tsa/1", "keys": msgspec.to_builtins(found), "waiting": msgspec.to_builtins(told)}
    output.result(result)


@tsa.command(cls=Command)
@_DIRECTORY
@click.option("--csr", "target", type=_TARGET, help="Ask another CA: write the request (PKCS #10, PEM) here.")
@click.option("--subject", help="Whom the request names, as `CN=Example TSA 2027,O=Example Ltd,C=DE`.")
@click.option("--scheme", type=click.Choice(SCHEMES), help="Of the new key.  [default: that of the one in use]")
@json_option
def renew(
    directory: Path, target: Path | None, subject: str | None, scheme: str | None, json_mode: JsonMode | None
) -> None:
    """Have a new timestamp key born, and a certificate asked for.

    With --csr it waits until that CA's certificate is installed, and the one in use signs on. Run again it writes the
    same request. Without, the rehearsal's CA certifies it, and the stamper uses it from its next start.
    """
    output, room, now = Output(json_mode), directory / "stamper", datetime.now(UTC)
    if target is not None:
        asked = _asked(room, subject, scheme, now)
        write_whole(target, asked.request, mode=0o644)
        output.say(
            f"{mark(True)} {shown_path(target)}: the request of the key {asked.key_id}, which waits.",
            "  Ask for timeStamping as its one purpose and 135 months at most (CSBR 6.3.2, 7.1.2.3), and then:",
            f"  privyseal tsa install --dir {shown_path(directory)} --certificate FILE",
        )
        output.result({"schema": "privyseal/tsa-renew/1", "key_id": asked.key_id, "csr": str(target)})
        return
    if subject is not None:
        raise Misused("A --subject is for another CA's request.", hint="add --csr FILE")
    path = directory / rehearsal_ca.KEY
    if not path.exists():
        raise Misused(
            "Only a rehearsal's CA issues timestamp certificates here.",
            hint="ask another one: privyseal tsa renew --csr FILE --subject NAME",
        )
    authority = RehearsalAuthority.load(path.read_bytes())
    waits = renewal.waiting(room, lambda: now)
    if waits is not None and waits.request:
        raise Conflict(
            f"The key {waits.key_id} waits for another CA's certificate.",
            hint="privyseal tsa install puts it in use, and privyseal tsa cancel takes it away",
        )
    fresh = renewal.wait(room, lambda: now, scheme)
    chain = (authority.issue_timestamp_authority(fresh.spki, now), authority.timestamp_issuer)
    renewal.install(room, lambda: now, chain)
    output.say(f"{mark(True)} The key {fresh.key_id} signs timestamps once the stamper starts again.")
    output.result({"schema": "privyseal/tsa-renew/1", "key_id": fresh.key_id})


@tsa.command(cls=Command)
@_DIRECTORY
@click.option("--certificate", "path", type=_FILE, required=True, help="What the CA sent: the certificate, its chain.")
@click.option("--trust", multiple=True, type=_FILE, metavar="PEM", help="The chain must lead to one of these roots.")
@json_option
def install(directory: Path, path: Path, trust: tuple[Path, ...], json_mode: JsonMode | None) -> None:
    """Put the key that waits in use, under the certificate that another CA issued for it.

    The certificate is judged first, and the key shows that it is there. The stamper uses it from its next start on; the
    key before signs no more then, and is removed before two witnesses within 18 months of its own certificate.
    """
    output, room, now = Output(json_mode), directory / "stamper", datetime.now(UTC)
    bag = bundle.read(read_whole(path, bundle.LARGEST))
    waits = renewal.waiting(room, lambda: now)
    key_id = certificates.read(renewal.keys(room)[0].chain[0]).key_id if waits is None else waits.key_id
    chain = bundle.chain_of(key_id, bag, now)
    notes: tuple[str, ...] = ()
    if waits is not None:
        settings = load_settings(room / "stamper.toml", StamperSettings)
        pinned = [PinnedAnchor(each.der(), each.standing) for each in settings.anchors]
        roots = [one for each in trust for one in certificates.pem_certificates(read_whole(each, bundle.LARGEST))]
        notes = require_fit(chain, waits.protection, now, pinned, roots).notes
    renewal.install(room, lambda: now, chain)
    own = certificates.read(chain[0])
    output.say(f"{mark(True)} The key {own.key_id} signs timestamps once the stamper starts again.")
    output.say(*fill("certificate", f"{own.not_before:%Y-%m-%d} to {own.not_after:%Y-%m-%d}, by {own.issuer}"))
    for each in notes:
        output.say(f"{mark(None)} {each}")
    result = {"schema": "privyseal/tsa-installed/1", "key_id": own.key_id, "fingerprint": own.fingerprint}
    output.result({**result, "notes": notes})


@tsa.command(cls=Command)
@_DIRECTORY
@json_option
def cancel(directory: Path, json_mode: JsonMode | None) -> None:
    """Destroy the key that waits for its certificate; if its CA issued one, have that revoked."""
    gone = renewal.cancel(directory / "stamper", lambda: datetime.now(UTC))
    output = Output(json_mode)
    output.say(f"{mark(True)} The key that waited is destroyed{f': {gone}' if gone else ''}.")
    output.result({"schema": "privyseal/tsa-cancelled/1", "key_id": gone})


def _asked(room: Path, subject: str | None, scheme: str | None, now: datetime) -> renewal.Waiting:
    """Have a key wait and its request made; the subject is the one of the certificate in use where none is given."""
    named = None if subject is None else csr.named(subject)
    waits = renewal.waiting(room, lambda: now)
    if named is None and (waits is None or not waits.request):
        own = renewal.keys(room)[0].chain[0]
        if MARK in certificates.read(own).subject:
            raise Misused(
                "The certificate in use is a rehearsal's.", hint="say whom the new one is for: --subject NAME"
            )
        named = certificates.outline(own).subject
    renewal.wait(room, lambda: now, scheme)
    return renewal.request(room, lambda: now, named)


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
    signs = signs_until(own.not_before, own.not_after)
    gone = months_after(own.not_before, REMOVED_MONTHS) if must_go(own.not_before, own.not_after) else None
    return KeyShown(own.key_id, key.in_use, own.not_before, own.not_after, signs, gone)
