"""One reading of content for everybody who wants to see it: digests, sums, whatever takes octets in their order.

Large content is read with two buffers and two threads: while the first sink (the digest, which takes longest) works
on one buffer in the caller's thread, a second thread feeds it to the other sinks and fills the next. hashlib, numpy and
the reading itself let go of the interpreter lock, so the pass takes as long as the digest alone.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from privyseal.errors import MalformedCode
from privyseal.formats.protocol import Source

if TYPE_CHECKING:
    from privyseal.formats.comparing import Comparing

Sink = Callable[[memoryview], object]
"""Takes the next octets; it must not keep the view, whose buffer is used again."""

Part: TypeAlias = bytes | tuple[int, int]
"""What is hashed next: octets, or from where to where they stand in the file."""

Through: TypeAlias = Callable[[tuple[Sink, ...]], Sink]
"""Makes of sinks one that gives them what it makes of the file's octets, such as text in another encoding. Two that do
the same are equal."""

Hashed: TypeAlias = Callable[[tuple[str, ...], list[Part], Hashable], dict[str, bytes] | None]
"""Tells what parts hash to by some algorithms, where somebody knows that already, else None; the last is what is made
of them before, such as a ``Through``, or None."""

CRC: Final = "crc32"
"""The name of the checksum of ZIP among algorithms (APPNOTE 4.4.7): four octets, little endian, as they stand there."""

MOST_PARTS = 1 << 16
"""Parts whose digest is kept, or known from elsewhere; a file in more pieces is hashed whenever it is read."""

BUFFER = 2 << 20
"""Octets read at a time. Below 1 MiB the hand-over between the threads shows, above 4 MiB nothing is gained."""


def digests(
    code: Source,
    algorithms: Sequence[str],
    parts: Iterable[Part],
    beside: Sequence[Sink] = (),
    through: Through | None = None,
) -> dict[str, bytes]:
    """Hash parts of a file, one behind the other, by each algorithm; give what stands in it to other sinks as well.

    What stands in the file is hashed as it comes out of ``through``, octets among the parts are hashed as they are.

    A source may have an attribute ``hashed``: who has it may know the digests already. Then nothing is read, unless
    there are other sinks. Or one ``comparing``: it sees all that is read, and is told what it hashes to. Raises as
    :func:`feed`.
    """
    names, rest = tuple(algorithms), iter(parts)
    ask: Hashed | None = getattr(code, "hashed", None)
    comparing: Comparing | None = getattr(code, "comparing", None)
    recipe: list[Part] = []
    if names and (ask is not None or comparing is not None):
        recipe = list(islice(rest, MOST_PARTS))
        if (more := next(rest, None)) is None:
            if ask is not None and not beside and (known := ask(names, recipe, through)) is not None:
                return known
            rest = iter(recipe)
        else:
            rest, comparing = chain(recipe, (more,), rest), None
    hashes = {name: _Checksum() if name == CRC else hashlib.new(name) for name in names}
    sinks: list[Sink] = [each.update for each in hashes.values()]
    into = sinks if through is None or not sinks else [through(tuple(sinks))]
    for part in rest:
        if isinstance(part, bytes):
            for sink in sinks:
                sink(memoryview(part))
        else:
            feed(code, *part, [*into, *beside, *(() if comparing is None else (comparing.sink(part[0]),))])
    found = {name: each.digest() for name, each in hashes.items()}
    if comparing is not None and names:
        comparing.keep(recipe, through, found)
    return found


class _Checksum:
    """The CRC-32 of what goes by."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, view: memoryview) -> None:
        self._value = zlib.crc32(view, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "little")


def feed(code: Source, start: int, end: int, sinks: Sequence[Sink]) -> None:
    """Read ``code`` from ``start`` to ``end``, once, and give it to every sink in order.

    Raises what the source or a sink raises; MalformedCode where the source ends early.
    """
    if sinks and start < end:
        reading = _alone if len(sinks) == 1 or end - start <= BUFFER else _side_by_side
        _expect(code, reading(code, start, end, sinks), end)


def _alone(code: Source, start: int, end: int, sinks: Sequence[Sink]) -> int:
    buffer = memoryview(bytearray(min(BUFFER, end - start)))
    at = start
    while count := code.readinto(at, buffer[: end - at]):
        for sink in sinks:
            sink(buffer[:count])
        at += count
    return at


def _side_by_side(code: Source, start: int, end: int, sinks: Sequence[Sink]) -> int:
    main, *others = sinks
    full, free = memoryview(bytearray(BUFFER)), memoryview(bytearray(BUFFER))
    at = start
    count = code.readinto(at, full[: end - at])
    with _Second(code, others, end) as second:
        while count:
            at += count
            second.begin(full[:count], free, at)
            main(full[:count])
            count = second.end()
            full, free = free, full
    return at


class _Second(threading.Thread):
    """Gives octets to all sinks but the first, then reads the next ones; a pool of one thread takes 5 ms to import."""

    def __init__(self, code: Source, sinks: Sequence[Sink], end: int) -> None:
        super().__init__(name="content")
        self._code, self._sinks, self._end = code, sinks, end
        self._asked, self._answered = threading.Semaphore(0), threading.Semaphore(0)
        self._work: tuple[memoryview, memoryview, int] | None = None
        self._count = 0
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_reason: object) -> None:
        self._work = None
        self._asked.release()
        self.join()

    def begin(self, octets: memoryview, into: memoryview, offset: int) -> None:
        """Take octets, and read into the other buffer from ``offset`` on."""
        self._work = octets, into, offset
        self._asked.release()

    def end(self) -> int:
        """Return how many octets were read; raises what a sink or the source did."""
        self._answered.acquire()
        if self._error is not None:
            raise self._error
        return self._count

    def run(self) -> None:
        while True:
            self._asked.acquire()
            work = self._work  # once: who gives up takes it away at any moment
            if work is None:
                return
            octets, into, offset = work
            try:
                for sink in self._sinks:
                    sink(octets)
                self._count = self._code.readinto(offset, into[: self._end - offset])
            except BaseException as error:
                self._error = error
            self._answered.release()


def _expect(code: Source, at: int, end: int) -> None:
    if at != end:
        raise MalformedCode(f"{code.filename} ended at {at} while it was read, and {end} was expected.")
