"""``privyseal backup create|inspect|agree``: a service backed up under age, looked into, and agreed to by operators.

What puts it back is in ``backup_restore.py``.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from privyseal.cli import own_key
from privyseal.cli.backup_restore import restore
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.errors import Misused, NotPermitted
from privyseal.terms.canonical import canonical_json
from privyseal.terms.requests import approved_octets

if TYPE_CHECKING:
    from privyseal.strongroom.backup_file import Manifest

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_THERE = click.Path(path_type=Path, dir_okay=False, exists=True)
DAYS = 7
"""How long an operator's agreement is good where they say nothing else."""


@click.group()
def backup() -> None:
    """Back a service up, look into a backup, restore one."""


backup.add_command(restore)


@backup.command(cls=Command)
@click.argument("file", type=_FILE)
@click.option("--dir", "directory", type=_PATH, required=True, help="The service's directory.")
@click.option("--recipient", "to", multiple=True, metavar="AGE1...", help="Who can open it; two or more.")
@json_option
def create(file: Path, directory: Path, to: tuple[str, ...], json_mode: JsonMode | None) -> None:
    """Back the service in a directory up into FILE, while it runs.

    All of it is encrypted to each recipient (age). A Private Key is in it only where it is kept in a file and its
    Subscriber agreed: privyseal declare backup KEY --allowed. No PIN, token or password of anything else is.
    """
    from privyseal import config
    from privyseal.signing import backups
    from privyseal.strongroom.backing_up import House
    from privyseal.strongroom.backup_file import LEAST_RECIPIENTS, write_backup

    if len(to) < LEAST_RECIPIENTS:
        raise Misused(
            f"A backup has {LEAST_RECIPIENTS} recipients at least, so that one lost key is no lost backup; "
            f"{len(to)} {'is' if len(to) == 1 else 'are'} named.",
            hint="--recipient AGE1... --recipient AGE1...; age-keygen makes keys",
        )
    if file.exists():
        raise Misused(f"{shown_path(file)} is there already.", hint="choose another name")
    if not file.absolute().parent.is_dir():
        raise Misused(f"{shown_path(file)} cannot be written: its folder is not there.", hint="make the folder first")
    settings, house = config.load(directory), House.of(directory)
    url = config.records_url(settings.records, directory)
    seal = config.privy_seal(settings, directory, config.Sockets.under(directory / "run"))
    records = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None
    wanted = backups.Wanted(house, records, config.documents(settings, directory).directory, to)
    try:
        with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".backup-") as folder:
            manifest, parts = backups.make(seal, wanted, Path(folder))
            whole = Path(folder) / "whole"
            with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                write_backup(target, manifest, parts, house.log_signer())
                target.flush()
                os.fsync(target.fileno())
            for subscriber in {each.subscriber for each in manifest.keys if each.kept}:
                names = [each.key for each in manifest.keys if each.kept and each.subscriber == subscriber]
                backups.note_backup(seal, subscriber, manifest.sha256, manifest.size, names)
            os.replace(whole, file)
    finally:
        seal.records.close()
    output = Output(json_mode)
    output.say(
        f"{mark(True)} {shown_path(file)} holds the service up to entry {manifest.size} of its log", *_told(manifest)
    )
    output.result(
        {"schema": "privyseal/backup/1", "sha256": manifest.sha256, "manifest": msgspec.to_builtins(manifest)}
    )


@backup.command(cls=Command)
@click.argument("file", type=_THERE)
@click.option("--log-policy", type=_THERE, required=True, help="Whom to believe about the log (C2SP tlog-policy).")
@click.option("--identity", type=_THERE, help="A key of age, 0600: decrypt everything and see that it is whole.")
@json_option
def inspect(file: Path, log_policy: Path, identity: Path | None, json_mode: JsonMode | None) -> None:
    """Say what a backup holds, of which log and up to where; with an identity, whether it is whole.

    The log policy is the one that verifiers have, from elsewhere than the backup: by it the log's key is known.
    """
    from privyseal.cli.backup_restore import opened

    names: list[str] = []

    def _look(name: str, content: BinaryIO) -> None:
        while content.read(1 << 20):
            pass
        names.append(name)

    with opened(file, log_policy) as (found, _):
        if identity is not None:
            from privyseal.strongroom import age

            own = age.identities(identity)
            for part in found.manifest.parts:
                content = found.part(part.name)
                if content is not None:
                    age.unseal(content, own, _look)
        manifest = found.manifest
    output = Output(json_mode)
    output.say(f"{mark(True)} a backup that the log's key of {printable(manifest.origin)} signed", *_told(manifest))
    if identity is not None:
        output.say(f"{mark(True)} all {len(names)} files in it decrypt")
    result = {"schema": "privyseal/backup/1", "sha256": manifest.sha256, "manifest": msgspec.to_builtins(manifest)}
    output.result(result | {"files": sorted(names) if identity else None})


@backup.command(cls=Command)
@click.argument("file", type=_THERE)
@click.option("--log-policy", type=_THERE, required=True, help="Whom to believe about the log (C2SP tlog-policy).")
@click.option("--identity-key", type=_THERE, required=True, help="Your Ed25519 private key, PEM, an operator's.")
@click.option("--days", type=click.IntRange(1, 90), default=DAYS, show_default=True, help="How long your word counts.")
@click.option("-o", "--output", "target", type=_FILE, required=True, help="Where your agreement is written.")
@json_option
# Each argument is an option of the command line.
def agree(
    file: Path, log_policy: Path, identity_key: Path, days: int, target: Path, json_mode: JsonMode | None
) -> None:
    """Agree, as an operator, that this backup is put back, and that you know of no longer log than it has.

    Give the file that this writes to whoever restores. It is for this one backup.
    """
    from privyseal.cli.backup_restore import opened
    from privyseal.strongroom.durable import write_whole
    from privyseal.strongroom.restoring import Agreement

    private = own_key.read(identity_key)
    public = private.public_key().public_bytes_raw()
    with opened(file, log_policy) as (found, _):
        manifest = found.manifest
    mine = next((each for each in manifest.operators if each.public_key == public), None)
    if mine is None:
        raise NotPermitted(
            "The identity key is no operator's of this service.",
            hint="asked: " + printable(", ".join(each.name for each in manifest.operators) or "nobody", 200),
        )
    word = Agreement(
        backup=manifest.sha256,
        origin=manifest.origin,
        size=manifest.size,
        until=(datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0),
        operator=mine.name,
        public_key=public,
    )
    signed = msgspec.structs.replace(word, signature=private.sign(approved_octets(word.digest())))
    write_whole(target, canonical_json(signed), mode=0o644)
    output = Output(json_mode)
    output.say(
        *_told(manifest), f"{mark(True)} {printable(mine.name)} agrees, until {word.until:%Y-%m-%d %H:%M:%S} UTC"
    )
    output.result({"schema": "privyseal/restore-agreement/1", "agreement": msgspec.to_builtins(signed)})


def _told(manifest: Manifest) -> list[str]:
    """Return what a backup holds, in words."""
    lines = fill("backup", manifest.sha256)
    lines += fill("made", f"{manifest.made:%Y-%m-%d %H:%M:%S} UTC{', of a rehearsal' if manifest.rehearsal else ''}")
    lines += fill("log", printable(f"{manifest.origin}, {manifest.size} entries"))
    names = printable(", ".join(each.name for each in manifest.operators) or "nobody", 400)
    lines += fill("restore", f"{manifest.quorum} of {len(manifest.operators)} operators agree: {names}")
    if manifest.records != "sqlite":
        lines += fill("records", "not in it: they are in PostgreSQL, which is backed up by its own means")
    for each in manifest.keys:
        what = "private key in it" if each.kept else "private key not in it"
        lines += fill("key", printable(f"{each.subscriber}/{each.key} ({each.store}): {what}; {each.why}", 400))
    return lines
