"""The papers between a CA, a Signing Service and a Subscriber, clause by clause, and who accepted them.

There are four kinds. What the text of the Requirements asks of each stands with the kind; what a clause answers, the
clause itself names by the requirement's id, so that a paper which lost a clause is seen to have lost it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from privyseal.errors import BadInput
from privyseal.terms.canonical import canonical_json, tagged_digest

PAPER_TAG = "privyseal/paper/v1"
"""Domain tag of a paper's digest: what an acceptance names."""

MOST_CLAUSES = 200
"""Clauses of one paper; a CA's Subscriber Agreement has some forty."""

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A name, a title, a number: one line."""
Prose = Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
"""A clause's text."""


class PaperKind(StrEnum):
    """What sort of paper it is."""

    AGREEMENT = "ca-agreement"
    """The CA's Subscriber Agreement or Terms of Use, a copy (CSBR 9.6.3). Between the CA and the Subscriber."""
    COMMITMENTS = "commitments"
    """What the Subscriber commits to towards the Signing Service before its first signature (CSBR 9.6.5)."""
    CONTRACT = "ca-contract"
    """The contract between a CA and the Signing Service (CSBR 2.2, 9.6.5)."""
    INTERNAL = "internal-agreement"
    """An agreement between a CA team and a Signing Service team of one organisation (CSBR 1.3.2, 9.6.3)."""


OF_THE_SERVICE = frozenset({PaperKind.CONTRACT, PaperKind.INTERNAL})
"""Papers to which the Signing Service itself is a party; the others are a Subscriber's."""

EVIDENCE: dict[PaperKind, str] = {
    PaperKind.AGREEMENT: "subscriber-agreement",
    PaperKind.COMMITMENTS: "signing-service-terms",
    PaperKind.CONTRACT: "ca-ss-contract",
    PaperKind.INTERNAL: "internal-agreement",
}
"""As which kind of document (``compliance/evidence.py``) an accepted paper of each kind counts."""


class Clause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One clause."""

    number: Line
    """As the paper has it, such as ``4.2``; once in a paper."""
    text: Prose
    answers: Annotated[tuple[Line, ...], msgspec.Meta(max_length=50)] = ()
    """The requirements that it answers, by id."""


class Paper(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a paper."""

    kind: PaperKind
    title: Line
    parties: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=20)]
    """Between whom it is."""
    clauses: Annotated[tuple[Clause, ...], msgspec.Meta(min_length=1, max_length=MOST_CLAUSES)]
    document: Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    """SHA-256 of the paper as it was signed, where that was taken in as evidence; empty for none."""
    ca_team: Annotated[tuple[Line, ...], msgspec.Meta(max_length=50)] = ()
    """Of an internal agreement: who is in the CA's team."""
    service_team: Annotated[tuple[Line, ...], msgspec.Meta(max_length=50)] = ()
    """Of an internal agreement: who is in the Signing Service's team."""

    def digest(self) -> str:
        """Return the SHA-256 that an acceptance names, lower-case hex."""
        return tagged_digest(PAPER_TAG, canonical_json(self)).hex()

    @property
    def answers(self) -> frozenset[str]:
        """Return the requirements that its clauses answer."""
        return frozenset(each for clause in self.clauses for each in clause.answers)

    @property
    def in_both_teams(self) -> tuple[str, ...]:
        """Return who is in both teams of an internal agreement; a finding of ours, for no text forbids it."""
        return tuple(sorted(set(self.ca_team) & set(self.service_team)))

    def require_sound(self) -> None:
        """Raise BadInput where it says what cannot be."""
        numbers = [clause.number for clause in self.clauses]
        twice = sorted({each for each in numbers if numbers.count(each) > 1})
        if twice:
            raise BadInput(f"The clause {twice[0]!r} stands twice in the paper.", hint="each clause has its own number")
        if (self.ca_team or self.service_team) and self.kind is not PaperKind.INTERNAL:
            raise BadInput(f"Only an internal agreement is between teams; this is a {self.kind}.")


class Representative(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who accepted a paper, for whom, and how it is known that they were who they said."""

    name: Line
    title: Line
    """Such as ``Chief Technology Officer``."""
    capacity: Line
    """By what they may bind it, such as ``managing director`` or ``power of attorney of 2026-03-01``."""
    authenticated: Line
    """How they proved who they are: by whom it was seen, or by which factors."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one clause between two versions."""

    number: str
    words: str
    """A sentence."""


def changes(old: Paper, new: Paper) -> list[Changed]:
    """Say clause by clause what a new version changes, in the order of the new one and then of what is gone."""
    before = {clause.number: clause for clause in old.clauses}
    found: list[Changed] = []
    for clause in new.clauses:
        known = before.pop(clause.number, None)
        if known is None:
            found.append(Changed(number=clause.number, words=f"Clause {clause.number} is new{_answering(clause)}."))
        elif known != clause:
            found.append(Changed(number=clause.number, words=_changed(known, clause)))
    found += [Changed(number=each, words=f"Clause {each} is gone{_answering(gone)}.") for each, gone in before.items()]
    return found


def _changed(known: Clause, clause: Clause) -> str:
    words = []
    if known.text != clause.text:
        words.append("has another text")
    lost = sorted(set(known.answers) - set(clause.answers))
    won = sorted(set(clause.answers) - set(known.answers))
    if lost:
        words.append(f"no longer answers {', '.join(lost)}")
    if won:
        words.append(f"now answers {', '.join(won)}")
    return f"Clause {clause.number} {' and '.join(words or ['names its requirements in another order'])}."


def _answering(clause: Clause) -> str:
    return f"; it answers {', '.join(clause.answers)}" if clause.answers else ""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A paper as the records keep it."""

    version: int
    """Of its kind and for this Subscriber, from 1."""
    at: datetime
    by: str
    """Id of the member who added it, or ``service``."""
    sha256: str
    paper: Paper
