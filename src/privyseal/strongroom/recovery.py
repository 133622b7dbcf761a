"""Rolls a log's journal and mark forward to a head that was signed, from the entries in the public tiles.

After a restore, or after a failover of the database that lost commits, the journal knows less than the log has
shown to others. Nothing but the log itself can tell the rest, and it can tell all of it: the entries stand in the
tiles, and a signed head says which they are. So every entry is read, the whole tree is computed anew, and only
if it goes through the journal's own head and the mark and ends at the signed head with its very root, and no
witness knows more, is anything written: the full tiles once more, durably, the journal in one transaction, the mark.

A submission's identity follows from its entry, so places, and with them idempotency, are rebuilt whole, as are each
key's sequence numbers. What is not rebuilt is what was staged and never in a signed head: nobody was told of it, and
whoever asked asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from privyseal.errors import BadInput, LogRolledBack, LogUnavailable, Misused, PrivySealError, VerificationFailed
from privyseal.strongroom import logkey
from privyseal.strongroom.archive import DurableTiles
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.settings import LoggerSettings
from privyseal.strongroom.staging import OF_NO_KEY, LogJournal, Place
from privyseal.strongroom.witnesses import Witnesses
from privyseal.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from privyseal.tlog.entry import (
    Completion,
    CompletionSubmission,
    Entry,
    Intent,
    IntentSubmission,
    StatementSubmission,
    decode,
)
from privyseal.tlog.log import EMPTY, Head, State, append, read_bundle
from privyseal.tlog.note import Signer, Verifier, parse_note
from privyseal.tlog.reader import Reader
from privyseal.tlog.tiles import TILE_WIDTH, edge, entries_path, tile_path, width_at
from privyseal.tlog.tilestore import CHECKPOINT, DirectoryTileStore


class Plan(NamedTuple):
    """What a recovery would do, or has done."""

    journal: Head
    mark: Mark | None
    """None if there is no mark, or it is destroyed."""
    target: Head
    """The signed head at which journal and mark will stand."""
    witnesses: tuple[str, ...]
    """Who cosigned the target."""

    @property
    def entries(self) -> int:
        """Return how many entries the journal takes in."""
        return max(0, self.target.size - self.journal.size)

    @property
    def raises_mark(self) -> bool:
        """Tell whether the mark is written."""
        return self.mark is None or self.mark.number < self.target.size


class Recovery:
    """One recovery: :meth:`plan` reads and judges and writes nothing, :meth:`carry_out` writes what was planned."""

    def __init__(self, config: Path, asked: LoggerSettings, journal: LogJournal, witnesses: Witnesses | None) -> None:
        """Take the logger's settings, its journal, and the way to its witnesses; the logger itself must not run."""
        self._asked = asked
        self._journal = journal
        self._witnesses = witnesses
        key = logkey.read(config.parent / asked.key)
        self._signer = Signer(logkey.verifier(asked.origin, key), key.sign)
        self._mark = config.parent / asked.mark
        self._public = config.parent / asked.public
        self._tiles = DirectoryTileStore(self._public)
        self._floor: State = EMPTY

    def plan(self, shown: bytes | None = None) -> Plan:
        """Return what is to be done; ``shown`` is a signed head from elsewhere, where the published one is older.

        LogRolledBack, LogUnavailable or VerificationFailed name what is missing or contradicts; nothing is written.
        """
        journal, mark = self._journal.head(), self._read_mark()
        target, cosigned = self._target(shown)
        if mark is None and len(cosigned) < max(1, self._asked.quorum):
            raise LogRolledBack(
                "The mark is missing or destroyed, and no quorum of witnesses vouches for the newest head.",
                hint="restore the mark; without it or witnesses nobody can tell that this head is the newest",
            )
        if mark is not None and mark.number > target.size:
            target, cosigned = Head(mark.number, mark.digest), ()
        self._walk(journal, mark, target)
        if self._witnesses is not None and (journal.size <= target.size or mark is None):
            # A longer journal is the logger's to bring before them, once its mark is raised.
            self._ask_witnesses(target)
        return Plan(journal, mark, target, cosigned)

    def carry_out(self, plan: Plan) -> None:
        """Write the journal, then the mark, as planned; each may be repeated after a crash."""
        if plan.entries:
            first, floor = plan.journal.size, self._floor.head
            self._make_durable(floor.size)
            staged = list(self._entries(floor.size, plan.target.size))
            self._journal.advance(plan.journal, plan.target, floor, self._places(first, plan.target.size), staged)
        if plan.raises_mark:
            mark = Mark(plan.target.size, plan.target.root)
            if plan.mark is None:
                MarkFile.create(self._mark, mark)
            else:
                file = MarkFile(self._mark)
                file.raise_to(mark)
                file.close()

    def _make_durable(self, upto: int) -> None:
        """Write the full tiles once more, durably: from here on the journal does not hold their entries."""
        durable, state, known = DurableTiles(self._public), EMPTY, self._journal.floor().size
        while state.size < upto:
            state, files, _ = append(state, self._bundle(state.size // TILE_WIDTH, state.size + TILE_WIDTH))
            for path, content in files:
                if state.size > known and ".p/" not in path:
                    durable.write(path, content)
        for level, index, width in edge(state.size):
            durable.write(tile_path(level, index, width), state.rows[level])
        durable.sync()

    def _read_mark(self) -> Mark | None:
        try:
            file = MarkFile(self._mark)
        except LogRolledBack:
            return None
        try:
            return file.read()
        except LogRolledBack:
            return None
        finally:
            file.close()

    def _target(self, shown: bytes | None) -> tuple[Head, tuple[str, ...]]:
        """Return the largest signed head that is known, and which of our witnesses cosigned it."""
        heads = []
        for octets in (self._tiles.read(CHECKPOINT), shown):
            if octets is not None:
                try:
                    heads.append((open_checkpoint(octets, self._signer.verifier), octets))
                except PrivySealError as error:
                    if octets is shown:
                        raise error.about("The head that was given") from None
        if not heads:
            raise LogUnavailable(
                "There is no signed head of this log among its public files.",
                hint="give one from elsewhere, such as a receipt's, with --checkpoint",
            )
        head, octets = max(heads, key=lambda each: each[0].size)
        return Head(head.size, head.root), self._cosigned(octets)

    def _cosigned(self, octets: bytes) -> tuple[str, ...]:
        note = parse_note(octets)
        keys: list[Verifier] = [each.verifier() for each in self._asked.witness]
        return tuple(
            key.name
            for key in keys
            if any(
                (each.name, each.key_id) == (key.name, key.key_id) and key.verifies(note.body, each.value)
                for each in note.signatures
            )
        )

    def _walk(self, journal: Head, mark: Mark | None, target: Head) -> None:
        """Compute the tree from all entries; it must go through journal and mark and end at the target."""
        through: dict[int, list[tuple[str, bytes]]] = {}
        through.setdefault(journal.size, []).append(("the journal", journal.root))
        through.setdefault(target.size, []).append(("the signed head", target.root))
        if mark is not None:
            through.setdefault(mark.number, []).append(("the mark", mark.digest))
        stops = sorted({*through, target.size // TILE_WIDTH * TILE_WIDTH} - {0})
        state, sequences = EMPTY, dict[str, int]()
        for stop in stops:
            while state.size < stop:
                upto = min(stop, (state.size // TILE_WIDTH + 1) * TILE_WIDTH)
                try:
                    entries = list(self._entries(state.size, upto))
                except LogUnavailable:
                    entries = self._journalled(state.size, upto, journal)  # the logger had not written them yet
                    if not entries:
                        raise
                for index, octets in enumerate(entries, start=state.size):
                    _follow(index, _decoded(index, octets), sequences)
                state, _, _ = append(state, entries)
            if stop % TILE_WIDTH == 0 and stop <= target.size:
                self._floor = state
            for what, root in through.get(stop, ()):
                if state.head.root != root:
                    raise _contradiction(what, stop)

    def _journalled(self, start: int, end: int, journal: Head) -> list[bytes]:
        """Return entries that the journal holds and whose tiles may not be on the disk yet; empty if it has not all."""
        floor = self._journal.floor()
        if not floor.size <= start < end <= journal.size:
            return []
        return self._journal.staged(floor, journal)[start - floor.size : end - floor.size]

    def _entries(self, start: int, end: int) -> Iterator[bytes]:
        """Read entries from the bundles, one at a time; a partial bundle of a later head will do as well."""
        while start < end:
            bundle = start // TILE_WIDTH
            upto = min(end, (bundle + 1) * TILE_WIDTH)
            yield from self._bundle(bundle, upto)[start % TILE_WIDTH :]
            start = upto

    def _bundle(self, bundle: int, upto: int) -> list[bytes]:
        width = width_at(upto, 0, bundle)
        try:
            return read_bundle(self._tiles.read, bundle, width)
        except LogUnavailable as error:
            for wider in self._tiles.widths(entries_path(bundle)):
                if wider > width:
                    return read_bundle(self._tiles.read, bundle, wider)[:width]
            raise LogUnavailable(
                f"Entries {bundle * TILE_WIDTH} to {upto - 1} are missing: {error.detail}",
                hint="restore the tiles, from a mirror if need be; nothing was changed",
            ) from None

    def _places(self, start: int, end: int) -> Iterator[Place]:
        for index, octets in enumerate(self._entries(start, end), start=start):
            yield _place(index, _decoded(index, octets))

    def _ask_witnesses(self, target: Head) -> None:
        """Have the witnesses confirm the target: LogRolledBack names one that knows more, or another history."""
        assert self._witnesses is not None  # noqa: S101 - the caller looked
        signed = sign_checkpoint(Checkpoint(self._asked.origin, target.size, target.root), self._signer)
        reader = Reader(self._tiles.read)
        self._witnesses.cosigned(signed, target, lambda old: reader.consistency(old, target.size))


def open_recovery(
    config: Path, asked: LoggerSettings, journal: LogJournal, note: Callable[[str], None]
) -> tuple[Recovery, Witnesses | None]:
    """Return a recovery of the log of these settings, and its witnesses, which are to be closed."""
    if not (config.parent / asked.public).is_dir():
        raise Misused(f"The log's public directory {asked.public} is missing.", hint="restore it first")
    witnesses = Witnesses.of(asked, note)
    return Recovery(config, asked, journal, witnesses), witnesses


def _decoded(index: int, octets: bytes) -> Entry:
    try:
        return decode(octets)
    except BadInput as error:
        raise VerificationFailed(f"Entry {index} in the tiles: {error.detail}") from None


def _follow(index: int, entry: Entry, sequences: dict[str, int]) -> None:
    """Check that each key's sequence has no gap, for the next number is counted from it."""
    if isinstance(entry, Intent):
        expected = sequences.get(entry.key_tag, 0)
        if entry.key_seq != expected:
            raise VerificationFailed(
                f"Entry {index} is number {entry.key_seq} of its key, and {expected} was expected.",
                hint="privyseal log fsck says more; nothing was changed",
            )
        sequences[entry.key_tag] = expected + 1


def _place(index: int, entry: Entry) -> Place:
    """Return where an entry stands, under the identity that its submission had."""
    if isinstance(entry, Intent):
        intent = IntentSubmission(verb=entry.verb, key_tag=entry.key_tag, uses=entry.uses, commitment=entry.commitment)
        return Place(index, intent.submission_id(), entry.key_tag, entry.key_seq, None)
    if isinstance(entry, Completion):
        completion = CompletionSubmission(
            key_tag=entry.key_tag, intent=entry.intent, outcome=entry.outcome, commitment=entry.commitment
        )
        return Place(index, completion.submission_id(), entry.key_tag, None, entry.intent)
    statement = StatementSubmission(about=entry.about, commitment=entry.commitment)
    return Place(index, statement.submission_id(), OF_NO_KEY, None, None)


def _contradiction(what: str, size: int) -> LogRolledBack:
    return LogRolledBack(
        f"The entries in the tiles do not have the root that {what} holds for {size} entries.",
        hint="they are of two histories; restore the ones that belong together; nothing was changed",
    )
