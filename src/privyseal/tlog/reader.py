"""Proofs and entries of a log, read from its files: a handful of tiles for each proof, however large the log is."""

from __future__ import annotations

from collections import OrderedDict

from privyseal.errors import BadInput, NotFound
from privyseal.tlog import merkle
from privyseal.tlog.log import read_bundle, read_tile
from privyseal.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, Read, width_at

KEPT_TILES = 64
"""Tiles a reader remembers, each with the inner nodes that were asked of it: at most 80 kB for each."""

MOST_SPANS = 16384
"""Hashes remembered of one tree, 32 octets each: a batch asks for hundreds of paths that share most of theirs."""


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
        self._spans: dict[tuple[int, int], bytes] = {}

    def root(self, size: int, within: int | None = None) -> bytes:
        """Return the root of the tree of the first ``size`` leaves.

        It is read from the files of the tree of ``within`` leaves, if that is given: a larger tree has all the complete
        subtrees of a smaller one, and the partial tiles of a size that has passed may be gone or never have been whole.
        """
        return merkle.root(size, self._subtrees(size if within is None else within))

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of entry ``index`` in the tree of ``size``; NotFound if the tree has no such entry."""
        self._require(index, size)
        if size != self._size or len(self._spans) > MOST_SPANS:
            self._size, self._spans = size, {}
        return merkle.inclusion(index, size, self._subtrees(size), self._spans)

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
        if tile is None or len(tile.hashes) < (place + 1) << height:
            width = width_at(size, tile_level, tile_index)
            hashes = read_tile(self._read, tile_level, tile_index, width)
            if tile is None:
                tile = self._tiles[tile_level, tile_index] = _Tile()
            tile.hashes = hashes
            if len(self._tiles) > self._kept:
                self._tiles.popitem(last=False)
        self._tiles.move_to_end((tile_level, tile_index))
        return tile.node(height, place)


class _Tile:
    """One tile's hashes, and those inner nodes of it that were computed; all stay good while the tile grows."""

    __slots__ = ("_nodes", "hashes")

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self._nodes: dict[tuple[int, int], bytes] = {}

    def node(self, height: int, place: int) -> bytes:
        if height == 0:
            return self.hashes[place]
        node = self._nodes.get((height, place))
        if node is None:
            node = merkle.node_hash(self.node(height - 1, 2 * place), self.node(height - 1, 2 * place + 1))
            self._nodes[height, place] = node
        return node
