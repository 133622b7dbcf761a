"""Carry out a :class:`~privyseal.formats.protocol.PatchPlan`: all of it, or nothing that anybody could see.

The outcome gets its target's name (``draft.py``) only when it is whole and accepted by ``follow``.
Memory is constant. Inserts, which are small, are written first; then the copies in their order, within the kernel where
it can do that well (``copy_file_range``, which shares the blocks on XFS and btrfs). So somebody who reads the outcome
from its beginning can follow close behind: verifying costs the second core, not more time.

A plan mostly copies octets to where they were. Whoever knows that a large file will be rewritten can have it copied
:class:`Ahead` while the plan is still being made, and the disk gets to work that much earlier.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from privyseal.errors import BadInput
from privyseal.formats.comparing import Comparing
from privyseal.formats.content import Hashed
from privyseal.formats.draft import Draft, refusals
from privyseal.formats.following import Followed, Progress
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source
from privyseal.formats.source import real_paths

SMALL = 4 << 20
"""Octets up to which an outcome is written, then verified, by one thread: two threads save time from about 8 MiB on."""

Follower = Callable[[Source], None]
"""Judges what has been written, from its own opening of the file; whatever it raises undoes the whole."""


def carry_out(
    plan: PatchPlan,
    source: Source,
    target: str | os.PathLike[str],
    *,
    follow: Follower | None = None,
    settled: bool = True,
) -> None:
    """Write what ``plan`` makes of ``source`` to ``target``, which may be the source's own path.

    A symbolic link is followed: what it leads to is replaced, the link stays. An existing target keeps its mode, and
    its owner and group where we may set them (setuid and setgid go where we may not); a new one gets the source's mode
    under the umask. Extended attributes are not taken over, and other hard links keep the old content. ``follow`` reads
    the outcome, while it is being written if it is large, and runs in the caller's thread.

    On return an outcome that replaced something is on the disk; a new file is there when the system sees fit. So is its
    name, unless ``settled`` is False: after a power cut the old file may then be back, whole. Whoever writes many files
    calls :func:`settle` once, which halves the waiting.

    Raises what ``follow`` raises; BadInput where the target cannot be written to, MalformedCode where the source got
    shorter, Unavailable where the disk is full or fails. After any of them the target is as it was.
    """
    with Draft(target, source) as draft:
        _carry_out(plan, source, draft, follow, filled=None)
        draft.put_in_place(settled)


class Ahead:
    """The draft of an outcome into which a large source is copied whole, before there is a plan.

    Use it in a ``with`` statement around ``prepare``, ``apply`` and what is between; leaving it without
    :meth:`carry_out` leaves nothing behind. Small sources are not copied ahead, so it costs them nothing.
    """

    def __init__(self, source: Source, target: str | os.PathLike[str], shift: int | None = 0) -> None:
        """Plan to rewrite ``source`` to ``target``, as :func:`carry_out` does, most of it ``shift`` octets later.

        None: nobody knows yet by how many. Then nothing is copied before whoever hashes the source says so
        (``Comparing.move``), if anybody does.
        """
        self._source = source
        self._shift: int | None = None
        self._wanted_shift = shift
        self._draft = Draft(target, source)
        self._copier = threading.Thread(target=self._copy, name="ahead")
        self._copied = threading.Event()
        self._comparing = Comparing(self._draft, self._begin)
        self._stopped = False
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        """Make the draft and begin to copy; raises as :func:`carry_out` where the target cannot be written to."""
        self._draft.__enter__()
        try:
            if self.comparing is not None and self._wanted_shift is not None:
                self._begin(self._wanted_shift)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop copying, and take the draft away if it was not carried out."""
        self._stopped = True
        try:
            if self._copier.ident is not None:
                _join(self._copier)
            self._comparing.close()
        finally:
            self._draft.__exit__(kind, error, trace)

    @property
    def comparing(self) -> Comparing | None:
        """Return who compares the draft while the source is hashed; None where nothing is copied ahead."""
        return self._comparing if self._source.size > SMALL else None

    def _begin(self, shift: int) -> None:
        self._shift = shift
        self._comparing.begun(shift)
        self._copier.start()

    def carry_out(self, plan: PatchPlan, *, follow: Follower | None = None, settled: bool = True) -> None:
        """Do as the function :func:`carry_out`; what is copied already need not be copied again."""
        filled = self._shift
        if filled is not None:
            self._copied.wait()
            self._check()
        hashed = None if filled is None else self._comparing.after(plan)
        _carry_out(plan, self._source, self._draft, follow, filled=filled, hashed=hashed)
        if filled is not None:
            # A failed write is told only to the first who waits for it (fsync(2)), and that may have been the copier.
            _join(self._copier)
            self._check()
        self._draft.put_in_place(settled)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _copy(self) -> None:
        try:
            for count in self._draft.copy(self._source, Copy(0, self._source.size), self._shift or 0):
                self._comparing.reach(count)
                if self._stopped:
                    return
            self._copied.set()
            self._draft.sync()  # so that the disk has most of it when the rest comes
        except BaseException as error:
            self._error = error
            self._comparing.give_up()
        finally:
            self._copied.set()


def settle(targets: Iterable[str | os.PathLike[str]]) -> None:
    """Wait until the names of files that were written with ``settled=False`` are on the disk; Unavailable if it fails.

    The folders are those the files are in now, symbolic links followed.
    """
    for folder in dict.fromkeys(map(os.path.dirname, real_paths(targets))):
        with refusals(folder):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


# What is written, from what, to where, who looks on, and what of it is there already.
def _carry_out(
    plan: PatchPlan,
    source: Source,
    draft: Draft,
    follow: Follower | None,
    *,
    filled: int | None,
    hashed: Hashed | None = None,
) -> None:
    """Make the draft what ``plan`` says; it is a copy of the source from ``filled`` on already, if that is no None.

    ``hashed`` tells what it hashes to where that is known.
    """
    for step in plan.steps:
        if isinstance(step, Copy) and not 0 <= step.offset <= step.offset + step.count <= source.size:
            raise BadInput(
                f"The plan copies {step.count} octets from {step.offset} of {source.filename}, which has {source.size}."
            )
    if plan.size > SMALL or filled is not None:
        _side_by_side(plan, source, draft, follow, filled, hashed)
        return
    draft.write_at_once(plan, source)
    if follow is not None:
        with draft.reopened() as written:
            follow(written)
    draft.sync()


def _side_by_side(
    plan: PatchPlan, source: Source, draft: Draft, follow: Follower | None, filled: int | None, hashed: Hashed | None
) -> None:
    """Write in a second thread while ``follow`` reads in this one."""
    progress = Progress(plan)
    draft.set_size(plan.size)
    writer = threading.Thread(target=_write_through, args=(plan, source, draft, progress, filled), name="patch")
    writer.start()
    try:
        if follow is not None:
            with draft.reopened() as written:
                follow(Followed(written, progress, hashed))
    except BaseException:
        progress.stop()
        raise
    finally:
        _join(writer, progress.stop)
    progress.check()


def _join(thread: threading.Thread, stop: Callable[[], None] = lambda: None) -> None:
    """Wait until the thread has ended, whatever signals come: it uses a descriptor that is closed afterwards."""
    interrupted: KeyboardInterrupt | None = None
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt as error:
            interrupted = error
            stop()
    if interrupted is not None:
        raise interrupted


def _write_through(plan: PatchPlan, source: Source, draft: Draft, progress: Progress, filled: int | None) -> None:
    try:
        draft.write_inserts(plan)
        progress.reach(0)
        at = 0
        for step in plan.steps:
            if isinstance(step, Insert):
                at += len(step.octets)
                continue
            if filled is None or step.offset + filled != at:
                for done in draft.copy(source, step, at):
                    progress.reach(at + done)
            at += step.count
        progress.reach(at)
        draft.sync()
    except BaseException as error:
        progress.fail(error)
