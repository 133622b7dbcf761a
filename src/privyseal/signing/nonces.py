"""Every ECDSA signature's ``r`` is remembered; one that a key used twice raises an alarm.

It is done by a duty, behind the signatures and not in their walk: they are read from the records once more, some
hundreds at a time. So it costs a signature nothing, and an alarm comes a minute later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from privyseal.errors import BadInput, Conflict
from privyseal.pki import nonces as arithmetic
from privyseal.records import keys, nonces
from privyseal.records.database import Transaction
from privyseal.records.nonces import Nonce, Release
from privyseal.signing import alarms
from privyseal.signing.evaluation import SETTLED
from privyseal.signing.instance import PrivySeal

PORTION = 250
"""Releases that are read at once; their rows take some three milliseconds to write."""
MOST_PORTIONS = 400
"""Portions of one look, a hundred thousand releases; what is left waits for the next one."""


def look(seal: PrivySeal, *, breathe: Callable[[], object] = lambda: None) -> int:
    """Look at all signatures that were released since the last time; return how many alarms were raised.

    ``breathe`` is called after each portion. Of two nodes that look at once, one has its portion thrown away.
    """
    raised = 0
    settled: timedelta | None = SETTLED if seal.records.dialect.shared else None
    for _ in range(MOST_PORTIONS):
        before = None if settled is None else seal.clock() - settled
        with seal.records.reading_all_subscribers() as connection:
            found = nonces.unread_of_all_subscribers(connection, before, PORTION)
        if not found:
            break
        with suppress(Conflict):
            raised += _portion(seal, found)
        if len(found) < PORTION:
            break
        breathe()
    return raised


def _portion(seal: PrivySeal, found: Sequence[Release]) -> int:
    """Write down what a portion holds that is new, and raise alarms, in one transaction."""
    raised = 0
    by_subscriber: dict[str, list[Release]] = {}
    for each in found:
        by_subscriber.setdefault(each.subscriber, []).append(each)
    with seal.records.batch() as batch:
        for subscriber, some in by_subscriber.items():
            with batch.item(subscriber) as tx:
                raised += _of_one(seal, tx, some)
        with batch.item(found[-1].subscriber) as tx:
            nonces.note_progress(tx, found[-1].event)
    return raised


def _of_one(seal: PrivySeal, tx: Transaction, found: Sequence[Release]) -> int:
    traced = [(each, one) for each in found for one in _traces(each)]
    before = nonces.known(tx, [one.seen for _, one in traced])
    fresh: dict[bytes, Nonce] = {}
    raised = 0
    for release, one in traced:
        other = before.get(one.seen) or fresh.get(one.seen)
        if other is None:
            fresh[one.seen] = one
        elif other.rest != one.rest:  # the same value twice is the same signature, made or read again
            pair = keys.key_pair(tx, release.key)
            text = (
                f"Two signatures of the key have the same r, made for the requests {other.request} and {one.request}: "
                "its private half can be computed from them by anybody who has both files."
            )
            asked = tuple(dict.fromkeys((other.request, one.request)))
            raised += alarms.sound(seal, tx, pair, text, asked) is not None
    nonces.add(tx, fresh.values())
    return raised


def _traces(release: Release) -> list[Nonce]:
    found = []
    for value in release.signatures:
        with suppress(BadInput):  # it was verified before it left the signer; what is no signature here is looked past
            traced = arithmetic.trace(release.scheme, release.key_id, value)
            if traced is not None:
                found.append(Nonce(traced.seen, traced.rest, release.request))
    return found
