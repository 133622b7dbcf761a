"""Whatever is done to notes, proofs, receipts, policies and bundles, the answer is a typed error or the same truth."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.tlog.growing import LOG, checkpoint_of, cosign, grown, verifier
from tests.tlog.receipts import POLICY, tell

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.tlog.audit import fsck
from privyseal.tlog.checkpoint import Checkpoint, open_checkpoint, parse
from privyseal.tlog.entry import decode
from privyseal.tlog.note import KeyType, open_note, parse_note, parse_vkey
from privyseal.tlog.policy import Log, Policy, Witness, parse_policy
from privyseal.tlog.proof import format_proof, parse_proof, read_receipt
from privyseal.tlog.tiles import decode_bundle, entries_path, parse_path

T = TypeVar("T")
EACH = 500
"""Mutations of each kind of input; there are eleven kinds."""

_TOLD = tell(20, 3, 9)
_RECEIPT = _TOLD.receipt(lambda note: cosign(note, "w.test/a")).encode()
_NOTE = cosign(checkpoint_of(_TOLD.log.head), "w.test/a")
_WITNESS = verifier("w.test/a", KeyType.COSIGNATURE_V1)
_POLICY = Policy((Log(LOG, "https://seal.test/log"),), (Witness("a", _WITNESS),), "a").format().encode()
_BUNDLE = _TOLD.log.files[entries_path(0, 34)]
_SPICE = (
    *(b"\n", b"\n\n", b"\r\n", b"\0", b" ", b"\t", b"\xff", b"\xe2\x80\x94 ", "\N{NO-BREAK SPACE}".encode()),
    *(b"=", b"+", b"#", b"0", b"-1", b"9" * 30, b"extra ", b"index ", b"none", b"quorum none\n"),
    *(b"{", b"[" * 2000, b'"', b"\\u0000", b"null"),
)


def _mutated(octets: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return the octets after one to four changes: bits, octets, lines, base64, splices, cuts."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at, end = sorted(chance.randrange(len(octets) + 1) for _ in range(2))
        way = chance.randrange(10)
        lines = octets.split(b"\n")
        line = chance.randrange(len(lines))
        if way == 0 and octets:
            at = min(at, len(octets) - 1)
            octets = octets[:at] + bytes([octets[at] ^ 1 << chance.randrange(8)]) + octets[at + 1 :]
        elif way == 1:
            octets = octets[:at] + chance.choice(_SPICE) + octets[at:]
        elif way == 2:
            octets = octets[:at] + octets[min(end, at + chance.choice((1, 2, 40))) :]
        elif way == 3:
            octets = octets[:at]
        elif way == 4:
            octets = octets[:at] + octets[at:end] * 2 + octets[end:]
        elif way == 5:
            octets = octets[:at] + other[chance.randrange(len(other)) :]
        elif way == 6:
            octets = b"\n".join([*lines[:line], *lines[line + 1 :]])
        elif way == 7:
            octets = b"\n".join([*lines[:line], lines[line], *lines[line:]])
        elif way == 8:
            chance.shuffle(lines)
            octets = b"\n".join(lines)
        else:
            octets = _recoded(octets, lines[line].rpartition(b" ")[2], chance)
    return octets


def _recoded(octets: bytes, word: bytes, chance: random.Random) -> bytes:
    """Change what is inside one base64 word, so that the change is well-formed outside."""
    try:
        inside = bytearray(base64.b64decode(word, validate=True))
    except ValueError:
        return octets
    for _ in range(min(len(inside), chance.choice((1, 3)))):
        inside[chance.randrange(len(inside))] = chance.randrange(256)
    return octets.replace(word, base64.b64encode(inside), 1) if word else octets


def _campaign(
    octets: bytes,
    other: bytes,
    look: Callable[[bytes], T],
    allowed: type[PrivySealError] | tuple[type[PrivySealError], ...],
) -> list[tuple[bytes, T]]:
    """Mutate and look; return what was accepted. Anything but an answer or an ``allowed`` error fails the test."""
    chance = random.Random(look.__qualname__ + "7")
    accepted = []
    for _ in range(EACH):
        mutated = _mutated(octets, other, chance)
        try:
            accepted.append((mutated, look(mutated)))
        except allowed as error:
            assert error.detail.endswith("."), error.detail
            assert len(error.detail) < 1000, error.detail
    return accepted


def test_notes() -> None:
    """A mutated note that opens says what was signed."""

    def open_mutated(octets: bytes) -> tuple[bytes, tuple[str, ...]]:
        return open_note(octets, [LOG, _WITNESS])

    truth = open_note(_NOTE, [LOG, _WITNESS])
    for _, (body, names) in _campaign(_NOTE, _RECEIPT, open_mutated, (BadInput, VerificationFailed)):
        assert body == truth[0]
        assert set(names) <= set(truth[1])


def test_checkpoints() -> None:
    """A mutated checkpoint that opens is the log's head; one that only parses is written as it was read."""

    def open_mutated(octets: bytes) -> Checkpoint:
        return open_checkpoint(octets, LOG)

    truth = open_checkpoint(_NOTE, LOG)
    assert all(head == truth for _, head in _campaign(_NOTE, _RECEIPT, open_mutated, (BadInput, VerificationFailed)))
    body = parse_note(_NOTE).body
    for octets, head in _campaign(body, _NOTE, parse, BadInput):
        assert head.body() == octets


def test_proofs() -> None:
    """A mutated proof that parses is written as it was read: there is one spelling."""
    for octets, proof in _campaign(_RECEIPT, _POLICY, parse_proof, BadInput):
        assert format_proof(proof).encode() == octets


def test_receipts() -> None:
    """A mutated receipt that is believed proves what the original proves."""

    def read(octets: bytes) -> object:
        return read_receipt(octets, POLICY)

    truth = read_receipt(_RECEIPT, POLICY)
    assert all(opened == truth for _, opened in _campaign(_RECEIPT, _NOTE, read, VerificationFailed))


def test_receipts_with_mutated_openings() -> None:
    """The same where the mutation is inside ``extra``, well encoded."""
    proof = parse_proof(_RECEIPT)
    assert proof.extra is not None

    def read(extra: bytes) -> object:
        text = base64.b64encode(extra)
        return read_receipt(
            b"\n".join([_RECEIPT.split(b"\n")[0], b"extra " + text, *_RECEIPT.split(b"\n")[2:]]), POLICY
        )

    accepted = _campaign(proof.extra, _BUNDLE, read, VerificationFailed)
    assert all(extra == proof.extra for extra, _ in accepted)


def test_policies() -> None:
    """A mutated policy that parses can be written and read again, and its check raises nothing else."""
    for _, policy in _campaign(_POLICY, _NOTE, parse_policy, BadInput):
        assert parse_policy(policy.format()) == policy
        with_outcome = _outcome(lambda policy=policy: policy.check(_NOTE))  # type: ignore[misc]
        assert with_outcome in ("accepted", "VerificationFailed")


def _outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except VerificationFailed as error:
        return type(error).__name__
    return "accepted"


def test_bundles_and_entries() -> None:
    """A mutated bundle splits into entries or does not; mutated entries decode to themselves or not at all."""

    def split(octets: bytes) -> list[bytes]:
        return decode_bundle(octets, 34)

    for octets, entries in _campaign(_BUNDLE, _RECEIPT, split, BadInput):
        assert b"".join(len(each).to_bytes(2, "big") + each for each in entries) == octets
    _campaign(_TOLD.log.entries[0], _BUNDLE, decode, BadInput)


def test_keys_and_names() -> None:
    """Verifier keys and file names that parse say what they were made of."""

    def key(octets: bytes) -> str:
        return parse_vkey(octets.decode("utf-8", "surrogateescape")).vkey

    for octets, vkey in _campaign(LOG.vkey.encode(), _POLICY, key, BadInput):
        assert vkey.encode() == octets

    def name(octets: bytes) -> object:
        return parse_path(octets.decode("utf-8", "surrogateescape"))

    _campaign(b"tile/0/x001/234.p/56", b"tile/entries/x002/x003/777", name, BadInput)


def test_logs() -> None:
    """A log any file of which was mutated is checked to the end, and the damage found."""
    log = grown([300])
    chance = random.Random(11)
    for _ in range(EACH // 4):
        path = chance.choice(sorted(log.files))
        whole = log.files[path]
        log.files[path] = _mutated(whole, _RECEIPT, chance)
        found = [each for each in fsck(log.read, checkpoint_of(log.head), LOG) if each.severity == "problem"]
        assert bool(found) == (log.files[path] != whole)
        log.files[path] = whole


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(20))
def test_receipts_at_length(seed: int) -> None:
    """The same for receipts, 50,000 times."""
    chance, truth = random.Random(seed), read_receipt(_RECEIPT, POLICY)
    for _ in range(2_500):
        try:
            assert read_receipt(_mutated(_RECEIPT, _NOTE, chance), POLICY) == truth
        except VerificationFailed:
            continue
