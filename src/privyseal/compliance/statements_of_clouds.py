"""What the service states of clouds that keys are in: that their audit log is on, and how its count compares to ours.

The verdict is not in it. It is a fact of the day on which both sides were counted, and it speaks for a few days.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from privyseal.compliance.statement_words import Digest, Name, Topic

MOST_KEYS = 200
"""Keys with a difference that one statement names; it counts all."""
Sentence = Annotated[str, Meta(max_length=500)]
"""What a comparison found, in words: at most 500 characters."""


class Differs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key whose signatures the cloud counted otherwise than we did."""

    key_id: Digest
    counted: int
    """By the cloud."""
    at_least: int
    at_most: int


class CloudReconciled(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="cloud-reconciled"
):
    """How the audit log of one home in a cloud compares to what the signer counted, for one Subscriber's keys there.

    CSBR 6.2.7.3: a cloud logs all access, all operations and all changes to what guards a key.
    """

    store: Name
    home: Name
    since: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)]
    source: Sentence = ""
    """Which audit log it is; empty where it could not be asked."""
    on: bool = False
    gaps: Annotated[tuple[Sentence, ...], Meta(max_length=32)] = ()
    """What is left out of it, a sentence each."""
    trouble: Sentence = ""
    """Why it could not be asked."""
    keys: Annotated[int, Meta(ge=0)] = 0
    """How many keys were compared."""
    signatures: Annotated[int, Meta(ge=0)] = 0
    """How many signatures of theirs the cloud counted."""
    more: Annotated[tuple[Differs, ...], Meta(max_length=MOST_KEYS)] = ()
    """Keys that signed more often than they were asked to by us."""
    fewer: Annotated[tuple[Differs, ...], Meta(max_length=MOST_KEYS)] = ()
    """Keys of which signatures that we had are missing there."""
    by: Name = "service"

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same home."""
        return f"cloud-reconciled:{self.store}:{self.home}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "key"
