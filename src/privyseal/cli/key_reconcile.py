"""``privyseal key reconcile``: what clouds count of our keys, held against what the signer counted; writes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, printable
from privyseal.errors import VerificationFailed
from privyseal.terms.clouds import CloudUses, KeyUses

DAYS = 7
"""How far back is looked if nobody says since when; the daily duty looks back to its last look."""


@click.command("reconcile", cls=Command)
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path, exists=True), required=True, help="The service's directory."
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help=f"From when on, UTC; {DAYS} days back if not given, 90 at most.",
)
@json_option
def reconcile(directory: Path, since: datetime | None, json_mode: JsonMode | None) -> int:
    """Ask each cloud how often its audit log says that keys signed, and compare.

    It asks the signer on this machine, and the service need not run beside it. The service does the same once a day,
    and opens an incident where a cloud counts more.

    Exit 0 where all counts agree and all is logged, 3 where something differs or is not logged.
    """
    from privyseal.strongroom.client import SignerClient, SocketAsk

    begun = datetime.now(UTC) - timedelta(days=DAYS) if since is None else since.replace(tzinfo=UTC)
    ask = SocketAsk(directory / "run" / "signer.sock")
    try:
        found = SignerClient(ask).clouds(begun)
    finally:
        ask.close()
    output = Output(json_mode)
    for home in found:
        output.say(*_lines(home))
    if not found:
        output.say("No key is in a cloud, or there is no whole hour yet to compare.")
    wrong = [home for home in found if not _good(home)]
    output.result({"schema": "privyseal/reconciled/1", "agree": not wrong, "homes": found})
    return VerificationFailed.exit if wrong else 0


def _good(home: CloudUses) -> bool:
    return home.on and not home.gaps and not home.trouble and not any(each.difference for each in home.keys)


def _lines(home: CloudUses) -> list[str]:
    span = f"{home.since:%Y-%m-%d %H:%M} to {home.until:%Y-%m-%d %H:%M} UTC"
    lines = [f"{mark(_good(home))} {home.store} {printable(home.home)}, {span}"]
    if home.trouble:
        return [*lines, f"  it could not be asked: {printable(home.trouble)}"]
    lines.append(f"  {printable(home.source)} is {'on' if home.on else 'off'}")
    lines += [f"  {printable(each)}" for each in home.gaps]
    return lines + [f"  {_words(each)}" for each in home.keys]


def _words(uses: KeyUses) -> str:
    bounds = str(uses.at_most) if uses.at_least == uses.at_most else f"{uses.at_least} to {uses.at_most}"
    said = {
        "": "as the signer",
        "more": "MORE than the signer asked for: somebody else used the key",
        "fewer": "FEWER than the signer made: the cloud's log lacks some",
    }[uses.difference]
    return f"{mark(not uses.difference)} {printable(uses.name)}: {uses.counted} signatures, {said} ({bounds})"
