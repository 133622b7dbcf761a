"""Values of ``r`` that ECDSA signatures had, by a digest each, so that one that comes twice is found.

Rows are written some time after the signature and never in its walk. There is one for each ECDSA signature that was
released and none for anything else; they are smaller by a hundred times than the request that they are about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from privyseal.records import packed
from privyseal.records.database import Transaction
from privyseal.records.released import settled_event_of_all_subscribers
from privyseal.records.tables import events, nonce_progress, requests, signed_nonces

_AT_ONCE = 500
"""Digests that are looked up at once."""


class Release(msgspec.Struct, frozen=True):
    """A release, as far as its signatures are looked at."""

    event: int
    subscriber: str
    request: str
    key: str
    key_id: str
    scheme: str
    signatures: tuple[bytes, ...]


class Nonce(msgspec.Struct, frozen=True):
    """One signature's ``r`` and ``s``, by a digest each, and the request that it was made for."""

    seen: bytes
    rest: bytes
    request: str


class _Named(msgspec.Struct):
    key: str
    key_id: str
    scheme: str


def unread_of_all_subscribers(connection: Connection, settled: datetime | None, limit: int) -> list[Release]:
    """List the next releases whose signatures nobody looked at, in their order.

    ``settled``, where several nodes write, is how old an event must be, so that none with a smaller number is to come.
    """
    after = connection.execute(select(func.max(nonce_progress.c.event))).scalar() or 0
    wanted = (
        select(events.c.id, events.c.subscriber, requests.c.id.label("request"), requests.c.canonical)
        .add_columns(requests.c.signatures)
        .join(requests, (requests.c.id == events.c.subject) & (requests.c.subscriber == events.c.subscriber))
        .where(events.c.id > after, events.c.what == "released")
    )
    if settled is not None:
        wanted = wanted.where(events.c.id <= settled_event_of_all_subscribers(connection, after, settled))
    found = []
    for row in connection.execute(wanted.order_by(events.c.id).limit(limit)):
        named = msgspec.json.decode(row.canonical, type=_Named)
        values = packed.octets(row.signatures)
        found.append(Release(row.id, row.subscriber, row.request, named.key, named.key_id, named.scheme, values))
    return found


def known(tx: Transaction, wanted: Sequence[bytes]) -> dict[bytes, Nonce]:
    """Return those of these values of ``r`` that were seen before."""
    found: dict[bytes, Nonce] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        some = select(signed_nonces).where(
            signed_nonces.c.subscriber == tx.subscriber, signed_nonces.c.seen.in_(wanted[start : start + _AT_ONCE])
        )
        for row in tx.connection.execute(some):
            found[bytes(row.seen)] = Nonce(bytes(row.seen), bytes(row.rest), row.request)
    return found


def add(tx: Transaction, fresh: Iterable[Nonce]) -> None:
    """Write values of ``r`` down that were not seen before."""
    rows = [
        {"subscriber": tx.subscriber, "seen": each.seen, "rest": each.rest, "request": each.request} for each in fresh
    ]
    if rows:
        tx.connection.execute(insert(signed_nonces), rows)


def note_progress(tx: Transaction, event: int) -> None:
    """Write down up to which event the signatures were looked at."""
    mine = nonce_progress.c.subscriber == tx.subscriber
    if tx.connection.execute(update(nonce_progress).where(mine).values(event=event)).rowcount == 0:
        tx.connection.execute(insert(nonce_progress).values(subscriber=tx.subscriber, event=event))
