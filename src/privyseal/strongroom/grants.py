"""May this request be signed under a Grant: the signer's own judgement, from the charter and what is handed in.

Everything is judged anew at each use: that people agreed to the Grant under the charter as it is now, that its time is
now, that the request is one it is for, and that the proof is over this request's digest. What is left to the journal is
the count, in the transaction that spends the intent, and whether the Grant was revoked. The web judges by the same
functions before it writes a use down.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from privyseal.access import platforms, signed_tokens, trust, workloads
from privyseal.access.platforms import PLATFORMS, Platform
from privyseal.access.quorum import Granted, Refused
from privyseal.access.trust import NewRule, TrustRule
from privyseal.access.workloads import Expected
from privyseal.errors import BadInput, Denied, NotPermitted, TooLarge, VerificationFailed
from privyseal.strongroom.approvals import Tally, tally
from privyseal.terms.grants import (
    LARGEST_GRANT,
    LARGEST_PROOF,
    ForKey,
    ForRuns,
    Grant,
    Use,
    audience,
    grant_digest,
    read_grant,
    used_octets,
    wrong_pieces,
)
from privyseal.terms.keys import Approver, Stage
from privyseal.terms.requests import Approval, SigningRequest


class Judged(msgspec.Struct, frozen=True):
    """A Grant that covers a request; what is left is to count."""

    digest: bytes
    signatures: int
    """How many it allows in all."""


def judge(
    use: Use, request: SigningRequest, digest: bytes, people: tuple[Sequence[Approver], Sequence[Stage]], now: datetime
) -> Judged:
    """Judge a use for a request with this digest; ``people`` are the charter's approvers and stages.

    Raises NotPermitted, Denied (its time), NotAuthenticated (the token), VerificationFailed (the signature), BadInput.
    """
    if len(use.grant) > LARGEST_GRANT or len(use.proof) > LARGEST_PROOF:
        raise TooLarge(f"A grant has at most {LARGEST_GRANT} octets, and its proof {LARGEST_PROOF}.")
    grant, own = read(use.grant), grant_digest(use.grant)
    require_agreed(grant, own, use.approvals, people)
    wrong = misfit(grant, request)
    if wrong is not None:
        raise NotPermitted(f"The grant {own.hex()[:16]} does not cover the request: {wrong}")
    require_time(grant, own, now)
    if isinstance(grant.holder, ForRuns):
        _check_token(grant.holder, use.proof, digest, now)
    else:
        _check_signature(grant.holder, use.proof, used_octets(own, digest))
    return Judged(own, grant.signatures)


def read(octets: bytes) -> Grant:
    """Read a Grant and refuse one that nobody should agree to: for too many runs, or for a key of no kind."""
    grant = read_grant(octets)
    require_sound(grant)
    return grant


def require_sound(grant: Grant) -> None:
    """Refuse with BadInput a Grant whose holder is too wide, cannot prove itself or has a key of no kind."""
    if isinstance(grant.holder, ForKey):
        _holder_key(grant.holder.public_key)
        return
    _require_narrow(grant.holder.platform, grant.holder.conditions)


def agreement(
    grant: Grant, digest: bytes, approvals: Sequence[Approval], people: tuple[Sequence[Approver], Sequence[Stage]]
) -> Tally:
    """Count who agreed to a Grant; neither who proposed it nor who asks under it is counted."""
    approvers, stages = people
    free = [each for each in approvers if each.person != grant.requester]
    return tally(approvals, free, stages, digest, grant.proposer)


def require_agreed(
    grant: Grant, digest: bytes, approvals: Sequence[Approval], people: tuple[Sequence[Approver], Sequence[Stage]]
) -> None:
    """Refuse with NotPermitted a Grant that not enough of the charter's people agreed to."""
    if not people[1]:
        raise NotPermitted("The key asks nobody to agree, so nothing is signed with it under a grant.")
    outcome = agreement(grant, digest, approvals, people).outcome
    if isinstance(outcome, Refused):
        raise NotPermitted(outcome.why)
    if not isinstance(outcome, Granted):
        raise NotPermitted(
            f"{outcome.missing} more of these must agree to the grant {digest.hex()[:16]}: "
            f"{', '.join(outcome.for_whom)}.",
            hint="what counts is the charter as it is now, and neither who proposed it nor who asks under it",
        )


def require_time(grant: Grant, digest: bytes, now: datetime) -> None:
    """Refuse with Denied what is before or after a Grant's time."""
    if now < grant.not_before:
        raise Denied(f"The grant {digest.hex()[:16]} begins at {grant.not_before:%Y-%m-%d %H:%M:%S} UTC.")
    if now >= grant.until:
        raise Denied(
            f"The grant {digest.hex()[:16]} ended at {grant.until:%Y-%m-%d %H:%M:%S} UTC.", hint="propose a new one"
        )


def misfit(grant: Grant, request: SigningRequest) -> str | None:
    """Return why a Grant is not for this request, in one sentence; None where it is."""
    if (request.subscriber, request.key, request.key_id) != (grant.subscriber, grant.key, grant.key_id):
        return "It is for another key."
    if request.requester is msgspec.UNSET or request.requester != grant.requester:
        return f"It is for requests of {grant.requester}."
    if request.mode != grant.mode:
        return f"It is for mode {grant.mode}."
    return wrong_pieces(grant, request.described, request.options)


def _check_token(holder: ForRuns, token: bytes, digest: bytes, now: datetime) -> None:
    """Verify a run's identity token with the Grant's own keys, and hold its claims against the conditions."""
    unread = signed_tokens.read(token)
    expected = Expected(PLATFORMS[holder.platform], holder.issuer, audience(holder.audience, digest), now)
    claims = platforms.flat(workloads.verify(unread, holder.keys, expected))
    wrong = [each for each in trust.compare(_rule(holder), claims) if not each.same]
    if wrong:
        first = wrong[0]
        raise NotPermitted(
            f"The grant is for runs whose {first.claim} is {first.expected[:80]!r}; this run's is {first.came[:80]!r}."
        )


def _check_signature(holder: ForKey, signature: bytes, octets: bytes) -> None:
    key = _holder_key(holder.public_key)
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, octets)
        else:
            key.verify(signature, octets, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise VerificationFailed("The proof is no signature over this grant and request by the grant's key.") from None


@lru_cache(maxsize=256)
def _holder_key(spki: bytes) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(spki)
        good = isinstance(key, Ed25519PublicKey) or (
            isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        )
        if good and key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki:
            return key  # type: ignore[return-value]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise BadInput("The grant's public key is none of Ed25519 or P-256, as a SubjectPublicKeyInfo in DER.")


@lru_cache(maxsize=256)
def _require_narrow(platform_name: str, conditions: tuple[tuple[str, str], ...]) -> Platform:
    """Refuse conditions that too many runs meet, and platforms whose tokens are made before the request is known."""
    if len(dict(conditions)) != len(conditions):
        raise BadInput("The grant names a claim twice.")
    platform = trust.require_narrow(
        NewRule(platform=platform_name, name="grant", member="-", conditions=dict(conditions))
    )
    if not platform.minted or platform.audience:
        raise BadInput(
            f"A job of {platform.title} has no token made for one request, which a grant asks for.",
            hint="make the grant for the job's own key: --public-key",
        )
    return platform


def _rule(holder: ForRuns) -> TrustRule:
    return TrustRule(
        id="", member="", platform=holder.platform, issuer=holder.issuer, name="", conditions=holder.conditions
    )
