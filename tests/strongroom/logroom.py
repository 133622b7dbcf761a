"""A logger in a directory of its own, whose every durable effect can be made to fail, done or not done."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privyseal.errors import LogUnavailable
from privyseal.strongroom import logkey
from privyseal.strongroom.archive import DurableTiles
from privyseal.strongroom.client import LoggerClient
from privyseal.strongroom.ledger import Shelves
from privyseal.strongroom.logger import Logger
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.messages import Appended, Submission
from privyseal.strongroom.staging import Staging
from privyseal.strongroom.witnesses import Witnesses
from privyseal.tlog.audit import fsck
from privyseal.tlog.checkpoint import open_checkpoint
from privyseal.tlog.entry import CompletionSubmission, IntentSubmission, StatementSubmission, encode
from privyseal.tlog.merkle import EMPTY_ROOT, leaf_hash, verify_inclusion
from privyseal.tlog.note import Verifier
from privyseal.tlog.tiles import TileStore
from privyseal.tlog.tilestore import DirectoryTileStore

ORIGIN = "log.example/test"
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the tests' log key").digest())
VERIFIER = logkey.verifier(ORIGIN, KEY)


class Faults:
    """Counts the durable effects by name and makes the chosen one fail: ``(name, nth, done)``."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.plan: tuple[str, int, bool] | None = None
        self.error: Callable[[], Exception] = lambda: LogUnavailable("injected")

    def pass_through(self, name: str, effect: Callable[[], None]) -> None:
        self.seen.append(name)
        if self.plan is not None and self.plan[:2] == (name, self.seen.count(name)):
            if self.plan[2]:
                effect()
            raise self.error()
        effect()


class FaultyTiles:
    """A TileStore that passes its effects through the faults."""

    def __init__(self, inner: TileStore, name: str, faults: Faults) -> None:
        self._inner, self._name, self._faults = inner, name, faults

    def read(self, path: str) -> bytes | None:
        return self._inner.read(path)

    def write(self, path: str, content: bytes) -> None:
        kind = "checkpoint" if path == "checkpoint" else f"{self._name} write"
        self._faults.pass_through(kind, lambda: self._inner.write(path, content))

    def sync(self) -> None:
        self._faults.pass_through(f"{self._name} sync", self._inner.sync)

    def remove(self, path: str) -> None:
        self._faults.pass_through(f"{self._name} remove", lambda: self._inner.remove(path))


class FaultyMark(MarkFile):
    """A mark that passes its effects through the faults."""

    faults: Faults

    def raise_to(self, mark: Mark, *, durable: bool = True) -> None:
        self.faults.pass_through("mark", lambda: super(FaultyMark, self).raise_to(mark, durable=durable))


class LogRoom:
    """The places of one log, which outlive any number of loggers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.public = directory / "public"
        self.journal = directory / "journal.sqlite3"
        self.mark = directory / "mark"
        self.public.mkdir()
        MarkFile.create(self.mark, Mark(0, EMPTY_ROOT))
        self.faults = Faults()
        self.notes: list[str] = []
        self.witnesses: list[tuple[Verifier, str]] = []
        self.quorum = 0
        self.witness_seconds = 20.0

    def logger(self) -> Logger:
        """Start a logger here."""
        staging = Staging(self.journal)
        staging.database.commit = self._commit  # type: ignore[method-assign]
        mark = FaultyMark(self.mark)
        mark.faults = self.faults
        shelves = Shelves(
            staging,
            FaultyTiles(DirectoryTileStore(self.public, durable=False), "tiles", self.faults),
            FaultyTiles(DurableTiles(self.public), "archive", self.faults),
            mark,
            Witnesses(self.witnesses, self.quorum, self.witness_seconds, self.notes.append) if self.witnesses else None,
        )
        return Logger(ORIGIN, KEY, shelves, note=self.notes.append)

    def _commit(self, connection: sqlite3.Connection) -> None:
        def commit() -> None:
            connection.execute("COMMIT")

        self.faults.pass_through("journal", commit)

    def check(self) -> int:
        """Have the whole log recomputed by the auditor's code; return its size."""
        store = DirectoryTileStore(self.public)
        note = store.read("checkpoint")
        assert note is not None
        findings = [f for f in fsck(store.read, note, VERIFIER, store.widths) if f.severity == "problem"]
        assert findings == []
        return open_checkpoint(note, VERIFIER).size


def intent(name: object, tag: str = "release") -> IntentSubmission:
    """An intent that is told from others by its name."""
    return IntentSubmission(
        verb="sign",
        key_tag=hashlib.sha256(tag.encode()).hexdigest(),
        uses=1,
        commitment=hashlib.sha256(f"{name}".encode()).digest(),
    )


def completion(of: int, name: object = "done", tag: str = "release") -> CompletionSubmission:
    """A completion of the intent at an index."""
    return CompletionSubmission(
        key_tag=hashlib.sha256(tag.encode()).hexdigest(),
        intent=of,
        outcome="signed",
        commitment=hashlib.sha256(f"{name}".encode()).digest(),
    )


def statement(name: object, about: str = "evidence") -> StatementSubmission:
    """A statement that is told from others by its name."""
    return StatementSubmission(about=about, commitment=hashlib.sha256(f"{name}".encode()).digest())


def client(logger: Logger) -> LoggerClient:
    """Ask a logger without a socket."""
    return LoggerClient(logger.handle)


def verified(answer: Appended, submissions: Sequence[Submission]) -> Appended:
    """Check an answer as the signer and the receipt's reader do: head, leaves, paths."""
    head = open_checkpoint(answer.checkpoint, VERIFIER)
    assert (head.size, len(answer.items)) == (answer.size, len(submissions))
    for logged, submission in zip(answer.items, submissions, strict=True):
        entry = submission.entry(logged.key_seq) if isinstance(submission, IntentSubmission) else submission.entry()
        assert verify_inclusion(leaf_hash(encode(entry)), logged.index, head.size, logged.path, head.root)
    return answer
