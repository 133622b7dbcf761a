"""Subscribers come in, stop, go on and leave, on the word of the operator's members; see ``terms/subscribers.py``."""

from __future__ import annotations

import re
from datetime import datetime

from privyseal.compliance.statements_of_parties import Stands
from privyseal.errors import Misused, NotPermitted
from privyseal.records import events, keys, parties, statements
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import agreements, announce, voice
from privyseal.signing.forms_of_parties import Enrolled, Steps
from privyseal.signing.instance import PrivySeal
from privyseal.terms.agreements import PaperKind
from privyseal.terms.parties import Actor, Role, Subscriber
from privyseal.terms.subscribers import STEPS, Standing, Step, require_move

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
"""A host name's label (RFC 1123 2.1), for names stand in URLs."""

RESERVED = frozenset({"whoami", "token", "reports", "login", "logout"})
"""Names that the API's own paths below /v1/ have taken."""

ASKED_FOR: frozenset[str] = frozenset({"CSBR-9.6.5-04", "CSBR-9.6.5-05", "CSBR-9.6.5-06"})
"""What a Subscriber commits to before its first signature."""


def take_in(seal: PrivySeal, actor: Actor | None, name: str, display_name: str) -> Subscriber:
    """Take in a Subscriber, which is enrolling, and draw the key under which the log will know its keys by pseudonym.

    Raises Misused for a name that cannot be one, Conflict where it is taken, NotPermitted for all but the operator's.
    """
    voice.require_operator(seal, actor, "manage-subscribers")
    if name in RESERVED or not NAME.match(name):
        raise Misused(f"{name!r} cannot name a Subscriber.", hint="lower-case letters, digits and dashes, at most 63")
    incoming = Subscriber(name, display_name, seal.draw(32))
    with seal.records.batch() as batch:
        parties.add_subscriber_of_all_subscribers(batch.across_subscribers(), incoming, Standing.ENROLLING)
        with batch.item(name) as tx:
            _state(seal, tx, actor, "enrolled", Stands(subscriber=name, becomes=Standing.ENROLLING, by=voice.of(actor)))
    return incoming


def identify(seal: PrivySeal, actor: Actor | None, name: str, how: str) -> Enrolled:
    """Write down that a Subscriber's identity was held against the CA's record, and how; the first of its steps."""
    voice.require_operator(seal, actor, "manage-subscribers")
    if not how.strip():
        raise Misused("How the identity was checked is not said.", hint="name the CA's record: an order, a certificate")
    with seal.records.writing(name) as tx:
        parties.subscriber(tx)
        known = {each.matter for each in statements.noted(tx, "standing")}
        if not any(isinstance(each, Stands) and each.done is Step.IDENTITY and each.because == how for each in known):
            done = Stands(subscriber=name, done=Step.IDENTITY, by=voice.of(actor), because=how)
            _state(seal, tx, actor, "identity checked", done)
        return enrolled(tx)


def activate(seal: PrivySeal, actor: Actor | None, name: str, because: str = "") -> Enrolled:
    """Let a Subscriber ask for signatures, from the beginning or again; NotPermitted while a step is not done."""
    return _move(seal, actor, name, Standing.ACTIVE, because)


def suspend(seal: PrivySeal, actor: Actor | None, name: str, because: str) -> Enrolled:
    """Let nothing be signed for a Subscriber until it is activated again."""
    return _move(seal, actor, name, Standing.SUSPENDED, because)


def close(seal: PrivySeal, actor: Actor | None, name: str, because: str) -> Enrolled:
    """Let nothing be signed for a Subscriber ever again; its records are kept, and it can read them."""
    return _move(seal, actor, name, Standing.CLOSED, because)


def _move(seal: PrivySeal, actor: Actor | None, name: str, becomes: Standing, because: str) -> Enrolled:
    voice.require_operator(seal, actor, "manage-subscribers")
    with seal.records.writing(name) as tx:
        now = enrolled(tx)
        if now.standing is becomes:
            return now  # whoever lost the answer asks again
        require_move(name, now.standing, becomes)
        missing = [step for step, words in now.steps.items() if words]
        if becomes is Standing.ACTIVE and missing:
            raise NotPermitted(
                f"The Subscriber {name!r} is not ready: not done are {', '.join(missing)}.",
                hint="privyseal subscriber show NAME says what each step asks for",
            )
        parties.move(tx, now.standing, becomes)
        stands = Stands(subscriber=name, becomes=becomes, by=voice.of(actor), because=because)
        _state(seal, tx, actor, f"subscriber {becomes}", stands)
        return enrolled(tx)


def _state(seal: PrivySeal, tx: Transaction, actor: Actor | None, what: str, stands: Stands) -> None:
    announce.stated(seal, tx, Event(seal.clock(), voice.of(actor), what, tx.subscriber), stands)


def enrolled(tx: Transaction) -> Enrolled:
    """Return how the transaction's Subscriber stands; NotFound where there is none of that name."""
    found = parties.subscriber(tx)
    return Enrolled(name=found.name, display_name=found.display_name, standing=parties.standing(tx), steps=_missing(tx))


def everyone(seal: PrivySeal, actor: Actor | None) -> list[Enrolled]:
    """List all Subscribers for the operator's members."""
    voice.require_operator(seal, actor, "manage-subscribers")
    with seal.records.reading_all_subscribers() as connection:
        names = [each.name for each, _ in parties.subscribers_of_all(connection)]
    found = []
    for name in names:
        with seal.records.reading(name) as tx:
            found.append(enrolled(tx))
    return found


def one(seal: PrivySeal, actor: Actor | None, name: str) -> Enrolled:
    """Return one Subscriber for the operator's members."""
    voice.require_operator(seal, actor, "manage-subscribers")
    with seal.records.reading(name) as tx:
        return enrolled(tx)


def _missing(tx: Transaction) -> Steps:
    stated = [each.matter for each in statements.noted(tx, "standing")]
    identified = any(isinstance(each, Stands) and each.done is Step.IDENTITY for each in stated)
    here = [each for each in parties.accounts(tx) if each.ended is None]
    roles = {role for each in here for role in each.member.roles}
    missing = {
        Step.IDENTITY: identified,
        Step.PAPERS: _papers(tx),
        Step.PEOPLE: {Role.ADMINISTRATOR, Role.REQUESTER} <= roles,
        Step.KEY: any(keys.certificate_chains_of(tx, pair.key_id) for pair in keys.key_pairs_of(tx)),
    }
    return {step: "" if done else f"not so yet: {STEPS[step]}" for step, done in missing.items()}


def _papers(tx: Transaction) -> bool:
    accepted = {each.kind: each for each in agreements.in_force(tx)}
    commitments = accepted.get(PaperKind.COMMITMENTS)
    answered = frozenset() if commitments is None else frozenset(commitments.answers)
    return PaperKind.AGREEMENT in accepted and answered >= ASKED_FOR


def since(tx: Transaction) -> datetime | None:
    """Return when the transaction's Subscriber last changed how it stands; None where nobody wrote that down."""
    happened = events.events_about(tx, tx.subscriber)
    return max((each.at for each in happened if each.what.startswith(("enrolled", "subscriber "))), default=None)
