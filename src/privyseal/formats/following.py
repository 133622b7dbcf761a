"""Reading a file close behind the one who writes it: what is not there yet is waited for."""

from __future__ import annotations

import threading
from bisect import bisect_left

from privyseal.formats.content import Hashed
from privyseal.formats.protocol import Copy, PatchPlan
from privyseal.formats.source import FileSource


class Stopped(Exception):
    """The follower gave up, so the writer does too."""


class Progress:
    """How far the copies have come. Written by the writer, waited for by followers; the condition guards all of it."""

    def __init__(self, plan: PatchPlan) -> None:
        """Begin with nothing written of ``plan``, whose inserts are written before its copies."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        at = 0
        for step in plan.steps:
            size = step.count if isinstance(step, Copy) else len(step.octets)
            if isinstance(step, Copy):
                self._starts.append(at)
                self._ends.append(at + size)
            at += size
        self._reached = -1
        self._error: BaseException | None = None
        self._stopped = False
        self._condition = threading.Condition()

    def reach(self, at: int) -> None:
        """Say that every insert, and every copy before ``at`` of the outcome, is written."""
        with self._condition:
            if self._stopped:
                raise Stopped
            self._reached = at
            self._condition.notify_all()

    def fail(self, error: BaseException) -> None:
        """Say that no more will be written."""
        with self._condition:
            self._error = error
            self._condition.notify_all()

    def stop(self) -> None:
        """Ask the writer to give up."""
        with self._condition:
            self._stopped = True

    def check(self) -> None:
        """Raise what the writer failed with, if it did."""
        if self._error is not None:
            raise self._error

    def wait(self, start: int, end: int) -> None:
        """Wait until the octets from ``start`` to ``end`` of the outcome are written; raise if they never will be."""
        last = bisect_left(self._starts, end) - 1
        needed = min(self._ends[last], end) if last >= 0 and self._ends[last] > start else 0
        if self._reached >= needed:  # it only grows: a cabinet of 1 GiB has 33,000 blocks to look at
            return
        with self._condition:
            while self._reached < needed:
                self.check()
                self._condition.wait()


class Followed:
    """The outcome as a source whose readers wait for what is not written yet."""

    def __init__(self, written: FileSource, progress: Progress, hashed: Hashed | None = None) -> None:
        """Read ``written``, which has its final size already, no faster than ``progress`` allows.

        ``hashed`` tells what it hashes to where that is known already.
        """
        self.hashed = hashed
        self._written = written
        self._progress = progress
        self.size = written.size
        self.filename = written.filename

    def pread(self, offset: int, count: int) -> bytes:
        """As :meth:`FileSource.pread`."""
        self._progress.wait(offset, offset + count)
        return self._written.pread(offset, count)

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """As :meth:`FileSource.readinto`."""
        self._progress.wait(offset, min(offset + len(buffer), self.size))
        return self._written.readinto(offset, buffer)
