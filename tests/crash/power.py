"""Power cuts: the real statements and files of a service at work, cut after every operation, and what is found then.

``python -m tests.crash.power [IMAGES]`` looks at many more of them than the suite does.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy
from tests.crash.disk import Disk, Image, Mode, Trace, recording
from tests.crash.invariants import roots_of
from tests.crash.recorded_sqlite import Module, digest
from tests.world import World, found

from privyseal.errors import LogRolledBack, LogUnavailable
from privyseal.strongroom import rooms
from privyseal.strongroom.client import LoggerClient
from privyseal.strongroom.messages import Answer, Appended, Question
from privyseal.tlog.audit import fsck
from privyseal.tlog.entry import IntentSubmission
from privyseal.tlog.merkle import leaf_hash
from privyseal.tlog.policy import parse_policy
from privyseal.tlog.tiles import decode_bundle, entries_path
from privyseal.tlog.tilestore import DirectoryTileStore

DATABASES = ("records.db", "logger/journal.sqlite3", "signer/journal.sqlite3")
ROUNDS = (1, 3, 2, 4, 126, 1, 2, 1)
"""Clients that ask at once, one batch after the other: the large one fills a tile."""


@dataclass
class Run:
    """A service at work: all it did to its files, and the state of each database after each commit."""

    trace: Trace
    states: dict[str, list[str]]


@dataclass
class Found:
    """What was found in the images that were looked at."""

    images: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    flawed: Counter[str] = field(default_factory=Counter)
    extended: int = 0
    operations: int = 0

    def __str__(self) -> str:
        return (
            f"{self.images} images of {self.operations} operations, lost {dict(self.lost) or 0}, "
            f"{self.extended} logs went on, refused {dict(self.refused) or 0}, "
            f"flaws {dict(self.flawed) or 0}"
        )


def work(directory: Path, founded: Path, synchronous: str = "FULL", clients: tuple[int, ...] = ROUNDS) -> Run:
    """Let a whole service sign in ``directory``, and note what it does to the disk."""
    shutil.copytree(founded, directory)
    for settings in directory.glob("*/*.toml"):
        settings.write_text(settings.read_text().replace(str(founded), str(directory)))
    trace = Trace(directory)
    module = Module(trace, synchronous)
    engine = partial(sqlalchemy.create_engine, module=module)
    with (
        mock.patch("privyseal.strongroom.durable.sqlite3", module),
        mock.patch("privyseal.records.sqlite.create_engine", engine),
        mock.patch("privyseal.strongroom.logger.MOST_UNSETTLED", 256),  # a tile is settled with more batches after it
        mock.patch("shutil.copytree"),  # the world shall not copy: it works here, where everything is noted
        recording(trace),
    ):
        world = World(directory, directory)
        world._rooms["logger"].handle = _told(trace, world._rooms["logger"].handle)
        number = 0
        for count in clients:
            asking = [world.client(number + each, timestamp=count < 5) for each in range(count)]
            number += count
            world.ask(asking)
        world.stop()
    assert all(ledger.given for ledger in world.ledgers), "the service did not sign"
    states = {name: module.states[str(directory / name)] for name in DATABASES}
    return Run(trace, states)


def _told(trace: Trace, handle: Callable[[Question], Answer]) -> Callable[[Question], Answer]:
    """Note every head and place that the logger gives out."""

    def both(question: Question) -> Answer:
        answer = handle(question)
        if isinstance(answer, Appended):
            trace.acknowledge("head", answer.checkpoint)
        return answer

    return both


def look(run: Run, image: Image, place: Path, found: Found) -> None:
    """Start again from an image: nothing that was acknowledged may be missing."""
    found.images += 1
    image.write(place)
    try:
        for name in DATABASES:
            if wrong := _wrong_with(place / name, run.states[name], image.acknowledged.get(f"commit {name}", [])):
                found.lost[f"{wrong}: {name}"] += 1
        _go_on(place, image, found)
    finally:
        shutil.rmtree(place)


def _wrong_with(path: Path, states: list[str], acknowledged: list[Any]) -> str:
    """Say what is wrong with a database: it must be as after the last acknowledged commit, or the one under way."""
    if not acknowledged:
        return ""
    allowed = states[acknowledged[-1] : acknowledged[-1] + 2]
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return "corrupt"
            return "" if digest(lambda statement: connection.execute(statement).fetchall()) in allowed else "lost"
        finally:
            connection.close()
    except sqlite3.Error as error:
        return f"unreadable ({error})"


def _go_on(place: Path, image: Image, found: Found) -> None:
    """Start the real logger: it extends every head that it ever gave out, or refuses in its sentence."""
    room: Any = None
    try:
        room = rooms.ROOMS["logger"](place / "logger/logger.toml", lambda: datetime.now(UTC)).room
        log = LoggerClient(room.handle)
        log.append((_SOMETHING,), 0)
        leaves = _leaves(place / "log", log.health().size)
        heads = [_size_and_root(each) for each in image.acknowledged.get("head", [])]
        true = roots_of(leaves, {size for size, _ in heads})
        if any(true.get(size) != root for size, root in heads):
            found.lost["forked: log"] += 1
        else:
            found.extended += 1
        found.flawed.update(_flaws(place))
    except LogRolledBack as error:
        found.refused[error.detail.split("entries")[0][:40]] += 1
    except LogUnavailable as error:
        found.refused[error.detail[:60]] += 1
    finally:
        if room is not None:
            room.close()


def _flaws(place: Path) -> set[str]:
    """Return what ``log fsck`` would complain of."""
    store = DirectoryTileStore(place / "log")
    note = store.read("checkpoint")
    assert note is not None
    log = parse_policy((place / "log-policy").read_text()).logs[0].key
    return {f"{each.severity} {each.code}" for each in fsck(store.read, note, log, store.widths)}


_SOMETHING = IntentSubmission(verb="sign", key_tag="0" * 64, uses=1, commitment=b"after the power came back".ljust(32))


def _size_and_root(note: bytes) -> tuple[int, bytes]:
    import base64

    _, size, root, *_ = note.split(b"\n")
    return int(size), base64.b64decode(root)


def _leaves(log: Path, size: int) -> list[bytes]:
    leaves: list[bytes] = []
    while len(leaves) < size:
        width = min(256, size - len(leaves))
        entries = decode_bundle((log / entries_path(len(leaves) // 256, width)).read_bytes(), width)
        leaves += map(leaf_hash, entries)
    return leaves


def cuts(run: Run, images: int | None, seed: int) -> list[tuple[int, Mode, int]]:
    """Choose where to cut: everywhere in three ways, or a sample of that; the last number is the tear's own seed."""
    modes: tuple[Mode, ...] = ("drop", "torn", "torn")
    every = [(at, mode, seed + n) for at in range(1, len(run.trace.ops) + 1) for n, mode in enumerate(modes)]
    return every if images is None else sorted(random.Random(seed).sample(every, min(images, len(every))))


def campaign(folder: Path, images: int | None, seed: int, synchronous: str = "FULL") -> Found:
    """Cut the power of a service at work so many times, everywhere if None, and return what was found."""
    founded = folder / "founded"
    if not founded.exists():
        found(founded)
    run = work(folder / f"work-{synchronous}-{seed}", founded, synchronous)
    seen = Found(operations=len(run.trace.ops))
    fast = Path(tempfile.mkdtemp(prefix="cut-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        disk = Disk(run.trace)
        for at, mode, tear in cuts(run, images, seed):
            disk.advance(at)
            look(run, disk.cut(mode, random.Random(tear * 1_000_003 + at)), fast / "image", seen)
    finally:
        shutil.rmtree(fast)
    return seen


def main(images: int) -> None:
    """Run until about so many images were looked at, each run with tears of its own, and print the figures."""
    total, seed = 0, 1
    while total < images:
        with tempfile.TemporaryDirectory(prefix="power-") as folder:
            seen = campaign(Path(folder), None, seed)
        total, seed = total + seen.images, seed + 1
        print(f"seed {seed - 1}: {seen}; {total} so far", flush=True)
        assert not seen.lost


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
