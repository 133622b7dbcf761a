"""The timeline as a picture: one SVG file without script, for light and dark backgrounds, and for those who listen.

Each line has its day, a mark whose shape says what it is, and its text as text. The day for which it is drawn is a line
across. Colours come from two palettes by ``prefers-color-scheme``, and no meaning hangs on them alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from xml.sax.saxutils import escape

from privyseal.compliance.timeline import Mark, Row

WIDTH, LINE, TOP, YEAR = 960, 24, 108, 34
"""Pixels: of the picture; of one line; above the first; of the line that begins a year."""

AXIS, DAYS, TEXTS = 132, 116, 152
"""Pixels from the left: the axis, where days end, where texts begin."""

MAX_TEXT = 98
"""Characters of a text that fit into the picture's width."""

_STYLE = """
svg { --ground: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --mark: #0a5fb4; --warn: #a64200 }
@media (prefers-color-scheme: dark) {
  svg { --ground: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --mark: #6cb6ff; --warn: #f0a35e }
}
.ground { fill: var(--ground) }
text { font: 14px system-ui, sans-serif; fill: var(--ink) }
.title { font-size: 20px; font-weight: 600 }
.year { font-weight: 600 }
.day { text-anchor: end; fill: var(--soft); font-variant-numeric: tabular-nums }
.soft { fill: var(--soft) }
.warn { fill: var(--warn) }
.axis, .now { stroke: var(--line); stroke-width: 2 }
.now { stroke: var(--warn); stroke-dasharray: 6 4 }
.mark { fill: var(--mark); stroke: var(--mark); stroke-width: 2 }
.hollow { fill: var(--ground); stroke: var(--mark); stroke-width: 2 }
"""

_WORDS = {
    Mark.BALLOT: "a ballot is adopted",
    Mark.REQUIREMENTS: "requirements bind",
    Mark.ENDS: "last day of older texts",
    Mark.EVENT: "what it means",
}


def draw(rows: Sequence[Row], on: date) -> str:
    """Return the picture as an SVG document, with the line of the day ``on``."""
    lines = list(_lines(rows, on))
    height = TOP + sum(size for _, size in lines) + LINE
    body: list[str] = []
    y = TOP
    for part, size in lines:
        body.append(f'<g transform="translate(0 {y})">{part}</g>')
        y += size
    past = sum(row.day <= on for row in rows)
    about = (
        f"{past} dates up to {on} and {len(rows) - past} after it, from {_span(rows)}, as a list in order of the days."
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
            ' role="img" aria-labelledby="title desc" lang="en">',
            '<title id="title">What took and takes force when</title>',
            f'<desc id="desc">{escape(about)}</desc>',
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
            f'<text class="title" x="24" y="38">What took and takes force when, as of {on}</text>',
            _legend(),
            f'<path class="axis" d="M{AXIS} {TOP - 10}V{height - LINE}"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _lines(rows: Sequence[Row], on: date) -> Iterator[tuple[str, int]]:
    """Yield each line of the picture with its height: the year where it begins, the day asked, and the rows."""
    year, crossed = None, False
    for row in rows:
        if not crossed and row.day > on:
            crossed = True
            yield _now(on), LINE
        if row.day.year != year:
            year = row.day.year
            yield f'<text class="year" x="24" y="28">{year}</text>', YEAR
        yield _row(row), LINE
    if not crossed:
        yield _now(on), LINE


def _row(row: Row) -> str:
    text = row.text if len(row.text) <= MAX_TEXT else row.text[: MAX_TEXT - 1] + "…"
    doubt = "two readings" if row.conflict else "open" if row.open else ""
    more = f' <tspan class="warn">({doubt})</tspan>' if doubt else ""
    return (
        f'<text class="day" x="{DAYS}" y="17">{row.day.strftime("%d %b")}</text>{_shape(row.mark, AXIS, 12, row.open)}'
        f'<text x="{TEXTS}" y="17">{escape(text)}{more}</text>'
    )


def _now(on: date) -> str:
    return f'<path class="now" d="M24 12H{WIDTH - 150}"/><text class="warn" x="{WIDTH - 140}" y="17">{on}</text>'


def _shape(mark: Mark, x: int, y: int, hollow: bool) -> str:
    """Return the mark of one kind: square, circle, bar, diamond."""
    name = "hollow" if hollow else "mark"
    if mark is Mark.BALLOT:
        return f'<rect class="{name}" x="{x - 5}" y="{y - 5}" width="10" height="10"/>'
    if mark is Mark.REQUIREMENTS:
        return f'<circle class="{name}" cx="{x}" cy="{y}" r="5"/>'
    if mark is Mark.ENDS:
        return f'<path class="{name}" d="M{x - 6} {y}H{x + 6}"/>'
    return f'<path class="{name}" d="M{x} {y - 6}L{x + 6} {y}L{x} {y + 6}L{x - 6} {y}Z"/>'


def _legend() -> str:
    parts, x = [], 32
    for mark, words in _WORDS.items():
        parts.append(f'{_shape(mark, x, 65, False)}<text class="soft" x="{x + 14}" y="70">{words}</text>')
        x += 40 + 8 * len(words)
    return "".join(parts)


def _span(rows: Sequence[Row]) -> str:
    return f"{rows[0].day.year} to {rows[-1].day.year}" if rows else "no year"
