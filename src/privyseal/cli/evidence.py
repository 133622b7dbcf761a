"""``privyseal evidence``: documents that show what no machine sees, and what somebody found in them."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import msgspec

from privyseal.cli.client import PAUSES, Service
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.compliance.evidence import DOCUMENTS
from privyseal.compliance.statements import Administered, Document, Matter, Own, Review
from privyseal.compliance.statements_of_parties import Accepted, Stands
from privyseal.errors import BadInput, Misused, NotFound, PrivySealError, Unavailable
from privyseal.terms.canonical import canonical_json
from privyseal.web.views_of_findings import OCTETS, StatementList, StatementView

PIECE = 1 << 20
"""Octets read and sent at a time."""


class Day(click.ParamType[date]):
    """A day as the command line takes it: 2026-02-28."""

    name = "DATE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Return the day; fail with one sentence for anything else."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{printable(str(value))} is no day; one like 2026-02-28 was expected", param, ctx)


@click.group()
def evidence() -> None:
    """Take in documents that show what no machine sees."""


@evidence.command(cls=Command)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--kind", required=True, help="What it is; `privyseal evidence kinds` lists them.")
@click.option("--issuer", required=True, help="Who wrote or signed it.")
@click.option("--about", default="service", show_default=True, help="Or subscriber:NAME, or key:KEY_ID.")
@click.option("--valid-from", type=Day(), help="Its first day.")
@click.option("--valid-until", type=Day(), help="Its last day.")
@click.option("--for", "requirements", multiple=True, help="A requirement's id or a clause; all that want its kind.")
@service_options
@json_option
def add(  # noqa: PLR0913 - each argument is an option of the command line
    file: Path,
    kind: str,
    issuer: str,
    about: str,
    valid_from: date | None,
    valid_until: date | None,
    requirements: tuple[str, ...],
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Take in a document as evidence: it is sent, logged, and counts from then on.

    Run again it changes nothing. The same file with other facts takes the place of what was said of it before.
    """
    if kind not in DOCUMENTS:
        raise Misused(f"There is no kind of evidence called {printable(kind)}.", hint="privyseal evidence kinds")
    service = connect(profile, url, subscriber)
    sha256, size = _measured(file)
    document = Document(
        sha256=sha256,
        size=size,
        filename=file.name.encode("utf-8", "backslashreplace").decode()[:255],
        kind=kind,
        issuer=issuer,
        about=about,
        valid_from=valid_from,
        valid_until=valid_until,
        requirements=requirements,
    )
    _send(service, file, document)
    state(service, document, json_mode)


@evidence.command("list", cls=Command)
@click.option("--kind", help="Only documents of this kind.")
@service_options
@json_option
def list_evidence(
    kind: str | None, profile: str | None, url: str | None, subscriber: str | None, json_mode: JsonMode | None
) -> None:
    """List what was stated, in the order of the log: documents, reviews, declarations, choices."""
    output = Output(json_mode)
    found = [
        each
        for each in _stated(connect(profile, url, subscriber))
        if kind is None or (isinstance(each.said.matter, Document) and each.said.matter.kind == kind)
    ]
    for each in found:
        output.say(f"{each.entry:>9}  {each.said.at:%Y-%m-%d}  {printable(in_words(each.said.matter))}")
    output.result({"schema": "privyseal/evidence/1", "statements": found})


@evidence.command(cls=Command)
@click.argument("which", metavar="ENTRY|SHA256")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Write the document itself here.")
@service_options
@json_option
def show(
    which: str,
    target: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Show what was stated, by the log's entry or by the beginning of a document's SHA-256."""
    service = connect(profile, url, subscriber)
    found = _found(_stated(service), which)
    output, matter = Output(json_mode), found.said.matter
    lines = [printable(in_words(matter)), *fill("log entry", str(found.entry))]
    lines += fill("said", f"by {printable(found.said.by)} at {found.said.at:%Y-%m-%d %H:%M:%S} UTC")
    for name, value in msgspec.to_builtins(matter).items():
        if value not in (None, "", [], {}) and name != "type":
            lines += fill(name.replace("_", " "), printable(str(value), 2000))
    output.say(*lines)
    if target is not None:
        if not isinstance(matter, Document):
            raise Misused("Only a document has octets to write.")
        _fetch(service, matter, target)
        output.say(f"{mark(True)} {shown_path(target)}: {matter.size} octets, SHA-256 as stated")
    output.result({"schema": "privyseal/statement/1", "statement": found})


@evidence.command(cls=Command)
@click.argument("sha256", metavar="SHA256")
@click.option("--for", "requirement", required=True, help="The requirement's id, such as CSBR-8.4.2-01.")
@click.option("--verdict", type=click.Choice(["met", "not-met", "not-evidenced"]), required=True, help="What it shows.")
@click.option("--note", required=True, help="What was looked at, and why it shows that.")
@service_options
@json_option
def review(  # noqa: PLR0913 - each argument is an option of the command line
    sha256: str,
    requirement: str,
    verdict: str,
    note: str,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say what a document shows of one requirement, by the beginning of its SHA-256."""
    service = connect(profile, url, subscriber)
    matter = _found(_stated(service), sha256).said.matter
    if not isinstance(matter, Document):
        raise Misused("Only a document can be reviewed.", hint="privyseal evidence list")
    seen = {"document": matter.sha256, "requirement": requirement, "verdict": verdict, "note": note}
    state(service, msgspec.convert(seen, Review), json_mode)


@evidence.command(cls=Command)
@json_option
def kinds(json_mode: JsonMode | None) -> None:
    """List the kinds of documents that requirements want."""
    output = Output(json_mode)
    for name, text in DOCUMENTS.items():
        output.say(f"{name:<28} {text}")
    output.result({"schema": "privyseal/evidence-kinds/1", "kinds": DOCUMENTS})


def state(service: Service, matter: Matter, json_mode: JsonMode | None) -> None:
    """Have something stated, and tell where the log has it."""
    output = Output(json_mode)
    output.result({"schema": "privyseal/statement/1", "statement": told(service, matter, output)})


def told(service: Service, matter: Matter, output: Output) -> StatementView:
    """Have something stated, tell people where the log has it, and return that."""
    octets, path = canonical_json(matter), service.path("evidence")
    answer = service.ask("POST", path, octets, {"Content-Type": "application/json"}).read(StatementView)
    output.say(f"{mark(True)} {printable(in_words(answer.said.matter))}: entry {answer.entry} of the log")
    return answer


def in_words(matter: Matter | Own) -> str:
    """Say in a few words what was stated."""
    if isinstance(matter, Document):
        return f"{matter.kind} {matter.filename!r} of {matter.issuer}, SHA-256 {matter.sha256[:16]}..."
    if isinstance(matter, Review):
        return f"review: {matter.document[:16]}... shows {matter.requirement} {matter.verdict}"
    if isinstance(matter, Administered):
        return f"{matter.what} {matter.subject}, by {matter.actor}" + (f": {matter.detail}" if matter.detail else "")
    if isinstance(matter, Stands):
        return f"Subscriber {matter.subscriber}: {matter.becomes or f'{matter.done} done'}, by {matter.by}"
    if isinstance(matter, Accepted):
        return f"{matter.kind} version {matter.version} accepted by {matter.representative.name}"
    kind = str(type(matter).__struct_config__.tag)
    return f"{kind}: {matter.slot.partition(':')[2] or 'the facts'}"


def _stated(service: Service) -> tuple[StatementView, ...]:
    return service.get(service.path("evidence")).read(StatementList).statements


def _found(stated: tuple[StatementView, ...], which: str) -> StatementView:
    if which.isdecimal() and len(which) < 16:
        found = [each for each in stated if each.entry == int(which)]
    else:
        found = [each for each in stated if isinstance(each.said.matter, Document)]
        found = [each for each in found if isinstance(each.said.matter, Document) and len(which) >= 4
                 and each.said.matter.sha256.startswith(which.lower())]  # fmt: skip
    contents = {each.said.matter.slot for each in found}
    if len(contents) != 1:
        few = "Nothing" if not contents else f"{len(contents)} documents"
        raise NotFound(f"{few} of that name: {printable(which)}.", hint="privyseal evidence list")
    return found[-1]


def _measured(file: Path) -> tuple[str, int]:
    """Return a file's SHA-256 and its size, read piece by piece."""
    hashed, size = hashlib.sha256(), 0
    try:
        with file.open("rb") as opened:
            while octets := opened.read(PIECE):
                hashed.update(octets)
                size += len(octets)
    except OSError as error:
        raise BadInput(f"{shown_path(file)} cannot be read: {error.strerror}.") from error
    if size == 0:
        raise BadInput(f"{shown_path(file)} is empty; that is no document.")
    return hashed.hexdigest(), size


def _send(service: Service, file: Path, document: Document) -> None:
    """Send a document's octets, again from the start where the connection broke."""
    path = service.path("evidence", "documents", document.sha256)
    headers = {"Content-Type": OCTETS, "Content-Length": str(document.size)}
    for pause in (*PAUSES, None):
        try:
            with service.opened("PUT", path, headers, _pieces(file)) as answer:
                answer.read()
            return
        except (Unavailable, OSError, http.client.HTTPException) as error:
            if pause is None:
                raise error if isinstance(error, PrivySealError) else service.unreachable(error) from error
            service.sleep(pause)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while octets := opened.read(PIECE):
            yield octets


def _fetch(service: Service, document: Document, target: Path) -> None:
    """Write a document, and give it its name only when its digest is the one that was stated."""
    draft, hashed, size = target.with_name(f".{target.name}.privyseal"), hashlib.sha256(), 0
    try:
        path = service.path("evidence", "documents", document.sha256)
        with service.opened("GET", path, {}) as answer, draft.open("wb") as written:
            while size <= document.size and (octets := answer.read(PIECE)):
                hashed.update(octets)
                size += len(octets)
                written.write(octets)
        if hashed.hexdigest() != document.sha256:
            raise BadInput("What the service sent is not the document that was stated.", hint="run it again")
        os.replace(draft, target)
    except (http.client.HTTPException, ConnectionError) as error:
        raise service.unreachable(error) from error
    finally:
        draft.unlink(missing_ok=True)
