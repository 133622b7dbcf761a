"""The log as it stands on the disk: journal, tiles, mark and published head, and the steps that take it from
one head to the next.

A batch goes through these steps, and each may be repeated after a crash, because equal input gives equal tiles
and an equal signature:

1. places and new head, one durable transaction of the journal (``staging.py``);
2. tiles and entry bundles, not synced, because they can be made again from the journal;
3. everything read back from the store and hashed anew;
4. the mark, synced, on its own path: from here on a journal put back to an older state is found out;
5. the head signed, cosigned by a quorum of the witnesses where there are any, and published.

So a batch costs two syncs and one round of the witnesses, however many wait for it. Where the witnesses do not
answer, the head stays staged and is completed when they do: no other head of its size can be signed any more.
Full tiles are made durable after the answers, several at once or when nothing is asked, and only then does the
journal drop their entries: however long that takes, each of them can be made again. What was read from the disk, at
the start or after a failure, is believed only if journal, tiles, mark and published head agree, and the witnesses do;
if one of them is behind or beside another, that is LogRolledBack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from privyseal.errors import BadInput, LogRolledBack, LogUnavailable, VerificationFailed
from privyseal.strongroom.batch import Batch
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.staging import LogJournal, Place
from privyseal.strongroom.witnesses import Witnesses
from privyseal.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from privyseal.tlog.log import EMPTY, Head, State, append, confirm, restore
from privyseal.tlog.merkle import HASH_SIZE, leaf_hash
from privyseal.tlog.note import Signer
from privyseal.tlog.reader import Reader
from privyseal.tlog.tiles import TILE_WIDTH, TileStore, encode_bundle, entries_path, superseded, tile_path
from privyseal.tlog.tilestore import CHECKPOINT

_SWEPT = 64 * TILE_WIDTH
"""Entries below the floor whose partials are removed again at a start: more than a batch of 32 full questions of the
walks; what earlier batches removed was synced by the batches after them."""


class Shelves(NamedTuple):
    """Where a log is kept. Both stores of tiles lead to one place: ``tiles`` need not sync, ``durable_tiles`` must."""

    staging: LogJournal
    tiles: TileStore
    durable_tiles: TileStore
    mark: MarkFile
    witnesses: Witnesses | None = None


class Ledger:
    """The log, as it was read from its shelves and confirmed; one thread uses it.

    After any exception from :meth:`extend` or :meth:`settle` it must be thrown away and another one opened:
    what is on the disk is then not known.
    """

    def __init__(self, shelves: Shelves, signer: Signer) -> None:
        """Read everything, bring tiles, mark and published head up to the journal, or refuse with LogRolledBack."""
        self._shelves = shelves
        self._signer = signer
        self.reader = Reader(shelves.tiles.read)
        mark, head = shelves.mark.read(), shelves.staging.head()
        signed = (Head(mark.number, mark.digest), self._published())
        known = max(each.size for each in signed)
        if head.size < known:
            raise LogRolledBack(
                f"The journal holds {head.size} entries, and a head of {known} was signed.",
                hint="restore the newest journal; nothing is logged until then",
            )
        self._floor = shelves.staging.floor()
        state = self._restored(known)
        staged = shelves.staging.staged(self._floor, head)
        after, files, found = append(state, staged)
        if found != head:
            raise LogRolledBack(
                f"The entries in the journal do not have the root that it gives for {head.size} entries.",
                hint="restore journal and tiles from one backup; nothing is logged until then",
            )
        _write(shelves.tiles, files)
        confirm(state, after, shelves.tiles.read)
        for path in superseded(max(0, self._floor.size - _SWEPT), self._floor.size):
            shelves.tiles.remove(path)  # as settle() did, whose removals a power cut can undo
        _mend_partials(shelves.tiles, self._floor.size, staged)
        for each in signed:
            # Read from the newest tiles: those of an earlier head a power cut may have taken, for they are not synced.
            if self.reader.root(each.size, head.size) != each.root:
                raise LogRolledBack(
                    f"The log of {head.size} entries does not extend the head of {each.size} that was signed.",
                    hint="restore the journal and tiles that belong to that head; nothing is logged until then",
                )
        self._state = after
        self.checkpoint = self._publish(head)

    @property
    def size(self) -> int:
        """Return how many entries there are."""
        return self._state.size

    @property
    def unsettled(self) -> int:
        """Return how many entries are in full tiles that are not known to be durable."""
        return self.size // TILE_WIDTH * TILE_WIDTH - self._floor.size

    def begin(self) -> Batch:
        """Return an empty batch, for entries to be given places in."""
        return Batch(self._shelves.staging, self.size)

    def place_at(self, index: int) -> Place:
        """Return what stands at an index; BadInput if nothing does."""
        place = self._shelves.staging.place_at(index) if 0 <= index < self.size else None
        if place is None:
            raise BadInput(f"The log has no entry {index}.")
        return place

    def extend(self, batch: Batch) -> None:
        """Carry a batch through to a signed and published head."""
        if not batch.entries:
            return
        shelves, before = self._shelves, self._state
        after, files, head = append(before, batch.entries)
        shelves.staging.stage(before.head, head, batch.places, batch.entries, self._floor)
        _write(shelves.tiles, files)
        confirm(before, after, shelves.tiles.read)
        self._state = after
        self.checkpoint = self._publish(head)

    def settle(self) -> None:
        """Make tiles that became full durable; the next batch then drops their entries from the journal."""
        if self.unsettled == 0:
            return
        full = self._floor.size + self.unsettled
        shelves, floor = self._shelves, self._floor
        staged = shelves.staging.staged(floor, self._state.head)
        settled, files, head = append(restore(floor, shelves.tiles.read), staged[: full - floor.size])
        if head.root != self.reader.root(full):
            raise VerificationFailed(f"The staged entries up to {full} are not those that were logged.")
        _write(shelves.durable_tiles, files)
        shelves.durable_tiles.sync()
        for path in superseded(floor.size, full):
            shelves.tiles.remove(path)
        self._floor = settled.head

    def _publish(self, head: Head) -> bytes:
        """Raise the mark, sign and publish: from the mark on, no other head of this size can be signed."""
        self._shelves.mark.raise_to(Mark(head.size, head.root))
        checkpoint = sign_checkpoint(Checkpoint(self._signer.verifier.name, head.size, head.root), self._signer)
        if self._shelves.witnesses is not None:
            try:
                checkpoint = self._shelves.witnesses.cosigned(
                    checkpoint, head, lambda old: self.reader.consistency(old, head.size)
                )
            except LogRolledBack:
                # Frozen meanwhile, and the witnesses are ahead because another logger took over? Then not the log was
                # put back, only we were left behind.
                self._shelves.staging.confirm_term()
                raise
        self._shelves.staging.confirm_term()  # who was frozen until now does not put the published head back
        self._shelves.tiles.write(CHECKPOINT, checkpoint)
        return checkpoint

    def _published(self) -> Head:
        """Return the head that is published, if it is one of ours: it may know more than a mark that was put back."""
        octets = self._shelves.tiles.read(CHECKPOINT)
        if octets is None:
            return EMPTY.head
        try:
            shown = open_checkpoint(octets, self._signer.verifier)
        except (BadInput, VerificationFailed):
            return EMPTY.head  # torn by a power cut, for it is never synced; the mark is
        return Head(shown.size, shown.root)

    def _restored(self, known: int) -> State:
        """Read the state at the floor from the tiles; LogRolledBack if they are not the ones that were synced."""
        try:
            return restore(self._floor, self._shelves.tiles.read)
        except (LogUnavailable, VerificationFailed) as error:
            if error.__cause__ is not None:  # the disk could not be read, which says nothing of what is on it
                raise
            raise LogRolledBack(
                f"The tiles do not hold the {self._floor.size} entries that were durable when a head of {known} was "
                f"signed: {error.detail}",
                hint="restore the newest tiles; nothing is logged until then",
            ) from None


def _write(store: TileStore, files: Sequence[tuple[str, bytes]]) -> None:
    for path, content in files:
        store.write(path, content)


def _mend_partials(store: TileStore, start: int, entries: Sequence[bytes]) -> None:
    """Write anew the partials of earlier heads that a power cut has torn; ``entries`` begin at ``start``, a full tile.

    Nothing here reads them, but whoever still holds an earlier head does, and ``log fsck`` looks at all that is there.
    """
    for at in range(0, len(entries), TILE_WIDTH):
        index, those = (start + at) // TILE_WIDTH, entries[at : at + TILE_WIDTH]
        hashes = b"".join(map(leaf_hash, those))
        for width in range(1, min(len(those), TILE_WIDTH - 1) + 1):
            for path, content in (
                (tile_path(0, index, width), hashes[: width * HASH_SIZE]),
                (entries_path(index, width), encode_bundle(those[:width])),
            ):
                if store.read(path) not in (None, content):
                    store.write(path, content)
