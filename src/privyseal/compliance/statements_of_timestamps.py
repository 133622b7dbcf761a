"""What is stated of the Timestamp Authority: by the service what its stamper wrote down, every token, and keys that are
gone; by people of its CAs, and of what happened where no machine of ours sees it.

The stamper writes first, before it signs; the service takes that over and the log fixes it. Entries and batches are
numbered without gaps in the stamper's books, so that one which is missing in the log is seen to be missing.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from privyseal.compliance.statement_words import Digest, Name, Note, Topic
from privyseal.terms.keys import KeyProtection

BooksName = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
"""Which stamper's books, for one that is made anew counts from 1 again."""
Number = Annotated[int, Meta(ge=1, le=2**53 - 1)]
GenTime = Annotated[str, Meta(pattern=r"\A[0-9]{14}Z\Z")]
"""``YYYYMMDDHHMMSSZ``, as a token has it."""


class StamperNoted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="stamper"):
    """An entry of a stamper's diary (CSBR 5.4.1.2, 6.8): a start, a stop, its configuration, what became of its clock.

    ``adjusted``: the clock was set by a second or more. ``refused``: no time is given from here on, and why.
    ``trusted``: it is given again. ``synchronised``: the time servers agree with the clock, still.
    """

    books: BooksName
    number: Number
    at: Annotated[datetime, Meta(tz=True)]
    """By the stamper's clock, right or wrong."""
    what: Annotated[str, Meta(pattern=r"\A[a-z][a-z -]{0,39}\Z")]
    detail: Annotated[str, Meta(max_length=2000)] = ""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same books."""
        return f"stamper:{self.books}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "clock"


class TokensGiven(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tokens"):
    """Every timestamp token of an hour: how many, and the root of the Merkle tree over them (RFC 6962).

    A leaf is a token's TSTInfo, DER. It was written down before the token was signed, so there may be leaves of tokens
    that were never given out; there is no token without a leaf.
    """

    books: BooksName
    number: Number
    first: GenTime
    last: GenTime
    count: Number
    root: Digest

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same books."""
        return f"tokens:{self.books}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "timestamp"


class TimestampKeyUsed(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="timestamp-key-used"
):
    """Which key signs timestamps, under which certificate, and what guards it (CSBR 6.2.7.2, 6.3.2)."""

    key_id: Digest
    certificate: Digest
    """SHA-256 of its certificate."""
    issued: Annotated[datetime, Meta(tz=True)]
    """The certificate's notBefore."""
    until: Annotated[datetime, Meta(tz=True)]
    """Its notAfter."""
    used_until: Annotated[datetime, Meta(tz=True)]
    """From when on the stamper does not sign with it."""
    protection: KeyProtection | None = None
    """What its key store says; None where that does not tell."""
    issuers: Annotated[tuple[Digest, ...], Meta(max_length=8)] | UnsetType = UNSET
    """SHA-256 of the certificates above its own that go into tokens, its issuer's first. Left out where it is unset, so
    that older statements stay octet for octet what was logged."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same key."""
        return f"timestamp-key-used:{self.key_id}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "timestamp"


class TimestampKeyRemoved(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="timestamp-key-removed"
):
    """That a timestamp key was removed from where it was kept, before two witnesses or more (CSBR 6.3.2)."""

    key_id: Digest
    certificate: Digest
    """SHA-256 of its certificate."""
    issued: Annotated[datetime, Meta(tz=True)]
    """The certificate's notBefore."""
    removed: Annotated[datetime, Meta(tz=True)]
    record: Digest
    """SHA-256 of the ceremony's record, a document among the evidence."""
    witnesses: Annotated[tuple[Name, ...], Meta(min_length=2, max_length=16)]
    by: Name

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same key."""
        return f"timestamp-key:{self.key_id}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "timestamp"


class BooksCompared(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="books-compared"
):
    """That a stamper's books were held against what was stated of them, and in what they differed (CSBR 5.4.1.2)."""

    books: BooksName
    at: Annotated[datetime, Meta(tz=True)]
    entries: Annotated[int, Meta(ge=0)]
    """Of the diary that were compared, the newest."""
    batches: Annotated[int, Meta(ge=0)]
    altered: Annotated[tuple[Name, ...], Meta(max_length=32)] = ()
    """What is missing, or otherwise than it was stated."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same books."""
        return f"books-compared:{self.books}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "clock"


class TimestampCa(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="timestamp-ca"):
    """A CA above the timestamp keys, and how its own key is kept: what people declare (CSBR 6.2.7.2)."""

    certificate: Digest
    """SHA-256 of its certificate."""
    subject: Name
    root: bool
    issued: Annotated[datetime, Meta(tz=True)]
    """Its certificate's notBefore."""
    until: Annotated[datetime, Meta(tz=True)]
    """Its notAfter."""
    operator: Name
    """Who runs it: the organisation itself, or another CA."""
    offline: bool
    """Whether its key is offline or air-gapped."""
    high_security_zone: bool
    """Whether its module is in a High Security Zone."""
    module: Name
    """The module's certificate, as it is declared: its scheme and its number, such as ``FIPS 140-2:4711``."""
    ceremony: Digest | None = None
    """SHA-256 of the record of the key's ceremony, taken in as evidence before."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same certificate."""
        return f"timestamp-ca:{self.certificate}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "declaration"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        return "A certificate cannot end before it begins." if self.until < self.issued else None


Watched = Literal["access", "premises", "tampering", "network", "revocations"]
"""What is watched by people or by machines that are not ours: who logged in at the servers, who came to them, attempts
on the logs, what firewalls and routers did, and timestamp certificates that were revoked."""


class AuthorityWatched(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="authority-watched"
):
    """That what CSBR 5.4.1.2 asks for is logged elsewhere for a span of time, and how many events there were."""

    what: Watched
    start: date
    end: date
    """The last day."""
    events: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    note: Note
    """Where they are logged, and who looks at them."""
    document: Digest | None = None
    """SHA-256 of the log itself or of an extract, taken in as evidence before."""

    @property
    def slot(self) -> str:
        """Return what a later statement must be of to take this one's place: the same, with the same first day."""
        return f"authority-watched:{self.what}:{self.start}"

    @property
    def topic(self) -> Topic:
        """Return what the log says of it."""
        return "declaration"

    def trouble(self) -> str | None:
        """Say what cannot be, in one sentence; None where nothing is wrong."""
        if self.end < self.start:
            return f"Nothing can be watched from {self.start} to {self.end}."
        return None
