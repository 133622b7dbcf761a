"""What stands in the log: an intent before a key is used, a completion after it, statements beside them. Never more.

Entries are canonical JSON (RFC 8785) of at most 65,535 octets. What they are about stays outside, behind a salted
commitment: the log alone tells nobody what was signed, whoever holds salt and payload can prove it, and when those are
erased the tree stays whole. Intents of one key carry one pseudonym, its *key tag*, and a gap-free sequence number, so
that the key's owner, who can compute the tag, sees a signature that was hidden from it as a gap.

A statement is of no key and stands in no sequence: it fixes when somebody said something (a document taken in as
evidence, a declared fact) and that it was not changed afterwards. It has a type of its own, so that no statement is
ever the octets of an intent, and the signer, which hashes the intent itself, can take none for one.

A *submission* is an entry before the logger has given it its place: the sequence number and the index are the logger's
to assign.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from privyseal.errors import BadInput, TooLarge
from privyseal.terms.canonical import canonical_json, decode_canonical, tagged_digest

MAX_ENTRY = 0xFFFF
"""Octets of an entry; its length stands in a uint16 (C2SP tlog-tiles, log entries)."""
SALT_SIZE = 32
"""Octets of a salt, which keeps what is committed to from being guessed."""
SUBMISSION_TAG = "privyseal/submission/v1"
"""Domain tag of a submission's identity, by which the logger knows what it has logged before."""

_COMMITMENT_TAG = b"privyseal/v1\0"

Octets32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""SHA-256 or a salt; base64 in JSON."""
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""SHA-256 or HMAC-SHA256, 64 lower-case hex digits."""
Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""What JSON carries exactly everywhere (RFC 8785 3.2.2.3)."""
Verb = Annotated[str, Meta(pattern=r"\A[a-z][a-z-]{0,31}\Z")]
"""What a key is to be used for, such as ``sign`` or ``destroy``; which verbs there are is the signer's to say."""
Topic = Annotated[str, Meta(pattern=r"\A[a-z][a-z-]{0,31}\Z")]
"""What a statement is about, such as ``evidence`` or ``override``; which topics there are is the service's to say."""
Outcome = Literal["signed", "aborted"]
"""What became of an intent."""


class Intent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="intent"):
    """A key is about to be used."""

    v: Literal[1] = 1
    verb: Verb
    key_tag: Digest
    key_seq: Number
    """Its place among the intents of the same key tag, from 0, without gaps."""
    uses: Number
    """How many signatures it is for; 0 for an administrative act that makes none."""
    commitment: Octets32
    """To the canonical octets of the request, or of the act."""


class Completion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="completion"):
    """What came of an intent."""

    v: Literal[1] = 1
    key_tag: Digest
    intent: Number
    """Index of the intent's entry."""
    outcome: Outcome
    commitment: Octets32
    """To the canonical octets of a :class:`Completed`."""


class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="statement"):
    """Something was said: that it was said by now, and exactly so, and nothing of what it was."""

    v: Literal[1] = 1
    about: Topic
    commitment: Octets32
    """To the canonical octets of what was said, which stay outside."""


Entry = Intent | Completion | Statement
"""Whatever can stand in the log."""


class IntentSubmission(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="intent"):
    """An intent that is to be logged."""

    verb: Verb
    key_tag: Digest
    uses: Number
    commitment: Octets32

    def submission_id(self) -> bytes:
        """Return 32 octets that are the same only for the same submission."""
        return tagged_digest(SUBMISSION_TAG, canonical_json(self))

    def entry(self, key_seq: int) -> Intent:
        """Return the entry, now that its place in the key's sequence is known."""
        return Intent(verb=self.verb, key_tag=self.key_tag, key_seq=key_seq, uses=self.uses, commitment=self.commitment)


class CompletionSubmission(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="completion"
):
    """A completion that is to be logged."""

    key_tag: Digest
    intent: Number
    outcome: Outcome
    commitment: Octets32

    def submission_id(self) -> bytes:
        """Return 32 octets that are the same only for the same submission."""
        return tagged_digest(SUBMISSION_TAG, canonical_json(self))

    def entry(self) -> Completion:
        """Return the entry."""
        return Completion(key_tag=self.key_tag, intent=self.intent, outcome=self.outcome, commitment=self.commitment)


class StatementSubmission(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="statement"
):
    """A statement that is to be logged."""

    about: Topic
    commitment: Octets32

    def submission_id(self) -> bytes:
        """Return 32 octets that are the same only for the same submission."""
        return tagged_digest(SUBMISSION_TAG, canonical_json(self))

    def entry(self) -> Statement:
        """Return the entry."""
        return Statement(about=self.about, commitment=self.commitment)


class Completed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To what a completion commits: which request it ends, and the digests of all that was made for it."""

    v: Literal[1] = 1
    intent: Number
    request: Digest
    """The request's digest, or the act's."""
    signatures: tuple[Digest, ...]
    """SHA-256 of each raw signature, in the order of the octets that were signed."""
    blobs: tuple[Digest, ...]
    """SHA-256 of each signature blob, as it stands in the signed file."""
    tokens: tuple[Digest, ...]
    """SHA-256 of each timestamp token, DER."""
    files: tuple[Digest, ...] | UnsetType = UNSET
    """SHA-256 of each finished file, where the service saw the file (mode ``server``) and finished it itself."""
    reason: str | None = None
    """Why it was aborted; None if it was signed."""
    grant: Digest | UnsetType = UNSET
    """Digest of the Grant under which it was signed: it was granted then, and not approved itself."""

    @property
    def outcome(self) -> Outcome:
        """Return what the completion's entry says: there is a reason where, and only where, it was aborted."""
        return "signed" if self.reason is None else "aborted"


def encode(entry: Entry) -> bytes:
    """Return an entry's octets as they stand in the log; TooLarge or BadInput if they could not be read back."""
    octets = canonical_json(entry)
    decode(octets)
    return octets


def decode(octets: bytes) -> Entry:
    """Read an entry strictly; BadInput, or TooLarge beyond 65,535 octets."""
    if len(octets) > MAX_ENTRY:
        raise TooLarge(f"An entry of {len(octets)} octets was given, and {MAX_ENTRY} is the most a log can hold.")
    try:
        value = _decoder.decode(octets)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"Not an entry of this log: {error}.") from None
    if canonical_json(value) != octets:
        raise BadInput("An entry of this log is not in canonical form (RFC 8785).")
    return value


def decode_completed(octets: bytes) -> Completed:
    """Read what a completion commits to; BadInput where it is not exactly that."""
    return decode_canonical(octets, Completed)


def commit(salt: bytes, payload: bytes) -> bytes:
    """Return the commitment to ``payload``: SHA-256 over a domain tag, a zero octet, the 32 octets of salt, payload."""
    if len(salt) != SALT_SIZE:
        raise BadInput(f"A commitment is salted with {SALT_SIZE} octets, and {len(salt)} were given.")
    return hashlib.sha256(_COMMITMENT_TAG + salt + payload).digest()


def key_tag(tag_key: bytes, spki: bytes) -> str:
    """Return a key's pseudonym: HMAC-SHA256 of its SubjectPublicKeyInfo (DER) under the Subscriber's secret, in hex.

    BadInput if the secret is not 32 octets.
    """
    if len(tag_key) != SALT_SIZE:
        raise BadInput(f"A tag key has {SALT_SIZE} octets, and {len(tag_key)} were given.")
    return hmac.new(tag_key, spki, hashlib.sha256).hexdigest()


_decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)
