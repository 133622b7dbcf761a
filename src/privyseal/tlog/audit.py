"""Checking a whole log as an outsider: every file is read again, all that follows from the entries computed anew.

What is found are values, not exceptions: a damaged file neither hides the rest of the damage nor passes. Of two files
that contradict each other the tile above decides which is believed, so that one flipped bit is one finding wherever
that can be. Memory is bounded by the number of keys and of open intents, not by the log: of the tree, one tile for each
level is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from privyseal.errors import BadInput, PrivySealError
from privyseal.tlog import checkpoint, merkle
from privyseal.tlog.checkpoint import Checkpoint, open_checkpoint
from privyseal.tlog.entry import Completion, Entry, Intent, decode
from privyseal.tlog.log import read_bundle
from privyseal.tlog.merkle import HASH_SIZE
from privyseal.tlog.note import Verifier, parse_note
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

MAX_TRACKED = 1_000_000
"""Keys, open intents, or unread entries, beyond which entries are no longer compared: some 300 MB."""
CUT_OFF = 16
"""Tiles missing in a row, together with their entries, after which the rest of the log counts as cut off."""
CHECKPOINT_PATH = "checkpoint"
"""Where the newest signed head is (C2SP tlog-tiles, checkpoints)."""

Widths = Callable[[str], Sequence[int]]
"""Returns the widths of the partials that are kept of the tile or bundle whose full name is given."""

Code = Literal[
    "checkpoint-unreadable",  # no signed head, or not signed by the log's key
    "file-missing",
    "file-malformed",
    "leaf-differs",  # an entry does not hash to what the tile of level 0 says
    "node-differs",  # a hash in a tile is not what the tile below hashes to
    "root-differs",  # the tree has not the root that was signed
    "partial-differs",  # a partial of an earlier head is not the beginning of what it became
    "entry-malformed",
    "key-sequence",  # a key's sequence number is left out, repeated or out of order
    "completion-of-nothing",  # a completion names no intent that stands before it
    "completion-of-another-key",
    "completed-twice",
    "too-many",  # more keys, open intents or unread entries than can be followed
    "intent-open",  # the one warning: an intent without a completion may still be under way
]
"""What an audit can find, one word for each."""


class Finding(Struct, frozen=True):
    """One thing found: what kind, whether it is wrong or only to be looked at, where, and one sentence."""

    code: Code
    severity: Literal["problem", "warning"]
    path: str
    """The file, by its name in the log."""
    index: int | None
    """The entry, where it is about one."""
    text: str


def fsck(read: Read, note: bytes, log: Verifier, widths: Widths | None = None) -> Iterator[Finding]:
    """Check every file of a log against its signed head, and what the entries say against each other.

    ``read`` returns a file by its name. Given ``widths``, partials of earlier heads that are still kept are checked as
    well. Nothing is raised for what the log holds; what ``read`` itself raises passes through.
    """
    try:
        head = open_checkpoint(note, log)
    except PrivySealError as error:
        yield _problem("checkpoint-unreadable", CHECKPOINT_PATH, error.detail)
        try:
            head = checkpoint.parse(parse_note(note).body)  # proves nothing, but what it says can still be compared
        except BadInput:
            return
    yield from _Walk(read, head, widths or (lambda _: ())).run()


class _Walk:
    """One walk over a log, from left to right.

    ``_rows`` holds, for each level, the hashes of the tile that is not full yet; an unknown one is empty octets.
    """

    def __init__(self, read: Read, head: Checkpoint, widths: Widths) -> None:
        self._read = read
        self._head = head
        self._widths = widths
        self._rows: list[list[bytes]] = [[]]
        self._ledger = _Ledger(read, head.size)

    def run(self) -> Iterator[Finding]:
        missing = 0
        for index in range(-(-self._head.size // TILE_WIDTH)):
            width = width_at(self._head.size, 0, index)
            tile = self._read(tile_path(0, index, width))
            bundle = self._read(entries_path(index, width))
            missing = missing + 1 if tile is None and bundle is None else 0
            yield from self._bottom(index, width, tile, bundle)
            if missing == CUT_OFF:
                text = (
                    f"{CUT_OFF} tiles and bundles in a row are missing; after {tile_path(0, index)} none was checked."
                )
                yield _problem("file-missing", tile_path(0, index), text)
                return
        yield from self._edge()
        yield from self._ledger.still_open()

    def _bottom(self, index: int, width: int, tile: bytes | None, bundle: bytes | None) -> Iterator[Finding]:
        """Check one tile of level 0 and its entries, and every tile above that it completes."""
        path, bundle_path = tile_path(0, index, width), entries_path(index, width)
        hashes, wrong = _content(path, tile, lambda octets: split_tile(octets, width))
        entries, wrong_bundle = _content(bundle_path, bundle, lambda octets: decode_bundle(octets, width))
        yield from wrong + wrong_bundle
        leaves = None if entries is None else list(map(merkle.leaf_hash, entries))
        if hashes is not None and leaves is not None and hashes != leaves:
            for at, (stored, computed) in enumerate(zip(hashes, leaves, strict=True), start=index * TILE_WIDTH):
                if stored != computed:
                    text = f"Entry {at} in {bundle_path} does not hash to what {path} says of it."
                    yield _problem("leaf-differs", bundle_path, text, at)
        row = self._believed(index, hashes, leaves) or [b""] * width
        for place in range(width):
            sound = entries is not None and leaves is not None and leaves[place] == row[place]
            octets = entries[place] if entries is not None and sound else None
            yield from self._ledger.take(index * TILE_WIDTH + place, bundle_path, octets)
        yield from self._kept_tiles(0, index, row)
        yield from self._kept_bundles(index, entries or [])
        yield from self._up(0, index, row)

    def _believed(self, index: int, hashes: list[bytes] | None, leaves: list[bytes] | None) -> list[bytes] | None:
        """Return the hashes to go on with; of two that differ, those that the tile above or the signed root knows."""
        if hashes is None or leaves is None or hashes == leaves:
            return leaves or hashes
        if len(hashes) < TILE_WIDTH:
            return hashes if self._root_over(hashes) == self._head.root else leaves
        above, place = divmod(index, TILE_WIDTH)
        known = self._read(tile_path(1, above, width_at(self._head.size, 1, above))) or b""
        return hashes if known[place * HASH_SIZE : (place + 1) * HASH_SIZE] == _root(hashes) else leaves

    def _root_over(self, bottom: list[bytes]) -> bytes:
        """Return the root over the right edge, whose tile at level 0 is ``bottom``; unknown if one of its hashes is."""
        peaks = []
        for level, index in merkle.peaks(0, self._head.size):
            row = self._rows[level // TILE_HEIGHT] if level >= TILE_HEIGHT else bottom
            start = (index << level % TILE_HEIGHT) % TILE_WIDTH
            peaks.append(_root(row[start : start + (1 << level % TILE_HEIGHT)]))
        return merkle.fold(peaks) if all(peaks) else b""

    def _up(self, level: int, index: int, row: list[bytes]) -> Iterator[Finding]:
        """Keep a row at the edge; put the root of a full one into the row above, and check that one when it is full."""
        if len(row) < TILE_WIDTH:
            self._rows[level] = row
            return
        self._rows[level] = []
        if len(self._rows) == level + 1:
            self._rows.append([])
        above = self._rows[level + 1]
        above.append(_root(row))
        if len(above) == TILE_WIDTH:
            yield from self._compare(level + 1, index // TILE_WIDTH, above)
            yield from self._up(level + 1, index // TILE_WIDTH, above)

    def _compare(self, level: int, index: int, row: list[bytes]) -> Iterator[Finding]:
        """Compare a tile above level 0 with what was computed, and take its word for what could not be."""
        path = tile_path(level, index, len(row))
        hashes, wrong = _content(path, self._read(path), lambda octets: split_tile(octets, len(row)))
        yield from wrong
        for place, stored in enumerate(hashes or ()):
            if not row[place]:
                row[place] = stored
            elif row[place] != stored:
                below = tile_path(level - 1, index * TILE_WIDTH + place)
                yield _problem("node-differs", path, f"Hash {place} in {path} is not what {below} hashes to.")
        yield from self._kept_tiles(level, index, row)

    def _edge(self) -> Iterator[Finding]:
        """Check the partial tiles above level 0, and the root over the whole right edge."""
        size = self._head.size
        for level, row in enumerate(self._rows):
            if level and row:
                yield from self._compare(level, size >> TILE_HEIGHT * (level + 1), row)
        if self._root_over(self._rows[0]) not in (self._head.root, b""):
            text = f"The tree of the first {size} entries has not the root that the checkpoint says."
            yield _problem("root-differs", CHECKPOINT_PATH, text)

    def _kept_tiles(self, level: int, index: int, row: list[bytes]) -> Iterator[Finding]:
        for width in self._kept(tile_path(level, index), len(row)):
            path = tile_path(level, index, width)
            if all(row[:width]) and self._read(path) not in (None, b"".join(row[:width])):
                yield _problem("partial-differs", path, f"{path} is not the beginning of the tile that it became.")

    def _kept_bundles(self, index: int, entries: list[bytes]) -> Iterator[Finding]:
        for width in self._kept(entries_path(index), len(entries)):
            path = entries_path(index, width)
            beginning = b"".join(len(each).to_bytes(2, "big") + each for each in entries[:width])
            if self._read(path) not in (None, beginning):
                yield _problem("partial-differs", path, f"{path} is not the beginning of the bundle that it became.")

    def _kept(self, full: str, width: int) -> list[int]:
        """Return the widths of a tile's or bundle's partials; a log at work may remove one before it is read."""
        return [each for each in self._widths(full) if 0 < each < width]


class _Ledger:
    """What the entries say of each other: each key's sequence, and which intents have no completion yet.

    An entry that could not be read, or is not the one that was logged, has been reported; what it would have said is
    then not missed again.
    """

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self._next: dict[str, tuple[int, int]] = {}  # by key: the next number, and how many were unread when it was set
        self._open: dict[int, str] = {}
        self._unread: set[int] = set()
        self._full = False

    def take(self, index: int, path: str, octets: bytes | None) -> Iterator[Finding]:
        entry: Entry | None = None
        try:
            entry = None if octets is None else decode(octets)
        except BadInput as error:
            yield _problem("entry-malformed", path, f"Entry {index} in {path}: {error.detail}", index)
        if self._full:
            return
        if entry is None:
            self._unread.add(index)
        elif isinstance(entry, Intent):
            yield from self._follow(index, path, entry)
        elif isinstance(entry, Completion):
            yield from self._close(index, path, entry)
        if max(len(self._next), len(self._open), len(self._unread)) > MAX_TRACKED:
            self._full = True
            self._next, self._open, self._unread = {}, {}, set()
            text = (
                f"More than {MAX_TRACKED} keys, open intents or unread entries: none is followed after entry {index}."
            )
            yield _problem("too-many", path, text, index)

    def still_open(self) -> Iterator[Finding]:
        for index, key in self._open.items():
            bundle = index // TILE_WIDTH
            path = entries_path(bundle, width_at(self._size, 0, bundle))
            text = f"Intent {index} of key {key} has no completion: it is under way, or its walk was cut short."
            yield Finding("intent-open", "warning", path, index, text)

    def _follow(self, index: int, path: str, intent: Intent) -> Iterator[Finding]:
        expected, unread = self._next.get(intent.key_tag, (0, 0))
        if intent.key_seq < expected or (intent.key_seq > expected and unread == len(self._unread)):
            text = f"Entry {index} is number {intent.key_seq} of key {intent.key_tag}, whose next is {expected}."
            yield _problem("key-sequence", path, text, index)
        self._next[intent.key_tag] = (max(expected, intent.key_seq + 1), len(self._unread))
        self._open[index] = intent.key_tag

    def _close(self, index: int, path: str, completion: Completion) -> Iterator[Finding]:
        key = self._open.pop(completion.intent, None)
        if key is None:
            was = self._entry(completion.intent) if completion.intent < index else completion
            if isinstance(was, Intent):
                text = f"Entry {index} completes intent {completion.intent}, which was completed before."
                yield _problem("completed-twice", path, text, index)
            elif was is not None:
                text = f"Entry {index} completes entry {completion.intent}, which is no intent that stands before it."
                yield _problem("completion-of-nothing", path, text, index)
        elif key != completion.key_tag:
            text = f"Entry {index} completes intent {completion.intent} of key {key} for key {completion.key_tag}."
            yield _problem("completion-of-another-key", path, text, index)

    def _entry(self, index: int) -> Entry | None:
        """Read an entry again, which is rarely needed; None if it was not read the first time either."""
        if index in self._unread:
            return None
        bundle, place = divmod(index, TILE_WIDTH)
        try:
            return decode(read_bundle(self._read, bundle, width_at(self._size, 0, bundle))[place])
        except PrivySealError:
            return None


def _content(
    path: str, octets: bytes | None, decoded: Callable[[bytes], list[bytes]]
) -> tuple[list[bytes] | None, list[Finding]]:
    if octets is None:
        return None, [_problem("file-missing", path, f"{path} is missing.")]
    try:
        return decoded(octets), []
    except BadInput as error:
        return None, [_problem("file-malformed", path, f"{path}: {error.detail}")]


def _problem(code: Code, path: str, text: str, index: int | None = None) -> Finding:
    return Finding(code, "problem", path, index, text)


def _root(hashes: Sequence[bytes]) -> bytes:
    """Return the root above a power of two of hashes; unknown if one of them is."""
    if not all(hashes):
        return b""
    while len(hashes) > 1:
        hashes = [merkle.node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    return hashes[0]
