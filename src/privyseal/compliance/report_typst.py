"""A report as Typst markup, from which the ``typst`` wheel makes a PDF where it is installed (extra ``report``).

Nothing of the report is markup: every text stands in a Typst string literal. No date goes into the PDF, and its
identifier is made of its content, so equal reports give equal files with equal versions of Typst.
"""

from __future__ import annotations

from collections.abc import Iterator

from privyseal.compliance.report import STANDARDS, Clause, Report
from privyseal.compliance.report_words import CAUTION, HEAD, NAMES, counted, document_of, summary, words

_HEAD = """#set document(title: {title}, date: none)
#set page(paper: "a4", margin: 20mm, numbering: "1 / 1")
#set text(size: 9.5pt, lang: "en")
#set par(justify: false)
#show heading.where(level: 2): set text(size: 11pt)
#show heading.where(level: 3): set text(size: 9.5pt)
#heading(level: 1, {title})
"""


def markup(report: Report) -> bytes:
    """Return the report as Typst markup, UTF-8."""
    return "".join(_lines(report)).encode("utf-8")


def _lines(report: Report) -> Iterator[str]:
    asked = report.asked
    yield _HEAD.format(title=literal(f"{STANDARDS[asked.standard]}: {asked.service}"))
    yield _paragraph(f"Period {asked.first} to {asked.last}, as of {asked.as_of}.")
    yield f"#block(stroke: 0.5pt, inset: 8pt, width: 100%, text({literal(f'{report.opinion} {CAUTION}')}))\n"
    yield _table(report)
    document = ""
    for clause in report.clauses:
        if document_of(clause) != document:
            document = document_of(clause)
            yield f"#heading(level: 2, {literal(NAMES.get(document, document))})\n"
        yield from _clause(clause)


def _table(report: Report) -> str:
    rows = [HEAD, *((words(verdict), str(count)) for verdict, count in summary(report))]
    cells = ", ".join(f"text({literal(cell)})" for row in rows for cell in row)
    return f"#table(columns: 2, align: (left, right), stroke: 0.5pt, {cells})\n"


def _clause(clause: Clause) -> Iterator[str]:
    yield f"#heading(level: 3, {literal(f'{clause.clause} {clause.title}: {words(clause.verdict)}')})\n"
    house = f" ({words(clause.nature)})" if clause.nature != "text" else ""
    yield _paragraph(f"{clause.text}{house}")
    yield _paragraph(f"{clause.requirement}, {clause.obligation}, {clause.ballot}{counted(clause)}")
    for each in clause.sentences:
        mend = f" To mend it: {each.mend}." if each.mend else ""
        many = f" ({each.number} alike)" if each.number > 1 else ""
        yield _item(f"{each.subject}{many}: {words(each.verdict)}: {each.text}{mend}")
    if clause.left_out:
        yield _paragraph(f"and {clause.left_out} more")
    for document in clause.evidence:
        valid = "" if document.in_force else ", not valid on the day"
        yield _item(
            f"{document.kind} “{document.filename}” of {document.issuer}{valid}, log entry {document.entry}, "
            f"{document.sha256}"
        )
    for review in clause.reviews:
        yield _item(
            f"{review.by} found on {review.at:%Y-%m-%d}: {words(review.verdict)}. {review.note} "
            f"(log entry {review.entry}, document {review.document[:16]})"
        )


def literal(text: str) -> str:
    """Return a Typst string literal: within it only the backslash and the quotation mark mean anything."""
    plain = "".join(each if each.isprintable() or each == " " else f"\\u{{{ord(each):x}}}" for each in _escaped(text))
    return f'"{plain}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8", "replace").decode("utf-8")


def _paragraph(text: str) -> str:
    return f"#par(text({literal(text)}))\n"


def _item(text: str) -> str:
    return f"#list.item(text({literal(text)}))\n"
