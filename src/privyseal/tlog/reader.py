"""Proofs and entries of a log, read from its files: a handful of tiles for each proof, however large the log is."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from privyseal.errors import BadInput, NotFound
from privyseal.tlog import merkle
from privyseal.tlog.log import read_bundle, read_tile
from privyseal.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, Read, width_at

KEPT_TILES = 64
"""Tiles a reader remembers, each with the inner nodes that were asked of it: at most 80 kB for each."""

MOST_ENDS = 1024
"""Ends of audit paths remembered of one tree, at most 63 hashes each: the paths of a batch share all but their first
eight."""


class Reader:
    """Computes proofs from tiles; one thread at a time uses it.

    The hash of a complete subtree never changes, so what was read or computed once stays good as the log grows; tiles
    that were not asked for lately are forgotten. So ask only for sizes of which a head was signed, or is about to be.
    What is read is not verified here: whoever gets a proof verifies it.
    Every method may raise LogUnavailable (a file is missing) or VerificationFailed (a file is not what it is called).
    """

    def __init__(self, read: Read, kept: int = KEPT_TILES) -> None:
        """Read through ``read`` and remember up to ``kept`` tiles."""
        self._read = read
        self._kept = kept
        self._tiles: OrderedDict[tuple[int, int], _Tile] = OrderedDict()
        self._size = 0
        self._ends: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def root(self, size: int, within: int | None = None) -> bytes:
        """Return the root of the tree of the first ``size`` leaves.

        It is read from the files of the tree of ``within`` leaves, if that is given: a larger tree has all the complete
        subtrees of a smaller one, and the partial tiles of a size that has passed may be gone or never have been whole.
        """
        return merkle.root(size, self._subtrees(size if within is None else within))

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of entry ``index`` in the tree of ``size``; NotFound if the tree has no such entry."""
        self._require(index, size)
        if size != self._size or len(self._ends) > MOST_ENDS:
            self._size, self._ends = size, {}
        level = min(merkle.peak_level(index, size), TILE_HEIGHT)
        shared = (level, index >> level)
        end = self._ends.get(shared)
        if end is None:
            end = self._ends[shared] = merkle.inclusion_above(index, level, size, self._subtrees(size))
        tile, place = divmod(index, TILE_WIDTH)
        rows = self._tile(size, 0, tile, ((place >> level) + 1) << level).rows
        return (*[row[place >> at ^ 1] for at, row in enumerate(rows[:level])], *end)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of ``new`` extends that of ``old``; BadInput if ``old`` is the larger."""
        if not 0 <= old <= new:
            raise BadInput(f"A log of {new} entries cannot extend one of {old}.")
        return merkle.consistency(old, new, self._subtrees(new))

    def leaf(self, index: int, size: int) -> bytes:
        """Return the leaf hash of entry ``index``; NotFound if the tree of ``size`` has no such entry."""
        self._require(index, size)
        return self._subtree(size, 0, index)

    def entry(self, index: int, size: int) -> bytes:
        """Return entry ``index`` of the log of ``size`` entries, its octets; NotFound if there is no such entry."""
        self._require(index, size)
        bundle, place = divmod(index, TILE_WIDTH)
        return read_bundle(self._read, bundle, width_at(size, 0, bundle))[place]

    def _require(self, index: int, size: int) -> None:
        if not 0 <= index < size:
            raise NotFound(f"There is no entry {index} in a log of {size} entries.")

    def _subtrees(self, size: int) -> merkle.Subtree:
        return lambda level, index: self._subtree(size, level, index)

    def _subtree(self, size: int, level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, place = divmod(index, TILE_WIDTH >> height)
        tile = self._tiles.get((tile_level, tile_index))
        if tile is None or len(tile.rows[height]) <= place:
            tile = self._tile(size, tile_level, tile_index, (place + 1) << height)
        else:
            self._tiles.move_to_end((tile_level, tile_index))
        return tile.rows[height][place]

    def _tile(self, size: int, level: int, index: int, least: int) -> _Tile:
        """Return a tile with at least so many hashes: as it is remembered, or else as the tree of ``size`` has it."""
        tile = self._tiles.get((level, index))
        if tile is None or len(tile.rows[0]) < least:
            hashes = read_tile(self._read, level, index, width_at(size, level, index))
            if tile is None:
                tile = self._tiles[level, index] = _Tile()
            tile.grow(hashes)
            if len(self._tiles) > self._kept:
                self._tiles.popitem(last=False)
        self._tiles.move_to_end((level, index))
        return tile


class _Tile:
    """One tile's hashes and the inner nodes above them, lowest row first; all stay good while the tile grows."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: list[list[bytes]] = [[] for _ in range(TILE_HEIGHT + 1)]

    def grow(self, hashes: list[bytes]) -> None:
        """Take in the tile as it is now, and hash what is complete above what came to it."""
        self.rows[0] = hashes
        for below, row in pairwise(self.rows):
            row += merkle.parents(below[2 * len(row) :])
