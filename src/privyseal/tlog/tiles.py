"""The log as files (c2sp.org/tlog-tiles): what they are called, what is in them, which of them a tree has.

A tile at level ``l`` holds up to 256 consecutive hashes of complete subtrees of 256**l leaves; an entry bundle holds
the entries whose hashes are in the tile of the same index at level 0. Full ones never change. At the right edge of the
tree stand *partial* ones, named with their width; they are not hashed into a tile of the level above.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from privyseal.errors import BadInput, TooLarge
from privyseal.tlog.entry import MAX_ENTRY
from privyseal.tlog.merkle import HASH_SIZE

TILE_HEIGHT = 8
"""Levels of the tree in one tile (C2SP tlog-tiles, parameters)."""
TILE_WIDTH = 256
"""Hashes of a full tile, and entries of a full bundle."""
MAX_TILE_LEVEL = 7
"""The highest level a tree of less than 2**63 leaves has; the specification allows names up to 63."""
MAX_BUNDLE = TILE_WIDTH * (2 + MAX_ENTRY)
"""Octets of the largest entry bundle, 16 MiB."""

Read = Callable[[str], bytes | None]
"""Returns the content of a file by its name in the log, such as ``tile/0/000``; None if it is not there.

Whoever makes one reads no more than ``MAX_BUNDLE + 1`` octets: what is longer is no file of a log.
"""

_NAME = re.compile(
    r"tile/(?P<level>entries|0|[1-9]|[1-5][0-9]|6[0-3])/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?P<partial>\.p(?:/(?P<width>[1-9][0-9]{0,2}))?)?",
    re.ASCII,
)


class TileStore(Protocol):
    """Where the files of a log are kept; one writer, many readers. Names as in this module, and ``checkpoint``."""

    def read(self, path: str) -> bytes | None:
        """Return a file's content, or None if it is not there; what was written is read back at once."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Put a whole file, in place of another or of none; readers see the old content or the new, never a part."""
        ...

    def sync(self) -> None:
        """Return when all that was written is durable, as far as this store promises it."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or every partial of a tile for a name that ends in ``.p``; what is not there is removed."""
        ...


class TileName(Struct, frozen=True):
    """What a file's name says: no ``level`` is an entry bundle, ``width`` 0 is all partials of a tile (``.p``)."""

    level: int | None
    index: int
    width: int


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return the name of a tile; below 256 hashes wide it is a partial one."""
    return f"tile/{level}/{_grouped(index)}{_suffix(width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the name of an entry bundle."""
    return f"tile/entries/{_grouped(index)}{_suffix(width)}"


def parse_path(path: str) -> TileName:
    """Read a name; BadInput where the log has no file that is called so."""
    match = _NAME.fullmatch(path)
    width = int(match["width"] or "0") if match and match["partial"] else TILE_WIDTH
    index = int(re.sub("[x/]", "", match["index"])) if match else 0
    if match is None or _grouped(index) != match["index"] or (match["partial"] and width >= TILE_WIDTH):
        raise BadInput(
            f"No file of a log is called {path[:200]!r}.", hint="see C2SP tlog-tiles for the names there are"
        )
    return TileName(None if match["level"] == "entries" else int(match["level"]), index, width)


def partials_path(path: str) -> str:
    """Return, for the name of a full tile or bundle, the name that stands for all its partials."""
    return f"{path}.p"


def width_at(size: int, level: int, index: int) -> int:
    """Return how many hashes the tile at (level, index) has in a tree of ``size`` leaves; 0 if it has no such tile."""
    return max(0, min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - index * TILE_WIDTH))


def edge(size: int) -> Iterator[tuple[int, int, int]]:
    """Name the partial tiles of a tree of ``size`` leaves as (level, index, width), lowest level first."""
    level = 0
    while hashes := size >> TILE_HEIGHT * level:
        if width := hashes % TILE_WIDTH:
            yield level, hashes // TILE_WIDTH, width
        level += 1


def superseded(old: int, new: int) -> list[str]:
    """Name the partials, each tile's as one ``.p`` name, whose full tile came to be as the tree grew from old to new.

    They may be removed once the full tiles are there and the head of ``new`` is published (tlog-tiles, partial tiles);
    readers that still look for one ask for the full tile.
    """
    names = []
    level = 0
    while new >> TILE_HEIGHT * (level + 1):
        for index in range(old >> TILE_HEIGHT * (level + 1), new >> TILE_HEIGHT * (level + 1)):
            names.append(partials_path(tile_path(level, index)))
            if level == 0:
                names.append(partials_path(entries_path(index)))
        level += 1
    return names


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each entry behind its length, a big-endian uint16. TooLarge if an entry does not fit."""
    longest = max(map(len, entries), default=0)
    if longest > MAX_ENTRY:
        raise TooLarge(f"An entry of {longest} octets was given, and {MAX_ENTRY} is the most a log can hold.")
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_bundle(octets: bytes, width: int) -> list[bytes]:
    """Return the ``width`` entries of a bundle; BadInput if it holds another number of them, or more than them."""
    entries: list[bytes] = []
    at = 0
    while at < len(octets) and len(entries) < width:
        end = at + 2 + int.from_bytes(octets[at : at + 2], "big")
        if end > len(octets):
            raise BadInput(f"An entry bundle ends within its entry {len(entries)}.")
        entries.append(octets[at + 2 : end])
        at = end
    if len(entries) != width or at != len(octets):
        raise BadInput(f"An entry bundle holds not just the {width} entries it is named for.")
    return entries


def split_tile(octets: bytes, width: int) -> list[bytes]:
    """Return the ``width`` hashes of a tile; BadInput if it has another size."""
    if len(octets) != width * HASH_SIZE:
        raise BadInput(f"A tile has {len(octets)} octets, and one of width {width} has {width * HASH_SIZE}.")
    return [octets[at : at + HASH_SIZE] for at in range(0, len(octets), HASH_SIZE)]


def _grouped(index: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def _suffix(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
