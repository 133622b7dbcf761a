"""The signer holds what the clouds' own audit logs say of its keys against what it has counted itself.

It asks for signatures that others may have made as well: that is what it is for. No key is used, so nothing is logged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from privyseal.errors import BadInput, PrivySealError
from privyseal.keystore.audit import AuditLog
from privyseal.keystore.away import Away
from privyseal.keystore.catalogue import store_name
from privyseal.keystore.protocol import KeyStore
from privyseal.strongroom.charters import Charters
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.messages_of_homes import CloudsAsked, CloudsCounted
from privyseal.strongroom.tally import SLOT, slot_of
from privyseal.terms.clouds import CloudUses, KeyUses
from privyseal.terms.keys import KeyPair

SETTLED = timedelta(hours=1)
"""After how long a cloud's audit log is held to be complete: twice what any of them needs."""
LONGEST = timedelta(days=90)
"""The longest period that is counted, as far as CloudTrail goes back."""


def audited(store: KeyStore) -> bool:
    """Tell whether somebody else than us logs the use of a store's keys."""
    return isinstance(store, Away) and store.audited


class Counting:
    """Answers with both sides' counts; safe to call from several threads."""

    def __init__(
        self,
        journal: Journal,
        charters: Charters,
        stores: Mapping[str, KeyStore],
        clock: Callable[[], datetime],
        order: threading.Lock,
    ) -> None:
        """Count the keys of these charters that are in clouds."""
        self._journal = journal
        self._charters = charters
        self._all = stores
        self._clock = clock
        self._order = order

    @property
    def _stores(self) -> dict[str, Away]:
        """The stores whose use somebody else logs, by the name with which their URIs begin."""
        return {name: store for name, store in self._all.items() if isinstance(store, Away) and store.audited}

    def counted(self, asked: CloudsAsked) -> CloudsCounted:
        """Ask each home that keys are in; what cannot be had of one is said of it, and keeps no other from answering.

        The period is cut to what both sides know: not before the signer began to count, and not younger than
        :data:`SETTLED`.
        """
        now = self._clock()
        if asked.since.utcoffset() is None:
            raise BadInput("The period begins at a moment without a zone.", hint="say when, in UTC")
        with self._order:
            if self._stores:
                with self._journal.writing(self._journal.mark()) as transaction:
                    self._journal.tally.begin(transaction, now)
                    self._journal.tally.forget(transaction, now)
            held = [each.key_pair() for name in self._stores for each in self._charters.held_in(name)]
        begun = self._journal.tally.begun()
        until = datetime.fromtimestamp(slot_of(now - SETTLED), UTC)
        if begun is None:
            return CloudsCounted(())
        first = max(asked.since, begun, until - LONGEST)
        since = datetime.fromtimestamp(slot_of(first - timedelta(seconds=1)) + SLOT, UTC)
        return CloudsCounted(tuple(self._homes(held, since, until)) if since < until else ())

    def _homes(self, held: list[KeyPair], since: datetime, until: datetime) -> Iterator[CloudUses]:
        homes: dict[tuple[str, str], dict[str, KeyPair]] = {}
        for pair in held:
            store = store_name(pair.uri)
            home = self._stores[store].locate(pair.uri).home
            homes.setdefault((store, home), {})[pair.uri] = pair
        for (store, home), keys in sorted(homes.items()):
            try:
                (told,) = self._stores[store].audit(tuple(keys), since, until)
            except PrivySealError as error:
                yield CloudUses(store=store, home=home, since=since, until=until, trouble=error.detail)
                continue
            uses = tuple(self._uses(each, told.signed[uri], told.log, since, until) for uri, each in keys.items())
            yield CloudUses(
                store=store,
                home=home,
                since=since,
                until=until,
                source=told.log.source,
                on=told.log.on,
                gaps=told.log.gaps,
                keys=uses,
            )

    def _uses(self, pair: KeyPair, counted: int, log: AuditLog, since: datetime, until: datetime) -> KeyUses:
        tally = self._journal.tally
        complete = min(until, log.complete_until)  # what is younger may still be missing, and is not missed
        return KeyUses(
            subscriber=pair.subscriber,
            name=pair.name,
            key_id=pair.key_id,
            counted=counted,
            at_least=tally.bounds(pair.key_id, since, complete)[0] if complete > since else 0,
            at_most=tally.bounds(pair.key_id, since, until)[1],
        )
