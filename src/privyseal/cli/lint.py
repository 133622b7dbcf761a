"""``privyseal lint``: what the clauses say of certificates and their like, in words and as JSON."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

import click
import msgspec

from privyseal.cli import forked
from privyseal.cli.output import (
    WIDTH,
    Command,
    JsonMode,
    Output,
    json_option,
    mark,
    path_text,
    printable,
    quiet_option,
    shown_path,
)
from privyseal.cli.profile import read_whole
from privyseal.cli.verify import read_time
from privyseal.compliance import certificate
from privyseal.compliance.crl import Covers
from privyseal.compliance.lint import MAX_INPUT_OCTETS, Linted, der_objects, lint
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.errors import BadInput, Misused, PrivySealError, Unavailable, VerificationFailed

MANY = 4
"""Files from which child processes pay: one takes 20 ms, most of it in pkilint, and a child 5 to start."""

NOTICE = "This tells what the clauses say of these files. It is no audit opinion."
"""Stands under every report: a program's findings are not an auditor's."""

_SHOWN = (Verdict.NOT_MET, Verdict.BROKEN, Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT)
_ALL = (*_SHOWN, Verdict.MET, Verdict.NOT_APPLICABLE)
_HEADS = {
    Verdict.NOT_MET: "not met",
    Verdict.BROKEN: "broken: the check itself failed",
    Verdict.NOT_EVIDENCED: "not evidenced: nothing here shows it",
    Verdict.JUDGEMENT: "for a person to judge",
    Verdict.MET: "met",
    Verdict.NOT_APPLICABLE: "not applicable",
}
_CLAUSE = 18  # columns: "RFC 5280 4.2.1.13" and one


class Problem(msgspec.Struct, frozen=True):
    """Why a file could not be judged."""

    path: str
    code: str
    text: str


class Judged(msgspec.Struct, frozen=True):
    """What became of one file: its objects, or why there are none."""

    path: str
    objects: tuple[Linted, ...] = ()
    problem: Problem | None = None


class ObjectFacts(msgspec.Struct, frozen=True):
    """One object of the JSON report; its findings name it as their ``subject``."""

    path: str
    subject: str
    kind: str
    title: str
    dated: str
    """Which moment decided which clauses were in force, in words."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What ``lint --json`` prints."""

    schema: Literal["privyseal/lint/1"] = "privyseal/lint/1"
    as_of: str
    notice: str = NOTICE
    objects: tuple[ObjectFacts, ...]
    findings: msgspec.Raw | list[object]
    """All findings; kept encoded, for 10,000 certificates have half a million."""
    problems: tuple[Problem, ...]


@click.command("lint", cls=Command)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(readable=False))
@click.option("--as-of", metavar="DATE", help="Ask as of this day, such as 2023-10-19; today unless given.")
@click.option("--issuer", multiple=True, metavar="FILE", help="Take issuers' certificates from here too. Repeatable.")
@click.option(
    "--covers",
    type=click.Choice([each.value for each in Covers]),
    help="About which certificates CRLs and OCSP responses speak, where they and their issuer's do not tell.",
)
@click.option("--all", "everything", is_flag=True, help="Show what is met and what does not apply, too.")
@json_option
@quiet_option
def lint_command(  # noqa: PLR0913 - one argument for each option, as click has it
    files: tuple[str, ...],
    as_of: str | None,
    issuer: tuple[str, ...],
    covers: str | None,
    everything: bool,
    json_mode: JsonMode | None,
    quiet: bool,
) -> list[PrivySealError | None]:
    """Hold certificates and their like against the Baseline Requirements.

    \b
    privyseal lint leaf.pem
    privyseal lint chain.pem --all
    privyseal lint certs/*.der --issuer ca.pem --json
    privyseal lint week1.crl --covers code-signing

    Takes certificates and requests for them, CRLs, OCSP responses and RFC 3161 tokens, in DER and PEM, several objects
    in one file too; the kind is told by content. What is in one file stands by each other: two CRLs in a PEM file show
    whether the second came in time. A clause counts if it was in force when the object was made. Ends with 0 if nothing
    is not-met, with 3 if something is or a check failed, with 2 if no file could be judged, and with 9 if some could
    and nothing in these is not-met.
    """
    at = read_time(as_of) if as_of else datetime.now(UTC)
    asked = Asked(at)
    issuers = [each for path in issuer for each in _issuers(path)]
    output = Output(json_mode, quiet=quiet)
    collected = _Collected(output, everything)

    def judge(file: str) -> Judged:
        octets = read_whole(file, MAX_INPUT_OCTETS)
        of = None if covers is None else Covers(covers)
        found = lint(octets, path_text(file), asked, issuers=issuers, covers=of, everything=everything)
        return Judged(path_text(file), tuple(found))

    for judged in _judged(files, judge):
        collected.take(judged)
    output.say("", *collected.summary())
    output.result(collected.report(f"{at:%Y-%m-%d}"))
    return collected.ends()


class _Collected:
    """What is told of each file as it comes, and what is kept of it for the end."""

    def __init__(self, output: Output, everything: bool) -> None:
        self._output = output
        self._verdicts = _ALL if everything else _SHOWN
        self._counts: Counter[Verdict] = Counter()
        self._objects: list[ObjectFacts] = []
        self._encoded: list[bytes] = []
        self._problems: list[Problem] = []

    def take(self, judged: Judged) -> None:
        """Tell of one file and keep what the report needs."""
        if judged.problem is not None:
            self._problems.append(judged.problem)
            self._output.warn(f"{mark(False)} {printable(judged.problem.text, 4096)}")
        for one in judged.objects:
            counts = Counter(each.verdict for each in one.findings)
            self._counts += counts
            bad = counts[Verdict.NOT_MET] or counts[Verdict.BROKEN]
            (self._output.warn if bad else self._output.say)(*in_words(one, self._verdicts))
            if self._output.json_mode is not None:
                self._keep(judged.path, one)

    def _keep(self, path: str, one: Linted) -> None:
        facts = ObjectFacts(path, one.label, one.kind, one.title, one.dated)
        encoded = msgspec.json.encode(one.findings)[1:-1]
        self._objects.append(facts)
        self._encoded += [encoded] if encoded else []
        if self._output.json_mode == "lines":
            self._output.event("linted", object=facts, findings=one.findings)

    def summary(self) -> list[str]:
        """Return the last lines for people: the counts, and what they are not."""
        counted = ", ".join(f"{self._counts[each]} {each}" for each in _ALL if self._counts[each])
        return [counted or "nothing was judged", NOTICE]

    def report(self, as_of: str) -> Report:
        """Return the document for programs."""
        encoded = b"[" + b",".join(self._encoded) + b"]"
        lines = self._output.json_mode == "lines"  # where the document is taken apart and encoded again
        findings = msgspec.json.decode(encoded) if lines else msgspec.Raw(encoded)
        return Report(as_of=as_of, objects=tuple(self._objects), findings=findings, problems=tuple(self._problems))

    def ends(self) -> list[PrivySealError | None]:
        """Return what the exit code is made of: one outcome for all that was judged, one for what was not."""
        ends: list[PrivySealError | None] = [BadInput("A file could not be judged.")] if self._problems else []
        if self._counts[Verdict.NOT_MET] or self._counts[Verdict.BROKEN]:  # a check that failed has passed nobody
            return [*ends, VerificationFailed("Something is not met, or could not be checked.")]
        return [*ends, None] if self._counts else ends


def _judged(files: Sequence[str], judge: Callable[[str], Judged]) -> Iterator[Judged]:
    """Judge files in their order, several in child processes, one for each core."""

    def work(position: int, _tell: object) -> bytes:
        file = files[position]
        try:
            found = judge(file)
        except BadInput as error:
            text = error.detail if error.hint is None else f"{error.detail} ({error.hint})"
            found = Judged(path_text(file), problem=Problem(path_text(file), error.code, text))
        return msgspec.msgpack.encode(found)

    if len(files) < MANY or sys.platform != "linux":
        brought: Iterator[bytes] = (work(position, None) for position in range(len(files)))
    else:
        brought = forked.each(work, len(files), os.cpu_count() or 1, lambda _octets: None)
    try:
        yield from (msgspec.msgpack.decode(octets, type=Judged) for octets in brought)
    except forked.Lost as error:
        raise Unavailable("A process that judged was ended from outside.", hint="run this again") from error


def _issuers(path: str) -> list[bytes]:
    """Read the certificates of a file that the user names; Misused where there is none, or something else."""
    try:
        found = der_objects(read_whole(path, MAX_INPUT_OCTETS))
        for each in found:
            certificate.read(each, "issuer")
    except BadInput as error:
        raise Misused(f"The issuers' file {shown_path(path)} cannot be used: {error.detail}") from error
    return found


# -- in words ----------------------------------------------------------------------------------------------------------
def in_words(one: Linted, verdicts: Sequence[Verdict] = _SHOWN) -> list[str]:
    """Return what was found of an object as people read it: grouped by verdict, the worst first."""
    counts = Counter(each.verdict for each in one.findings)
    good = False if counts[Verdict.NOT_MET] else None if counts[Verdict.BROKEN] else True
    what = one.kind.replace("-", " ")
    title = f": {what} {printable(one.title, 100)}" if one.title else f": {what}"
    lines = [f"{mark(good)} {printable(one.label, 4096)}{title}", *_wrapped(f"judged by {one.dated}", 2)]
    for verdict in verdicts:
        group = [each for each in one.findings if each.verdict is verdict]
        lines += [f"  {_HEADS[verdict]}"] if group else []
        for (clause, text, mend), times in Counter((each.clause, each.text, each.mend) for each in group).items():
            lines += _finding(clause, text, mend if verdict is Verdict.NOT_MET else "", times)
    rest = [f"{counts[each]} {each}" for each in _ALL if each not in verdicts and counts[each]]
    return [*lines, f"  {', '.join(rest)} (--all shows them)"] if rest else lines


def _finding(clause: str, text: str, mend: str, times: int) -> list[str]:
    """Return one finding's lines, or those of several that say the same of sentences of one clause."""
    words = printable(text, 600) + (f" ({times} times)" if times > 1 else "")
    first, *others = _wrapped(words + (f" -> {printable(mend, 200)}" if mend else ""), 4 + _CLAUSE)
    return [f"    {clause:<{_CLAUSE}}{first.strip()}", *others]


def _wrapped(text: str, indent: int) -> list[str]:
    """Return text in lines of at most :data:`WIDTH` columns, all indented; a longer word stands alone."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH - indent:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return [" " * indent + line for line in lines]
