"""Whether the records remember what the log holds of them: records from an old backup do not, and nothing is signed.

A request is written down before its intent is handed to the logger, and none is ever deleted. So each ``sign`` intent
of one of our keys is one that a request is known to have, or that of a request which is SIGNING and was not told yet
where it stands. Any other one is of a request that the records had and have lost, with its Idempotency-Key; who asks
again under that key would get a second signature. No crash of ours makes such an intent, so there is nothing to weigh.
And the other way round: an intent that a request is known to have stands in the log, or the log was put back.

Newest intents first: what a backup lacks stands behind all that it has. Of what stands before, LOOK_BACK entries are
looked at as well, for a database that failed over under a running service and lost its last commits.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice

import msgspec

from privyseal.errors import BadInput, LogRolledBack, LogUnavailable, PrivySealError, RecordsRolledBack
from privyseal.records import events, gaps
from privyseal.records.database import Records
from privyseal.records.events import Event
from privyseal.strongroom.client import LoggerClient
from privyseal.tlog.entry import Completion, Entry, Intent, commit, decode
from privyseal.tlog.log import read_bundle
from privyseal.tlog.policy import Policy
from privyseal.tlog.tiles import TILE_WIDTH, Read, width_at
from privyseal.tlog.tilestore import CHECKPOINT

LOOK_BACK = 16 * TILE_WIDTH
"""Entries before the newest known intent, and before the last look, that are looked at again: several seconds of a
busy service, more than a replica lags behind; a few hundredths of a second of work."""

MOST_COUNTED = 65_536
"""Intents that are counted as lost, some 40 MB; whoever lost more has lost enough to be told."""

HINT = "restore the newest records, or see privyseal log accept-gap; verification and the log go on"
"""What to do about lost records."""


class Gap(msgspec.Struct, frozen=True):
    """What the log holds and the records do not."""

    size: int
    """Entries of the log when it was looked at."""
    known: int | None
    """Index of the newest intent that a request is known to have."""
    missing: dict[str, int]
    """How many intents of each Subscriber are of requests that are not known."""
    first: int
    last: int
    """Indexes of the first and the last of them; 0 where there is none."""


class Recollection:
    """Holds the records against the log, once before anything is signed and now and then afterwards."""

    def __init__(self, records: Records, size: Callable[[], int], read: Read, policy: Policy | None = None) -> None:
        """Take the records, a way to the log's size and one to its public files; ``policy`` names its witnesses."""
        self._records = records
        self._size = size
        self.read = read
        self.policy = policy
        self._guard = threading.Lock()
        self._looked: int | None = None
        self._refusal: PrivySealError | None = None

    def require(self) -> None:
        """Raise RecordsRolledBack or LogRolledBack where one is older, LogUnavailable where nobody can tell yet."""
        if self._looked is None:
            self.look()
        if self._refusal is not None:
            raise type(self._refusal)(self._refusal.detail, hint=self._refusal.hint)

    def look(self) -> None:
        """Hold the records against the log anew; LogUnavailable or Unavailable where that cannot be done now."""
        with self._guard:
            try:
                gap = self.gap()
            except LogRolledBack as error:
                self._refusal = error
                raise
            self._looked = gap.size
            self._refusal = RecordsRolledBack(self._sentence(gap), hint=HINT) if gap.missing else None

    def gap(self) -> Gap:
        """Return what is missing, which may be nothing; LogRolledBack where the log lacks what the records know.

        The log's size is read first, then what is under way, then what is known: whoever walks meanwhile takes a
        request from one to the next in this order, so none is missed.
        """
        size = self._size()
        with self._records.reading_all_subscribers() as connection:
            known = gaps.newest_intent_of_all_subscribers(connection)
            if known is not None and known >= size and known >= (size := self._size()):  # it may have grown meanwhile
                raise LogRolledBack(
                    f"The log has {size} entries{self._witnessed()}, and the records know an intent at entry {known}.",
                    hint="restore the newest log, or run privyseal log recover; nothing is logged until then",
                )
            accepted = gaps.accepted_size_of_all_subscribers(connection)
            looked = size if self._looked is None else self._looked
            start = max(accepted, min(looked, 0 if known is None else known) - LOOK_BACK, 0)
            under_way = {commit(*each) for each in gaps.unplaced_of_all_subscribers(connection)}
            placed = gaps.intents_of_all_subscribers(connection, start, size)
            strange = dict(islice(self._strange_intents(start, size, placed), MOST_COUNTED))
            started = {index for index, intent in strange.items() if intent.commitment in under_way}
            started -= self._completed(start, size) if started else set()
            lost = {index: intent for index, intent in strange.items() if index not in started}
            owners = gaps.owners_of_all_key_tags(connection) if lost else {}
        lost = {index: intent for index, intent in lost.items() if intent.key_tag in owners}
        missing = Counter(owners[intent.key_tag] for intent in lost.values())
        return Gap(size, known, dict(missing), min(lost, default=0), max(lost, default=0))

    def _strange_intents(self, start: int, size: int, placed: set[int]) -> Iterator[tuple[int, Intent]]:
        """Yield the intents to sign that are not of a known request; the others are not even decoded."""
        for index, octets in self._entries(start, size):
            if index not in placed and b'"type":"intent"' in octets:
                entry = _decoded(index, octets)
                if isinstance(entry, Intent) and entry.verb == "sign":
                    yield index, entry

    def _completed(self, start: int, size: int) -> set[int]:
        """Return the intents with a completion: their requests knew where they stand, once."""
        decoded = (_decoded(index, octets) for index, octets in self._entries(start, size))
        return {entry.intent for entry in decoded if isinstance(entry, Completion)}

    def _entries(self, start: int, size: int) -> Iterator[tuple[int, bytes]]:
        for bundle in range(start // TILE_WIDTH, -(-size // TILE_WIDTH)):
            entries = read_bundle(self.read, bundle, width_at(size, 0, bundle))
            for index, octets in enumerate(entries, start=bundle * TILE_WIDTH):
                if index >= start:
                    yield index, octets

    def _sentence(self, gap: Gap) -> str:
        known = "no intent of the log" if gap.known is None else f"the log up to its entry {gap.known}"
        count = sum(gap.missing.values())
        where = f"entry {gap.first}" if count == 1 else f"entries {gap.first} to {gap.last}"
        return (
            f"The records know {known}, and it has {gap.size} entries{self._witnessed()}; "
            f"they lack {count} request{'s' * (count > 1)} with intents at {where}, so nothing is signed."
        )

    def _witnessed(self) -> str:
        """Say what the witnesses have cosigned, as far as the published head shows it."""
        octets = None if self.policy is None else self.read(CHECKPOINT)
        if self.policy is None or octets is None:
            return ""
        try:
            accepted = self.policy.check(octets)
        except PrivySealError:
            return ""
        if not accepted.witnesses:
            return " (no witness knows of any)"
        several = len(accepted.witnesses) > 1
        names = ", ".join(accepted.witnesses)
        return f" (the witness{'es' * several} {names} know{'s' * (not several)} {accepted.checkpoint.size})"


def size_of(logger: LoggerClient) -> Callable[[], int]:
    """Return a way to the size of the log as the active logger knows it, which it may have to bring up first."""

    def size() -> int:
        state = logger.health()
        if state.standby:
            raise LogUnavailable("No logger is the active one, so nobody knows how long the log is.")
        return state.size

    return size


def published_size(read: Read, policy: Policy) -> int:
    """Return the size in the published head, believed under a policy; LogUnavailable where there is none."""
    octets = read(CHECKPOINT)
    if octets is None:
        raise LogUnavailable("The log has no published head.", hint="is this the service's directory?")
    return policy.check(octets).checkpoint.size


def accept(recollection: Recollection, records: Records, now: datetime) -> Gap:
    """Write down that the requests of a gap are lost for good: their Idempotency-Keys are free again from here on."""
    gap = recollection.gap()
    with records.batch() as batch:
        for subscriber, missing in gap.missing.items():
            with batch.item(subscriber) as tx:
                gaps.accept(tx, gap.size, missing, now)
                what = f"{missing} requests given up as lost"
                events.record(tx, Event(now, "operator", what, f"log entries {gap.first} to {gap.last} of {gap.size}"))
    return gap


def _decoded(index: int, octets: bytes) -> Entry:
    try:
        return decode(octets)
    except BadInput as error:
        raise LogUnavailable(f"Entry {index} of the log's public files cannot be read: {error.detail}") from None
