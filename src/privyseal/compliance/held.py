"""Documents that are held as evidence, and what follows from them: never more than a named person has judged.

That a document is there shows nothing by itself. Without it the verdict is ``not-evidenced``; with it, valid on the
day, a person has to judge it; and ``met`` or ``not-met`` only repeats what a named person wrote down about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Literal

import msgspec

from privyseal.compliance.outcome import Outcome, judgement, met, not_evidenced, not_met
from privyseal.compliance.requirement import Requirement, Wants

ALTERNATIVES: tuple[frozenset[str], ...] = (frozenset({"subscriber-agreement", "terms-of-use"}),)
"""Kinds of documents of which one does instead of the other: an affiliate of the CA, or the CA itself, acknowledges
Terms of Use where others sign a Subscriber Agreement (CSBR 9.6.3)."""


class Review(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a named person found when reading a document for one requirement."""

    requirement: str
    verdict: Literal["met", "not-met", "not-evidenced"]
    who: str
    at: datetime
    why: str = ""


class Held(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document that is held, by its digest, or a dated record that stands for one."""

    kind: str
    """One of ``evidence.KINDS``."""
    sha256: str
    """Of the document's octets, lower-case hex."""
    issuer: str = ""
    valid_from: date | None = None
    """The first day for which it speaks; None where it does not say."""
    valid_until: date | None = None
    """The last day for which it speaks; None where it does not say."""
    clauses: tuple[str, ...] = ()
    """Requirements that it speaks of, by id or by cited clause (``CSBR 8.4.2``); none where its kind says it."""
    reviews: tuple[Review, ...] = ()

    def speaks_of(self, requirement: Requirement) -> bool:
        """Tell whether it is a document for this requirement."""
        return not self.clauses or requirement.id in self.clauses or requirement.cited in self.clauses

    def valid_on(self, day: date) -> bool:
        """Tell whether it speaks for ``day``, first and last day included."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day <= self.valid_until
        )


def judged_by_documents(requirement: Requirement, wants: Wants, held: Sequence[Held], at: datetime) -> Outcome:
    """Return what the documents and their reviews allow to say of a requirement at a moment.

    Of several reviews the newest that is no later than ``at`` counts. It says ``met`` only while every kind that is
    wanted is there and valid; ``not-met`` it says in any case.
    """
    mine = [each for each in held if each.kind in wants.evidence and each.speaks_of(requirement)]
    lacking = [words for kinds in _needed(wants) if (words := _lacking(kinds, mine, at.astimezone(UTC).date()))]
    review = _newest(requirement, mine, at)
    if review is not None and review.verdict == "not-met":
        return not_met(_said(review), "mend what the review names, and have it reviewed again")
    if review is not None and review.verdict == "not-evidenced":
        return not_evidenced(_said(review), f"add evidence: {', '.join(wants.evidence)}")
    if lacking and not wants.judgement:
        return not_evidenced(f"{wants.text} {' '.join(lacking)}", f"add evidence: {', '.join(wants.evidence)}")
    if review is not None and not lacking:
        return met(_said(review))
    if wants.judgement:
        return judgement(" ".join([wants.text, *(lacking if mine else ())]))
    return judgement(f"The documents are there; a person has to judge them: {wants.text}")


def _needed(wants: Wants) -> list[frozenset[str]]:
    """Return the kinds that are wanted, each with those that do instead of it."""
    found: list[frozenset[str]] = []
    for kind in wants.evidence:
        group = next((each for each in ALTERNATIVES if kind in each), frozenset({kind}))
        if group not in found:
            found.append(group)
    return found


def _lacking(kinds: frozenset[str], held: Iterable[Held], day: date) -> str:
    """Say what is lacking of one kind on a day; nothing where a valid document is there."""
    there = [each for each in held if each.kind in kinds]
    if any(each.valid_on(day) for each in there):
        return ""
    words = " or ".join(sorted(kinds))
    if not there:
        return f"No {words} is held."
    ended = [each.valid_until for each in there if each.valid_until is not None and each.valid_until < day]
    if ended:
        return f"The {words} that is held was valid until {max(ended)}."
    begins = min(each.valid_from for each in there if each.valid_from is not None)
    return f"The {words} that is held is valid from {begins} only."


def _newest(requirement: Requirement, held: Iterable[Held], at: datetime) -> Review | None:
    reviews = [
        review
        for each in held
        if each.valid_on(at.astimezone(UTC).date())
        for review in each.reviews
        if review.requirement == requirement.id and review.at <= at
    ]
    return max(reviews, key=lambda review: (review.at, review.verdict), default=None)


def _said(review: Review) -> str:
    why = f": {review.why.rstrip('.')}" if review.why else ""
    return f"{review.who} judged it {review.verdict} on {review.at.astimezone(UTC).date()}{why}."
