"""``privyseal what-if``: what a ballot would change on a day, for whom, and how much time is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from itertools import chain
from pathlib import Path

import click

from privyseal import config
from privyseal.cli.ballot import Day, choices_of, choose_option, find, wrapped
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, path_text, printable, shown_path
from privyseal.cli.profile import read_whole
from privyseal.cli.report import opened
from privyseal.compliance import certificate
from privyseal.compliance import what_if as asking
from privyseal.compliance.ballots import Ballot, table
from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.certificate import JudgedCertificate
from privyseal.compliance.classify import ServiceRole
from privyseal.compliance.evaluate import Subject
from privyseal.compliance.lint import MAX_INPUT_OCTETS, der_objects
from privyseal.compliance.requirement import Asked
from privyseal.compliance.scenarios import roles, scenarios
from privyseal.compliance.what_if import Duty, Ended, Exposure, Shortfall, WhatIf
from privyseal.errors import BadInput
from privyseal.records import statements
from privyseal.signing import judging
from privyseal.signing.known import known_from

_SHOWN = 40
"""Lines of one part that people are shown; JSON has them all."""


@click.command("what-if", cls=Command)
@click.argument("what", metavar="BALLOT")
@click.option("--on", type=Day(), required=True, help="The day for which it is asked, such as 2027-07-01.")
@click.option("--from", "counted_from", type=Day(), help="The day from which runway counts; today unless given.")
@click.option("--certificates", multiple=True, metavar="FILE", help="Hold these against it, DER or PEM. Repeatable.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Hold a service against it: its directory.")
@click.option(
    "--role",
    type=click.Choice([str(each) for each in roles()]),
    help="What you are, where a ballot tells roles apart.",
)
@choose_option
@json_option
def what_if(  # noqa: PLR0913 - click hands in every option by itself
    what: str,
    on: date,
    counted_from: date | None,
    certificates: tuple[str, ...],
    directory: Path | None,
    role: str | None,
    choose: tuple[str, ...],
    json_mode: JsonMode | None,
) -> None:
    """Say what a ballot would change, for whom, and when.

    BALLOT is a ballot of the table, an example that comes with the program, or a TOML file. For a ballot that is in the
    catalogue already, the catalogue is compared with what it would be without it.
    """
    asked = Asked(datetime.combine(on, time(23, 59, 59), UTC), choices_of(choose))
    with _running(directory, asked) as (asked, service):
        subjects = chain(_certificates(certificates), service)
        one, found = answer(what, asked, counted_from or datetime.now(UTC).date(), subjects, role)
    output = Output(json_mode)
    output.say(*_page(one, found))
    output.result({"schema": "privyseal/what-if/1", "sketches": one.sketches, **_document(found)})


def answer(
    what: str, asked: Asked, counted_from: date, subjects: Iterable[Subject], role: str | None = None
) -> tuple[Ballot, WhatIf]:
    """Return a ballot and what it would change; ``subjects`` are held against both catalogues.

    Raise NotFound for a ballot that is nowhere, BadInput for a file that is not right.
    """
    proposal = find(what)
    proposes = bool(proposal.add or proposal.change or proposal.drop)
    compared = (
        asking.of_proposal(proposal, REQUIREMENTS)
        if proposes
        else asking.of_ballot(proposal.ballot, table(), REQUIREMENTS)
    )
    found = asking.what_if(
        compared, asked, counted_from, subjects, scenarios(), None if role is None else ServiceRole(role)
    )
    return proposal.ballot, found


def _certificates(files: Iterable[str]) -> list[JudgedCertificate]:
    """Read the certificates of files, those of one file beside each other; raise BadInput where one of them is none."""
    found: list[JudgedCertificate] = []
    for file in files:
        octets = read_whole(file, MAX_INPUT_OCTETS)
        try:
            here = [certificate.read(each, path_text(file)) for each in der_objects(octets)]
        except BadInput as error:
            raise error.about(shown_path(file)) from None
        found += [certificate.with_issuer(each, here) for each in here]
    return found


@contextmanager
def _running(directory: Path | None, asked: Asked) -> Iterator[tuple[Asked, Iterator[Subject]]]:
    """Give the subjects of a service, read from its records while they are asked for, and the readings chosen there.

    A reading that the command line chooses comes before the one that was stated.
    """
    if directory is None:
        yield asked, iter(())
        return
    name = config.load(directory).service.name
    with opened(directory) as records, records.reading_all_subscribers() as connection:
        known = known_from(statements.stated_of_all_subscribers(connection))
        asked = Asked(asked.at, {**known.choices, **asked.choices})
        yield asked, judging.with_certificates(connection, known, asked.at, name)


def _document(found: WhatIf) -> dict[str, object]:
    return {
        "ballot": found.ballot,
        "title": found.title,
        "on": found.on,
        "counted_from": found.counted_from,
        "subjects": found.subjects,
        "shortfalls": found.shortfalls,
        "relieved": found.relieved,
        "duties": found.duties,
        "ended": found.ended,
        "scenarios": [
            {
                "scenario": each.scenario,
                "name": each.name,
                "role": each.role,
                "bound": each.bound,
                "on_paper": each.on_paper,
                "requirements": [
                    {"requirement": standing.requirement, "standing": standing.words, "who": standing.who}
                    for standing in each.standings
                ],
            }
            for each in found.exposures
        ],
        "not_in_the_catalogue": found.unseen,
    }


def _page(one: Ballot, found: WhatIf) -> list[str]:
    lines = [f"{printable(found.ballot)} {printable(found.title or '')}, on {found.on}".replace(" ,", ",")]
    lines += fill("what", printable(one.summary, 400)) if one.summary else []
    for sketch in one.sketches:
        said = printable(f"{sketch.clause}: {sketch.text}", 400)
        lines += fill("outline", f"{said} The text is not known, so no verdict follows.")
    lines += _part("to do", [line for each in found.duties for line in _duty(each, found)])
    lines += _part("ends", [line for each in found.ended for line in _end(each)])
    if found.subjects:
        short = [line for each in found.shortfalls for line in _short(each)]
        lines += _part(f"of {found.subjects} things", short or ["  nothing newly falls short"])
        lines += _part("better", [f"  {printable(each.subject)} {each.requirement}" for each in found.relieved])
    lines += ["who is bound, by what, and who escapes"]
    lines += [line for each in found.exposures for line in _exposed(each)]
    if found.unseen:
        lines += fill("unseen", f"not in the catalogue, so nothing is said of them: {' '.join(found.unseen)}")
    if not found.duties and not found.ended and not any(each.standings for each in found.exposures):
        lines += fill("", "No requirement of the catalogue is touched; nothing can be computed of this ballot.")
    return lines


def _part(name: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    rest = [f"  … and {len(lines) - _SHOWN} lines more; --json has all"] if len(lines) > _SHOWN else []
    return [name, *lines[:_SHOWN], *rest]


def _left(due: date, days: int) -> str:
    if days > 0:
        return f"{due}, in {days} days"
    return f"{due}, today" if days == 0 else f"since {due}"


def _duty(each: Duty, found: WhatIf) -> list[str]:
    later = " (after the day asked)" if each.due > found.on else ""
    who = ", ".join(each.binds) + (f", and only as {', '.join(each.roles)}" if each.roles else "")
    lines = [f"  {printable(each.requirement, 40):<24} {_left(each.due, each.runway_days)}{later}"]
    lines += fill("", printable(each.text, 400)) + fill("", f"for {who}")
    return lines + (fill("", f"shown by {', '.join(each.evidence)}") if each.evidence else [])


def _end(each: Ended) -> list[str]:
    follows = f"; {each.replaced_by} follows it" if each.replaced_by else ""
    return fill("", f"{each.requirement} binds nobody any more{follows}")


def _short(each: Shortfall) -> list[str]:
    said = f"{printable(each.subject, 4096)}: {each.clause} {each.verdict}, {_left(each.due, each.runway_days)}"
    lines = wrapped("  ", said)
    lines += fill("", printable(each.text, 400))
    return lines + (fill("do", printable(each.mend, 200)) if each.mend else [])


def _exposed(each: Exposure) -> list[str]:
    """Group the requirements that a ballot touches by what it does to one scenario."""
    groups: dict[str, list[str]] = {}
    for standing in each.standings:
        who = (
            f" ({', '.join(standing.who)})"
            if standing.who and standing.words not in ("not bound", "does not bind")
            else ""
        )
        groups.setdefault(standing.words + who, []).append(standing.requirement)
    paper = f", {each.on_paper} of them on paper only" if each.on_paper else ""
    lines = [*fill(each.scenario, each.name), *fill("", f"{each.bound} requirements bind or reach it{paper}")]
    for words in sorted(groups, key=lambda word: (word in ("not bound", "replaced", "does not bind"), word)):
        names = groups[words]
        few = " ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        lines += fill("", f"{words}: {printable(few, 300)}")
    return lines
