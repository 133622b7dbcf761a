"""A person of the Subscriber reads an issued certificate and accepts it, or does not (CSBR 9.6.3); then it is used.

What is accepted is what was shown: whoever accepts names its fingerprint. That it is accepted is a statement in the
log, which the gate looks for before the first signature under it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from privyseal.access import permissions
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.compliance.statement_words import MOST_REQUIREMENTS
from privyseal.compliance.statements import Administered
from privyseal.compliance.statements_of_certificates import CertificateAccepted
from privyseal.errors import Conflict, NotPermitted, VerificationFailed
from privyseal.pki import certificates
from privyseal.records import keys, orders
from privyseal.records.events import Event
from privyseal.signing import announce, authorities, life, voice
from privyseal.signing.forms_of_certificates import Facts, Judged, Shown, view
from privyseal.signing.instance import PrivySeal
from privyseal.terms.certificates import Certificate
from privyseal.terms.orders import FOLLOWS, Order, OrderState
from privyseal.terms.parties import Actor

if TYPE_CHECKING:
    from privyseal.compliance.lint import Linted

_OPEN = frozenset({Verdict.NOT_EVIDENCED, Verdict.JUDGEMENT})
_BAD = frozenset({Verdict.NOT_MET, Verdict.BROKEN})
MOST_SHOWN = 200
"""Findings of each sort that are shown."""
LONGEST_NAME = 2000
"""Characters of a name that go into the statement."""


def shown(seal: PrivySeal, subscriber: str, order_id: str) -> Shown:
    """Return an order, and of its certificate what it says and what the Requirements and other linters say of it."""
    order = authorities.one(seal, subscriber, order_id)
    if not order.chain:
        return Shown(order=view(order), csr=order.csr)
    judged, read = _judged(seal, order), certificates.read(order.chain[0])
    sorts: dict[Verdict, list[Judged]] = {}
    for each in judged.findings:
        said = Judged(requirement=each.requirement, clause=each.clause, verdict=each.verdict.value, text=each.text)
        sorts.setdefault(each.verdict, []).append(said)
    return Shown(
        order=view(order),
        csr=order.csr,
        facts=Facts(
            fingerprint=read.fingerprint,
            subject=read.subject,
            issuer=read.issuer,
            serial=read.serial,
            not_before=read.not_before,
            not_after=read.not_after,
            key_id=read.key_id,
        ),
        chain=order.chain,
        not_met=tuple(each for sort in _BAD for each in sorts.get(sort, ()))[:MOST_SHOWN],
        met=len(sorts.get(Verdict.MET, ())),
        open=tuple(each for sort in _OPEN for each in sorts.get(sort, ()))[:MOST_SHOWN],
    )


def accept(seal: PrivySeal, actor: Actor, subscriber: str, order_id: str, fingerprint: str) -> Order:
    """Accept an issued certificate by the fingerprint of the one that was read, and install it.

    Raises NotPermitted for a machine, Conflict where the order is not issued or its certificate is another one than was
    read, VerificationFailed where the certificate is not in force or no longer the key's.
    """
    seal.require_memory()
    permissions.require(actor, "accept-certificate", subscriber)
    _require_person(actor)
    order, now = authorities.one(seal, subscriber, order_id), seal.clock()
    if order.state is not OrderState.ISSUED:
        raise Conflict(f"The order is {order.state}; there is no certificate to accept.", hint="privyseal cert orders")
    if order.fingerprint != fingerprint:
        raise Conflict("The order's certificate is another one than was read.", hint="read it again")
    read = certificates.read(order.chain[0])
    if not read.in_force(now):
        raise VerificationFailed(f"The certificate is in force from {read.not_before} to {read.not_after}, not now.")
    accepted = _statement(actor, read, _judged(seal, order))
    done = _decided(order, OrderState.INSTALLED, "", actor, now)
    with seal.records.writing(subscriber) as tx:
        pair = keys.key_pair(tx, order.key)
        if pair.key_id != read.key_id:
            raise VerificationFailed(f"The certificate is for another public key than Key Pair {pair.name!r} has.")
        orders.replace(tx, order, done)
        keys.install_certificate(tx, fingerprint=read.fingerprint, key_id=pair.key_id, chain=order.chain, now=now)
        announce.stated(seal, tx, Event(now, actor.member.id, "certificate accepted", read.fingerprint), accepted)
        life.certified(seal, tx, pair, read.fingerprint, actor)
    return done


def refuse(seal: PrivySeal, actor: Actor, subscriber: str, order_id: str, reason: str) -> Order:
    """End an order that is open, or refuse the certificate that came of it; it is never used then.

    The certificate exists all the same, and its CA is to be asked to revoke it (CSBR 9.6.3). Conflict where the order
    is over.
    """
    order = authorities.one(seal, subscriber, order_id)
    permissions.require(
        actor, "accept-certificate" if order.state is OrderState.ISSUED else "order-certificate", subscriber
    )
    if OrderState.REFUSED not in FOLLOWS[order.state]:
        raise Conflict(f"The order is {order.state}, and stays so.", hint="privyseal cert revoke ends a certificate")
    now = seal.clock()
    done = _decided(order, OrderState.REFUSED, reason, actor, now)
    with seal.records.writing(subscriber) as tx:
        orders.replace(tx, order, done)
        what = "certificate refused" if order.fingerprint else "certificate order ended"
        detail = f"{order.key} at {order.authority}: {reason}"[:LONGEST_NAME]
        announce.administered(seal, tx, Administered(actor=actor.member.id, what=what, subject=order.id, detail=detail))
    return done


def _judged(seal: PrivySeal, order: Order) -> Linted:
    """Judge the certificate by the clauses in force when it was issued, beside those above it."""
    from privyseal.compliance.lint import lint  # a quarter of a second, which a service that starts does without

    with seal.records.reading_all_subscribers() as connection:
        choices = seal.stated.known_of_all_subscribers(connection).choices
    first, *above = order.chain
    (linted,) = lint(first, "certificate", Asked(seal.clock(), choices), issuers=above)
    return linted


def _statement(actor: Actor, read: Certificate, judged: Linted) -> CertificateAccepted:
    bad = sorted({each.requirement for each in judged.findings if each.verdict in _BAD})
    return CertificateAccepted(
        fingerprint=read.fingerprint,
        key_id=read.key_id,
        subject=read.subject[:LONGEST_NAME],
        issuer=read.issuer[:LONGEST_NAME],
        serial=read.serial,
        not_met=tuple(bad[:MOST_REQUIREMENTS]),
        by=actor.member.id,
        factors=voice.factors_of(actor),
    )


def _decided(order: Order, state: OrderState, words: str, actor: Actor, now: datetime) -> Order:
    return msgspec.structs.replace(order, state=state, words=words, again=None, decided=now, decided_by=actor.member.id)


def _require_person(actor: Actor) -> None:
    if actor.member.workload or actor.workload is not None or actor.scope is not None:
        raise NotPermitted(
            "A certificate is read and accepted by a person of the Subscriber, and this is a machine (CSBR 9.6.3).",
            hint="have an administrator accept it: privyseal cert accept",
        )
