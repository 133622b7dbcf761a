"""``privyseal requirement``: what the Requirements ask, and what was found of them here.

Nothing of this says that anything as a whole is compliant: there is no such answer, only verdicts on one thing each.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import msgspec

from privyseal.cli.ballot import Day
from privyseal.cli.connection import connect, service_options
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, mark, printable
from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.reference import document_of, wants_in_words
from privyseal.compliance.requirement import Kind, Party, Requirement
from privyseal.errors import NotFound
from privyseal.web.views_of_findings import NOT_AN_OPINION, FindingList, FindingView, end_of_day

_MARKS = {Verdict.MET: True, Verdict.NOT_MET: False, Verdict.BROKEN: False}


@click.group()
def requirement() -> None:
    """Say what the Requirements ask, and what was found."""


@requirement.command("list", cls=Command)
@click.argument("clause", required=False)
@click.option("--binds", type=click.Choice([str(each) for each in Party]), help="Only what binds this party.")
@click.option("--kind", type=click.Choice([str(each) for each in Kind]), help="Only what is judged on this.")
@click.option("--as-of", type=Day(), help="Only what is in force on this day; today unless given.")
@click.option("--gates", is_flag=True, help="Only what refuses a signature.")
@click.option("--all", "everything", is_flag=True, help="Also what is not in force any more, or not yet.")
@json_option
def list_requirements(**given: Any) -> None:
    """List requirements in the order of their documents; CLAUSE, such as 6.2.7.3, limits it to one section."""
    day: date = given["as_of"] or datetime.now(UTC).date()
    found = [each for each in REQUIREMENTS if _asked_for(each, day, given)]
    output = Output(given["json_mode"])
    for each in found:
        how = "gate" if each.gate else "check" if each.check else "judgement" if _judged(each) else "evidence"
        output.say(f"{each.id:<22} {each.obligation:<10} {how:<10} {each.title}")
    output.say(f"{len(found)} requirements; `privyseal requirement show ID` tells more of one")
    documents = [document_of(each) for each in found]
    output.result({"schema": "privyseal/requirements/1", "as_of": day, "requirements": documents})


def _asked_for(each: Requirement, day: date, given: dict[str, Any]) -> bool:
    return (
        (given["everything"] or each.binding_since({}).on(day))
        and (given["clause"] is None or f"{each.clause}.".startswith(f"{given['clause'].rstrip('.')}."))
        and (given["binds"] is None or given["binds"] in each.binds)
        and (given["kind"] is None or given["kind"] in each.kinds)
        and (not given["gates"] or each.gate)
    )


def _judged(each: Requirement) -> bool:
    return each.wants is not None and each.wants.judgement


@requirement.command("show", cls=Command)
@click.argument("requirement_id", metavar="ID")
@json_option
def show_requirement(requirement_id: str, json_mode: JsonMode | None) -> None:
    """Show what one requirement says, whom it binds since when, and how it is judged."""
    found = BY_ID.get(requirement_id) or BY_ID.get(requirement_id.upper())
    if found is None:
        raise NotFound(f"No requirement is called {printable(requirement_id)}.", hint="privyseal requirement list")
    output = Output(json_mode)
    output.say(f"{found.id}: {found.title} ({found.cited})", *textwrap.wrap(found.text, 78), "")
    output.say(*(line for words in _facts(found) for line in fill(*words)))
    output.result({"schema": "privyseal/requirement/1", **document_of(found)})


def _facts(found: Requirement) -> list[tuple[str, str]]:
    facts = [
        ("says", f"{found.obligation} ({found.nature})"),
        ("binds", ", ".join(found.binds)),
        ("for", ", ".join(found.applies_to)),
        ("in force", f"from {found.in_force.since}" + (f" to {found.in_force.until}" if found.in_force.until else "")),
        ("dated by", found.dated_by),
        ("source", f"{found.source.ballot}, version {found.source.version} ({found.source.certainty})"),
        ("judged on", ", ".join(found.kinds)),
        ("how", wants_in_words(found)),
        ("enforced", ", ".join(found.enforced_by)),
    ]
    if found.conflict is not None:
        facts.append(("conflict", found.conflict.text))
        facts += [(reading.name, reading.text) for reading in found.conflict.readings]
    facts += [("then", found.superseded_by)] if found.superseded_by else []
    return facts + [("note", each) for each in found.notes]


@requirement.command("findings", cls=Command)
@click.option("--subject", help="Only of this Key Pair, Subscriber or member.")
@click.option("--verdict", type=click.Choice([str(each) for each in Verdict]), help="Only with this verdict.")
@click.option("--as-of", type=Day(), help="What held at the end of this day.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="The service's own directory: its records are read, and what is found of the service itself is shown too.",
)
@service_options
@json_option
def list_findings(  # noqa: PLR0913 - one argument for each option, as click has it
    subject: str | None,
    verdict: str | None,
    as_of: date | None,
    directory: Path | None,
    profile: str | None,
    url: str | None,
    subscriber: str | None,
    json_mode: JsonMode | None,
) -> None:
    """List what was found here, the last verdict on each subject."""
    if directory is None:
        wanted = {"subject": subject, "verdict": verdict, "as_of": None if as_of is None else as_of.isoformat()}
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        service = connect(profile, url, subscriber)
        found = service.get(service.path("findings") + (f"?{query}" if query else "")).read(FindingList).findings
    else:
        found = tuple(kept_in(directory, subscriber, subject, verdict, as_of))
    output = Output(json_mode)
    output.say(*_in_words(found))
    document = {"schema": "privyseal/findings/1", "notice": NOT_AN_OPINION}
    output.result({**document, "findings": msgspec.to_builtins(found)})


def kept_in(
    directory: Path,
    subscriber: str | None,
    subject: str | None = None,
    verdict: str | None = None,
    as_of: date | None = None,
) -> list[FindingView]:
    """Read the records themselves: what is about the service, and about one Subscriber where it is named."""
    from privyseal import config
    from privyseal.records import findings
    from privyseal.records.database import open_records
    from privyseal.web.findings import finding_view

    records = open_records(config.records_url(config.load(directory).records, directory))
    wanted, moment = None if verdict is None else Verdict(verdict), end_of_day(None if as_of is None else str(as_of))
    try:
        with records.reading_all_subscribers() as connection:
            owners = [None] if subscriber is None else [None, subscriber]
            return [
                finding_view(each)
                for owner in owners
                for each in findings.current(connection, owner, subject=subject, verdict=wanted, as_of=moment)
            ]
    finally:
        records.close()


def _in_words(found: Sequence[FindingView]) -> list[str]:
    """Return the findings as people read them, with how many there are of each verdict and no sum of it all."""
    lines = textwrap.wrap(NOT_AN_OPINION, 78)
    for each in found:
        counted = f" ({each.number} signatures, one is {each.sample})" if each.kind is Kind.SIGNATURE else ""
        of = f"{each.kind} {printable(each.subject)}{counted}"
        lines += ["", f"{mark(_MARKS.get(each.verdict))} {each.verdict}: {each.requirement} for {of}"]
        lines += fill("binds", " ".join(each.binds)) if each.kind is Kind.CERTIFICATE else []
        lines += fill("found", printable(each.text, 1000))
        if each.mend and each.verdict is not Verdict.MET:
            lines += fill("mend", printable(each.mend, 1000))
    counts = Counter(each.verdict for each in found)
    total = ", ".join(f"{counts[each]} {each}" for each in Verdict if counts[each])
    return [*lines, "", total or "nothing was found yet: the service evaluates once an hour while it runs"]
