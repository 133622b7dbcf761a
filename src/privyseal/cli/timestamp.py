"""``privyseal timestamp``: a timestamp for files that are signed already, or a newer one over it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import click
import msgspec

from privyseal.cli import crew, later, pieces
from privyseal.cli import profile as profiles
from privyseal.cli.later import Decision, Wishes
from privyseal.cli.main import from_os_error
from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, path_text, quiet_option, shown_path
from privyseal.cli.pieces import Job, Opened, certificate_of
from privyseal.cli.profile import Profile, read_whole
from privyseal.cli.progress import Progress
from privyseal.cli.stamping import authorities, tell_health
from privyseal.cli.tls import Tls
from privyseal.cli.verify import read_trust
from privyseal.errors import Misused, PrivySealError
from privyseal.formats.patch import carry_out, settle
from privyseal.formats.protocol import EmbeddedSignature, Problem, Source
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import DIGEST_SIZES, DigestAlgorithm, TimestampFacts
from privyseal.timestamp import renewal
from privyseal.timestamp.address import Address
from privyseal.timestamp.authorities import Authorities, Health
from privyseal.timestamp.client import Trusted
from privyseal.timestamp.token import verify_token
from privyseal.tlog.proof import MAX_PROOF

AT_ONCE = 8
"""Files in hand at once: while some wait for an authority, others are read; twice the connections to one authority."""

LONGEST_RENEWAL_DAYS = 135 * 31
"""Days of ``--renew``: no timestamp certificate is valid for more than 135 months (CSBR 6.3.2)."""


class StampedSignature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature, and what became of its timestamp."""

    signer: str
    digest_algorithm: str
    digest: str
    action: Literal["stamp", "renew", "keep"]
    timestamp: TimestampFacts | None
    renewals: tuple[TimestampFacts, ...] = ()


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one file."""

    path: str
    output: str | None = None
    format: str | None = None
    status: Literal["timestamped", "renewed", "kept", "failed"]
    signatures: tuple[StampedSignature, ...] = ()
    problems: tuple[Problem, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``timestamp --json`` prints."""

    schema: Literal["privyseal/timestamp/1"] = "privyseal/timestamp/1"
    files: tuple[FileReport, ...]
    authorities: tuple[Health, ...]


class Outcome(msgspec.Struct, frozen=True):
    """What became of one file, the words for it, and what the exit code is made of."""

    report: FileReport
    words: str
    end: PrivySealError | None = None
    written: bool = False


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False))
@click.option("-o", "--output", metavar="OUT", help="Write here instead: a file, or a folder for several.")
@click.option("--tsa", multiple=True, metavar="URL", help="A timestamp authority to ask. Repeatable, in this order.")
@click.option("--policy", metavar="OID", help="Insist on this policy of the authority's.")
@click.option("--digest", type=click.Choice(list(DIGEST_SIZES)), default="sha256", show_default=True)
@click.option("--renew", type=int, metavar="DAYS", help="Also renew timestamps that end within so many days.")
@click.option("--trust", multiple=True, metavar="PEM", help="Use no authority but under these roots. Repeatable.")
@click.option("--crl", multiple=True, metavar="FILE", help="Ask these revocation lists, PEM or DER. Repeatable.")
@click.option("--profile", metavar="P", help="Take what is not given from this profile: a name, or the path of a TOML.")
@json_option
@quiet_option
def timestamp(  # noqa: PLR0913 - one argument for each option, as click has it
    files: tuple[str, ...],
    output: str | None,
    tsa: tuple[str, ...],
    policy: str | None,
    digest: DigestAlgorithm,
    renew: int | None,
    trust: tuple[str, ...],
    crl: tuple[str, ...],
    profile: str | None,
    json_mode: JsonMode | None,
    quiet: bool,
) -> list[PrivySealError | None]:
    """Timestamp files that are signed already, or renew their timestamps.

    \b
    privyseal timestamp setup.exe --tsa http://timestamp.example.org
    privyseal timestamp dist/*.exe --renew 365 --profile D/client.toml

    What is timestamped well is left as it is, so this can be run again. SHA-1 timestamps are replaced. Each file is
    written whole or not at all.
    """
    if renew is not None and not 0 <= renew <= LONGEST_RENEWAL_DAYS:
        raise Misused(f"--renew takes from 0 to {LONGEST_RENEWAL_DAYS} days; {renew} were given.")
    found = profiles.load({"tsa": tsa, "trust": trust, "crl": crl}, profile)
    believed = read_trust(msgspec.structs.replace(found, log_policy=None))
    told = Output(json_mode, quiet=quiet)
    wishes = Wishes(
        digest=digest,
        renew=None if renew is None else timedelta(days=renew),
        trusted=Trusted(believed.anchors, believed.crls),
        at=datetime.now(UTC),
    )
    asked = authorities(_addresses(found, policy), wishes.trusted, Tls(ca=found.ca))
    if believed.anchors is None:
        told.warn("note     no trust anchor is configured, so whether the authority is to be believed is not checked")
    todo = pieces.jobs(files, output, (*trust, *crl, *profiles.profile_file(profile)))
    return _run(todo, asked, wishes, told)


def _addresses(found: Profile, policy: str | None) -> Sequence[Address]:
    """Return the authorities that are configured, else that of the service; ``policy`` overrides theirs."""
    listed = found.tsa or (() if found.url is None else (Address(found.url.rstrip("/") + "/tsa"),))
    if not listed:
        raise Misused(
            "No timestamp authority is configured.",
            hint="give --tsa URL, PRIVYSEAL_TSA, or a profile that has tsa or url",
        )
    return listed if policy is None else [msgspec.structs.replace(one, policy=policy) for one in listed]


def _run(todo: Sequence[Job], asked: Authorities, wishes: Wishes, told: Output) -> list[PrivySealError | None]:
    outcomes: list[Outcome] = []
    with Progress("timestamping", len(todo), 0, shown=not told.quiet) as progress:
        for job, outcome in zip(todo, crew.each(lambda one: stamp(one, asked, wishes), todo, AT_ONCE), strict=True):
            progress.finished()
            progress.tell(partial(_tell, job, outcome, told))
            outcomes.append(outcome)
        settle(job.out for job, outcome in zip(todo, outcomes, strict=True) if outcome.written)
    if len(todo) > 1:
        counts = Counter(outcome.report.status for outcome in outcomes)
        told.say(f"{len(todo)} files: {', '.join(f'{count} {status}' for status, count in counts.items())}")
    tell_health(asked, told)
    told.result(Report(files=tuple(outcome.report for outcome in outcomes), authorities=asked.health()))
    return [outcome.end for outcome in outcomes]


def stamp(job: Job, asked: Authorities, wishes: Wishes) -> Outcome:
    """Timestamp one file; whatever is refused on the way is its outcome."""
    try:
        with FileSource.open(job.path) as code:
            return _stamp_opened(pieces.open_piece(code), job, asked, wishes)
    except PrivySealError as error:
        return _failed(job, error)
    except OSError as error:
        return _failed(job, from_os_error(error))


def _stamp_opened(opened: Opened, job: Job, asked: Authorities, wishes: Wishes) -> Outcome:
    decisions = later.decide(opened, wishes)
    whys = "; ".join(dict.fromkeys(each.why for each in decisions if each.why))
    if all(each.action == "keep" for each in decisions):
        return Outcome(_report("kept", opened, opened.examined.signatures, decisions, job), whys)
    made = later.tokens(opened, decisions, asked, wishes)
    found: list[tuple[EmbeddedSignature, ...]] = []

    def follow(written: Source) -> None:
        found.append(later.confirm(opened, written, made))
        if not job.in_place:
            _take_receipt_along(job)

    plan = opened.format.timestamped(opened.code, opened.examined.layout, made)
    carry_out(plan, opened.code, job.out, follow=follow, settled=False)
    renewed = all(each.action != "stamp" for each in decisions)
    status: Literal["renewed", "timestamped"] = "renewed" if renewed else "timestamped"
    stamp = next(iter(made.values()))
    words = f"{status} and checked, {stamp.time:%Y-%m-%d %H:%M:%S} UTC"
    report = _report(status, opened, found[0], decisions, job)
    return Outcome(report, f"{words}; {whys}" if whys else words, written=True)


def _take_receipt_along(job: Job) -> None:
    """Put a copy of the receipt beside the outcome: it is of the signature, which is still the same."""
    beside = pieces.Job(job.path, job.path).receipt
    if os.path.lexists(beside):
        pieces.write_receipt(job.receipt, read_whole(Path(beside), MAX_PROOF).decode("utf-8", "strict"))


def _report(
    status: Literal["timestamped", "renewed", "kept"],
    opened: Opened,
    signatures: Sequence[EmbeddedSignature],
    decisions: Sequence[Decision],
    job: Job,
) -> FileReport:
    return FileReport(
        path=path_text(job.path),
        output=path_text(job.out) if status != "kept" or job.in_place else None,
        format=opened.format.name,
        status=status,
        signatures=tuple(_signature(*each) for each in zip(signatures, decisions, strict=True)),
    )


def _signature(embedded: EmbeddedSignature, decision: Decision) -> StampedSignature:
    facts = certificate_of(embedded)
    carried = () if embedded.timestamp is None else (verify_token(embedded.timestamp),)
    renewals = () if embedded.timestamp is None else renewal.renewals(embedded.timestamp)
    return StampedSignature(
        signer=facts.subject if facts else "",
        digest_algorithm=embedded.digest_algorithm,
        digest=embedded.digest.hex(),
        action=decision.action,
        timestamp=next((TimestampFacts(one.time, one.authority) for one in carried), None),
        renewals=tuple(TimestampFacts(one.time, one.authority) for one in renewals),
    )


def _failed(job: Job, error: PrivySealError) -> Outcome:
    problem = Problem(error.code, error.detail)
    report = FileReport(path=path_text(job.path), status="failed", problems=(problem,))
    return Outcome(report, error.detail if error.hint is None else f"{error.detail} ({error.hint})", error)


def _tell(job: Job, outcome: Outcome, told: Output) -> None:
    line = f"{mark(outcome.end is None)} {shown_path(job.out)}"
    (told.say if outcome.end is None else told.warn)(f"{line}: {outcome.words}")
    told.event(outcome.report.status, **msgspec.to_builtins(outcome.report))
