"""A mark that only rises: the largest head that was signed, or the latest time that was stamped, in a file of
its own.

The file stands on another path than what it guards, so that whoever puts that back to an older state does not
put the mark back with it. It holds two records, a page apart, written by turns: a power cut can tear the one
being written, never the other, whose mark is the one that was acknowledged.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

from msgspec import Struct

from privyseal.errors import LogRolledBack, LogUnavailable
from privyseal.strongroom.durable import is_sync_failure, write_whole

_MAGIC = b"privyseal mark 1"
_RECORD = struct.Struct(">16sQ32s32s")  # magic, number, digest, SHA-256 of what stands before it
_PAGE = 4096


class Mark(Struct, frozen=True, order=True):
    """A number that only rises, and the 32 octets that belong to it, such as a tree's size and root."""

    number: int
    digest: bytes


class MarkFile:
    """The file of one mark; one thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        """Open an existing mark; LogRolledBack if it is missing, since only it tells an old state."""
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise LogRolledBack(
                f"The mark {path} is missing, without which an older state cannot be told from the newest.",
                hint="restore it; if it is lost, compare the log with what the signer and the witnesses have seen",
            ) from None
        self.lost = False

    @staticmethod
    def create(path: Path, mark: Mark) -> None:
        """Make the file of a new mark; both records hold it."""
        record = _encoded(mark)
        write_whole(path, record.ljust(_PAGE, b"\0") + record.ljust(_PAGE, b"\0"))

    def read(self) -> Mark:
        """Return the mark; LogRolledBack if neither record is whole."""
        marks = [mark for mark in self._slots() if mark is not None]
        if not marks:
            raise LogRolledBack(f"The mark {self._path} is destroyed.", hint="restore it, as if it were missing")
        return max(marks)

    def raise_to(self, mark: Mark, *, durable: bool = True) -> None:
        """Write a higher mark, with ``durable`` on the disk when this returns; LogUnavailable if it may not be."""
        if self.lost:
            raise LogUnavailable(f"A sync of the mark {self._path} failed before.", hint="restart this process")
        slots = self._slots()
        turn = 0 if slots[0] is None or (slots[1] is not None and slots[0] < slots[1]) else 1
        try:
            os.pwrite(self._descriptor, _encoded(mark), turn * _PAGE)
        except OSError as error:
            self.lost = is_sync_failure(error)
            raise self._unwritten(error) from None
        if durable:
            try:
                os.fdatasync(self._descriptor)
            except OSError as error:
                self.lost = True  # whatever the reason: the kernel may have dropped the page and will not say so again
                raise self._unwritten(error) from None

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _unwritten(self, error: OSError) -> LogUnavailable:
        return LogUnavailable(f"The mark {self._path} could not be written: {error.strerror}.")

    def _slots(self) -> list[Mark | None]:
        return [_decoded(os.pread(self._descriptor, _RECORD.size, turn * _PAGE)) for turn in (0, 1)]


def _encoded(mark: Mark) -> bytes:
    content = _RECORD.pack(_MAGIC, mark.number, mark.digest, bytes(32))[:-32]
    return content + hashlib.sha256(content).digest()


def _decoded(record: bytes) -> Mark | None:
    if len(record) != _RECORD.size or hashlib.sha256(record[:-32]).digest() != record[-32:]:
        return None
    magic, number, digest, _ = _RECORD.unpack(record)
    return Mark(number, digest) if magic == _MAGIC else None
