"""What must hold after every crash, seen by an outsider: the clients' files, the heads anybody saw, the published log.

I1 every signature a client holds verifies, and its intent is in the log; I2 one root for each size; I3 one answer for
each Idempotency-Key; I4 exactly one completion for each intent, and no gap in a key's sequence; I6 what was signed is
the digest that was asked for. Signatures are taken apart by asn1crypto and verified by cryptography, roots are computed
here by the recursion of RFC 6962, and the whole log is verified by Go's sumdb packages: none of it is the code that
made them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from asn1crypto import cms, parser
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tests.crash.clients import Given
from tests.tlog.sumdb_verifier import verify_with_go

from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import SigningRequest
from privyseal.tlog import checkpoint
from privyseal.tlog.audit import fsck
from privyseal.tlog.checkpoint import open_checkpoint
from privyseal.tlog.entry import Completion, Entry, Intent, decode
from privyseal.tlog.note import parse_note
from privyseal.tlog.policy import parse_policy
from privyseal.tlog.proof import read_receipt
from privyseal.tlog.tiles import decode_bundle, entries_path
from privyseal.tlog.tilestore import DirectoryTileStore


class Outsider:
    """Holds a service to its promises; what it was shown once it remembers."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.policy = parse_policy((directory / "log-policy").read_text())
        self.verifier = self.policy.logs[0].key
        self.answers: dict[str, Given] = {}
        self.roots: dict[int, set[bytes]] = {}
        self.intents: dict[int, str] = {}
        """Index of an intent in the log, and the Idempotency-Key that its receipt was given for."""
        self.checks = 0

    def saw(self, heads: Iterable[bytes]) -> None:
        """Remember signed heads."""
        for note in heads:
            head = open_checkpoint(note, self.verifier)
            self.roots.setdefault(head.size, set()).add(head.root)

    def check(self, given: Sequence[Given], *, with_go: bool = True) -> int:
        """Hold everything against what clients were given, those of before included; return the log's size.

        Without Go, nobody but us reads the tiles this time. A log that only grows keeps what is wrong in it for a later
        check; one that does not is seen here each time, by the roots of all heads that anybody was shown.
        """
        self.checks += 1
        if with_go:
            assert "verified" in verify_with_go(self.log, self.verifier.vkey)
        store = DirectoryTileStore(self.log)
        note = store.read("checkpoint")
        assert note is not None
        found = fsck(store.read, note, self.verifier, store.widths)
        problems = [f"{each.code} {each.path}: {each.text}" for each in found if each.severity == "problem"]
        assert not problems, f"fsck: {problems}"
        for each in given:
            self._take(each)
        self.saw([note])
        entries = self._entries(checkpoint.parse(parse_note(note).body).size)
        self._check_roots([hashlib.sha256(b"\0" + entry).digest() for entry in entries])
        self._check_entries([decode(entry) for entry in entries])
        return len(entries)

    def _take(self, given: Given) -> None:
        before = self.answers.setdefault(given.key, given)
        assert before == given, "I3: one Idempotency-Key was given two answers"
        if before is not given:
            return
        opened = read_receipt(given.receipt, self.policy)
        assert opened.payload == given.request, "the receipt is of another request"
        assert opened.completed.blobs == tuple(hashlib.sha256(blob).hexdigest() for blob in given.blobs)
        self.roots.setdefault(opened.checkpoint.size, set()).add(opened.checkpoint.root)
        assert self.intents.setdefault(opened.intent_index, given.key) == given.key, "one intent, two signatures"
        described = decode_canonical(given.request, SigningRequest).described
        assert len(described) == len(given.blobs) > 0
        for one, blob in zip(described, given.blobs, strict=True):
            assert signed_digest(blob) == one.digest, "I6: another digest was signed than was asked for"

    def _entries(self, size: int) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < size:
            width = min(256, size - len(found))
            found += decode_bundle((self.log / entries_path(len(found) // 256, width)).read_bytes(), width)
        return found

    def _check_roots(self, leaves: Sequence[bytes]) -> None:
        assert not self.roots or max(self.roots) <= len(leaves), "I2: a head was shown that is larger than the log"
        for size, roots in self.roots.items():
            assert len(roots) == 1, f"I2: two roots for size {size}"
        true = roots_of(leaves, set(self.roots))
        wrong = [size for size, roots in self.roots.items() if roots != {true[size]}]
        assert not wrong, f"I2: a head was shown that is not of this log: {wrong}"

    def _check_entries(self, decoded: Sequence[Entry]) -> None:
        completed = Counter(entry.intent for entry in decoded if isinstance(entry, Completion))
        intents = {index for index, entry in enumerate(decoded) if isinstance(entry, Intent)}
        assert set(completed) <= intents
        assert all(completed[index] == 1 for index in intents), (
            f"I4: an intent without exactly one completion: {[(i, completed[i]) for i in intents if completed[i] != 1]}"
        )
        assert set(self.intents) <= intents, "I1: a signature without its intent in the log"
        sequences: dict[str, list[int]] = {}
        for entry in decoded:
            if isinstance(entry, Intent):
                sequences.setdefault(entry.key_tag, []).append(entry.key_seq)
        assert all(each == list(range(len(each))) for each in sequences.values()), "a gap in a key's sequence"


def signed_digest(blob: bytes) -> bytes:
    """Return the file digest that an Authenticode signature signs; AssertionError where it does not verify (I1)."""
    signed = cms.ContentInfo.load(blob)["content"]
    signer = signed["signer_infos"][0]
    _, inner = _elements(signed["encap_content_info"].dump())  # a type and, tagged [0], the SpcIndirectDataContent
    content = _contents(inner)
    attributes = {each["type"].dotted: each["values"] for each in signer["signed_attrs"]}
    # Authenticode hashes the content without its outer tag and length.
    digest = hashlib.new(signer["digest_algorithm"]["algorithm"].native, _contents(content)).digest()
    assert attributes["1.2.840.113549.1.9.4"][0].native == digest, "I1: the content is not what was signed"
    serial = signer["sid"].chosen["serial_number"].native
    own = next(each.chosen for each in signed["certificates"] if each.chosen.serial_number == serial)
    key = x509.load_der_x509_certificate(own.dump()).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signer["signature"].native, signer["signed_attrs"].untag().dump(), ec.ECDSA(hashes.SHA256()))
    _, info = _elements(content)  # what it is about, and its DigestInfo
    _, octets = _elements(info)  # an algorithm, and the digest
    return _contents(octets)


def _contents(element: bytes) -> bytes:
    return bytes(parser.parse(element, strict=True)[4])


def _elements(sequence: bytes) -> list[bytes]:
    rest, found = _contents(sequence), []
    while rest:
        *_, header, contents, trailer = parser.parse(rest)
        whole = len(header) + len(contents) + len(trailer)
        found.append(rest[:whole])
        rest = rest[whole:]
    return found


def roots_of(leaves: Sequence[bytes], sizes: set[int]) -> dict[int, bytes]:
    """Return the Merkle tree hash (RFC 6962 2.1) of the first so many leaves, for each size."""
    found = {0: hashlib.sha256(b"").digest()}
    full: list[tuple[int, bytes]] = []  # the complete subtrees from left to right: leaves below, hash
    for size, leaf in enumerate(leaves, start=1):
        full.append((1, leaf))
        while len(full) > 1 and full[-1][0] == full[-2][0]:
            (width, left), (_, right) = full[-2:]
            full[-2:] = [(2 * width, hashlib.sha256(b"\1" + left + right).digest())]
        if size in sizes:
            root = full[-1][1]
            for _, left in reversed(full[:-1]):
                root = hashlib.sha256(b"\1" + left + root).digest()
            found[size] = root
    return found
