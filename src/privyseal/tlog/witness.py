"""What a witness answers (c2sp.org/tlog-witness, add-checkpoint): what it knows and a request give an answer. No I/O.

A witness promises that it never cosigns two heads of one log that do not extend each other. It needs to remember one
head for each log, the latest; whoever calls :func:`judge` keeps it, and makes the new one durable before the
cosignature leaves. The asking side's text is made here as well, so that both are read side by side.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from msgspec import Struct

from privyseal.errors import BadInput, VerificationFailed
from privyseal.tlog import checkpoint, merkle
from privyseal.tlog.checkpoint import parse_number
from privyseal.tlog.log import Head
from privyseal.tlog.merkle import HASH_SIZE, LONGEST_PROOF
from privyseal.tlog.note import (
    MAX_NOTE,
    Note,
    Signature,
    Signer,
    Verifier,
    cosigned_octets,
    decode_base64,
    format_note,
    parse_note,
    verified,
)

MAX_REQUEST = MAX_NOTE + LONGEST_PROOF * 45 + 32
"""Octets of a request: the old size, 63 hashes of 44 characters, and the largest note."""
SIZE_TYPE = "text/x.tlog.size"
"""Content type of an answer that is the size of the latest head (tlog-witness: 409)."""
TEXT_TYPE = "text/plain; charset=utf-8"
"""Content type of all other answers."""
PATH = "/add-checkpoint"
"""What follows the submission prefix in the address."""

OK, MALFORMED, FORBIDDEN, UNKNOWN, CONFLICT, UNPROVEN, ROLLED_BACK = 200, 400, 403, 404, 409, 422, 503
"""Statuses of an answer: those of tlog-witness (add-checkpoint), and ROLLED_BACK of ours: the witness cannot vouch."""


class Request(Struct, frozen=True):
    """A request as its text says, nothing verified: the size it starts from, the proof, and the signed note."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes


class Answer(Struct, frozen=True):
    """What goes back over HTTP."""

    status: int
    body: bytes
    content_type: str = TEXT_TYPE


class Cosign(Struct, frozen=True):
    """The head may be cosigned, once it is the durable latest of its log; ``body`` is the checkpoint's text."""

    origin: str
    head: Head
    body: bytes


def format_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """Return a request's text, the inverse of :func:`parse_request`."""
    lines = "".join(base64.b64encode(each).decode() + "\n" for each in proof)
    return f"old {old}\n{lines}\n".encode() + note


def parse_request(octets: bytes) -> Request:
    """Read a request; BadInput where it is not exactly one."""
    head, separator, note = octets.partition(b"\n\n")
    if len(octets) > MAX_REQUEST or not separator or not head.isascii():
        raise BadInput("The request is not an old size, proof lines, an empty line and a checkpoint.")
    first, *lines = head.decode("ascii").split("\n")
    old = parse_number(first.removeprefix("old ")) if first.startswith("old ") else None
    if old is None:
        raise BadInput("The request does not begin with the line `old` and a size.")
    if len(lines) > LONGEST_PROOF:
        raise BadInput(f"The request has {len(lines)} proof lines; at most {LONGEST_PROOF} are read.")
    proof = []
    for line in lines:
        octets_of = decode_base64(line)
        if octets_of is None or len(octets_of) != HASH_SIZE:
            raise BadInput(f"A proof line of the request is not base64 of {HASH_SIZE} octets.")
        proof.append(octets_of)
    return Request(old, tuple(proof), note)


def judge(octets: bytes, logs: Mapping[str, Verifier], latest: Mapping[str, Head], own: Verifier) -> Answer | Cosign:
    """Return whether the head in a request may be cosigned, or the answer why not.

    ``logs`` are the keys of the origins that are witnessed, ``latest`` the head last cosigned of each. The caller holds
    both still until the new head is durable: check and persist are one step, or a slow request would put the record
    back. A head that carries our own later cosignature shows that ``latest`` itself was put back (503).
    """
    try:
        request = parse_request(octets)
        note = parse_note(request.note)
        head = checkpoint.parse(note.body)
    except BadInput as error:
        return refusal(MALFORMED, error.detail)
    if head.origin not in logs:
        return refusal(UNKNOWN, "The log is not one of those that are witnessed here.")
    try:
        verified(note, (logs[head.origin],))
    except VerificationFailed as error:
        return refusal(FORBIDDEN, error.detail)
    if request.old > head.size:
        return refusal(MALFORMED, f"The old size {request.old} is larger than the checkpoint's, {head.size}.")
    seen, new = latest[head.origin], Head(head.size, head.root)
    if _signed_by(own, note) and (new.size > seen.size or (new.size == seen.size and new.root != seen.root)):
        text = f"This witness cosigned a head of {new.size} entries, and its record has {seen.size}: it was put back."
        return refusal(ROLLED_BACK, text)
    if request.old != seen.size or (new.size == seen.size and new.root != seen.root):
        return Answer(CONFLICT, b"%d\n" % seen.size, SIZE_TYPE)
    if not merkle.verify_consistency(seen.size, new.size, request.proof, seen.root, new.root):
        return refusal(UNPROVEN, f"The proof does not lead from {seen.size} entries to {new.size}.")
    return Cosign(head.origin, new, note.body)


def cosign(body: bytes, time: int, signer: Signer) -> bytes:
    """Return the signature line (cosignature/v1) for a checkpoint's text at a POSIX time; VerificationFailed if wrong.

    A signature that a failing machine made wrongly would have the log's own note refused by whoever knows our key.
    """
    value = time.to_bytes(8, "big") + signer.sign(cosigned_octets(body, time))
    if not signer.verifier.verifies(body, value):
        raise VerificationFailed("The witness's key signed wrongly.")
    line = Signature(signer.verifier.name, signer.verifier.key_id, value)
    return format_note(Note(b"", (line,))).removeprefix(b"\n")


def read_cosignature(note: bytes, lines: bytes, witness: Verifier) -> Signature:
    """Return the witness's line among those that it answered with; BadInput or VerificationFailed if there is none.

    Lines of other keys are left out (tlog-witness: clients ignore them), so nothing comes along into our note.
    """
    body = parse_note(note).body
    parsed = parse_note(body + b"\n" + lines)
    if parsed.body != body:
        raise BadInput("The witness answered with more than signature lines.")
    verified(parsed, (witness,))
    return next(each for each in parsed.signatures if (each.name, each.key_id) == (witness.name, witness.key_id))


def with_cosignatures(note: bytes, cosignatures: Sequence[Signature]) -> bytes:
    """Return a note with further signature lines."""
    parsed = parse_note(note)
    return format_note(Note(parsed.body, (*parsed.signatures, *cosignatures)))


def refusal(status: int, text: str) -> Answer:
    """Return a refusal as one line of text."""
    return Answer(status, f"{text}\n".encode())


def _signed_by(key: Verifier, note: Note) -> bool:
    return any(
        (each.name, each.key_id) == (key.name, key.key_id) and key.verifies(note.body, each.value)
        for each in note.signatures
    )
