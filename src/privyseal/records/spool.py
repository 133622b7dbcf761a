"""Files on their way: code that came in, signed code that waits to be fetched. Nothing of it is ever whole in memory.

A spool is one directory, below it one for each Subscriber, and in that ``in/<upload>`` and ``out/<request>``. Names are
ids that we drew, never something a client chose; whose a file is stands in ``uploads.py``.

How much of an upload is there is the length of its file and is written down nowhere else, so that no two places can
contradict each other after a crash. What the disk made of it shows when it is complete: its SHA-256 is taken from the
disk then, not from what came through the network.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import msgspec

from privyseal.errors import BadInput, Conflict, NotFound, TooLarge, Unavailable

T = TypeVar("T")
Side = Literal["in", "out"]
"""Which way a file goes: ``in`` is code that was sent, ``out`` is code that was signed."""

LARGEST_FILE = 0xFFFFFFFF
"""Octets of a file where the settings do not say: what a PE file may have, and a ZIP archive without Zip64."""

INFECTED = "infected-"
"""How the name of a file begins that was put away: no upload's does, so nobody finds it, and nobody tidies it up."""

BUFFER = 1 << 20
"""Octets read from the disk at a time."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a spool takes."""

    largest_file: int = LARGEST_FILE
    quota: int = 4 * LARGEST_FILE
    """Octets that one Subscriber may have in it, coming in and going out together."""
    spare: int = 256 << 20
    """Octets of the disk that uploads leave free: on the same one the log and the records may be written."""
    most_uploads: int = 256
    """Uploads that one Subscriber may have at a time."""


class Spool:
    """One spool directory. Failures of the disk are Unavailable, and safe to repeat."""

    def __init__(self, directory: Path, limits: Limits | None = None) -> None:
        """Use ``directory``, which is made when the first file comes."""
        self.directory = directory
        self.limits = limits or Limits()

    def write(self, name: str, effect: Callable[[], T]) -> T:
        """Carry out a write: the one place through which each passes, so that tests can break it."""
        with refusals(name):
            return effect()

    def path(self, side: Side, subscriber: str, name: str) -> Path:
        """Return where a file is; ``name`` is the id of an upload or a request, as the records have it."""
        for element in (subscriber, name):
            if not element or element.startswith(".") or "/" in element or "\0" in element:
                raise NotFound("The spool has no file of that name.")
        return self.directory / subscriber / side / name

    def place(self, side: Side, subscriber: str, name: str) -> Path:
        """Return where a file is or will be, and make its folder."""
        path = self.path(side, subscriber, name)
        self.write("folder", lambda: make_folders(self.directory, path.parent.parent, path.parent))
        return path

    def require_room(self, size: int) -> None:
        """Raise Unavailable where a file of ``size`` octets would leave less of the disk free than it should."""
        with refusals("folder"):
            make_folders(self.directory)
            disk = os.statvfs(self.directory)
        if disk.f_bavail * disk.f_frsize < size + self.limits.spare:
            raise Unavailable(
                f"The service's disk has no room for another {size} octets.", hint="try again later; nothing was kept"
            )

    def offset(self, subscriber: str, upload_id: str) -> int:
        """Return how many octets of an upload are there; 0 where none came yet."""
        try:
            return self.path("in", subscriber, upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    def part(self, subscriber: str, upload_id: str, size: int) -> Part:
        """Open an upload to append to it; Conflict where somebody else is appending right now."""
        return Part(self, self.place("in", subscriber, upload_id), size)

    def remove(self, side: Side, subscriber: str, name: str) -> None:
        """Delete a file; nothing where there is none."""
        path = self.path(side, subscriber, name)
        self.write(f"remove {side}", lambda: path.unlink(missing_ok=True))

    def quarantine(self, subscriber: str, upload_id: str) -> None:
        """Put an upload where nobody takes it for one: readable for its owner alone, and never deleted unasked."""
        path = self.path("in", subscriber, upload_id)

        def effect() -> None:
            with contextlib.suppress(FileNotFoundError):  # two found it, and the other one was quicker
                path.chmod(0o400)
                path.rename(path.with_name(INFECTED + upload_id))

        self.write("quarantine", effect)

    def quarantined(self, subscriber: str) -> int:
        """Count the files of a Subscriber that were put away."""
        return sum(1 for _ in self.path("in", subscriber, "any").parent.glob(INFECTED + "*"))

    def files(self) -> Iterator[tuple[Path, float]]:
        """Yield every file in the spool, drafts included, with the time it was last written to, seconds since 1970."""
        with refusals("folder"):
            for path in sorted(self.directory.glob("*/*/*")):
                with contextlib.suppress(FileNotFoundError):
                    yield path, path.stat().st_mtime


class Part:
    """An upload that is open for appending, by one at a time: the kernel's lock on the file says by whom.

    Every method is to be called in a thread that may wait for the disk. Closing waits for a write under way in another
    thread, so that its descriptor is never somebody else's; what is written afterwards is Unavailable.
    """

    def __init__(self, spool: Spool, path: Path, size: int) -> None:
        """Open or create ``path``, which is to have ``size`` octets in the end."""
        self._spool = spool
        self._path = path
        self.size = size
        self._guard = threading.Lock()
        self._fd = spool.write("open", lambda: os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.offset = os.fstat(self._fd).st_size
        except OSError as error:
            self.close()
            raise Conflict(
                "Somebody is sending this very upload right now.", hint="ask for its offset and go on from there"
            ) from error

    def __enter__(self) -> Self:
        """Return the part itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def append(self, octets: bytes | bytearray | memoryview) -> None:
        """Write octets behind what is there; TooLarge, and nothing is written, where they would pass the end."""
        if self.offset + len(octets) > self.size:
            raise TooLarge(f"More came than the {self.size} octets that were announced.")
        rest = memoryview(octets)
        with self._guard:
            while rest:
                count = self._spool.write("append", lambda rest=rest: os.pwrite(self._fd, rest, self.offset))  # type: ignore[misc]
                self.offset += count
                rest = rest[count:]

    def settle(self) -> None:
        """Wait until what is there is on the disk, its name included."""

        def effect() -> None:
            os.fsync(self._fd)
            sync_folder(self._path.parent)

        with self._guard:
            self._spool.write("settle", effect)

    def digest(self) -> str:
        """Return the SHA-256 of what is on the disk, lower-case hex."""
        with self._guard, refusals("read"):
            return digest_of(self._fd)

    def close(self) -> None:
        """Close the file, and with it let go of the lock; twice does no harm."""
        with self._guard:
            fd, self._fd = self._fd, -1
            if fd >= 0:
                os.close(fd)


def make_folders(*folders: Path) -> None:
    """Make what is missing of these, outermost first, for their owner alone; ``parents=True`` would open the others."""
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)


def digest_of(fd: int) -> str:
    """Return the SHA-256 of an open file's octets from the first to the last, lower-case hex."""
    hashed = hashlib.sha256()
    buffer = memoryview(bytearray(BUFFER))
    at = 0
    while count := os.preadv(fd, [buffer], at):
        hashed.update(buffer[:count])
        at += count
    return hashed.hexdigest()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what the operating system refuses into Unavailable: the disk may have room again, or be there again."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise Unavailable(
                "The service's disk is full.", hint="what came so far is kept; go on from its offset later"
            ) from error
        raise Unavailable(
            f"The spool could not be used ({what}): {error.strerror}.", hint="safe to run again"
        ) from error


def open_finished(path: Path) -> io.FileIO:
    """Open a finished file for reading, unbuffered; NotFound where it was deleted meanwhile."""
    try:
        return io.FileIO(path, "r")
    except FileNotFoundError:
        raise NotFound("The finished file was deleted.") from None
    except OSError as error:
        raise BadInput(f"The finished file cannot be read: {error.strerror}.") from error
