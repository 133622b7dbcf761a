"""Which approvals are genuine, and whether they are enough: the signer's own judgement, from the charter alone.

An approval of a later stage signs over the digest of those that counted in the stages before it, so its order is
verified stage by stage, without a clock. The web judges by the same functions before it writes an approval down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privyseal.access.quorum import Granted, Refused, Waiting, counted, decide
from privyseal.errors import BadInput, NotPermitted
from privyseal.strongroom import assertions
from privyseal.terms.keys import Approver, Stage
from privyseal.terms.requests import Approval, approvals_digest, approved_octets

MAX_APPROVALS = 64
"""Approvals handed in with one request: as many as a charter may have approvers."""


class Tally(msgspec.Struct, frozen=True):
    """How far people agree."""

    outcome: Granted | Waiting | Refused
    earlier: bytes
    """What an approval of the stage that is waited for must sign over beside the digest; empty in the first one."""


def tally(
    approvals: Sequence[Approval],
    approvers: Sequence[Approver],
    stages: Sequence[Stage],
    digest: bytes,
    requester: str | None = None,
) -> Tally:
    """Verify approvals stage after stage and count them; what is not genuine counts for nothing."""
    if len(approvals) > MAX_APPROVALS:
        raise BadInput(f"{len(approvals)} approvals were handed in; at most {MAX_APPROVALS} are read.")
    agreed: list[set[str]] = []
    used = set[str]() if requester is None else {requester}
    before: list[Approval] = []
    earlier = b""
    for place, stage in enumerate(stages):
        found = _genuine(approvals, approvers, digest, place, earlier)
        agreed.append(set(found))
        count = counted(approvers, stage, found.keys(), used)
        if len(count) < stage.need:
            break
        used |= {each.person for each in count}
        before += [found[each.name] for each in count]
        earlier = approvals_digest(before)
    return Tally(decide(approvers, stages, agreed, requester), earlier)


def genuine(approvals: Sequence[Approval], approvers: Sequence[Approver], digest: bytes) -> set[str]:
    """Return the names of the approvers whose own key signed exactly this digest first of all; nothing else counts."""
    if len(approvals) > MAX_APPROVALS:
        raise BadInput(f"{len(approvals)} approvals were handed in; at most {MAX_APPROVALS} are read.")
    return set(_genuine(approvals, approvers, digest, 0, b""))


def check_quorum(
    approvals: Sequence[Approval],
    approvers: Sequence[Approver],
    stages: Sequence[Stage],
    digest: bytes,
    requester: str | None = None,
) -> None:
    """Refuse with NotPermitted what not enough of the approvers agreed to, stage after stage."""
    outcome = tally(approvals, approvers, stages, digest, requester).outcome
    if isinstance(outcome, Granted):
        return
    if isinstance(outcome, Refused):
        raise NotPermitted(outcome.why)
    whom = ", ".join(outcome.for_whom)
    stage = f" in stage {outcome.stage + 1}" if len(stages) > 1 else ""
    raise NotPermitted(
        f"{outcome.missing} more of these must approve exactly this{stage}: {whom}.",
        hint="an approval counts if it signs this digest, and the approvals of earlier stages, with the key that the "
        "charter gives for that name",
    )


def why_not(approval: Approval, approver: Approver, digest: bytes, earlier: bytes) -> str | None:
    """Return why an approval is not this approver's own over exactly this, in one sentence; None where it is."""
    if (approval.approver, approval.public_key) != (approver.name, approver.public_key):
        return "The approval names another approver or another public key."
    if approval.request_digest != digest:
        return "The approval is over another request's digest."
    octets = approved_octets(digest, approval.stage, earlier)
    if approver.passkey is msgspec.UNSET:
        if approval.assertion is not None:
            return "The approval is a passkey's, and the charter gives an Ed25519 key for that name."
        return None if _signed(approval.public_key, approval.signature, octets) else "The signature does not verify."
    if approval.assertion is None:
        return "The approval carries no assertion, and the charter gives a passkey for that name."
    return assertions.why_not(approver.passkey, approval.public_key, octets, approval.signature, approval.assertion)


def _genuine(
    approvals: Iterable[Approval], approvers: Iterable[Approver], digest: bytes, stage: int, earlier: bytes
) -> dict[str, Approval]:
    """Return the genuine approvals of one stage by name; of two under one name the first."""
    named = {each.name: each for each in approvers}
    found: dict[str, Approval] = {}
    for given in approvals:
        approver = named.get(given.approver)
        if approver is None or given.stage != stage or given.approver in found:
            continue
        if why_not(given, approver, digest, earlier) is None:
            found[given.approver] = given
    return found


def _signed(public_key: bytes, signature: bytes, octets: bytes) -> bool:
    try:
        _loaded(public_key).verify(signature, octets)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=1024)
def _loaded(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)
