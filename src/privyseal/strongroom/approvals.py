"""Which approvals are genuine, and whether they are enough: the signer's own judgement, from the charter alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privyseal.access.quorum import Granted, Refused, decide
from privyseal.errors import BadInput, NotPermitted
from privyseal.terms.keys import Approver
from privyseal.terms.requests import Approval, approved_octets

MAX_APPROVALS = 64
"""Approvals handed in with one request: as many as a charter may have approvers."""


def genuine(approvals: Sequence[Approval], approvers: Sequence[Approver], digest: bytes) -> set[str]:
    """Return the names of the approvers whose own key signed exactly this digest; nothing else counts."""
    if len(approvals) > MAX_APPROVALS:
        raise BadInput(f"{len(approvals)} approvals were handed in; at most {MAX_APPROVALS} are read.")
    keys = {approver.name: approver.public_key for approver in approvers}
    octets = approved_octets(digest)
    return {
        given.approver
        for given in approvals
        if given.request_digest == digest
        and given.public_key == keys.get(given.approver)
        and _signed(given.public_key, given.signature, octets)
    }


def check_quorum(approvals: Sequence[Approval], approvers: Sequence[Approver], quorum: int, digest: bytes) -> None:
    """Refuse with NotPermitted what not enough of the approvers agreed to."""
    outcome = decide(approvers, quorum, genuine(approvals, approvers, digest))
    if isinstance(outcome, Granted):
        return
    if isinstance(outcome, Refused):
        raise NotPermitted(outcome.why)
    whom = ", ".join(outcome.for_whom)
    raise NotPermitted(
        f"{outcome.missing} more of these must approve exactly this: {whom}.",
        hint="an approval counts if it signs this digest with the key that the charter gives for that name",
    )


def _signed(public_key: bytes, signature: bytes, octets: bytes) -> bool:
    try:
        _loaded(public_key).verify(signature, octets)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=1024)
def _loaded(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)
