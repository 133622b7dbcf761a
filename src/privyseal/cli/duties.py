"""``privyseal duties``: what is due, until when, by the facts in a file or in a service's records.

It reads and changes nothing.
"""

from __future__ import annotations

import textwrap
from datetime import UTC, date, datetime
from pathlib import Path

import click
import msgspec

from privyseal.cli.fact_file import read_fact_file
from privyseal.cli.output import WIDTH, Command, JsonMode, Output, json_option, paint, printable
from privyseal.compliance import spans
from privyseal.compliance.clocks import dues
from privyseal.compliance.due import Due, State, shown
from privyseal.compliance.duty_facts import DutyFacts, duty_facts_of
from privyseal.compliance.requirement import Nature
from privyseal.errors import Misused

LARGEST_FILE = 8 << 20
"""Octets of a file of facts; 10,000 incidents with all they have are 3 MiB."""


_COLOURS = {State.BREACHED: "red", State.CLOCK_SET_BACK: "red", State.WARNING: "yellow", State.UNKNOWN: "yellow"}
_STATE, _DUE, _CLAUSE = 14, 17, 12
"""Columns of the table; what is to be done has the rest."""


class DutiesReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints."""

    schema: str = "privyseal/duties/1"
    at: datetime
    counts: dict[State, int]
    duties: tuple[Due, ...]


@click.command(cls=Command)
@click.option("--facts", "path", type=click.Path(path_type=Path), help="What happened, and what was done when: TOML.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="A service's directory: the facts are what its records hold.",
)
@click.option(
    "--as-of",
    "as_of",
    metavar="TIME",
    help="The moment to judge by, as 2026-03-01T10:00Z; a day alone is its end.  [default: now]",
)
@click.option("--all", "everything", is_flag=True, help="Show also what is done; the JSON always has it.")
@json_option
def duties(
    path: Path | None, directory: Path | None, as_of: str | None, everything: bool, json_mode: JsonMode | None
) -> None:
    """Say what is due, and what was missed.

    Notices, revocations, audits, reviews, records: each with its clause, the worst first. Exit 0 whatever is found:
    this only reads. It is no audit opinion.
    """
    output = Output(json_mode)
    if path is not None and directory is not None:
        raise Misused("Facts come from --facts or from --dir, not from both.", hint="ask twice")
    at = _moment(as_of)
    facts = DutyFacts() if path is None else read_fact_file(path, LARGEST_FILE, duty_facts_of)
    if directory is not None:
        facts = _recorded(directory, at)
    found = dues(facts, at)
    counts = {state: sum(due.state is state for due in found) for state in State}
    shown_ones = [due for due in found if everything or due.state is not State.DONE]
    output.say(*_lines(facts, shown_ones, counts, at))
    output.result(DutiesReport(at=at, counts=counts, duties=tuple(found)))


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        moment = spans.end(date.fromisoformat(text)) if len(text) <= 10 else datetime.fromisoformat(text)
    except ValueError as error:
        raise Misused(
            f"{printable(text)} is no time; one like 2026-03-01T10:00Z or 2026-03-01 was expected."
        ) from error
    if moment.tzinfo is None:
        raise Misused(f"{printable(text)} has no time zone.", hint="add Z for UTC, or an offset such as +01:00")
    if not spans.EARLIEST <= moment.year <= spans.LATEST:
        raise Misused(f"{printable(text)} is not in the years {spans.EARLIEST} to {spans.LATEST}.")
    return moment.astimezone(UTC)


def _recorded(directory: Path, at: datetime) -> DutyFacts:
    """Read a service's records, beside the running service or without it."""
    from privyseal import config
    from privyseal.records import schema
    from privyseal.records.database import open_records
    from privyseal.signing.recorded_duties import facts_of_all_subscribers

    settings = config.load(directory)
    records = open_records(config.records_url(settings.records, directory))
    try:
        schema.require_fit(records)
        with records.reading_all_subscribers() as connection:
            return facts_of_all_subscribers(connection, settings.service.name, at)
    finally:
        records.close()


def _lines(facts: DutyFacts, found: list[Due], counts: dict[State, int], at: datetime) -> list[str]:
    summary = ", ".join(f"{count} {_in_words(state)}" for state, count in counts.items() if count)
    lines = [f"{printable(facts.name)}, {shown(at)}: {summary or 'nothing is due'}."]
    if found:
        lines += ["", _row("state", "due", "clause", ["what, and for whom"])[0]]
    for due in found:
        what = textwrap.wrap(printable(f"{due.what}: {due.whom}", 500), WIDTH - _STATE - _DUE - _CLAUSE - 6)
        first, *rest = _row(_in_words(due.state), shown(due.due) if due.due else "-", due.clause, what)
        word = _in_words(due.state)
        lines.append(paint(word, _COLOURS[due.state]) + first[len(word) :] if due.state in _COLOURS else first)
        lines += rest
        nature = "" if due.nature is Nature.TEXT else f"[{due.nature.replace('-', ' ')}] "
        sentence = printable(nature + due.text, 1000)
        lines += textwrap.wrap(sentence, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return lines


def _in_words(state: State) -> str:
    """Say a state in words; a breach in capitals, so that it stands out without colour."""
    return state.upper() if state is State.BREACHED else state.replace("-", " ")


def _row(state: str, due: str, clause: str, what: list[str]) -> list[str]:
    first = f"{state:<{_STATE}}  {due:<{_DUE}}  {clause:<{_CLAUSE}}  {what[0]}"
    return [first, *(" " * (_STATE + _DUE + _CLAUSE + 6) + line for line in what[1:])]
