"""What the service states of certificates: who read and accepted one, and for which one a revocation was asked.

The acceptance is what CSBR 9.6.3 has the Subscriber agree to, and what the gate looks for before a first signature.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from privyseal.compliance.statement_words import Digest, Ids, Name, Note, Topic
from privyseal.terms.certificates import Reason

Words = Annotated[str, Meta(max_length=2000)]
"""What was read, as the certificate has it."""


class CertificateAccepted(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="certificate-accepted"
):
    """A person of the Subscriber read what a certificate says, and accepted it (CSBR 9.6.3)."""

    fingerprint: Digest
    """SHA-256 of the certificate."""
    key_id: Digest
    subject: Words
    issuer: Words
    serial: Name
    not_met: Ids = ()
    """Requirements that were shown as not met of it when it was accepted."""
    by: Name
    """Id of the member."""
    factors: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    """By what that member proved who they are."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same certificate."""
        return f"certificate-accepted:{self.fingerprint}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "certificate"


class RevocationAsked(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="revocation-asked"
):
    """A certificate is to be revoked: who asked for it, at whom, why and from when on, and what the CA said."""

    fingerprint: Digest
    reason: Reason
    at: Annotated[datetime, Meta(tz=True)]
    """From when on it is not to be trusted."""
    authority: Name
    because: Note
    """In the words of whoever asked."""
    by: Name
    answered: Literal["asked", "waiting", "revoked", "refused"]
    """``asked``: whether the CA heard of it is not known."""
    words: Words = ""
    """What the CA said, or what is to be done."""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    """From when on the CA says that it is revoked."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same certificate."""
        return f"revocation:{self.fingerprint}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "certificate"
