"""A request comes under a grant: it need not wait for people, who agreed beforehand.

The proof is judged here as the signer will judge it, so that nobody's request ends for a proof that cannot be good; the
signer then judges everything anew by its own charter. A use is counted when it is written down, the signer counts what
it spends: the records never show more signatures left than there are.
"""

from __future__ import annotations

from datetime import timedelta

from privyseal.access import permissions
from privyseal.errors import Conflict, Denied, NotPermitted
from privyseal.records import events, keys, policies, requests
from privyseal.records import freezes as frozen
from privyseal.records import grants as records
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.records.grants import Kept
from privyseal.signing import enclosures, freezes, grants, notices
from privyseal.signing.case import Case
from privyseal.signing.forms_of_requests import Fitting, UseAsked
from privyseal.signing.instance import PrivySeal
from privyseal.signing.shelf import Shelf
from privyseal.signing.submit import check
from privyseal.strongroom.grants import judge, misfit
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.grants import ForRuns, Use, audience
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Dossier, SigningRequest, State

EXPIRING = timedelta(hours=24)
"""How long before a grant ends people are told."""


def use(seal: PrivySeal, actor: Actor, request_id: str, asked: UseAsked) -> Dossier:
    """Have a request that waits come under a grant; it becomes APPROVED, and its record says ``granted``.

    The same again changes nothing. Raises NotPermitted, NotAuthenticated or VerificationFailed where grant or proof
    are not for this request, Denied where the grant is over, revoked or used up, Conflict where it no longer waits.
    """
    seal.require_memory()
    permissions.require(actor, "request", actor.subscriber)
    now = seal.clock()
    with seal.records.reading(actor.subscriber) as tx:
        waits = requests.get(tx, request_id)
    enclosed: tuple[bytes, ...] = ()
    if waits.state is State.REQUESTED:  # what came beside it may be gone later
        enclosed = enclosures.read(seal, actor.subscriber, decode_canonical(waits.canonical, SigningRequest))
    with seal.records.writing(actor.subscriber) as tx:
        dossier = requests.locked(tx, request_id)
        if dossier.requester != actor.member.id:
            raise NotPermitted("A request comes under a grant by whoever asked for it only.")
        kept = records.get(tx, asked.grant, locked=True)
        if dossier.grant == kept.digest.hex():
            return dossier
        if dossier.state is not State.REQUESTED:
            raise Conflict(f"Request {request_id} no longer waits: it is {dossier.state}.")
        request = decode_canonical(dossier.canonical, SigningRequest)
        permissions.require_key(actor, request.key)
        pair = keys.key_pair(tx, request.key)
        octets = check(tx, pair, request, now, Shelf(now), enclosed)
        freezes.require_unfrozen(frozen.holding(tx), request.key, policies.governing(tx, request_id))
        if kept.revoked is not None:
            raise Denied(f"The grant {kept.id} was revoked.", hint="have people approve the request itself")
        given = Use(grant=kept.canonical, approvals=tuple(records.approvals_of(tx, kept.id)), proof=asked.proof)
        judge(given, request, request.digest(), (pair.approvers, pair.in_order), now)
        count = sum(map(len, octets))
        if kept.used + count > kept.grant.signatures:
            left = f"{kept.grant.signatures - kept.used} of {kept.grant.signatures} signatures are left"
            raise Denied(f"The grant {kept.id} does not reach: {left}, and {count} are asked for.")
        dossier = records.use(tx, kept, dossier, asked.proof, count, now)
        events.record(tx, Event(now, actor.member.id, f"granted under {kept.id}"[:40], request_id))
        if kept.used + count == kept.grant.signatures:
            records.note_told(tx, kept.id, "used-up")
            notices.put(tx, seal, grants.notice("grant.used-up", records.get(tx, kept.id)))
        notices.withdraw_request(tx, seal, "request.waiting", dossier)  # nobody needs to look
        return requests.move(tx, dossier, State.APPROVED)


def fitting(tx: Transaction, request_id: str, seal: PrivySeal) -> list[Fitting]:
    """List the grants in force that cover a request that waits, the first to end first."""
    dossier = requests.get(tx, request_id)
    if dossier.state is not State.REQUESTED:
        return []
    request = decode_canonical(dossier.canonical, SigningRequest)
    now = seal.clock()
    found = records.in_force(tx, request.key, dossier.requester, now)
    good = [each for each in found if each.grant.not_before <= now and misfit(each.grant, request) is None]
    return [_fitting(each, request) for each in good if each.used + len(request.described) <= each.grant.signatures]


def _fitting(kept: Kept, request: SigningRequest) -> Fitting:
    holder = kept.grant.holder
    runs = isinstance(holder, ForRuns)
    return Fitting(
        id=kept.id,
        digest=kept.digest.hex(),
        audience=audience(holder.audience, request.digest()) if isinstance(holder, ForRuns) else "",
        public_key=b"" if runs else holder.public_key,  # type: ignore[union-attr]
        left=kept.grant.signatures - kept.used,
        signatures=kept.grant.signatures,
    )


def into(tx: Transaction, case: Case) -> None:
    """Give a case the grant under which its request came, for the signer; one that was revoked meanwhile refuses it."""
    kept = records.of_digest(tx, case.dossier.grant or "", case.dossier.id)
    if kept is None:
        case.refused = case.refused or (NotPermitted.code, "the grant under which it came is not in the records")
        return
    if kept.revoked is not None:
        case.refused = case.refused or (Denied.code, f"the grant {kept.id} was revoked")
    approvals = tuple(records.approvals_of(tx, kept.id))
    case.granted = Use(grant=kept.canonical, approvals=approvals, proof=records.proof_of(tx, case.dossier.id))


def tell_expiring(seal: PrivySeal) -> int:
    """Tell once of each grant in force that it ends within a day; return of how many."""
    now = seal.clock()
    with seal.records.reading_all_subscribers() as connection:
        ending = records.expiring_of_all_subscribers(connection, now, now + EXPIRING, ("used-up", "expiring"))
    for subscriber, grant_id in ending:
        with seal.records.writing(subscriber) as tx:
            kept = records.get(tx, grant_id, locked=True)
            if not kept.told:
                records.note_told(tx, grant_id, "expiring")
                notices.put(tx, seal, grants.notice("grant.expiring", kept))
    return len(ending)
