"""From many waiting coroutines to few calls of the synchronous core: whoever waits goes along with the next batch.

While one batch is in its thread the next one collects, so the batches grow with the load and the fsyncs do not (group
commit; measured in front of SQLite with synchronous=FULL: 3,400 commits a second one by one, 12,200 collected). All
state belongs to the event loop; only :attr:`Batcher.work` runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, NamedTuple, TypeVar

from privyseal.errors import Overloaded, PrivySealError, Unavailable
from privyseal.telemetry import CALLS, Call, Facts, tell, where

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

LARGEST_BATCH = 256
"""Items in one batch: what the signing walk is made for; beyond it a batch only makes its first item wait."""

BATCH_SECONDS = 0.5
"""Seconds that a batch is meant to be in its thread, by the pace so far. Slow keys have smaller batches: what has begun
is not given up, so if the machine becomes ten times slower all at once, this much becomes ten times as long."""

SMALLEST_FULL_BATCH = 32
"""Items for which a batch has room however slow they are: syncs cost the same for few as for many, and where they are
slow themselves ever smaller batches would do ever less."""

LONGEST_QUEUE = 4096
"""Items that may wait; more are refused with 503 at once, for by their turn their callers would have given up."""

LONGEST_RETRY_S = 30
"""What a caller is asked to wait at most before it comes again; a queue is worked off long before."""

GATHERING_S = 0.003
"""Seconds that the next batch waits for company while another one is under way. Who has just been answered is about to
ask again: without the wait a batch of one or two sets off, costs as many syncs and round trips as thirty would, and
leaves the thirty to the batch after it. On PostgreSQL, 64 clients, a request took a seventh less of the processor."""

_BATCHES_KEPT = 7
"""Landed batches that the pace is taken from: four slow ones in a row are a slow machine, three are hiccups."""

_FEWEST = 3
"""Batches, or else SMALLEST_FULL_BATCH items, from which on a pace turns anybody away: the first item of a service that
has just started waits for imports and connections, and says nothing of those behind it."""


class _Pace:
    """How long an item keeps a thread: the median over the last batches, each counting by its items.

    A mean would make a long queue of a single item that was slow once. A batch counts for at most SMALLEST_FULL_BATCH
    items, so that no single one rules; many callers together still outweigh one who came alone.
    """

    def __init__(self) -> None:
        self._landed: deque[tuple[float, int]] = deque(maxlen=_BATCHES_KEPT)

    def add(self, items: int, seconds: float) -> None:
        """Learn from a batch that landed."""
        self._landed.append((seconds / items, min(items, SMALLEST_FULL_BATCH)))

    @property
    def seconds(self) -> float:
        """Seconds of one thread for each item; 0 while nothing is known."""
        left = sum(weight for _, weight in self._landed) / 2
        for each, weight in sorted(self._landed):
            left -= weight
            if left <= 0:
                return each
        return 0.0

    @property
    def known(self) -> bool:
        """Tell whether enough has landed to turn people away by it."""
        return len(self._landed) >= _FEWEST or sum(weight for _, weight in self._landed) >= SMALLEST_FULL_BATCH


class _Waiting(NamedTuple, Generic[Item, Outcome]):
    """One item that waits: for whom, and until when there is any use in it."""

    item: Item
    future: asyncio.Future[Outcome]
    calls: tuple[Call, ...]
    until: float


class Batcher(Generic[Item, Outcome]):
    """Collects items on the event loop and hands each batch to ``work`` in one thread of ``pool``.

    ``work`` returns one outcome for each item, in order: a value, or the PrivySealError that is that item's alone. A
    caller who goes away changes nothing: its item is worked off with its batch all the same.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Outcome | PrivySealError]],
        pool: Executor,
        *,
        in_flight: int = 2,
        largest: int = LARGEST_BATCH,
        droppable: bool = False,
        observe: Callable[[int, float], None] = lambda items, seconds: None,
    ) -> None:
        """Prepare; ``in_flight`` batches may be in their threads at once, each with at most ``largest`` items.

        ``droppable`` is an item that nothing was promised for yet: it is dropped, instead of worked off, when its turn
        comes too late or its caller is gone. ``observe`` hears of each batch, in its thread.
        """
        self.work = work
        self._droppable = droppable
        self._observe = observe
        self._pace = _Pace()
        self.refused = self.dropped = 0
        self._pool = pool
        self._most_in_flight = in_flight
        self._largest = largest
        self._waiting: deque[_Waiting[Item, Outcome]] = deque()
        self._in_flight: dict[asyncio.Task[None], tuple[int, float]] = {}
        """Of each batch in its thread, how many items it has and when it went there."""
        self._flushing = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """Return how many items wait for a thread."""
        return len(self._waiting)

    def expected_wait(self) -> float:
        """Return the seconds after which an item that comes now would be done.

        By the pace of the last batches, once there were a few, and the items before it; and as long as even the
        youngest batch is in its thread already, for a pace is known only when batches have landed, and what has come to
        a stop never lands. 0 while a thread is free, whatever was measured: what is slow is found out again by trying.
        """
        under_way = list(self._in_flight.values())  # at once: metrics are read in a thread
        if len(under_way) < self._most_in_flight:
            return 0.0
        before = sum(items for items, _ in under_way) + len(self._waiting)
        youngest = time.monotonic() - max(began for _, began in under_way)
        pace = self._pace.seconds if self._pace.known else 0.0
        return max((before + 1) * pace / self._most_in_flight, youngest)

    def admit(self, within: float = math.inf) -> None:
        """Raise Overloaded where an item that comes now could not be done ``within`` so many seconds."""
        if len(self._waiting) < LONGEST_QUEUE and (within == math.inf or self.expected_wait() <= within):
            return
        self.refused += 1
        raise overloaded("More requests wait than the service can take in time.", self.expected_wait())

    async def put(self, item: Item, within: float = math.inf) -> Outcome:
        """Wait for the item's batch and return its outcome or raise its error.

        Overloaded at once where it would not be done ``within`` so many seconds, or where too many wait.
        """
        if self._closed:
            raise Unavailable("The service is stopping.", hint="try again in a moment")
        self.admit(within)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append(_Waiting(item, future, CALLS.get(), loop.time() + within))
        self._flush_soon()
        return await future

    async def drain(self) -> None:
        """Take nothing more and wait until all that waits is worked off."""
        self._closed = True
        while self._in_flight or self._flushing:
            if self._in_flight:
                await asyncio.wait(set(self._in_flight))
            else:
                await asyncio.sleep(0)

    def _flush_soon(self) -> None:
        """Flush in a moment: whoever else becomes ready until then shall come along."""
        if self._flushing:
            return
        self._flushing = True
        loop = asyncio.get_running_loop()
        if self._in_flight and not self._closed:
            loop.call_later(GATHERING_S, self._flush)
        else:
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        while self._waiting and len(self._in_flight) < self._most_in_flight:
            batch = self._next()
            if not batch:
                continue
            task = asyncio.get_running_loop().create_task(self._carry_out(batch))
            self._in_flight[task] = (len(batch), time.monotonic())
            task.add_done_callback(self._landed)

    def _next(self) -> list[_Waiting[Item, Outcome]]:
        """Take the next batch out of the queue, without those whose work would be for nobody."""
        most = self._largest
        if self._pace.seconds:
            most = min(most, max(SMALLEST_FULL_BATCH, int(BATCH_SECONDS / self._pace.seconds)))
        if not self._droppable:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]
        now = asyncio.get_running_loop().time()
        batch: list[_Waiting[Item, Outcome]] = []
        while self._waiting and len(batch) < most:
            one = self._waiting.popleft()
            gone = one.future.done() or any(call.gone for call in one.calls)
            if not gone and now <= one.until:
                batch.append(one)
                continue
            self.dropped += 1
            if not one.future.done():
                error = overloaded("The turn of this request came too late; nothing was done.", self.expected_wait())
                one.future.set_exception(error)
        return batch

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.pop(task, None)
        self._flush_soon()

    def _work(self, items: list[Item], calls: tuple[Call, ...]) -> Sequence[Outcome | PrivySealError]:
        CALLS.set(calls)
        began = time.monotonic()
        try:
            return self.work(items)
        finally:
            self._observe(len(items), time.monotonic() - began)

    async def _carry_out(self, batch: list[_Waiting[Item, Outcome]]) -> None:
        loop = asyncio.get_running_loop()
        calls = tuple(dict.fromkeys(call for one in batch for call in one.calls))
        began = loop.time()
        try:
            in_thread = contextvars.copy_context()  # the thread is used again, its calls are not
            outcomes = await loop.run_in_executor(
                self._pool, in_thread.run, self._work, [one.item for one in batch], calls
            )
            if len(outcomes) != len(batch):
                raise RuntimeError(f"{len(batch)} items went in and {len(outcomes)} outcomes came out")
        except PrivySealError as error:
            outcomes = [error] * len(batch)
        except Exception as error:
            ids = tuple(call.request_id for call in calls)
            tell("a batch failed", Facts(items=len(batch), request_ids=ids, where=where(error)), logging.ERROR)
            for one in batch:
                if not one.future.done():
                    one.future.set_exception(_copy(error))
            return
        finally:
            self._pace.add(len(batch), loop.time() - began)
            task = asyncio.current_task()
            if task is not None:  # before the first answer: who asks again at once shall not wait for what is over
                self._in_flight.pop(task, None)
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.future.done():  # its caller went away
                continue
            if isinstance(outcome, PrivySealError):
                one.future.set_exception(_own(outcome))
            else:
                one.future.set_result(outcome)


def overloaded(detail: str, expected: float) -> Overloaded:
    """Return the error for who comes at the wrong time: come back when what waits now is expected to be done."""
    error = Overloaded(detail, hint="try again in a moment; the same request under the same Idempotency-Key is safe")
    error.retry_after = max(1, min(LONGEST_RETRY_S, math.ceil(expected)))
    return error


def _own(error: PrivySealError) -> PrivySealError:
    """Return an equal error: one object raised in many tasks would gather all their tracebacks."""
    return copy.copy(error)


def _copy(error: Exception) -> Exception:
    unforeseen = RuntimeError("the batch failed")
    unforeseen.__cause__ = error
    return unforeseen
