"""A log's files in a directory, where any web server can hand them out; the only I/O of this package.

A file is written whole beside the tree of names and renamed into it, so readers see all of it or nothing. Tiles can be
made again from the logger's journal; where that is relied on, ``durable`` may be off and nothing is synced.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from privyseal.errors import LogUnavailable
from privyseal.tlog.tiles import MAX_BUNDLE, parse_path

CHECKPOINT = "checkpoint"
"""Name of the file that holds the newest signed head."""

_INCOMING = ".incoming"
_REMEMBERED = 4096  # directories that are known to be there; each full tile leaves one behind
_FILE_MODE, _DIRECTORY_MODE = 0o644, 0o755  # a log is there to be read, by the web's user and by mirrors


class DirectoryTileStore:
    """The files of one log below ``root``, which must exist; a TileStore. One thread of one process writes.

    Every failure of the disk is LogUnavailable with the OSError as its cause: after a sync that failed (EIO) nobody can
    tell what is on the disk, and the process must end.
    """

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        """Touch nothing yet; ``durable`` puts each file on the disk before its name, and the names with ``sync``."""
        self._root = str(root)  # a batch names a dozen files, and a Path costs more than opening one
        self._durable = durable
        self._unsynced: set[str] = set()
        self._known: set[str] = {self._root}
        self._incoming: str | None = None

    def read(self, path: str) -> bytes | None:
        """Return a file's content, or None if it is not there; BadInput for a name that no log has."""
        with _disk("read", path):
            try:
                with open(self._place(path), "rb", buffering=0) as file:
                    size = os.fstat(file.fileno()).st_size
                    return file.readall() if size <= MAX_BUNDLE else file.read(MAX_BUNDLE + 1)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def write(self, path: str, content: bytes) -> None:
        """Put a whole file in place of another or of none."""
        place = self._place(path)
        with _disk("write", path):
            temporary = self._temporary()
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, _FILE_MODE)
                file.write(content)
                file.flush()
                if self._durable:
                    os.fsync(descriptor)
            directory = os.path.dirname(place)
            self._make(directory)
            os.replace(temporary, place)
            self._unsynced.add(directory)

    def sync(self) -> None:
        """Make the names of all files written since the last call durable, if this store is."""
        if self._durable:
            for directory in sorted(self._unsynced):
                with _disk("sync", os.path.basename(directory)):
                    _sync_directory(directory)
        self._unsynced.clear()

    def remove(self, path: str) -> None:
        """Remove a file, or every partial of a tile for a name that ends in ``.p``; what is not there is removed."""
        place = self._place(path)
        with _disk("remove", path):
            try:
                if path.endswith(".p"):
                    for name in os.listdir(place):
                        os.unlink(f"{place}/{name}")
                    os.rmdir(place)
                    self._known.discard(place)
                    self._unsynced.discard(place)
                else:
                    os.unlink(place)
            except (FileNotFoundError, NotADirectoryError):
                return

    def widths(self, path: str) -> list[int]:
        """Return the widths of the partials that are kept of the tile or bundle whose full name this is."""
        with _disk("list", path):
            try:
                names = os.listdir(self._place(path + ".p"))
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def _place(self, path: str) -> str:
        if path != CHECKPOINT:
            parse_path(path)  # nothing but a log's own names leads anywhere below the root
        return f"{self._root}/{path}"

    def _temporary(self) -> str:
        if self._incoming is None:
            incoming = Path(self._root, _INCOMING)
            incoming.mkdir(mode=0o700, exist_ok=True)
            for left in incoming.iterdir():  # by a writer that was killed
                left.unlink(missing_ok=True)
            # A name that no other process has: a writer that was frozen must not go on writing in the file of the one
            # that took its place, which by then may have a tile's name.
            self._incoming = f"{incoming}/{uuid.uuid4().hex}"
        return self._incoming

    def _make(self, directory: str) -> None:
        if directory in self._known:
            return
        parent = os.path.dirname(directory)
        self._make(parent)
        if len(self._known) > _REMEMBERED:
            self._known = {self._root}
        try:
            os.mkdir(directory)
            os.chmod(directory, _DIRECTORY_MODE)
            self._unsynced.add(parent)
        except FileExistsError:
            pass
        self._known.add(directory)


@contextmanager
def _disk(what: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LogUnavailable(
            f"The log could not {what} its file {path}: {error.strerror}.", hint="look at the disk and its rights"
        ) from error


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
