"""``privyseal gate``: what refuses signatures under publicly trusted certificates, and how two people lift it.

An override is a file that goes from hand to hand: ``propose`` writes it, two overseers ``agree`` to it with keys of
their own, each on their own machine, and ``override`` hands it in. What they sign is the digest of the whole override.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from privyseal.cli import own_key
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.compliance.gates import LONGEST_OVERRIDE, Overridden, Override
from privyseal.errors import BadInput, Misused
from privyseal.strongroom.durable import write_whole
from privyseal.web.views_of_findings import GateList, GateView


@click.group()
def gate() -> None:
    """Say what refuses signatures, and override it for a while."""


@gate.command("list", cls=Command)
@service_options
@json_option
def list_gates(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List what refuses a signature, since when, and who lifted it."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("gates"))
    output = Output(json_mode)
    for each in body.read(GateList).gates:
        output.say(*_in_words(each))
    output.result({"schema": "privyseal/gates/1", **msgspec.json.decode(body.body)})


@gate.command("propose", cls=Command)
@click.argument("requirement", metavar="ID")
@click.option("--subscriber", required=True, help="For whose signatures.")
@click.option("--hours", type=click.IntRange(1, LONGEST_OVERRIDE // timedelta(hours=1)), required=True)
@click.option("--reason", required=True, help="Why, for the log and for the auditor.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The file that goes around.")
@json_option
def propose(requirement: str, subscriber: str, hours: int, reason: str, out: Path, json_mode: JsonMode | None) -> None:
    """Write an override that two overseers then agree to."""
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        lifted = msgspec.convert(
            {
                "subscriber": subscriber,
                "requirement": requirement.upper(),
                "reason": reason,
                "since": now,
                "until": now + timedelta(hours=hours),
            },
            Override,
        )
    except msgspec.ValidationError as error:
        raise Misused(f"This is no override: {error}.") from None
    lifted.check()
    _write(out, Overridden(override=lifted, approvals=()))
    output = Output(json_mode)
    output.say(f"{mark(True)} {shown_path(out)} is to be agreed to by two overseers: privyseal gate agree")
    output.say(*fill("digest", lifted.digest().hex()))
    output.result({"schema": "privyseal/gate-override/1", "digest": lifted.digest().hex(), "override": lifted})


@gate.command("agree", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Your name, as serve.toml has it.")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Your Ed25519 private key, PEM.")
@json_option
def agree(file: Path, name: str, key: Path, json_mode: JsonMode | None) -> None:
    """Look at an override, and agree to it with your own key."""
    given = _read(file)
    digest = given.override.digest()
    mine = own_key.agreement(key, name, digest)
    others = tuple(each for each in given.approvals if each.public_key != mine.public_key)
    _write(file, Overridden(override=given.override, approvals=(*others, mine)))
    output = Output(json_mode)
    output.say(*_of(given.override), f"{mark(True)} {printable(name)} agrees; {len(others) + 1} agree now")
    output.result({"schema": "privyseal/gate-override/1", "digest": digest.hex(), "override": given.override})


@gate.command("override", cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@service_options
@json_option
def override(
    file: Path, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Hand in an override that two overseers have agreed to."""
    given = _read(file)
    service = connect(profile, url, subscriber or given.override.subscriber)
    document = msgspec.json.encode(given)
    body = service.post(service.path("gates", "overrides"), document, given.override.digest().hex())
    output = Output(json_mode)
    output.say(*_in_words(body.read(GateView)))
    output.result({"schema": "privyseal/gate/1", **msgspec.json.decode(body.body)})


def _in_words(view: GateView) -> list[str]:
    lines = [f"{view.requirement} ({view.clause}): {view.title}"]
    if view.enforced is not None and view.enforced > datetime.now(UTC):
        lines += fill("reports", f"refuses from {view.enforced:%Y-%m-%d %H:%M} UTC on")
    if not view.overridable:
        lines += fill("override", "there is none")
    for each in view.overrides:
        lines += fill("lifted", f"until {each.until:%Y-%m-%d %H:%M} UTC by {printable(' and '.join(each.by))}")
        lines += fill("because", printable(each.reason, 400))
    return lines


def _of(lifted: Override) -> list[str]:
    lines = [f"{lifted.requirement} is lifted for {printable(lifted.subscriber)}"]
    lines += fill("from", f"{lifted.since:%Y-%m-%d %H:%M} UTC to {lifted.until:%Y-%m-%d %H:%M} UTC")
    return lines + fill("because", printable(lifted.reason, 400)) + fill("digest", lifted.digest().hex())


def _read(path: Path) -> Overridden:
    try:
        return msgspec.json.decode(own_key.octets_of(path), type=Overridden)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{shown_path(path)} is no override: {printable(str(error))}.") from None


def _write(path: Path, given: Overridden) -> None:
    write_whole(path, msgspec.json.format(msgspec.json.encode(given)) + b"\n")
