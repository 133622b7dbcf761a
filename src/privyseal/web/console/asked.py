"""Requests to sign: what waits for whom, all that an approver needs to know, and its yes or no."""

from __future__ import annotations

import msgspec

from privyseal.access.quorum import Waiting
from privyseal.errors import BadInput, NotFound
from privyseal.pki import certificates
from privyseal.records import approvals, freezes, keys, parties, request_pages, requests, signed
from privyseal.records.database import Transaction
from privyseal.signing import amending, assent, decline, people, review
from privyseal.signing import approve as approving
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.freezes import Frozen
from privyseal.terms.keys import Approver
from privyseal.terms.requests import FINAL, Dossier, SigningRequest, State
from privyseal.web import views
from privyseal.web.approving import review_of
from privyseal.web.console.frozen import words
from privyseal.web.console.visit import Reply, Visit, go

ON_A_PAGE = 25
"""Requests on one page of the list."""
MOST_WAITING = 200
"""Waiting requests that are looked through for those that wait for whoever looks."""
UNDER_WAY = tuple(state for state in State if state not in FINAL)
"""States in which something is still to come."""
ONE = "/console/requests/one?id="
"""The page of a request, whose identifier follows."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a list."""

    dossier: Dossier
    request: SigningRequest
    who: str
    mine: bool
    """Whether it waits for whoever looks."""


def show(visit: Visit) -> Reply:
    """List what waits for whoever looks, and a page of all requests in a state."""
    wanted = visit.query.get("state", "")
    states = {"": UNDER_WAY, "all": tuple(State)} | {each.value: (each,) for each in State}
    if wanted not in states:
        raise BadInput("No state of a request is called so.", hint="choose one in the list")
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        names = parties.names(tx)
        waiting = [] if visit.query.get("after") else for_me(tx, visit.actor.member.id, names)
        found = request_pages.page(tx, states[wanted], ON_A_PAGE + 1, visit.query.get("after", ""))
        listed = [_line(each, names) for each in found[:ON_A_PAGE]]
    more = found[ON_A_PAGE - 1].id if len(found) > ON_A_PAGE else ""
    shows = {"waiting": waiting, "listed": listed, "more": more, "state": wanted, "states": list(states)}
    return Reply("requests.html", shows)


def for_me(tx: Transaction, member: str, names: dict[str, str]) -> list[Line]:
    """Return the requests that wait for the approval of one member."""
    found = []
    for dossier in request_pages.page(tx, (State.REQUESTED,), MOST_WAITING):
        line = _line(dossier, names, mine=True)
        pair = keys.key_pair(tx, line.request.key)
        outcome = review.so_far(pair, line.request, approvals.approvals_of(tx, dossier.id)).outcome
        asked = outcome.for_whom if isinstance(outcome, Waiting) else ()
        if any(each.member == member and each.name in asked for each in pair.approvers):
            found.append(line)
    return found


def one(visit: Visit) -> Reply:
    """Show one request with everything that an approver needs to know."""
    number = visit.query.get("id", "")
    me = visit.actor.member
    with visit.seal.records.reading(me.subscriber) as tx:
        seen = review_of(tx, number)
        dossier = requests.get(tx, number)
        request = decode_canonical(dossier.canonical, SigningRequest)
        chain = keys.certificate_chain(tx, request.certificate)
        names = parties.names(tx)
        held = [words(each, names) for each in freezes.holding(tx) if _holds(each, request, dossier)]
        run = signed.run_of(tx, number)
    sight, scans = views.sight(dossier.canonical)
    may = visit.may("approve")
    waits = dossier.state is State.REQUESTED
    shows = {
        "seen": seen,
        "request": request,
        "dossier": dossier,
        "certificate": certificates.read(chain[0]) if chain else None,
        "held": held,
        "who": names.get(dossier.requester, dossier.requester),
        "run": run,
        "sight": sight,
        "scans": scans,
        "question": assent.question(visit.seal, visit.actor, number, visit.origin) if may and waits else None,
        "recent": visit.recent,
        "may_deny": may and waits and dossier.requester != me.id,
        "mine": dossier.requester == me.id,
        "may_cancel": dossier.requester == me.id and dossier.state in (State.REQUESTED, State.APPROVED),
        "over": dossier.state in FINAL,
        "most": decline.LONGEST_REASON,
    }
    return Reply("request.html", shows)


def approve(visit: Visit) -> Reply:
    """Take a passkey's yes to exactly what the page showed; the last one has it signed."""
    number = visit.text("id")
    given = assent.Answer(request=number, digest=visit.text("digest"), stage=_stage(visit), answer=visit.text("answer"))
    made = assent.approval(visit.seal, visit.actor, given)
    dossier = approving.approve(visit.seal, visit.actor, number, made)
    ready = dossier if dossier.state is State.APPROVED else None
    return Reply(to=f"{ONE}{dossier.id}&said=approved", status=303, approved=ready)


def deny(visit: Visit) -> Reply:
    """Say no, with a reason; it is final."""
    dossier = decline.deny(visit.seal, visit.actor, visit.text("id"), visit.text("reason"))
    return go(f"{ONE}{dossier.id}&said=denied")


def cancel(visit: Visit) -> Reply:
    """Take one's own request back."""
    dossier = decline.cancel(visit.seal, visit.actor, visit.text("id"))
    return go(f"{ONE}{dossier.id}&said=cancelled")


def approver_key(visit: Visit) -> Reply:
    """Show by which passkeys one could approve, as a charter takes them, and which charters have them."""
    member = visit.actor.member
    known = people.approver_keys(visit.seal, member.subscriber, member.id)
    made = amending.approvers_of(member, known)
    with visit.seal.records.reading(member.subscriber) as tx:
        pairs = keys.key_pairs_of(tx)
    charters = [(pair, [each for each in pair.approvers if each.member == member.id]) for pair in pairs]
    document = msgspec.json.format(msgspec.json.encode(made), indent=2).decode()
    shows = {"known": list(zip(made, known, strict=True)), "document": document if made else "", "charters": charters}
    return Reply("approver_key.html", shows | {"in_charter": _in_charter})


def _in_charter(approver: Approver, known: list[Approver]) -> bool:
    return any(each.public_key == approver.public_key for each in known)


def _holds(frozen: Frozen, request: SigningRequest, dossier: Dossier) -> bool:
    named = {"key": (request.key,), "policy": dossier.allowed_by, "subscriber": (dossier.subscriber,)}
    return frozen.name in named[frozen.kind]


def _stage(visit: Visit) -> int:
    stage = visit.text("stage")
    if not (stage.isascii() and stage.isdigit() and len(stage) <= 2):
        raise NotFound("There is no such stage.")
    return int(stage)


def _line(dossier: Dossier, names: dict[str, str], *, mine: bool = False) -> Line:
    request = decode_canonical(dossier.canonical, SigningRequest)
    return Line(dossier=dossier, request=request, who=names.get(dossier.requester, dossier.requester), mine=mine)
