"""Trust rules, the tokens that runs were given under them, and the static tokens of machines: all by Subscriber."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from privyseal.access.trust import TrustRule
from privyseal.errors import NotFound
from privyseal.records.database import Transaction
from privyseal.records.dialect import CREDENTIALS
from privyseal.records.parties import is_in
from privyseal.records.tables import exchanged_tokens, members, scoped_tokens, trust_rules
from privyseal.terms.parties import Actor, Factor, Member, Role, Scope, Workload

# Made here, where one thread imports (``terms/learnt.py`` says why).
_RULE = msgspec.json.Decoder(TrustRule)
_WORKLOAD = msgspec.json.Decoder(Workload)
_SCOPE = msgspec.json.Decoder(Scope)


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A token given to a run, of which only the SHA-256 is kept."""

    id: str
    digest: bytes
    member: str
    rule: str
    identity: bytes
    """SHA-256 of what is signed of the run's own token."""
    workload: Workload
    created: datetime
    expires: datetime
    kept_until: datetime
    """Until when the run's own token could be shown again."""


class ScopedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A static token of a machine, without the token."""

    id: str
    member: str
    label: str
    scope: Scope
    created: datetime
    expires: datetime
    used: str = ""
    """The day of the last use, such as 2026-11-30; empty where it was never used."""


def add_rule(tx: Transaction, rule: TrustRule, now: datetime) -> None:
    """Write down a rule."""
    row = {"id": rule.id, "subscriber": tx.subscriber, "member": rule.member, "issuer": rule.issuer}
    tx.connection.execute(insert(trust_rules).values(row | {"document": msgspec.json.encode(rule), "created": now}))


def rules(tx: Transaction, issuer: str | None = None) -> list[TrustRule]:
    """List the Subscriber's rules, or those for one issuer, the oldest first."""
    wanted = select(trust_rules.c.document).where(trust_rules.c.subscriber == tx.subscriber)
    if issuer is not None:
        wanted = wanted.where(trust_rules.c.issuer == issuer)
    rows = tx.connection.execute(wanted.order_by(trust_rules.c.created, trust_rules.c.id))
    return [_RULE.decode(row.document) for row in rows]


def rule(tx: Transaction, rule_id: str) -> TrustRule:
    """Read one rule; NotFound where the Subscriber has none of that id."""
    mine = (trust_rules.c.subscriber == tx.subscriber, trust_rules.c.id == rule_id)
    row = tx.connection.execute(select(trust_rules.c.document).where(*mine)).first()
    if row is None:
        raise NotFound(f"There is no trust rule {rule_id[:40]!r}.")
    return _RULE.decode(row.document)


def remove_rule(tx: Transaction, rule_id: str) -> None:
    """Forget a rule, and with it every token that was given under it; NotFound where there is none of that id."""
    statement = delete(trust_rules).where(trust_rules.c.subscriber == tx.subscriber, trust_rules.c.id == rule_id)
    if tx.connection.execute(statement).rowcount == 0:
        raise NotFound(f"There is no trust rule {rule_id[:40]!r}.")
    tx.changed.append(CREDENTIALS)


def members_of(tx: Transaction, now: datetime) -> list[Member]:
    """List the Subscriber's members, without those who have left."""
    mine = select(members).where(members.c.subscriber == tx.subscriber, is_in(now))
    rows = tx.connection.execute(mine.order_by(members.c.id))
    return [_member(row) for row in rows]


def exchanges_of(tx: Transaction, identity: bytes) -> int:
    """Count how often this identity token was exchanged for the Subscriber."""
    mine = (exchanged_tokens.c.subscriber == tx.subscriber, exchanged_tokens.c.identity == identity)
    return tx.connection.execute(select(func.count()).select_from(exchanged_tokens).where(*mine)).scalar_one()


def add_exchange(tx: Transaction, exchange: Exchange, turn: int) -> None:
    """Write down a token given to a run, and forget those whose identity tokens have ended.

    Conflict where this turn of the identity token is taken, for whichever Subscriber.
    """
    tokens = exchanged_tokens
    mine = (tokens.c.subscriber == tx.subscriber, tokens.c.kept_until < exchange.created)
    tx.connection.execute(delete(tokens).where(*mine))
    row = {name: getattr(exchange, name) for name in exchange.__struct_fields__}
    row |= {"subscriber": tx.subscriber, "turn": turn, "workload": msgspec.json.encode(exchange.workload)}
    tx.connection.execute(insert(tokens).values(row))


def run_by_token_of_all_subscribers(connection: Connection, digest: bytes, now: datetime) -> Actor | None:
    """Find the run to which the token with this SHA-256 was given; None where it ended, or its rule is gone."""
    tokens = exchanged_tokens
    row = connection.execute(
        select(members, tokens.c.workload.label("document"))
        .join(tokens, tokens.c.member == members.c.id)
        .join(trust_rules, trust_rules.c.id == tokens.c.rule)
        .where(tokens.c.digest == digest, tokens.c.expires > now, is_in(now))
    ).first()
    if row is None:
        return None
    workload = _WORKLOAD.decode(row.document)
    return Actor(_member(row), (Factor.WORKLOAD_TOKEN,), workload=workload)


def add_scoped(tx: Transaction, token: ScopedToken, digest: bytes) -> None:
    """Write down a static token by its SHA-256."""
    row = {name: getattr(token, name) for name in token.__struct_fields__}
    row |= {"subscriber": tx.subscriber, "digest": digest, "scope": msgspec.json.encode(token.scope)}
    tx.connection.execute(insert(scoped_tokens).values(row))


def scoped(tx: Transaction) -> list[ScopedToken]:
    """List the Subscriber's static tokens, the oldest first."""
    wanted = select(scoped_tokens).where(scoped_tokens.c.subscriber == tx.subscriber)
    rows = tx.connection.execute(wanted.order_by(scoped_tokens.c.created, scoped_tokens.c.id))
    return [
        ScopedToken(
            id=row.id,
            member=row.member,
            label=row.label,
            scope=_SCOPE.decode(row.scope),
            created=row.created,
            expires=row.expires,
            used=row.used,
        )
        for row in rows
    ]


def remove_scoped(tx: Transaction, token_id: str) -> None:
    """Forget a static token; NotFound where the Subscriber has none of that id."""
    mine = (scoped_tokens.c.subscriber == tx.subscriber, scoped_tokens.c.id == token_id)
    if tx.connection.execute(delete(scoped_tokens).where(*mine)).rowcount == 0:
        raise NotFound(f"There is no token {token_id[:40]!r}.")
    tx.changed.append(CREDENTIALS)


def forget_tokens(tx: Transaction, member_id: str) -> int:
    """Forget every token that a machine holds, and every one given to runs that act as it; return how many."""
    forgotten = 0
    for table in (scoped_tokens, exchanged_tokens):
        theirs = (table.c.subscriber == tx.subscriber, table.c.member == member_id)
        forgotten += tx.connection.execute(delete(table).where(*theirs)).rowcount
    tx.changed.append(CREDENTIALS)
    return forgotten


def machine_by_token_of_all_subscribers(
    connection: Connection, digest: bytes, now: datetime
) -> tuple[Actor, bool] | None:
    """Find the machine that holds the static token with this SHA-256, and whether this is its first use today."""
    tokens = scoped_tokens
    row = connection.execute(
        select(members, tokens.c.scope, tokens.c.used)
        .join(tokens, tokens.c.member == members.c.id)
        .where(tokens.c.digest == digest, tokens.c.expires > now, is_in(now))
    ).first()
    if row is None:
        return None
    scope = _SCOPE.decode(row.scope)
    return Actor(_member(row), (Factor.BEARER,), scope=scope), row.used != _day(now.date())


def note_use(tx: Transaction, digests: Sequence[bytes], day: date) -> None:
    """Write down the day on which static tokens were used."""
    mine = (scoped_tokens.c.subscriber == tx.subscriber, scoped_tokens.c.digest.in_(digests))
    tx.connection.execute(update(scoped_tokens).where(*mine).values(used=_day(day)))


def _day(day: date) -> str:
    return day.isoformat()


def _member(row: object) -> Member:
    found: dict[str, object] = row._mapping  # type: ignore[attr-defined]
    roles = tuple(Role(role) for role in str(found["roles"]).split())
    workload = found["workload"]
    return Member(
        str(found["id"]),
        str(found["subscriber"]),
        str(found["name"]),
        roles,
        None if workload is None else bool(workload),
    )
