"""A file while it is being made: without a name, or under a hidden one, until it takes its target's place.

It is written into a file without a name in the target's folder (``O_TMPFILE``), which the kernel takes back whatever
ends us, even SIGKILL. By ``rename`` it gets the target's name: whoever opens the target sees the old file or the new
one. File systems that know no nameless files (NFS, FUSE, macOS) get a hidden one, which everything but SIGKILL or a
power cut removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from functools import cached_property, lru_cache
from types import TracebackType
from typing import Self

from privyseal.errors import BadInput, MalformedCode, Unavailable
from privyseal.formats.protocol import Copy, Insert, PatchPlan, Source
from privyseal.formats.source import FileSource, printable_name

CHUNK = 4 << 20
"""Octets copied at a time, and so how far behind a follower is; at 1 GB/s it is 4 ms."""
BUFFER = 1 << 20
"""Octets of the buffer where the kernel does not copy by itself."""
_PAGE = 4096
"""Octets on whose multiples the kernel copies whole pages, or shares blocks; larger pages have it copy more slowly."""
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


@lru_cache(maxsize=1)
def _has_proc() -> bool:
    """Tell whether a file without a name can be given one here."""
    return os.path.exists("/proc/self/fd")


class refusals:  # noqa: N801 - used as a statement, and a generator would cost a thousand small files 10 ms
    """Turn what the operating system refuses of ``path`` into our errors: BadInput, or Unavailable if it may pass."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        """Name the file in messages by the last element of ``path``."""
        self._path = path

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise our error in place of an OSError."""
        if not isinstance(error, OSError):
            return
        name = printable_name(self._path)
        if error.errno in _NOT_OURS_TO_WRITE:
            raise BadInput(f"{name} cannot be written in its folder: {error.strerror}.") from None
        raise Unavailable(
            f"{name} could not be written: {error.strerror}.", hint="it is as it was; run the command again"
        ) from None


class Draft:
    """The outcome before it has its name; leaving the ``with`` block without ``put_in_place`` leaves nothing behind."""

    def __init__(self, target: str | os.PathLike[str], source: Source) -> None:
        """Plan a draft for ``target``, symbolic links followed; ``__enter__`` makes it."""
        self._target = os.fspath(target)
        # The kernel applies the umask, which a process with threads cannot ask for safely.
        self._wanted_mode = source.mode & 0o777 if isinstance(source, FileSource) else 0o666
        self._old: os.stat_result | None = None
        self._named = False
        self._fd = self._folder_fd = -1

    def _find_target(self) -> None:
        """Follow symbolic links, and see what is there now."""
        if not os.path.isabs(self._target):  # joined, not normalised: "link/../x" is the kernel's to resolve
            self._target = os.path.join(os.getcwd(), self._target)
        with contextlib.suppress(FileNotFoundError):
            self._old = os.lstat(self._target)
            if stat.S_ISLNK(self._old.st_mode):
                self._old = None
                self._target = os.path.realpath(self._target)
                self._old = os.stat(self._target)
        self._folder = os.path.dirname(self._target)

    @cached_property
    def _name(self) -> str:
        """The hidden name beside the target, for as long as it needs one."""
        stem = os.fsdecode(os.fsencode(os.path.basename(self._target))[:_LONGEST_STEM])
        return f"{self._folder}/.{stem}.{os.urandom(8).hex()}.privyseal"

    def _open(self, mode: int) -> int:
        if hasattr(os, "O_TMPFILE") and _has_proc():
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
            with refusals(self._target):
                self._find_target()
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
        with refusals(self._target):
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
        with refusals(self._target):
            while parts:
                count = os.pwritev(self._fd, parts, at)
                at += count
                while parts and count >= len(parts[0]):
                    count -= len(parts.pop(0))
                if parts:
                    parts[0] = parts[0][count:]
        return at

    def copy(self, source: Source, step: Copy, at: int) -> Iterator[int]:
        """Copy what ``step`` names to ``at``; yield, every so often, how many octets of it are there.

        Octets that come to stand elsewhere in their page go through a buffer: the kernel would make each page of two
        pieces, which for 100 MiB on ext4 takes the processor 115 ms, and reading and writing them 50.
        """
        done = 0
        within_kernel = isinstance(source, FileSource) and hasattr(os, "copy_file_range")
        within_kernel = within_kernel and (at - step.offset) % _PAGE == 0
        buffer = memoryview(bytearray(0))
        while done < step.count:
            # A chunk ends on a multiple of its size, so that all but the first and the last are whole pages.
            chunk = CHUNK if within_kernel else BUFFER
            count = min(chunk - (at + done) % chunk, step.count - done)
            if within_kernel and isinstance(source, FileSource):
                copied = self._copy_within_kernel(source, step.offset + done, count, at + done)
                within_kernel = copied is not None
                if copied is not None:
                    done += copied
                    yield done
                continue
            if len(buffer) == 0:
                buffer = memoryview(bytearray(min(BUFFER, step.count - done)))
            filled = source.readinto(step.offset + done, buffer[:count])
            if filled == 0:
                raise _shorter(source)
            self._put([buffer[:filled]], at + done)
            done += filled
            yield done

    def _copy_within_kernel(self, source: FileSource, offset: int, count: int, at: int) -> int | None:
        """Copy some octets and return how many; None where the kernel does not do it between these two files."""
        with refusals(self._target):
            try:
                copied = os.copy_file_range(source.fileno(), self._fd, count, offset, at)
            except OSError as error:
                if error.errno in _NO_KERNEL_COPY:
                    return None
                raise
        return copied or None  # some file systems copy nothing and say nothing; if there is nothing, reading tells

    def reopened(self) -> FileSource:
        """Open the draft anew, only for reading."""
        with refusals(self._target):
            path = self._name if self._named else f"/proc/self/fd/{self._fd}"
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return FileSource(fd, printable_name(self._target))

    def sync(self) -> None:
        """Wait until the content is on the disk, if it takes the place of something: that must not be lost for nothing.

        A new file that goes with the power leaves what it was made from, and is made again, as compilers and ``cp``
        hold it. Waiting would cost more than all else: a disk that writes 360 MB/s takes 2.9 s for what we sign in 1.5.
        """
        if self._old is None:
            return
        with refusals(self._target):
            os.fsync(self._fd)

    def put_in_place(self, settled: bool) -> None:
        """Give the draft the target's owner, mode and name; if ``settled``, wait until the disk knows."""
        with refusals(self._target):
            os.fchmod(self._fd, self._final_mode())
            if self._named or self._old is not None or not self._link_to_target():
                if not self._named:
                    self._named = True  # before it has one, so that an interrupt in between leaves nothing behind
                    self._link(self._name)
                os.rename(self._name, self._target)
                self._named = False
            if settled:
                os.fsync(self._folder_fd)

    def _link_to_target(self) -> bool:
        """Give a nameless draft its target's name at once; False where somebody made a file of that name meanwhile."""
        try:
            self._link(self._target)
        except FileExistsError:
            return False
        return True

    def _link(self, name: str) -> None:
        # Python makes of this the linkat() that open(2) names under O_TMPFILE only where it is given a folder.
        os.link(f"/proc/self/fd/{self._fd}", name, src_dir_fd=self._folder_fd)

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


def _shorter(source: Source) -> MalformedCode:
    return MalformedCode(f"{source.filename} got shorter while it was copied.", hint="is another program writing it?")
