"""The log as arithmetic: a state and a batch of entries give a new state, the files to write, and the head. No I/O.

The state is the tree's right edge: the partial tile of each level, the partial entry bundle, and the roots of the
complete subtrees. So an append costs the same however large the tree is, equal input gives equal files (a crash repeats
safely), and the state can be read back from the files. Every inner node is hashed once: a batch rises level by level,
and what it has at every eighth level stands in the tiles there.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from privyseal.errors import BadInput, LogUnavailable, VerificationFailed
from privyseal.tlog import merkle
from privyseal.tlog.merkle import HASH_SIZE
from privyseal.tlog.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Read,
    decode_bundle,
    encode_bundle,
    entries_path,
    split_tile,
    tile_path,
    width_at,
)

TILE_OCTETS = TILE_WIDTH * HASH_SIZE
"""Octets of a full tile."""
File = tuple[str, bytes]
"""A file's name in the log, and its content."""


class Head(Struct, frozen=True):
    """How many entries there are, and the root of their tree."""

    size: int
    root: bytes


class State(Struct, frozen=True):
    """The right edge of a tree of ``size`` leaves: all that is needed to go on."""

    size: int
    peaks: tuple[bytes, ...]
    """Roots of the complete subtrees that make up the tree, largest first."""
    rows: tuple[bytes, ...]
    """Content of the partial tile of each level, lowest first; empty where the last tile of the level is full."""
    bundle: bytes
    """Content of the partial entry bundle."""

    @property
    def head(self) -> Head:
        """Return size and root."""
        return Head(self.size, merkle.fold(self.peaks))


EMPTY = State(0, (), (), b"")
"""The state of a log without entries."""


def append(state: State, entries: Sequence[bytes]) -> tuple[State, list[File], Head]:
    """Return the state after these entries, the files of the new head that are not there yet, and the head itself.

    TooLarge if an entry is longer than 65,535 octets; then none is appended.
    """
    size = state.size + len(entries)
    bundles, bundle = _bundled(state, entries)
    peaks, files = _PeaksByLevel(state), bundles
    rows = list(state.rows)
    nodes = list(map(merkle.leaf_hash, entries))
    level = 0
    while nodes:
        if level % TILE_HEIGHT == 0:
            if level // TILE_HEIGHT == len(rows):
                rows.append(b"")
            tiles, rows[level // TILE_HEIGHT] = _tiled(state.size, level, rows[level // TILE_HEIGHT], nodes)
            files += tiles
        nodes = peaks.raised(level, nodes)
        level += 1
    after = State(size, peaks.of(size), tuple(rows), bundle)
    return after, files, after.head


def restore(head: Head, read: Read) -> State:
    """Read back from its files the state of the log that has this head.

    Partial files may have been replaced by wider or full ones meanwhile. LogUnavailable if a file is missing,
    VerificationFailed if the files are not those of this head.
    """
    size = head.size
    rows = []
    for level in range(_levels(size)):
        width = (size >> TILE_HEIGHT * level) % TILE_WIDTH
        index = size >> TILE_HEIGHT * (level + 1)
        rows.append(b"".join(read_tile(read, level, index, width)) if width else b"")
    peaks = []
    for level, index in merkle.peaks(0, size):
        row = rows[level // TILE_HEIGHT]
        start = (index << level % TILE_HEIGHT) % TILE_WIDTH * HASH_SIZE
        peaks.append(_complete(row[start : start + (HASH_SIZE << level % TILE_HEIGHT)]))
    if merkle.fold(peaks) != head.root:
        raise VerificationFailed(f"The tiles of the log do not have the root of its head at size {size}.")
    width = size % TILE_WIDTH
    entries = read_bundle(read, size // TILE_WIDTH, width) if width else []
    if b"".join(map(merkle.leaf_hash, entries)) != (rows[0] if rows else b""):
        raise VerificationFailed(f"{entries_path(size // TILE_WIDTH, width)} holds other entries than the log has.")
    bundle = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
    return State(size, tuple(peaks), tuple(rows), bundle)


def confirm(before: State, after: State, read: Read) -> None:
    """Compute everything anew from the entries as they were written, before a head of ``after`` is signed.

    VerificationFailed names the first file that is not what it must be. A bit that flipped between hashing and storing
    ended a public log in 2021 (Yeti 2022), which had signed a root its own entries did not have.
    """
    stored: dict[str, bytes | None] = {}
    entries: list[bytes] = []
    for index in range(before.size // TILE_WIDTH, -(-after.size // TILE_WIDTH)):
        path = entries_path(index, width_at(after.size, 0, index))
        stored[path] = octets = read(path)
        entries += _new_entries(before, after, index, octets)
    again, files, _ = append(before, entries)
    for path, content in files:
        if (stored[path] if path in stored else read(path)) != content:
            raise VerificationFailed(f"The log's file {path} was not stored as it was computed; no head is signed.")
    if again != after:
        raise VerificationFailed(f"The entries stored up to {after.size} are not those that were hashed.")


def read_tile(read: Read, level: int, index: int, width: int) -> list[bytes]:
    """Return the first ``width`` hashes of a tile: from the tile of that width, or from the full one if that is gone.

    LogUnavailable if neither is there, VerificationFailed if it is not a tile of its size.
    """
    for each in dict.fromkeys((width, TILE_WIDTH)):
        path = tile_path(level, index, each)
        octets = read(path)
        if octets is not None:
            try:
                return split_tile(octets, each)[:width]
            except BadInput as error:
                raise VerificationFailed(f"{path}: {error.detail}") from None
    raise _missing(tile_path(level, index, width))


def read_bundle(read: Read, index: int, width: int) -> list[bytes]:
    """Return the first ``width`` entries of a bundle, as :func:`read_tile`."""
    for each in dict.fromkeys((width, TILE_WIDTH)):
        path = entries_path(index, each)
        octets = read(path)
        if octets is not None:
            try:
                return decode_bundle(octets, each)[:width]
            except BadInput as error:
                raise VerificationFailed(f"{path}: {error.detail}") from None
    raise _missing(entries_path(index, width))


def _new_entries(before: State, after: State, index: int, octets: bytes | None) -> list[bytes]:
    """Return of a stored bundle the entries that came after ``before``, what was in it then being compared as it is."""
    width = width_at(after.size, 0, index)
    path = entries_path(index, width)
    if octets is None:
        raise _missing(path)
    known = before.bundle if index == before.size // TILE_WIDTH else b""
    if not octets.startswith(known):
        raise VerificationFailed(f"The log's file {path} was not stored as it was computed; no head is signed.")
    try:
        return decode_bundle(octets[len(known) :], width - max(0, before.size - index * TILE_WIDTH))
    except BadInput as error:
        raise VerificationFailed(f"{path}: {error.detail}") from None


class _PeaksByLevel:
    """The roots of the complete subtrees at the right edge, while nodes are added level by level."""

    def __init__(self, state: State) -> None:
        levels = [level for level, _ in merkle.peaks(0, state.size)]
        self._size = state.size
        self._peaks = dict(zip(levels, state.peaks, strict=True))

    def raised(self, level: int, nodes: list[bytes]) -> list[bytes]:
        """Return the nodes that come to be above these new ones; one that is left over is the level's peak."""
        if self._size >> level & 1:
            nodes = [self._peaks[level], *nodes]
        if len(nodes) & 1:
            self._peaks[level] = nodes[-1]
        return merkle.parents(nodes)

    def of(self, size: int) -> tuple[bytes, ...]:
        """Return the roots that make up the tree of ``size`` leaves, largest first."""
        return tuple(self._peaks[level] for level, _ in merkle.peaks(0, size))


def _bundled(state: State, entries: Sequence[bytes]) -> tuple[list[File], bytes]:
    """Return the entry bundles that are new or longer now, and the content of the partial one."""
    files: list[File] = []
    index, width = divmod(state.size, TILE_WIDTH)
    bundle, at = state.bundle, 0
    while at < len(entries):
        added = entries[at : at + TILE_WIDTH - width]
        bundle += encode_bundle(added)
        at, width = at + len(added), width + len(added)
        files.append((entries_path(index, width), bundle))
        if width == TILE_WIDTH:
            index, width, bundle = index + 1, 0, b""
    return files, bundle


def _tiled(size: int, level: int, row: bytes, nodes: Sequence[bytes]) -> tuple[list[File], bytes]:
    """Return the tiles of a level that are new or longer now, and the content of its partial one."""
    files: list[File] = []
    index = (size >> level) // TILE_WIDTH
    hashes = row + b"".join(nodes)
    for at in range(0, len(hashes), TILE_OCTETS):
        tile = hashes[at : at + TILE_OCTETS]
        files.append((tile_path(level // TILE_HEIGHT, index, len(tile) // HASH_SIZE), tile))
        index += 1
    return files, b"" if len(hashes) % TILE_OCTETS == 0 else files[-1][1]


def _levels(size: int) -> int:
    return -(-size.bit_length() // TILE_HEIGHT)


def _complete(hashes: bytes) -> bytes:
    """Return the root above a power of two of hashes."""
    if len(hashes) == HASH_SIZE:
        return hashes
    half = len(hashes) // 2
    return merkle.node_hash(_complete(hashes[:half]), _complete(hashes[half:]))


def _missing(path: str) -> LogUnavailable:
    return LogUnavailable(f"The log's file {path} is missing.", hint="restore it, or have the logger write it again")
