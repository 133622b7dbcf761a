"""``privyseal sign``: files in, signed files and their receipts out, each of them checked before it is said to be
done."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

import click
import msgspec

from privyseal.cli import crew, inside_looking, makers, one_file, outcomes, pieces
from privyseal.cli.given import Given
from privyseal.cli.main import from_os_error
from privyseal.cli.makers import Maker, as_file_maker
from privyseal.cli.outcomes import FileReport, Outcome
from privyseal.cli.output import Command, JsonMode, Output, json_option, mark, quiet_option, shown_path
from privyseal.cli.pieces import Counted, Job, Pending, Wishes
from privyseal.cli.progress import Progress
from privyseal.errors import MalformedCode, PrivySealError, Unavailable
from privyseal.formats import catalogue
from privyseal.formats.examine import LARGE
from privyseal.formats.patch import settle
from privyseal.formats.source import FileSource
from privyseal.pki import certificates
from privyseal.terms.signatures import DIGEST_SIZES, SCHEMES

AT_ONCE = 16
"""Files in hand at once with a service: it collects what comes together into one batch, with one wait for its disk."""

CHILDREN_A_CORE = 2
"""Child processes for each core with a key file: while one waits for the disk, the other works. Three were no faster
where files are replaced, which waits for the disk most, and slower by a tenth where they are new."""

_ENDINGS = 32
"""Endings of names by which it is seen what the children will need; there are 60 of code, and no build has all."""


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False))
@click.option("-o", "--output", metavar="OUT", help="Write here instead: a file, or a folder for several.")
@click.option("--key", metavar="NAME", help="The Key Pair to sign with.")
@click.option("-d", "--program-name", metavar="TEXT", help="What Windows calls the program when it asks to run it.")
@click.option("-du", "--program-url", metavar="URL", help="Where Windows says there is more about it.")
@click.option("--digest", type=click.Choice(list(DIGEST_SIZES)), help="Instead of the one that fits the key.")
@click.option(
    "--page-hashes",
    type=click.Choice(["sha256", "sha1"]),
    help="Sign each page of a program too, as drivers need it.",
)
@click.option("--efi-variable", metavar="NAME", help="UEFI: db, dbx, KEK, PK, or NAME-GUID, where the name is silent.")
@click.option("--efi-time", metavar="TIME", help="UEFI variable: now, or a time such as 2026-12-01T08:00:00Z.")
@click.option("--efi-append", is_flag=True, help="UEFI variable: add to what is there, as for dbx.")
@click.option("--efi-attributes", metavar="NUMBER", help="UEFI variable: its attributes, such as 0x27, the usual ones.")
@click.option("--monotonic-count", type=int, metavar="NUMBER", help="UEFI capsule: the count signed with each image.")
@click.option("--nuget-repository", metavar="URL", help="NuGet: sign as the repository of this V3 service index.")
@click.option("--nuget-owner", multiple=True, metavar="NAME", help="NuGet: whose package it is. Repeatable.")
@click.option("--no-timestamp", is_flag=True, help="The signature then ends with its certificate.")
@click.option("--no-extended", is_flag=True, help="MSI: leave names and times of its streams out of the signature.")
@click.option(
    "--if-signed",
    type=click.Choice(["fail", "skip", "add", "replace"]),
    default="fail",
    show_default=True,
    help="What to do with a file that somebody else has signed.",
)
@click.option("--again", is_flag=True, help="Sign anew what this key has signed well already.")
@click.option(
    "--inside",
    type=click.Choice(["check", "sign", "skip"]),
    default="check",
    show_default=True,
    help="Of archives, packages, cabinets and ClickOnce manifests: say what in them, or named by them, is not signed, "
    "sign it first, or do not look.",
)
@click.option(
    "--mode",
    type=click.Choice(["local", "server"]),
    default="local",
    show_default=True,
    help="local: the file stays on this machine. server: the service sees it.",
)
@click.option("--profile", metavar="P", help="A profile's name, or the path of a TOML file such as D/client.toml.")
@click.option("--url", help="The service's address.")
@click.option("--subscriber", metavar="NAME", help="On whose behalf.")
@click.option(
    "--keyfile", metavar="PEM", help="Sign without a service, with the private key in this file. Needs --certs."
)
@click.option("--certs", metavar="PEM", help="With --keyfile: its certificate, and those above it.")
@click.option(
    "--tsa",
    multiple=True,
    metavar="URL",
    help="With --keyfile: a timestamp authority to ask. Repeatable, in this order.",
)
@click.option("--rehearsal-anchor", multiple=True, metavar="PEM", help="With --keyfile: this root is for rehearsal.")
@json_option
@quiet_option
def sign(files: tuple[str, ...], json_mode: JsonMode | None, quiet: bool, **given: Any) -> list[object]:
    """Sign files, check the outcome, keep the receipts.

    \b
    privyseal sign setup.exe                           in place
    privyseal sign dist/*.exe -o signed/ --profile D/client.toml
    privyseal sign --keyfile key.pem --certs chain.pem setup.exe

    Each file is written whole or not at all, with its receipt in FILE.tlog-proof. Run again, it goes on where it was
    broken off, and signs nothing twice.
    """
    wanted = msgspec.convert(given, Given)
    todo = pieces.jobs(files, wanted.output, wanted.read)
    output = Output(json_mode, quiet=quiet)
    maker = makers.key_file(wanted, output) if wanted.keyfile else makers.service(wanted, output)
    return _run(todo, maker, wishes_of(wanted, maker), output, workers_for(maker, wanted))


def wishes_of(given: Given, maker: Maker) -> Wishes:
    """Return what is wanted of every file, by who makes the signatures."""
    return Wishes(
        options=given.options(maker.stamps and not given.no_timestamp, datetime.now(UTC)),
        digest=given.digest or SCHEMES[maker.identity.scheme].default_digest,
        if_signed=given.if_signed,
        again=given.again,
        inside=given.inside,
    )


def workers_for(maker: Maker, given: Given) -> int:
    """Return how many files are in hand at once: more where the work is to wait."""
    waits = maker.logs or (maker.stamps and not given.no_timestamp)
    return AT_ONCE if waits else CHILDREN_A_CORE * (os.cpu_count() or 1)


def _run(todo: Sequence[Job], maker: Maker, wishes: Wishes, output: Output, workers: int) -> list[object]:
    """Sign all files, tell of each in the order of their turns, and return what the exit code is made of."""
    turns = _turns(todo, wishes)
    todo = [job for turn in turns for job in turn]
    began = time.monotonic()
    ends: list[object] = []
    reports: list[FileReport] = []
    octets = sum(map(_size, todo))
    wishes = msgspec.structs.replace(wishes, told=output.json_mode is not None)
    with Progress("signing", len(todo), octets, passes=_passes(maker), shown=not output.quiet) as progress:
        outcomes_in_turn = (one for turn in turns for one in outcomes_of(turn, maker, wishes, progress, workers))
        for job, outcome in zip(todo, outcomes_in_turn, strict=True):
            progress.finished()
            progress.tell(partial(_tell, job, outcome, output))
            ends.append(outcome.end)
            reports.append(outcome.report)
        settle(job.out for job, end in zip(todo, ends, strict=True) if end is None)
    if len(todo) > 1:
        counts = Counter(report.status for report in reports)
        words = ", ".join(f"{count} {status}" for status, count in counts.items())
        output.say(f"{len(todo)} files in {time.monotonic() - began:.1f} s: {words}")
    output.result(outcomes.Report(files=tuple(reports)))
    return ends


def _turns(todo: Sequence[Job], wishes: Wishes) -> list[list[Job]]:
    """Return what is signed in each turn: files before manifests that may name them, and would sign them as well."""
    late = {job for job in todo if wishes.inside == "sign" and job.path.lower().endswith(inside_looking.MANIFESTS)}
    turns = [job for job in todo if job not in late], [job for job in todo if job in late]
    return [turn for turn in turns if turn]


def outcomes_of(
    todo: Sequence[Job], maker: Maker, wishes: Wishes, progress: Progress, workers: int
) -> Iterator[Outcome]:
    """Sign several at once: in threads where the work is to wait for a service, in child processes where it is ours."""
    if maker.logs or len(todo) == 1 or sys.platform != "linux":
        yield from crew.each(lambda job: _sign(job, maker, wishes, progress.read), todo, workers)
        return

    from privyseal.cli import forked  # only for several files

    _learn_from(todo, maker, wishes)

    def work(position: int, counted: Counted) -> bytes:
        return outcomes.encode(_sign(todo[position], maker, wishes, counted))

    # The large ones first: begun last, one would keep a core busy alone.
    turns = sorted(range(len(todo)), key=lambda position: -max(_size(todo[position]), LARGE))
    try:
        yield from map(outcomes.decode, forked.each(work, len(todo), workers, progress.read, turns))
    except forked.Lost as error:
        raise Unavailable(
            "A process that signed was ended from outside, perhaps for want of memory.",
            hint="files are whole, signed or not; run this again",
        ) from error


def _learn_from(todo: Sequence[Job], maker: Maker, wishes: Wishes) -> None:
    """Have in memory what the children will need, by one file of each ending: loaded once, and not in each of them."""
    by_ending = {job.path.rpartition("/")[2].rpartition(".")[2]: job for job in todo}
    for job in islice(by_ending.values(), _ENDINGS):
        try:
            with FileSource.open(job.path) as code:
                name = catalogue.recognise(code).name
                if wishes.inside == "check" and code.size < LARGE:
                    inside_looking.load_for(name, code)
        except (PrivySealError, OSError):
            continue  # the child says so
    if wishes.told:
        certificates.read(maker.identity.chain[0])


def _sign(job: Job, maker: Maker, wishes: Wishes, counted: Counted) -> Outcome:
    """Sign one file; whatever is refused on the way is its outcome."""
    try:
        if wishes.inside == "sign":
            from privyseal.cli.inside_signing import sign_with_inside  # only who asks for it

            if (outcome := sign_with_inside(job, maker, wishes, counted)) is not None:
                return outcome
        with FileSource.open(job.path) as code:
            opened = pieces.open_piece(code)
            outcome = one_file.sign(opened, job, maker, wishes, counted)
            # What is kept holds what it did, but not the files beside it.
            seen = ("signed", "waiting", *(("kept",) if opened.format.name in inside_looking.NAMES_OTHERS else ()))
            looks = wishes.inside == "check" and outcome.report.status in seen
            return inside_looking.looked_into(outcome, opened, job.path) if looks else outcome
    except PrivySealError as error:
        if isinstance(error, MalformedCode) and wishes.inside == "check" and job.path.lower().endswith(".zip"):
            error = MalformedCode(error.detail, hint="what is in it can be: --inside sign")
        return outcomes.failed(job, error)
    except OSError as error:
        return outcomes.failed(job, from_os_error(error))


def _passes(maker: Maker) -> int:
    """Return how often the content goes by, for the progress bar."""
    if as_file_maker(maker) is None:
        return pieces.PASSES
    from privyseal.cli.uploads import PASSES

    return PASSES


def _size(job: Job) -> int:
    try:
        return os.stat(job.path).st_size
    except OSError:
        return 0


def _tell(job: Job, outcome: Outcome, output: Output) -> None:
    """Say what became of one file, to people and to programs."""
    done = outcome.end is None
    line = f"{mark(True if done else None if isinstance(outcome.end, Pending) else False)} {shown_path(job.out)}"
    (output.say if done else output.warn)(f"{line}: {outcome.words}")
    if outcome.report.inside is not msgspec.UNSET:
        inside = outcome.report.inside
        (output.say if inside_looking.is_well(inside) else output.warn)(*inside_looking.in_words(inside))
    if output.json_mode == "lines":
        output.event(outcome.report.status, **msgspec.to_builtins(outcome.report))
