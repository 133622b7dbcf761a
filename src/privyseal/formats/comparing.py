"""The outcome is compared with its source while that is hashed, so that what was written need not be hashed again.

A signed file is read again before it gets its name, and held against the digest that was signed. In most formats what
is hashed is a copy of the source's octets, which are in the draft long before the signature is. So while one thread
hashes a piece of the source, another reads the same piece of the draft and compares the two, octet for octet, which
takes a quarter of hashing it. Where all pieces of a digest are alike, it is that of the draft too, and whoever verifies
the outcome by that very recipe, octets of headers included, gets it from here. By any other recipe, or where the plan
writes into what was compared, or after any difference, nothing is known, and the outcome is hashed.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence

from privyseal.formats.content import Hashed, Part, Sink
from privyseal.formats.draft import Draft
from privyseal.formats.protocol import Copy, PatchPlan, Source
from privyseal.formats.source import FileSource

PIECE = 128 << 10
"""Octets read of the draft at a time: they stay in the core's own cache until they are compared."""


MOST_LATER = 4 << 20
"""Octets that are kept until their place is written: some formats hash small things from everywhere first."""


class Comparing:
    """Compares a draft, into which a source is copied some octets later, with what is hashed of that source."""

    def __init__(self, draft: Draft, begin: Callable[[int], None]) -> None:
        """Wait for somebody to hash the source; ``begin`` starts the copying where nobody has yet."""
        self._draft, self._begin = draft, begin
        self._shift: int | None = None
        self._condition = threading.Condition()
        self._reached = 0
        self._over = False
        self._written: FileSource | None = None
        self._later: list[tuple[int, bytes]] = []
        self._room = MOST_LATER
        self._known: dict[tuple[tuple[Part, ...], Hashable], dict[str, bytes]] = {}

    # -- whoever copies the source -------------------------------------------------------------------------------------
    def begun(self, shift: int) -> None:
        """Say that the source is being copied to ``shift`` octets later."""
        self._shift = shift

    def reach(self, count: int) -> None:
        """Say that so many octets of the source are copied."""
        with self._condition:
            self._reached = count + (self._shift or 0)
            self._condition.notify_all()

    def give_up(self) -> None:
        """Know nothing and wait for nothing any more."""
        with self._condition:
            self._over = True
            self._condition.notify_all()

    def close(self) -> None:
        """Give up, and close the draft; nobody compares now."""
        self.give_up()
        if self._written is not None:
            self._written.close()

    # -- whoever hashes the source -------------------------------------------------------------------------------------
    def move(self, plan: PatchPlan) -> None:
        """Have the source copied to where most of it will stand after a plan like this, if nobody has yet.

        For whoever knows more than the layout did, and says so before anything is hashed.
        """
        if self._shift is not None:
            return
        at, most, shift = 0, 0, 0
        for step in plan.steps:
            if isinstance(step, Copy) and step.count > most:
                most, shift = step.count, at - step.offset
            at += step.count if isinstance(step, Copy) else len(step.octets)
        if shift >= 0:
            self._begin(shift)

    def beside(self, code: Source, start: int) -> Source:
        """Return a source that has what is read of it, one piece behind the other from ``start`` on, compared too."""
        return _Compared(code, self.sink(start))

    def sink(self, start: int) -> Sink:
        """Return what takes the source's octets from ``start`` on and compares them with the draft's."""
        at = start + (self._shift or 0)

        def compare(view: memoryview) -> None:
            nonlocal at
            if not self._put_off(at, view) and self._there(at + len(view)):
                self._compare(at, view)
            at += len(view)

        return compare

    def keep(self, parts: Sequence[Part], through: Hashable, found: dict[str, bytes]) -> None:
        """Remember what these parts of the source hash to, all of which have gone through sinks of this draft.

        ``through`` is equal for who makes the same of the octets before hashing them; None: nothing.
        """
        shift = self._shift
        if shift is not None and not self._over:
            moved = (one if isinstance(one, bytes) else (one[0] + shift, one[1] + shift) for one in parts)
            self._known[tuple(moved), through] = dict(found)

    # -- whoever hashes the draft --------------------------------------------------------------------------------------
    def after(self, plan: PatchPlan) -> Hashed:
        """Return what tells digests of the draft when a plan was carried out, of what that leaves as it was copied."""
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for step in plan.steps:
            size = step.count if isinstance(step, Copy) else len(step.octets)
            if isinstance(step, Copy) and step.offset + (self._shift or 0) == at:
                if ends and ends[-1] == at:
                    ends[-1] = at + size
                else:
                    starts.append(at)
                    ends.append(at + size)
            at += size
        for place, octets in self._later:
            if self._there(place + len(octets)):
                self._compare(place, memoryview(octets))
        self._later.clear()

        def stays(part: Part) -> bool:
            if isinstance(part, bytes) or part[0] == part[1]:
                return True
            place = bisect_right(starts, part[0]) - 1
            return place >= 0 and part[1] <= ends[place]

        def found(algorithms: tuple[str, ...], parts: list[Part], through: Hashable) -> dict[str, bytes] | None:
            known = None if self._over else self._known.get((tuple(parts), through))
            if known is None or not set(algorithms) <= known.keys() or not all(map(stays, parts)):
                return None
            return {name: known[name] for name in algorithms}

        return found

    # -- comparing -----------------------------------------------------------------------------------------------------
    def _there(self, end: int) -> bool:
        """Wait until the draft is filled up to ``end``; False where it will not be, or nobody asks any more."""
        with self._condition:
            while self._reached < end and not self._over and self._shift is not None:
                self._condition.wait()
            return not self._over and self._shift is not None

    def _put_off(self, at: int, view: memoryview) -> bool:
        """Tell whether octets are not there yet and were kept instead, so that nobody waits for them."""
        with self._condition:
            if self._over or self._shift is None or at + len(view) <= self._reached or len(view) > self._room:
                return False
            self._room -= len(view)
            self._later.append((at, bytes(view)))
            return True

    def _compare(self, at: int, view: memoryview) -> None:
        """Hold octets against what the draft has from ``at`` on; give up where that is something else."""
        try:
            fd = self._opened().fileno()
            buffer = bytearray(min(PIECE, len(view)))
            for start in range(0, len(view), PIECE):
                piece = view[start : start + PIECE]
                if len(piece) < len(buffer):
                    del buffer[len(piece) :]
                # The source's own readinto knows the size that the draft had when it was opened. And only an array of
                # octets is compared as a whole; two views would be one octet at a time.
                if os.preadv(fd, [buffer], at + start) != len(piece) or buffer != piece:
                    self.give_up()
                    return
        except Exception:  # whoever verifies hashes it then, and says what is wrong
            self.give_up()

    def _opened(self) -> FileSource:
        with self._condition:
            if self._written is None:
                self._written = self._draft.reopened()
            return self._written


class _Compared:
    """A source that is read once from its beginning on, and compared with what became of it."""

    def __init__(self, code: Source, sink: Sink) -> None:
        self._code, self._sink = code, sink
        self.size, self.filename = code.size, code.filename

    def pread(self, offset: int, count: int) -> bytes:
        octets = self._code.pread(offset, count)
        self._sink(memoryview(octets))
        return octets

    def readinto(self, offset: int, buffer: memoryview) -> int:
        count = self._code.readinto(offset, buffer)
        self._sink(buffer[:count])
        return count
