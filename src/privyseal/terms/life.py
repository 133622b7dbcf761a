"""A Key Pair's life, from the plan to its destruction (CSBR 4.12, 6.1.1, 6.2; NIST SP 800-57 part 1, 7).

States, and the rules for the table below:

* A state changes only by compare-and-swap on the row (``records/lives.py``), in the transaction that announces it: each
  change is an administrative act and has its own entry in the log.
* A key signs while it is ACTIVE and in no other state. It is asked at submission and once more right before the intent
  is logged; the signer judges by its own charter in addition, which knows whether the key is frozen.
* What brings a key nearer to use takes two people: it is generated, enabled (becomes ACTIVE) and restored by an act to
  which the operators' quorum and the key's own approvers agree; what ends it for good, DESTROYED, takes the same. What
  stops it takes one person: SUSPENDED and RETIRED. A key that was born in rehearsal asks nobody where its charter does.
* SUSPENDED comes to an end, RETIRED as well, but only by an act of the same people: nothing wakes up by itself.
* A key that its own holder did not use for as long as the operator says suspends itself.
* GENERATED, ATTESTED and CERTIFIED may be left out forwards and never come back: a certificate that is renewed, or an
  attestation that is shown again, changes nothing of a key that is ACTIVE.
* A plan is given up as DESTROYED: there never was a key, and its name is not given again, as that of a destroyed key.
* A final state never changes.

The diagram in the documentation is printed from this table (``python -m privyseal.terms.life``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from privyseal.errors import Denied, NotPermitted


class KeyState(StrEnum):
    """Where a Key Pair stands."""

    PLANNED = "planned"
    GENERATED = "generated"
    ATTESTED = "attested"
    CERTIFIED = "certified"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"
    DESTROYED = "destroyed"


_RETIRED = "it is not to be used again"
_DESTROYED = "operators and approvers agreed; the module destroyed it"

TRANSITIONS: dict[KeyState, dict[KeyState, str]] = {
    KeyState.PLANNED: {
        KeyState.GENERATED: "the operators agreed; it was born inside its module",
        KeyState.DESTROYED: "the plan was given up; there never was a key",
    },
    KeyState.GENERATED: {
        KeyState.ATTESTED: "its module's attestation was verified",
        KeyState.CERTIFIED: "its certificate was accepted, without an attestation",
        KeyState.RETIRED: _RETIRED,
        KeyState.DESTROYED: _DESTROYED,
    },
    KeyState.ATTESTED: {
        KeyState.CERTIFIED: "its certificate was accepted",
        KeyState.RETIRED: _RETIRED,
        KeyState.DESTROYED: _DESTROYED,
    },
    KeyState.CERTIFIED: {
        KeyState.ACTIVE: "operators and approvers enabled it",
        KeyState.RETIRED: _RETIRED,
        KeyState.DESTROYED: _DESTROYED,
    },
    KeyState.ACTIVE: {
        KeyState.SUSPENDED: "somebody stopped it, or nobody used it for long",
        KeyState.RETIRED: _RETIRED,
        KeyState.DESTROYED: _DESTROYED,
    },
    KeyState.SUSPENDED: {
        KeyState.ACTIVE: "operators and approvers enabled it again",
        KeyState.RETIRED: _RETIRED,
        KeyState.DESTROYED: _DESTROYED,
    },
    KeyState.RETIRED: {
        KeyState.ACTIVE: "operators and approvers brought it back",
        KeyState.DESTROYED: _DESTROYED,
    },
    KeyState.DESTROYED: {},
}
"""The life of a key: from each state to those that may follow, and what has happened then."""

FINAL = frozenset(state for state, onward in TRANSITIONS.items() if not onward)
"""States that nothing follows."""

BY_QUORUM: frozenset[tuple[KeyState, KeyState]] = frozenset(
    {
        (KeyState.PLANNED, KeyState.GENERATED),
        (KeyState.CERTIFIED, KeyState.ACTIVE),
        (KeyState.SUSPENDED, KeyState.ACTIVE),
        (KeyState.RETIRED, KeyState.ACTIVE),
        *((was, KeyState.DESTROYED) for was, onward in TRANSITIONS.items()
          if KeyState.DESTROYED in onward and was is not KeyState.PLANNED),
    }
)  # fmt: skip
"""Arrows that no one person goes alone: generate, enable, restore, destroy (CSBR 5.2.2 and 6.2.2: dual control)."""

A_DAY = timedelta(days=1)
"""How exactly it is remembered when a key was used."""

_STEPS = (KeyState.PLANNED, KeyState.GENERATED, KeyState.ATTESTED, KeyState.CERTIFIED, KeyState.ACTIVE)
"""The way to use, in its order; of a key that stands further, an earlier step says nothing new."""


class Life(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one Key Pair stands."""

    subscriber: str
    name: str
    """The Key Pair's, within its Subscriber."""
    key_id: str = ""
    """SHA-256 of the public key, lower-case hex; empty while there is none."""
    state: KeyState
    since: datetime
    used: datetime | None = None
    """When it was last asked to sign, to the day; None where it never was."""


def may_follow(was: KeyState, becomes: KeyState) -> bool:
    """Tell whether the table leads from one state straight to the other."""
    return becomes in TRANSITIONS[was]


def is_behind(state: KeyState, step: KeyState) -> bool:
    """Tell whether a key in ``state`` has a step of the way to its use behind it, so that it changes nothing."""
    if step is state:
        return True
    if step not in _STEPS[:-1]:
        return False
    reached = KeyState.ACTIVE if state is KeyState.SUSPENDED else state
    return reached in _STEPS and _STEPS.index(step) < _STEPS.index(reached)


def is_unnoted(life: Life, now: datetime) -> bool:
    """Tell whether the use of an active key is to be remembered: one that signs all day is written down once."""
    return life.state is KeyState.ACTIVE and (life.used is None or life.used <= now - A_DAY)


def require_active(life: Life) -> None:
    """Raise Denied or NotPermitted where nothing is signed with a key, as it stands."""
    if life.state is KeyState.ACTIVE:
        return
    name = f"The Key Pair {life.name!r}"
    if life.state is KeyState.SUSPENDED:
        raise Denied(
            f"{name} is suspended since {life.since:%Y-%m-%d %H:%M:%S} UTC.",
            hint="it signs again after operators and approvers agreed: privyseal key resume",
        )
    if life.state in (KeyState.RETIRED, KeyState.DESTROYED):
        raise Denied(f"{name} was {life.state} at {life.since:%Y-%m-%d %H:%M:%S} UTC.", hint="sign with another key")
    raise NotPermitted(
        f"{name} is {life.state} and signs nothing yet; only an active key does.",
        hint="give it a certificate, then have it enabled: privyseal key enable",
    )


def diagram() -> str:
    """Return the table as Mermaid, for the documentation."""
    arrows = [f"    {was} --> {to}: {why}" for was, onward in TRANSITIONS.items() for to, why in onward.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {KeyState.PLANNED}: somebody proposes it", *arrows])


if __name__ == "__main__":
    print(diagram())
