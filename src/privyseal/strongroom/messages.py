"""Every question the guarded processes understand and every answer they give, as MessagePack in frames.

A refusal of a whole question, or of one item in a batch, is :class:`Refused`; the client rebuilds the error it
was made of. Heads travel as the signed note they are published as, Merkle hashes as 32 octets each, times in
UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from privyseal.errors import PrivySealError
from privyseal.strongroom.messages_of_homes import CloudsAsked, CloudsCounted, TokenKeysAsked, TokenKeysRead
from privyseal.strongroom.messages_of_stamps import (
    BooksAsked,
    BooksRead,
    LeavesAsked,
    LeavesRead,
    LegacyReply,
    PlaceAsked,
    PlaceRead,
    Replied,
    Reply,
    Stamp,
    Stamped,
    StamperHealth,
    StamperState,
)
from privyseal.strongroom.messages_of_stamps import Message as _Message
from privyseal.telemetry import LONGEST_ID
from privyseal.terms.certificates import Reason, Standing
from privyseal.terms.grants import Use
from privyseal.terms.keys import Approver, Charter, KeyPair, TokenState
from privyseal.terms.requests import Approval
from privyseal.tlog.entry import CompletionSubmission, IntentSubmission, StatementSubmission

Submission = IntentSubmission | CompletionSubmission | StatementSubmission
"""What can be put into the log: that something will be signed, or what became of it."""

MOST_IDS = 1024
"""Request ids that travel with one question: one for each item of the largest batch."""
RequestId = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID, pattern="^[A-Za-z0-9._-]+$")]
"""A request id as it travels to the guarded processes: fit for a line of a log, whatever the sender says."""


class Refused(_Message, frozen=True, tag="refused"):
    """Why something was not done: an error's code, its sentence, and what the reader can do."""

    code: str
    detail: str
    hint: str | None = None


class Traced(_Message, frozen=True, tag="traced"):
    """A question, and the ids of the calls it is asked for: these are written down and believed by nobody."""

    ids: Annotated[tuple[RequestId, ...], Meta(max_length=MOST_IDS)]
    question: msgspec.Raw


# -- the logger ------------------------------------------------------------------------------------------------------
class Append(_Message, frozen=True, tag="append"):
    """Log these, all or none; what was logged before is answered with its first place."""

    submissions: tuple[Submission, ...]
    since: int


class Prove(_Message, frozen=True, tag="prove"):
    """Prove that these entries are in the log, under its head as it is now."""

    indexes: tuple[int, ...]
    since: int


class LogHealth(_Message, frozen=True, tag="log-health"):
    """How is the log."""


class Logged(_Message, frozen=True, tag="logged"):
    """Where an entry stands, with the proof that it stands there at the answer's size."""

    index: int
    key_seq: int | None
    """Of an intent: its place in the gap-free sequence of its key tag, from 0. None for a completion."""
    path: tuple[bytes, ...]
    intent_path: tuple[bytes, ...] = ()
    """Of a completion: the path of the intent it completes."""


class Appended(_Message, frozen=True, tag="appended"):
    """A signed head, and the entries that were asked for under it, in the order asked."""

    checkpoint: bytes
    size: int
    since: int
    consistency: tuple[bytes, ...]
    """From ``since`` to ``size``; empty if ``since`` is 0 or ``size``."""
    items: tuple[Logged, ...]


class LogState(_Message, frozen=True, tag="log-state"):
    """The log's size, name and C2SP verifier key."""

    size: int
    origin: str
    vkey: str
    standby: bool = False
    """Whether another logger is the active one; the size is then 0, for only that one knows it."""


# -- the signer ------------------------------------------------------------------------------------------------------
class SignItem(_Message, frozen=True, tag="sign-item"):
    """A request and all that shows that it may be signed."""

    request: bytes
    """Canonical bytes."""
    approvals: tuple[Approval, ...]
    chain: tuple[bytes, ...]
    """Certificates, DER, the signer's own first."""
    salt: bytes
    """Opens the intent's commitment."""
    index: int
    key_seq: int
    path: tuple[bytes, ...]
    """Of the intent, at the size of the batch's checkpoint."""
    granted: Use | None = None
    """The Grant under which it is signed, instead of approvals of its own."""
    enclosed: tuple[bytes, ...] = ()
    """What travels beside each description, by the digest that stands in it; none where nothing does."""


class SignBatch(_Message, frozen=True, tag="sign"):
    """Sign each of these; the checkpoint extends the signer's mark, which is ``since``."""

    checkpoint: bytes
    since: int
    consistency: tuple[bytes, ...]
    items: tuple[SignItem, ...]


class SignedItem(_Message, frozen=True, tag="signed-item"):
    """The raw signature values of one request, in the order of its octets."""

    values: tuple[bytes, ...]


class SignedBatch(_Message, frozen=True, tag="signed"):
    """What became of each item, in the order asked; ``mark`` is the signer's mark now."""

    mark: int
    results: tuple[SignedItem | Refused, ...]


class Stale(_Message, frozen=True, tag="stale"):
    """Nothing was done, because ``since`` was not the signer's mark, which is this."""

    mark: int


class AdministrativeAct(_Message, frozen=True, kw_only=True, tag="act"):
    """Carry out one act of ``acts.py``, agreed to and logged as a request is."""

    payload: bytes
    """Canonical bytes of the act."""
    approvals: tuple[Approval, ...]
    tag_key: bytes = b""
    """The Subscriber's tag key, 32 octets; with Generate only, used once and kept nowhere."""
    salt: bytes
    index: int
    key_seq: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    since: int
    consistency: tuple[bytes, ...]


class Acted(_Message, frozen=True, tag="acted"):
    """The act is done: the Key Pair as it is now, the charter's version, and the signer's mark."""

    mark: int
    key_pair: KeyPair
    version: int
    value: bytes = b""
    """The signature's value, where the act makes one."""


class CharterAsked(_Message, frozen=True, tag="charter-asked"):
    """Under which charter is this key used."""

    key_id: str


class CharterRead(_Message, frozen=True, tag="charter-read"):
    """A key's charter, as the signer keeps it."""

    charter: Charter
    key_pair: KeyPair


class EvidenceAsked(_Message, frozen=True, tag="evidence-asked"):
    """Say, signed, what is known of how a key is protected; ``nonce`` binds the answer to whatever it is asked for."""

    key_id: str
    nonce: Annotated[bytes, Meta(min_length=8, max_length=64)]


class EvidenceRead(_Message, frozen=True, tag="evidence-read"):
    """Evidence (DER, ``pki/attestation/evidence.py``), and the certificate of the key that signed it, DER."""

    evidence: bytes
    certificate: bytes


class StandingAsked(_Message, frozen=True, tag="standing-asked"):
    """What do the anchors that the signer has pinned make of these chains, DER, the signer's own certificate first."""

    chains: Annotated[tuple[Annotated[tuple[bytes, ...], Meta(max_length=16)], ...], Meta(max_length=256)]


class StandingRead(_Message, frozen=True, tag="standing-read"):
    """The standing of each chain, in the order asked."""

    standings: tuple[Standing, ...]


class SignerHealth(_Message, frozen=True, tag="signer-health"):
    """How is the signer."""


class SignerState(_Message, frozen=True, tag="signer-state"):
    """The size of the newest head the signer has seen, the number of keys it can use, and whether it is a rehearsal."""

    mark: int
    keys: int
    rehearsal: bool
    tokens: tuple[TokenState, ...] = ()
    """How each token of its key stores was when it was last heard of; nobody waits for one to answer."""
    operators: tuple[Approver, ...] = ()
    """Who agrees to acts on keys, by name and public key."""
    operator_quorum: int = 0
    """How many of them must."""


# -- the issuer, where a rehearsal has one -------------------------------------------------------------------------
class Issue(_Message, frozen=True, tag="issue"):
    """Issue a code signing certificate for this CSR (PKCS #10, DER), which may be anything."""

    csr: bytes


class IssuedChain(_Message, frozen=True, tag="issued"):
    """The certificate and its issuer's, DER."""

    chain: tuple[bytes, ...]


class Revoke(_Message, frozen=True, tag="revoke-certificate"):
    """Revoke a certificate (DER) that was issued here."""

    certificate: bytes
    reason: Reason
    at: Annotated[datetime, Meta(tz=True)]


class RevokedSince(_Message, frozen=True, tag="revoked"):
    """From when on it is revoked; of one that was revoked before, as it was said then. UTC."""

    at: datetime


class Lists(_Message, frozen=True, tag="lists"):
    """Make all CRLs anew."""


class ListsMade(_Message, frozen=True, tag="lists-made"):
    """One CRL of each CA, PEM: root, code signing, timestamping."""

    pem: bytes


class Status(_Message, frozen=True, tag="status"):
    """Answer these OCSP requests (DER), which may be anything."""

    requests: tuple[bytes, ...]


class StatusTold(_Message, frozen=True, tag="status-told"):
    """One OCSP response (DER) for each."""

    responses: tuple[bytes, ...]


class IssuerHealth(_Message, frozen=True, tag="issuer-health"):
    """How is the issuer."""


class IssuerState(_Message, frozen=True, tag="issuer-state"):
    """The certificates of root, code signing CA and timestamp CA, DER, and how many certificates are revoked."""

    chain: tuple[bytes, ...]
    revoked: int


Question = (
    Append | Prove | LogHealth
    | SignBatch | AdministrativeAct | CharterAsked | EvidenceAsked | StandingAsked | SignerHealth
    | TokenKeysAsked | CloudsAsked
    | Stamp | Reply | LegacyReply | BooksAsked | LeavesAsked | PlaceAsked | StamperHealth
    | Issue | Revoke | Lists | Status | IssuerHealth
)  # fmt: skip
"""What a guarded process is asked."""
Answer = (
    Refused
    | Appended | LogState
    | SignedBatch | Stale | Acted | CharterRead | EvidenceRead | StandingRead | SignerState
    | TokenKeysRead | CloudsCounted
    | Stamped | Replied | BooksRead | LeavesRead | PlaceRead | StamperState
    | IssuedChain | RevokedSince | ListsMade | StatusTold | IssuerState
)  # fmt: skip
"""What a guarded process answers."""

_encoder = msgspec.msgpack.Encoder()
_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_envelopes: msgspec.msgpack.Decoder[Question | Traced] = msgspec.msgpack.Decoder(Question | Traced)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def encode(message: Question | Answer) -> bytes:
    """Return a message's octets, without the frame."""
    return _encoder.encode(message)


def decode_question(octets: bytes) -> Question:
    """Read a question strictly; msgspec's errors are the caller's to put into words."""
    return _questions.decode(octets)


def encode_traced(question: Question, ids: tuple[str, ...]) -> bytes:
    """Return a question's octets with the ids of the calls it serves; without any, those of the question itself."""
    octets = _encoder.encode(question)
    return _encoder.encode(Traced(ids[:MOST_IDS], msgspec.Raw(octets))) if ids else octets


def decode_traced(octets: bytes) -> tuple[Question, tuple[str, ...]]:
    """Read a question strictly, as :func:`decode_question`, and the ids it came with."""
    message = _envelopes.decode(octets)
    if isinstance(message, Traced):
        return _questions.decode(message.question), message.ids
    return message, ()


def decode_answer(octets: bytes) -> Answer:
    """Read an answer strictly, as :func:`decode_question`."""
    return _answers.decode(octets)


def refused(error: PrivySealError) -> Refused:
    """Return what an error says, for the wire."""
    return Refused(error.code, error.detail, error.hint)
