"""Subscribers, their members, and the bearer tokens and client certificates that members hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.dialect import CREDENTIALS
from privyseal.records.tables import client_certificates, members, subscribers, tokens
from privyseal.terms.parties import Member, Role, Subscriber


def add_subscriber_of_all_subscribers(connection: Connection, subscriber: Subscriber) -> None:
    """Write down a new Subscriber; raise Conflict where the name is taken."""
    taken = connection.execute(select(subscribers.c.name).where(subscribers.c.name == subscriber.name)).first()
    if taken is not None:
        raise Conflict(f"There is a Subscriber named {subscriber.name!r} already.", hint="choose another name")
    connection.execute(
        insert(subscribers).values(
            name=subscriber.name, display_name=subscriber.display_name, tag_key=subscriber.tag_key
        )
    )


def subscriber(tx: Transaction) -> Subscriber:
    """Read the transaction's Subscriber; raise NotFound where there is none of that name."""
    row = tx.connection.execute(select(subscribers).where(subscribers.c.name == tx.subscriber)).first()
    if row is None:
        raise NotFound(f"There is no Subscriber named {tx.subscriber!r}.")
    return Subscriber(row.name, row.display_name, row.tag_key)


def add_member(tx: Transaction, member: Member) -> None:
    """Write down a new member of the transaction's Subscriber."""
    tx.connection.execute(
        insert(members).values(
            id=member.id,
            subscriber=tx.subscriber,
            name=member.name,
            roles=" ".join(member.roles),
            workload=member.workload,
        )
    )


def add_token(tx: Transaction, member: str, digest: bytes, created: datetime, expires: datetime | None) -> None:
    """Write down the SHA-256 of a bearer token of a member; the token itself is nowhere."""
    tx.connection.execute(insert(tokens).values(digest=digest, member=member, created=created, expires=expires))


def remove_token(tx: Transaction, digest: bytes) -> None:
    """Forget the token with this SHA-256 of one of the Subscriber's members; NotFound where it is none of theirs."""
    theirs = select(members.c.id).where(members.c.subscriber == tx.subscriber)
    statement = delete(tokens).where(tokens.c.digest == digest, tokens.c.member.in_(theirs))
    if tx.connection.execute(statement).rowcount == 0:
        raise NotFound("No member has this token.")
    tx.changed.append(CREDENTIALS)


def member_by_token_of_all_subscribers(connection: Connection, digest: bytes, now: datetime) -> Member | None:
    """Find the member who holds the token with this SHA-256, or None where it is unknown or has expired."""
    row = connection.execute(
        select(members, tokens.c.expires).join(tokens, tokens.c.member == members.c.id).where(tokens.c.digest == digest)
    ).first()
    return _member(row, now)


def add_client_certificate(
    tx: Transaction, member: str, key_digest: bytes, created: datetime, expires: datetime | None
) -> None:
    """Write down the SHA-256 of a public key whose certificates prove a member; it must be nobody's yet."""
    row = {"key_digest": key_digest, "member": member, "created": created, "expires": expires}
    tx.connection.execute(insert(client_certificates).values(row))


def require_free_key_of_all_subscribers(connection: Connection, key_digest: bytes) -> None:
    """Raise Conflict where a public key is registered already, for whomever.

    Whether it is another Subscriber's member is not said: only who holds the private key can ask so far.
    """
    query = select(client_certificates.c.member).where(client_certificates.c.key_digest == key_digest)
    if connection.execute(query).first() is not None:
        raise Conflict("This public key is registered already.", hint="a key of its own for each member")


def remove_client_certificate(tx: Transaction, key_digest: bytes) -> None:
    """Forget a public key of one of the Subscriber's members; NotFound where it is none of theirs."""
    theirs = select(members.c.id).where(members.c.subscriber == tx.subscriber)
    statement = delete(client_certificates).where(
        client_certificates.c.key_digest == key_digest, client_certificates.c.member.in_(theirs)
    )
    if tx.connection.execute(statement).rowcount == 0:
        raise NotFound("No member has this public key registered.")


def member_by_client_key_of_all_subscribers(connection: Connection, key_digest: bytes, now: datetime) -> Member | None:
    """Find the member for whom the public key with this SHA-256 is registered, or None where it is for nobody now."""
    keys = client_certificates
    row = connection.execute(
        select(members, keys.c.expires).join(keys, keys.c.member == members.c.id).where(keys.c.key_digest == key_digest)
    ).first()
    return _member(row, now)


def _member(row: Row[Any] | None, now: datetime) -> Member | None:
    """Make a Member of a row with the ``expires`` of the credential that led to it."""
    if row is None or (row.expires is not None and row.expires <= now):
        return None
    return Member(row.id, row.subscriber, row.name, tuple(Role(role) for role in row.roles.split()), row.workload)
