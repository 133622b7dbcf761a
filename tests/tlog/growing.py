"""Logs for tests: their key, files in memory, and entries as a signing service writes them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privyseal.tlog.checkpoint import Checkpoint, sign_checkpoint
from privyseal.tlog.entry import Completion, Entry, Intent, encode
from privyseal.tlog.log import EMPTY, Head, append
from privyseal.tlog.note import KeyType, Note, Signature, Signer, Verifier, cosigned_octets, format_note, parse_note

ORIGIN = "seal.test/log"


def private_key(name: str) -> Ed25519PrivateKey:
    """Return the key that this name has in every run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def verifier(name: str, key_type: KeyType = KeyType.ED25519) -> Verifier:
    """Return the public half of the key of this name."""
    return Verifier(name, key_type, private_key(name).public_key().public_bytes_raw())


LOG = verifier(ORIGIN)
SIGNER = Signer(LOG, private_key(ORIGIN).sign)


def checkpoint_of(head: Head) -> bytes:
    """Return the head, signed by the log."""
    return sign_checkpoint(Checkpoint(ORIGIN, head.size, head.root), SIGNER)


def cosign(note: bytes, name: str, time: int = 1_750_000_000) -> bytes:
    """Return the checkpoint with one more line: the cosignature of the witness of this name."""
    parsed = parse_note(note)
    value = time.to_bytes(8, "big") + private_key(name).sign(cosigned_octets(parsed.body, time))
    line = Signature(name, verifier(name, KeyType.COSIGNATURE_V1).key_id, value)
    return format_note(Note(parsed.body, (*parsed.signatures, line)))


class Grown:
    """A log that grows in memory; ``files`` holds everything it ever wrote, ``heads`` every head it had."""

    def __init__(self) -> None:
        self.state = EMPTY
        self.files: dict[str, bytes] = {}
        self.heads: list[Head] = []
        self.entries: list[bytes] = []
        self.reads: list[str] = []

    @property
    def head(self) -> Head:
        """Return the newest head."""
        return self.state.head

    def append(self, entries: Sequence[bytes]) -> None:
        """Append a batch and write its files."""
        self.state, files, head = append(self.state, entries)
        for path, content in files:
            assert self.files.get(path, content) == content, f"{path} was written twice, and differently"
            self.files[path] = content
        self.heads.append(head)
        self.entries += entries

    def read(self, path: str) -> bytes | None:
        """Return a file, and remember that it was asked for."""
        self.reads.append(path)
        return self.files.get(path)


def grown(sizes: Sequence[int], seed: int = 1) -> Grown:
    """Return a log of sound entries that had a head at each of these sizes."""
    log = Grown()
    entries = story(seed)
    for size in sizes:
        log.append([encode(next(entries)) for _ in range(size - log.state.size)])
    return log


def story(seed: int, keys: int = 3) -> Iterator[Entry]:
    """Tell, without end, of keys that are about to be used and what came of it; every intent is completed in time."""
    chance = random.Random(seed)
    next_in_sequence = dict.fromkeys((chance.randbytes(32).hex() for _ in range(keys)), 0)
    waiting: list[tuple[int, str]] = []
    index = 0
    while True:
        if waiting and (len(waiting) > 5 or chance.random() < 0.5):
            intent, key_tag = waiting.pop(chance.randrange(len(waiting)))
            yield Completion(
                key_tag=key_tag,
                intent=intent,
                outcome=chance.choice(("signed", "aborted")),
                commitment=chance.randbytes(32),
            )
        else:
            key_tag = chance.choice(list(next_in_sequence))
            waiting.append((index, key_tag))
            yield Intent(
                verb="sign",
                key_tag=key_tag,
                key_seq=next_in_sequence[key_tag],
                uses=chance.randint(1, 3),
                commitment=chance.randbytes(32),
            )
            next_in_sequence[key_tag] += 1
        index += 1
