"""``privyseal inspect``: what is in a file, and what is signed, in words. It trusts nobody and judges no chain."""

from __future__ import annotations

import hashlib
from typing import Literal

import click
import msgspec

from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, path_text, printable, shown_path
from privyseal.cli.pieces import certificate_of
from privyseal.errors import BadInput, MalformedCode, VerificationFailed
from privyseal.formats import catalogue, content, fact_words
from privyseal.formats.examine import examine
from privyseal.formats.protocol import EmbeddedSignature, Identity, Prepared, Problem, Source
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options, TimestampFacts
from privyseal.timestamp.token import verify_token


class Section(msgspec.Struct, frozen=True):
    """One section, stream or entry: its name and its octets in the file."""

    name: str
    size: int


class Content(msgspec.Struct, frozen=True):
    """What one signature covers: a file of some formats takes several, each over content of its own."""

    what: str
    """In which facts it differs from the others, such as ``hash agile``; empty where it is the only one."""
    sha256: str
    """What it hashes to, lower-case hex."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature, as far as the file alone tells."""

    nested: bool
    intact: bool
    """Whether it fits the content and its own certificate; who vouches for that is for ``verify`` to say."""
    signer: str
    serial: str
    issuer: str
    digest_algorithm: str
    digest: str
    timestamp: TimestampFacts | None
    program_name: str | None
    program_url: str | None
    problems: tuple[Problem, ...]


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """What ``inspect --json`` prints."""

    schema: Literal["privyseal/inspect/1"] = "privyseal/inspect/1"
    path: str
    format: str
    title: str
    kind: str
    size: int
    sha256: str
    """Of the whole file, lower-case hex."""
    content_sha256: str | None
    """What a SHA-256 signature of this format covers; None where the format refuses to sign the file. The first of
    ``contents``."""
    contents: tuple[Content, ...]
    """The same of every signature that the format would make."""
    facts: dict[str, str]
    """What a request to sign it says beside digest and size, as an approver is shown it; without what differs between
    ``contents``."""
    sections: tuple[Section, ...]
    signatures: tuple[Signature, ...]
    problems: tuple[Problem, ...]


@click.command(cls=Command)
@click.argument("file", type=click.Path(readable=False))
@json_option
def inspect(file: str, json_mode: JsonMode | None) -> None:
    """Say what is in a file and how it is signed.

    \b
    privyseal inspect setup.exe
    privyseal inspect setup.exe --json

    Whether its signatures are to be believed is for `privyseal verify` to say.
    """
    output = Output(json_mode)
    with FileSource.open(file) as code:
        found = look(code, path_text(file))
    output.say(*in_words(found, shown_path(file)))
    output.result(found)


def look(code: Source, path: str) -> Inspected:
    """Read a file and say what is in it; MalformedCode where it is of no known format, or broken."""
    code_format = catalogue.recognise(code)
    examined = examine(code_format, code)
    whole = hashlib.sha256()
    content.feed(code, 0, code.size, [whole.update])
    try:
        prepared = code_format.prepare(code, examined.layout, Identity((), ""), Options(), "sha256")
        facts, contents = _described(prepared)
    except MalformedCode:
        facts, contents = {}, ()
    summary = code_format.summarise(code, examined.layout)
    return Inspected(
        path=path,
        format=code_format.name,
        title=code_format.title,
        kind=summary.kind,
        size=code.size,
        sha256=whole.hexdigest(),
        content_sha256=contents[0].sha256 if contents else None,
        contents=contents,
        facts=facts,
        sections=tuple(Section(*each) for each in summary.parts),
        signatures=tuple(map(_signature, examined.signatures)),
        problems=examined.problems,
    )


def _described(prepared: Prepared) -> tuple[dict[str, str], tuple[Content, ...]]:
    """Return the facts that all descriptions have in common, and what each of them is of."""
    facts = [fact_words.in_words(each) for each in prepared.described]
    alike = {name: text for name, text in facts[0].items() if all(each.get(name) == text for each in facts)}
    told = [name for name in facts[0] if name not in alike]
    return alike, tuple(
        Content(", ".join(f"{name.replace('_', ' ')} {said[name]}" for name in told), each.digest.hex())
        for each, said in zip(prepared.described, facts, strict=True)
    )


def _signature(embedded: EmbeddedSignature) -> Signature:
    facts = certificate_of(embedded)
    problems = embedded.problems
    stamp = None
    if embedded.timestamp is not None:
        try:
            token = verify_token(embedded.timestamp, octets=embedded.signature_value)
            stamp = TimestampFacts(token.time, token.authority)
        except (BadInput, VerificationFailed) as error:
            problems = (*problems, Problem("timestamp", error.detail))
    return Signature(
        nested=embedded.nested,
        intact=not problems,
        signer=facts.subject if facts else "",
        serial=facts.serial if facts else "",
        issuer=facts.issuer if facts else "",
        digest_algorithm=embedded.digest_algorithm,
        digest=embedded.digest.hex(),
        timestamp=stamp,
        program_name=embedded.program_name,
        program_url=embedded.program_url,
        problems=problems,
    )


def in_words(found: Inspected, name: str) -> list[str]:
    """Return what was found as people read it."""
    lines = [f"{name} is a {found.title}."]
    lines += fill("kind", f"{found.kind}, {found.size:,} octets")
    if found.sections:
        lines += fill("sections", ", ".join(f"{printable(each.name) or '-'} {each.size:,}" for each in found.sections))
    if found.facts:
        told = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in found.facts.items())
        lines += fill("facts", printable(told, len(told) + 1))
    lines += fill("sha256", found.sha256)
    if not found.contents:
        lines += fill("content", "nothing: this format does not sign such a file")
    for each in found.contents:
        lines += fill("content", f"{each.sha256}{f' ({printable(each.what)})' if each.what else ''}")
    for problem in found.problems:
        lines += fill("wrong", printable(problem.text, 400))
    if not found.signatures:
        lines.append("It is not signed.")
    for number, signature in enumerate(found.signatures, 1):
        lines += _signature_in_words(number, signature)
    return lines


def _signature_in_words(number: int, signature: Signature) -> list[str]:
    state = "fits the file" if signature.intact else "DOES NOT FIT THE FILE"
    nested = ", nested in the one before" if signature.nested else ""
    lines = [f"Signature {number} {state}{nested}; whether to believe it, `privyseal verify` says."]
    lines += fill("signer", printable(signature.signer, 400) or "unknown")
    lines += fill("issuer", printable(signature.issuer, 400) or "unknown")
    lines += fill("serial", signature.serial or "unknown")
    lines += fill(printable(signature.digest_algorithm), signature.digest)
    if signature.timestamp is None:
        lines += fill("when", "no timestamp")
    else:
        stamp = signature.timestamp
        lines += fill("when", f"{stamp.time:%Y-%m-%d %H:%M:%S} UTC, says {printable(stamp.authority, 400)}")
    named = [printable(each) for each in (signature.program_name, signature.program_url) if each]
    if named:
        lines += fill("program", ", ".join(named))
    for problem in signature.problems:
        lines += fill("wrong", printable(problem.text, 400))
    return lines
