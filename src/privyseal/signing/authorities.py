"""Certificates are ordered: a CSR goes to an authority, and what comes back is matched, completed and kept for reading.

The order is written down before the authority hears of it, so a crash in between loses none: it is asked again under
the order's own id. No authority is asked within a transaction, and no two walks ask of one order at a time: who asks
puts off ``again`` first, as a lease. What is issued is used only after ``acceptance.py``.
"""

from __future__ import annotations

import base64
import logging
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from privyseal import telemetry
from privyseal.authorities.protocol import Answer, CertificateAuthority, Issued, Refused, Waiting, Wishes
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, Conflict, NotFound, PrivySealError, Unavailable, VerificationFailed
from privyseal.pki import bundle, certificates, csr
from privyseal.records import keys, orders
from privyseal.records.database import Transaction
from privyseal.signing import announce, voice
from privyseal.signing.forms_of_certificates import NewOrder
from privyseal.signing.instance import PrivySeal
from privyseal.terms.keys import KeyPair
from privyseal.terms.orders import OPEN, Order, OrderState
from privyseal.terms.parties import Actor

LEASE = timedelta(minutes=2)
"""How long whoever asks an authority is left alone with an order; an exchange takes half a minute at most."""
SOON, LATER = timedelta(minutes=1), timedelta(minutes=15)
"""When an authority is asked again that did not answer, and one whose answer was no use."""
BATCH = 16
"""Orders that one round of the duty takes up."""
LONGEST_WORDS = 1000
"""Characters of what an authority says that are kept."""
LONGEST_REFERENCE = 2000
"""Characters of what an authority finds an order again by."""


def ask(seal: PrivySeal, actor: Actor | None, subscriber: str, given: NewOrder) -> Order:
    """Order a certificate and ask the authority at once; what it says, or why it said nothing, stands in the order.

    Raises NotFound for an authority or a Key Pair that is not there, BadInput for a CSR that is none,
    VerificationFailed where its own signature is wrong or it is for another key.
    """
    voice.require(actor, "order-certificate", subscriber)
    authority = named(seal, given.authority)
    asked = csr.read(given.csr)
    now = seal.clock()
    order = Order(
        id="O-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        key=given.key,
        key_id=asked.key_id,
        authority=authority.name,
        state=OrderState.ASKED,
        csr=asked.der,
        asked=now,
        by=voice.of(actor),
        ev=given.ev,
        again=now + LEASE,
    )
    with seal.records.writing(subscriber) as tx:
        pair = keys.key_pair(tx, given.key)
        if pair.key_id != asked.key_id:
            raise VerificationFailed(
                f"The CSR is for another public key than Key Pair {pair.name!r} has.",
                hint="privyseal key csr makes one",
            )
        orders.add(tx, order)
        _administered(seal, tx, order, voice.of(actor), "certificate asked for")
    with suppress(PrivySealError):  # what went wrong stands in the order, and the duty asks again
        return _put(seal, subscriber, authority, order)
    return one(seal, subscriber, order.id)


def tend(seal: PrivySeal) -> int:
    """Ask authorities about every order that is due, and have a rehearsal's lists made anew; return how many were."""
    seal.require_memory()
    with suppress(PrivySealError, OSError):  # the next round tries again; the last list is good for days
        if seal.rehearsal_ca is not None:
            seal.rehearsal_ca.refresh(seal.clock())
    with seal.records.reading_all_subscribers() as connection:
        due = orders.due_of_all_subscribers(connection, seal.clock(), BATCH)
    for subscriber, order in due:
        try:
            authority = seal.authorities.get(order.authority)
            leased = _leased(seal, subscriber, order)
            if authority is None:
                words = f"No authority {order.authority!r} is configured any more."
                _written(seal, subscriber, leased, words=words, again=seal.clock() + LATER)
            else:
                _put(seal, subscriber, authority, leased)
        except PrivySealError as error:
            facts = telemetry.Facts(code=error.code, detail=f"order {order.id}: {error.detail}"[:500])
            telemetry.tell("order", facts, logging.WARNING)
    return len(due)


def receive(seal: PrivySeal, actor: Actor | None, subscriber: str, order_id: str, octets: bytes) -> Order:
    """Take in what a person brought of an order: certificates in any order, with strangers among them.

    Raises BadInput and VerificationFailed as ``pki.bundle`` does, of which nothing is written down; Conflict where the
    order is over.
    """
    voice.require(actor, "order-certificate", subscriber)
    order = one(seal, subscriber, order_id)
    if order.state not in OPEN:
        raise Conflict(f"The order is {order.state}; nothing is waited for.", hint="order another certificate")
    chain = _chain(seal, subscriber, order, tuple(bundle.read(octets)))
    return _issued(seal, subscriber, order, chain, voice.of(actor))


def one(seal: PrivySeal, subscriber: str, order_id: str) -> Order:
    """Return one order of the Subscriber; NotFound where it has none of that id."""
    with seal.records.reading(subscriber) as tx:
        return orders.get(tx, order_id)


def named(seal: PrivySeal, name: str) -> CertificateAuthority:
    """Return a configured authority by its name; NotFound where there is none."""
    found = seal.authorities.get(name)
    if found is None:
        known = ", ".join(sorted(seal.authorities)) or "none"
        raise NotFound(f"There is no certificate authority {name[:32]!r} here.", hint=f"there is {known}")
    return found


def _put(seal: PrivySeal, subscriber: str, authority: CertificateAuthority, order: Order) -> Order:
    """Ask the authority, and write down what it says; raise what kept it from saying anything, which is kept too."""
    now = seal.clock()
    try:
        if order.state is OrderState.ASKED:
            wishes = Wishes(reference=order.id, subscriber=subscriber, key=order.key, ev=order.ev)
            answer: Answer = authority.ask(order.csr, wishes, now)
        else:
            answer = authority.collect(order.reference, order.csr, now)
    except PrivySealError as error:
        pause = SOON if isinstance(error, Unavailable) else LATER
        _written(seal, subscriber, order, words=error.detail, again=seal.clock() + pause)
        raise
    return _heard(seal, subscriber, authority, order, answer)


def _heard(seal: PrivySeal, subscriber: str, authority: CertificateAuthority, order: Order, answer: Answer) -> Order:
    if isinstance(answer, Waiting):
        again = None if authority.by_people else answer.again or seal.clock() + 5 * SOON
        reference = answer.order[:LONGEST_REFERENCE]
        changed = {"state": OrderState.WAITING, "reference": reference}
        return _written(seal, subscriber, order, words=answer.words, again=again, **changed)
    if isinstance(answer, Issued):
        try:
            chain = _chain(seal, subscriber, order, answer.chain)
        except (BadInput, VerificationFailed) as error:
            answer = Refused(why=f"What {authority.name} issued is of no use: {error.detail}")
        else:
            return _issued(seal, subscriber, order, chain, voice.ITSELF)
    with seal.records.writing(subscriber) as tx:
        over = _changed(order, answer.why, None)
        over = msgspec.structs.replace(
            over, state=OrderState.REFUSED, decided=seal.clock(), decided_by=f"authority {authority.name}"
        )
        orders.replace(tx, order, over)
        _administered(seal, tx, over, voice.ITSELF, "certificate refused by its ca")
    return over


def _chain(seal: PrivySeal, subscriber: str, order: Order, bag: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the chain of the order's key; completed with what is installed of the same Subscriber's other ones."""
    with seal.records.reading(subscriber) as tx:
        known = [each for chain in keys.certificate_chains_of(tx) for each in chain[1:]]
    return bundle.chain_of(order.key_id, bag[: bundle.MOST], seal.clock(), list(dict.fromkeys(known))[: bundle.MOST])


def _issued(seal: PrivySeal, subscriber: str, order: Order, chain: tuple[bytes, ...], who: str) -> Order:
    read = certificates.read(chain[0])
    here = _changed(order, "A person has to read and accept it.", None)
    here = msgspec.structs.replace(here, state=OrderState.ISSUED, chain=chain, fingerprint=read.fingerprint)
    with seal.records.writing(subscriber) as tx:
        pair: KeyPair = keys.key_pair(tx, order.key)
        if pair.key_id != order.key_id:
            raise VerificationFailed(f"Key Pair {pair.name!r} has another public key than the order is for.")
        orders.replace(tx, order, here)
        _administered(seal, tx, here, who, "certificate issued")
    return here


def _leased(seal: PrivySeal, subscriber: str, order: Order) -> Order:
    with seal.records.writing(subscriber) as tx:
        return orders.replace(tx, order, msgspec.structs.replace(order, again=seal.clock() + LEASE))


def _written(
    seal: PrivySeal, subscriber: str, order: Order, *, words: str, again: datetime | None, **changed: object
) -> Order:
    """Write down how an open order stands; of that alone the log has nothing, for nobody did anything."""
    becomes = msgspec.structs.replace(_changed(order, words, again), **changed)
    with seal.records.writing(subscriber) as tx:
        return orders.replace(tx, order, becomes)


def _changed(order: Order, words: str, again: datetime | None) -> Order:
    plain = "".join(each if each.isprintable() else " " for each in words)
    return msgspec.structs.replace(order, words=plain[:LONGEST_WORDS], again=again)


def _administered(seal: PrivySeal, tx: Transaction, order: Order, who: str, what: str) -> None:
    detail = f"{order.key} at {order.authority}" + (f": {order.fingerprint}" if order.fingerprint else "")
    announce.administered(seal, tx, Administered(actor=who, what=what, subject=order.id, detail=detail))
