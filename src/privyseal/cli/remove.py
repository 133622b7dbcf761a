"""``privyseal remove``: take the signatures off files, and check that the content is what it was."""

from __future__ import annotations

from typing import Literal

import click
import msgspec

from privyseal.cli import pieces
from privyseal.cli.main import from_os_error
from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, path_text, quiet_option, shown_path
from privyseal.cli.pieces import Job
from privyseal.errors import MalformedCode, PrivySealError, VerificationFailed
from privyseal.formats import catalogue, operations
from privyseal.formats.examine import examine
from privyseal.formats.patch import carry_out, settle
from privyseal.formats.protocol import CodeFormat, Identity, Problem, Source
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    path: str
    output: str | None = None
    format: str | None = None
    status: Literal["removed", "kept", "failed"]
    """``kept``: there was no signature in it."""
    signatures: int = 0
    """How many were in it, nested ones included."""
    problems: tuple[Problem, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``remove --json`` prints."""

    schema: Literal["privyseal/remove/1"] = "privyseal/remove/1"
    files: tuple[FileReport, ...]


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False))
@click.option("-o", "--output", "out", metavar="OUT", help="Write here instead: a file, or a folder for several.")
@json_option
@quiet_option
def remove(files: tuple[str, ...], out: str | None, json_mode: JsonMode | None, quiet: bool) -> list[object]:
    """Take all signatures off files.

    \b
    privyseal remove setup.exe                         in place
    privyseal remove dist/*.exe -o unsigned/

    What is left has the content that was signed, and is checked to have it before it takes the file's place. A receipt
    beside the file stays where it is.
    """
    output = Output(json_mode, quiet=quiet)
    todo = pieces.jobs(files, out)
    reports: list[FileReport] = []
    ends: list[object] = []
    for job in todo:
        report, end = take_off(job)
        reports.append(report)
        ends.append(end)
        (output.say if end is None else output.warn)(f"{mark(end is None)} {shown_path(job.out)}: {_words(report)}")
        output.event(report.status, **msgspec.to_builtins(report))
    settle(job.out for job, report in zip(todo, reports, strict=True) if report.status == "removed")
    output.result(Report(files=tuple(reports)))
    return ends


def take_off(job: Job) -> tuple[FileReport, PrivySealError | None]:
    """Take the signatures off one file; whatever is refused on the way is told beside the report."""
    try:
        return _remove(job), None
    except PrivySealError as error:
        return _failed(job, error), error
    except OSError as error:
        refused = from_os_error(error)
        return _failed(job, refused), refused


def _remove(job: Job) -> FileReport:
    """Take the signatures off one file; VerificationFailed where what was written is not its content."""
    with FileSource.open(job.path) as code:
        code_format = catalogue.recognise(code)
        operations.require(code_format, "remove")
        layout = code_format.inspect(code)
        count = sum(1 for _ in code_format.signatures(code, layout))
        plan = code_format.remove(code, layout)
        nothing = count == 0 and plan.size == code.size
        if not (nothing and job.in_place):
            content = _content(code_format, code)
            carry_out(plan, code, job.out, follow=lambda written: _check(code_format, written, content), settled=False)
        return FileReport(
            path=path_text(job.path),
            output=path_text(job.out),
            format=code_format.name,
            status="kept" if nothing else "removed",
            signatures=count,
        )


def _content(code_format: CodeFormat, code: Source) -> tuple[bytes, ...] | None:
    """Return what each SHA-256 signature would cover; None where the format refuses to sign such a file."""
    try:
        prepared = code_format.prepare(code, code_format.inspect(code), Identity((), ""), Options(), "sha256")
    except MalformedCode:
        return None
    return tuple(one.digest for one in prepared.described)


def _check(code_format: CodeFormat, written: Source, content: tuple[bytes, ...] | None) -> None:
    examined = examine(code_format, written)
    if examined.signatures or examined.problems or _content(code_format, written) != content:
        raise VerificationFailed(
            "What was written is not the file without its signatures.",
            hint="the file is as it was; please report this",
        )


def _failed(job: Job, error: PrivySealError) -> FileReport:
    words = error.detail if error.hint is None else f"{error.detail} ({error.hint})"
    return FileReport(path=path_text(job.path), status="failed", problems=(Problem(error.code, words),))


def _words(report: FileReport) -> str:
    if report.status == "failed":
        return report.problems[0].text
    if report.status == "kept":
        return "carries no signature"
    many = "its signature" if report.signatures == 1 else f"{report.signatures} signatures"
    return f"{many} removed and the rest checked"
