"""The outcome is hashed while its source is: what will be read back from the draft, as soon as it is there.

A signed file is read again before it gets its name, and hashed once more. In most formats the content it is hashed over
is a copy of the source's, which is in the draft long before the signature is. So while the first core hashes the source
the second hashes the draft, by the same recipe, and whoever verifies the outcome with that very recipe, octets of
headers included, gets the digest that was found. With any other recipe, or where the plan writes into what was hashed,
nothing is taken from here.
"""

from __future__ import annotations

import hashlib
import os
import threading
from bisect import bisect_right

from privyseal.formats.content import BUFFER, Part, Sink, Through
from privyseal.formats.draft import Draft
from privyseal.formats.protocol import Copy, PatchPlan


class HashingAhead:
    """Hashes a draft into which a source is being copied ``shift`` octets later, as the source itself is hashed."""

    def __init__(self, draft: Draft, shift: int) -> None:
        """Wait for somebody to hash the source; ``draft`` has been begun then."""
        self._draft, self._shift = draft, shift
        self._condition = threading.Condition()
        self._reached = 0
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._recipe: tuple[tuple[str, ...], list[Part], Through | None] | None = None
        self._found: dict[str, bytes] | None = None

    def reach(self, count: int) -> None:
        """Say that so many octets of the source are copied."""
        with self._condition:
            self._reached = count + self._shift
            self._condition.notify_all()

    def stop(self) -> None:
        """Hash no further."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
        self._wait()

    # -- whoever hashes the source -------------------------------------------------------------------------------------
    def begin(self, algorithms: tuple[str, ...], parts: list[Part], through: Through | None) -> None:
        """Hash the same of the draft; the first recipe is taken, and no second one. Returns None: nothing is known."""
        if self._recipe is None:
            moved = [
                part if isinstance(part, bytes) else (part[0] + self._shift, part[1] + self._shift) for part in parts
            ]
            self._recipe = algorithms, moved, through
            self._thread = threading.Thread(target=self._hash, name="hashing ahead")
            self._thread.start()

    # -- whoever hashes the draft --------------------------------------------------------------------------------------
    def holds_after(self, plan: PatchPlan) -> bool:
        """Tell whether a plan leaves what was hashed as it was copied."""
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
        """Return what the draft hashes to by this recipe, waiting until that is known; None by any other."""
        if self._recipe is None or self._recipe[1:] != (parts, through) or not set(algorithms) <= set(self._recipe[0]):
            return None
        self._wait()
        return None if self._found is None else {name: self._found[name] for name in algorithms}

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _hash(self) -> None:
        assert self._recipe is not None  # noqa: S101 - begin() sets it first
        algorithms, parts, through = self._recipe
        hashes = {name: hashlib.new(name) for name in algorithms}
        into: list[Sink] = [each.update for each in hashes.values()]
        try:
            into = into if through is None else [through(tuple(into))]
            with self._draft.reopened() as written:
                buffer = memoryview(bytearray(BUFFER))
                for part in parts:
                    if isinstance(part, bytes):
                        for each in hashes.values():
                            each.update(part)
                        continue
                    at, end = part
                    while at < end:
                        if not self._there(min(at + BUFFER, end)):
                            return
                        # The source's own readinto knows the size that the draft had when it was opened.
                        count = os.preadv(written.fileno(), [buffer[: end - at]], at)
                        if count == 0:
                            return
                        for sink in into:
                            sink(buffer[:count])
                        at += count
        except Exception:  # whoever verifies hashes it then, and says what is wrong
            return
        self._found = {name: each.digest() for name, each in hashes.items()}

    def _there(self, end: int) -> bool:
        """Wait until the draft is filled up to ``end``; False where it will not be."""
        with self._condition:
            while self._reached < end and not self._stopped:
                self._condition.wait()
            return not self._stopped
