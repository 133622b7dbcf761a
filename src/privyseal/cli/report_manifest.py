"""What stands beside the findings in a report's archive: its list of files, and the statements with their proofs."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from privyseal.compliance.report import Asked
from privyseal.compliance.statement_words import Digest
from privyseal.compliance.statements import Said, Stated
from privyseal.errors import VerificationFailed

MANIFEST, MANIFEST_SUM = "manifest.json", "manifest.sha256"
"""The list of all other files, and the SHA-256 of that list, as ``sha256sum`` writes it."""
FINDINGS, HTML, PDF, README = "findings.json", "report.html", "report.pdf", "readme.txt"
"""The report for programs, for people, for printers; and what all of it is."""
OSCAL = "oscal/assessment-results.json"
CHECKPOINT, ENTRIES = "log/checkpoint", "log/entries"
"""The signed head under which everything is proven; every entry that it covers, each behind its length (uint16)."""
MAX_MANIFEST = 8 << 20
"""Octets of the list: 50,000 files take seven million."""

T = TypeVar("T")
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""A number from 0 up that every reader of JSON holds exactly (RFC 8259 6)."""


class FileLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the archive."""

    name: str
    size: Count
    sha256: Digest


class LogLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The head under which the statements are proven."""

    origin: str
    size: Count
    root: Digest
    entries: bool
    """Whether all entries are in the archive, so that anybody can see that no statement was left out."""


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is in the archive."""

    schema: Literal["privyseal/report-manifest/1"] = "privyseal/report-manifest/1"
    asked: Asked
    log: LogLine
    statements: tuple[Count, ...]
    """Indexes of the log's entries whose texts are here."""
    pdf: str
    """Empty, or why there is no PDF."""
    documents: str
    """Empty, or why the documents themselves are not here."""
    files: tuple[FileLine, ...]


class StatementFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One statement: its text, and what opens the log's commitment to it."""

    entry: Count
    about: str
    salt: bytes
    octets: bytes
    """What the log commits to, in base64."""
    said: Said
    """The same, to be read."""


def statement_path(entry: int) -> str:
    """Name the file of a statement's text."""
    return f"statements/{entry:012}.json"


def proof_path(entry: int) -> str:
    """Name the file of a statement's proof (C2SP tlog-proof; ``privyseal log verify`` checks it by itself)."""
    return f"log/proofs/{entry:012}.tlog-proof"


def document_path(sha256: str) -> str:
    """Name the file of a document."""
    return f"documents/{sha256}"


def statement_file(stated: Stated) -> bytes:
    """Return the file of a statement's text."""
    return readable(
        StatementFile(
            entry=stated.entry,
            about=stated.said.matter.topic,
            salt=stated.salt,
            octets=stated.octets,
            said=stated.said,
        )
    )


def sum_line(manifest: bytes) -> bytes:
    """Return the line that ``sha256sum -c`` reads."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode("ascii")


def readable(value: object) -> bytes:
    """Return JSON with sorted names, indented for those who read it."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n"


def read(name: str, octets: bytes, kind: type[T]) -> T:
    """Read a file as :func:`readable` writes it, and in no other spelling; VerificationFailed names it otherwise."""
    try:
        value = msgspec.json.decode(octets, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationFailed(f"{name} cannot be read: {str(error)[:200]}.") from None
    if readable(value) != octets:
        raise VerificationFailed(f"{name} is not written as a report's is.", hint="was it altered?")
    return value
