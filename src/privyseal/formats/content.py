"""One reading of content for everybody who wants to see it: digests, sums, whatever takes octets in their order.

Large content is read with two buffers and two threads: while the first sink (the digest, which takes longest) works
on one buffer in the caller's thread, a second thread feeds it to the other sinks and fills the next. hashlib, numpy and
the reading itself let go of the interpreter lock, so the pass takes as long as the digest alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from privyseal.errors import MalformedCode
from privyseal.formats.protocol import Source

Sink = Callable[[memoryview], object]
"""Takes the next octets; it must not keep the view, whose buffer is used again."""

BUFFER = 2 << 20
"""Octets read at a time. Below 1 MiB the hand-over between the threads shows, above 4 MiB nothing is gained."""


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

    def beside(view: memoryview, into: memoryview, offset: int) -> int:
        for sink in others:
            sink(view)
        return code.readinto(offset, into[: end - offset])

    count = code.readinto(at, full)
    with ThreadPoolExecutor(1, "content") as pool:
        while count:
            at += count
            coming = pool.submit(beside, full[:count], free, at)
            main(full[:count])
            count = coming.result()
            full, free = free, full
    return at


def _expect(code: Source, at: int, end: int) -> None:
    if at != end:
        raise MalformedCode(f"{code.filename} ended at {at} while it was read, and {end} was expected.")
