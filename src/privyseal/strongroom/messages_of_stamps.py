"""What is said to the stamper and by it; ``messages.py`` has the rest, and the frames around all of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from privyseal.terms.keys import KeyProtection
from privyseal.terms.signatures import DigestAlgorithm
from privyseal.timestamp.clock import ClockState


class Message(Struct, frozen=True, forbid_unknown_fields=True, tag_field="is"):
    """What all messages share: their name stands in the field ``is``."""


class Stamp(Message, frozen=True, tag="stamp"):
    """Timestamp these digests."""

    digest_algorithm: DigestAlgorithm
    digests: tuple[bytes, ...]


class Stamped(Message, frozen=True, tag="stamped"):
    """One RFC 3161 token (DER ContentInfo) for each."""

    tokens: tuple[bytes, ...]


class Reply(Message, frozen=True, tag="reply"):
    """Answer these TimeStampReq (DER), which may be anything."""

    requests: tuple[bytes, ...]
    policies: tuple[str, ...] = ()
    """For each the OID of the policy to whose address it came, or nothing; empty where no request has one."""


class LegacyReply(Message, frozen=True, tag="legacy-reply"):
    """Answer this timestamp request of Authenticode, which may be anything; answered with Replied, or refused."""

    request: bytes


class Replied(Message, frozen=True, tag="replied"):
    """One TimeStampResp (DER) for each."""

    replies: tuple[bytes, ...]


class LostLeaves(Struct, frozen=True, forbid_unknown_fields=True):
    """What books lack that were put back to an older state: batches and entries by number, and since when until when.

    The numbers are none where ``last`` is below ``first``. Tokens of these times (genTime, ``YYYYMMDDHHMMSSZ``) that
    the books do not have can have been given out, and nothing leads from them to the log.
    """

    first: int
    last: int
    entry: int
    last_entry: int
    since: str
    until: str


class StamperHealth(Message, frozen=True, tag="stamper-health"):
    """How is the stamper."""


class StamperState(Message, frozen=True, tag="stamper-state"):
    """Whether the stamper would stamp now (else why not), its certificate's subject (RFC 4514) and end, UTC."""

    ready: bool
    why: str
    authority: str
    not_after: datetime | None
    chain: tuple[bytes, ...] = ()
    """Its certificate and those above it as they go into tokens, DER; empty from a stamper that does not tell."""
    clock: ClockState | None = None
    """How its clock stands; None from a stamper that does not watch it."""
    used_until: datetime | None = None
    """Until when its key may sign (CSBR 6.3.2), UTC."""
    books: str = ""
    """The name of its books; empty where it keeps none."""
    protection: KeyProtection | None = None
    """What guards its key, as the key store says; None where that does not tell."""
    lost: tuple[LostLeaves, ...] = ()
    """What its books lack because they were put back to an older state, the last times that they were."""


class DiaryEntry(Message, frozen=True, tag="diary-entry"):
    """Something that happened at the stamper, written down by itself, numbered from 1 without gaps."""

    number: int
    at: datetime
    what: str
    detail: str


class StampBatch(Message, frozen=True, tag="stamp-batch"):
    """All tokens of an hour, or of a part of one: how many, and the root of the Merkle tree over them."""

    number: int
    hour: str
    """``YYYYMMDDHH``, UTC."""
    first: str
    """The first genTime, ``YYYYMMDDHHMMSSZ``."""
    last: str
    count: int
    root: bytes


class BooksAsked(Message, frozen=True, tag="books-asked"):
    """What was written down behind this entry of the diary and behind this batch.

    Those two were stated last, in these words and with this root: so the stamper sees whether its books are older.
    """

    entry: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    batch: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    noted: DiaryEntry | None = None
    root: bytes = b""


class BooksRead(Message, frozen=True, tag="books-read"):
    """At most 256 of each, the oldest first; of batches only those that are closed."""

    entries: tuple[DiaryEntry, ...]
    batches: tuple[StampBatch, ...]


class LeavesAsked(Message, frozen=True, tag="leaves-asked"):
    """Which tokens do not stand in the log each by itself; those before ``logged``, a batch and a place, do now."""

    logged: tuple[int, int] | None = None


class LeavesRead(Message, frozen=True, tag="leaves-read"):
    """The next leaves: their batch, the place of the first, and the leaves themselves, none where all are logged."""

    batch: int
    place: int
    leaves: tuple[bytes, ...]


class PlaceAsked(Message, frozen=True, tag="place-asked"):
    """Where in which batch is this token."""

    time: Annotated[str, Meta(pattern=r"\A[0-9]{14}Z\Z")]
    """Its genTime."""
    leaf: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """SHA-256 over a zero octet and its TSTInfo."""


class PlaceRead(Message, frozen=True, tag="place-read"):
    """The batch, the place in it from 0, and the audit path to its root (RFC 6962 2.1.1)."""

    batch: int
    index: int
    path: tuple[bytes, ...]
