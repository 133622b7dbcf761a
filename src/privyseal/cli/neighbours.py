"""The files beside and below a ClickOnce manifest that it names: found, opened, and put in their places.

A path comes out of a file from elsewhere. It is walked from the manifest's folder on, one element after the other, and
no link on it is followed, so that nothing outside of that folder is read or replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import msgspec

from privyseal.errors import BadInput, NotFound, VerificationFailed
from privyseal.formats import clickonce_files, clickonce_manifest
from privyseal.formats.clickonce_files import Named
from privyseal.formats.clickonce_manifest import ClickOnceLayout
from privyseal.formats.inside import printable
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Copy, PatchPlan, Source
from privyseal.formats.source import FileSource

MAPPED = ".deploy"
"""What stands behind the names of files where a deployment maps extensions."""

_HEAD = 4096
_PIECE = 64 << 10
_WALK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folder:
    """The folder in which a manifest stands, held open."""

    def __init__(self, path: str) -> None:
        """Open the folder; links on the way to it are the user's and are followed. Raises OSError."""
        self.path = os.path.realpath(path)
        self._fds = [os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, and with it let go of what was locked."""
        for fd in self._fds:
            os.close(fd)

    def is_same(self, other: Folder) -> bool:
        """Tell whether two are one folder."""
        return os.path.samestat(os.fstat(self._fds[0]), os.fstat(other._fds[0]))

    def lock(self, below: str = "") -> None:
        """Wait until no other run of ours signs the neighbours of a manifest in this folder, or in one below it."""
        with contextlib.suppress(OSError):  # not every file system has locks, and each file is whole without them
            self._fds.append(self._walk(below) if below else os.dup(self._fds[0]))
            fcntl.flock(self._fds[-1], fcntl.LOCK_EX)

    def open(self, path: str) -> FileSource:
        """Open a regular file; NotFound where there is none, BadInput where a link leads to it, or it is something
        else."""
        folder, name = os.path.split(path)
        try:
            at = self._walk(folder)
            try:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            finally:
                os.close(at)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{printable(path)} does not exist.") from None
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise BadInput(f"{printable(path)} cannot be opened: {why}.") from None
        try:
            return FileSource(fd, name)
        except BaseException:
            os.close(fd)
            raise

    def put(self, path: str, source: Source, digest: bytes) -> str:
        """Put a file in its place, in folders that are made where there are none, and return where.

        Nobody else may change the folders meanwhile. It is read again, and has to hash to ``digest``; else
        VerificationFailed, and what was there stays.
        """
        folder, name = os.path.split(path)
        at = self._walk(folder, made=True)
        try:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                    raise _link(path)
        finally:
            os.close(at)
        target = os.path.join(self.path, path)

        def check(written: Source) -> None:
            if sha256(written) != digest:
                raise VerificationFailed(f"{printable(path)} was not written as it is.", hint="run it again")

        carry_out(PatchPlan((Copy(0, source.size),)), source, target, follow=check, settled=False)
        return target

    def _walk(self, folder: str, *, made: bool = False) -> int:
        """Return a descriptor of a folder below; BadInput where a link is on the way."""
        fd = os.dup(self._fds[0])
        for part in folder.split("/") if folder else ():
            try:
                if made:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=fd)
                        os.fsync(fd)  # or a manifest could outlive a power cut, and its folder of files not
                below = os.open(part, _WALK, dir_fd=fd)
            except OSError:
                with contextlib.suppress(OSError):
                    if stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
                        raise _link(folder) from None
                raise
            finally:
                os.close(fd)
            fd = below
        return fd


def _link(path: str) -> BadInput:
    return BadInput(f"{printable(path)} is reached by a link, and links are not followed out of a manifest.")


class Neighbour(msgspec.Struct, frozen=True):
    """A file that a manifest names and that is there."""

    named: Named
    text: str
    """Where the manifest has it, from the folder of the outermost manifest on."""
    path: str
    """Where it is: the same, or with MAPPED behind it."""
    size: int
    mode: int


class Survey(msgspec.Struct, frozen=True):
    """What became of the files that one manifest names."""

    present: tuple[Neighbour, ...]
    missing: tuple[str, ...]
    astray: tuple[str, ...]
    """A sentence for each whose path leads elsewhere, or to something that is no file."""


def survey(folder: Folder, layout: ClickOnceLayout, below: str = "", *, mapped: bool = False) -> Survey:
    """Look for the files that a manifest in ``below`` names; BadInput where it names too many.

    ``mapped`` says that the deployment maps extensions; who looks at an application's manifest alone cannot know.
    """
    present, missing, astray = [], [], []
    for named in clickonce_files.files(layout):
        if named.path is None:
            astray.append(f"{printable(named.stated)} is not beside or below the manifest.")
            continue
        text = f"{below}/{named.path}" if below else named.path
        names = [text, text + MAPPED]
        for path in reversed(names) if mapped else names:
            try:
                with folder.open(path) as code:
                    present.append(Neighbour(named, text, path, code.size, code.mode))
                break
            except NotFound:
                continue
            except BadInput as error:
                astray.append(error.detail)
                break
        else:
            missing.append(text)
    return Survey(tuple(present), tuple(missing), tuple(astray))


def manifest_in(folder: Folder, one: Neighbour) -> ClickOnceLayout | None:
    """Read a neighbour as a ClickOnce manifest; None where it is something else, as the manifest of a library is."""
    if one.size > clickonce_manifest.MAX_FILE or not one.text.lower().endswith(".manifest"):
        return None
    try:
        with folder.open(one.path) as code:
            return clickonce_manifest.read(code, "clickonce")
    except BadInput:
        return None


def application_of(folder: Folder, layout: ClickOnceLayout, found: Survey) -> list[tuple[Neighbour, ClickOnceLayout]]:
    """Return the applications that a deployment names, of which there should be one."""
    if layout.kind != "deployment":
        return []
    read = [(one, manifest_in(folder, one)) for one in found.present if one.named.element.name != "file"]
    return [(one, its) for one, its in read if its is not None and its.kind == "application"]


class Neighbours:
    """Files that a manifest names, as :mod:`privyseal.formats.inside` looks at them."""

    def __init__(self, folder: Folder, members: tuple[Neighbour, ...]) -> None:
        """Hand out these files of a folder."""
        self.spend: Callable[[int], object] = int
        self.members = members
        self._folder = folder

    def octets(self, number: int) -> Iterator[bytes]:
        """Yield the content of a file in pieces, its head first; most are told by that."""
        with self._folder.open(self.members[number].path) as code:
            at = 0
            while at < code.size:
                piece = code.pread(at, min(_PIECE if at else _HEAD, code.size - at))
                self.spend(len(piece))
                at += len(piece)
                yield piece


def sha256(code: Source) -> bytes:
    """Return what a file hashes to."""
    return digest_of(code, "sha256")


def digest_of(code: Source, algorithm: str, spend: Callable[[int], object] = int) -> bytes:
    """Return what a file hashes to, by an algorithm that a manifest may state."""
    hashed = hashlib.new(algorithm, usedforsecurity=False)  # an old manifest's SHA-1 is compared, and never written
    buffer = memoryview(bytearray(1 << 20))
    at = 0
    while at < code.size:
        spend(min(len(buffer), code.size - at))
        count = code.readinto(at, buffer)
        hashed.update(buffer[:count])
        at += count
    return hashed.digest()
