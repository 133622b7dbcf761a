"""What the service states of the lives of Key Pairs: how each stands, and which ceremony was held for it.

Each is written down in the transaction that makes it so, and the log fixes it; the statements of one key are its
history, numbered without gaps.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from privyseal.compliance.statement_words import Digest, Name, Topic
from privyseal.terms.life import KeyState

KeyName = Annotated[str, Meta(min_length=1, max_length=63)]
"""A Key Pair's name within its Subscriber."""


class KeyStateChanged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="key-state"):
    """That a Key Pair stands otherwise from now on, who made it so, and why (CSBR 5.4.1 (1), 6.2.8 to 6.2.10)."""

    key: KeyName
    key_id: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    """Empty while there is no key."""
    was: KeyState | None = None
    """None for the first state that is known of it."""
    becomes: KeyState
    by: Name
    """Id of the member, ``service`` for the service itself."""
    because: Annotated[str, Meta(max_length=2000)] = ""
    act: Annotated[str, Meta(max_length=40)] = ""
    """The proposed act by which it was agreed, where it was."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same key."""
        return f"key-state:{self.key}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "key"


class CeremonyHeld(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="ceremony"):
    """That a witnessed ceremony was held for a Key Pair, and which document records it (CSBR 6.1.1.1, 6.2.2)."""

    key: KeyName
    script: Digest
    """SHA-256 of the script that was followed."""
    record: Digest
    """SHA-256 of the record, a document among the evidence."""
    title: Name
    began: Annotated[datetime, Meta(tz=True)]
    ended: Annotated[datetime, Meta(tz=True)]
    witnesses: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    """Names of those who signed the record."""
    by: Name

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same record."""
        return f"ceremony:{self.record}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "key"
