"""Key Pairs with their certificates and what is ordered for them: what the plans of renewal are made of."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, Select, select

from privyseal.compliance.renewal import Held
from privyseal.errors import BadInput
from privyseal.pki.certificates import read
from privyseal.records.database import Transaction
from privyseal.records.tables import certificate_orders, certificates, key_lives, key_pairs
from privyseal.terms.certificates import Certificate
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState
from privyseal.terms.orders import OPEN, Order, OrderState

MOST_REMEMBERED = 16_384
"""Certificates of which what was read is remembered: under a kilobyte each."""
AT_ONCE = 200
"""Chains that are read at once."""

_chain = msgspec.msgpack.Decoder(tuple[bytes, ...])
_order = msgspec.json.Decoder(Order)
_pair = msgspec.json.Decoder(KeyPair)
_remembered: OrderedDict[str, Certificate] = OrderedDict()


def held(tx: Transaction) -> list[Held]:
    """List the Subscriber's keys with their certificates and the orders of which something is still to come."""
    return _held(tx.connection, tx.subscriber)


def held_of_all_subscribers(connection: Connection) -> list[Held]:
    """List everybody's keys, as :func:`held` does one Subscriber's."""
    return _held(connection, None)


def _held(connection: Connection, subscriber: str | None) -> list[Held]:
    def mine(wanted: Select[tuple[object, ...]], table: object) -> Select[tuple[object, ...]]:
        return wanted if subscriber is None else wanted.where(table.c.subscriber == subscriber)  # type: ignore[attr-defined]

    states = {
        (row.subscriber, row.name): KeyState(row.state)
        for row in connection.execute(mine(select(key_lives), key_lives))
    }
    placed = mine(select(certificates.c.subscriber, certificates.c.key_id, certificates.c.fingerprint), certificates)
    fingerprints: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in connection.execute(placed.order_by(certificates.c.installed, certificates.c.fingerprint)):
        fingerprints[row.subscriber, row.key_id].append(row.fingerprint)
    known = _read(connection, [each for some in fingerprints.values() for each in some])
    ordered: defaultdict[tuple[str, str], list[Order]] = defaultdict(list)
    live = certificate_orders.c.state.in_((*OPEN, OrderState.ISSUED))
    wanted = mine(select(certificate_orders.c.subscriber, certificate_orders.c.document), certificate_orders)
    for row in connection.execute(wanted.where(live)):
        order = _order.decode(row.document)
        ordered[row.subscriber, order.key].append(order)
    found = []
    for row in connection.execute(mine(select(key_pairs.c.document), key_pairs)):
        pair = _pair.decode(row.document)
        names = fingerprints.get((pair.subscriber, pair.key_id), [])
        until = msgspec.UNSET if pair.limits is msgspec.UNSET else pair.limits.until
        found.append(
            Held(
                subscriber=pair.subscriber,
                key=pair.name,
                key_id=pair.key_id,
                public_key=pair.public_key,
                born=pair.born,
                state=states.get((pair.subscriber, pair.name), KeyState.GENERATED),
                until=None if until is msgspec.UNSET else until,
                certificates=tuple(known[each] for each in names if each in known),
                orders=tuple(ordered.get((pair.subscriber, pair.name), ())),
            )
        )
    return found


def _read(connection: Connection, wanted: Sequence[str]) -> dict[str, Certificate]:
    """Return what certificates say, by fingerprint; those that cannot be read are left out."""
    found = {each: _remembered[each] for each in wanted if each in _remembered}
    missing = sorted({each for each in wanted if each not in found})
    for start in range(0, len(missing), AT_ONCE):
        some = certificates.c.fingerprint.in_(missing[start : start + AT_ONCE])
        for row in connection.execute(select(certificates.c.fingerprint, certificates.c.chain).where(some)):
            try:
                said = msgspec.structs.replace(read(_chain.decode(bytes(row.chain))[0]), der=b"")
            except BadInput:
                continue
            found[row.fingerprint] = _remembered[row.fingerprint] = said
    while len(_remembered) > MOST_REMEMBERED:
        _remembered.popitem(last=False)
    return found
