"""What the service states of who a Subscriber is in law, as its operator held it against the CA's record."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from privyseal.compliance.statement_words import Name, Topic
from privyseal.terms.identity import LegalIdentity


class IdentityValidated(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="identity-validated"
):
    """The names that certificates for a Subscriber may carry, who wrote them down, and by which record of the CA."""

    subscriber: Name
    identity: LegalIdentity
    how: Annotated[str, Meta(min_length=1, max_length=2000)]
    by: Name

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: a Subscriber is one in law."""
        return "identity-validated"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "standing"
