"""``privyseal role``: what an organisation is, by the facts in a file, and what binds it. It asks nobody."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path

import click
import msgspec

from privyseal.cli.fact_file import read_fact_file
from privyseal.cli.output import Command, JsonMode, Output, fill, json_option, printable
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.classify import WORDS, Classification, ServiceRole, classify
from privyseal.compliance.facts import Facts, facts_of
from privyseal.errors import Misused

LARGEST_FILE = 64 * 1024
"""Octets of a file of facts: a few lines, and generous comments."""


class RoleReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints."""

    schema: str = "privyseal/role/1"
    facts: Facts
    result: Classification


@click.command(cls=Command)
@click.option(
    "--facts", "path", type=click.Path(path_type=Path), required=True, help="What is known of the organisation: TOML."
)
@click.option("--as-of", "as_of", metavar="DATE", help="The day to judge by, as 2024-02-28.  [default: today]")
@json_option
def role(path: Path, as_of: str | None, json_mode: JsonMode | None) -> None:
    """Say what an organisation is, and what binds it.

    A Signing Service of a CA, of its partner or of nobody, a Subscriber that manages its own key, a CA as its own
    Subscriber, a reseller, or none of these. This is no legal advice and no audit opinion.
    """
    output = Output(json_mode)
    facts = read_facts(path)
    found = classify(facts, _day(as_of))
    output.say(*_lines(found))
    output.result(RoleReport(facts=facts, result=found))


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Misused(f"{printable(text)} is no day; one like 2024-02-28 was expected.") from error


def read_facts(path: Path) -> Facts:
    """Read what is known of an organisation from a TOML file; BadInput with one sentence where it is none."""
    return read_fact_file(path, LARGEST_FILE, facts_of)


def _lines(found: Classification) -> list[str]:
    """Return what people are told: the sentence, what binds, the audit, and the notes."""
    undetermined = found.role is ServiceRole.UNDETERMINED
    name = printable(found.name)
    lines = [f"{name}: {WORDS[found.role]}, as of {found.day}."]
    lines += fill("why", found.sentence)
    lines += fill("binds", _bound(found.clauses) if found.clauses else "nothing" + " in every case" * undetermined)
    if found.audit is not None:
        lines += fill("audit", "; or ".join(found.audit.schemes) + f" ({', '.join(found.audit.clauses)})")
        lines += fill("from", found.audit.text)
    elif not undetermined:
        lines += fill("audit", "none is due of it as a Signing Service")
    for note in found.notes:
        lines += fill("note", note)
    return lines


def _bound(ids: tuple[str, ...]) -> str:
    documents = groupby(ids, key=lambda each: BY_ID[each].document)
    named = []
    for document, of_it in documents:
        clauses = list(dict.fromkeys(BY_ID[each].clause for each in of_it))
        named.append(f"{document} {', '.join(clauses)}")
    return f"{len(ids)} requirements: {'; '.join(named)}"
