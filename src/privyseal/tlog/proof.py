"""Receipts: proofs that something was logged, for offline verification (c2sp.org/tlog-proof@v1).

Our receipt proves the completion. Its ``extra`` is canonical JSON that opens both entries, completion and intent, and
holds the intent's audit path to the same checkpoint. C2SP says to trust nothing in ``extra``, and nothing is: all of it
goes into the two leaves, which the tree under the signed root must have.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from privyseal.errors import BadInput, TooLarge, VerificationFailed
from privyseal.terms.canonical import canonical_json, decode_canonical
from privyseal.terms.requests import request_digest
from privyseal.tlog import merkle
from privyseal.tlog.checkpoint import Checkpoint, parse_number
from privyseal.tlog.entry import (
    Completed,
    Completion,
    Digest,
    Intent,
    Number,
    Octets32,
    Verb,
    commit,
    decode_completed,
    encode,
)
from privyseal.tlog.merkle import HASH_SIZE, LONGEST_PROOF
from privyseal.tlog.note import MAX_NOTE, decode_base64, parse_note
from privyseal.tlog.policy import Policy

MAX_EXTRA = 1024 * 1024
"""Octets of ``extra``: the openings hold a whole request to sign."""
MAX_PROOF = MAX_EXTRA // 3 * 4 + MAX_NOTE + 8 * 1024
"""Octets of a proof's text."""
FIRST_LINE = "c2sp.org/tlog-proof@v1"
"""By which a proof of this version is known (C2SP tlog-proof)."""

_Path = Annotated[tuple[Octets32, ...], Meta(max_length=LONGEST_PROOF)]


class TlogProof(Struct, frozen=True):
    """A proof as its text says, nothing verified: an entry's index, its audit path, the checkpoint, what is extra."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    """The signed note, verbatim."""
    extra: bytes | None = None


class IntentOpening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The intent, its commitment opened, and its audit path at the size of the receipt's checkpoint."""

    index: Number
    verb: Verb
    key_tag: Digest
    key_seq: Number
    uses: Number
    salt: Octets32
    payload: bytes
    """Canonical octets of the request, or of the act."""
    path: _Path


class CompletionOpening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The completion's commitment, opened; ``payload`` is the canonical octets of a ``Completed``."""

    salt: Octets32
    payload: bytes


class Openings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What our receipts carry as ``extra``."""

    v: Literal[1] = 1
    intent: IntentOpening
    completion: CompletionOpening


class OpenedReceipt(Struct, frozen=True, kw_only=True):
    """What a receipt proves, all of it verified."""

    verb: str
    payload: bytes
    """Canonical octets of the request (or act) that was logged before the key was used."""
    completed: Completed
    """What came of it: the digests of signatures, blobs and tokens, or why it was aborted."""
    key_tag: str
    key_seq: int
    uses: int
    intent_index: int
    index: int
    """Of the completion."""
    checkpoint: Checkpoint
    witnesses: tuple[str, ...]
    """The policy's names of those who cosigned the checkpoint."""


def parse_proof(text: str | bytes) -> TlogProof:
    """Read a proof without verifying anything; BadInput, or TooLarge beyond 1 MiB of extra or 63 hashes."""
    octets = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(octets) > MAX_PROOF:
        raise TooLarge(f"A proof of {len(octets)} octets was given, and {MAX_PROOF} is the most we read.")
    head, separator, checkpoint = octets.partition(b"\n\n")
    if not separator or not head.isascii():
        raise BadInput("A proof has no empty line before its checkpoint.")
    first, *lines = head.decode("ascii").split("\n")
    if first != FIRST_LINE:
        raise BadInput(f"A proof does not begin with the line {FIRST_LINE}.")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "))
        if extra is None:
            raise BadInput("A proof's extra line is not base64.")
        if len(extra) > MAX_EXTRA:
            raise TooLarge(f"A proof's extra data has {len(extra)} octets, and {MAX_EXTRA} is the most we read.")
    index = parse_number(lines[0].removeprefix("index ")) if lines and lines[0].startswith("index ") else None
    if index is None:
        raise BadInput("A proof has no index line with a decimal number where it must stand.")
    if len(lines) - 1 > LONGEST_PROOF:
        raise TooLarge(f"A proof has {len(lines) - 1} hashes, and no tree's is longer than {LONGEST_PROOF}.")
    path = tuple(decode_base64(line) or b"" for line in lines[1:])
    if any(len(each) != HASH_SIZE for each in path):
        raise BadInput(f"A line of a proof is not the base64 of a hash of {HASH_SIZE} octets.")
    parse_note(checkpoint)
    return TlogProof(index, path, checkpoint, extra)


def format_proof(proof: TlogProof) -> str:
    """Return a proof as text, the inverse of :func:`parse_proof`; TooLarge if it could not be read back."""
    lines = [FIRST_LINE.encode(), b"\n"]
    if proof.extra is not None:
        if len(proof.extra) > MAX_EXTRA:
            raise TooLarge(f"The openings of a receipt have {len(proof.extra)} octets, and {MAX_EXTRA} is the limit.")
        lines += (b"extra ", b2a_base64(proof.extra))
    lines.append(b"index %d\n" % proof.index)
    lines += map(b2a_base64, proof.path)  # each ends its line
    lines += (b"\n", proof.checkpoint)
    return b"".join(lines).decode()


def build_receipt(
    *,
    intent: IntentOpening,
    completion: CompletionOpening,
    index: int,
    path: Sequence[bytes],
    checkpoint: bytes,
) -> str:
    """Return the receipt of the completion at ``index``; both audit paths lead to the root of the same checkpoint."""
    extra = canonical_json(Openings(intent=intent, completion=completion))
    return format_proof(TlogProof(index, tuple(path), checkpoint, extra))


def read_receipt(text: str | bytes, policy: Policy) -> OpenedReceipt:
    """Verify a receipt under a policy and return what it proves; VerificationFailed with one sentence otherwise."""
    try:
        return _read_receipt(text, policy)
    except BadInput as error:
        raise VerificationFailed(f"The receipt cannot be read: {error.detail}", hint=error.hint) from error


def _read_receipt(text: str | bytes, policy: Policy) -> OpenedReceipt:
    proof = parse_proof(text)
    if proof.extra is None:
        raise VerificationFailed("The receipt opens no entries: it has no extra line.")
    accepted = policy.check(proof.checkpoint)
    openings = decode_canonical(proof.extra, Openings)
    opened, head = openings.intent, accepted.checkpoint
    completed = decode_completed(openings.completion.payload)
    intent = Intent(
        verb=opened.verb,
        key_tag=opened.key_tag,
        key_seq=opened.key_seq,
        uses=opened.uses,
        commitment=commit(opened.salt, opened.payload),
    )
    completion = Completion(
        key_tag=opened.key_tag,
        intent=opened.index,
        outcome=completed.outcome,
        commitment=commit(openings.completion.salt, openings.completion.payload),
    )
    for name, entry, index, path in (
        ("intent", encode(intent), opened.index, opened.path),
        ("completion", encode(completion), proof.index, proof.path),
    ):
        if not merkle.verify_inclusion(merkle.leaf_hash(entry), index, head.size, path, head.root):
            raise VerificationFailed(f"The receipt's {name} is not entry {index} of the log at size {head.size}.")
    _agree(opened, completed, proof.index)
    return OpenedReceipt(
        verb=opened.verb,
        payload=opened.payload,
        completed=completed,
        key_tag=opened.key_tag,
        key_seq=opened.key_seq,
        uses=opened.uses,
        intent_index=opened.index,
        index=proof.index,
        checkpoint=head,
        witnesses=accepted.witnesses,
    )


def _agree(intent: IntentOpening, completed: Completed, index: int) -> None:
    """Refuse openings that are in the log but do not belong together."""
    if completed.intent != intent.index:
        raise VerificationFailed(
            f"The receipt's completion is that of intent {completed.intent}, not of intent {intent.index}."
        )
    if index <= intent.index:
        raise VerificationFailed(f"The receipt's completion, entry {index}, stands before intent {intent.index}.")
    if intent.verb != "sign":
        return
    if completed.request != request_digest(intent.payload).hex():
        raise VerificationFailed("The receipt's completion is of another request than its intent.")
    if completed.outcome == "signed" and len(completed.signatures) != intent.uses:
        raise VerificationFailed(
            f"The receipt's completion has {len(completed.signatures)} signatures, its intent was for {intent.uses}."
        )
