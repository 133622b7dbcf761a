"""The file of a backup: what it holds in words, signed by the log's key, and the octets, each part under age.

    privyseal/backup/v1 <octets of the note> <octets of the manifest>\\n
    signed note (c2sp.org/signed-note) over the manifest's SHA-256, by the log's key
    manifest, canonical JSON
    the parts one after another (age-encryption.org/v1), each in its length and with its SHA-256 in the manifest

The log's public key is what everybody who verifies has, so whoever restores does not believe the backup about itself:
a file that somebody else made, or in which one bit is another one, is refused before anything is decrypted. The text
that is signed begins with a line that is no log's name, so it can be taken for no checkpoint.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from msgspec import Meta, Struct

from privyseal.errors import BadInput, VerificationFailed
from privyseal.terms.canonical import canonical_json, decode_canonical
from privyseal.tlog.note import MAX_NOTE, Signer, Verifier, open_note, parse_note, sign_note

MAGIC = "privyseal/backup/v1"
MAX_MANIFEST = 16 << 20
"""Octets of a manifest; a key takes some 300 in it."""
COPIED = 1 << 20
"""Octets that are read at a time."""
LEAST_RECIPIENTS = 2
"""Recipients of each part: with one, a lost key would be a lost backup."""

_FIRST_LINE = 64
_HEAD = MAGIC + "\n"

PartName = Literal["service", "keys"]
"""The parts of a backup, each under age to recipients of its own."""
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""A SHA-256 in lower-case hex."""
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""A number from 0 up that every reader of JSON holds exactly (RFC 8259 6)."""


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Octets under age: ``keys`` is private keys of key stores and what opens them, ``service`` is everything else."""

    name: PartName
    octets: Count
    sha256: Digest


class KeyInIt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Key Pair of the service, and whether its Private Key is in the backup."""

    subscriber: str
    key: str
    key_id: Digest
    store: str
    kept: bool
    why: str
    """Why it is, or is not, as the end of a sentence."""


class OperatorNamed(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the operators of whom a quorum agrees before the backup is restored."""

    name: str
    public_key: bytes


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup holds, of which log and up to where."""

    v: Literal[1] = 1
    made: datetime
    origin: str
    """The log's name."""
    size: Count
    """Entries of the log in it."""
    root: Digest
    records: Literal["sqlite", "postgresql"]
    """``postgresql``: the records are not in it, for the database has means of its own."""
    operators: tuple[OperatorNamed, ...]
    quorum: Count
    """How many of them must agree."""
    rehearsal: bool
    recipients: Annotated[tuple[str, ...], Meta(min_length=LEAST_RECIPIENTS, max_length=32)]
    keys: tuple[KeyInIt, ...]
    parts: tuple[Part, ...]

    @property
    def sha256(self) -> str:
        """Return what the backup is called: the digest that the log's key signed, and that operators agree to."""
        return hashlib.sha256(canonical_json(self)).hexdigest()


class BackupFile:
    """A backup that was opened and is what the log's key signed; its parts are checked when they are read."""

    def __init__(self, file: BinaryIO, manifest: Manifest, begin: int) -> None:
        """Take what :func:`open_backup` has checked."""
        self._file = file
        self._begin = begin
        self.manifest = manifest

    def part(self, name: PartName) -> BinaryIO | None:
        """Return one part under age, to be read from its first octet; None where there is none.

        VerificationFailed where it is not what the manifest says.
        """
        at = self._begin
        for part in self.manifest.parts:
            if part.name == name:
                if sha256_of(self._file, at, part.octets) != part.sha256:
                    raise VerificationFailed(f"The part {name!r} of the backup is not the one that was written.")
                return io.BufferedReader(_Window(self._file, at, part.octets), COPIED)
            at += part.octets
        return None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Window(io.RawIOBase):
    """Some octets of a file, as a file."""

    def __init__(self, file: BinaryIO, at: int, octets: int) -> None:
        self._file = file
        self._at = at
        self._left = octets

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._at)
        piece = self._file.read(min(len(buffer), self._left))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        self._left -= len(piece)
        return len(piece)


def write_backup(target: BinaryIO, manifest: Manifest, parts: Sequence[Path], log: Signer) -> None:
    """Write a backup whose parts under age are in these files, in the manifest's order."""
    said = canonical_json(manifest)
    note = sign_note(f"{_HEAD}{hashlib.sha256(said).hexdigest()}\n".encode("ascii"), (log,))
    target.write(f"{MAGIC} {len(note)} {len(said)}\n".encode("ascii") + note + said)
    for path in parts:
        with path.open("rb") as part:
            while piece := part.read(COPIED):
                target.write(piece)


def open_backup(path: Path, log: Verifier) -> BackupFile:
    """Open a backup of this log; BadInput where it is none, VerificationFailed where the log's key did not sign it."""
    file = path.open("rb")
    try:
        first = file.readline(_FIRST_LINE)
        note_size, said_size = _sizes(first)
        note, said = file.read(note_size), file.read(said_size)
        body, _ = open_note(note, (log,))
        if len(parse_note(note).signatures) != 1:
            raise VerificationFailed("The backup's manifest is signed by more than the log's key.")
        if body != f"{_HEAD}{hashlib.sha256(said).hexdigest()}\n".encode("ascii"):
            raise VerificationFailed("The manifest of the backup is not the one that the log's key signed.")
        manifest = decode_canonical(said, Manifest)
        begin = len(first) + note_size + said_size
        if os.fstat(file.fileno()).st_size != begin + sum(part.octets for part in manifest.parts):
            raise VerificationFailed("The backup is shorter or longer than its manifest says.")
        if manifest.origin != log.name:
            raise VerificationFailed(f"The backup is of the log {manifest.origin[:100]!r}, not of {log.name!r}.")
    except BaseException:
        file.close()
        raise
    return BackupFile(file, manifest, begin)


def _sizes(first: bytes) -> tuple[int, int]:
    words = first.split(b" ")
    if len(words) == 3 and all(each.strip(b"\n").isdigit() for each in words[1:]):
        note, said = int(words[1]), int(words[2])
        if first == f"{MAGIC} {note} {said}\n".encode("ascii") and note <= MAX_NOTE and said <= MAX_MANIFEST:
            return note, said
    raise BadInput("This is no backup of Privy Seal.", hint="privyseal backup create makes one")


def sha256_of(file: BinaryIO, at: int, octets: int) -> str:
    """Return the SHA-256 of so many octets of a file from an offset on, 64 hex digits."""
    found, left = hashlib.sha256(), octets
    file.seek(at)
    while left and (piece := file.read(min(COPIED, left))):
        found.update(piece)
        left -= len(piece)
    return found.hexdigest()
