"""Subscribers, how they stand, their members, and the bearer tokens and client certificates that members hold."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, insert, or_, select, update

from privyseal.errors import Conflict, NotFound
from privyseal.records.database import Transaction
from privyseal.records.dialect import CREDENTIALS
from privyseal.records.prepared import Question
from privyseal.records.tables import client_certificates, events, members, statements, subscribers, tokens
from privyseal.terms.agreements import PaperKind
from privyseal.terms.parties import Account, Factor, Member, Role, Subscriber
from privyseal.terms.subscribers import Standing


def add_subscriber_of_all_subscribers(
    connection: Connection, subscriber: Subscriber, state: Standing = Standing.ENROLLING
) -> None:
    """Write down a new Subscriber; raise Conflict where the name is taken."""
    taken = connection.execute(select(subscribers.c.name).where(subscribers.c.name == subscriber.name)).first()
    if taken is not None:
        raise Conflict(f"There is a Subscriber named {subscriber.name!r} already.", hint="choose another name")
    connection.execute(
        insert(subscribers).values(
            name=subscriber.name,
            display_name=subscriber.display_name,
            tag_key=subscriber.tag_key,
            state=state,
        )
    )


def subscriber(tx: Transaction) -> Subscriber:
    """Read the transaction's Subscriber; raise NotFound where there is none of that name."""
    row = tx.connection.execute(select(subscribers).where(subscribers.c.name == tx.subscriber)).first()
    if row is None:
        raise NotFound(f"There is no Subscriber named {tx.subscriber!r}.")
    return Subscriber(row.name, row.display_name, row.tag_key)


def subscribers_of_all(connection: Connection) -> list[tuple[Subscriber, Standing]]:
    """List every Subscriber by name, with how it stands."""
    rows = connection.execute(select(subscribers).order_by(subscribers.c.name))
    return [(Subscriber(row.name, row.display_name, row.tag_key), Standing(row.state)) for row in rows]


def standing(tx: Transaction) -> Standing:
    """Return how the transaction's Subscriber stands; NotFound where there is none of that name."""
    found = tx.connection.execute(select(subscribers.c.state).where(subscribers.c.name == tx.subscriber)).scalar()
    if found is None:
        raise NotFound(f"There is no Subscriber named {tx.subscriber!r}.")
    return Standing(found)


# Every batch of the walk asks this, so it is built once (see ``requests.py``).
_ACCEPTED = select(func.max(statements.c.entry)).where(
    statements.c.subscriber == bindparam("p_subscriber"),
    or_(*(statements.c.slot == f"accepted:{kind}" for kind in PaperKind)),
)
_SIGNS_AS = Question(
    select(subscribers.c.state, _ACCEPTED.scalar_subquery().label("papers")).where(
        subscribers.c.name == bindparam("p_subscriber")
    )
)


def signs_as(tx: Transaction) -> tuple[Standing, int | None]:
    """Return how the Subscriber stands, and the log's entry of the newest acceptance of a paper, None for none."""
    row = _SIGNS_AS.first(tx.connection, p_subscriber=tx.subscriber)
    if row is None:
        raise NotFound(f"There is no Subscriber named {tx.subscriber!r}.")
    return Standing(row.state), row.papers


def move(tx: Transaction, was: Standing, becomes: Standing) -> None:
    """Let the Subscriber stand otherwise; Conflict where somebody else moved it meanwhile."""
    moved = update(subscribers).where(subscribers.c.name == tx.subscriber, subscribers.c.state == was)
    if tx.connection.execute(moved.values(state=becomes)).rowcount == 0:
        raise Conflict(f"The Subscriber {tx.subscriber!r} is no longer {was}.", hint="look again")


def add_member(tx: Transaction, member: Member, until: datetime | None = None) -> None:
    """Write down a new member of the transaction's Subscriber, who comes in until then."""
    tx.connection.execute(
        insert(members).values(
            id=member.id,
            subscriber=tx.subscriber,
            name=member.name,
            roles=" ".join(member.roles),
            workload=member.workload,
            until=until,
        )
    )


def member(tx: Transaction, name_or_id: str) -> Member:
    """Find one member of the Subscriber by its id, or by its name where that is only one's; NotFound otherwise."""
    either = (members.c.id == name_or_id) | (members.c.name == name_or_id)
    rows = tx.connection.execute(select(members).where(members.c.subscriber == tx.subscriber, either)).all()
    if len(rows) != 1:
        few = "no member" if not rows else f"{len(rows)} members"
        raise NotFound(f"There is {few} called {name_or_id[:100]!r}.", hint="privyseal member list shows their ids")
    return _as_member(rows[0])


def names(tx: Transaction) -> dict[str, str]:
    """Return the names of all members of the Subscriber by their ids, of those who left too."""
    mine = select(members.c.id, members.c.name).where(members.c.subscriber == tx.subscriber)
    return {row.id: row.name for row in tx.connection.execute(mine)}


def accounts(tx: Transaction) -> list[Account]:
    """List all accounts of the Subscriber by name, those that were ended too."""
    acts = select(events.c.actor, func.max(events.c.at)).where(events.c.subscriber == tx.subscriber)
    last = {row[0]: row[1] for row in tx.connection.execute(acts.group_by(events.c.actor))}
    holders = {
        factor: set(tx.connection.execute(select(table.c.member).distinct()).scalars())
        for factor, table in ((Factor.BEARER, tokens), (Factor.CLIENT_CERTIFICATE, client_certificates))
    }
    mine = select(members).where(members.c.subscriber == tx.subscriber).order_by(members.c.name, members.c.id)
    return [
        Account(
            member=_as_member(row),
            until=row.until,
            ended=row.ended,
            factors=tuple(factor for factor, them in holders.items() if row.id in them),
            last_act=last.get(row.id),
        )
        for row in tx.connection.execute(mine)
    ]


def set_roles(tx: Transaction, member_id: str, roles: tuple[Role, ...]) -> None:
    """Give a member of the Subscriber other roles; they hold at the next request of theirs."""
    mine = update(members).where(members.c.subscriber == tx.subscriber, members.c.id == member_id)
    tx.connection.execute(mine.values(roles=" ".join(roles)))
    tx.changed.append(CREDENTIALS)


def end(tx: Transaction, member_id: str, at: datetime) -> bool:
    """Let a member of the Subscriber in no more; False where that was so already."""
    mine = members.c.subscriber == tx.subscriber
    one = update(members).where(mine, members.c.id == member_id, members.c.ended.is_(None))
    done = tx.connection.execute(one.values(ended=at)).rowcount == 1
    tx.changed.append(CREDENTIALS)
    return done


def is_in(now: datetime) -> ColumnElement[bool]:
    """Say in SQL that a member may come in: it has not left, and its account is not over.

    Whoever finds a member by a credential, of whatever kind, asks this with it.
    """
    return and_(members.c.ended.is_(None), or_(members.c.until.is_(None), members.c.until > now))


def require_in(tx: Transaction, member_id: str, now: datetime) -> None:
    """Raise NotFound where a member of the Subscriber has left, or its account is over; it gets nothing new."""
    mine = (members.c.subscriber == tx.subscriber, members.c.id == member_id)
    if tx.connection.execute(select(members.c.id).where(*mine, is_in(now))).first() is None:
        raise NotFound("There is no such member any more.", hint="take them in anew if they came back")


def forget_tokens(tx: Transaction, member_id: str) -> int:
    """Forget every bearer token of a member of the Subscriber; return how many there were."""
    theirs = select(members.c.id).where(members.c.subscriber == tx.subscriber, members.c.id == member_id)
    return tx.connection.execute(delete(tokens).where(tokens.c.member.in_(theirs))).rowcount


def forget_client_certificates(tx: Transaction, member_id: str) -> int:
    """Forget every public key registered for a member of the Subscriber; return how many there were."""
    theirs = select(members.c.id).where(members.c.subscriber == tx.subscriber, members.c.id == member_id)
    return tx.connection.execute(delete(client_certificates).where(client_certificates.c.member.in_(theirs))).rowcount


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
    """Make a Member of a row with the ``expires`` of the credential that led to it; None for who may not come in."""
    if row is None or row.ended is not None:
        return None
    if any(end is not None and end <= now for end in (row.expires, row.until)):
        return None
    return _as_member(row)


def _as_member(row: Row[Any]) -> Member:
    return Member(row.id, row.subscriber, row.name, tuple(Role(role) for role in row.roles.split()), row.workload)
