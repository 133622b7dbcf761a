"""A Subscriber's members come in, and get or lose what lets them in; each is an entry of the log."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

import msgspec

from privyseal.access import client_certificates, duties_apart
from privyseal.access.client_certificates import ClientCertificate
from privyseal.access.credentials import new_token
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, Conflict, NotPermitted
from privyseal.records import parties
from privyseal.records.database import Transaction
from privyseal.signing import announce, subscribers, voice
from privyseal.signing.forms_of_parties import NewMember
from privyseal.signing.instance import PrivySeal
from privyseal.terms import names
from privyseal.terms.parties import Actor, Member, Role, Subscriber


def subscriber(seal: PrivySeal, name: str, display_name: str) -> Subscriber:
    """Take in a Subscriber on the service's own word; see :func:`privyseal.signing.subscribers.take_in`."""
    return subscribers.take_in(seal, None, name, display_name)


def tag_key_digest(owner: Subscriber) -> str:
    """Return SHA-256 of a Subscriber's tag key, lower-case hex: what an act may say of it in public."""
    return hashlib.sha256(owner.tag_key).hexdigest()


def by_an_administrator(seal: PrivySeal, actor: Actor, new: NewMember) -> Member:
    """Take in a member of the Actor's own Subscriber.

    Raises BadInput for a name that nobody can be known by, Conflict where somebody in use is called so already, and
    NotPermitted for a role that only the operator's members have.
    """
    voice.require(actor, "manage-members", actor.subscriber)
    name = names.require_plain(new.name, "The member's name")
    _require_roles(seal, actor, new.roles)
    if new.until is not None and new.until <= seal.clock():
        raise BadInput("The account would be over already.", hint="name a moment that is to come")
    incoming = Member(_new_id(seal), actor.subscriber, name, new.roles, new.workload)
    with seal.records.writing(actor.subscriber) as tx:
        others = [each.member.name for each in parties.accounts(tx) if each.ended is None]
        if name in others:
            raise Conflict(f"There is a member called {name!r} already.", hint="choose another name")
        names.require_unlike(name, others, "The member's name")
        _take_in(seal, tx, actor, incoming, new.until)
    return incoming


def set_roles(seal: PrivySeal, actor: Actor, member: str, roles: tuple[Role, ...]) -> Member:
    """Give a member of the Actor's Subscriber, by id or name, these roles and no others; nobody changes their own."""
    voice.require(actor, "manage-members", actor.subscriber)
    with seal.records.writing(actor.subscriber) as tx:
        before = parties.member(tx, member)
        duties_apart.require_not_oneself(actor.member.id, before.id)
        _require_roles(seal, actor, roles)
        if before.roles == roles:
            return before  # whoever lost the answer asks again
        parties.set_roles(tx, before.id, roles)
        words = f"{' '.join(before.roles) or 'none'} -> {' '.join(roles) or 'none'}"
        _administered(seal, tx, actor, "roles changed", before.id, words)
        return msgspec.structs.replace(before, roles=roles)


def _require_roles(seal: PrivySeal, actor: Actor, roles: tuple[Role, ...]) -> None:
    if Role.OPERATOR in roles and actor.subscriber != seal.service.operator:
        raise NotPermitted("Only members of the operator's Subscriber operate the service.")
    if len(set(roles)) != len(roles):
        raise BadInput("A role is named twice.")
    duties_apart.require_roles_apart(roles)


def _administered(
    seal: PrivySeal, tx: Transaction, actor: Actor | None, what: str, subject: str, detail: str = ""
) -> None:
    act = Administered(actor=voice.of(actor), what=what, subject=subject, detail=detail)
    announce.administered(seal, tx, act)


# The facts of a member come one by one: half a hundred callers hold no struct of them.
def member(
    seal: PrivySeal,
    of: str,
    name: str,
    roles: tuple[Role, ...],
    workload: bool | None = None,
    actor: Actor | None = None,
) -> Member:
    """Take in a member of a Subscriber; ``workload`` says whether it is a machine (CSBR 6.2.7.3)."""
    incoming = Member(_new_id(seal), of, name, roles, workload)
    with seal.records.writing(of) as tx:
        parties.subscriber(tx)
        _take_in(seal, tx, actor, incoming, None)
    return incoming


def _new_id(seal: PrivySeal) -> str:
    return "M-" + base64.b32encode(seal.draw(15)).decode("ascii").lower()


def _take_in(seal: PrivySeal, tx: Transaction, actor: Actor | None, incoming: Member, until: datetime | None) -> None:
    parties.add_member(tx, incoming, until)
    words = f"roles: {' '.join(incoming.roles) or 'none'}" + (f"; until {until.isoformat()}" if until else "")
    _administered(seal, tx, actor, "member taken in", incoming.id, words)


def token(seal: PrivySeal, holder: Member, expires: datetime | None = None, actor: Actor | None = None) -> str:
    """Give a member a new bearer token: returned once, kept only as its SHA-256."""
    secret, digest = new_token(seal.draw)
    with seal.records.writing(holder.subscriber) as tx:
        parties.add_token(tx, holder.id, digest, seal.clock(), expires)
        _administered(seal, tx, actor, "token given", holder.id, f"until {expires or 'it is revoked'}")
    return secret


def revoke_token(seal: PrivySeal, of: str, digest: bytes, actor: Actor | None = None) -> None:
    """End the token with this SHA-256 of a Subscriber's member: here from the next request on.

    Other nodes hear of it where they listen to the records, and else refuse it a second later.
    """
    with seal.records.writing(of) as tx:
        parties.remove_token(tx, digest)
        _administered(seal, tx, actor, "token revoked", digest.hex())


def client_certificate(
    seal: PrivySeal,
    holder: Member,
    certificate: bytes,
    expires: datetime | None = None,
    actor: Actor | None = None,
) -> ClientCertificate:
    """Register the public key of a client certificate, DER, for a member: every certificate for it is then theirs.

    The certificate must be one for a client and in force (NotAuthenticated, as it would be at the door); Conflict where
    the key is registered already. ``expires`` ends the registration, whatever certificates say.
    """
    facts = client_certificates.read(certificate)
    client_certificates.check(facts, seal.clock())
    with seal.records.reading_all_subscribers() as connection:
        parties.require_free_key_of_all_subscribers(connection, facts.key_digest)
    with seal.records.writing(holder.subscriber) as tx:
        parties.add_client_certificate(tx, holder.id, facts.key_digest, seal.clock(), expires)
        _administered(seal, tx, actor, "client certificate registered", holder.id, f"key {facts.key_digest.hex()}")
    return facts


def forget_client_certificate(seal: PrivySeal, of: str, key_digest: bytes, actor: Actor | None = None) -> None:
    """End the registration of a public key of a Subscriber's member; it holds from the next request on."""
    with seal.records.writing(of) as tx:
        parties.remove_client_certificate(tx, key_digest)
        _administered(seal, tx, actor, "client certificate forgotten", key_digest.hex())
