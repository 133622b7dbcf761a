"""What the demo's steps changed in the service's own findings: from not evidenced to met, and what stays open."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from privyseal.cli.output import WIDTH, mark, printable
from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.web.views_of_findings import FindingView

AUTHENTICATION = "CSBR-6.2.7.3-02"
"""More than one factor, or server to server: what passkeys and workload tokens are for."""
ACCEPTANCE = "CSBR-9.6.3-08"
"""Nothing is signed before the certificate was reviewed: what accepting it is for."""


def turned(before: Sequence[FindingView], after: Sequence[FindingView]) -> list[FindingView]:
    """Return what is met now and was not evidenced before, of the same subject."""
    open_then = {_place(each) for each in before if each.verdict is Verdict.NOT_EVIDENCED}
    return [each for each in after if each.verdict is Verdict.MET and _place(each) in open_then]


def report(before: Sequence[FindingView], after: Sequence[FindingView], subscriber: str) -> list[str]:
    """Return the lines: each requirement that turned, with what the service says of it."""
    found = sorted(turned(before, after), key=lambda each: (each.clause, each.requirement))
    if not found:
        return [f"  Nothing turned from not evidenced to met for {printable(subscriber)}."]
    lines = [f"  Not evidenced before these steps and met now, for {printable(subscriber)} and the service:"]
    return lines + [line for each in found for line in _line(True, each.clause, each.requirement, each.text)]


def compared(findings: Sequence[tuple[str, Sequence[FindingView]]]) -> list[str]:
    """Return how the signatures of several Subscribers stand with what their people did, one after the other."""
    lines = []
    for identifier in (AUTHENTICATION, ACCEPTANCE):
        lines.append(f"  {BY_ID[identifier].cited}, {BY_ID[identifier].title.lower()}:")
        for subscriber, found in findings:
            mine = [each for each in found if (each.requirement, each.kind) == (identifier, Kind.SIGNATURE)]
            for each in mine:
                good = {Verdict.MET: True, Verdict.NOT_MET: False}.get(each.verdict)
                number = "1 signature" if each.number == 1 else f"{each.number} signatures"
                lines += _line(good, f"{subscriber}, {number}", "", each.text)
    return lines


def _place(each: FindingView) -> tuple[str, str, str]:
    return each.kind.value, each.subject, each.requirement


def _line(good: bool | None, head: str, identifier: str, text: str) -> list[str]:
    after = f" ({identifier})" if identifier else ""
    return textwrap.wrap(
        printable(f"{head}{after}: {text}", 600),
        WIDTH - 4,
        initial_indent=f"  {mark(good)} ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
