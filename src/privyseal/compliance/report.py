"""Findings and statements in, the documents of a report out. Pure: the same input gives the same octets.

A report says, for each requirement, the worst that was found, how often each verdict was given, the sentences of what
is not met, and which documents and reviews bear on it. It never adds these up to one verdict about the organisation:
that is an auditor's to say, and this is no audit opinion. Findings are counted as they come, and of each requirement
only the first few sentences are kept, so memory does not grow with the number of signatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Annotated

from msgspec import Meta, Struct

from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Requirement
from privyseal.compliance.statements import Document, Review, Stated, current

MOST_SENTENCES = 20
"""Sentences that are shown of one requirement, the worst first; the others are counted."""
STANDARDS: dict[str, str] = {"csbr": "CA/Browser Forum Code Signing Baseline Requirements"}
"""What may be reported on; the network requirements come with CSBR 6.7, and house rules are marked as such."""
NO_OPINION = (
    "This report is made by the software of the Signing Service itself. It is not an audit opinion, and it gives no "
    "verdict on the organisation as a whole."
)
"""What every report says of itself."""
NOTHING = "nothing-to-judge"
"""In the place of a verdict: in the period there was nothing of the kind that the requirement is judged on."""
_WORST_FIRST = (
    Verdict.NOT_MET,
    Verdict.BROKEN,
    Verdict.NOT_EVIDENCED,
    Verdict.JUDGEMENT,
    Verdict.MET,
    Verdict.NOT_APPLICABLE,
)


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is reported on."""

    standard: str
    service: str
    """Name of the Signing Service."""
    first: date
    """First day of the period."""
    last: date
    """Last day of the period."""
    as_of: date
    """The day for which verdicts hold: its law, and what was stated by its end."""


class Sentence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finding as the report shows it."""

    subject: str
    verdict: Verdict
    text: str
    mend: str = ""
    governed: date | None = None
    number: Annotated[int, Meta(ge=1)] = 1
    """How many subjects it speaks of: signatures that are alike have one sentence."""


class Bearing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document that bears on a requirement, as it was stated."""

    sha256: str
    kind: str
    issuer: str
    filename: str
    valid_from: date | None
    valid_until: date | None
    entry: int
    """Of the statement, in the log."""
    in_force: bool
    """Whether it is valid on the day reported for."""


class Opinion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a named member found in a document."""

    document: str
    verdict: str
    note: str
    by: str
    at: datetime
    entry: int


class Clause(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is reported of one requirement."""

    requirement: str
    clause: str
    title: str
    text: str
    obligation: str
    nature: str
    ballot: str
    verdict: str
    """The worst that was found of anything, or ``nothing-to-judge``."""
    counts: dict[str, Annotated[int, Meta(ge=0)]]
    sentences: tuple[Sentence, ...]
    left_out: Annotated[int, Meta(ge=0)]
    """How many subjects have no sentence here."""
    evidence: tuple[Bearing, ...]
    reviews: tuple[Opinion, ...]


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole report, before it becomes JSON, HTML or OSCAL."""

    schema: str = "privyseal/report/1"
    asked: Asked
    opinion: str = NO_OPINION
    clauses: tuple[Clause, ...]


class _Tally:
    """What was found of one requirement so far."""

    def __init__(self) -> None:
        self.counts: dict[Verdict, int] = {}
        self.kept: dict[Verdict, list[Sentence]] = {}

    def take(self, finding: Finding, number: int) -> None:
        self.counts[finding.verdict] = self.counts.get(finding.verdict, 0) + number
        kept = self.kept.setdefault(finding.verdict, [])
        if len(kept) < MOST_SENTENCES:
            kept.append(
                Sentence(
                    subject=finding.subject,
                    verdict=finding.verdict,
                    text=finding.text,
                    mend=finding.mend,
                    governed=finding.governed,
                    number=number,
                )
            )

    def sentences(self) -> tuple[Sentence, ...]:
        ordered = [each for verdict in _WORST_FIRST for each in self.kept.get(verdict, ())]
        return tuple(ordered[:MOST_SENTENCES])


def build(
    asked: Asked,
    requirements: Sequence[Requirement],
    findings: Iterable[Finding | tuple[Finding, int]],
    stated: Sequence[Stated],
) -> Report:
    """Put a report together; a finding may come with how many subjects it speaks of.

    ``stated`` is everything that the log has, of which only what was said in time counts.
    A finding about a requirement that is none of ``requirements`` is not reported. A text that bound on no day from the
    beginning of the period to the day reported for is reported only where something was found of it.
    """
    tallies = {each.id: _Tally() for each in requirements}
    for each in findings:
        finding, number = (each, 1) if isinstance(each, Finding) else each
        tally = tallies.get(finding.requirement)
        if tally is not None:
            tally.take(finding, number)
    counting = current([each for each in stated if in_time(each, asked)])
    shown = [each for each in requirements if tallies[each.id].counts or _bound(each, asked)]
    return Report(asked=asked, clauses=tuple(_clause(each, tallies[each.id], counting, asked) for each in shown))


def _bound(requirement: Requirement, asked: Asked) -> bool:
    """Tell whether the text bound on any day from the beginning of the period on."""
    text = requirement.in_force
    return text.since <= asked.as_of and (text.until is None or text.until >= asked.first)


def in_time(stated: Stated, asked: Asked) -> bool:
    """Tell whether something was stated by the end of the day reported for."""
    return stated.said.at.astimezone(UTC).date() <= asked.as_of


def in_period(stated: Stated, asked: Asked) -> bool:
    """Tell whether something was stated on a day of the period."""
    return asked.first <= stated.said.at.astimezone(UTC).date() <= asked.last


def _clause(requirement: Requirement, tally: _Tally, stated: Sequence[Stated], asked: Asked) -> Clause:
    sentences = tally.sentences()
    total = sum(tally.counts.values())
    verdict = next((each.value for each in _WORST_FIRST if each in tally.counts), NOTHING)
    return Clause(
        requirement=requirement.id,
        clause=requirement.cited,
        title=requirement.title,
        text=requirement.text,
        obligation=requirement.obligation.value,
        nature=requirement.nature.value,
        ballot=requirement.source.ballot,
        verdict=verdict,
        counts={each.value: tally.counts[each] for each in _WORST_FIRST if each in tally.counts},
        sentences=sentences,
        left_out=total - sum(each.number for each in sentences),
        evidence=tuple(_bearings(requirement, stated, asked)),
        reviews=tuple(_opinions(requirement, stated)),
    )


def _bearings(requirement: Requirement, stated: Sequence[Stated], asked: Asked) -> Iterable[Bearing]:
    wanted = requirement.wants.evidence if requirement.wants is not None else ()
    for each in stated:
        document = each.said.matter
        if not isinstance(document, Document):
            continue
        named = requirement.id in document.requirements or requirement.cited in document.requirements
        if named or (not document.requirements and document.kind in wanted):
            begun = document.valid_from is None or document.valid_from <= asked.as_of
            over = document.valid_until is not None and document.valid_until < asked.as_of
            yield Bearing(
                sha256=document.sha256,
                kind=document.kind,
                issuer=document.issuer,
                filename=document.filename,
                valid_from=document.valid_from,
                valid_until=document.valid_until,
                entry=each.entry,
                in_force=begun and not over,
            )


def _opinions(requirement: Requirement, stated: Sequence[Stated]) -> Iterable[Opinion]:
    for each in stated:
        review = each.said.matter
        if isinstance(review, Review) and review.requirement == requirement.id:
            yield Opinion(
                document=review.document,
                verdict=review.verdict,
                note=review.note,
                by=each.said.by,
                at=each.said.at,
                entry=each.entry,
            )
