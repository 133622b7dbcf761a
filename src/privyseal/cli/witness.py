"""``privyseal witness``: a witness of logs (C2SP tlog-witness), a process of its own that needs no service."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from privyseal import config
from privyseal.errors import BadInput, Misused
from privyseal.strongroom import founding
from privyseal.tlog.policy import MAX_POLICY, parse_policy

_DIRECTORY = click.option(
    "--dir", "directory", type=click.Path(path_type=Path), required=True, help="The witness's directory."
)


@click.group(invoke_without_command=True)
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="The witness's directory.")
@click.option("--bind", metavar="HOST:PORT", default="127.0.0.1:8471", show_default=True, help="Where to listen.")
@click.pass_context
def witness(context: click.Context, directory: Path | None, bind: str) -> None:
    """Run a witness, which cosigns heads of the logs it knows.

    Prints one line "ready URL" on stdout when it answers. SIGTERM ends it with 0.
    """
    if context.invoked_subcommand is not None:
        if directory is not None:
            raise Misused("--dir belongs after the name of the command.")
        return
    if directory is None:
        raise Misused("No directory is named.", hint="privyseal witness --dir D")
    from privyseal.strongroom import witnessing

    witnessing.run(
        directory,
        config.bind_address(bind),
        on_ready=lambda url: print(f"ready {url}", flush=True),
        note=lambda line: print(f"privyseal witness: {line}", file=sys.stderr, flush=True),
    )


@witness.command()
@_DIRECTORY
@click.option("--name", required=True, help="Such as witness.example/w1: a URL without its scheme.")
@click.option("--second-records", type=click.Path(path_type=Path), help="A directory on another disk.")
def init(directory: Path, name: str, second_records: Path | None) -> None:
    """Make a witness with a key of its own; prints its verifier key."""
    click.echo(founding.create_witness(directory, name, second_records))
    click.echo(f"It knows no log yet: privyseal witness admit --dir {directory} LOG", err=True)


@witness.command()
@_DIRECTORY
@click.argument("log")
def admit(directory: Path, log: str) -> None:
    """Have the witness know a log, by its verifier key or a log policy that names one; read at the next start."""
    founding.admit_log(directory, _vkey(log))
    click.echo("Known from its next start on.", err=True)


def _vkey(log: str) -> str:
    path = Path(log)
    if "+" in log or not path.is_file():
        return log
    with path.open("rb") as file:
        logs = parse_policy(file.read(MAX_POLICY + 1)).logs
    if len(logs) != 1:
        raise BadInput(f"{log} names {len(logs)} logs; one was expected.")
    return logs[0].key.vkey
