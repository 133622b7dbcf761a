"""``privyseal survey``: look in a CA's certificates for Signing Services that nobody told of. It asks nobody."""

from __future__ import annotations

import base64
import binascii
import csv
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec

from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.compliance import attested, declaration
from privyseal.compliance.survey import REQUIREMENT, THRESHOLDS, Marker, Order, Survey, Surveyed, Threshold
from privyseal.errors import BadInput, PrivySealError
from privyseal.pki import certificates

LARGEST_FILE = 1 << 20
"""Octets of one file with a certificate or an attestation; Luna's confirmations have 7 KiB."""
MOST_FILES = 1_000_000
"""Files in a folder."""
MOST_ROWS = 1_000_000
"""Rows of a CSV file, and lines of declarations."""
LONGEST_FIELD = 1000
"""Characters of a field."""
MOST_WARNINGS = 20
"""Files of which it is said why they could not be read; the JSON has a thousand."""
LONGEST_REASON = 120
"""Characters of it."""
ENDINGS = (".pem", ".crt", ".cer", ".der", ".csr", ".req", ".p7b", ".p7c", ".csv")
"""What a file has to be called to be looked at; others in the folder are passed over."""
COLUMNS = ("subscriber", "key", "device", "intermediate", "cloud_account", "submitter")
"""Columns of a CSV file; only the first has to be there."""

_BLOCK = re.compile(
    rb"-----BEGIN (CERTIFICATE|NEW CERTIFICATE REQUEST|CERTIFICATE REQUEST|PKCS7)-----([^-]{1,1000000})-----END"
)


class Refused(msgspec.Struct, frozen=True):
    """A file, a row or a line that could not be read, and why."""

    where: str
    text: str


class SurveyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints."""

    schema: str = "privyseal/survey/1"
    requirement: str = REQUIREMENT
    """The house rule that asks for such a look."""
    result: Surveyed
    thresholds: dict[Marker, Threshold] = msgspec.field(default_factory=lambda: THRESHOLDS)
    refused: tuple[Refused, ...]
    refused_count: int


class _Refusals:
    """Counts what could not be read, and keeps the first of it."""

    def __init__(self, limit: int = 1000) -> None:
        self.count = 0
        self.first: list[Refused] = []
        self._limit = limit

    def add(self, where: str, why: str) -> None:
        self.count += 1
        if len(self.first) < self._limit:
            self.first.append(Refused(where, why))


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path), metavar="FOLDER|FILE.csv")
@click.option(
    "--declarations", "declared", type=click.Path(path_type=Path), help="Signed declarations, one JSON object a line."
)
@json_option
def survey(path: Path, declared: Path | None, json_mode: JsonMode | None) -> int:
    """Look for Signing Services that nobody told of.

    Takes a folder of certificates and attestations (PEM, DER, PKCS #7, CSV), or a CSV file, and tells which Subscribers
    share a module, an attestation certificate, a cloud account or a sender. A suspicion is no finding. Exit 9 if
    something could not be read.
    """
    output = Output(json_mode)
    found, refusals = Survey(), _Refusals()
    taken = _folder(path, found, refusals) if path.is_dir() else _rows(path, found, refusals)
    if declared is not None:
        taken += _declarations(declared, found, refusals)
    if not taken and not refusals.count:
        raise BadInput(
            f"{shown_path(path)} has nothing to survey.", hint=f"expected files ending in {', '.join(ENDINGS)}"
        )
    if not taken:
        first = refusals.first[0]
        raise BadInput(f"Nothing in {shown_path(path)} could be read; the first: {first.where}: {first.text}")
    for each in refusals.first[:MOST_WARNINGS]:
        output.warn(f"{mark(None)} {each.where}: {each.text}")
    if refusals.count > MOST_WARNINGS:
        output.warn(f"{mark(None)} and {refusals.count - MOST_WARNINGS} more that could not be read")
    result = found.result()
    output.say(*_lines(result))
    output.result(SurveyReport(result=result, refused=tuple(refusals.first), refused_count=refusals.count))
    return 9 if refusals.count else 0


def _folder(folder: Path, found: Survey, refusals: _Refusals) -> int:
    """Take every file under a folder, one at a time; return how many could be read."""
    taken, seen = 0, set[bytes]()
    for number, path in enumerate(_files(folder)):
        if number == MOST_FILES:
            raise BadInput(f"{shown_path(folder)} has more than {MOST_FILES} files; that many are read.")
        try:
            if path.suffix.lower() == ".csv":
                taken += _rows(path, found, refusals)
            else:
                taken += _file(_octets(path), found, seen)
        except OSError as error:
            refusals.add(shown_path(path), f"{error.strerror}.")
        except PrivySealError as error:
            refusals.add(shown_path(path), printable(error.detail, LONGEST_REASON))
    return taken


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(where, name) for name in sorted(names) if name.lower().endswith(ENDINGS))


def _octets(path: Path) -> bytes:
    with path.open("rb") as file:
        octets = file.read(LARGEST_FILE + 1)
    if len(octets) > LARGEST_FILE:
        raise BadInput(f"It is larger than {LARGEST_FILE >> 20} MiB; that is no certificate.")
    return octets


def _file(octets: bytes, found: Survey, seen: set[bytes]) -> int:
    """Take what is in one file; ``seen`` are the keys and Subscribers that were taken already."""
    if b"-----BEGIN" not in octets:
        return _one(_kind(octets), _bare(octets), found, seen)
    taken = 0
    for number, block in enumerate(_BLOCK.finditer(octets)):
        if number == certificates.MAX_PEM_CERTIFICATES:
            raise BadInput(f"It has more than {number} blocks; that many are read.")
        taken += _one(block[1].decode("ascii"), _base64(block[2]), found, seen)
    if not taken:
        raise BadInput("It has no certificate, certificate request or PKCS #7 that is read.")
    return 1


def _bare(octets: bytes) -> bytes:
    """Return DER as it is, and base64 without its PEM lines decoded: some tools write certificates so."""
    return octets if octets[:1] == b"0" and not octets.isascii() else _base64(octets) if octets.isascii() else octets


def _kind(octets: bytes) -> str:
    return "PKCS7" if b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" in octets[:32] else "CERTIFICATE"


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise BadInput("It is not base64.") from None


def _one(kind: str, der: bytes, found: Survey, seen: set[bytes]) -> int:
    if kind == "PKCS7":
        told = attested.of_confirmation(der)
        if told is None:
            raise BadInput("The PKCS #7 is no attestation that is read here (of Thales Luna only).")
        found.attest(told)
        return 1
    if kind.endswith("REQUEST"):
        told = attested.of_request(der)
        if told is None:
            raise BadInput("The certificate request has no attestation of its key that is read here (YubiKey only).")
        found.attest(told)
        return 1
    told = attested.of_certificate(der)
    if told is not None:
        found.attest(told)
    elif not attested.is_ca(der):
        spki = certificates.key_id(certificates.outline(der).spki)
        order = Order(subscriber=declaration.subscriber_of(der), key=spki)
        once = bytes.fromhex(spki) + declaration.alike(order.subscriber).encode()
        if once not in seen:
            seen.add(once)
            found.add(order)
    return 1


def _rows(path: Path, found: Survey, refusals: _Refusals) -> int:
    """Take the rows of a CSV file, one at a time; return how many could be read."""
    taken = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(LONGEST_FIELD)
            rows = csv.DictReader(_bounded(file.readline))
            columns = rows.fieldnames or ()
            strange = [each for each in columns if each not in COLUMNS]
            if "subscriber" not in columns or strange or len(set(columns)) != len(columns):
                raise BadInput(
                    f"{shown_path(path)} has the columns {printable(', '.join(columns)) or 'none'}.",
                    hint=f"expected subscriber and any of {', '.join(COLUMNS[1:])}, once each",
                )
            for row in rows:
                if taken == MOST_ROWS:
                    raise BadInput(f"{shown_path(path)} has more than {MOST_ROWS} rows; that many are read.")
                try:
                    found.add(_order(row))
                    taken += 1
                except BadInput as error:
                    refusals.add(f"{shown_path(path)}, line {rows.line_num}", error.detail)
    except OSError as error:
        raise BadInput(f"{shown_path(path)} cannot be read: {error.strerror}.") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{shown_path(path)} is not CSV in UTF-8: {printable(str(error))}.") from error
    return taken


def _bounded(readline: Callable[[int], str]) -> Iterator[str]:
    """Yield lines; one that is longer than all fields together is refused, whatever its quotes."""
    limit = LONGEST_FIELD * len(COLUMNS)
    while line := readline(limit + 1):
        if len(line) > limit:
            raise csv.Error(f"a line has more than {limit} characters")
        yield line


def _order(row: dict[str, str | None]) -> Order:
    if None in row:
        raise BadInput("It has more fields than columns.")
    known = {name: value.strip() for name, value in row.items() if value and value.strip()}
    if "subscriber" not in known:
        raise BadInput("It names no Subscriber.")
    key = known.get("key")
    if key is not None and not re.fullmatch("[0-9a-fA-F]{64}", key):
        raise BadInput("Its key is not 64 hex digits, the SHA-256 of a SubjectPublicKeyInfo.")
    return Order(**known | {"key": key.lower()} if key else known)


def _declarations(path: Path, found: Survey, refusals: _Refusals) -> int:
    """Take signed declarations; one whose signature does not hold counts as not made."""
    taken = 0
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(declaration.LONGEST_LINE + 1):
                number += 1
                if number > MOST_ROWS or len(line) > declaration.LONGEST_LINE:
                    raise BadInput(f"{shown_path(path)} has too many lines or one that is too long, at {number}.")
                if not line.strip():
                    continue
                try:
                    found.declare(declaration.verified(line))
                    taken += 1
                except PrivySealError as error:
                    refusals.add(f"{shown_path(path)}, line {number}", printable(error.detail, LONGEST_REASON))
    except OSError as error:
        raise BadInput(f"{shown_path(path)} cannot be read: {error.strerror}.") from error
    return taken


def _lines(result: Surveyed) -> list[str]:
    hidden = [each for each in result.suspicions if not each.explained]
    lines = [
        f"{result.certificates} certificates and orders of {result.subscribers} Subscribers,"
        f" {result.declarations} declarations,",
        f"{result.attestations} attestations ({result.unmatched} of keys unknown here):",
        f"{len(hidden)} suspicion{'s' * (len(hidden) != 1)}, {len(result.suspicions) - len(hidden)} explained,"
        f" {len(result.differences)} difference{'s' * (len(result.differences) != 1)}. None of this is a finding.",
    ]
    for each in result.suspicions:
        lines.append(f"{mark(True if each.explained else None)} {each.marker} {printable(each.value)}")
        lines += fill("", printable(each.text, 2000))
    for difference in result.differences:
        lines.append(f"{mark(None)} {printable(difference.subscriber)}, order {printable(difference.order)}")
        lines += fill("", printable(difference.text, 1000))
    return lines
