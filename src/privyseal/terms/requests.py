"""One request to sign and its life.

States, and the rules for the table below:

* A state changes only by compare-and-swap on the row (``records/requests.py``): ``UPDATE ... WHERE state = :was``.
* A request that waits for nobody may be written as SIGNING at once, by the walk that takes it under its own lease.
* SIGNING is on disk before the intent is logged, and the intent is in a signed checkpoint before the key is used.
* Where the intent stands is stored with the signature. SIGNING without one means that the intent may be logged and the
  key may have been used: the walk goes on from the log, where appending the same intent again changes nothing, and asks
  the signer, who alone knows which intents it has spent and never uses a key for one twice.
* A raw signature is stored before anything else is done with it, alone or with the blob that was made of it without
  asking anybody: ECDSA does not give the same one twice. SIGNING with a stored signature goes on to the timestamp.
  Where the signer has spent the intent and no signature is stored, nobody can tell whether one was made: it becomes
  FAILED, and the completion in the log then says ``aborted``.
* SIGNED in mode ``server`` waits for its file to be made. Where the uploaded one is lost, or no longer what was
  approved, whoever asked may send it again until the request's time runs out; then it becomes RELEASED without a file.
  Its signature exists, so it is logged and handed out, and who has the file can apply it. That nobody makes the file
  any more is written down before the completion says so, and never taken back: an intent has one completion.
* A gate of the Requirements refuses before the intent is logged: SIGNING becomes FAILED, and the log knows nothing of
  it. Where an earlier walk was cut short the intent may be logged; it is logged then, and completed as ``aborted``.
* A final state never changes. The Idempotency-Key of a request in it answers with that state for ever.

The diagram in the documentation is printed from this table (``python -m privyseal.terms.requests``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from privyseal.terms.canonical import canonical_json, tagged_digest
from privyseal.terms.scans import Seen
from privyseal.terms.signatures import Described, Options, TimestampToken

REQUEST_TAG = "privyseal/request/v1"
"""Domain tag of a request's digest: what an approver signs and what the intent in the log commits to."""

MOST_DESCRIBED = 128
"""Pieces of code in one request; a fat Mach-O has a handful of slices. A build that signs its hundred programs in one
request pays for one intent, which for short signatures is several times as fast; two thirds of a KiB each, at most
as many as the signer makes for one request (``MAX_USES``)."""

Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""A SHA-256 in lower-case hex."""


class State(StrEnum):
    """Where a request stands."""

    REQUESTED = "requested"
    APPROVED = "approved"
    SIGNING = "signing"
    SIGNED = "signed"
    RELEASED = "released"
    DENIED = "denied"
    EXPIRED = "expired"
    FAILED = "failed"


TRANSITIONS: dict[State, dict[State, str]] = {
    State.REQUESTED: {
        State.APPROVED: "the quorum agreed, beforehand by a grant or now, or the key asks for none",
        State.DENIED: "an approver or the requester said no",
        State.EXPIRED: "its time ran out",
    },
    State.APPROVED: {
        State.SIGNING: "a walk took it; its intent is about to be logged",
        State.DENIED: "the requester took it back",
        State.EXPIRED: "its time ran out",
    },
    State.SIGNING: {
        State.SIGNED: "signature, timestamp and blob are stored",
        State.FAILED: "refused by a gate or the signer, or nobody can tell whether the key was used",
    },
    State.SIGNED: {State.RELEASED: "its completion is in the log and the receipt is stored"},
    State.RELEASED: {},
    State.DENIED: {},
    State.EXPIRED: {},
    State.FAILED: {},
}
"""The life of a request: from each state to those that may follow, and what has happened then."""

FINAL = frozenset(state for state, onward in TRANSITIONS.items() if not onward)
"""States that nothing follows."""


def may_follow(was: State, becomes: State) -> bool:
    """Tell whether the table leads from one state straight to the other."""
    return becomes in TRANSITIONS[was]


class SigningRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked, whole: everything that changes the meaning of the signature is in it, and so under its digest."""

    subscriber: str
    key: str
    key_id: str
    """SHA-256 of the SubjectPublicKeyInfo, lower-case hex."""
    scheme: str
    certificate: str
    """SHA-256 of the signer's certificate, lower-case hex."""
    mode: Literal["local", "server"]
    """``local``: the file stays with the client. ``server``: the service sees it."""
    options: Options
    described: tuple[Described, ...]
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    """After this nobody approves or begins to sign. UTC, whole seconds."""
    input: Sha256 | msgspec.UnsetType = msgspec.UNSET
    """In mode ``server``, and only there: SHA-256 of the file that was uploaded, lower-case hex."""
    requester: Annotated[str, msgspec.Meta(min_length=1, max_length=40)] | msgspec.UnsetType = msgspec.UNSET
    """Id of the member who asks, and who is therefore not counted among those who agree; left out only where the key
    asks for nobody."""
    seen: Seen | msgspec.UnsetType = msgspec.UNSET
    """In mode ``server``, where scanners are configured: what they said of it. Filled in by the service alone."""

    def __post_init__(self) -> None:
        """Refuse a time that could be written in more than one way; msgspec reports it as a ValidationError."""
        if self.expires_at.utcoffset() != timedelta(0) or self.expires_at.microsecond:
            raise ValueError("expires_at must be UTC (Z) and whole seconds")
        if (self.mode == "server") != (self.input is not msgspec.UNSET):
            raise ValueError("input, the SHA-256 of the uploaded file, goes with mode server and with no other")
        if self.seen is not msgspec.UNSET and self.seen.sha256 != self.input:
            raise ValueError("seen is of the uploaded file, whose SHA-256 is input, and of no other")

    def canonical(self) -> bytes:
        """Return the bytes that are stored, shown, hashed, approved, logged and sent."""
        return canonical_json(self)

    def digest(self) -> bytes:
        """Return the 32-byte digest of the canonical bytes under the domain tag."""
        return request_digest(self.canonical())

    def timeless_digest(self) -> str:
        """Return, in lower-case hex, the digest without the time and without what the service saw.

        It is the command line's Idempotency-Key: who asks again, later, asks for the same.
        """
        asked = msgspec.structs.replace(self, expires_at=datetime.fromtimestamp(0, UTC), seen=msgspec.UNSET)
        return request_digest(asked.canonical()).hex()

    @property
    def scanned(self) -> bool:
        """Tell whether scanners saw the file, and each found nothing, by signatures that are new enough."""
        scans = () if self.seen is msgspec.UNSET else self.seen.scans
        return bool(scans) and all(each.verdict == "clean" for each in scans)


def request_digest(canonical: bytes) -> bytes:
    """Return the digest of a request's canonical bytes, 32 octets."""
    return tagged_digest(REQUEST_TAG, canonical)


class Assertion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a passkey signed beside the challenge (WebAuthn 2, 6.1 and 5.8.1)."""

    authenticator_data: bytes
    client_data: bytes
    """The octets of clientDataJSON as the browser made them."""


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An approver's signature over ``approved_octets`` of one request's digest, in one stage of the charter.

    An Ed25519 key signs these octets; a passkey signs its own data and their SHA-256, which is its challenge.
    """

    approver: str
    public_key: bytes
    request_digest: bytes
    signature: bytes
    stage: int = 0
    """Which of the charter's stages it is for, from 0."""
    assertion: Assertion | None = None


def approved_octets(digest: bytes, stage: int = 0, earlier: bytes = b"") -> bytes:
    """Return what an approver signs: a domain tag, a zero octet, the request's digest.

    In a later stage the tag is another one, and the stage's number (one octet) and ``earlier``, the digest of the
    approvals of all stages before it, follow. So whoever agrees later says upon what, and the order needs no clock.
    """
    if stage == 0:
        return b"privyseal/approval/v1\0" + digest
    return b"privyseal/approval-stage/v1\0" + digest + bytes([stage]) + earlier


def approvals_digest(approvals: Iterable[Approval]) -> bytes:
    """Return the digest of approvals, 32 octets, in whatever order they come: what a later stage signs over."""
    rows = sorted([each.stage, each.approver, *map(_hex, _parts(each))] for each in approvals)
    return tagged_digest("privyseal/approvals/v1", canonical_json(rows))


def _parts(approval: Approval) -> tuple[bytes, ...]:
    said = approval.assertion or Assertion(authenticator_data=b"", client_data=b"")
    return approval.public_key, approval.signature, said.authenticator_data, said.client_data


def _hex(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


class Intent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where in the log the intent to sign stands: its index, and its place in the key's own gap-free sequence."""

    index: int
    key_seq: int


class Dossier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request and all that came of it so far: one row of the records.

    What is not there yet is empty or None; what stands there once never changes, except ``state``.
    """

    id: str
    subscriber: str
    idempotency_key: str
    requester: str
    state: State
    canonical: bytes
    """The request's canonical bytes, never serialised again."""
    digest: str
    """Of the canonical bytes under the domain tag, lower-case hex."""
    created: datetime
    salt: bytes
    """32 secret octets under which the intent commits to the canonical bytes; the receipt opens them."""
    completion_salt: bytes
    intent: Intent | None = None
    """Stored before the key is used: SIGNING without it means that the key was not touched."""
    signatures: tuple[bytes, ...] = ()
    tokens: tuple[TimestampToken, ...] = ()
    blobs: tuple[bytes, ...] = ()
    receipt: str | None = None
    failure_code: str | None = None
    failure_detail: str | None = None
    fence: int = 0
    """Counts the walks that took it; a walk whose count has passed writes nothing more."""
    policy: str | None = None
    """Digest of the policy set that was in force when it came in, lower-case hex; None where there was none."""
    allowed_by: tuple[str, ...] = ()
    """Names of the policy's rules that allowed it."""
    grant: str | None = None
    """Digest of the Grant under which it comes, lower-case hex: it is granted then, and nobody approved it itself."""


def diagram() -> str:
    """Return the table as Mermaid, for the documentation."""
    arrows = [f"    {was} --> {to}: {why}" for was, onward in TRANSITIONS.items() for to, why in onward.items()]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.REQUESTED}: submit", *arrows])


if __name__ == "__main__":
    print(diagram())
