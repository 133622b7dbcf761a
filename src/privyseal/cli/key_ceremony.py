"""``privyseal key ceremony``: a script to read out, the record of what was done, and who saw it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from privyseal.cli import own_key
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, Output, fill, json_option, mark, printable, shown_path
from privyseal.compliance import ceremonies
from privyseal.compliance.ceremonies import Entry, Record, Script, Witness
from privyseal.compliance.statements_of_lives import CeremonyHeld
from privyseal.errors import BadInput, Misused
from privyseal.signing.forms_of_keys import Held
from privyseal.strongroom.durable import write_whole
from privyseal.terms.canonical import canonical_json

PIECE = 1 << 20
"""Octets of a recording that are read at once."""
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("ceremony", cls=Command)
@click.argument("script", metavar="SCRIPT", required=False, type=_FILE)
@click.option("--new", metavar="KEY", help="Print a script for the birth of this key, to fit to your house.")
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), help="The record, made with the first step.")
@click.option("--step", type=int, help="Record that this step was done, now.")
@click.option("--by", help="With --step: who did it.")
@click.option("--output", "made", type=_FILE, help="With --step: what came out; its SHA-256 is recorded.")
@click.option("--note", default="", help="With --step: what was otherwise than the script says.")
@click.option("--witness", metavar="NAME", help="Sign the record as a witness, who did no step.")
@click.option("--identity-key", type=click.Path(path_type=Path, dir_okay=False), help="With --witness: your own key.")
@click.option("--hand-in", is_flag=True, help="Have the service take the record in as evidence.")
@service_options
@json_option
def ceremony(script: Path | None, new: str | None, **given: Any) -> None:
    """Print a script of a key ceremony, record its steps, sign the record, and hand it in.

    \b
    privyseal key ceremony --new release > script.toml
    privyseal key ceremony script.toml
    privyseal key ceremony script.toml --record record.json --step 1 --by "Ada"
    privyseal key ceremony script.toml --record record.json --witness "Wim" --identity-key wim.pem
    privyseal key ceremony script.toml --record record.json --hand-in
    """
    asked = sum((given["step"] is not None, given["witness"] is not None, given["hand_in"]))
    if (new is None) == (script is None) or (new is not None and asked) or asked > 1:
        raise Misused("Either --new KEY, or a SCRIPT and at most one of --step, --witness and --hand-in.")
    if new is not None:
        click.echo(ceremonies.template(new), nl=False)
        return
    if asked and given["record"] is None:
        raise Misused("In which file is the record?", hint="--record FILE")
    octets = small_file(Path(str(script)))
    read = ceremonies.read_script(octets)
    output = Output(given["json_mode"])
    if not asked:
        output.say(*in_words(read, octets))
        output.result({"schema": "privyseal/ceremony-script/1", "sha256": hashlib.sha256(octets).hexdigest()})
        return
    path: Path = given["record"]
    if given["hand_in"]:
        _hand_in(octets, path, given, output)
        return
    record = ceremonies.read_record(small_file(path)) if path.exists() else ceremonies.begin(octets)
    if record.script != hashlib.sha256(octets).hexdigest():
        raise BadInput(f"{shown_path(path)} is the record of another script.")
    record = _step(record, read, given) if given["step"] is not None else _witness(record, read, given)
    write_whole(path, canonical_json(record))
    said = f"step {given['step']} of {len(read.steps)}" if given["step"] is not None else "the witness"
    output.say(f"{mark(True)} {shown_path(path)} has {said}.", *fill("digest", record.digest().hex()))
    output.result({"schema": "privyseal/ceremony-record/1", "record": msgspec.to_builtins(record)})


def in_words(script: Script, octets: bytes) -> list[str]:
    """Return a script as it is printed for everybody in the room."""
    lines = [printable(script.title, 200), *fill("key", printable(script.key))]
    lines += fill("SHA-256", hashlib.sha256(octets).hexdigest())
    for name, what in script.roles.items():
        lines += fill(printable(name, 12), printable(what, 400))
    for number, step in enumerate(script.steps, 1):
        lines.append(f"{number:>3}. [ ] {printable(step.role)}: {printable(step.do, 4000)}")
        digest = " SHA-256 ____________________" if step.output else ""
        lines.append(f"         by ____________________ at ____________________{digest}")
    return [*lines, "Witness ____________________ ____________________"]


def small_file(path: Path) -> bytes:
    """Read a script or a record; BadInput where it is larger than one can be."""
    with path.open("rb") as file:
        octets = file.read(ceremonies.LARGEST + 1)
    if len(octets) > ceremonies.LARGEST:
        raise BadInput(f"{shown_path(path)} is larger than {ceremonies.LARGEST} octets.")
    return octets


def _step(record: Record, script: Script, given: dict[str, Any]) -> Record:
    if not given["by"]:
        raise Misused("Who did it?", hint="--by NAME")
    made: Path | None = given["made"]
    now = datetime.now(UTC).replace(microsecond=0)
    fields = {"step": given["step"], "by": given["by"], "at": now, "note": given["note"]}
    return ceremonies.done(record, script, _made(Entry, fields | {"output": "" if made is None else _digest(made)}))


def _witness(record: Record, script: Script, given: dict[str, Any]) -> Record:
    if given["identity_key"] is None:
        raise Misused("With which key does the witness sign?", hint="--identity-key FILE")
    private = own_key.read(given["identity_key"])
    signature = private.sign(ceremonies.signed_octets(record.digest()))
    public = private.public_key().public_bytes_raw()
    fields = {"name": given["witness"], "public_key": public, "signature": signature}
    return ceremonies.witnessed(record, script, _made(Witness, fields))


def _made(kind: Any, fields: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(fields, kind, builtin_types=(bytes, datetime))
    except msgspec.ValidationError as error:
        raise Misused(f"This cannot be recorded: {error}.") from None


def _hand_in(octets: bytes, path: Path, given: dict[str, Any], output: Output) -> None:
    record = small_file(path)
    ceremonies.require_whole(ceremonies.read_record(record), octets, datetime.now(UTC))
    service = connect(given["profile"], given["url"], given["subscriber"])
    document = msgspec.json.encode(Held(script=octets, record=record))
    answer = service.post(service.path("ceremonies"), document, hashlib.sha256(record).hexdigest())
    held = answer.read(CeremonyHeld)
    output.say(f"{mark(True)} The ceremony of {printable(held.key)} is evidence, SHA-256 {held.record[:16]}...")
    output.result({"schema": "privyseal/ceremony/1", "held": msgspec.to_builtins(held)})


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
