"""Who a Subscriber is in law: written down by the operator's members as a CA validated it, and read for its requests.

Nobody but them writes it, because the subject of a certificate is made of it: a Subscriber that could name itself could
ask for a certificate in another's name.
"""

from __future__ import annotations

from privyseal.compliance.statements_of_identity import IdentityValidated
from privyseal.errors import Misused, NotPermitted
from privyseal.records import parties, statements
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, voice
from privyseal.signing.instance import PrivySeal
from privyseal.terms.identity import LegalIdentity, require_sound
from privyseal.terms.parties import Actor


def validate(seal: PrivySeal, actor: Actor | None, name: str, identity: LegalIdentity, how: str) -> IdentityValidated:
    """Write down who a Subscriber is in law and by which record of the CA; what was said before is replaced.

    Raises BadInput for what could stand in no subject, Misused where it is not said how it is known, NotPermitted for
    all but the operator's members.
    """
    voice.require_operator(seal, actor, "manage-subscribers")
    require_sound(identity)
    if not how.strip():
        raise Misused("How the identity was checked is not said.", hint="name the CA's record: an order, a certificate")
    said = IdentityValidated(subscriber=name, identity=identity, how=how, by=voice.of(actor))
    with seal.records.writing(name) as tx:
        parties.subscriber(tx)
        before = stated(tx)
        if before is not None and (before.identity, before.how) == (identity, how):
            return before  # whoever lost the answer asks again
        announce.stated(seal, tx, Event(seal.clock(), said.by, "identity validated", name), said)
    return said


def stated(tx: Transaction) -> IdentityValidated | None:
    """Return what was written down last of the transaction's Subscriber; None where nothing was."""
    found = [each.matter for each in statements.noted(tx, "standing")]
    return next((each for each in found if isinstance(each, IdentityValidated)), None)


def validated(tx: Transaction) -> LegalIdentity:
    """Return who the transaction's Subscriber is in law; NotPermitted where nobody wrote it down."""
    found = stated(tx)
    if found is None:
        raise NotPermitted(
            f"Nobody has written down who {tx.subscriber!r} is in law, so no subject can be named.",
            hint="the operator does, as the CA validated it: privyseal subscriber identity NAME FILE --how RECORD",
        )
    return found.identity
