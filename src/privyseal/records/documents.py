"""Documents taken in as evidence, each a file named by its SHA-256. Nothing of one is ever whole in memory.

A document comes as a draft beside the others and gets its name when its digest was taken from the disk and is the one
that was announced; so whatever has a name here is what its name says, and the same document twice is one file. Whose
it is, of what kind and for what, is said in statements (``statements.py``), and a document without one is nobody's
evidence: it is only kept.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from privyseal.errors import BadInput, NotFound, TooLarge, Unavailable
from privyseal.records.spool import digest_of, make_folders, refusals, sync_folder

T = TypeVar("T")

LARGEST_DOCUMENT = 100 << 20
"""Octets of one document: what GitHub takes as one file of a repository. A scanned audit report has about ten."""
SPARE = 256 << 20
"""Octets of the disk that documents leave free: on the same one the log and the records may be written."""
DRAFT_SECONDS = 24 * 3600.0
"""After which what is left of a document that never came whole is swept away."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Documents:
    """One directory of documents. Failures of the disk are Unavailable, and safe to repeat."""

    def __init__(self, directory: Path, largest: int = LARGEST_DOCUMENT, spare: int = SPARE) -> None:
        """Use ``directory``, which is made when the first document comes."""
        self.directory = directory
        self.largest = largest
        self.spare = spare

    def write(self, name: str, effect: Callable[[], T]) -> T:
        """Carry out a write: the one place through which each passes, so that tests can break it."""
        with refusals(name):
            return effect()

    def path(self, sha256: str) -> Path:
        """Return where a document is or would be; NotFound for what is no digest."""
        if _DIGEST.fullmatch(sha256) is None:
            raise NotFound("A document is named by its SHA-256: 64 lower-case hex digits.")
        return self.directory / sha256[:2] / sha256

    def size(self, sha256: str) -> int | None:
        """Return how many octets a document has; None where it is not here."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def draft(self, sha256: str) -> Draft:
        """Begin to take in the document with this digest; Unavailable where the disk has no room for the largest."""
        path = self.path(sha256)
        self.write("folder", lambda: make_folders(self.directory, path.parent))
        disk = os.statvfs(self.directory)
        if disk.f_bavail * disk.f_frsize < self.largest + self.spare:
            raise Unavailable("The service's disk has no room for another document.", hint="nothing was kept")
        self._sweep(path.parent)
        return Draft(self, path)

    def open(self, sha256: str) -> int:
        """Open a document for reading and return its file descriptor; NotFound where it is not here."""
        path = self.path(sha256)
        try:
            with refusals("read"):
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except Unavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise NotFound(f"The document {sha256[:16]}... is not here.") from None
            raise

    def _sweep(self, folder: Path) -> None:
        for left in folder.glob(".*.draft"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > DRAFT_SECONDS:
                    left.unlink()


class Draft:
    """A document that is coming in; it is nothing until :meth:`keep`. One thread at a time uses it."""

    def __init__(self, documents: Documents, path: Path) -> None:
        """Make the draft's file beside the name that it will have."""
        self._documents = documents
        self._path = path
        self._draft = path.with_name(f".{secrets.token_hex(8)}.draft")
        self.size = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = documents.write("open", lambda: os.open(self._draft, flags, 0o600))

    def __enter__(self) -> Self:
        """Return the draft itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it away, unless it was kept."""
        self.close()

    def append(self, octets: bytes | bytearray | memoryview) -> None:
        """Write octets behind what is there; TooLarge, and nothing is written, where a document cannot be so large."""
        if self.size + len(octets) > self._documents.largest:
            raise TooLarge(f"The document has more than the {self._documents.largest} octets that one may have.")
        rest = memoryview(octets)
        while rest:
            count = self._documents.write("append", lambda rest=rest: os.pwrite(self._fd, rest, self.size))  # type: ignore[misc]
            self.size += count
            rest = rest[count:]

    def keep(self) -> None:
        """Wait for the disk and give it its name; BadInput where its digest, as the disk has it, is another."""
        self._documents.write("settle", lambda: os.fsync(self._fd))
        with refusals("read"):
            found = digest_of(self._fd)
        if found != self._path.name:
            raise BadInput(
                f"What came has the SHA-256 {found[:16]}..., and {self._path.name[:16]}... was announced.",
                hint="did the file change while it was sent? Send it again",
            )

        def name() -> None:
            self._draft.replace(self._path)
            sync_folder(self._path.parent)
            sync_folder(self._path.parent.parent)

        self._documents.write("name", name)

    def close(self) -> None:
        """Close the file, and delete the draft where it was not kept; twice does no harm."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self._draft.unlink(missing_ok=True)
