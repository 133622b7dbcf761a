"""An older backup is put back, of one part or of several: who notices, in which words, and whether anything forks."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.crash.clients import Given
from tests.crash.invariants import Outsider
from tests.world import Ledger, World

from privyseal.errors import PrivySealError
from privyseal.terms.requests import Dossier, State
from privyseal.tlog.checkpoint import open_checkpoint

PARTS: dict[str, tuple[str, ...]] = {
    "records": ("records.db",),
    "journal": ("logger/journal.sqlite3",),
    "mark": ("marks/log.mark",),
    "tiles": ("log",),
    "signer": ("signer/journal.sqlite3",),
    "signer's mark": ("marks/signer.mark",),
}


@dataclass
class Restored:
    """What became of a service after an older state was put back."""

    served: int
    """New clients that got a signature."""
    said: set[str]
    """The sentences of those who did not."""
    again: int
    """Clients who had an answer from after the backup, asked again under their key, and were given another one."""
    forked: set[int]
    """Sizes of which two roots were published."""
    problem: str
    """What the outsider objects to in the log as it stands, and in all receipts; empty if nothing."""


def put_back(founded: Path, directory: Path, parts: tuple[str, ...]) -> Restored:
    """Sign, back up, sign on, put these parts back, start, and let new and known clients ask."""
    world = World(founded, directory)
    before = [world.client(number) for number in range(3)]
    world.ask(before)
    world.stop()
    for part in parts:
        for name in PARTS[part]:
            _copy(directory / name, directory / "backup" / name)
    world._start()
    known: dict[int, set[bytes]] = {}
    since = [world.client(number) for number in range(10, 14)]
    for each in since:
        world.ask([each])
        _note(world, known)
    assert all(each.given for each in since)
    given = _given(world.ledgers)
    world.stop()
    for part in parts:
        for name in PARTS[part]:
            _remove(directory / name)
            _copy(directory / "backup" / name, directory / name)
    world._start()
    return _look(world, since, given, known)


def _look(world: World, since: list[Ledger], given: list[Given], known: dict[int, set[bytes]]) -> Restored:
    fresh = [world.client(number) for number in range(20, 24)]
    said, served = set(), 0
    for each in fresh:
        for outcome in world._ask_safely([each]):
            if isinstance(outcome, PrivySealError):
                said.add(outcome.detail)
            else:
                served += outcome.state is State.RELEASED
        _note(world, known)
    again = 0
    for each in since:
        asked = Ledger(each.request, list(each.keys))
        for outcome in world._ask_safely([asked]):
            released = isinstance(outcome, Dossier) and outcome.state is State.RELEASED
            again += released and asked.given != each.given
            if isinstance(outcome, PrivySealError):
                said.add(outcome.detail)
        _note(world, known)
    world.stop()
    return Restored(served, said, again, {s for s, roots in known.items() if len(roots) > 1}, _objection(world, given))


def _objection(world: World, given: list[Given]) -> str:
    outsider = Outsider(world.directory)
    try:
        outsider.check(given)
    except AssertionError as error:
        return str(error).splitlines()[0]
    return ""


def _note(world: World, known: dict[int, set[bytes]]) -> None:
    path = world.directory / "log" / "checkpoint"
    head = open_checkpoint(path.read_bytes(), world.policy().logs[0].key)
    known.setdefault(head.size, set()).add(head.root)


def _given(ledgers: list[Ledger]) -> list[Given]:
    return [Given(key, one.request.canonical(), *answer) for one in ledgers for key, answer in one.given.items()]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        return
    for each in path.parent.glob(f"{path.name}*"):  # with SQLite's own journal files
        each.unlink()
