"""The stamper's books are put back from a backup: numbered above what the log has, and no time before one given.

A copy of the books does not know what came after it. Each batch and each entry of the diary that was stated since has
an entry in the log, which commits to what it says and does not tell; only the records knew. But no number can be above
the count of the log's entries, so the books go on above that (``older_books.py``). Which entries since the copy are
about tokens is told to whoever restores. Serial numbers are random and need no such care.

The mark of the last second given is raised to the newest of what is known: the mark in the backup, one on another disk
that outlived the machine, the last token in the books, and the moment at which the backup was made.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from privyseal.strongroom import older_books
from privyseal.strongroom.backing_up import House
from privyseal.strongroom.durable import sync_directory
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.messages_of_stamps import LostLeaves
from privyseal.strongroom.stamps import Stamps
from privyseal.tlog.entry import Statement, decode
from privyseal.tlog.log import read_bundle
from privyseal.tlog.tiles import TILE_WIDTH, Read, width_at
from privyseal.tlog.tilestore import DirectoryTileStore

TOKENS = "timestamp"
"""What the log says that statements of the stamper's batches are about."""


class BooksBrought(Struct, frozen=True):
    """What became of the stamper's books."""

    lost: LostLeaves | None
    """What they lack; None where the backup has no books, so that new ones are begun, or none were put back."""
    outlived: bool = False
    """Whether those on another disk outlived the machine, and are used as they are."""
    stated: tuple[int, ...] = ()
    """Entries of the log since the copy that are about tokens: their leaves are lost, or they are in the books."""


def bring_books_forward(house: House, size: int, made: datetime, now: datetime) -> BooksBrought:
    """Let the copy of the books go on above a log of this size, and raise the mark of time; no stamper runs meanwhile.

    ``made`` is when the backup was made.
    """
    path = _placed(house, house.stamper.stamps)
    given = int(made.timestamp())
    brought = BooksBrought(None)
    if path.exists():
        books = Stamps(path)
        try:
            copied = older_books.copied(books.database)
            if copied is None:
                brought = BooksBrought(None, outlived=True)
            else:
                found = stated(DirectoryTileStore(house.public).read, min(copied.size, size), size)
                brought = BooksBrought(books.put_back(size, now), stated=found)
            if last := books.newest():
                given = max(given, int(datetime.strptime(last, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()))
        finally:
            books.close()
    _raise_mark(house, given)
    return brought


def stated(read: Read, since: int, size: int) -> tuple[int, ...]:
    """Return the log's entries from ``since`` on that are about tokens, by the hour or about their key."""
    found = []
    for bundle in range(since // TILE_WIDTH, -(-size // TILE_WIDTH)):
        for index, octets in enumerate(read_bundle(read, bundle, width_at(size, 0, bundle)), bundle * TILE_WIDTH):
            entry = decode(octets)
            if index >= since and isinstance(entry, Statement) and entry.about == TOKENS:
                found.append(index)
    return tuple(found)


def _placed(house: House, name: str) -> Path:
    """Return where the settings want a file of the stamper's; a backup has it in the room, by its last name alone."""
    wanted, came = house.directory / "stamper" / name, house.directory / "stamper" / Path(name).name
    if came.exists() and not wanted.exists():
        wanted.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.move(came, wanted)
        with wanted.open("rb") as file:
            os.fsync(file.fileno())
        sync_directory(wanted.parent)
    if came.exists() and not came.samefile(wanted):
        came.unlink()  # the one on another disk outlived the machine, and is newer than any copy
    return wanted


def _raise_mark(house: House, given: int) -> None:
    path = _placed(house, house.stamper.mark)
    if not path.exists():
        MarkFile.create(path, Mark(given, bytes(32)))
        return
    file = MarkFile(path)
    try:
        if given > file.read().number:
            file.raise_to(Mark(given, bytes(32)))
    finally:
        file.close()
