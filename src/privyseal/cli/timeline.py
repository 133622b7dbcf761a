"""``privyseal timeline``: what took and takes force when, as lines and as a picture."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click

from privyseal.cli.ballot import Day, as_of_option, choices_of, choose_option, wrapped
from privyseal.cli.output import WIDTH, Command, JsonMode, Output, json_option, shown_path
from privyseal.compliance.ballots import table
from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.timeline import Mark, Row, happenings
from privyseal.compliance.timeline import timeline as rows_of
from privyseal.compliance.timeline_svg import draw

_SIGNS = {Mark.BALLOT: "B", Mark.REQUIREMENTS: "+", Mark.ENDS: "-", Mark.EVENT: "*"}
"""A ballot is adopted, requirements bind, older texts end, and what that means; plain letters for any terminal."""


@click.command("timeline", cls=Command)
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw it into this file as well.")
@click.option("--today", type=Day(), help="The day that divides took from takes; today unless given.")
@as_of_option
@choose_option
@json_option
def timeline(
    svg: Path | None, today: date | None, as_of: date | None, choose: tuple[str, ...], json_mode: JsonMode | None
) -> None:
    """Say what took and takes force when.

    B: a ballot is adopted, +: requirements bind, -: older texts end, *: what it means. With --as-of, only what could be
    known on that day.
    """
    day = today or as_of or datetime.now(UTC).date()
    rows = rows_of(REQUIREMENTS, table(), happenings(), as_of, choices_of(choose))
    output = Output(json_mode)
    if svg is not None:
        svg.write_text(draw(rows, day), "utf-8")
    crossed = False
    for row in rows:
        if row.day > day and not crossed:
            crossed = True
            output.say(f"{day} ".ljust(WIDTH, "-"))
        output.say(*_lines(row))
    if svg is not None:
        output.say(f"drawn into {shown_path(svg)}")
    output.result(
        {
            "schema": "privyseal/timeline/1",
            "as_of": as_of,
            "today": day,
            "rows": [_document(row, day) for row in rows],
        }
    )


def _document(row: Row, day: date) -> dict[str, object]:
    return {
        "date": row.day,
        "kind": row.mark,
        "text": row.text,
        "ballot": row.ballot or None,
        "requirements": row.requirements,
        "in_the_past": row.day <= day,
        "conflict": row.conflict,
        "open": row.open,
    }


def _lines(row: Row) -> list[str]:
    doubt = " (two readings)" if row.conflict else " (open)" if row.open else ""
    return wrapped(f"{row.day} {_SIGNS[row.mark]} ", row.text + doubt)
