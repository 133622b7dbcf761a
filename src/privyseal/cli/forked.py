"""Several files at once in child processes, told of in the order in which they were named.

For work that keeps the interpreter busy between its signatures, threads cost more than they bring: on two cores 1,000
files of 100 kB went through two children 1.6 times as fast as through two threads (RSA-3072, on a tmpfs). Children
share what was loaded before the fork, keys included, and hand back octets.

The queue is a file without a name that holds the positions, one after the other: children share its offset, so that
each read takes the next one; under a lock, for Linux moves a memfd's offset without one (seen: two children, one
position). A child ends when the queue is empty, or when its parent is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import select
import signal
import struct
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, NoReturn

_POSITION = struct.Struct("<I")
_FRAME = struct.Struct("<IBQI")  # position, kind, octets counted since the frame before, octets that follow
_OUTCOME, _COUNT, _BUG = 0, 1, 2
_COUNTED = 8 << 20
"""Octets of which the parent hears before an outcome is ready, so that it can show how far a large file is."""
_GARBAGE = 20_000
"""Objects more than there were with which a child looks for garbage; with Python's 700 it took a twentieth of the time
of small files, and a child's life is short."""
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)

Tell = Callable[[int], None]
"""Lets work say how many octets it has gone through."""


class Lost(Exception):
    """A child ended without bringing back an item it had taken; somebody killed it."""


def each(
    work: Callable[[int, Tell], bytes], count: int, workers: int, counted: Tell, turns: Iterable[int] | None = None
) -> Iterator[bytes]:
    """Do ``work`` on the positions from 0 to ``count`` in child processes; yield the outcomes in order.

    They are taken in their order too, or in that of ``turns``. ``counted`` is called with what work told. RuntimeError
    with the child's traceback where work raised, Lost where a child was killed; then, and where the caller stops early,
    all children are ended. No thread may be running.
    """
    crew = _Crew()
    try:
        crew.start(work, range(count) if turns is None else turns, min(workers, count))
        for position in range(count):
            yield crew.outcome(position, counted)
    finally:
        crew.end()
        gc.unfreeze()


class _Crew:
    """The children, seen from their parent."""

    def __init__(self) -> None:
        self._brought: dict[int, bytes] = {}
        self._children: dict[int, int] = {}  # the pipe's reading end -> process id
        self._unread: dict[int, bytearray] = {}

    def start(self, work: Callable[[int, Tell], bytes], turns: Iterable[int], workers: int) -> None:
        """Start the children; whatever it raises, :meth:`end` ends those that were started."""
        gc.freeze()  # what is here stays for good: no child need look at it, and so copy its pages
        with _file_without_name() as queue:
            queue.write(b"".join(map(_POSITION.pack, turns)))
            queue.seek(0)
            parent = os.getpid()
            # An interrupt while Python's own at-fork handlers run would be reported as "ignored", and be lost.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
            try:
                for _ in range(workers):
                    reading, writing = os.pipe()
                    child = os.fork()
                    if child == 0:
                        # Whoever holds a reading end keeps its writer waiting for ever once the parent is gone.
                        for inherited in (reading, *self._children):
                            os.close(inherited)
                        _run(work, queue.fileno(), writing, parent, before)
                    os.close(writing)
                    self._children[reading] = child
                    self._unread[reading] = bytearray()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def outcome(self, position: int, counted: Tell) -> bytes:
        """Wait for one position's outcome."""
        while position not in self._brought:
            if not self._children:
                raise Lost(f"position {position}")
            for reading in select.select(list(self._children), [], [])[0]:
                self._take(reading, counted)
        return self._brought.pop(position)

    def _take(self, reading: int, counted: Tell) -> None:
        octets = os.read(reading, 1 << 16)
        unread = self._unread[reading]
        unread += octets
        while len(unread) >= _FRAME.size:
            position, kind, octets_counted, size = _FRAME.unpack_from(unread)
            if len(unread) < _FRAME.size + size:
                break
            body = bytes(unread[_FRAME.size : _FRAME.size + size])
            del unread[: _FRAME.size + size]
            if octets_counted:
                counted(octets_counted)
            if kind == _OUTCOME:
                self._brought[position] = body
            elif kind == _BUG:
                raise RuntimeError(body.decode("utf-8", "replace"))
        if not octets:
            os.close(reading)
            os.waitpid(self._children.pop(reading), 0)

    def end(self) -> None:
        """End the children that still run, and wait for them; what they had in hand is undone."""
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)
        for reading, child in self._children.items():
            os.close(reading)
            os.waitpid(child, 0)
        self._children.clear()


def _file_without_name() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("queue"), "w+b", buffering=0)
    import tempfile  # 4 ms, and Linux goes without

    return tempfile.TemporaryFile(buffering=0)


def _taken(queue: int) -> bytes:
    """Take the next position; empty octets when there is none left. A dead child's lock goes with it."""
    fcntl.lockf(queue, fcntl.LOCK_EX)
    try:
        return os.read(queue, _POSITION.size)
    finally:
        fcntl.lockf(queue, fcntl.LOCK_UN)


def _run(
    work: Callable[[int, Tell], bytes], queue: int, writing: int, parent: int, mask: set[signal.Signals | int]
) -> NoReturn:
    """Be a child: take positions and send back what came of them. Never returns, whatever happens."""
    code = 1
    position = counted = 0

    def send(kind: int, body: bytes = b"") -> None:
        nonlocal counted
        octets = _FRAME.pack(position, kind, counted, len(body)) + body
        counted = 0
        while octets:
            octets = octets[os.write(writing, octets) :]

    def count(octets: int) -> None:
        nonlocal counted
        counted += octets
        if counted >= _COUNTED:
            send(_COUNT)

    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        gc.set_threshold(_GARBAGE)
        while os.getppid() == parent and (taken := _taken(queue)):
            (position,) = _POSITION.unpack(taken)
            send(_OUTCOME, work(position, count))
        code = 0
    except Exception:
        with contextlib.suppress(OSError):
            send(_BUG, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        # Nothing of the parent's may run here: no handlers, no buffers written twice.
        os._exit(code)
