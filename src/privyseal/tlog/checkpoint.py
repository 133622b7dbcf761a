"""Checkpoints (c2sp.org/tlog-checkpoint): the signed head of a log, which is its name, its size and its root."""

from __future__ import annotations

import base64
import re

from msgspec import Struct

from privyseal.errors import BadInput, VerificationFailed
from privyseal.tlog.merkle import EMPTY_ROOT, HASH_SIZE
from privyseal.tlog.note import Signer, Verifier, decode_base64, parse_note, sign_note, verified

MAX_SIZE = 2**63 - 1
"""Leaves of the largest tree anybody can speak of: sizes are int64 in Go's x/mod/sumdb/tlog."""

_NUMBER = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)


class Checkpoint(Struct, frozen=True):
    """A log's head: its origin (the log's name), how many entries it has, and the root of their tree, 32 octets."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()
    """Further lines, which mean nothing here; our logs have none, and C2SP advises against them."""

    def body(self) -> bytes:
        """Return the text that is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()


def parse(body: bytes) -> Checkpoint:
    """Read the text of a checkpoint, which is a note's body; BadInput where it is not exactly one."""
    try:
        *lines, rest = body.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise BadInput("A checkpoint is not UTF-8.") from None
    if len(lines) < 3 or rest or not all(lines):
        raise BadInput("A checkpoint has three lines, none of them empty: origin, size and root.")
    origin, number, encoded, *extensions = lines
    size = parse_number(number)
    root = decode_base64(encoded)
    if size is None:
        raise BadInput("A checkpoint's second line is not a size: a decimal number below 2**63, no leading zero.")
    if root is None or len(root) != HASH_SIZE:
        raise BadInput(f"A checkpoint's third line is not a root: base64 of {HASH_SIZE} octets.")
    if size == 0 and root != EMPTY_ROOT:
        raise BadInput("A checkpoint of size 0 has not the root of the empty tree.")
    return Checkpoint(origin, size, root, tuple(extensions))


def open_checkpoint(octets: bytes, log: Verifier) -> Checkpoint:
    """Return the head in a note that this log signed; BadInput if it is not one, VerificationFailed if it did not.

    A log's key is named as its origin (tlog-policy), so a checkpoint of another origin is none of this log's.
    """
    note = parse_note(octets)
    verified(note, (log,))
    head = parse(note.body)
    if head.origin != log.name:
        raise VerificationFailed(f"A checkpoint signed by {log.name!r} speaks for another log, {head.origin[:100]!r}.")
    return head


def sign_checkpoint(head: Checkpoint, log: Signer) -> bytes:
    """Return a head as the note that the log publishes; VerificationFailed if its key signs wrongly."""
    return sign_note(head.body(), (log,))


def parse_number(text: str) -> int | None:
    """Read a number as C2SP writes sizes and indexes, decimal, no leading zero, below 2**63; None if it is not one."""
    number = int(text) if _NUMBER.fullmatch(text) else MAX_SIZE + 1
    return number if number <= MAX_SIZE else None
