"""What a Subscriber states of copies of its keys: whether there may be one (CSBR 6.1.2)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from privyseal.compliance.statement_words import Digest, Note, Topic


class BackupAllowed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="key-backup"):
    """Whether a Subscriber's Private Key may be in a backup; nothing said is no (CSBR 6.1.2: authorization)."""

    key: Annotated[str, Meta(min_length=1, max_length=63)]
    """The Key Pair's name, for people."""
    key_id: Digest
    allowed: bool
    """False takes an earlier consent back; copies that were made under it are to be destroyed by whoever has them."""
    note: Note
    """Under which agreement, and by whom in the Subscriber's organisation."""
    document: Digest | None = None
    """SHA-256 of the signed paper, where it was taken in as a document."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same key."""
        return f"key-backup:{self.key_id}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "declaration"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        return None
