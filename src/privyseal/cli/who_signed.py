"""``privyseal who-signed``: from a file or a digest to the request, the people and machines, and all signed beside."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from privyseal.cli.client import Service
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.errors import BadInput, MalformedCode, VerificationFailed
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.signing.forms_of_requests import Signed
from privyseal.terms.signatures import Options
from privyseal.web.views_of_requests import SignedList

_DIGEST = re.compile(r"(?:sha(?:1|256|384|512):)?(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{96}|[0-9A-Fa-f]{128})")


@click.command("who-signed", cls=Command)
@click.argument("what", metavar="FILE|DIGEST")
@click.option("--everywhere", is_flag=True, help="Look across Subscribers: the operator's security officer, logged.")
@service_options
@json_option
# Each argument is an option of the command line.
def who_signed(
    what: str,
    everywhere: bool,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """Say who asked, who agreed, and what was signed beside.

    For a file: by its own digest, by each signature in it, and by the digest of its content. Exit 3 where it was not
    signed here.
    """
    service = connect(profile, url, subscriber)
    body = None
    for digest in _digests(what):
        try:
            body = _ask(service, digest, everywhere)
            break
        except VerificationFailed:
            continue
    if body is None:
        shown = printable(what, 80) if _DIGEST.fullmatch(what) else shown_path(what)
        raise VerificationFailed(f"{shown} was not signed here for {printable(service.subscriber)}.")
    output = Output(json_mode)
    for each in msgspec.json.decode(body, type=SignedList).signed:
        output.say(*_in_words(each))
    output.result({"schema": "privyseal/who-signed/1", **msgspec.json.decode(body)})


def _ask(service: Service, digest: str, everywhere: bool) -> bytes:
    path = service.path("who-signed", digest) + ("?everywhere=true" if everywhere else "")
    answer = service.get(path)
    answer.read(SignedList)
    return answer.body


def _digests(what: str) -> Iterator[str]:
    """Yield by which digests something may be known, the surest first."""
    if _DIGEST.fullmatch(what):
        yield what.rpartition(":")[2].lower()
        return
    with FileSource.open(Path(what)) as source:
        whole = hashlib.sha256()
        for start in range(0, source.size, 1 << 20):
            whole.update(source.pread(start, min(1 << 20, source.size - start)))
        yield whole.hexdigest()
        try:
            code_format = catalogue.recognise(source)
            layout = code_format.inspect(source)
            for each in code_format.signatures(source, layout):
                yield hashlib.sha256(each.blob).hexdigest()
                yield each.digest.hex()
            identity, options = Identity((), ""), Options()
            for one in code_format.prepare(source, layout, identity, options, "sha256").described:
                yield one.digest.hex()
        except (BadInput, MalformedCode):  # not code of ours; its whole digest was asked for
            return


def _in_words(each: Signed) -> list[str]:
    lines = [f"{mark(True)} {printable(', '.join(each.files[:5]))} by request {each.request} of {each.subscriber}"]
    lines += fill("found by", " and ".join(sorted(each.matched)))
    if each.matched == ("content",):
        lines += fill("note", "its content was signed; the file at hand need not carry that signature")
    for who in each.by:
        how = " and ".join(who.factors) if who.factors is not None else "not recorded"
        kind = ", a machine" if who.workload else ""
        lines += fill(who.did, f"{printable(who.who)}{kind}, proved by {how}")
    if each.workload is not None:
        run = each.workload
        lines += fill("run", printable(f"{run.provider} {run.subject}, run {run.run}, attempt {run.attempt}", 400))
        if run.exchange:
            lines += fill("token", printable(f"exchanged as {run.exchange} under {run.trust}", 400))
    if each.grant is not None:
        lines += fill("granted", f"under {each.grant}, agreed to by {printable(', '.join(each.approvers), 400)}")
    elif each.approvers:
        lines += fill("approved", printable(", ".join(each.approvers), 400))
    if each.policies:
        lines += fill("policy", printable(", ".join(each.policies), 400))
    lines += fill("asked", f"{each.asked:%Y-%m-%d %H:%M:%S} UTC, mode {each.mode}")
    lines += fill("key", f"{printable(each.key)}, certificate {each.certificate}")
    lines += fill("log", f"intent {each.intent}, completion {each.completion}")
    for token in each.timestamps:
        lines += fill("stamped", f"{token.time:%Y-%m-%d %H:%M:%S} UTC by {printable(token.authority)}")
    for sibling in each.siblings:
        lines += fill("beside", f"{printable(sibling.filename)} ({sibling.why}, {sibling.request})")
    return lines
