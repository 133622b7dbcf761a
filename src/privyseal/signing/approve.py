"""An approver agrees: a signature over the digest of the whole request, which the signer will check again by itself."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from privyseal.access import permissions, quorum
from privyseal.errors import Conflict, NotPermitted, VerificationFailed
from privyseal.records import events, keys, requests
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing.instance import PrivySeal
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State, approved_octets


def approve(seal: PrivySeal, actor: Actor, request_id: str, approval: Approval) -> Dossier:
    """Write down one approval; the request becomes APPROVED when the quorum is there.

    Raises VerificationFailed where the signature is not over this request, NotPermitted where the signer of it is not
    an approver of the key, Conflict where the request no longer waits.
    """
    now = seal.clock()
    with seal.records.writing(actor.subscriber) as tx:
        permissions.require(actor, "approve", actor.subscriber)
        dossier = requests.get(tx, request_id)
        if dossier.state is not State.REQUESTED:
            raise Conflict(f"Request {request_id} no longer waits for approval: it is {dossier.state}.")
        _check(tx, dossier, approval)
        requests.add_approval(tx, request_id, approval, now)
        events.record(tx, Event(now, actor.member.id, f"approved as {approval.approver}", request_id))
        pair = keys.key_pair(tx, decode_canonical(dossier.canonical, SigningRequest).key)
        agreed = {given.approver for given in requests.approvals_of(tx, request_id)}
        if isinstance(quorum.decide(pair.approvers, pair.quorum, agreed), quorum.Granted):
            dossier = requests.move(tx, dossier, State.APPROVED)
        return dossier


def _check(tx: Transaction, dossier: Dossier, approval: Approval) -> None:
    pair = keys.key_pair(tx, decode_canonical(dossier.canonical, SigningRequest).key)
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
