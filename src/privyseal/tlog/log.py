"""The log as arithmetic: a state and a batch of entries give a new state, the files to write, and the head. No I/O.

The state is the tree's right edge: the partial tile of each level, the partial entry bundle, and the roots of the
complete subtrees. So an append costs the same however large the tree is, equal input gives equal files (a crash repeats
safely), and the state can be read back from the files. Every inner node is hashed once: on its way up a leaf leaves at
every eighth level the hash that stands in the tile there.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from privyseal.errors import BadInput, LogUnavailable, TooLarge, VerificationFailed
from privyseal.tlog import merkle
from privyseal.tlog.entry import MAX_ENTRY
from privyseal.tlog.merkle import HASH_SIZE
from privyseal.tlog.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Read,
    decode_bundle,
    entries_path,
    split_tile,
    tile_path,
    width_at,
)

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
    size, peaks, bundle = state.size, list(state.peaks), bytearray(state.bundle)
    rows = [bytearray(row) for row in state.rows]
    files: list[File] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise TooLarge(f"An entry of {len(entry)} octets was given, and {MAX_ENTRY} is the most a log can hold.")
        bundle += len(entry).to_bytes(2, "big")
        bundle += entry
        _climb(merkle.leaf_hash(entry), size, peaks, rows)
        size += 1
        if size % TILE_WIDTH == 0:
            files.append((entries_path(size // TILE_WIDTH - 1), bytes(bundle)))
            bundle.clear()
            files += _cut_full(size, rows)
    if bundle and entries:
        files.append((entries_path(size // TILE_WIDTH, size % TILE_WIDTH), bytes(bundle)))
    for level, row in enumerate(rows):
        if row and size >> TILE_HEIGHT * level != state.size >> TILE_HEIGHT * level:
            files.append((_edge_path(size, level), bytes(row)))
    after = State(size, tuple(peaks), tuple(bytes(row) for row in rows), bytes(bundle))
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
    entries: list[bytes] = []
    for index in range(before.size // TILE_WIDTH, -(-after.size // TILE_WIDTH)):
        stored = read_bundle(read, index, width_at(after.size, 0, index))
        entries += stored[max(0, before.size - index * TILE_WIDTH) :]
    again, files, _ = append(before, entries)
    for path, content in files:
        if read(path) != content:
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


def _climb(leaf: bytes, size: int, peaks: list[bytes], rows: list[bytearray]) -> None:
    """Add a leaf hash to a tree of ``size`` leaves, in place, leaving a hash in the tile of every eighth level."""
    level = 0
    while True:
        if level % TILE_HEIGHT == 0:
            if level // TILE_HEIGHT == len(rows):
                rows.append(bytearray())
            rows[level // TILE_HEIGHT] += leaf
        if not size >> level & 1:
            peaks.append(leaf)
            return
        leaf = merkle.node_hash(peaks.pop(), leaf)
        level += 1


def _cut_full(size: int, rows: list[bytearray]) -> list[File]:
    """Take out the tiles that became full as the tree came to ``size`` leaves."""
    files = []
    for level, row in enumerate(rows):
        if len(row) == TILE_WIDTH * HASH_SIZE:
            files.append((tile_path(level, (size >> TILE_HEIGHT * (level + 1)) - 1), bytes(row)))
            row.clear()
    return files


def _edge_path(size: int, level: int) -> str:
    hashes = size >> TILE_HEIGHT * level
    return tile_path(level, hashes // TILE_WIDTH, hashes % TILE_WIDTH)


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
