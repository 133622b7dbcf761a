"""A witness cosigns a head only as a proven extension of the one before, whatever it is sent."""

import hashlib
import itertools
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseal.errors import BadInput, VerificationFailed
from privyseal.tlog import merkle
from privyseal.tlog.checkpoint import Checkpoint, sign_checkpoint
from privyseal.tlog.log import Head
from privyseal.tlog.merkle import EMPTY_ROOT
from privyseal.tlog.note import KeyType, Signature, Signer, Verifier, parse_note, verified
from privyseal.tlog.witness import (
    MAX_REQUEST,
    SIZE_TYPE,
    Answer,
    Cosign,
    Request,
    cosign,
    format_request,
    judge,
    parse_request,
    read_cosignature,
    with_cosignatures,
)

ORIGIN = "log.example/test"


def signer(name: str, kind: KeyType) -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    return Signer(Verifier(name, kind, private.public_key().public_bytes_raw()), private.sign)


LOG = signer(ORIGIN, KeyType.ED25519)
OTHER_LOG = signer("log.example/other", KeyType.ED25519)
WITNESS = signer("witness.example/w", KeyType.COSIGNATURE_V1)
LOGS = {ORIGIN: LOG.verifier}


def subtree(leaves: Sequence[bytes]) -> merkle.Subtree:
    def at(level: int, index: int) -> bytes:
        if level == 0:
            return merkle.leaf_hash(leaves[index])
        return merkle.node_hash(at(level - 1, 2 * index), at(level - 1, 2 * index + 1))

    return at


def head(leaves: Sequence[bytes]) -> Head:
    return Head(len(leaves), merkle.root(len(leaves), subtree(leaves)))


def note(of: Head, log: Signer = LOG) -> bytes:
    return sign_checkpoint(Checkpoint(log.verifier.name, of.size, of.root), log)


def leaves(count: int, history: str = "true") -> list[bytes]:
    return [f"{history} {n}".encode() for n in range(count)]


def request(old: int, new: Sequence[bytes], log: Signer = LOG) -> bytes:
    return format_request(old, merkle.consistency(old, len(new), subtree(new)), note(head(new), log))


def judged(octets: bytes, latest: Head) -> Answer | Cosign:
    return judge(octets, LOGS, {ORIGIN: latest}, WITNESS.verifier)


def status(octets: bytes, latest: Head) -> int:
    answer = judged(octets, latest)
    return 200 if isinstance(answer, Cosign) else answer.status


def test_an_extension_is_cosigned_and_the_cosignature_is_the_client_s_to_add():
    """From nothing, from an earlier head, and again the same: each is cosigned, and the note then carries it."""
    latest = Head(0, EMPTY_ROOT)
    for count in (0, 1, 5, 5, 300):
        answer = judged(request(latest.size, leaves(count)), latest)
        assert isinstance(answer, Cosign)
        assert (answer.origin, answer.head) == (ORIGIN, head(leaves(count)))
        latest = answer.head
        line = cosign(answer.body, 1700000000, WITNESS)
        signed = note(latest)
        both = with_cosignatures(signed, [read_cosignature(signed, line, WITNESS.verifier)])
        keys = (LOG.verifier, WITNESS.verifier)
        assert verified(parse_note(both), keys) == keys


def test_each_refusal_has_the_status_of_the_specification():
    """404 before 403, 403 before anything about sizes; 409 says the size that is known; 422 only after all that."""
    latest = head(leaves(5))
    assert status(request(5, leaves(9), OTHER_LOG), latest) == 404
    forged = note(head(leaves(9))).replace(b"\xe2\x80\x94 log.example/test ", b"\xe2\x80\x94 log.example/none ")
    assert status(format_request(5, (), forged), latest) == 403
    broken = bytearray(note(head(leaves(9))))
    broken[-8] ^= 1
    assert status(format_request(5, (), bytes(broken)), latest) in (400, 403)
    assert status(format_request(10, (), note(head(leaves(9)))), latest) == 400
    for old in (0, 4, 6):
        answer = judged(format_request(old, (), note(head(leaves(9)))), latest)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body, answer.content_type) == (409, b"5\n", SIZE_TYPE)
    assert status(request(5, leaves(5, "false")), latest) == 409
    assert status(format_request(5, (), note(head(leaves(9)))), latest) == 422
    assert status(request(5, leaves(9, "false")), latest) == 422
    assert status(format_request(5, (bytes(32),), note(head(leaves(5)))), latest) == 422
    assert status(format_request(0, (bytes(32),), note(head(leaves(9)))), Head(0, EMPTY_ROOT)) == 422


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"old 5\n",
        b"old 05\n\n" + note(head(leaves(9))),
        b"old -1\n\n" + note(head(leaves(9))),
        b"old  5\n\n" + note(head(leaves(9))),
        b"new 5\n\n" + note(head(leaves(9))),
        b"old 9223372036854775808\n\n" + note(head(leaves(9))),
        b"old 5\r\n\r\n" + note(head(leaves(9))),
        b"old 5\nAAAA\n\n" + note(head(leaves(9))),
        b"old 5\n" + b"!" * 44 + b"\n\n" + note(head(leaves(9))),
        b"old 5\n" + (b"A" * 43 + b"=\n") * 64 + b"\n" + note(head(leaves(9))),
        b"old 5\n\nno checkpoint\n",
        b"old 5\n\nlog.example/test\n9\n" + b"\n" * 3,
        b"old 5\n\n\xff\n",
        b"old 5\n\n" + b"x" * MAX_REQUEST,
    ],
)
def test_what_is_no_request_is_malformed(octets: bytes):
    """400, and never an exception."""
    assert status(octets, head(leaves(5))) == 400


@given(st.binary(max_size=300))
def test_any_octets_are_answered(octets: bytes):
    """Nothing that can be sent raises, with or without a good beginning."""
    for beginning in (b"", b"old 5\n\n", b"old 5\n\nlog.example/test\n9\n"):
        assert status(beginning + octets, head(leaves(5))) >= 400


def test_its_own_later_cosignature_shows_that_its_record_was_put_back():
    """A published head that it cosigned, and does not remember, stops it with 503 and both sizes in the text."""
    published = note(head(leaves(9)))
    line = cosign(parse_note(published).body, 1700000000, WITNESS)
    shown = with_cosignatures(published, [read_cosignature(published, line, WITNESS.verifier)])
    answer = judged(format_request(5, (), shown), head(leaves(5)))
    assert isinstance(answer, Answer)
    assert answer.status == 503
    assert b"9 entries" in answer.body and b"has 5" in answer.body
    assert status(request(9, leaves(9)), head(leaves(9))) == 200


def test_lines_beside_the_witness_s_own_do_not_come_along():
    """Other keys' lines are left out; an answer that smuggles in text is none; a bad signature is none."""
    signed = note(head(leaves(9)))
    line = cosign(parse_note(signed).body, 1700000000, WITNESS)
    stranger = cosign(parse_note(signed).body, 1700000000, signer("stranger", KeyType.COSIGNATURE_V1))
    assert read_cosignature(signed, stranger + line, WITNESS.verifier).name == WITNESS.verifier.name
    other_head = cosign(parse_note(note(head(leaves(8)))).body, 1700000000, WITNESS)
    more = b"more\n\n" + cosign(parse_note(signed).body + b"\nmore\n", 1700000000, WITNESS)
    for wrong in (stranger, other_head, more, b"", b"\n", b"<html>", line[:-3], line + b"x", line * 200):
        with pytest.raises((BadInput, VerificationFailed)):
            read_cosignature(signed, wrong, WITNESS.verifier)


def test_a_key_that_signs_wrongly_is_found_out():
    """A failing machine's cosignature does not leave."""
    with pytest.raises(VerificationFailed):
        cosign(b"log\n1\nx\n", 1, Signer(WITNESS.verifier, lambda octets: bytes(64)))


def test_a_request_is_read_as_it_was_written():
    """Format and parse are inverse."""
    for count in (0, 1, 63):
        proof = tuple(hashlib.sha256(bytes([n])).digest() for n in range(count))
        octets = format_request(7, proof, note(head(leaves(9))))
        assert parse_request(octets) == Request(7, proof, note(head(leaves(9))))


# A forger holds the log's key and grows several histories that share a beginning. It sends any head, from any size,
# with any history's proof, also with hashes left out.
_attempts = st.tuples(
    st.sampled_from(["true", "false", "third"]),
    st.integers(0, 40),
    st.integers(0, 40) | st.none(),
    st.sampled_from(["true", "false", "third"]),
    st.sampled_from(["as is", "shortened", "doubled", "empty"]),
)


@settings(max_examples=200, deadline=None)
@given(shared=st.integers(0, 20), attempts=st.lists(_attempts, min_size=1, max_size=30))
def test_no_sequence_of_requests_gets_two_histories_cosigned(shared: int, attempts: list):
    """Whatever a forger with the log's key tries: one root for each size, and every head extends the one before."""
    histories = {name: leaves(shared) + leaves(60, name) for name in ("true", "false", "third")}
    latest, cosigned = Head(0, EMPTY_ROOT), [(Head(0, EMPTY_ROOT), "true")]
    for name, size, old, prover, change in attempts:
        new = histories[name][:size]
        start = latest.size if old is None else old
        proof = merkle.consistency(start, size, subtree(histories[prover])) if start <= size else ()
        proof = {"as is": proof, "shortened": proof[:-1], "doubled": proof * 2, "empty": ()}[change]
        answer = judged(format_request(start, proof[:63], note(head(new))), latest)
        if isinstance(answer, Cosign):
            latest = answer.head
            cosigned.append((latest, name))
    roots: dict[int, bytes] = {}
    for (before, _), (after, name) in itertools.pairwise(cosigned):
        assert before.size <= after.size
        assert head(histories[name][: before.size]) == before, "a head that the next one does not extend"
        assert roots.setdefault(after.size, after.root) == after.root


def test_a_line_of_a_note_keeps_its_parts():
    """The cosignature that is read is the one that was made: name, key ID, time and value."""
    signed = note(head(leaves(2)))
    found = read_cosignature(signed, cosign(parse_note(signed).body, 5, WITNESS), WITNESS.verifier)
    assert isinstance(found, Signature)
    assert int.from_bytes(found.value[:8], "big") == 5
