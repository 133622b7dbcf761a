"""How each Key Pair was found to be: looked at, probed, reminded of; one row a key, which is replaced."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, case, func, insert, or_, select, update

from privyseal.errors import Conflict
from privyseal.records.database import Transaction
from privyseal.records.tables import client_certificates, key_health, key_lives, key_pairs
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one key's health; None where nobody looked."""

    key: str
    looked: datetime | None = None
    """When its public key was last held against what is known of weak ones."""
    probed: datetime | None = None
    answers: bool | None = None
    """Whether the last probe was signed and verified."""
    words: str = ""
    """Why it gave no signature."""
    met: str = ""
    """Where else the public key was met; empty for nowhere."""


def listed(tx: Transaction) -> list[Health]:
    """List what is known of the Subscriber's keys, by name."""
    mine = select(key_health).where(key_health.c.subscriber == tx.subscriber)
    return [
        Health(
            key=row.key_name,
            looked=row.looked,
            probed=row.probed,
            answers=row.answers,
            words=row.words,
            met=row.met,
        )
        for row in tx.connection.execute(mine.order_by(key_health.c.key_name))
    ]


def of(tx: Transaction, key: str) -> Health:
    """Return what is known of one key."""
    return next((each for each in listed(tx) if each.key == key), Health(key=key))


def note_looked(tx: Transaction, key: str, at: datetime, met: str) -> None:
    """Write down that a public key was looked at, and where else it was met."""
    _put(tx, key, {"looked": at, "met": met[:2000]})


def note_probed(tx: Transaction, key: str, at: datetime, answers: bool, words: str) -> None:
    """Write down what came of a probe."""
    _put(tx, key, {"probed": at, "answers": answers, "words": words[:1000]})


def take_turn(tx: Transaction, key: str, before: datetime, at: datetime) -> None:
    """Take the turn of probing a key that nobody probed since ``before``; Conflict where another node has it."""
    _ensure(tx, key)
    mine = (key_health.c.subscriber == tx.subscriber, key_health.c.key_name == key)
    free = or_(key_health.c.probed.is_(None), key_health.c.probed <= before)
    if tx.connection.execute(update(key_health).where(*mine, free).values(probed=at)).rowcount != 1:
        raise Conflict("The key is being probed already.")


def note_told(tx: Transaction, key: str, what: str) -> bool:
    """Write down of what people were told; return False where they were told of it before."""
    _ensure(tx, key)
    mine = (key_health.c.subscriber == tx.subscriber, key_health.c.key_name == key)
    return (
        tx.connection.execute(update(key_health).where(*mine, key_health.c.told != what).values(told=what)).rowcount
        == 1
    )


def unlooked_of_all_subscribers(connection: Connection, before: datetime, limit: int) -> list[KeyPair]:
    """List Key Pairs, not destroyed, whose public key nobody looked at since ``before``; the longest ago first."""
    return _waiting(connection, key_health.c.looked, before, limit, tuple(set(KeyState) - {KeyState.DESTROYED}))


def unprobed_of_all_subscribers(connection: Connection, before: datetime, limit: int) -> list[KeyPair]:
    """List active Key Pairs that nobody probed, and that did not become active, since ``before``."""
    return _waiting(connection, key_health.c.probed, before, limit, (KeyState.ACTIVE,), rested=True)


# What is asked for, since when, of how many, in which states: each caller says all of it.
def _waiting(
    connection: Connection,
    done: Any,
    before: datetime,
    limit: int,
    states: tuple[KeyState, ...],
    *,
    rested: bool = False,
) -> list[KeyPair]:
    same = (key_lives.c.subscriber == key_pairs.c.subscriber) & (key_lives.c.name == key_pairs.c.name)
    found = (key_health.c.subscriber == key_pairs.c.subscriber) & (key_health.c.key_name == key_pairs.c.name)
    wanted = (
        select(key_pairs.c.document)
        .join(key_lives, same)
        .outerjoin(key_health, found)
        .where(key_lives.c.state.in_([str(each) for each in states]), or_(done.is_(None), done < before))
        .order_by(func.coalesce(done, key_lives.c.since), key_pairs.c.subscriber, key_pairs.c.name)
        .limit(limit)
    )
    if rested:
        wanted = wanted.where(key_lives.c.since < before)
    return [msgspec.json.decode(row.document, type=KeyPair) for row in connection.execute(wanted)]


def signs_in_of_all_subscribers(connection: Connection, key_id: str) -> bool:
    """Tell whether a public key, by its id, is in a certificate with which some member signs in here."""
    found = select(client_certificates.c.member).where(client_certificates.c.key_digest == bytes.fromhex(key_id))
    return connection.execute(found.limit(1)).first() is not None


def counts_of_all_subscribers(connection: Connection) -> dict[str, int]:
    """Count active keys by what came of their last probe: ``answers``, ``silent``, ``unprobed``."""
    same = (key_lives.c.subscriber == key_health.c.subscriber) & (key_lives.c.name == key_health.c.key_name)
    said = case((key_health.c.answers.is_(None), "unprobed"), (key_health.c.answers, "answers"), else_="silent")
    rows = connection.execute(
        select(said.label("said"), func.count().label("number"))
        .select_from(key_lives.outerjoin(key_health, same))
        .where(key_lives.c.state == str(KeyState.ACTIVE))
        .group_by(said)
    )
    return {"answers": 0, "silent": 0, "unprobed": 0} | {row.said: row.number for row in rows}


def _put(tx: Transaction, key: str, values: dict[str, object]) -> None:
    _ensure(tx, key)
    mine = (key_health.c.subscriber == tx.subscriber, key_health.c.key_name == key)
    tx.connection.execute(update(key_health).where(*mine).values(values))


def _ensure(tx: Transaction, key: str) -> None:
    mine = (key_health.c.subscriber == tx.subscriber, key_health.c.key_name == key)
    if tx.connection.execute(select(key_health.c.key_name).where(*mine)).first() is None:
        row = {"subscriber": tx.subscriber, "key_name": key, "words": "", "met": "", "told": ""}
        tx.connection.execute(insert(key_health).values(row))
