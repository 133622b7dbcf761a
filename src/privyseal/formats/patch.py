"""Carry out a :class:`~privyseal.formats.protocol.PatchPlan`: all of it, or nothing that anybody could see.

The outcome is written into a file without a name in the target's folder (``O_TMPFILE``), which the kernel takes back
whatever ends us, even SIGKILL. Only when it is whole, on the disk, and accepted by ``follow`` does it get a name, and
by ``rename`` the target's: whoever opens the target sees the old file or the new one. File systems that know no
nameless files (NFS, FUSE, macOS) get a hidden one, which everything but SIGKILL or a power cut removes.

Memory is constant. Inserts, which are small, are written first; then the copies in their order, within the kernel where
it can (``copy_file_range``, which shares the blocks on XFS and btrfs). So somebody who reads the outcome from its
beginning can follow close behind: verifying costs the second core, not more time.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from privyseal.errors import BadInput, MalformedCode, Unavailable
from privyseal.formats.following import Followed, Progress
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source
from privyseal.formats.source import FileSource, printable_name

SMALL = 4 << 20
"""Octets up to which an outcome is written, then verified, by one thread: two threads save time from about 8 MiB on."""
CHUNK = 4 << 20
"""Octets copied at a time, and so how far behind a follower is; at 1 GB/s it is 4 ms."""
BUFFER = 1 << 20
"""Octets of the buffer where the kernel cannot copy by itself."""
_MOST_BUFFERS = 512
"""Buffers in one ``pwritev``; Linux takes 1024 (IOV_MAX, limits.h)."""
_LONGEST_STEM = 200
"""Octets of the target's name kept in a temporary one; file systems allow 255."""

_NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS}
_NO_KERNEL_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
_NOT_OURS_TO_WRITE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}

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

    On return the outcome is on the disk. So is its name, unless ``settled`` is False: after a power cut the old file
    may then be back, whole. Whoever writes many files calls :func:`settle` once, which halves the waiting.

    Raises what ``follow`` raises; BadInput where the target cannot be written to, MalformedCode where the source got
    shorter, Unavailable where the disk is full or fails. After any of them the target is as it was.
    """
    _check(plan, source)
    with _Draft(os.path.realpath(target), source) as draft:
        if plan.size <= SMALL:
            draft.write_at_once(plan, source)
            if follow is not None:
                with draft.reopened() as written:
                    follow(written)
            draft.sync()
        else:
            _side_by_side(plan, source, draft, follow)
        draft.put_in_place(settled)


def settle(targets: Iterable[str | os.PathLike[str]]) -> None:
    """Wait until the names of files that were written with ``settled=False`` are on the disk; Unavailable if it fails.

    The folders are those the files are in now, symbolic links followed.
    """
    for folder in dict.fromkeys(os.path.dirname(os.path.realpath(target)) for target in targets):
        with _refusals(folder):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _check(plan: PatchPlan, source: Source) -> None:
    for step in plan.steps:
        if isinstance(step, Copy) and not 0 <= step.offset <= step.offset + step.count <= source.size:
            raise BadInput(
                f"The plan copies {step.count} octets from {step.offset} of {source.filename}, which has {source.size}."
            )


def _side_by_side(plan: PatchPlan, source: Source, draft: _Draft, follow: Follower | None) -> None:
    """Write in a second thread while ``follow`` reads in this one."""
    progress = Progress(plan)
    draft.set_size(plan.size)
    writer = threading.Thread(target=_write_through, args=(plan, source, draft, progress), name="patch")
    writer.start()
    try:
        if follow is not None:
            with draft.reopened() as written:
                follow(Followed(written, progress))
    except BaseException:
        progress.stop()
        raise
    finally:
        _join(writer, progress)
    progress.check()


def _join(writer: threading.Thread, progress: Progress) -> None:
    """Wait until the writer has ended, whatever signals come: it uses a descriptor that is closed afterwards."""
    interrupted: KeyboardInterrupt | None = None
    while writer.is_alive():
        try:
            writer.join()
        except KeyboardInterrupt as error:
            interrupted = error
            progress.stop()
    if interrupted is not None:
        raise interrupted


def _write_through(plan: PatchPlan, source: Source, draft: _Draft, progress: Progress) -> None:
    try:
        draft.write_inserts(plan)
        progress.reach(0)
        at = 0
        for step in plan.steps:
            if isinstance(step, Insert):
                at += len(step.octets)
                continue
            for done in draft.copy(source, step, at):
                progress.reach(at + done)
            at += step.count
        progress.reach(at)
        draft.sync()
    except BaseException as error:
        progress.fail(error)


class _Draft:
    """The outcome before it has its name; leaving the ``with`` block without ``put_in_place`` leaves nothing behind."""

    def __init__(self, target: str | bytes, source: Source) -> None:
        """Plan a draft in the folder of ``target``, a path without symbolic links; ``__enter__`` makes it."""
        self._target = os.fsdecode(target)
        self._folder, name = os.path.split(self._target)
        stem = os.fsdecode(os.fsencode(name)[:_LONGEST_STEM])
        self._name = os.path.join(self._folder, f".{stem}.{os.urandom(8).hex()}.privyseal")
        # The kernel applies the umask, which a process with threads cannot ask for safely.
        self._wanted_mode = source.mode & 0o777 if isinstance(source, FileSource) else 0o666
        self._old: os.stat_result | None = None
        self._named = False
        self._fd = self._folder_fd = -1

    def _open(self, mode: int) -> int:
        if hasattr(os, "O_TMPFILE") and os.path.exists("/proc/self/fd"):
            try:
                return os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise
        self._named = True
        return os.open(self._name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode)

    def __enter__(self) -> Self:
        """Open the draft and return it."""
        try:
            with _refusals(self._target):
                with contextlib.suppress(FileNotFoundError):
                    self._old = os.stat(self._target)
                if self._old is not None and not stat.S_ISREG(self._old.st_mode):
                    raise BadInput(f"{printable_name(self._target)} is no regular file, so it is not replaced.")
                self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._fd = self._open(self._wanted_mode)
                self._mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
                if self._mode & 0o600 != 0o600:
                    os.fchmod(self._fd, self._mode | 0o600)  # or we could not open it again to verify it
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the draft, and remove it if it has a name that is not the target's."""
        self._leave()

    def _leave(self) -> None:
        for fd in (self._fd, self._folder_fd):
            if fd >= 0:
                os.close(fd)
        if self._named:
            with contextlib.suppress(OSError):
                os.unlink(self._name)

    def set_size(self, size: int) -> None:
        """Make it ``size`` octets long, all of them still to be written."""
        with _refusals(self._target):
            os.ftruncate(self._fd, size)

    def write_at_once(self, plan: PatchPlan, source: Source) -> None:
        """Write the whole of a small plan."""
        parts = [
            source.pread(step.offset, step.count) if isinstance(step, Copy) else step.octets for step in plan.steps
        ]
        at = 0
        for first in range(0, len(parts), _MOST_BUFFERS):
            at = self._put([memoryview(part) for part in parts[first : first + _MOST_BUFFERS]], at)

    def write_inserts(self, plan: PatchPlan) -> None:
        """Write every insert of a large plan where it belongs."""
        at = 0
        for step in plan.steps:
            if isinstance(step, Insert):
                at = self._put([memoryview(step.octets)], at)
            else:
                at += step.count

    def _put(self, parts: list[memoryview], at: int) -> int:
        """Write the parts one behind the other from ``at`` and return where they end."""
        with _refusals(self._target):
            while parts:
                count = os.pwritev(self._fd, parts, at)
                at += count
                while parts and count >= len(parts[0]):
                    count -= len(parts.pop(0))
                if parts:
                    parts[0] = parts[0][count:]
        return at

    def copy(self, source: Source, step: Copy, at: int) -> Iterator[int]:
        """Copy what ``step`` names to ``at``; yield, every so often, how many octets of it are there."""
        done = 0
        within_kernel = isinstance(source, FileSource)
        buffer = memoryview(bytearray(0))
        while done < step.count:
            # A chunk ends on a multiple of its size, so that all but the first and the last are whole pages.
            count = min(CHUNK - (step.offset + done) % CHUNK, step.count - done)
            if within_kernel and isinstance(source, FileSource):
                copied = self._copy_within_kernel(source, step.offset + done, count, at + done)
                within_kernel = copied is not None
                if copied is not None:
                    done += copied
                    yield done
                continue
            if len(buffer) == 0:
                buffer = memoryview(bytearray(min(BUFFER, step.count - done)))
            filled = source.readinto(step.offset + done, buffer[: min(len(buffer), count)])
            if filled == 0:
                raise _shorter(source)
            self._put([buffer[:filled]], at + done)
            done += filled
            yield done

    def _copy_within_kernel(self, source: FileSource, offset: int, count: int, at: int) -> int | None:
        """Copy some octets and return how many; None where the kernel does not do it between these two files."""
        with _refusals(self._target):
            try:
                copied = os.copy_file_range(source.fileno(), self._fd, count, offset, at)
            except OSError as error:
                if error.errno in _NO_KERNEL_COPY:
                    return None
                raise
        if copied == 0:
            raise _shorter(source)
        return copied

    def reopened(self) -> FileSource:
        """Open the draft anew, only for reading."""
        with _refusals(self._target):
            path = self._name if self._named else f"/proc/self/fd/{self._fd}"
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return FileSource(fd, printable_name(self._target))

    def sync(self) -> None:
        """Wait until the content is on the disk."""
        with _refusals(self._target):
            os.fsync(self._fd)

    def put_in_place(self, settled: bool) -> None:
        """Give the draft the target's owner, mode and name; if ``settled``, wait until the disk knows."""
        with _refusals(self._target):
            os.fchmod(self._fd, self._final_mode())
            if not self._named:
                self._named = True  # before it has one, so that an interrupt in between leaves nothing behind
                # Python makes of this the linkat() that open(2) names under O_TMPFILE only where it is given a folder.
                os.link(f"/proc/self/fd/{self._fd}", self._name, src_dir_fd=self._folder_fd)
            os.rename(self._name, self._target)
            self._named = False
            if settled:
                os.fsync(self._folder_fd)

    def _final_mode(self) -> int:
        """Take over owner and group as far as we may, and return the mode that then is right."""
        if self._old is None:
            return self._mode
        mode = stat.S_IMODE(self._old.st_mode)
        own = os.fstat(self._fd)
        if (own.st_uid, own.st_gid) != (self._old.st_uid, self._old.st_gid):
            try:
                os.fchown(self._fd, self._old.st_uid, self._old.st_gid)
            except PermissionError:
                mode &= 0o777  # a setuid program must not become one of somebody else
                with contextlib.suppress(PermissionError):
                    os.fchown(self._fd, -1, self._old.st_gid)
        return mode


@contextlib.contextmanager
def _refusals(path: str) -> Iterator[None]:
    """Turn what the operating system refuses into our errors."""
    try:
        yield
    except OSError as error:
        name = printable_name(path)
        if error.errno in _NOT_OURS_TO_WRITE:
            raise BadInput(f"{name} cannot be written in its folder: {error.strerror}.") from None
        raise Unavailable(
            f"{name} could not be written: {error.strerror}.", hint="it is as it was; run the command again"
        ) from None


def _shorter(source: Source) -> MalformedCode:
    return MalformedCode(f"{source.filename} got shorter while it was copied.", hint="is another program writing it?")
