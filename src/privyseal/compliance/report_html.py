"""A report for people: one HTML file without script, in light and dark, and fit to be printed.

Whatever comes out of the report is escaped: names of documents and sentences of checks hold what strangers chose.
"""

from __future__ import annotations

from html import escape

from privyseal.compliance.report import STANDARDS, Bearing, Clause, Opinion, Report, Sentence
from privyseal.compliance.report_words import CAUTION, HEAD, NAMES, counted, document_of, summary, words

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --soft: #5a5a5a; --rule: #d0d0d0; --fill: #f4f4f2;
  --met: #1b6e3c; --bad: #a61b1b; --open: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e3; --paper: #16181a; --soft: #a5a5a5; --rule: #3a3d40;
  --fill: #202326; --met: #6fcf97; --bad: #ff8a80; --open: #f2c14e; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; } p { margin: .4rem 0; } code { font-size: .85em; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .notice { border: 1px solid var(--rule); background: var(--fill); padding: .8rem 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--rule); }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; }
section { border-top: 1px solid var(--rule); padding: 1rem 0; break-inside: avoid; }
section > header { display: flex; gap: 1rem; justify-content: space-between; align-items: baseline; }
.verdict { font-weight: 600; white-space: nowrap; } .met { color: var(--met); }
.not-met, .broken { color: var(--bad); } .not-evidenced, .judgement { color: var(--open); }
ul { margin: .4rem 0; padding-left: 1.2rem; } a { color: inherit; }
@media print { :root { --ink: #000; --paper: #fff; --soft: #444; --rule: #999; --fill: #fff; --met: #000; --bad: #000;
  --open: #000; } body { max-width: none; padding: 0; font-size: 10pt; } @page { margin: 18mm; }
  h2 { break-after: avoid; } nav { display: none; } }
"""
_SIGNS = {"met": "✓", "not-met": "✗", "broken": "✗", "not-evidenced": "?", "judgement": "?"}


def page(report: Report) -> bytes:
    """Return the report as an HTML document, UTF-8."""
    asked = report.asked
    title = f"{STANDARDS[asked.standard]}: {asked.service}"
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n",
        f"<h1>{escape(title)}</h1>\n",
        f'<p class="soft">Period {asked.first} to {asked.last}, as of {asked.as_of}.</p>\n',
        f'<p class="notice">{escape(report.opinion)} {CAUTION}</p>\n',
        _summary(report),
    ]
    document = ""
    for clause in report.clauses:
        if document_of(clause) != document:
            document = document_of(clause)
            parts.append(f"<h2>{escape(NAMES.get(document, document))}</h2>\n")
        parts.append(_section(clause))
    parts.append("</body>\n</html>\n")
    return "".join(parts).encode("utf-8")


def _summary(report: Report) -> str:
    rows = "".join(
        f'<tr><td class="{each}">{_SIGNS.get(each, "")} {escape(words(each))}</td><td class="n">{count}</td></tr>\n'
        for each, count in summary(report)
    )
    head = f'<tr><th>{HEAD[0]}</th><th class="n">{HEAD[1]}</th></tr>'
    return f"<table>\n{head}\n{rows}</table>\n"


def _section(clause: Clause) -> str:
    sign = _SIGNS.get(clause.verdict, "")
    house = f' <span class="soft">({escape(words(clause.nature))})</span>'
    parts = [
        f'<section id="{escape(clause.requirement)}">\n<header><h3>{escape(clause.clause)} {escape(clause.title)}</h3>',
        f'<span class="verdict {escape(clause.verdict)}">{sign} {escape(words(clause.verdict))}</span></header>\n',
        f"<p>{escape(clause.text)}{house if clause.nature != 'text' else ''}</p>\n",
        f'<p class="soft">{escape(clause.requirement)}, {escape(clause.obligation)}, {escape(clause.ballot)}',
        f"{escape(counted(clause))}</p>\n",
        _list(list(map(_sentence_of, clause.sentences))),
    ]
    if clause.left_out:
        parts.append(f'<p class="soft">and {clause.left_out} more</p>\n')
    parts.append(_list(list(map(_bearing, clause.evidence))))
    parts.append(_list(list(map(_opinion, clause.reviews))))
    return "".join(parts) + "</section>\n"


def _bearing(document: Bearing) -> str:
    valid = "" if document.in_force else ", <b>not valid on the day</b>"
    return (
        f"{escape(document.kind)} <q>{escape(document.filename)}</q> of {escape(document.issuer)}{valid}, "
        f"log entry {document.entry}<br><code>{escape(document.sha256)}</code>"
    )


def _opinion(review: Opinion) -> str:
    return (
        f"{escape(review.by)} found on {review.at:%Y-%m-%d}: <b>{escape(words(review.verdict))}</b>. "
        f'{escape(review.note)} <span class="soft">(log entry {review.entry}, document '
        f"<code>{escape(review.document[:16])}</code>)</span>"
    )


def _sentence_of(sentence: Sentence) -> str:
    verdict = sentence.verdict.value
    said = f'<span class="{escape(verdict)}">{escape(words(verdict))}</span>: {escape(sentence.text)}'
    mended = f' <span class="soft">To mend it: {escape(sentence.mend)}.</span>' if sentence.mend else ""
    many = f" ({sentence.number} alike)" if sentence.number > 1 else ""
    return f"<b>{escape(sentence.subject)}</b>{many} {said}{mended}"


def _list(items: list[str]) -> str:
    return "<ul>\n" + "".join(f"<li>{each}</li>\n" for each in items) + "</ul>\n" if items else ""
