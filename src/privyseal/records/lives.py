"""How each Key Pair stands; what it was before is among the statements (``records/statements.py``)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, tuple_, update

from privyseal.errors import Conflict
from privyseal.records.database import Transaction
from privyseal.records.prepared import Question
from privyseal.records.tables import key_lives
from privyseal.terms.life import KeyState, Life

# Every batch of the walk reads this, so it is built once (see ``keys.py``).
_LIFE = Question(
    select(key_lives).where(
        key_lives.c.subscriber == bindparam("p_subscriber"), key_lives.c.name == bindparam("p_name")
    )
)


def find(tx: Transaction, name: str) -> Life | None:
    """Return how a Key Pair of the Subscriber stands; None where none of that name was ever planned."""
    row = _LIFE.first(tx.connection, p_subscriber=tx.subscriber, p_name=name)
    return None if row is None else _life(row)


def listed(tx: Transaction) -> list[Life]:
    """List how the Subscriber's Key Pairs stand, by name; also those that are planned or destroyed."""
    rows = tx.connection.execute(
        select(key_lives).where(key_lives.c.subscriber == tx.subscriber).order_by(key_lives.c.name)
    )
    return [_life(row) for row in rows]


def add(tx: Transaction, name: str, state: KeyState, since: datetime, key_id: str = "") -> Life:
    """Write down the first state of a Key Pair."""
    life = Life(subscriber=tx.subscriber, name=name, key_id=key_id, state=state, since=since)
    row = {"subscriber": tx.subscriber, "name": name, "key_id": key_id, "state": str(state), "since": since}
    tx.connection.execute(insert(key_lives).values(row))
    return life


def move(tx: Transaction, life: Life, becomes: KeyState, since: datetime, key_id: str) -> None:
    """Write down the next state; Conflict where somebody else moved the key meanwhile."""
    this = _mine(tx, life.name).where(key_lives.c.state == str(life.state), key_lives.c.since == life.since)
    done = tx.connection.execute(this.values(state=str(becomes), since=since, key_id=key_id))
    if done.rowcount != 1:
        raise Conflict("The key's state was changed by somebody else meanwhile.", hint="look at it again")


def note_use(tx: Transaction, name: str, at: datetime) -> None:
    """Write down that a key was asked to sign."""
    tx.connection.execute(_mine(tx, name).values(used=at))


def of_all_subscribers(connection: Connection, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Life]:
    """Return how these Key Pairs stand, each asked for and found by Subscriber and name: one question for a batch."""
    if len(wanted) == 1:  # as mostly
        ((subscriber, name),) = wanted
        found = _LIFE.all(connection, p_subscriber=subscriber, p_name=name)
    else:
        named = tuple_(key_lives.c.subscriber, key_lives.c.name).in_(sorted(wanted))
        found = connection.execute(select(key_lives).where(named)).all()
    return {(row.subscriber, row.name): _life(row) for row in found}


def idle_of_all_subscribers(connection: Connection, before: datetime, limit: int) -> list[Life]:
    """List active keys that nobody used, and that did not become active, since ``before``."""
    wanted = select(key_lives).where(
        key_lives.c.state == str(KeyState.ACTIVE),
        key_lives.c.since < before,
        (key_lives.c.used.is_(None)) | (key_lives.c.used < before),
    )
    return [_life(row) for row in connection.execute(wanted.order_by(key_lives.c.since).limit(limit))]


def _mine(tx: Transaction, name: str) -> Any:
    return update(key_lives).where(key_lives.c.subscriber == tx.subscriber, key_lives.c.name == name)


def _life(row: Row[Any]) -> Life:
    return Life(
        subscriber=row.subscriber,
        name=row.name,
        key_id=row.key_id,
        state=KeyState(row.state),
        since=row.since,
        used=row.used,
    )
