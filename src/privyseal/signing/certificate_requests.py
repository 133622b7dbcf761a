"""Certificates are asked for: a request (PKCS #10) with the Subscriber's validated subject, signed inside the signer.

It is a use of the Subscriber's key, so it is logged before and agreed to as a signature over code is: by the key's own
approvers, in the stages of its charter. What they agree to is the act, which holds subject and attestation whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from privyseal.access import permissions, sessions
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput
from privyseal.pki import csr
from privyseal.pki.attestation import evidence
from privyseal.records import keys
from privyseal.signing import announce, custody, identities, voice
from privyseal.signing.instance import PrivySeal
from privyseal.strongroom.acts import RequestCertificate, decode_act
from privyseal.terms.keys import KeyPair
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Approval
from privyseal.terms.signatures import SCHEMES


class Wishes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For which key a certificate is asked for, and of which kind."""

    subscriber: str
    key: str
    """The Key Pair by its name."""
    ev: bool = False
    """Whether the subject is that of an EV certificate (CSBR 7.1.4.2.4)."""
    attested: bool = True
    """Whether the signer's Evidence of the key goes into the request (id-aa-attestation)."""


def proposal(seal: PrivySeal, wishes: Wishes) -> tuple[KeyPair, RequestCertificate]:
    """Return the Key Pair and the act that would have the request signed: what the key's approvers agree to.

    Raises NotPermitted where nobody wrote down who the Subscriber is, BadInput where EV is asked for and the identity
    is not one for it, or the key is of a kind that certificates are not asked for with.
    """
    with seal.records.reading(wishes.subscriber) as tx:
        pair = keys.key_pair(tx, wishes.key)
        identity = identities.validated(tx)
    act = RequestCertificate(
        expires_at=(seal.clock() + custody.LIFE_OF_AN_ACT).replace(microsecond=0),
        key_id=pair.key_id,
        version=seal.signer.charter(pair.key_id).charter.version,
        subject=csr.subject(identity, ev=wishes.ev),
        attestation=_evidence(seal, pair) if wishes.attested else b"",
    )
    csr.to_be_signed(_information(pair, act), SCHEMES[pair.scheme])
    return pair, act


def read(octets: bytes) -> RequestCertificate:
    """Read an act that asks for a request; BadInput where it is another, or none."""
    act = decode_act(octets)
    if not isinstance(act, RequestCertificate):
        raise BadInput("What was agreed to is another act than a request for a certificate.")
    return act


def request(
    seal: PrivySeal,
    actor: Actor | None,
    wishes: Wishes,
    approvals: Sequence[Approval] = (),
    agreed: RequestCertificate | None = None,
) -> bytes:
    """Have the request signed and return it, DER; None acts at the machine.

    ``agreed`` is the act that the approvals are for; where nobody has to agree it is made here. Raises NotPermitted
    where the key's charter asks for approvals that are not there, BadInput where the act is for another key or subject.
    """
    if actor is not None:
        permissions.require(actor, "order-certificate", wishes.subscriber)
        permissions.require_key(actor, wishes.key)
        sessions.require_recent(actor, seal.clock())
    pair, act = proposal(seal, wishes)
    if agreed is not None:
        if (agreed.key_id, agreed.subject) != (act.key_id, act.subject):  # the Evidence is made anew each time
            raise BadInput("What was agreed to is a request for another key or another subject.", hint="propose anew")
        act = agreed
    return carry_out(seal, voice.of(actor), pair, act, approvals)


def carry_out(
    seal: PrivySeal, by: str, pair: KeyPair, act: RequestCertificate, approvals: Sequence[Approval] = ()
) -> bytes:
    """Have what was agreed to signed, and return the request, DER; whatever the signer refuses is raised."""
    done = custody.acted(seal, act, pair.key_tag, tuple(approvals))
    with seal.records.writing(pair.subscriber) as tx:
        what = Administered(actor=by, what="certificate request signed", subject=pair.key_id, detail=pair.name)
        announce.administered(seal, tx, what)
    return csr.request(_information(pair, act), SCHEMES[pair.scheme], done.value)


def _evidence(seal: PrivySeal, pair: KeyPair) -> bytes:
    """Return the attestation bundle of a key: the signer's own Evidence, with a nonce that nobody else has."""
    read = seal.signer.evidence(pair.key_id, seal.draw(32))
    return csr.Bundle((csr.Statement(evidence.ARC, read.evidence),), (read.certificate,)).encode()


def _information(pair: KeyPair, act: RequestCertificate) -> bytes:
    return csr.information(act.subject, pair.public_key, act.attestation)
