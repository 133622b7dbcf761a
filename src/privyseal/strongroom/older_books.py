"""Books of a stamper that are older than what the log has of them: they go on above it, and say what they lack.

Whoever puts a copy of the books back (``restoring_books.py``, or by hand) has a file that ends at some batch and some
entry, while later ones of the same numbers stand in the log. A second batch of a number would look like a second
history, so nothing is numbered anew that may be there already:

* what is known to be stated as it stands in the copy keeps its number;
* everything else in it moves above every number that can have been stated, in its order, and is stated from there;
* the numbers in between are left out, which an entry of the diary says, so that the log says it itself;
* a token of the time of which leaves are lost is answered with one sentence.

The functions here are rules on the file and nothing else; ``stamps.py`` holds the lock around them.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import Struct

from privyseal.strongroom.durable import Database
from privyseal.strongroom.messages_of_stamps import BooksAsked, DiaryEntry, LostLeaves

SCHEMA = """
CREATE TABLE IF NOT EXISTS told (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1), entry INTEGER NOT NULL, batch INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS gaps (
  number INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
  entry INTEGER NOT NULL, last_entry INTEGER NOT NULL, since TEXT NOT NULL, until TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS copied (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1), at TEXT NOT NULL, size INTEGER NOT NULL);
"""
"""``told``: up to where the service stated what is in these books, word for word. ``gaps``: numbers that are not in
them, and between which times leaves may be lost. ``copied``: only in a copy, when it was made and how long the log was.
"""
HIGHEST = 1 << 48
"""Up to which number the stamper takes the service's word for what was stated. A log would take nine years to it, at a
million entries a second; and whoever has taken over the service cannot use up the numbers (statements have 53 bits)."""
MOST_SHOWN = 16
"""Times that the books were put back which the health tells of, the last ones."""
NUMBER_OF_NEXT = "SELECT max((SELECT ifnull(max(number), 0) FROM batches), (SELECT ifnull(max(last), 0) FROM gaps)) + 1"
"""The number of the next batch: above every one that is there, or that was."""


class Ends(NamedTuple):
    """Up to which entry of the diary, and up to which batch."""

    entry: int
    batch: int


class Copied(Struct, frozen=True):
    """When a copy of the books was begun, and how many entries the published log had before."""

    at: datetime
    size: int


def note_copied(connection: sqlite3.Connection, copied: Copied) -> None:
    """Write into a copy how old it is."""
    connection.executescript(SCHEMA)
    connection.execute("INSERT OR REPLACE INTO copied VALUES (1, ?, ?)", (copied.at.isoformat(), copied.size))
    connection.commit()


def copied(database: Database) -> Copied | None:
    """Return how old this copy is; None where it is none, or is in use again."""
    for at, size in database.read("SELECT at, size FROM copied"):
        return Copied(datetime.fromisoformat(at), size)
    return None


def lost(database: Database) -> tuple[LostLeaves, ...]:
    """Return what these books lack, the oldest first."""
    rows = database.read("SELECT first, last, entry, last_entry, since, until FROM gaps ORDER BY number")
    return tuple(LostLeaves(*row) for row in rows)


def fit(database: Database, stated: BooksAsked) -> tuple[bool, bool]:
    """Tell whether entry and batch that were stated last are these books' own, or are known to be missing in them."""
    entry = stated.entry == 0 or _missing(database, "entry", "last_entry", stated.entry)
    batch = stated.batch == 0 or _missing(database, "first", "last", stated.batch)
    for at, *words in database.read("SELECT at, what, detail FROM diary WHERE number = ?", (stated.entry,)):
        own = DiaryEntry(stated.entry, datetime.fromisoformat(at), *words)
        entry = stated.noted is None or stated.noted == own
    for (root,) in database.read("SELECT root FROM batches WHERE number = ?", (stated.batch,)):
        batch = root is not None and (not stated.root or root == stated.root)
    return entry, batch


def _missing(database: Database, first: str, last: str, number: int) -> bool:
    asked = f"SELECT 1 FROM gaps WHERE {first} <= ? AND {last} >= ?"  # noqa: S608 - names of columns, from above
    return bool(database.read(asked, (number, number)))


def told(database: Database) -> Ends:
    """Return up to where these books were stated as they are."""
    rows = database.read("SELECT entry, batch FROM told")
    return Ends(*rows[0]) if rows else Ends(0, 0)


def note_told(database: Database, stated: BooksAsked) -> None:
    """Remember up to where they were stated; a slower node knows less, and changes nothing."""
    before = told(database)
    now = Ends(max(before.entry, stated.entry), max(before.batch, stated.batch))
    if now != before:
        with database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO told VALUES (1, ?, ?)", now)


def go_on(connection: sqlite3.Connection, after: Ends, above: Ends, since: str, now: datetime) -> LostLeaves:
    """Move what stands behind ``after`` above ``above``, and write down what is missing in between, and since when."""
    numbers = connection.execute("SELECT number FROM batches WHERE number > ? ORDER BY number", (after.batch,))
    moves = list(enumerate((number for (number,) in numbers.fetchall()), above.batch + 1))
    for place, number in moves:  # below zero first: nothing may come to stand on another one
        _renumber(connection, number, -place)
    for place, _ in moves:
        _renumber(connection, -place, place)
    entries = connection.execute("SELECT number FROM diary WHERE number > ? ORDER BY number", (after.entry,))
    moved = list(enumerate((number for (number,) in entries.fetchall()), above.entry + 2))  # one says that
    connection.executemany("UPDATE diary SET number = ? WHERE number = ?", [(-place, each) for place, each in moved])
    connection.execute("UPDATE diary SET number = -number WHERE number < 0")
    until = f"{now.astimezone(UTC):%Y%m%d%H%M%SZ}"
    gap = LostLeaves(after.batch + 1, above.batch, after.entry + 1, above.entry, since, until)
    row = (gap.first, gap.last, gap.entry, gap.last_entry, gap.since, gap.until)
    connection.execute("INSERT INTO gaps (first, last, entry, last_entry, since, until) VALUES (?, ?, ?, ?, ?, ?)", row)
    when = now.astimezone(UTC).isoformat(timespec="seconds")
    connection.execute(
        "INSERT INTO diary (number, at, what, detail) VALUES (?, ?, 'restored', ?)",
        (above.entry + 1, when, f"The books were put back. {said(gap)}"),
    )
    connection.execute("INSERT OR REPLACE INTO told VALUES (1, ?, ?)", above)
    connection.execute("DELETE FROM copied")
    return gap


def _renumber(connection: sqlite3.Connection, number: int, becomes: int) -> None:
    connection.execute("UPDATE batches SET number = ? WHERE number = ?", (becomes, number))
    connection.execute("UPDATE leaves SET batch = ? WHERE batch = ?", (becomes, number))
    connection.execute("UPDATE logged SET batch = ? WHERE batch = ?", (becomes, number))


def said(gap: LostLeaves) -> str:
    """Say what the books lack."""
    batches, entries = _numbers(gap.first, gap.last), _numbers(gap.entry, gap.last_entry)
    left_out = [f"{what} {which}" for what, which in (("batches", batches), ("entries", entries)) if which]
    more = f"; numbers left out: {', '.join(left_out)}" if left_out else ""
    return f"Leaves of tokens given from {gap.since} to {gap.until} may be lost{more}."


def _numbers(first: int, last: int) -> str:
    return f"{first} to {last}" if first < last else f"{first}" if first == last else ""
