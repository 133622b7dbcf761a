"""A request comes in and is signed in one walk, which costs one transaction less than one walk after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from privyseal.errors import PrivySealError
from privyseal.signing.instance import PrivySeal
from privyseal.signing.sign import advance, go_on
from privyseal.signing.submit import Submission, submit, take_in
from privyseal.terms.requests import Dossier, State

_UNDER_WAY = frozenset({State.APPROVED, State.SIGNING, State.SIGNED})
"""States from which a walk can go on by itself."""


def ask(seal: PrivySeal, submissions: Sequence[Submission]) -> list[Dossier | PrivySealError]:
    """Write down each request and take it as far as it goes: ``submit`` and ``advance`` in one.

    What is plainly new and waits for nobody is written and leased in one transaction; the rest goes the longer way.
    The outcomes are those of ``submit`` where it refuses, and otherwise those of ``advance``.
    """
    seal.require_memory()
    taken = take_in(seal, submissions)
    outcomes = _the_longer_way(seal, {n: one for n, one in enumerate(submissions) if n not in taken})
    walked = go_on(seal, list(taken.values()))
    outcomes |= {number: walked[one.dossier.id] for number, one in taken.items()}
    return [outcomes[number] for number in range(len(submissions))]


def _the_longer_way(seal: PrivySeal, submissions: Mapping[int, Submission]) -> dict[int, Dossier | PrivySealError]:
    if not submissions:
        return {}
    outcomes = dict(zip(submissions, submit(seal, list(submissions.values())), strict=True))
    ids = {
        number: (one.subscriber, one.id)
        for number, one in outcomes.items()
        if isinstance(one, Dossier) and one.state in _UNDER_WAY
    }
    return outcomes | dict(zip(ids, advance(seal, list(ids.values())), strict=True)) if ids else outcomes
