"""``privyseal audit-report``: lint an audit report, a PDF or its text. It asks nobody."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from privyseal.cli import forked
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, path_text, printable, shown_path
from privyseal.compliance.audit_report import CACertificate, Item, lint
from privyseal.compliance.audit_report_text import MOST_OCTETS, text_of
from privyseal.compliance.outcome import Verdict
from privyseal.errors import BadInput, PrivySealError, TooLarge
from privyseal.pki import certificates

SECONDS = 60
"""Processor time for one report; the longest that we know take three."""
MEMORY = 2 << 30
"""Octets of memory for one report, this program included."""
LARGEST_CERTIFICATES = 4 << 20
"""Octets of a file of CA certificates."""

_SIGNS = {Verdict.MET: True, Verdict.NOT_MET: False}


class AuditReportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints."""

    schema: str = "privyseal/audit-report/1"
    path: str
    pages: int
    failed: int
    """How many of the items are not met."""
    items: tuple[Item, ...]


class _Brought(msgspec.Struct, frozen=True):
    """What the child brings back: what it found, or why it could not."""

    pages: int = 0
    items: list[Item] = []
    refusal: str = ""
    hint: str | None = None


@click.command(cls=Command, name="audit-report")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--certificates",
    "covers",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CA certificates that it has to cover, PEM or DER; may be given again.",
)
@json_option
def audit_report(path: Path, covers: tuple[Path, ...], json_mode: JsonMode | None) -> int:
    """Say what an audit report has and lacks.

    FILE is a PDF, or its text; CSBR 8.6 says what has to be in it. Exit 3 if anything is not met. It finds words and
    understands none: this is no opinion on the report or the audit.
    """
    output = Output(json_mode)
    given = [each for file in covers for each in _certificates(file)]
    pages, items = _linted(path, given)
    failed = sum(each.verdict is Verdict.NOT_MET for each in items)
    output.say(*_lines(path, pages, items, failed))
    output.result(AuditReportReport(path=path_text(path), pages=pages, failed=failed, items=tuple(items)))
    return 3 if failed else 0


def _read(path: Path, limit: int, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            octets = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{shown_path(path)} cannot be read: {error.strerror}.") from error
    if len(octets) > limit:
        raise TooLarge(f"{shown_path(path)} is larger than {limit >> 20} MiB; that is no {what}.")
    return octets


def _certificates(path: Path) -> Iterator[CACertificate]:
    octets = _read(path, LARGEST_CERTIFICATES, "file of certificates")
    try:
        ders = certificates.pem_certificates(octets) if b"-----BEGIN" in octets else [octets]
        for der in ders:
            read = certificates.read(der)
            yield CACertificate(read.fingerprint, read.subject or f"serial {read.serial}")
    except BadInput as error:
        raise error.about(shown_path(path)) from error


def _linted(path: Path, given: list[CACertificate]) -> tuple[int, list[Item]]:
    """Return the number of pages and the items, found by a child process that has so much time and memory only."""
    octets = _read(path, MOST_OCTETS, "report")

    def work(_position: int, _tell: forked.Tell) -> bytes:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        try:
            report = text_of(octets)
            return msgspec.msgpack.encode(_Brought(len(report.pages), lint(report, given)))
        except PrivySealError as error:
            return msgspec.msgpack.encode(_Brought(refusal=error.detail, hint=error.hint))
        except (MemoryError, RecursionError):
            return msgspec.msgpack.encode(_Brought(refusal=f"It takes more than {MEMORY >> 30} GiB to read."))

    try:
        brought = msgspec.msgpack.decode(next(iter(forked.each(work, 1, 1, lambda _octets: None))), type=_Brought)
    except forked.Lost:
        raise TooLarge(f"{shown_path(path)}: it takes longer than {SECONDS} s to read.") from None
    if brought.refusal:
        raise BadInput(f"{shown_path(path)}: {brought.refusal}", hint=brought.hint)
    return brought.pages, brought.items


def _lines(path: Path, pages: int, items: list[Item], failed: int) -> list[str]:
    count = f"{failed} not met" if failed else "nothing found that is not met"
    lines = [
        f"{mark(not failed)} {shown_path(path)}, {pages} page{'s' * (pages != 1)}: {count}. This is no audit opinion."
    ]
    for each in items:
        number = f"{each.item}." if each.item is not None else each.requirement.removeprefix("CSBR-")
        lines.append(f"{mark(_SIGNS.get(each.verdict))} {number:<7} {each.title}: {each.verdict.replace('-', ' ')}")
        lines += fill("", printable(each.text, 500))
        if each.mend and each.verdict is not Verdict.MET:
            lines += fill("", f"({printable(each.mend, 500)})")
    return lines
