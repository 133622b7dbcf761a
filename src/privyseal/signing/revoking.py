"""A certificate is revoked: who wants it, why and from when on is stated first, then its CA is asked.

The statement is in the records before the CA hears of it, and again with what the CA said; so a request is never lost,
and nobody can say afterwards that it was made earlier. Asking twice is harmless, so a CA that was down is asked again
until it says something.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import msgspec

from privyseal import telemetry
from privyseal.access import permissions
from privyseal.authorities.protocol import CertificateAuthority, RevocationAnswer, Revoked, Waiting
from privyseal.compliance.statements_of_certificates import RevocationAsked
from privyseal.errors import BadInput, NotFound, PrivySealError
from privyseal.records import keys, orders, statements
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, authorities
from privyseal.signing.forms_of_certificates import RevocationWish
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor

PATIENCE = timedelta(minutes=5)
"""How long after a CA was asked and said nothing it is asked again; whoever asked gets its answer by then."""


def revoke(seal: PrivySeal, actor: Actor, subscriber: str, fingerprint: str, wish: RevocationWish) -> RevocationAsked:
    """Have a certificate revoked that is installed, or was issued and refused; return what the CA said.

    Raises NotFound where the Subscriber has no such certificate, or nobody knows at which CA to ask; BadInput for a
    moment that has not come; what the CA's way raises, after which ``asked`` stands in the records.
    """
    seal.require_memory()
    permissions.require(actor, "revoke-certificate", subscriber)
    now = seal.clock()
    for moment in (wish.at, wish.since):
        if moment is not None and moment > now:
            raise BadInput("A certificate cannot be revoked from a moment on that has not come.")
    with seal.records.reading(subscriber) as tx:
        chain, name = _certificate(tx, fingerprint, wish.authority)
    asked = RevocationAsked(
        fingerprint=fingerprint,
        reason=wish.reason,
        at=(wish.at or now).replace(microsecond=0),
        authority=name,
        because=wish.because,
        by=actor.member.id,
        answered="asked" if wish.since is None else "revoked",
        since=wish.since,
    )
    if wish.since is not None:
        return _noted(seal, subscriber, asked, "certificate revoked")
    authority = authorities.named(seal, name)
    _noted(seal, subscriber, asked, "revocation asked for")
    return _noted(seal, subscriber, _answered(authority, asked, chain, now), "revocation answered")


def listed(tx: Transaction) -> list[RevocationAsked]:
    """List for which of the Subscriber's certificates a revocation was asked, and how each stands."""
    noted = [each.matter for each in statements.noted(tx, "certificate")]
    return [each for each in noted if isinstance(each, RevocationAsked)]


def insist(seal: PrivySeal) -> int:
    """Ask again, each once, the CAs that did not answer when they were asked to revoke; return how many now did.

    Where one is still down, or is configured no more, that is logged, and what was asked for stays as it stands.
    """
    seal.require_memory()
    now = seal.clock()
    with seal.records.reading_all_subscribers() as connection:
        stated = statements.stated_of_all_subscribers(connection, {"certificate"})
    last = {
        (each.said.subscriber, each.said.matter.fingerprint): each.said
        for each in stated
        if isinstance(each.said.matter, RevocationAsked)
    }
    heard = 0
    for (subscriber, fingerprint), said in last.items():
        asked = said.matter
        if not isinstance(asked, RevocationAsked) or asked.answered != "asked" or said.at + PATIENCE > now:
            continue
        try:
            with seal.records.reading(subscriber) as tx:
                chain, name = _certificate(tx, fingerprint, asked.authority)
            answered = _answered(authorities.named(seal, name), asked, chain, now)
            _noted(seal, subscriber, answered, "revocation answered")
            heard += 1
        except PrivySealError as error:
            facts = telemetry.Facts(code=error.code, detail=f"revocation of {fingerprint[:16]}: {error.detail}"[:500])
            telemetry.tell("revocation", facts, logging.WARNING)
    return heard


def _answered(
    authority: CertificateAuthority, asked: RevocationAsked, chain: tuple[bytes, ...], now: datetime
) -> RevocationAsked:
    try:
        answer: RevocationAnswer = authority.revoke(chain, asked.reason, asked.at, now)
    except PrivySealError as error:
        raise error.about(f"The revocation is written down, and {authority.name} has not taken it") from None
    if isinstance(answer, Revoked):
        return msgspec.structs.replace(asked, answered="revoked", since=answer.at)
    if isinstance(answer, Waiting):
        return msgspec.structs.replace(asked, answered="waiting", words=answer.words[: authorities.LONGEST_WORDS])
    return msgspec.structs.replace(asked, answered="refused", words=answer.why[: authorities.LONGEST_WORDS])


def _certificate(tx: Transaction, fingerprint: str, said: str) -> tuple[tuple[bytes, ...], str]:
    """Return a certificate's chain, and at whom it is to be revoked."""
    order = orders.of_certificate(tx, fingerprint)
    chain = keys.certificate_chain(tx, fingerprint) or (order.chain if order is not None else None)
    if not chain:
        raise NotFound(f"There is no certificate {fingerprint[:64]!r}.", hint="privyseal cert list")
    name = said or (order.authority if order is not None else "")
    if not name:
        raise NotFound(
            "The certificate was not ordered here, so nobody knows which CA to ask.",
            hint="name one with --at; by-hand is always there",
        )
    return chain, name


def _noted(seal: PrivySeal, subscriber: str, asked: RevocationAsked, what: str) -> RevocationAsked:
    with seal.records.writing(subscriber) as tx:
        announce.stated(seal, tx, Event(seal.clock(), asked.by, what, asked.fingerprint), asked)
    return asked
