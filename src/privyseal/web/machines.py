"""The tokens of machines at the door: who holds each, remembered for a second, and on which day it was last used."""

from __future__ import annotations

import contextlib
import functools
from datetime import datetime, timedelta

from sqlalchemy import Connection

from privyseal.access.credentials import Holder
from privyseal.errors import PrivySealError
from privyseal.records import trust
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor

REMEMBERED = timedelta(seconds=1)
"""As long as any other token (``web/desk.py``); a token that ends is refused that much later."""
MOST_REMEMBERED = 1024
"""Tokens remembered at once; beyond it all are forgotten."""

_Known = dict[bytes, tuple[datetime, Actor]]


class Machines:
    """Whose token was found good just now. What is written in a batch is lost where something is revoked meanwhile."""

    def __init__(self, seal: PrivySeal) -> None:
        """Remember for one service."""
        self._seal = seal
        self._known: _Known = {}

    def recall(self, digest: bytes) -> Actor:
        """Return whose token was found good within REMEMBERED; KeyError for any other."""
        at, actor = self._known[digest]
        if not timedelta() <= self._seal.clock() - at < REMEMBERED:
            raise KeyError(digest)
        return actor

    def forget(self) -> None:
        """Ask the records about every token again."""
        self._known = {}

    def batch(self) -> MachineBatch:
        """Begin to look up the tokens of one batch of callers."""
        return MachineBatch(self._seal, self._known)


class MachineBatch:
    """The look-ups of one batch, each token asked for once."""

    def __init__(self, seal: PrivySeal, known: _Known) -> None:
        """Look up for ``seal``, and write down in ``known`` what is good."""
        self._seal = seal
        self._known = known
        self._first_today: dict[str, list[bytes]] = {}

    def lookups(self, connection: Connection, now: datetime) -> tuple[Holder, Holder]:
        """Return how to find the holder of a run's token, and of a static one."""

        @functools.cache
        def by_run(digest: bytes) -> Actor | None:
            return self._found(digest, trust.run_by_token_of_all_subscribers(connection, digest, now), now)

        @functools.cache
        def by_scope(digest: bytes) -> Actor | None:
            found = trust.machine_by_token_of_all_subscribers(connection, digest, now)
            if found is None:
                return None
            actor, first = found
            if first:
                self._first_today.setdefault(actor.subscriber, []).append(digest)
            return self._found(digest, actor, now)

        return by_run, by_scope

    def note_use(self, now: datetime) -> None:
        """Write down which static tokens were used for the first time today; that it fails refuses nobody."""
        for subscriber, digests in self._first_today.items():
            with contextlib.suppress(PrivySealError), self._seal.records.writing(subscriber) as tx:
                trust.note_use(tx, digests, now.date())

    def _found(self, digest: bytes, actor: Actor | None, now: datetime) -> Actor | None:
        if actor is not None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[digest] = (now, actor)
        return actor
