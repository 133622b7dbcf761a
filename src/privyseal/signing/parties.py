"""CAs, resellers and partners: what stands between them and the service, and whom they concern.

They are kept with the operator's Subscriber, as what the service states of them; nobody else sees them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from privyseal.compliance.statements_of_parties import CaToTell, Linked, PartyStands
from privyseal.errors import BadInput, Misused, NotFound
from privyseal.records import parties, statements
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, voice
from privyseal.signing.forms_of_parties import NewParty, Party
from privyseal.signing.instance import PrivySeal
from privyseal.signing.subscribers import NAME
from privyseal.terms.parties import Actor


def add(seal: PrivySeal, actor: Actor, given: NewParty) -> PartyStands:
    """Write down a party, or what changed of it; NotFound where a document that it names was not taken in."""
    voice.require_operator(seal, actor, "manage-agreements")
    if not NAME.match(given.name):
        raise Misused(f"{given.name[:80]!r} cannot name a party.", hint="lower-case letters, digits and dashes")
    if given.report_to and given.kind != "ca":
        raise BadInput("Only a CA takes problem reports.")
    stands = msgspec.convert(msgspec.to_builtins(given) | {"by": actor.member.id}, PartyStands)
    with seal.records.writing(actor.subscriber) as tx:
        for digest in filter(None, (given.contract, given.audit_report)):
            if statements.last(tx, f"document:{digest}") is None:
                raise NotFound(f"There is no document {digest[:16]}... among the evidence.", hint="add it first")
        announce.stated(seal, tx, Event(seal.clock(), actor.member.id, "party changed", given.name), stands)
    return stands


def link(seal: PrivySeal, actor: Actor, party: str, subscriber: str) -> Linked:
    """Write down that a Subscriber came through a party, or has its certificates from it."""
    voice.require_operator(seal, actor, "manage-agreements")
    with seal.records.reading(subscriber) as other:
        parties.subscriber(other)
    linked = Linked(party=party, subscriber=subscriber, by=actor.member.id)
    with seal.records.writing(actor.subscriber) as tx:
        _party(tx, party)
        announce.stated(seal, tx, Event(seal.clock(), actor.member.id, "party linked", party), linked)
    return linked


def must_tell(
    seal: PrivySeal,
    actor: Actor,
    of: tuple[str, str],
    what: Literal["compromise", "suspect-code"],
    known: datetime,
) -> CaToTell:
    """Start the 24 hours in which a CA is to be told (``of`` names it and the Subscriber) of what is known so long.

    Raises BadInput for a moment that has not come, NotFound where the CA is not linked with the Subscriber.
    """
    voice.require_operator(seal, actor, "manage-agreements")
    ca, subscriber = of
    if known > seal.clock():
        raise BadInput("It cannot be known since a moment that has not come.")
    moment = known.astimezone(UTC).replace(microsecond=0)
    new = CaToTell(ca=ca, subscriber=subscriber, what=what, known=moment, by=actor.member.id)
    with seal.records.writing(actor.subscriber) as tx:
        party = _party(tx, ca)
        if party.stands.kind != "ca" or subscriber not in party.subscribers:
            raise NotFound(f"No CA {ca[:63]!r} is linked with {subscriber[:63]!r}.", hint="privyseal party link")
        if new.slot not in {each.slot for each in party.to_tell}:
            announce.stated(seal, tx, Event(seal.clock(), actor.member.id, "ca is to be told", ca), new)
    return new


def told(seal: PrivySeal, actor: Actor, ca: str, subscriber: str, at: datetime) -> list[CaToTell]:
    """Write down when a CA was told of all that it was to be told of a Subscriber; return those notices."""
    voice.require_operator(seal, actor, "manage-agreements")
    if at > seal.clock():
        raise BadInput("Nobody was told at a moment that has not come.")
    moment = at.astimezone(UTC).replace(microsecond=0)
    with seal.records.writing(actor.subscriber) as tx:
        waiting = [
            each for each in _to_tell(tx) if (each.ca, each.subscriber) == (ca, subscriber) and each.told is None
        ]
        if not waiting:
            raise NotFound(f"{ca[:63]!r} is not waiting to be told of {subscriber[:63]!r}.")
        if any(moment < each.known for each in waiting):
            raise BadInput("The CA cannot have been told before the service knew.")
        done = [msgspec.structs.replace(each, told=moment, by=actor.member.id) for each in waiting]
        for each in done:
            announce.stated(seal, tx, Event(seal.clock(), actor.member.id, "ca was told", ca), each)
    return done


def everyone(seal: PrivySeal, actor: Actor) -> list[Party]:
    """List all parties for the operator's members, by name."""
    voice.require_operator(seal, actor, "manage-agreements")
    with seal.records.reading(actor.subscriber) as tx:
        return _all(tx)


def one(seal: PrivySeal, actor: Actor, name: str) -> Party:
    """Return one party for the operator's members; NotFound where there is none of that name."""
    voice.require_operator(seal, actor, "manage-agreements")
    with seal.records.reading(actor.subscriber) as tx:
        return _party(tx, name)


def _party(tx: Transaction, name: str) -> Party:
    found = [each for each in _all(tx) if each.stands.name == name]
    if not found:
        raise NotFound(f"There is no party named {name[:63]!r}.", hint="privyseal party list")
    return found[0]


def _all(tx: Transaction) -> list[Party]:
    stated = [each.matter for each in statements.noted(tx, "party")]
    links = [each for each in stated if isinstance(each, Linked)]
    waiting = _to_tell(tx)
    return [
        Party(
            stands=each,
            subscribers=tuple(sorted(link.subscriber for link in links if link.party == each.name)),
            to_tell=tuple(notice for notice in waiting if notice.ca == each.name),
        )
        for each in sorted((each for each in stated if isinstance(each, PartyStands)), key=lambda one: one.name)
    ]


def _to_tell(tx: Transaction) -> list[CaToTell]:
    return [each.matter for each in statements.noted(tx, "notice") if isinstance(each.matter, CaToTell)]
