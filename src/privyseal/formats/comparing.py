"""The outcome is compared with its source while that is hashed: what was copied, as soon as it is there.

A signed file is read again before it gets its name, and its digest is taken once more. In most formats the content it
is taken over is a copy of the source's, which is in the draft long before the signature is. So while the first core
hashes the octets of the source, the second reads the same octets back from the draft and compares them with those very
ones: where all are the same, the draft hashes to what the source does. Whoever verifies the outcome with that very
recipe, octets of headers included, gets that digest. With any other recipe, where one octet differs, or where the plan
writes into what was compared, nothing is taken from here, and the outcome is hashed.

To compare 100 MiB takes the processor a third of the time that it takes to hash them.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right

from privyseal.formats.content import Part, Sink, Through
from privyseal.formats.draft import Draft
from privyseal.formats.protocol import Copy, PatchPlan
from privyseal.formats.source import FileSource


class Comparing:
    """Compares a draft into which a source is being copied ``shift`` octets later with what is hashed of the source."""

    def __init__(self, draft: Draft, shift: int) -> None:
        """Wait for somebody to hash the source; ``draft`` has been begun then."""
        self._draft, self._shift = draft, shift
        self._condition = threading.Condition()
        self._reached = 0
        self._stopped = False
        self._written: FileSource | None = None
        self._buffer = bytearray()
        self._recipe: tuple[tuple[str, ...], list[Part], Through | None] | None = None
        self._same = True
        self._found: dict[str, bytes] | None = None

    def reach(self, count: int) -> None:
        """Say that so many octets of the source are copied."""
        with self._condition:
            self._reached = count + self._shift
            self._condition.notify_all()

    def stop(self) -> None:
        """Say that no more will be copied: whoever waits for it compares no further."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def close(self) -> None:
        """Let go of the draft; nobody compares any more."""
        self.stop()
        if self._written is not None:
            self._written.close()

    # -- whoever hashes the source -------------------------------------------------------------------------------------
    def begin(self, algorithms: tuple[str, ...], parts: list[Part], through: Through | None) -> bool:
        """Hear what will be hashed, and tell whether it will be compared: the first recipe is, and no second one."""
        if self._recipe is not None:
            return False
        moved = [part if isinstance(part, bytes) else (part[0] + self._shift, part[1] + self._shift) for part in parts]
        self._recipe = algorithms, moved, through
        self._written = self._draft.reopened()
        return True

    def behind(self, at: int) -> Sink:
        """Return what takes the octets of the source from ``at`` on, and compares those of the draft with them."""

        def compare(octets: memoryview) -> None:
            nonlocal at
            self._same = self._same and self._is_there(at + self._shift, octets)
            at += len(octets)

        return compare

    def end(self, found: dict[str, bytes]) -> None:
        """Hear what the source hashed to, by the recipe that was begun."""
        self._found = found if self._same else None

    def _is_there(self, at: int, octets: memoryview) -> bool:
        """Wait until the draft is filled that far, and tell whether these octets stand there."""
        count = len(octets)
        with self._condition:
            while self._reached < at + count and not self._stopped:
                self._condition.wait()
            if self._reached < at + count:
                return False
        if len(self._buffer) != count:
            self._buffer = bytearray(count)
        assert self._written is not None  # noqa: S101 - begin() opens it
        # The source's own readinto knows the size that the draft had when it was opened.
        if os.preadv(self._written.fileno(), [self._buffer], at) != count:
            return False
        return self._buffer == octets  # a bytearray compares as memcmp does, a memoryview octet by octet

    # -- whoever verifies the draft ------------------------------------------------------------------------------------
    def holds_after(self, plan: PatchPlan) -> bool:
        """Tell whether a plan leaves what was compared as it was copied."""
        if self._recipe is None:
            return False
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for step in plan.steps:
            size = step.count if isinstance(step, Copy) else len(step.octets)
            if isinstance(step, Copy) and step.offset + self._shift == at:
                if ends and ends[-1] == at:
                    ends[-1] = at + size
                else:
                    starts.append(at)
                    ends.append(at + size)
            at += size
        for part in self._recipe[1]:
            if isinstance(part, bytes) or part[0] == part[1]:
                continue
            place = bisect_right(starts, part[0]) - 1
            if place < 0 or part[1] > ends[place]:
                return False
        return True

    def found(self, algorithms: tuple[str, ...], parts: list[Part], through: Through | None) -> dict[str, bytes] | None:
        """Return what the draft hashes to by this recipe; None by any other, and where that is not known."""
        if self._recipe is None or self._found is None or self._recipe[1:] != (parts, through):
            return None
        if not set(algorithms) <= set(self._recipe[0]):
            return None
        return {name: self._found[name] for name in algorithms}
