"""``privyseal report``: what was found of each requirement, with the statements that the log proves, for an auditor.

It reads a service's directory and asks nobody, so it can be made beside a running service. The same records under the
same head of the log give the same archive, to the octet; ``--checkpoint`` takes the head of an earlier report.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import os
import tempfile
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
from sqlalchemy import Connection

from privyseal import config
from privyseal.cli import report_manifest as papers
from privyseal.cli.audit import Source, open_source
from privyseal.cli.bounded import bounded
from privyseal.cli.evidence import Day
from privyseal.cli.output import WIDTH, Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.cli.report_archive import Content, write
from privyseal.cli.report_manifest import FileLine, LogLine, Manifest
from privyseal.cli.report_verify import verify
from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.known import Known
from privyseal.compliance.outcome import Finding
from privyseal.compliance.report import NO_OPINION, STANDARDS, Asked, Report, build, in_time
from privyseal.compliance.report_html import page
from privyseal.compliance.report_oscal import assessment_results
from privyseal.compliance.report_typst import markup
from privyseal.compliance.requirement import Party, Requirement
from privyseal.compliance.statements import Document, Stated
from privyseal.errors import LogUnavailable, Misused, NotFound, VerificationFailed
from privyseal.records import samples, schema, statements
from privyseal.records.database import Records, open_records
from privyseal.records.documents import Documents
from privyseal.records.released import Within
from privyseal.records.samples import Signature
from privyseal.signing import judging
from privyseal.signing.known import known_from
from privyseal.tlog.log import read_bundle
from privyseal.tlog.note import MAX_NOTE
from privyseal.tlog.policy import Accepted
from privyseal.tlog.proof import TlogProof, format_proof, parse_proof
from privyseal.tlog.reader import Reader
from privyseal.tlog.tiles import TILE_WIDTH, width_at

MOST_ENTRIES = 4_000_000
"""Entries of a log up to which all of them go into the archive: some 1 GB, half of what one can hold."""
BOUND = (Party.SIGNING_SERVICE, Party.SUBSCRIBER, Party.TIMESTAMP_AUTHORITY)
"""Whose requirements are reported on."""
_LEFT_OUT = "they are left out; --with-documents takes them in"


class _Group(Command, click.Group):
    """A group that does something by itself, with ``--json`` as our commands have it."""


@click.group(cls=_Group, invoke_without_command=True)
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="The service's directory.")
@click.option("--standard", type=click.Choice(list(STANDARDS)), default="csbr", show_default=True, help="Which one.")
@click.option("--period", metavar="A/B", help="First and last day, such as 2025-04-01/2026-03-31.")
@click.option("--as-of", "as_of", type=Day(), help="The day for which verdicts hold.  [default: the period's last]")
@click.option("--out", type=click.Path(path_type=Path), help="The archive that is made, such as evidence.zip.")
@click.option("--with-documents", is_flag=True, help="Take the documents themselves in.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Report under this earlier head of the log.")
@json_option
@click.pass_context
def report(context: click.Context, /, **asked: Any) -> None:
    """Report on every requirement to an auditor, check such a report, draw a sample.

    Makes a ZIP archive with verdicts, sentences, digests of evidence and proofs from the log, as JSON, OSCAL, HTML and
    PDF. It gives no verdict on the organisation as a whole and is not an audit opinion.
    """
    if context.invoked_subcommand is None:
        _make(**asked)


report.add_command(verify)


def _make(  # noqa: PLR0913 - each argument is an option of the command line
    directory: Path | None,
    standard: str,
    period: str | None,
    as_of: date | None,
    out: Path | None,
    with_documents: bool,
    checkpoint: Path | None,
    json_mode: JsonMode | None,
) -> None:
    if directory is None or period is None or out is None:
        raise Misused("A report needs --dir, --period and --out.", hint="privyseal report --help")
    first, last = days(period)
    if out.is_dir() or not out.resolve().parent.is_dir():
        why = "it is a folder" if out.is_dir() else "its folder does not exist"
        raise Misused(f"The report cannot be written to {shown_path(out)}: {why}.")
    settings = config.load(directory)
    asked = Asked(standard=standard, service=settings.service.name, first=first, last=last, as_of=as_of or last)
    source = open_source(directory, None, None, None)
    note, accepted = _head(source, checkpoint)
    size = accepted.checkpoint.size
    with opened(directory) as records, records.reading_all_subscribers() as connection:
        stated = [each for each in statements.stated_of_all_subscribers(connection) if each.entry < size]
        built = build(asked, requirements(), _found(connection, asked, stated, size), stated)
    kept = config.documents(settings, directory) if with_documents else None
    with tempfile.TemporaryDirectory(prefix=".privyseal-", dir=out.resolve().parent) as scratch:
        contents = contents_of(built, stated, source, (note, accepted), kept, Path(scratch))
        draft = Path(scratch) / "report.zip"
        with draft.open("w+b") as file:
            write(file, contents)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(draft, out)
    _tell(Output(json_mode), built, contents, out, sha256)


def requirements() -> list[Requirement]:
    """Return what is reported on."""
    return [each for each in REQUIREMENTS if set(BOUND) & set(each.binds)]


def _found(connection: Connection, asked: Asked, stated: list[Stated], size: int) -> Iterator[tuple[Finding, int]]:
    """Yield what is found of the service by the end of the day reported for, and of the period's signatures.

    Only the records and the log's head tell, and nobody is asked, so it is the same tomorrow.
    """
    start, end = moments(asked.first, asked.last)
    _, over = moments(asked.as_of, asked.as_of)
    within = Within(start=start, end=end, size=size)
    at = over - timedelta(seconds=1)
    yield from judging.findings(connection, known_of(stated, asked), at, asked.service, within)


@contextmanager
def opened(directory: Path) -> Iterator[Records]:
    """Open the records of a service's directory, for reading."""
    records = open_records(config.records_url(config.load(directory).records, directory))
    try:
        schema.require_fit(records)
        yield records
    finally:
        records.close()


def days(period: str) -> tuple[date, date]:
    """Read ``A/B``, first and last day; Misused where it is none."""
    first, _, last = period.partition("/")
    try:
        found = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        raise Misused(f"{printable(period)} is no period.", hint="such as 2025-04-01/2026-03-31") from None
    if found[1] < found[0]:
        raise Misused(f"A period cannot begin on {first} and end on {last}.")
    return found


def moments(first: date, last: date) -> tuple[datetime, datetime]:
    """Return the first moment of a period, UTC, and the first one behind it; Misused where there is none behind it."""
    if last == date.max:
        raise Misused(f"No day follows on {last}.", hint="such as 2025-04-01/2026-03-31")
    return datetime.combine(first, time(), UTC), datetime.combine(last + timedelta(days=1), time(), UTC)


def known_of(stated: Iterable[Stated], asked: Asked) -> Known:
    """Return what was stated in time, with those audit periods that overlap the period reported on."""
    known = known_from(each for each in stated if in_time(each, asked))
    first, end = moments(asked.first, asked.last)
    overlapping = tuple(each for each in known.audit_periods if each[0] < end and first <= each[1])
    of_authority = tuple(each for each in known.authority_audits if each[0] < end and first <= each[1])
    return msgspec.structs.replace(known, audit_periods=overlapping, authority_audits=of_authority)


def contents_of(
    built: Report,
    stated: list[Stated],
    source: Source,
    head: tuple[bytes, Accepted],
    kept: Documents | None,
    scratch: Path,
) -> dict[str, Content]:
    """Return every file of the archive; ``kept`` is where the documents are, if they go in.

    The log's entries are written into the folder ``scratch``, piece by piece: a large log is held by no memory.
    """
    note, accepted = head
    size, reader = accepted.checkpoint.size, Reader(source.read)
    contents: dict[str, Content] = {
        papers.FINDINGS: papers.readable(built),
        papers.HTML: page(built),
        papers.OSCAL: assessment_results(built),
        papers.CHECKPOINT: note,
        papers.README: _readme(built.asked),
    }
    pdf = _pdf(built, contents)
    for each in stated:
        proof = TlogProof(each.entry, reader.inclusion(each.entry, size), note, reader.entry(each.entry, size))
        contents[papers.statement_path(each.entry)] = papers.statement_file(each)
        contents[papers.proof_path(each.entry)] = format_proof(proof).encode("utf-8")
    if size <= MOST_ENTRIES:
        contents[papers.ENTRIES] = entries = scratch / "entries"
        with entries.open("wb") as file:
            file.writelines(_bundles(source, size))
    if kept is not None:
        _add_documents(contents, stated, kept)
    manifest = Manifest(
        asked=built.asked,
        log=LogLine(
            origin=accepted.checkpoint.origin,
            size=size,
            root=accepted.checkpoint.root.hex(),
            entries=papers.ENTRIES in contents,
        ),
        statements=tuple(each.entry for each in stated),
        pdf=pdf,
        documents=_LEFT_OUT if kept is None else "",
        files=tuple(_line(name, contents[name]) for name in sorted(contents)),
    )
    contents[papers.MANIFEST] = octets = papers.readable(manifest)
    contents[papers.MANIFEST_SUM] = papers.sum_line(octets)
    return contents


def _head(source: Source, checkpoint: Path | None) -> tuple[bytes, Accepted]:
    """Return the published head, or an earlier one that the log extends."""
    published, accepted = source.head()
    if checkpoint is None:
        return published, accepted
    note = bounded(checkpoint, MAX_NOTE)
    earlier = source.policy.check(note)
    size = accepted.checkpoint.size
    shown = earlier.checkpoint
    if shown.size > size or Reader(source.read).root(shown.size, size) != shown.root:
        raise LogUnavailable(f"The log of {size} entries does not extend the head in {shown_path(checkpoint)}.")
    return note, earlier


def _bundles(source: Source, size: int) -> Iterator[bytes]:
    _, published = source.head()
    for bundle in range(-(-size // TILE_WIDTH)):
        width = width_at(published.checkpoint.size, 0, bundle)
        entries = read_bundle(source.read, bundle, width)[: size - bundle * TILE_WIDTH]
        yield b"".join(len(each).to_bytes(2, "big") + each for each in entries)


def _add_documents(contents: dict[str, Content], stated: list[Stated], kept: Documents) -> None:
    for sha256 in sorted({each.said.matter.sha256 for each in stated if isinstance(each.said.matter, Document)}):
        if kept.size(sha256) is None:
            raise NotFound(f"The document {sha256[:16]}... is not in {shown_path(kept.directory)}.", hint="restore it")
        path = kept.path(sha256)
        if _line("", path).sha256 != sha256:
            raise VerificationFailed(f"{shown_path(path)} is not the document that it is named for.", hint="restore it")
        contents[papers.document_path(sha256)] = path


def _line(name: str, content: Content) -> FileLine:
    if isinstance(content, bytes):
        return FileLine(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    with content.open("rb") as file:
        return FileLine(name=name, size=content.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _pdf(built: Report, contents: dict[str, Content]) -> str:
    """Add the PDF where Typst is installed; return why there is none otherwise."""
    try:
        import typst  # 81 MB, an extra of its own
    except ImportError:
        return "Typst is not installed (pip install privyseal[report])"
    day = datetime.combine(built.asked.as_of, time(), UTC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler = typst.Compiler(markup(built), ignore_system_fonts=True)
        pdf: Any = compiler.compile(format="pdf", timestamp=int(day.timestamp()))  # of one PDF: octets, and no list
    contents[papers.PDF] = pdf
    return ""


def _readme(asked: Asked) -> bytes:
    return (
        f"{STANDARDS[asked.standard]}\n{asked.service}, {asked.first} to {asked.last}, as of {asked.as_of}\n\n"
        f"{NO_OPINION}\n\n"
        "report.html              for people\n"
        "findings.json            the same, for programs; oscal/ as OSCAL assessment results\n"
        "statements/N.json        what was stated, and what opens entry N of the log\n"
        "log/checkpoint           the signed head of the log under which all is proven\n"
        "log/proofs/              a proof for each statement (C2SP tlog-proof)\n"
        "log/entries              every entry of the log, each behind its length as two octets\n"
        "manifest.json            every file with its SHA-256\n\n"
        "Check it with `privyseal report verify FILE --log-policy POLICY`, which needs no network, or by hand:\n"
        "sha256sum -c manifest.sha256, the digests in manifest.json, and the formats that Privy Seal documents.\n"
    ).encode()


def _tell(output: Output, built: Report, contents: dict[str, Content], out: Path, sha256: str) -> None:
    counts: dict[str, int] = {}
    for clause in built.clauses:
        counts[clause.verdict] = counts.get(clause.verdict, 0) + 1
    pdf = papers.PDF in contents
    output.say(f"{mark(True)} {shown_path(out)}: {len(built.clauses)} requirements in {len(contents)} files")
    output.say(*(f"{count:>7}  {verdict}" for verdict, count in sorted(counts.items())))
    output.say(*fill("sha256", sha256))
    if not pdf:
        output.say("There is no PDF in it: Typst is not installed (pip install privyseal[report]).")
    output.say(*textwrap.wrap(NO_OPINION, WIDTH))
    output.result(
        {"schema": "privyseal/report-made/1", "path": str(out), "sha256": sha256, "verdicts": counts, "pdf": pdf}
    )


@report.command(cls=Command)
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="The service's directory.")
@click.option("--period", metavar="A/B", required=True, help="First and last day, such as 2025-04-01/2026-03-31.")
@click.option("--n", "count", type=click.IntRange(1, 10_000), default=25, show_default=True, help="How many.")
@click.option("--seed", required=True, help="A text that the auditor chooses.")
@json_option
def sample(directory: Path, period: str, count: int, seed: str, json_mode: JsonMode | None) -> None:
    """Draw the auditor's sample of the period's signatures.

    Of all requests released in the period, by the day they were made, those N whose HMAC-SHA256 under the seed is
    smallest: whoever has the ids draws the same.
    """
    first, last = days(period)
    start, end = moments(first, last)
    output = Output(json_mode)
    with opened(directory) as records, records.reading_all_subscribers() as connection:
        drawn, population = draw(samples.signatures_of_all_subscribers(connection, start, end), count, seed)
        found = [
            (rank, one, _completion(samples.receipt_of_all_subscribers(connection, one.id))) for rank, one in drawn
        ]
    for rank, one, completion in found:
        output.say(f"{one.id}  {one.created:%Y-%m-%d %H:%M:%S}  log entries {one.intent} and {completion}  {rank[:16]}")
    output.say(f"{len(found)} of {population} signatures")
    output.result({
        "schema": "privyseal/report-sample/1", "seed": seed, "population": population,
        "signatures": [
            {"request": one.id, "subscriber": one.subscriber, "created": one.created, "intent": one.intent,
             "completion": completion, "rank": rank}
            for rank, one, completion in found
        ],
    })  # fmt: skip


def draw(signatures: Iterable[Signature], count: int, seed: str) -> tuple[list[tuple[str, Signature]], int]:
    """Return the ``count`` signatures with the smallest HMAC-SHA256 (hex), in its order, and of how many.

    The key is the seed, the message the request's id, both as UTF-8.
    """
    key, seen = seed.encode("utf-8"), 0

    def ranked() -> Iterator[tuple[str, Signature]]:
        nonlocal seen
        for each in signatures:
            seen += 1
            yield hmac.new(key, each.id.encode("utf-8"), hashlib.sha256).hexdigest(), each

    return heapq.nsmallest(count, ranked()), seen


def _completion(receipt: str | None) -> int | None:
    return None if receipt is None else parse_proof(receipt).index
