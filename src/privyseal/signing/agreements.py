"""Papers are added by the operator and accepted by those whom they bind; what is accepted is in force from then on.

A new version is in force when it was accepted, and until then the one before is. Each request to sign remembers the
log's entry of the newest acceptance (``submit.py``), so that it can be said for every signature what was in force.
"""

from __future__ import annotations

import re
from contextlib import suppress

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.statements import Administered, Stated
from privyseal.compliance.statements_of_parties import Accepted
from privyseal.errors import BadInput, Conflict, NotFound, PrivySealError
from privyseal.records import agreements, events, parties, statements
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, paper, voice
from privyseal.signing.forms_of_parties import Acceptance
from privyseal.signing.instance import PrivySeal
from privyseal.terms.agreements import OF_THE_SERVICE, Paper, Version
from privyseal.terms.parties import Actor

TOPIC = "agreement"
"""What the log says that an acceptance is about."""

_UNDER = re.compile(r"submitted, [a-z]+, papers ([0-9]+)\Z")


def add(seal: PrivySeal, actor: Actor | None, of: str, added: Paper) -> Version:
    """Add the next version of a paper of a Subscriber, or of the service's own; the same again changes nothing.

    Raises BadInput for a paper that cannot be, NotPermitted for all but the operator's members, NotFound where there
    is no such Subscriber.
    """
    voice.require_operator(seal, actor, "manage-agreements")
    added.require_sound()
    strange = sorted(each for each in added.answers if each not in BY_ID)
    if strange:
        raise BadInput(f"No requirement is called {strange[0][:60]!r}.", hint="privyseal requirement list")
    if added.kind in OF_THE_SERVICE and seal.service.operator not in (None, of):
        raise BadInput(f"A {added.kind} is the service's own; it is kept with {seal.service.operator!r}.")
    with seal.records.writing(of) as tx:
        parties.subscriber(tx)
        known = agreements.versions(tx, added.kind)[-1:]
        version = agreements.add(tx, added, seal.clock(), voice.of(actor))
        if [version] != known:
            act = Administered(
                actor=voice.of(actor),
                what="paper added",
                subject=f"{added.kind} {version.version}",
                detail=f"SHA-256 {version.sha256}",
            )
            announce.administered(seal, tx, act)
    return version


def accept(seal: PrivySeal, actor: Actor | None, of: str, given: Acceptance) -> Accepted:
    """Accept the newest version of a paper on behalf of a Subscriber; again it changes nothing.

    Raises Conflict where the paper has a newer version than the one that was read, NotFound where there is none.
    """
    voice.require(actor, "accept-agreement", of)
    with seal.records.writing(of) as tx:
        newest = agreements.version(tx, given.kind)
        if newest.sha256 != given.sha256:
            raise Conflict(
                f"The newest version of this {given.kind} is {newest.version}, with SHA-256 {newest.sha256[:16]}...;"
                " another one was accepted.",
                hint="read it: privyseal agreement show " + given.kind,
            )
        accepted = Accepted(
            kind=given.kind,
            version=newest.version,
            sha256=newest.sha256,
            about="service" if given.kind in OF_THE_SERVICE else f"subscriber:{of}",
            answers=tuple(sorted(newest.paper.answers)),
            representative=given.representative,
            by=voice.of(actor),
            factors=voice.factors_of(actor),
        )
        if accepted not in in_force(tx):
            event = Event(seal.clock(), voice.of(actor), "paper accepted", f"{given.kind} {newest.version}")
            announce.stated(seal, tx, event, accepted)
            events.record(tx, Event(seal.clock(), voice.of(actor), "papers changed", of))  # it is judged again
    with suppress(PrivySealError):  # it counts once it is logged; where the log is away now, the duties see to it
        paper.finish(seal)
    return accepted


def in_force(tx: Transaction) -> list[Accepted]:
    """Return which versions the transaction's Subscriber accepted last, logged or about to be."""
    return [each.matter for each in statements.noted(tx, TOPIC) if isinstance(each.matter, Accepted)]


def under(tx: Transaction, request_id: str) -> list[Accepted]:
    """Return the versions that were in force when a request was made, the newest of each kind.

    The request's first event names the entry in the log of the newest acceptance. NotFound where there is no such
    request; nothing where no paper was accepted then.
    """
    happened = [each.what for each in events.events_about(tx, request_id)]
    if not any(what.startswith("submitted") for what in happened):
        raise NotFound(f"There is no request {request_id[:64]!r}.")
    named = [int(found[1]) for what in happened if (found := _UNDER.match(what))]
    if not named:
        return []
    return _last([each for each in statements.listed(tx, TOPIC) if each.entry <= named[0]])


def _last(stated: list[Stated]) -> list[Accepted]:
    newest = {each.said.matter.slot: each.said.matter for each in stated}
    return [each for each in newest.values() if isinstance(each, Accepted)]
