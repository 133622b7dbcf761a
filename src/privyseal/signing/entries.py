"""What the walk writes into the log of one request, and the receipt that opens it. Pure: nothing is asked or stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from privyseal.errors import LogUnavailable
from privyseal.strongroom.messages import Appended, Logged
from privyseal.terms.canonical import canonical_json
from privyseal.terms.requests import Dossier, Intent
from privyseal.tlog.entry import Completed, CompletionSubmission, IntentSubmission, commit
from privyseal.tlog.proof import CompletionOpening, IntentOpening, build_receipt

Files: TypeAlias = tuple[str, ...] | msgspec.UnsetType
"""SHA-256 of the finished files, lower-case hex; unset where the file stayed with the client."""


def intent(dossier: Dossier, key_tag: str, uses: int) -> IntentSubmission:
    """Return the intent to use a key so many times for a request; the same again for the same request."""
    commitment = commit(dossier.salt, dossier.canonical)
    return IntentSubmission(verb="sign", key_tag=key_tag, uses=uses, commitment=commitment)


def place(logged: Logged) -> Intent:
    """Return where an intent stands; LogUnavailable where the logger gave it no place in its key's sequence."""
    if logged.key_seq is None:
        raise LogUnavailable("The logger gave an intent no place in its key's sequence.")
    return Intent(logged.index, logged.key_seq)


def completed(
    dossier: Dossier, blobs: Sequence[bytes], files: Files = msgspec.UNSET, reason: str | None = None
) -> bytes:
    """Return what the completion commits to: what was made for a request, or the ``reason`` why it came to nothing.

    ``blobs`` are the SHA-256 of the dossier's blobs, ``files`` those of the files that were finished here, in hex.
    """
    return canonical_json(
        Completed(
            intent=_intent_of(dossier).index,
            request=dossier.digest,
            signatures=tuple([hashlib.sha256(each).hexdigest() for each in dossier.signatures]),
            blobs=tuple([each.hex() for each in blobs]),
            tokens=tuple([hashlib.sha256(each.der).hexdigest() for each in dossier.tokens]),
            files=files,
            reason=reason,
            grant=dossier.grant or msgspec.UNSET,
        )
    )


def completion(
    dossier: Dossier, key_tag: str, payload: bytes, outcome: Literal["signed", "aborted"] = "signed"
) -> CompletionSubmission:
    """Return the completion of a request; ``payload`` is what :func:`completed` returned."""
    return CompletionSubmission(
        key_tag=key_tag,
        intent=_intent_of(dossier).index,
        outcome=outcome,
        commitment=commit(dossier.completion_salt, payload),
    )


def receipt(dossier: Dossier, key_tag: str, payload: bytes, appended: Appended, logged: Logged) -> str:
    """Return the receipt (C2SP tlog-proof) of a request's completion, with both openings; ``payload`` as above."""
    stands = _intent_of(dossier)
    return build_receipt(
        intent=IntentOpening(
            index=stands.index,
            verb="sign",
            key_tag=key_tag,
            key_seq=stands.key_seq,
            uses=len(dossier.signatures),
            salt=dossier.salt,
            payload=dossier.canonical,
            path=logged.intent_path,
        ),
        completion=CompletionOpening(salt=dossier.completion_salt, payload=payload),
        index=logged.index,
        path=logged.path,
        checkpoint=appended.checkpoint,
    )


def _intent_of(dossier: Dossier) -> Intent:
    assert dossier.intent is not None  # noqa: S101 - the walk completes only what it has logged
    return dossier.intent
