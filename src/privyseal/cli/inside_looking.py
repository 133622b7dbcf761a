"""``sign --inside check``: what in a file carries no signature, as a report and in words."""

from __future__ import annotations

import msgspec

from privyseal.cli.outcomes import InsideReport, Outcome
from privyseal.cli.output import fill, printable
from privyseal.cli.pieces import Opened
from privyseal.errors import BadInput
from privyseal.formats.protocol import Source

MOST_NAMES = 1000
"""Names in a report; with as many, the list is for nobody to read."""
MAY_HOLD = frozenset({"appx", "cab", "nuget", "vsix"})
"""Formats of files that hold others: those of ``inside.CONTAINERS`` that can be signed."""
NAMES_OTHERS = frozenset({"clickonce"})
"""Formats of files that name others beside them: ``inside.OVER_NEIGHBOURS``."""
MANIFESTS = (".application", ".manifest", ".vsto")
"""How the names of such files end."""
MOST_LINES = 5
"""Names that people are shown of one file."""


def load_for(name: str, code: Source) -> None:
    """Import what it takes to look into such a file; BadInput where there is none inside to look at."""
    if name in MAY_HOLD:
        from privyseal.formats import inside  # only for what holds something

        inside.CONTAINERS[name](code, None)


def looked_into(outcome: Outcome, opened: Opened, path: str) -> Outcome:
    """Add to an outcome what was found inside the file at ``path``, or beside it; looking refuses nothing."""
    if opened.format.name in NAMES_OTHERS:
        return _looked_beside(outcome, opened, path)
    if opened.format.name not in MAY_HOLD:
        return outcome
    from privyseal.formats import inside  # only for what holds something

    try:
        container = inside.CONTAINERS[opened.format.name](opened.code, opened.examined.layout)
        found = inside.look(container, inside.Allowance(inside.LOOKED_AT))
    except BadInput as error:
        found = inside.Look((), error.detail)
    if found == inside.Look():
        return outcome
    report = InsideReport(
        unsigned=found.unsigned[:MOST_NAMES],
        more=max(0, len(found.unsigned) - MOST_NAMES),
        unseen=found.unseen or None,
    )
    return msgspec.structs.replace(outcome, report=msgspec.structs.replace(outcome.report, inside=report))


def _looked_beside(outcome: Outcome, opened: Opened, path: str) -> Outcome:
    """Add what is to be said of the files that a ClickOnce manifest names."""
    from privyseal.cli import neighbours_looking  # only for what names neighbours
    from privyseal.formats.clickonce_manifest import ClickOnceLayout

    layout = opened.examined.layout
    assert isinstance(layout, ClickOnceLayout)  # noqa: S101 - it is of that format
    try:
        found = neighbours_looking.look(path, layout)
    except (BadInput, OSError) as error:
        found = neighbours_looking.Found(unseen=error.detail if isinstance(error, BadInput) else str(error.strerror))
    if found == neighbours_looking.Found():
        return outcome
    most = max(len(found.missing), len(found.changed))
    report = InsideReport(
        unsigned=found.unsigned[:MOST_NAMES],
        more=max(0, len(found.unsigned) - MOST_NAMES),
        missing=found.missing[:MOST_NAMES],
        changed=found.changed[:MOST_NAMES],
        unseen=found.unseen or (f"{most} files are missing or changed." if most > MOST_NAMES else None),
    )
    return msgspec.structs.replace(outcome, report=msgspec.structs.replace(outcome.report, inside=report))


def is_well(report: InsideReport) -> bool:
    """Tell whether there is nothing to see to."""
    return not (report.unsigned or report.missing or report.changed or report.unseen or report.left)


def in_words(report: InsideReport) -> list[str]:
    """Return what is said of the inside, a line each, MOST_LINES names at most."""
    lines = [line for name in report.unsigned[:MOST_LINES] for line in _line(f"{printable(name)} carries no signature")]
    more = len(report.unsigned) + report.more - MOST_LINES
    if more > 0:
        lines += _line(f"and {more} more carry none; --inside sign signs them")
    for names, what in ((report.missing, "is missing"), (report.changed, "is not as the manifest states")):
        for name in names[:MOST_LINES]:
            lines += _line(f"{printable(name)} {what}, so it will not install")
        if len(names) > MOST_LINES:
            lines += _line(f"and {len(names) - MOST_LINES} more, so it will not install")
    if report.unseen:
        lines += _line(f"not all was looked at: {printable(report.unseen, 400)}")
    lines += [line for name in report.signed[:MOST_LINES] for line in _line(f"{printable(name)} signed and checked")]
    if len(report.signed) > MOST_LINES:
        lines += _line(f"and {len(report.signed) - MOST_LINES} more")
    for each in report.left[:MOST_LINES]:
        lines += _line(f"left as it is: {printable(each.text, 400)}")
    return lines


def _line(text: str) -> list[str]:
    return fill("inside", text)
