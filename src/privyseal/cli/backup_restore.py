"""``privyseal backup restore``: a service put back where nothing is, if its log is the newest and operators agreed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, printable, shown_path
from privyseal.errors import BadInput, Misused

if TYPE_CHECKING:
    from privyseal.strongroom.backing_up import House
    from privyseal.strongroom.backup_file import BackupFile
    from privyseal.strongroom.restoring import Brought
    from privyseal.strongroom.restoring_books import BooksBrought
    from privyseal.tlog.policy import Policy

_THERE = click.Path(path_type=Path, dir_okay=False, exists=True)
_WAITING = "serve.toml.restoring"
"""What ``serve.toml`` is called until everything else is in its place: without one there is no service."""
MOST_FILES = 64
"""Agreements and heads that are read."""


@click.command(cls=Command)
@click.argument("file", type=_THERE)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="An empty place, or none yet.")
@click.option("--identity", type=_THERE, required=True, help="A key of age to which it was encrypted, 0600.")
@click.option("--log-policy", type=_THERE, required=True, help="Whom to believe about the log, from elsewhere.")
@click.option("--agreement", "agreements", multiple=True, type=_THERE, help="What an operator wrote with 'agree'.")
@click.option("--known", multiple=True, type=_THERE, help="A signed head or receipt, the newest you find anywhere.")
@click.option("--log", "mirror", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Newer tiles.")
@json_option
# Each argument is an option of the command line.
def restore(  # noqa: PLR0913
    file: Path,
    directory: Path,
    identity: Path,
    log_policy: Path,
    agreements: tuple[Path, ...],
    known: tuple[Path, ...],
    mirror: Path | None,
    json_mode: JsonMode | None,
) -> None:
    """Put a service back from a backup, into a directory where nothing is.

    It is refused where anybody knows a longer log than it brings: witnesses, a mark on another disk, a --known head.
    Then give the newer tiles with --log. Afterwards no key signs: each is frozen until its people agree, by key resume.
    """
    from privyseal.cli.init import fresh
    from privyseal.strongroom import age, restoring

    if len(agreements) + len(known) > MOST_FILES:
        raise Misused(f"At most {MOST_FILES} agreements and heads are read.")
    now, output, own = datetime.now(UTC), Output(json_mode), age.identities(identity)
    with opened(file, log_policy) as (found, policy), fresh(directory):
        manifest = found.manifest
        words = [restoring.read_agreement(_short(path, restoring.MAX_AGREEMENT)) for path in agreements]
        by = restoring.require_agreed(manifest, words, now)
        for part in manifest.parts:
            content = found.part(part.name)
            if content is not None:
                age.unseal(
                    content,
                    own,
                    lambda name, octets: restoring.put(directory, _WAITING if name == "serve.toml" else name, octets),
                )
        if mirror is not None:
            shutil.rmtree(directory / "log")
            shutil.copytree(mirror, directory / "log", ignore=shutil.ignore_patterns(".*"))
        brought, books, house = _brought_back(directory, found, policy, (known, now, output))
        if manifest.records == "sqlite":
            _settle(directory, manifest.sha256, by, brought)
    _tell(output, (directory, by), brought, house)
    _tell_books(output, books)
    result = {"schema": "privyseal/restore/1", "backup": manifest.sha256, "agreed": by}
    kept = {"keys": [msgspec.to_builtins(each) for each in brought], "books": msgspec.to_builtins(books)}
    output.result(result | kept)


def _brought_back(
    directory: Path, found: BackupFile, policy: Policy, asked: tuple[Sequence[Path], datetime, Output]
) -> tuple[tuple[Brought, ...], BooksBrought, House]:
    """Bring log, signer and stamper to one state, the newest; with ``serve.toml`` it is a service again."""
    from privyseal.strongroom import restoring, restoring_books
    from privyseal.strongroom.backing_up import House

    known, now, output = asked
    restoring.give_passphrases_back(directory)
    house = House.of(directory)
    heads = [(shown_path(path), _head(path)) for path in known]
    accepted = restoring.require_newest(directory, found.manifest, policy, heads)
    restoring.recover_log(house, accepted, policy.logs[0].key, output.warn)
    brought = restoring.bring_forward(house, accepted, now)
    size, made = accepted.checkpoint.size, found.manifest.made
    books = restoring_books.bring_books_forward(house, size, made, now)
    (directory / _WAITING).rename(directory / "serve.toml")
    return brought, books, house


def _settle(directory: Path, backup: str, by: Sequence[str], brought: Sequence[Brought]) -> None:
    from privyseal import config
    from privyseal.records import schema
    from privyseal.signing import backups

    settings = config.load(directory)
    seal = config.privy_seal(settings, directory, config.Sockets.under(directory / "run"))
    try:
        schema.require_fit(seal.records)
        backups.settle(seal, backup, by, brought)
    finally:
        seal.records.close()


def _tell(output: Output, about: tuple[Path, Sequence[str]], brought: Sequence[Brought], house: House) -> None:
    directory, by = about
    who = printable(", ".join(by) or "nobody: a rehearsal without operators", 300)
    output.say(f"{mark(True)} the service is back in {shown_path(directory)}; agreed to by {who}")
    output.say("no key signs: each is frozen until its people agree (privyseal key resume KEY)")
    for each in brought:
        name = printable(f"{each.pair.subscriber}/{each.pair.name}")
        if each.destroyed:
            output.say(f"{name} was destroyed, and stays so")
        if each.missing:
            output.warn(f"{name}: its Private Key is not in the backup; it is lost if it is nowhere else")
        if each.uses:
            made = "1 signature" if each.uses == 1 else f"{each.uses} signatures"
            output.warn(f"{name}: {made} since the backup, which its records may not know")
        if each.amended:
            entries = ", ".join(map(str, each.amended[:8]))
            output.warn(
                f"{name}: its charter was amended after the backup (entry {entries}); look before you resume it"
            )
    homes = house.signer.homes()
    if homes:
        names = ", ".join(home.name for _, home in homes)
        output.warn(printable(f"put PINs and credentials of {names} where signer.toml names them", 300))


def _tell_books(output: Output, books: BooksBrought) -> None:
    from privyseal.strongroom.older_books import said

    if books.outlived:
        output.say("the stamper's books were on another disk, and are used as they are there")
        return
    if books.lost is None:
        output.warn("the backup has no books of the stamper: tokens from before cannot be led to the log any more")
        return
    output.say(f"the stamper's books go on with batch {books.lost.last + 1}. {said(books.lost)}")
    if books.stated:
        entries = ", ".join(map(str, books.stated[:8])) + (" and more" if len(books.stated) > 8 else "")
        output.warn(
            f"the log has entries about tokens since the backup, of which nobody knows what they say: {entries}"
        )


@contextmanager
def opened(file: Path, log_policy: Path) -> Iterator[tuple[BackupFile, Policy]]:
    """Open a backup that the key of the policy's one log signed."""
    from privyseal.strongroom.backup_file import open_backup
    from privyseal.tlog.policy import MAX_POLICY, parse_policy

    policy = parse_policy(_short(log_policy, MAX_POLICY))
    if len(policy.logs) != 1:
        raise Misused("The log policy names several logs; one was expected.", hint="give a policy of this log alone")
    found = open_backup(file, policy.logs[0].key)
    try:
        yield found, policy
    finally:
        found.close()


def _short(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        octets = file.read(most + 1)
    if len(octets) > most:
        raise BadInput(f"{shown_path(path)} has more than {most} octets.")
    return octets


def _head(path: Path) -> bytes:
    """Read a signed head, or the one at the end of a receipt (C2SP tlog-proof)."""
    from privyseal.tlog.proof import FIRST_LINE, MAX_PROOF, parse_proof

    octets = _short(path, MAX_PROOF)
    return parse_proof(octets).checkpoint if octets.startswith(FIRST_LINE.encode("ascii")) else octets
