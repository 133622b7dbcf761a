"""What people send and see of acts on keys that wait for agreement (``proposals.py``)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from privyseal.terms.keys import Approver, Stage
from privyseal.terms.life import Life
from privyseal.terms.limits import UseLimits
from privyseal.terms.requests import Approval

Purpose = Literal["generate", "certify", "enable", "suspend", "retire", "destroy", "limit"]
"""What an act is proposed for; several are the same act of the signer and lead to another state of the key.
``certify`` has a request for a certificate signed, and is proposed where that is asked for."""
ActState = Literal["waiting", "agreed", "done", "refused", "withdrawn", "expired"]
"""How a proposed act stands. ``agreed``: enough people agree, and it is still to be carried out."""
Reason = Annotated[str, Meta(min_length=3, max_length=500)]
"""Why somebody wants an act: 3 to 500 characters."""
LONGEST_LIFE_H = 30 * 24
"""Hours that an act may wait for people; a release calendar has weeks."""
Hours = Annotated[int, Meta(ge=1, le=LONGEST_LIFE_H)]
"""Hours for which an act waits for people."""


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Key Pair that is to be born, and who is to agree to what it signs."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    scheme: Annotated[str, Meta(min_length=1, max_length=32)]
    approvers: Annotated[tuple[Approver, ...], Meta(max_length=64)] = ()
    members: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    """Members who agree by the passkeys that they have enrolled, by id or name."""
    quorum: Annotated[int, Meta(ge=0, le=64)]
    """How many people must agree."""
    limits: UseLimits | UnsetType = UNSET
    reason: Reason
    hours: Hours = 7 * 24


class NewAct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to become of a Key Pair that is there."""

    purpose: Literal["enable", "suspend", "retire", "destroy", "limit"]
    reason: Reason
    limits: UseLimits | None = None
    """With ``limit`` only; None takes all limits away."""
    hours: Hours = 7 * 24


Octets = Annotated[bytes, Meta(min_length=1, max_length=256 * 1024)]
"""Of a script or a record (``compliance/ceremonies.py``)."""


class Held(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ceremony that was held: the script's file, and the record's, octet for octet."""

    script: Octets
    record: Octets


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """Some of those who must agree: the operators, or the key's own approvers."""

    who: Literal["operators", "approvers"]
    people: tuple[Approver, ...]
    stages: tuple[Stage, ...]
    """In which they agree, one after the other; empty where nobody of them is asked."""
    waiting_for: tuple[str, ...] = ()
    """Names of those who are asked now; empty where enough of them agree."""
    missing: int = 0


class ActShown(msgspec.Struct, frozen=True, kw_only=True):
    """A proposed act with everything that an agreement to it is made of."""

    id: str
    subscriber: str
    key: str
    purpose: Purpose
    act: bytes
    """The canonical octets."""
    digest: str
    """Of these, lower-case hex; whoever agrees computes it anew."""
    why: str
    proposer: str
    created: datetime
    expires: datetime
    state: ActState
    outcome: str = ""
    """Why it was refused, where it was; of ``certify`` the request that was signed, PEM."""
    approvals: tuple[Approval, ...] = ()
    sides: tuple[Side, ...] = ()
    one_is_enough: bool = False
    """Whether one person of any side is enough, since it stops harm."""


class ActList(msgspec.Struct, frozen=True, kw_only=True):
    """Proposed acts, the newest first."""

    acts: tuple[ActShown, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a key's state, as the log fixed it."""

    was: str
    becomes: str
    by: str
    at: datetime
    because: str
    act: str


class LifeShown(msgspec.Struct, frozen=True, kw_only=True):
    """How a Key Pair stands, what it was before, and which acts wait for people."""

    life: Life
    history: tuple[Change, ...] = ()
    waiting: tuple[str, ...] = ()
    """Ids of acts."""


class LifeList(msgspec.Struct, frozen=True, kw_only=True):
    """How every Key Pair of a Subscriber stands, by name; also those that are planned or destroyed."""

    lives: tuple[LifeShown, ...]
