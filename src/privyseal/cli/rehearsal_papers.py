"""The papers of a rehearsal: they bind nobody, say so, and are accepted by the functions that real ones are."""

from __future__ import annotations

from privyseal.signing import agreements
from privyseal.signing.forms_of_parties import Acceptance
from privyseal.signing.instance import PrivySeal
from privyseal.terms.agreements import Clause, Paper, PaperKind, Representative

NOBODY = Representative(
    name="Nobody",
    title="of a rehearsal",
    capacity="none: this rehearsal paper binds nobody",
    authenticated="not at all: written by privyseal init --rehearsal",
)
"""Who accepts them."""

PAPERS = (
    Paper(
        kind=PaperKind.AGREEMENT,
        title="Rehearsal Subscriber Agreement, which binds nobody",
        parties=("Rehearsal CA", "Rehearsal Subscriber"),
        clauses=(Clause(number="1", text="This is no agreement. It stands where a CA's Subscriber Agreement would."),),
    ),
    Paper(
        kind=PaperKind.COMMITMENTS,
        title="Rehearsal commitments, which bind nobody",
        parties=("Rehearsal Signing Service", "Rehearsal Subscriber"),
        clauses=(
            Clause(
                number="1",
                text="The Subscriber uses the service as authorised, within agreement, Requirements and law.",
                answers=("CSBR-9.6.5-04",),
            ),
            Clause(
                number="2",
                text="The Subscriber never knowingly hands in Suspect Code.",
                answers=("CSBR-9.6.5-05",),
            ),
            Clause(
                number="3",
                text="The Subscriber tells the service when code that it handed in proves to be Suspect Code.",
                answers=("CSBR-9.6.5-06",),
            ),
        ),
    ),
)
"""What a Subscriber needs before its first signature; only the commitments answer requirements."""


def agree(seal: PrivySeal, subscriber: str) -> None:
    """Add the papers for a Subscriber of a rehearsal, and have them accepted by nobody."""
    for paper in PAPERS:
        added = agreements.add(seal, None, subscriber, paper)
        given = Acceptance(kind=paper.kind, sha256=added.sha256, representative=NOBODY)
        agreements.accept(seal, None, subscriber, given)
