"""An approver agrees: a signature over the digest of the whole request, which the signer will check again by itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from privyseal.access import permissions
from privyseal.access.quorum import Granted, Refused, Waiting
from privyseal.errors import Conflict, Denied, NotPermitted, VerificationFailed
from privyseal.records import approvals, events, keys, policies, requests
from privyseal.records import freezes as frozen
from privyseal.records.events import LONGEST, Event
from privyseal.signing import freezes, life
from privyseal.signing.instance import PrivySeal
from privyseal.signing.review import so_far
from privyseal.strongroom.approvals import why_not
from privyseal.strongroom.assertions import may_be_copied
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import Approver, KeyPair
from privyseal.terms.life import require_active
from privyseal.terms.parties import Actor, Factor
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State


def approve(seal: PrivySeal, actor: Actor, request_id: str, approval: Approval) -> Dossier:
    """Write down one approval; the request becomes APPROVED when the last stage has its people.

    Giving an approval again that is on record changes nothing, whatever became of the request meanwhile: who lost the
    answer may ask again. Raises VerificationFailed where the signature is not over this request and the approvals of
    earlier stages, NotPermitted where its signer is not an approver of the key in this stage, or asked for it, Denied
    where the request's time ran out, Conflict where it no longer waits, or waits in another stage.
    """
    seal.require_memory()
    now = seal.clock()
    with seal.records.writing(actor.subscriber) as tx:
        permissions.require(actor, "approve", actor.subscriber)
        dossier = requests.locked(tx, request_id)  # two approvers at once must see each other's approvals
        given = approvals.approvals_of(tx, request_id)
        if approval in given:
            return dossier
        if dossier.state is not State.REQUESTED:
            raise Conflict(f"Request {request_id} no longer waits for approval: it is {dossier.state}.")
        request = decode_canonical(dossier.canonical, SigningRequest)
        if request.expires_at <= now:
            raise Denied(f"The time of request {request_id} ran out; it can no longer be approved.", hint="ask anew")
        pair = keys.key_pair(tx, request.key)
        if not _check(actor, pair, request, given, approval):
            return dossier
        freezes.require_unfrozen(frozen.holding(tx), request.key, policies.governing(tx, request_id))
        require_active(life.of(tx, request.key))
        approvals.add_approval(tx, request_id, approval, now, request.key_id)
        agreed = Event(now, actor.member.id, f"approved as {approval.approver}"[:LONGEST], request_id)
        events.record(tx, agreed, *events.proofs(agreed, _factors(actor, approval)))
        outcome = so_far(pair, request, approvals.approvals_of(tx, request_id)).outcome
        if isinstance(outcome, Refused):
            raise Conflict(outcome.why)
        return requests.move(tx, dossier, State.APPROVED) if isinstance(outcome, Granted) else dossier


def _factors(actor: Actor, approval: Approval) -> tuple[Factor, ...]:
    """Return by what somebody who agrees has proved who they are: what let them in, and a passkey that agreed itself.

    The signer has that passkey's owner verified by its device, or refuses the approval (``strongroom/assertions.py``).
    """
    if approval.assertion is None:
        return actor.factors
    shown = Factor.SYNCED_PASSKEY if may_be_copied(approval.assertion.authenticator_data) else Factor.PASSKEY
    return tuple(dict.fromkeys((*actor.factors, shown)))


def _check(actor: Actor, pair: KeyPair, request: SigningRequest, given: Sequence[Approval], approval: Approval) -> bool:
    """Refuse what is no approval of this request by one who may give it now; False where the same person gave one."""
    approver = next((each for each in pair.approvers if each.name == approval.approver), None)
    if approver is None or approver.public_key != approval.public_key:
        raise NotPermitted(
            f"{approval.approver[:60]!r} with this public key is not an approver of Key Pair {pair.name!r}."
        )
    before = so_far(pair, request, given)
    outcome = before.outcome
    if isinstance(outcome, Refused):
        raise Conflict(outcome.why)
    if isinstance(outcome, Waiting) and approval.stage == outcome.stage:
        wrong = why_not(approval, approver, request.digest(), before.earlier)
        if wrong is not None:
            raise VerificationFailed(f"{wrong} Nothing was written down.")
    _check_person(actor, approver, request)
    agreed = {each.person for each in pair.approvers if any(each.name == known.approver for known in given)}
    if approver.person in agreed:
        return False
    if isinstance(outcome, Granted) or approval.stage != outcome.stage:
        raise Conflict(
            f"The approval is for stage {approval.stage + 1}, and the request does not wait in that one.",
            hint="look at the request again and approve what it waits for now",
        )
    if approver.name not in outcome.for_whom:
        whom = ", ".join(outcome.for_whom)
        raise NotPermitted(f"In stage {outcome.stage + 1} {approver.name!r} is not asked; these are: {whom}.")
    return True


def _check_person(actor: Actor, approver: Approver, request: SigningRequest) -> None:
    if approver.member is not msgspec.UNSET and approver.member != actor.member.id:
        raise NotPermitted(
            f"The approval is {approver.name!r}'s, and somebody else handed it in.",
            hint="each approver hands in its own",
        )
    if actor.member.id == request.requester or approver.person == request.requester:
        raise NotPermitted("Who asks for a signature does not approve it.", hint="another approver must")
