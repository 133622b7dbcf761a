"""``privyseal ballot``: which ballots there were, what is known of each, and how a vote would end."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from privyseal.cli.output import WIDTH, Command, JsonMode, Output, fill, json_option, mark, printable, shown_path
from privyseal.compliance import voting
from privyseal.compliance.ballots import ADOPTED, Ballot, Category, OpenItem, Period, TakesForce, counts_since, table
from privyseal.compliance.catalogue import BY_ID, REQUIREMENTS
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.proposal import Proposal, parse_proposal
from privyseal.compliance.proposal_text import MAX_OCTETS
from privyseal.compliance.runway import Runway, runway
from privyseal.compliance.voting import Facts, Step
from privyseal.errors import BadInput, NotFound

_GOOD = {Verdict.MET: True, Verdict.NOT_MET: False}


class Day(click.ParamType[date]):
    """A day as people write it: ``2023-10-19``."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """Read a day; a usage error in one sentence where it is none."""
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
        except ValueError:
            self.fail(f"{printable(str(value), 40)!r} is no date; one is written 2023-10-19.", param, ctx)


def as_of_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--as-of``."""
    return click.option("--as-of", type=Day(), help="As it was known on this day, such as 2023-10-19.")(function)


def choose_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--choose``."""
    return click.option(
        "--choose", multiple=True, metavar="NAME=READING", help="Your reading of a ballot or requirement that has two."
    )(function)


def choices_of(choose: tuple[str, ...]) -> dict[str, str]:
    """Return the operator's choices, a ballot's number or a requirement's id to a reading.

    Raise BadInput for a reading that does not exist.
    """
    chosen: dict[str, str] = {}
    for each in choose:
        name, is_there, reading = each.partition("=")
        if not is_there:
            raise BadInput(f"{printable(each, 40)!r} is no choice; one is written CSC-32=when-read.")
        if name in BY_ID:
            conflict = BY_ID[name].conflict
            offered = () if conflict is None else tuple(one.name for one in conflict.readings)
            if reading not in offered:
                raise BadInput(f"{name} has no such reading; it has {', '.join(offered) or 'only one'}.")
            chosen[name] = reading
            continue
        ballot = table().named(name)
        chosen[ballot.number] = reading
        counts_since(ballot, chosen)
    return chosen


def read_proposal(path: Path) -> Proposal:
    """Read a proposal from a file; raise BadInput in one sentence, and read no more than a proposal may have."""
    with path.open("rb") as file:
        return parse_proposal(
            file.read(MAX_OCTETS + 1), path.stem if path.parent == _EXAMPLES else shown_path(path), REQUIREMENTS
        )


def find(name: str) -> Proposal:
    """Return a ballot of the table, a proposal that the program comes with, or one in a file."""
    try:
        return Proposal(table().named(name))
    except NotFound:
        path = shipped(name) or Path(name)
        if not path.exists():
            raise NotFound(
                f"{printable(name, 60)} is neither a ballot of the table, nor an example, nor a file.",
                hint=f"privyseal ballot list; examples: {', '.join(examples())}",
            ) from None
        return read_proposal(path)


_EXAMPLES = Path(voting.__file__).parent / "proposals"


def examples() -> tuple[str, ...]:
    """List the proposals that the program comes with."""
    return tuple(sorted(path.stem for path in _EXAMPLES.glob("*.toml")))


def shipped(name: str) -> Path | None:
    """Return the file of a proposal that the program comes with; None where it has none of that name."""
    return _EXAMPLES / f"{name}.toml" if name in examples() else None


@click.group()
def ballot() -> None:
    """Look at the ballots behind the Requirements."""


@ballot.command("list", cls=Command)
@as_of_option
@choose_option
@json_option
def list_ballots(as_of: date | None, choose: tuple[str, ...], json_mode: JsonMode | None) -> None:
    """List the ballots, and those that may come."""
    output, chosen = Output(json_mode), choices_of(choose)
    known = table().ballots if as_of is None else table().as_of(as_of)
    for each in known:
        output.say(*_line(each, chosen))
        event = each.event_on(None)
        if event is not None and event.waits_for:
            output.say(f"{'':<13}waits for {event.waits_for}")
    items = [item for each in known for item in table().items_of(each.number, as_of)] if as_of else []
    if items:
        output.say("what was left open")
    for item in items:
        output.say(*_item_lines(item, as_of))
    output.say(f"{len(known)} ballots; what the table knows ends with {table().known_until}")
    output.result(
        {
            "schema": "privyseal/ballots/1",
            "as_of": as_of,
            "known_until": table().known_until,
            "ballots": [_document(each, chosen, as_of) for each in known],
        }
    )


@ballot.command("show", cls=Command)
@click.argument("number")
@as_of_option
@choose_option
@json_option
def show_ballot(number: str, as_of: date | None, choose: tuple[str, ...], json_mode: JsonMode | None) -> None:
    """Show what is known of one ballot."""
    chosen, one = choices_of(choose), table().named(number)
    if as_of is not None:
        then = one.as_of(as_of)
        if then is None:
            raise NotFound(f"Nothing is on record of {one.number} up to {as_of}.")
        one = then
    output = Output(json_mode)
    output.say(*_page(one, chosen, as_of))
    output.result({"schema": "privyseal/ballot/1", "as_of": as_of, **_document(one, chosen, as_of)})


@ballot.command("rehearse", cls=Command)
@click.argument("what", metavar="FILE|NUMBER")
@as_of_option
@json_option
def rehearse(what: str, as_of: date | None, json_mode: JsonMode | None) -> None:
    """Say how a vote would end by the rules, and when the ballot could bind at the earliest.

    What is not known is said, and then the outcome cannot be told.
    """
    proposal, rules = find(what), voting.rules()
    day = as_of or datetime.now(UTC).date()
    one = proposal.ballot
    if as_of is not None and one.history:
        then = one.as_of(as_of)
        if then is None:
            raise NotFound(f"Nothing is on record of {one.number} up to {as_of}.")
        one = then
    steps = voting.held(one, proposal.vote, rules, day)
    outcome, dates = voting.result(steps), runway(one, proposal.vote, rules)
    output = Output(json_mode)
    output.say(f"{printable(one.number)} {printable(one.title or '')}: {outcome}")
    output.say(*(line for step in steps for line in _step_lines(step)))
    output.say(*_runway_lines(dates, proposal.vote))
    if one.history:
        output.say(*fill("record", f"{one.status} ({one.history[-1].day})"))
    if rules.quorum.note:
        output.say(*fill("note", rules.quorum.note))
    result = {"schema": "privyseal/ballot-rehearsal/1", "as_of": as_of, "ballot": one.number, "title": one.title}
    on_record = one.status if one.history else None
    output.result({**result, "outcome": outcome, "on_record": on_record, "steps": steps, **_dates(dates)})


def _dates(dates: Runway) -> dict[str, object]:
    return {"milestones": dates.milestones, "bindings": dates.bindings, "problems": dates.problems}


def _line(one: Ballot, chosen: dict[str, str]) -> list[str]:
    number = f"({one.number})" if _not_numbered(one) else one.number
    when = one.effective or (one.history[-1].day if one.history else "")
    status = f"{one.status}{', not counted' if _not_counted(one, chosen) else ''}"
    head = f"{number:<12} {when!s:<10} {one.result or '':<5} "
    return wrapped(head, f"{status}: {printable(one.title or 'no title known')}")


def wrapped(head: str, text: str) -> list[str]:
    """Return a text as lines that fit our width, behind a head and indented like it."""
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def _not_numbered(one: Ballot) -> bool:
    """Tell whether the ballot had no number on the day asked, only the name it has here."""
    return bool(one.history) and bool(one.history[-1].known_as)


def _not_counted(one: Ballot, chosen: dict[str, str]) -> bool:
    return one.choice is not None and counts_since(one, chosen) is None


def _document(one: Ballot, chosen: dict[str, str], as_of: date | None) -> dict[str, object]:
    """Return a ballot as JSON: what is unknown is null or left out, and never an empty list of votes."""
    document: dict[str, object] = msgspec.to_builtins(one)
    document["status"] = one.status
    document["waits_for"] = one.history[-1].waits_for or None if one.history else None
    document["counts"] = not _not_counted(one, chosen) if one.status in ADOPTED else False
    document["open_items"] = [_item(item, as_of) for item in table().items_of(one.number, as_of)]
    return document


def _item(item: OpenItem, as_of: date | None) -> dict[str, object]:
    settled = as_of is None or item.settled <= as_of
    outcome = item.outcome if settled else None
    return {"name": item.name, "raised": item.raised, "asked": item.asked, "outcome": outcome}


def _item_lines(item: OpenItem, as_of: date | None) -> list[str]:
    settled = as_of is None or item.settled <= as_of
    return [*fill("asked", item.asked), *fill("", f"outcome: {item.outcome}" if settled else "(open)")]


def _page(one: Ballot, chosen: dict[str, str], as_of: date | None) -> list[str]:
    lines = [f"{one.number} {one.title or '(no title known)'}", *fill("stands", str(one.status))]
    if one.summary:
        lines += fill("what", one.summary)
    versions = [f"written against {one.base}"] if one.base else []
    versions += [f"makes {one.document} {one.result}"] if one.result else []
    lines += fill("version", ", ".join(versions)) if versions else []
    people = [f"proposed by {one.proposer}"] if one.proposer else []
    people += [f"endorsed by {', '.join(one.endorsers)}"] if one.endorsers else []
    lines += fill("people", "; ".join(people) if people else "proposer and endorsers are not known")
    for name, period in (("discuss", one.discussion), ("vote", one.voting), ("review", one.review)):
        lines += fill(name, _period(period)) if period is not None else []
    lines += _votes(one)
    for event in one.history:
        waits = f"; waits for {event.waits_for}" if event.waits_for else ""
        text = f": {event.text.rstrip('.')}" if event.text else ""
        lines += fill("history", f"{event.day}{' (on record)' if event.by else ''} {event.status}{text}{waits}")
    lines += [line for each in one.takes_force for line in _force_lines(each)]
    for name in ("added", "changed", "dropped"):
        ids = getattr(one.changes, name)
        lines += fill(name, " ".join(ids)) if ids else []
    for sketch in one.sketches:
        lines += fill("outline", f"{sketch.clause}: {sketch.text}{f' ({sketch.when})' if sketch.when else ''}")
    lines += _choice(one, chosen)
    lines += [line for note in one.notes for line in fill("note", note)]
    lines += [line for item in table().items_of(one.number, as_of) for line in _item_lines(item, as_of)]
    return [*lines, *fill("source", one.source)]


def _period(period: Period) -> str:
    return f"{period.start or 'not known'} to {period.end or 'not known'}"


def _votes(one: Ballot) -> list[str]:
    if one.votes is None:
        return fill("votes", "not known")
    issuers, consumers = one.votes.issuers, one.votes.consumers
    return [*fill("issuers", _category(issuers)), *fill("consumer", _category(consumers))]


def _category(category: Category) -> str:
    said = (("yes", category.yes), ("no", category.no), ("abstain", category.abstain))
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in said if names) or "nobody"


def _force_lines(each: TakesForce) -> list[str]:
    words = {"issued-on-or-after": "issued on or after", "audit-periods-starting-after": "audit periods starting after"}
    moved = f"; moved by {each.moved_by}" if each.moved_by else ""
    text = f" ({each.text.rstrip('.')})" if each.text else ""
    return fill("binds", f"{words.get(each.phrase, 'from')} {each.day}{text}{moved}")


def _choice(one: Ballot, chosen: dict[str, str]) -> list[str]:
    if one.choice is None:
        return []
    name = chosen.get(one.number, one.choice.default)
    lines = fill("choice", one.choice.text)
    for reading in one.choice.readings:
        here = "chosen" if reading.name == name else "or"
        lines += fill("", f"{here}: {reading.name}: {reading.text}")
    return lines


def _step_lines(step: Step) -> list[str]:
    sign = " " if step.verdict is Verdict.NOT_APPLICABLE else mark(_GOOD.get(step.verdict))
    first, *rest = fill("", f"{step.rule}: {step.text} [{step.source}]")
    return [f"{sign} {first.lstrip()}", *(f"    {line.lstrip()}" for line in rest)]


def _runway_lines(dates: Runway, facts: Facts) -> list[str]:
    lines: list[str] = []
    for each in dates.milestones:
        latest = f", by the rules at the latest {each.latest}" if each.latest and each.latest != each.earliest else ""
        word = "" if each.given else "at the earliest "
        lines += fill("date", f"{each.name} {word}{each.earliest}{latest}")
    for bound in dates.bindings:
        lines += fill(
            "binds", f"{bound.first_day}: {bound.runway_days} days of runway. {printable(bound.text)}".rstrip()
        )
    if facts.runway_days is None and not dates.bindings and dates.milestones:
        lines += fill("runway", "not known: the ballot names no date and no runway_days")
    return lines + [line for problem in dates.problems for line in fill("problem", problem)]
