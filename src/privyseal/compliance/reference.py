"""The catalogue as a page of the documentation and as JSON (``python -m privyseal.compliance.reference``)."""

from __future__ import annotations

from typing import Any

from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.requirement import Requirement

_HEAD = """# Requirements

Every requirement that Privy Seal knows, {total} in all: of the CA/Browser Forum's Code Signing Baseline
Requirements (CSBR), of the Network and Certificate System Security Requirements (NSR) that CSBR 6.7 makes
binding, and house rules of ours (HOUSE), which are in no text. {checked} are judged by a function, of which
{gates} are gates: they refuse a signature under a publicly trusted certificate. For the others it is said
which evidence, or whose judgement, they want.

The sentences are ours. The Requirements themselves are the CA/Browser Forum's (CC BY 4.0); where the two
differ, theirs are right. How a verdict comes about, [architecture](../design/architecture.md#the-requirements)
says; what to do about one, [answer a finding](../how-to/answer-a-finding.md).

This page is printed from the catalogue: `python -m privyseal.compliance.reference`.
"""


def document_of(requirement: Requirement) -> dict[str, Any]:
    """Return a requirement as JSON has it: everything but the function that judges it."""
    names = [name for name in Requirement.__struct_fields__ if name != "check"]
    return {name: getattr(requirement, name) for name in names} | {"checked": requirement.check is not None}


def wants_in_words(requirement: Requirement) -> str:
    """Say in one sentence how a requirement is judged: by a function, by documents, or by a person."""
    if requirement.check is not None:
        return "a function judges it" + ("; a gate" if requirement.gate else "")
    wants = requirement.wants
    assert wants is not None  # noqa: S101 - a requirement has a check, or says what it wants instead
    kinds = f" ({', '.join(wants.evidence)})" if wants.evidence else ""
    return f"{'a person judges' if wants.judgement else 'evidence'}: {wants.text}{kinds}"


def page() -> str:
    """Return the whole page, Markdown."""
    counts = {"total": len(REQUIREMENTS), "checked": sum(each.check is not None for each in REQUIREMENTS)}
    counts["gates"] = sum(each.gate for each in REQUIREMENTS)
    parts, clause = [_HEAD.format(**counts)], ""
    for each in REQUIREMENTS:
        if each.cited != clause:
            clause = each.cited
            parts.append(f"\n## {clause}\n")
        parts.append(_entry(each))
    return "".join(parts)


def _entry(each: Requirement) -> str:
    period = f"since {each.in_force.since}" + (f" until {each.in_force.until}" if each.in_force.until else "")
    certainty = "" if each.source.certainty == "confirmed" else f", {each.source.certainty}"
    lines = [
        f"\n### {each.id}\n",
        f"**{each.title}.** {each.text}\n",
        f"- {each.obligation}; binds {', '.join(each.binds)}; for {', '.join(each.applies_to)}; {each.nature}",
        f"- {period}, dated by {each.dated_by}; {each.source.ballot} ({each.source.version}{certainty})",
        f"- judged on {', '.join(each.kinds)}; {wants_in_words(each)}",
        f"- {each.severity}; enforced by {', '.join(each.enforced_by)}",
    ]
    if each.superseded_by is not None:
        lines.append(f"- then [{each.superseded_by}](#{_anchor(each.superseded_by)})")
    if each.conflict is not None:
        readings = "; ".join(f"`{one.name}`: {one.text}" for one in each.conflict.readings)
        lines.append(
            f"- the text contradicts itself: {each.conflict.text} {readings} Default: `{each.conflict.default}`"
        )
    lines += [f"- {note}" for note in each.notes]
    return "\n".join(lines) + "\n"


def _anchor(requirement: str) -> str:
    return requirement.lower().replace(".", "")


if __name__ == "__main__":
    print(page(), end="")
