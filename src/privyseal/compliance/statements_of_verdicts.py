"""What the service states of verdicts: one that is another than before, and a gate that was lifted."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from privyseal.compliance.statement_words import Name, Topic


class Found(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="finding"):
    """A verdict that the service itself came to, where it is another than before."""

    kind: Name
    """Of the subject, such as ``key-pair``."""
    subject: Name
    requirement: Name
    verdict: Name
    text: Annotated[str, Meta(max_length=2000)]

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same subject and requirement."""
        return f"finding:{self.kind}:{self.subject}:{self.requirement}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "finding"


class Override(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="override"):
    """A gate that was lifted for a while, and by whom; the service states it when it takes effect."""

    requirement: Name
    subject: Name
    """For which it was lifted."""
    since: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)]
    approvers: Annotated[tuple[Name, ...], Meta(min_length=2, max_length=16)]
    """Names of those who agreed: two at least."""
    note: Annotated[str, Meta(max_length=2000)] = ""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same requirement and subject."""
        return f"override:{self.requirement}:{self.subject}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "override"
