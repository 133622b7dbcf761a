"""``privyseal agreement``: papers in versions, clause by clause, and who accepted them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from privyseal.cli.client import Service
from privyseal.cli.connection import connect, send, service_options
from privyseal.cli.fact_file import read_fact_file
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.compliance.statements_of_parties import Accepted
from privyseal.errors import BadInput, NotFound
from privyseal.signing.forms_of_parties import Acceptance
from privyseal.terms.agreements import Paper, PaperKind, Representative, Version, changes
from privyseal.web.views_of_parties import NewPaper, PaperList

LARGEST_FILE = 1 << 20
"""Octets of a paper's file; the longest Subscriber Agreement that we know has 120 KiB."""

_KIND = click.Choice([kind.value for kind in PaperKind])


@click.group()
def agreement() -> None:
    """Keep papers, and say who accepted them."""


@agreement.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--of", "of", default="", help="The Subscriber whom it binds.  [default: the operator's own]")
@service_options
@json_option
def add(
    file: Path,
    of: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Add the next version of a paper from a TOML file; for the operator's members."""
    paper = read_fact_file(file, LARGEST_FILE, _paper)
    service = connect(profile, url, subscriber)
    added = send(service, "POST", NewPaper(paper=paper, of=of), "agreements").read(Version)
    output = Output(json_mode)
    output.say(f"{mark(True)} {paper.kind}, version {added.version}: {printable(paper.title)}, {added.sha256[:16]}...")
    output.say(*_teams(paper))
    output.result({"schema": "privyseal/paper/1", "paper": added})


@agreement.command("list", cls=Command)
@click.option("--request", "request_id", help="What was in force when this request was made.")
@service_options
@json_option
def list_agreements(
    request_id: str | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """List the versions of papers, and which are in force."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    found = _papers(service, request_id)
    force = {(each.kind, each.version): each for each in found.in_force}
    for each in found.papers:
        accepted = force.get((each.paper.kind, each.version))
        by = "" if accepted is None else f"  in force, accepted by {printable(accepted.representative.name)}"
        output.say(f"{each.paper.kind:<18} {each.version:>3}  {each.at:%Y-%m-%d}  {printable(each.paper.title)}{by}")
    output.result({"schema": "privyseal/papers/1", "papers": found.papers, "in_force": found.in_force})


@agreement.command(cls=Command)
@click.argument("kind", type=_KIND)
@click.option("--version", "number", type=int, help="Which.  [default: the newest]")
@service_options
@json_option
def show(
    kind: str,
    number: int | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Show a paper clause by clause, with the requirements that each answers."""
    service, output = connect(profile, url, subscriber), Output(json_mode)
    found = _papers(service)
    one = _version(found, kind, number)
    lines = [f"{printable(one.paper.title)}, version {one.version}", *fill("SHA-256", one.sha256)]
    lines += fill("between", printable(", ".join(one.paper.parties)))
    for each in found.in_force:
        if (each.kind, each.version) == (one.paper.kind, one.version):
            who = each.representative
            lines += fill("accepted", printable(f"by {who.name}, {who.title}; {who.capacity}; {who.authenticated}"))
    for clause in one.paper.clauses:
        after = f"  [{', '.join(clause.answers)}]" if clause.answers else ""
        lines += [f"{printable(clause.number)}  {printable(clause.text, 2000)}{after}"]
    output.say(*lines, *_teams(one.paper))
    output.result({"schema": "privyseal/paper/1", "paper": one})


@agreement.command(cls=Command)
@click.argument("kind", type=_KIND)
@click.option("--from", "old", type=int, help="The older version.  [default: the one before]")
@click.option("--to", "new", type=int, help="The newer one.  [default: the newest]")
@service_options
@json_option
def diff(  # noqa: PLR0913 - each argument is an option of the command line
    kind: str,
    old: int | None,
    new: int | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say in words which clauses a version changes, and what they no longer answer."""
    found, output = _papers(connect(profile, url, subscriber)), Output(json_mode)
    newer = _version(found, kind, new)
    older = _version(found, kind, old if old is not None else newer.version - 1)
    changed = changes(older.paper, newer.paper)
    output.say(f"{kind}, version {older.version} to {newer.version}: {len(changed)} clauses changed.")
    output.say(*(printable(each.words, 500) for each in changed))
    output.result({"schema": "privyseal/paper-changes/1", "changes": changed})


@agreement.command(cls=Command)
@click.argument("kind", type=_KIND)
@click.option("--sha256", required=True, help="Of the version that was read, as `show` has it.")
@click.option("--name", required=True, help="Who accepts it.")
@click.option("--title", required=True, help="Their position.")
@click.option("--capacity", required=True, help="By what they may bind the Subscriber.")
@click.option("--authenticated", required=True, help="How it is known that they are who they say.")
@service_options
@json_option
def accept(  # noqa: PLR0913 - each argument is an option of the command line
    kind: str,
    sha256: str,
    name: str,
    title: str,
    capacity: str,
    authenticated: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Accept the newest version of a paper for the Subscriber; it is in force from then on."""
    service = connect(profile, url, subscriber)
    try:
        who = Representative(name=name, title=title, capacity=capacity, authenticated=authenticated)
        msgspec.convert(msgspec.to_builtins(who), Representative)
    except msgspec.ValidationError as error:
        raise BadInput(f"The representative is not said whole: {error}.") from error
    given = Acceptance(kind=PaperKind(kind), sha256=sha256, representative=who)
    accepted = send(service, "POST", given, "agreements", "accepted").read(Accepted)
    output = Output(json_mode)
    output.say(f"{mark(True)} {kind}, version {accepted.version}, is in force: accepted by {printable(name)}")
    output.result({"schema": "privyseal/accepted/1", "accepted": accepted})


def _paper(document: Mapping[str, object]) -> Paper:
    try:
        paper = msgspec.convert(document, Paper)
    except msgspec.ValidationError as error:
        raise BadInput(f"{error}.", hint="docs/how-to/enrol-a-subscriber.md shows a whole paper") from error
    paper.require_sound()
    return paper


def _papers(service: Service, request_id: str | None = None) -> PaperList:
    path = service.path("agreements")
    if request_id is not None:
        path += f"?request_id={service.path(request_id).rpartition('/')[2]}"
    return service.get(path).read(PaperList)


def _version(found: PaperList, kind: str, number: int | None) -> Version:
    mine = [each for each in found.papers if each.paper.kind == kind and number in (None, each.version)]
    if not mine:
        which = "" if number is None else f" version {number}"
        raise NotFound(f"There is no {kind}{which}.", hint="privyseal agreement list")
    return mine[-1]


def _teams(paper: Paper) -> list[str]:
    both = paper.in_both_teams
    words = f"{mark(None)} In both teams: {printable(', '.join(both))}. No text forbids it; it is a finding of ours."
    return [words] if both else []
