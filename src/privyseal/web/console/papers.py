"""Papers, read clause by clause and accepted by a named representative; and how far one's Subscriber is enrolled."""

from __future__ import annotations

import msgspec

from privyseal.compliance.statements_of_parties import Accepted
from privyseal.errors import BadInput
from privyseal.records import agreements as kept
from privyseal.records.database import Transaction
from privyseal.signing import agreements, subscribers
from privyseal.signing.forms_of_parties import Acceptance
from privyseal.terms.agreements import PaperKind, Representative, Version, changes
from privyseal.terms.subscribers import STEPS
from privyseal.web.console.visit import Reply, Visit, go

PATH = "/console/agreements"
CALLED = {
    PaperKind.AGREEMENT: "Subscriber Agreement of the CA",
    PaperKind.COMMITMENTS: "Commitments to the Signing Service",
    PaperKind.CONTRACT: "Contract with the CA",
    PaperKind.INTERNAL: "Internal agreement",
}
"""How the pages call the kinds of paper."""


def show(visit: Visit) -> Reply:
    """List the papers with what is accepted, and the steps of the enrolment."""
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        listed = list(newest(tx).values())
        in_force = accepted(tx)
        enrolled = subscribers.enrolled(tx)
    shows = {"listed": listed, "in_force": in_force, "enrolled": enrolled, "steps": STEPS, "called": CALLED}
    return Reply("agreements.html", shows)


def one(visit: Visit) -> Reply:
    """Show the newest version of a paper, and what it changes of the one that was accepted."""
    kind = _kind(visit.query.get("kind", ""))
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        newest_of = kept.version(tx, kind)
        before = accepted(tx).get(kind)
        old = None if before is None else kept.version(tx, kind, before.version)
    shows = {
        "version": newest_of,
        "before": before,
        "changes": [] if old is None else changes(old.paper, newest_of.paper),
        "current": before is not None and before.sha256 == newest_of.sha256,
        "may_accept": visit.may("accept-agreement"),
        "recent": visit.recent,
        "called": CALLED,
    }
    return Reply("agreement.html", shows)


def accept(visit: Visit) -> Reply:
    """Accept the version that the page showed, as its named representative."""
    kind = _kind(visit.text("kind"))
    said = {name: visit.text(name).strip() for name in ("name", "title", "capacity")}
    proof = f"signed in to the console as {visit.actor.member.name}, by {visit.actor.proof}"[:200]
    try:
        who = msgspec.convert(said | {"authenticated": proof}, Representative)
    except msgspec.ValidationError as error:
        raise BadInput("The representative is not said whole.", hint="name, title and capacity, a line each") from error
    given = Acceptance(kind=kind, sha256=visit.text("sha256"), representative=who)
    agreements.accept(visit.seal, visit.actor, visit.actor.subscriber, given)
    return go(f"{PATH}/one?kind={kind}&said=accepted")


def newest(tx: Transaction) -> dict[PaperKind, Version]:
    """Return the newest version of each kind of paper that there is."""
    return {each.paper.kind: each for each in kept.versions(tx)}


def accepted(tx: Transaction) -> dict[PaperKind, Accepted]:
    """Return what was accepted last of each kind."""
    return {each.kind: each for each in agreements.in_force(tx)}


def _kind(text: str) -> PaperKind:
    try:
        return PaperKind(text)
    except ValueError as error:
        raise BadInput("No kind of paper is called so.", hint="choose one of the list") from error
