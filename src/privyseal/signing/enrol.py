"""A Subscriber and its members come in."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime

from privyseal.access import client_certificates
from privyseal.access.client_certificates import ClientCertificate
from privyseal.access.credentials import new_token
from privyseal.errors import Misused
from privyseal.records import events, parties
from privyseal.records.events import Event
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Member, Role, Subscriber

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
"""A host name's label (RFC 1123 2.1), for names stand in URLs."""


RESERVED = frozenset({"whoami", "login", "logout"})
"""Names that the API's own paths below /v1/ have taken."""


def subscriber(seal: PrivySeal, name: str, display_name: str) -> Subscriber:
    """Take in a Subscriber and draw the key under which the log will know its keys by pseudonym."""
    if name in RESERVED or not _NAME.match(name):
        raise Misused(f"{name!r} cannot name a Subscriber.", hint="lower-case letters, digits and dashes, at most 63")
    incoming = Subscriber(name, display_name, seal.draw(32))
    now = seal.clock()
    with seal.records.batch() as batch:
        parties.add_subscriber_of_all_subscribers(batch.across_subscribers(), incoming)
        with batch.item(name) as tx:
            events.record(tx, Event(now, "service", "enrolled", name))
    return incoming


def tag_key_digest(owner: Subscriber) -> str:
    """Return SHA-256 of a Subscriber's tag key, lower-case hex: what an act may say of it in public."""
    return hashlib.sha256(owner.tag_key).hexdigest()


def member(seal: PrivySeal, of: str, name: str, roles: tuple[Role, ...], workload: bool | None = None) -> Member:
    """Take in a member of a Subscriber; ``workload`` says whether it is a machine (CSBR 6.2.7.3)."""
    incoming = Member("M-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(), of, name, roles, workload)
    with seal.records.writing(of) as tx:
        parties.subscriber(tx)
        parties.add_member(tx, incoming)
        events.record(tx, Event(seal.clock(), "service", "member taken in", incoming.id))
    return incoming


def token(seal: PrivySeal, holder: Member, expires: datetime | None = None) -> str:
    """Give a member a new bearer token: returned once, kept only as its SHA-256."""
    secret, digest = new_token(seal.draw)
    with seal.records.writing(holder.subscriber) as tx:
        parties.add_token(tx, holder.id, digest, seal.clock(), expires)
        events.record(tx, Event(seal.clock(), "service", "token given", holder.id))
    return secret


def revoke_token(seal: PrivySeal, of: str, digest: bytes) -> None:
    """End the token with this SHA-256 of a Subscriber's member: here from the next request on.

    Other nodes hear of it where they listen to the records, and else refuse it a second later.
    """
    with seal.records.writing(of) as tx:
        parties.remove_token(tx, digest)
        events.record(tx, Event(seal.clock(), "service", "token revoked", digest.hex()))


def client_certificate(
    seal: PrivySeal, holder: Member, certificate: bytes, expires: datetime | None = None
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
        events.record(tx, Event(seal.clock(), "service", "client certificate registered", holder.id))
    return facts


def forget_client_certificate(seal: PrivySeal, of: str, key_digest: bytes) -> None:
    """End the registration of a public key of a Subscriber's member; it holds from the next request on."""
    with seal.records.writing(of) as tx:
        parties.remove_client_certificate(tx, key_digest)
        events.record(tx, Event(seal.clock(), "service", "client certificate forgotten", key_digest.hex()))
