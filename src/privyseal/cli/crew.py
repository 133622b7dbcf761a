"""Several files at once, told of in the order in which they were named.

The threads are daemons: an interrupted run ends at once and does not wait for an answer from the network. That is safe
because whatever a thread was doing is either under a temporary name or done (``formats/patch.py``), and because asking
again under the same Idempotency-Key gives the same signature.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from privyseal.formats import catalogue
from privyseal.terms.learnt import learn_types

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

GRACE = 2.0
"""Seconds that threads get to finish the files in their hands when the run is broken off."""


def each(work: Callable[[Item], Outcome], items: Sequence[Item], workers: int) -> Iterator[Outcome]:
    """Do ``work`` on every item in up to ``workers`` threads, and yield the outcomes in the order of the items.

    An exception of ``work`` is raised when its item's turn comes, and nothing further is begun. With one worker or one
    item no thread is started.
    """
    if min(workers, len(items)) <= 1:
        yield from map(work, items)
        return
    catalogue.every()  # before there are threads: what is imported later is not learnt
    learn_types()
    crew = _Crew(work, items, min(workers, len(items)))
    try:
        for position in range(len(items)):
            yield crew.outcome(position)
    finally:
        crew.stop()


class _Crew(Generic[Item, Outcome]):
    """The threads and what they have brought back; ``_change`` guards all that changes."""

    def __init__(self, work: Callable[[Item], Outcome], items: Sequence[Item], workers: int) -> None:
        self._work = work
        self._items = items
        self._change = threading.Condition()
        self._next = 0
        self._brought: dict[int, Outcome | BaseException] = {}
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def outcome(self, position: int) -> Outcome:
        """Wait for one item and return or raise what came of it; each is asked for once."""
        with self._change:
            while position not in self._brought:
                self._change.wait()
            brought = self._brought.pop(position)
        if isinstance(brought, BaseException):
            raise brought
        return brought

    def stop(self) -> None:
        """Begin nothing more, and give the threads a moment to come to an end."""
        with self._change:
            self._next = len(self._items)
        until = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while True:
            with self._change:
                position = self._next
                if position >= len(self._items):
                    return
                self._next += 1
            try:
                brought: Outcome | BaseException = self._work(self._items[position])
            except BaseException as error:
                brought = error
            with self._change:
                self._brought[position] = brought
                self._change.notify_all()
