"""How a Subscriber stands with the Signing Service, and how it comes in.

States, and the rules for the table below:

* Who is ``enrolling`` may rehearse: nothing of it is signed under a publicly trusted certificate before all four steps
  of its enrolment are done and the operator has said so.
* The steps are not ticked off by hand where the records can tell: only the first one, that its identity was given and
  held against the CA's record, is somebody's word. The others are done when papers, people and keys are there.
* ``suspended`` and ``closed`` Subscribers ask for no signature, and what waits of theirs is not signed. They see and
  export their own records, for the records are theirs.
* Only the operator's members move a Subscriber, and each move is an entry of the log.
* ``closed`` is final and deletes nothing: what was signed is kept for as long as CSBR 5.4.3 says.
"""

from __future__ import annotations

from enum import StrEnum

from privyseal.errors import Denied, NotPermitted


class Standing(StrEnum):
    """How a Subscriber stands."""

    ENROLLING = "enrolling"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


MOVES: dict[Standing, dict[Standing, str]] = {
    Standing.ENROLLING: {
        Standing.ACTIVE: "its four steps are done",
        Standing.CLOSED: "it was not taken in",
    },
    Standing.ACTIVE: {
        Standing.SUSPENDED: "the operator stopped it, for a reason",
        Standing.CLOSED: "it left",
    },
    Standing.SUSPENDED: {
        Standing.ACTIVE: "the reason is gone, and its steps are still done",
        Standing.CLOSED: "it left, or was sent away",
    },
    Standing.CLOSED: {},
}
"""From each state to those that may follow, and what has happened then."""


class Step(StrEnum):
    """One step of an enrolment."""

    IDENTITY = "identity"
    PAPERS = "papers"
    PEOPLE = "people"
    KEY = "key"


STEPS: dict[Step, str] = {
    Step.IDENTITY: "its identity was given, and checked against the CA's record",
    Step.PAPERS: "the CA's agreement and the commitments to the service are accepted",
    Step.PEOPLE: "somebody administers it, and somebody may ask for signatures",
    Step.KEY: "a Key Pair and a certificate for it are there",
}
"""What each step is done by, in the order in which they are asked for."""


def require_move(name: str, was: Standing, becomes: Standing) -> None:
    """Raise NotPermitted where the table does not lead from one state straight to the other."""
    if becomes not in MOVES[was]:
        onward = ", ".join(MOVES[was]) or "nothing: closing is final"
        raise NotPermitted(f"The Subscriber {name!r} is {was} and cannot become {becomes}; {onward} can follow.")


def require_signing(name: str, standing: Standing) -> None:
    """Raise Denied for a suspended Subscriber and NotPermitted for a closed one: neither asks for a signature."""
    if standing is Standing.SUSPENDED:
        raise Denied(
            f"The Subscriber {name!r} is suspended; nothing is signed for it.",
            hint="its records can be read; the operator of the service can resume it",
        )
    if standing is Standing.CLOSED:
        raise NotPermitted(
            f"The Subscriber {name!r} is closed; nothing is signed for it any more.",
            hint="its records can be read and exported",
        )
