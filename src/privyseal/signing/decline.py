"""A request ends before it is signed because somebody says so: an approver denies it, or who asked takes it back."""

from __future__ import annotations

from privyseal.access import permissions
from privyseal.errors import BadInput, Conflict, NotPermitted
from privyseal.records import events, requests
from privyseal.records.events import Event
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Dossier, State

LONGEST_REASON = 1000
"""Characters of a reason: a paragraph."""

DENIED, CANCELLED = "denied", "cancelled"
"""What the record gives as the code of a request that ended so."""


def deny(seal: PrivySeal, actor: Actor, request_id: str, reason: str) -> Dossier:
    """Say no to a request that waits for approval; one approver is enough, and it is final.

    Saying the same again changes nothing. Raises BadInput for a reason that says nothing, Conflict where the request no
    longer waits for approval.
    """
    why = reason.strip()
    if not 1 <= len(why) <= LONGEST_REASON or "\0" in why:
        raise BadInput(f"A denial needs a reason of 1 to {LONGEST_REASON} characters.", hint="say it in a sentence")
    permissions.require(actor, "approve", actor.subscriber)
    return _end(seal, actor, request_id, DENIED, f"{actor.member.name} denied it: {why}")


def cancel(seal: PrivySeal, actor: Actor, request_id: str) -> Dossier:
    """Take back a request of one's own that nobody began to sign yet.

    Taking it back again changes nothing. Raises NotPermitted for somebody else's, Conflict where it is too late.
    """
    permissions.require(actor, "request", actor.subscriber)
    return _end(seal, actor, request_id, CANCELLED, f"{actor.member.name} took it back")


def _end(seal: PrivySeal, actor: Actor, request_id: str, code: str, detail: str) -> Dossier:
    seal.require_memory()
    with seal.records.writing(actor.subscriber) as tx:
        dossier = requests.locked(tx, request_id)
        if code == CANCELLED and dossier.requester != actor.member.id:
            raise NotPermitted("Only who asked for a signature can take the request back.")
        if (dossier.state, dossier.failure_code, dossier.failure_detail) == (State.DENIED, code, detail):
            return dossier
        open_to = (State.REQUESTED,) if code == DENIED else (State.REQUESTED, State.APPROVED)
        if dossier.state not in open_to:
            raise Conflict(f"Request {request_id} can no longer be {code}: it is {dossier.state}.")
        events.record(tx, Event(seal.clock(), actor.member.id, code, request_id))
        return requests.deny(tx, dossier, code, detail)
