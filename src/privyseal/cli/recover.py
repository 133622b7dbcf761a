"""``privyseal log recover``, ``add-witness``, ``add-logger``: what an operator does to a logger that does not run."""

from __future__ import annotations

import os
from pathlib import Path

import click

from privyseal.cli.bounded import bounded
from privyseal.cli.output import Command, JsonMode, Output, json_option
from privyseal.cli.output import mark as tick
from privyseal.errors import BadInput
from privyseal.tlog.note import MAX_NOTE

LEASE_WAIT = 5.0
"""Seconds until the lease of a logger that was killed is over, and a little more."""


@click.command(cls=Command)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--logger", "room", default="logger", show_default=True, help="The logger's folder in it.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="A signed head, if the published one is older.")
@click.option("--apply", is_flag=True, help="Do it; without this only what would be done is said.")
@json_option
def recover(directory: Path, room: str, checkpoint: Path | None, apply: bool, json_mode: JsonMode | None) -> None:
    """Roll a logger's journal and mark forward to the newest signed head, from the entries in the public tiles.

    The logger must not run. Nothing is written unless every entry up to that head is there and proven.
    """
    from privyseal.strongroom import settings
    from privyseal.strongroom.durable import lock_room
    from privyseal.strongroom.recovery import open_recovery
    from privyseal.strongroom.rooms import log_journal

    config = (directory / room / "logger.toml").resolve()
    asked = settings.load(config, settings.LoggerSettings)
    output = Output(json_mode)
    lock = lock_room(config.parent)
    try:
        journal = log_journal(config, asked)
        try:
            journal.wait_for_term(LEASE_WAIT)
            recovery, witnesses = open_recovery(config, asked, journal, output.warn)
            try:
                plan = recovery.plan(None if checkpoint is None else _note(checkpoint))
                if apply:
                    recovery.carry_out(plan)
            finally:
                if witnesses is not None:
                    witnesses.close()
        finally:
            journal.close()
    finally:
        os.close(lock)
    done = "" if apply else "would "
    by = ", ".join(plan.witnesses) or "nobody"
    output.say(f"{tick(True)} the newest signed head has {plan.target.size} entries, cosigned by {by}")
    if plan.entries:
        output.say(
            f"the journal {done}{'goes' if apply else 'go'} from {plan.journal.size} to {plan.target.size} entries"
        )
    if plan.raises_mark:
        was = "is missing" if plan.mark is None else f"stands at {plan.mark.number}"
        output.say(f"the mark {was} and {done}{'is set' if apply else 'be set'} to {plan.target.size}")
    if not plan.entries and not plan.raises_mark:
        output.say("journal and mark know it; there is nothing to do")
    elif not apply:
        output.say("nothing was changed; say --apply to do it")
    about = {"size": plan.target.size, "root": plan.target.root.hex(), "witnesses": plan.witnesses}
    marked = None if plan.mark is None else plan.mark.number
    result = {"schema": "privyseal/log-recover/1", "head": about, "journal": plan.journal.size, "mark": marked}
    output.result({**result, "entries": plan.entries, "raises_mark": plan.raises_mark, "applied": apply})


def _note(path: Path) -> bytes:
    """Read a signed head, or the one at the end of a receipt (C2SP tlog-proof)."""
    from privyseal.tlog.proof import FIRST_LINE, MAX_PROOF, parse_proof

    octets = bounded(path, MAX_PROOF)
    if octets.startswith(FIRST_LINE.encode("ascii")):
        return parse_proof(octets).checkpoint
    if len(octets) > MAX_NOTE:
        raise BadInput(f"{path} is too large for a checkpoint.")
    return octets


@click.command("add-witness", cls=Command)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.argument("vkey")
@click.argument("url")
@click.option("--quorum", type=click.IntRange(min=1), required=True, help="How many witnesses must cosign a head.")
def add_witness(directory: Path, vkey: str, url: str, quorum: int) -> None:
    """Have the log ask one more witness, by its verifier key and address, from the logger's next start on.

    The log policy beside the service then names the witnesses and the quorum; give it to those who verify.
    """
    from privyseal.strongroom import founding
    from privyseal.strongroom.durable import write_whole
    from privyseal.tlog.policy import MAX_POLICY, Group, Policy, Witness, parse_policy

    path = directory / "log-policy"
    logs = parse_policy(bounded(path, MAX_POLICY)).logs
    asked = founding.add_witness(directory / "logger", vkey, url, quorum)
    witnesses = [Witness(f"w{n}", each.verifier(), each.url) for n, each in enumerate(asked.witness, start=1)]
    group = Group("witnesses", quorum, tuple(each.name for each in witnesses))
    write_whole(path, Policy(logs, (*witnesses, group), group.name).format().encode("utf-8"), mode=0o644)
    click.echo(f"{quorum} of {len(witnesses)} witnesses must cosign, from the logger's next start on.", err=True)


@click.command("add-logger", cls=Command)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The node's directory.")
@click.option("--beside", type=click.Path(path_type=Path), help="The directory with the first logger, if another one.")
@click.option("--name", default="logger2", show_default=True, help="The new logger's folder in it.")
@click.option("--mark", type=click.Path(path_type=Path), help="The file of its mark; on a disk of its own.")
def add_logger(directory: Path, beside: Path | None, name: str, mark: Path | None) -> None:
    """Make a further logger, which takes over from the active one; their journal must be in PostgreSQL."""
    from privyseal.strongroom import founding

    first = (beside or directory) / "logger"
    founding.create_standby(directory / name, first, mark or directory / "marks" / f"{name}.mark")
    click.echo(
        f'  run it   standby = "{name}" under [log] in {directory / "serve.toml"}\n'
        f'  use it   loggers = ["{directory.resolve() / "run" / f"{name}.sock"}"] under [log] of every other node',
        err=True,
    )
