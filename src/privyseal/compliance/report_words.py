"""What a report says in the same words wherever people read it, on a page or on paper."""

from __future__ import annotations

from privyseal.compliance.report import NOTHING, Clause, Report

CAUTION = "Unknown is never counted as met."
"""What follows the opinion."""
NAMES = {
    "CSBR": "Code Signing Baseline Requirements",
    "NSR": "Network and Certificate System Security Requirements",
    "HOUSE": "House rules, in no text of the Requirements",
}
"""The documents whose clauses are reported, by the first word of a clause."""
HEAD = ("Worst verdict", "Requirements")
"""Of the table of counts."""

_ORDER = ("met", "not-met", "broken", "not-evidenced", "judgement", "not-applicable", NOTHING)


def words(verdict: str) -> str:
    """Say a verdict as people do."""
    return verdict.replace("-", " ")


def document_of(clause: Clause) -> str:
    """Return the first word of a clause, which names its document."""
    return clause.clause.partition(" ")[0]


def summary(report: Report) -> list[tuple[str, int]]:
    """Count the requirements by their worst verdict, in the order that reports have them; none without any."""
    counts: dict[str, int] = {}
    for clause in report.clauses:
        counts[clause.verdict] = counts.get(clause.verdict, 0) + 1
    return [(each, counts[each]) for each in _ORDER if each in counts]


def counted(clause: Clause) -> str:
    """Say how often each verdict was found, where that is of more than one thing; begins with a semicolon."""
    if sum(clause.counts.values()) < 2:
        return ""
    return "; " + ", ".join(f"{count} {words(verdict)}" for verdict, count in clause.counts.items())
