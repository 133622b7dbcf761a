"""``privyseal policy``: who may have what signed, as files; what a change would do before it is done, and why not.

A policy is a folder of TOML files with one table for each rule (``access/policies.py`` says what a rule may speak of).
``check`` asks nobody; ``apply --plan`` asks the service what would change and for whom; ``apply`` does it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import click
import msgspec

from privyseal.access.attestations import LARGEST_ENVELOPE, read_envelope, statement_of
from privyseal.access.deciding import Explained
from privyseal.access.policies import LARGEST_FILE, MOST_FILES, Version, read_folder
from privyseal.cli.client import Answer, Service
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path, terminal
from privyseal.errors import BadInput, Misused, NotFound, NotPermitted
from privyseal.signing.forms_of_requests import Moved, Plan, Proposal, Trial
from privyseal.web.views_of_requests import Brought, Kept, PolicyList, PolicyView

_MOST_SHOWN = 40
"""Gains and losses that people are shown; ``--json`` has all."""


@click.group()
def policy() -> None:
    """Say who may have what signed, and see what a change would do."""


@policy.command("check", cls=Command)
@click.argument("path", metavar="FILE|DIR", type=click.Path(path_type=Path))
@json_option
def check(path: Path, json_mode: JsonMode | None) -> None:
    """Read a policy's files and say what is wrong with them; asks nobody."""
    found = read_folder(_files(path))
    output = Output(json_mode)
    output.say(f"{mark(True)} {shown_path(path)}: {len(found.rules)} rule(s), digest {found.digest}")
    output.result({"schema": "privyseal/policy-check/1", "digest": found.digest, "rules": found.rules})


# One argument for each option, as click has it.
@policy.command("apply", cls=Command)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--plan", "only_plan", is_flag=True, help="Show what would change, and for whom; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--accept-conflict", metavar="REASON", help="Apply although duties are not apart; logged.")
@service_options
@json_option
def apply(  # noqa: PLR0913
    directory: Path,
    only_plan: bool,
    yes: bool,
    accept_conflict: str | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Put a folder of rules in force, in place of all before it."""
    service, output, proposal = connect(profile, url, subscriber), Output(json_mode), Proposal(files=_files(directory))
    read_folder(proposal.files)
    planned = _post(service, "plan", proposal).read(Plan)
    output.say(*_planned(planned))
    if only_plan:
        output.result({"schema": "privyseal/policy-plan/1", **msgspec.to_builtins(planned)})
        return
    if planned.was != planned.digest:
        _confirm(planned, yes, accept_conflict)
    proposal = msgspec.structs.replace(proposal, was=planned.was, accept_conflict=accept_conflict)
    applied = _post(service, None, proposal).read(Version)
    output.say(f"{mark(True)} policy {applied.digest[:12]} is in force, the {applied.number}. of this Subscriber")
    output.result({"schema": "privyseal/policy/1", **msgspec.to_builtins(applied)})


def _confirm(planned: Plan, yes: bool, accept_conflict: str | None) -> None:
    if planned.idle:
        raise BadInput(printable(" ".join(planned.idle), 600), hint="mend or remove it")
    apart = [each for each in planned.conflicts if not each.warning]
    if apart and accept_conflict is None:
        raise NotPermitted(
            f"{len(apart)} duties would not be apart; nothing was applied.",
            hint="change roles or rules, or say --accept-conflict REASON",
        )
    if yes:
        return
    if not terminal():
        raise Misused("Nobody is here to confirm this.", hint="look at --plan, then say --yes")
    if not click.confirm("Put it in force?", err=True):
        raise Misused("Nothing was applied.")


def _planned(planned: Plan) -> list[str]:
    if planned.was == planned.digest:
        return [f"{mark(True)} this policy is in force already; nothing would change"]
    lines = [f"from {planned.was[:12] if planned.was else 'roles alone'} to {planned.digest[:12]}"]
    for label, names in (("adds", planned.added), ("changes", planned.changed), ("removes", planned.removed)):
        lines += fill(label, printable(", ".join(names), 400)) if names else []
    lines += _moves("gains", planned.gains) + _moves("loses", planned.losses)
    if not planned.gains and not planned.losses:
        lines += fill("nobody", "gains or loses anything but the when and how often")
    lines += [line for each in planned.idle for line in fill("never", printable(each, 300))]
    for each in planned.conflicts:
        lines += fill("note" if each.warning else "CONFLICT", printable(each.path, 400))
    return lines


def _moves(label: str, moved: tuple[Moved, ...]) -> list[str]:
    lines = []
    for each in moved[:_MOST_SHOWN]:
        what = f"{each.who}: {each.format} with key {each.key} by {', '.join(each.rules[:4])}"
        lines += fill(label, printable(what, 300))
    return lines + (fill("", f"and {len(moved) - _MOST_SHOWN} more") if len(moved) > _MOST_SHOWN else [])


@policy.command("list", cls=Command)
@service_options
@json_option
def list_policies(profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None) -> None:
    """List the policies that were applied, the newest first, and duties that are not apart."""
    service = connect(profile, url, subscriber)
    body = service.get(service.path("policies"))
    found, output = body.read(PolicyList), Output(json_mode)
    if not found.versions:
        output.say("no policy was ever applied; roles alone decide")
    for place, each in enumerate(found.versions):
        state = "in force" if place == 0 else "past"
        output.say(f"{each.number:>4} {each.digest[:12]} {each.at:%Y-%m-%d %H:%M} UTC by {each.actor}  {state}")
        if each.accepted:
            output.say(*fill("accepted", printable(each.accepted, 400)))
    for conflict in found.conflicts:
        output.say(*fill("note" if conflict.warning else "CONFLICT", printable(conflict.path, 400)))
    output.result({"schema": "privyseal/policies/1", **msgspec.json.decode(body.body)})


@policy.command("show", cls=Command)
@click.argument("digest", required=False)
@service_options
@json_option
def show(
    digest: str | None, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Show the policy in force, or the one whose digest begins so."""
    service = connect(profile, url, subscriber)
    known = service.get(service.path("policies")).read(PolicyList).versions
    found = [each for each in known if each.digest.startswith(digest or "")]
    if not found:
        raise NotFound("No policy was ever applied." if not known else f"No policy has the digest {digest!r}.")
    body = service.get(service.path("policies", found[0].digest))
    view, output = body.read(PolicyView), Output(json_mode)
    if hashlib.sha256(view.octets).hexdigest() != found[0].digest:
        raise BadInput("The service's policy does not have the digest that it says.", hint="tell the operator")
    output.say(f"policy {view.digest}, applied {found[0].at:%Y-%m-%d %H:%M} UTC by {printable(found[0].actor)}")
    for name, rule in view.rules.items():
        said = msgspec.json.encode({k: v for k, v in msgspec.to_builtins(rule).items() if v}).decode()
        output.say(*fill(printable(name), printable(said, 2000)))
    output.result({"schema": "privyseal/policy/1", **msgspec.json.decode(body.body)})


# One argument for each option, as click has it.
@policy.command("test", cls=Command)
@click.option("--as", "member", required=True, metavar="MEMBER", help="Who would ask: a member's id or name.")
@click.option("--key", "key", required=True, help="With which key.")
@click.option("--format", "code_format", default="pe", show_default=True, help="Of which format the code is.")
@click.option("--mode", type=click.Choice(["local", "server"]), default="local", show_default=True)
@click.option("--publisher", metavar="NAME", help="The program name of the signature.")
@click.option("--no-timestamp", is_flag=True, help="Without a timestamp.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="A fact of the run; repeat it.")
@click.option("--at", metavar="TIME", help="When, such as 2026-12-24T20:00:00Z.  [default: now]")
@click.option("--rules", type=click.Path(path_type=Path), help="Try these files instead of the policy in force.")
@service_options
@json_option
def test(  # noqa: PLR0913
    member: str,
    key: str,
    code_format: str,
    mode: str,
    publisher: str | None,
    no_timestamp: bool,
    claims: tuple[str, ...],
    at: str | None,
    rules: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say why a request would be allowed, or what it lacks. Exit 5 where it would be refused."""
    trial = Trial(
        member=member,
        key=key,
        format=code_format,
        mode=mode,
        publisher=publisher,
        timestamp=not no_timestamp,
        claims=dict(_claim(each) for each in claims),
        at=_moment(at),
        files=None if rules is None else _files(rules),
    )
    body = _post(connect(profile, url, subscriber), "test", trial)
    found, output = body.read(Explained), Output(json_mode)
    output.say(f"{mark(found.allowed)} {printable(found.sentence, 1000)}")
    for name, differs in found.rules.items():
        output.say(*fill(printable(name), printable("; ".join(differs), 600) if differs else "holds"))
    output.result({"schema": "privyseal/policy-test/1", **msgspec.json.decode(body.body)})
    if not found.allowed:
        raise click.exceptions.Exit(NotPermitted.exit)


@policy.command("bring", cls=Command)
@click.argument("envelope", type=click.Path(path_type=Path))
@service_options
@json_option
def bring(
    envelope: Path, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """Hand in an attestation (in-toto in a DSSE envelope) for the files it names, before they are signed."""
    octets = _octets(envelope, LARGEST_ENVELOPE)
    statement = statement_of(read_envelope(octets))
    service = connect(profile, url, subscriber)
    document = msgspec.json.encode(Brought(envelope=octets))
    kept = service.post(service.path("attestations"), document, hashlib.sha256(octets).hexdigest()).read(Kept)
    output = Output(json_mode)
    output.say(f"{mark(True)} {printable(statement.predicate_type)} for {len(statement.subjects)} file(s)")
    output.result({"schema": "privyseal/attestation/1", "digest": kept.digest, "files": statement.subjects})


def _post(service: Service, what: str | None, document: Proposal | Trial) -> Answer:
    octets = msgspec.json.encode(document)
    path = service.path("policies") if what is None else service.path("policies", what)
    return service.post(path, octets, hashlib.sha256(octets).hexdigest())


def _files(path: Path) -> dict[str, str]:
    """Read a folder's ``*.toml``, or one file; Misused where there is none."""
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files or len(files) > MOST_FILES:
        raise Misused(f"{shown_path(path)} has {len(files)} files named *.toml; 1 to {MOST_FILES} were expected.")
    found = {}
    for each in files:
        try:
            found[each.name] = _octets(each, LARGEST_FILE).decode()
        except UnicodeDecodeError:
            raise BadInput(f"{shown_path(each)} is no UTF-8 text.") from None
    return found


def _octets(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        octets = file.read(most + 1)
    if len(octets) > most:
        raise BadInput(f"{shown_path(path)} is larger than {most} octets.")
    return octets


def _claim(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Misused(f"{printable(text)} is no claim.", hint="such as ref=refs/tags/v1.2")
    return name, value


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misused(f"{printable(text)} is no time.", hint="such as 2026-12-24T20:00:00Z") from None
    if moment.tzinfo is None:
        raise Misused(f"{printable(text)} has no time zone.", hint="such as 2026-12-24T20:00:00Z")
    return moment
