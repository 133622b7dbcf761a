"""Does the log slow down as it grows: append, proof and receipt at a million entries against a thousand."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.harness import Row
from privyseal.terms.canonical import canonical_json
from privyseal.tlog.checkpoint import Checkpoint, sign_checkpoint
from privyseal.tlog.entry import Completed, Intent, commit, encode
from privyseal.tlog.log import EMPTY, State, append
from privyseal.tlog.note import KeyType, Signer, Verifier
from privyseal.tlog.proof import CompletionOpening, IntentOpening, build_receipt
from privyseal.tlog.reader import Reader
from privyseal.tlog.tilestore import DirectoryTileStore

SMALL, LARGE, BATCH = 1_000, 1_000_000, 250
SAMPLES = 40
"""Batches appended, and proofs made, at each size for one round."""


def _entries(start: int, count: int) -> list[bytes]:
    tag = "ab" * 32
    return [
        encode(Intent(verb="sign", key_tag=tag, key_seq=n, uses=1, commitment=hashlib.sha256(b"%d" % n).digest()))
        for n in range(start, start + count)
    ]


class _Log:
    """A log on the disk, grown to a size."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.store = DirectoryTileStore(folder, durable=False)
        self.reader = Reader(self.store.read)
        self.state: State = EMPTY
        key = Ed25519PrivateKey.generate()
        verifier = Verifier("bench.invalid/log", KeyType.ED25519, key.public_key().public_bytes_raw())
        self.signer = Signer(verifier, key.sign)

    def add(self, entries: list[bytes]) -> None:
        self.state, files, _ = append(self.state, entries)
        for path, content in files:
            self.store.write(path, content)

    def grow(self, size: int) -> None:
        while self.state.size < size:
            self.add(_entries(self.state.size, min(4096, size - self.state.size)))

    def checkpoint(self) -> bytes:
        head = self.state.head
        return sign_checkpoint(Checkpoint("bench.invalid/log", head.size, head.root), self.signer)

    def prove(self) -> None:
        """Prove the newest entries as the logger does: with a reader that it keeps."""
        size = self.state.size
        for index in range(size - SAMPLES, size):
            self.reader.inclusion(index, size)

    def prove_anything(self) -> None:
        """Prove entries all over the log, nothing remembered from one to the next."""
        size = self.state.size
        for index in range(0, size - size % SAMPLES, size // SAMPLES):
            Reader(self.store.read).inclusion(index, size)

    def receipts(self) -> None:
        """Build receipts for the newest entries, each with both of its proofs."""
        size, note = self.state.size, self.checkpoint()
        salt, request = bytes(32), bytes(700)
        for index in range(size - SAMPLES, size):
            digest = hashlib.sha256(request).hexdigest()
            completed = Completed(intent=index - 1, request=digest, signatures=(digest,), blobs=(digest,), tokens=())
            payload = canonical_json(completed)
            commit(salt, payload)
            build_receipt(
                intent=IntentOpening(
                    index=index - 1,
                    verb="sign",
                    key_tag="ab" * 32,
                    key_seq=index - 1,
                    uses=1,
                    salt=salt,
                    payload=request,
                    path=self.reader.inclusion(index - 1, size),
                ),
                completion=CompletionOpening(salt=salt, payload=payload),
                index=index,
                path=self.reader.inclusion(index, size),
                checkpoint=note,
            )


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def growth(folder: Path, rounds: int) -> list[Row]:
    """Append 250 entries at a time, prove and build receipts, at both sizes in turn."""
    large = _Log(folder / "log-large")
    large.grow(LARGE)
    rows = []
    works: dict[str, tuple[int, Callable[[_Log], None]]] = {
        "append": (BATCH, lambda log: log.add(_entries(log.state.size, BATCH))),
        "proof of a new entry": (SAMPLES, _Log.prove),
        "receipt of a new entry": (SAMPLES, _Log.receipts),
        "proof of any entry, cold": (SAMPLES, _Log.prove_anything),
    }
    for name, (per, work) in works.items():
        before, after, ratios = [], [], []
        for _ in range(rounds):
            small = _Log(folder / f"log-{len(rows)}-{len(ratios)}")  # a fresh one, so that it stays small
            small.grow(SMALL)
            for log in (small, large):
                log.add(_entries(log.state.size, BATCH))  # what is asked about next has just been logged
            first = _time(partial(work, small)) / per * 1e6
            second = _time(partial(work, large)) / per * 1e6
            before.append(first)
            after.append(second)
            ratios.append(second / first)
        rows.append(
            Row(
                f"log: {name}, at 10^6 / at 10^3",
                statistics.median(after),
                statistics.median(before),
                statistics.median(ratios),
                "us",
                "2 (flat)",
                "lower",
                rounds=tuple(ratios),
            )
        )
    return rows
