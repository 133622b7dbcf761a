"""A log with one request's story in it, and the receipt of that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from msgspec import Struct
from tests.tlog.growing import LOG, Grown, checkpoint_of, grown

from privyseal.terms.canonical import canonical_json
from privyseal.terms.requests import request_digest
from privyseal.tlog.entry import Completed, CompletionSubmission, IntentSubmission, commit, encode
from privyseal.tlog.policy import Log, Policy
from privyseal.tlog.proof import CompletionOpening, IntentOpening, build_receipt
from privyseal.tlog.reader import Reader

POLICY = Policy((Log(LOG),))
TAG = "cd" * 32
REQUEST = b'{"it":"stands for a request"}'


class Told(Struct, frozen=True):
    """What is known of a story: its openings, where the completion stands, and the log."""

    log: Grown
    intent: IntentOpening
    completion: CompletionOpening
    index: int

    def receipt(self, checkpoint: Callable[[bytes], bytes] = lambda note: note) -> str:
        """Return the receipt, its checkpoint passed through ``checkpoint``."""
        size, reader = self.log.head.size, Reader(self.log.read)
        return build_receipt(
            intent=self.intent,
            completion=self.completion,
            index=self.index,
            path=reader.inclusion(self.index, size),
            checkpoint=checkpoint(checkpoint_of(self.log.head)),
        )


def completed(intent: int, uses: int = 1, reason: str | None = None, request: bytes = REQUEST) -> Completed:
    """Return what a signature of ``REQUEST`` came to."""
    digests = tuple(hashlib.sha256(b"%d" % n).hexdigest() for n in range(uses))
    made = () if reason is not None else digests
    return Completed(
        intent=intent,
        request=request_digest(request).hex(),
        signatures=made,
        blobs=made,
        tokens=made,
        reason=reason,
    )


def tell(before: int = 300, between: int = 40, after: int = 500, *, aborted: bool = False, uses: int = 1) -> Told:
    """Return a story in a log that had entries before it, and more while it went on and after it."""
    log = grown([before] if before else [])
    salt, other_salt = bytes(range(32)), bytes(range(32, 64))
    submission = IntentSubmission(verb="sign", key_tag=TAG, uses=uses, commitment=commit(salt, REQUEST))
    log.append([encode(submission.entry(0))])
    log.append([b"another %d" % n for n in range(between)])
    done = completed(before, uses, "the key store is gone" if aborted else None)
    index = log.state.size
    log.append([
        encode(
            CompletionSubmission(
                key_tag=TAG,
                intent=before,
                outcome=done.outcome,
                commitment=commit(other_salt, canonical_json(done)),
            ).entry()
        )
    ])  # fmt: skip
    log.append([b"later %d" % n for n in range(after)])
    intent = IntentOpening(
        index=before,
        verb="sign",
        key_tag=TAG,
        key_seq=0,
        uses=uses,
        salt=salt,
        payload=REQUEST,
        path=Reader(log.read).inclusion(before, log.state.size),
    )
    return Told(log, intent, CompletionOpening(salt=other_salt, payload=canonical_json(done)), index)
