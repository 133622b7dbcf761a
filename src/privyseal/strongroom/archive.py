"""The durable way to the tiles: what was written is on the disk after ``sync``, with every directory that leads
to it.

The logger writes tiles first without syncing, through another store that also makes their directories. This one
cannot know which of those names have reached the disk, so it syncs the way down from the root; that is once in
256 entries.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from privyseal.errors import LogUnavailable
from privyseal.strongroom.durable import sync_directory
from privyseal.tlog.tilestore import DirectoryTileStore


class DurableTiles:
    """A TileStore over a directory that another store writes to as well; one thread uses both."""

    def __init__(self, root: Path) -> None:
        """Keep tiles below ``root``."""
        self._root = root
        self._store = DirectoryTileStore(root, durable=True)
        self._touched: set[Path] = set()

    def read(self, path: str) -> bytes | None:
        """Return a file's content, or None if it is not there."""
        return self._store.read(path)

    def write(self, path: str, content: bytes) -> None:
        """Put a whole file, whose octets are on the disk when this returns; its name is after :meth:`sync`."""
        self._store.write(path, content)
        self._touched.update(self._root / parent for parent in PurePosixPath(path).parents)

    def sync(self) -> None:
        """Return when the names of all that was written are on the disk."""
        self._store.sync()
        try:
            for directory in sorted(self._touched):
                sync_directory(directory)
        except OSError as error:
            raise LogUnavailable(f"The log's directories could not be synced: {error.strerror}.") from error
        self._touched.clear()

    def remove(self, path: str) -> None:
        """Remove a file, or all partials of a tile."""
        self._store.remove(path)
