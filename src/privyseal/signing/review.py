"""What an approver is shown before agreeing: the request, who agreed already, and what changed since the last release.

Pure: made from what the records hold, and from nothing else, so that the command line makes the same of the octets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from privyseal.access.quorum import Waiting
from privyseal.formats.fact_words import in_words
from privyseal.strongroom.approvals import Tally, tally
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import Approver, KeyPair
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State


class StageView(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of agreement: how many of whom, and who agreed in it so far."""

    need: int
    among: tuple[str, ...]
    """Names of the approvers it admits; whoever asks is not among them."""
    agreed: tuple[str, ...]


class Change(msgspec.Struct, frozen=True):
    """One thing that is not as it was in the last release; empty where there was or is nothing."""

    what: str
    before: str
    after: str


class Earlier(msgspec.Struct, frozen=True):
    """The last request of the same key that people agreed to and that was released."""

    id: str
    request: bytes
    """Its canonical octets."""


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What an approver is shown, and all that an approval is made of."""

    id: str
    state: State
    digest: str
    """Of the canonical octets, lower-case hex; whoever agrees computes it anew."""
    request: bytes
    """The canonical octets."""
    stages: tuple[StageView, ...]
    stage: int
    """The one that is waited for, from 0; as many as there are stages where nobody is."""
    waiting_for: tuple[str, ...]
    missing: int
    approvals: tuple[Approval, ...]
    approvers: tuple[Approver, ...]
    last: Earlier | None
    changes: tuple[Change, ...]
    """Since ``last``; empty where there is none, too."""


def review(dossier: Dossier, pair: KeyPair, given: Sequence[Approval], last: Earlier | None) -> Review:
    """Put together what an approver of a request is shown."""
    request = decode_canonical(dossier.canonical, SigningRequest)
    outcome = so_far(pair, request, given).outcome
    stages = tuple(
        StageView(
            need=stage.need,
            among=tuple(a.name for a in pair.approvers if stage.admits(a) and a.person != request.requester),
            agreed=tuple(each.approver for each in given if each.stage == place),
        )
        for place, stage in enumerate(pair.in_order)
    )
    waits = isinstance(outcome, Waiting) and dossier.state is State.REQUESTED
    return Review(
        id=dossier.id,
        state=dossier.state,
        digest=dossier.digest,
        request=dossier.canonical,
        stages=stages,
        stage=outcome.stage if isinstance(outcome, Waiting) and waits else len(stages),
        waiting_for=outcome.for_whom if isinstance(outcome, Waiting) and waits else (),
        missing=outcome.missing if isinstance(outcome, Waiting) and waits else 0,
        approvals=tuple(given),
        approvers=pair.approvers,
        last=last,
        changes=() if last is None else changes(decode_canonical(last.request, SigningRequest), request),
    )


def changes(before: SigningRequest, now: SigningRequest) -> tuple[Change, ...]:
    """Return what differs between two requests of a key in all but their time, the weightiest first."""
    pairs = [(name, said(before), said(now)) for name, said in _FACTS.items()]
    found = [Change(*each) for each in pairs if each[1] != each[2]]
    return (*found, *_of_pieces(before, now))


def _of_pieces(before: SigningRequest, now: SigningRequest) -> Iterator[Change]:
    """Tell of pieces of code by what they are called: gone, new, with other content; the same content says nothing."""
    old, new = _pieces(before), _pieces(now)
    for name in sorted(old.keys() | new.keys()):
        was, is_ = old.get(name, []), new.get(name, [])
        gone = [each for each in was if each not in is_]
        come = [each for each in is_ if each not in was]
        for place in range(max(len(gone), len(come))):
            left = gone[place] if place < len(gone) else ""
            right = come[place] if place < len(come) else ""
            kind = "content of" if left and right else "no longer" if left else "new"
            yield Change(f"{kind} {name}", left, right)


def _pieces(request: SigningRequest) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in request.described:
        found.setdefault(each.filename, []).append(f"{each.digest_algorithm} {each.digest.hex()}")
    return found


_FACTS: dict[str, Callable[[SigningRequest], str]] = {
    "certificate": lambda r: r.certificate,
    "requester": lambda r: "" if r.requester is msgspec.UNSET else r.requester,
    "program name": lambda r: r.options.program_name or "",
    "program url": lambda r: r.options.program_url or "",
    "timestamp": lambda r: "wanted" if r.options.timestamp else "not wanted",
    "earlier signatures": lambda r: "replaced" if r.options.mode == "replace" else "kept",
    "options": lambda r: "; ".join(f"{name} {text}" for name, text in r.options.said().items()),
    "seen by the service": lambda r: "yes" if r.mode == "server" else "no",
    "formats": lambda r: ", ".join(sorted({each.format for each in r.described})),
    "digest algorithms": lambda r: ", ".join(sorted({each.digest_algorithm for each in r.described})),
    "kinds of code": lambda r: "; ".join(
        sorted({f"{name}={value}" for each in r.described for name, value in in_words(each).items()})
    ),
}
"""What is compared, each as a text."""


def so_far(pair: KeyPair, request: SigningRequest, given: Sequence[Approval]) -> Tally:
    """Count the approvals of a request by what the records say of its key; the signer counts by its own charter."""
    asker = None if request.requester is msgspec.UNSET else request.requester
    return tally(given, pair.approvers, pair.in_order, request.digest(), asker)
