"""An approver agrees: a signature over the digest of the whole request, which the signer will check again by itself."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privyseal.access import permissions, quorum
from privyseal.errors import Conflict, Denied, NotPermitted, VerificationFailed
from privyseal.records import approvals, events, keys, requests
from privyseal.records import freezes as frozen
from privyseal.records.events import Event
from privyseal.signing import freezes
from privyseal.signing.instance import PrivySeal
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Actor, Factor
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State, approved_octets


def approve(seal: PrivySeal, actor: Actor, request_id: str, approval: Approval) -> Dossier:
    """Write down one approval; the request becomes APPROVED when the quorum is there.

    Giving an approval again that is on record changes nothing, whatever became of the request meanwhile: who lost the
    answer may ask again. Raises VerificationFailed where the signature is not over this request, NotPermitted where its
    signer is not an approver of the key, Denied where the request's time ran out, Conflict where it no longer waits.
    """
    seal.require_memory()
    now = seal.clock()
    with seal.records.writing(actor.subscriber) as tx:
        permissions.require(actor, "approve", actor.subscriber)
        dossier = requests.locked(tx, request_id)  # two approvers at once must see each other's approvals
        if approval in approvals.approvals_of(tx, request_id):
            return dossier
        if dossier.state is not State.REQUESTED:
            raise Conflict(f"Request {request_id} no longer waits for approval: it is {dossier.state}.")
        request = decode_canonical(dossier.canonical, SigningRequest)
        if request.expires_at <= now:
            raise Denied(f"The time of request {request_id} ran out; it can no longer be approved.", hint="ask anew")
        pair = keys.key_pair(tx, request.key)
        _check(pair, dossier, approval)
        freezes.require_unfrozen(frozen.holding(tx), request.key, seal.governing(tx, request_id))
        approvals.add_approval(tx, request_id, approval, now)
        events.record(tx, Event(now, actor.member.id, f"approved as {approval.approver}", request_id))
        if actor.factors != (Factor.BEARER,):
            events.record(tx, Event(now, actor.member.id, f"by {actor.proof}", request_id))
        agreed = {given.approver for given in approvals.approvals_of(tx, request_id)}
        decided = quorum.decide(pair.approvers, pair.quorum, agreed)
        if isinstance(decided, quorum.Refused):
            raise Conflict(decided.why)
        return requests.move(tx, dossier, State.APPROVED) if isinstance(decided, quorum.Granted) else dossier


def _check(pair: KeyPair, dossier: Dossier, approval: Approval) -> None:
    named = {(known.name, known.public_key) for known in pair.approvers}
    if (approval.approver, approval.public_key) not in named:
        raise NotPermitted(f"{approval.approver!r} with this public key is not an approver of Key Pair {pair.name!r}.")
    digest = bytes.fromhex(dossier.digest)
    if approval.request_digest != digest:
        raise VerificationFailed("The approval is over another request's digest; nothing was written down.")
    try:
        Ed25519PublicKey.from_public_bytes(approval.public_key).verify(approval.signature, approved_octets(digest))
    except (InvalidSignature, ValueError) as error:
        raise VerificationFailed("The approval's signature does not verify; nothing was written down.") from error
