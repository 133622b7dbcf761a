"""What is stated of copies of keys: whether there may be one (CSBR 6.1.2), and into which module one is made."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from privyseal.compliance.modules import AttestedModule
from privyseal.compliance.statement_words import Digest, Name, Note, Topic


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


class KeyCopied(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="key-copy"):
    """That a key is copied by its module's own means into another module, which keeps it as the first one does.

    It is stated before it is done, and taken only where its Subscriber allowed it and the register of modules says that
    the module suffices (CSBR 6.1.2, 6.2.7.3).
    """

    key_id: Digest
    maker: Name
    """Of the module that gets the copy, as attestations have it."""
    model: Name
    firmware: Name
    serial: Name
    note: Note
    """By whom and by which means: a cloning domain, a security world, a backup module."""
    document: Digest | None = None
    """SHA-256 of the ceremony's script or record, where it was taken in as a document."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same key in the same module."""
        return f"key-copy:{self.key_id}:{self.serial}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "declaration"

    @property
    def module(self) -> AttestedModule:
        """Return the module as the register judges it: what it clones it keeps as the one that made the key."""
        return AttestedModule(
            maker=self.maker,
            model=self.model,
            firmware=self.firmware,
            serial=self.serial,
            generated_inside=True,
            never_extractable=True,
        )

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        return None
