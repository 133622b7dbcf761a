"""Receipts prove the whole story or nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.tlog.growing import LOG, checkpoint_of, cosign, grown, private_key, verifier
from tests.tlog.receipts import POLICY, REQUEST, TAG, Told, completed, tell

from privyseal.errors import BadInput, TooLarge, VerificationFailed
from privyseal.terms.canonical import canonical_json
from privyseal.tlog import merkle
from privyseal.tlog.checkpoint import Checkpoint
from privyseal.tlog.entry import Completion, Intent, commit, encode
from privyseal.tlog.note import KeyType, Signer, sign_note
from privyseal.tlog.policy import Log, Policy, Witness, parse_policy
from privyseal.tlog.proof import (
    MAX_EXTRA,
    IntentOpening,
    Openings,
    TlogProof,
    build_receipt,
    format_proof,
    parse_proof,
    read_receipt,
)
from privyseal.tlog.reader import Reader


def test_a_receipt_tells_the_story() -> None:
    """Request, outcome, places and head come out as they went in."""
    told = tell(uses=2)
    opened = read_receipt(told.receipt(), POLICY)
    assert (opened.verb, opened.payload, opened.key_tag, opened.key_seq, opened.uses) == ("sign", REQUEST, TAG, 0, 2)
    assert opened.completed == completed(300, 2)
    assert (opened.intent_index, opened.index) == (300, 341)
    assert opened.checkpoint == Checkpoint(LOG.name, 842, told.log.head.root)
    assert opened.witnesses == ()
    assert read_receipt(told.receipt().encode(), POLICY) == opened


@pytest.mark.parametrize(
    ("before", "between", "after"), [(0, 0, 0), (0, 0, 1), (255, 0, 0), (254, 0, 0), (1, 700, 66_000)]
)
def test_stories_anywhere_in_the_log(before: int, between: int, after: int) -> None:
    """The first entries, the last ones, in one tile or far apart."""
    opened = read_receipt(tell(before, between, after).receipt(), POLICY)
    assert (opened.intent_index, opened.index) == (before, before + between + 1)


def test_an_aborted_one() -> None:
    """A receipt may say that nothing was signed, and why."""
    opened = read_receipt(tell(aborted=True).receipt(), POLICY)
    assert opened.completed.outcome == "aborted"
    assert opened.completed.reason == "the key store is gone"
    assert opened.completed.signatures == ()


def test_witnesses_are_named() -> None:
    """The policy's own names of those who cosigned are in the outcome; where too few did, there is none."""
    witness = Witness("auditor", verifier("w.test/a", KeyType.COSIGNATURE_V1))
    policy = Policy((Log(LOG),), (witness,), "auditor")
    told = tell()
    assert read_receipt(told.receipt(lambda note: cosign(note, "w.test/a")), policy).witnesses == ("auditor",)
    with pytest.raises(VerificationFailed, match="the quorum 'auditor' asks for more"):
        read_receipt(told.receipt(), policy)


def test_the_size_of_a_receipt() -> None:
    """In a log of 66,000 entries a receipt of a small request is a few kilobytes."""
    assert len(tell(after=66_000).receipt()) < 4096


def _changed(told: Told, **changes: Any) -> Told:
    return msgspec.structs.replace(told, intent=msgspec.structs.replace(told.intent, **changes))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: _changed(t, index=299), "intent is not entry 299"),
        (lambda t: _changed(t, index=10**9), "intent is not entry"),
        (lambda t: _changed(t, verb="destroy"), "intent is not entry 300"),
        (lambda t: _changed(t, key_tag="ef" * 32), "intent is not entry 300"),
        (lambda t: _changed(t, key_seq=1), "intent is not entry 300"),
        (lambda t: _changed(t, uses=2), "intent is not entry 300"),
        (lambda t: _changed(t, salt=bytes(32)), "intent is not entry 300"),
        (lambda t: _changed(t, payload=b"another request"), "intent is not entry 300"),
        (lambda t: _changed(t, path=t.intent.path[:-1]), "intent is not entry 300"),
        (lambda t: _changed(t, path=()), "intent is not entry 300"),
        (lambda t: _changed(t, path=(*t.intent.path[:-1], bytes(32))), "intent is not entry 300"),
        (lambda t: _changed(t, path=(bytes(32),) * 64), "cannot be read"),
        (lambda t: _changed(t, salt=bytes(31)), "cannot be read"),
        (lambda t: _changed(t, verb="SIGN"), "cannot be read"),
        (lambda t: msgspec.structs.replace(t, index=340), "completion is not entry 340"),
        (lambda t: msgspec.structs.replace(t, completion=msgspec.structs.replace(t.completion, salt=bytes(32))),
         "completion is not entry 341"),
        (lambda t: msgspec.structs.replace(t, completion=msgspec.structs.replace(t.completion, payload=b"{}")),
         "cannot be read"),
        (lambda t: msgspec.structs.replace(t, completion=msgspec.structs.replace(
            t.completion, payload=canonical_json(completed(300, reason="no")))), "completion is not entry 341"),
    ],
)  # fmt: skip
def test_nothing_in_it_can_be_another(change: Callable[[Told], Told], why: str) -> None:
    """Whichever part of the openings is changed, the leaf is no longer in the tree."""
    with pytest.raises(VerificationFailed, match=why):
        read_receipt(change(tell()).receipt(), POLICY)


def _receipt_of(intent: Intent, completion: Completion, payload: bytes, swapped: bool = False) -> str:
    """Log both entries, whatever they say, and return a receipt that is sound as far as the tree goes."""
    log = grown([10])
    entries = [encode(intent), encode(completion)]
    log.append(list(reversed(entries)) if swapped else entries)
    first, second = (11, 10) if swapped else (10, 11)
    reader = Reader(log.read)
    return build_receipt(
        intent=IntentOpening(
            index=first,
            verb=intent.verb,
            key_tag=intent.key_tag,
            key_seq=intent.key_seq,
            uses=intent.uses,
            salt=bytes(32),
            payload=REQUEST,
            path=reader.inclusion(first, 12),
        ),
        completion=msgspec.structs.replace(tell(5, 0, 0).completion, salt=bytes(32), payload=payload),
        index=second,
        path=reader.inclusion(second, 12),
        checkpoint=checkpoint_of(log.head),
    )


def _entries(intent_at: int, payload: bytes, tag: str = TAG, verb: str = "sign") -> tuple[Intent, Completion]:
    intent = Intent(verb=verb, key_tag=TAG, key_seq=0, uses=1, commitment=commit(bytes(32), REQUEST))
    completion = Completion(key_tag=tag, intent=intent_at, outcome="signed", commitment=commit(bytes(32), payload))
    return intent, completion


def test_openings_that_do_not_belong_together() -> None:
    """Two true entries of the log make no story if the one is not the other's completion."""
    good = canonical_json(completed(10))
    intent, completion = _entries(10, good)
    assert read_receipt(_receipt_of(intent, completion, good), POLICY).index == 11
    for payload, at, tag, why in (
        (canonical_json(completed(9)), 10, TAG, "is that of intent 9, not of intent 10"),
        (good, 9, TAG, "completion is not entry 11"),
        (good, 10, "ef" * 32, "completion is not entry 11"),
        (canonical_json(completed(10, request=b"x")), 10, TAG, "another request"),
        (canonical_json(completed(10, uses=2)), 10, TAG, "2 signatures, its intent was for 1"),
    ):
        intent, completion = _entries(at, payload, tag)
        with pytest.raises(VerificationFailed, match=why):
            read_receipt(_receipt_of(intent, completion, payload), POLICY)
    payload = canonical_json(completed(11))
    intent, completion = _entries(11, payload)
    with pytest.raises(VerificationFailed, match="stands before intent 11"):
        read_receipt(_receipt_of(intent, completion, payload, swapped=True), POLICY)


def test_administrative_acts_have_receipts() -> None:
    """Of other verbs the payload is not a request, and its digest is for others to compare."""
    payload = canonical_json(completed(10, uses=0, request=b"an act"))
    intent, completion = _entries(10, payload, verb="destroy")
    assert read_receipt(_receipt_of(intent, completion, payload), POLICY).verb == "destroy"


def test_another_log_or_key() -> None:
    """A receipt is worth nothing under a policy that does not trust its log."""
    told = tell()
    other = parse_policy(f"log {verifier('seal.test/other').vkey}\nquorum none")
    with pytest.raises(VerificationFailed, match="no signature of"):
        read_receipt(told.receipt(), other)
    stranger = Signer(verifier("stranger"), private_key("stranger").sign)
    body = Checkpoint(LOG.name, told.log.head.size, told.log.head.root).body()
    with pytest.raises(VerificationFailed):
        read_receipt(told.receipt(lambda _: sign_note(body, [stranger])), POLICY)


def test_an_older_head_does_not_do() -> None:
    """A signed head, but not the one whose tree the paths lead through."""
    told = tell()
    older = told.log.heads[-2]
    with pytest.raises(VerificationFailed, match="is not entry"):
        read_receipt(told.receipt(lambda _: checkpoint_of(older)), POLICY)


def test_receipts_in_another_spelling() -> None:
    """The openings are canonical JSON, and only that; a proof without openings is not our receipt."""
    told = tell()
    proof = parse_proof(told.receipt())
    assert proof.extra is not None
    for extra, why in (
        (None, "no extra line"),
        (b"", "cannot be read"),
        (b"{}", "cannot be read"),
        (proof.extra + b" ", "cannot be read"),
        (proof.extra.replace(b'"v":1', b'"v":2'), "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
    ):
        text = format_proof(TlogProof(proof.index, proof.path, proof.checkpoint, extra))
        with pytest.raises(VerificationFailed, match=why):
            read_receipt(text, POLICY)


def test_the_format_is_c2sp_s() -> None:
    """Line by line what c2sp.org/tlog-proof says."""
    told = tell()
    text = told.receipt()
    lines = text.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1].startswith("extra ")
    assert msgspec.json.decode(base64.b64decode(lines[1][6:]), type=Openings).intent == told.intent
    assert lines[2] == "index 341"
    end = lines.index("")
    path = [base64.b64decode(line) for line in lines[3:end]]
    leaf = merkle.leaf_hash(told.log.entries[341])
    assert merkle.verify_inclusion(leaf, 341, 842, path, told.log.head.root)
    assert "\n".join(lines[end + 1 :]).encode() == checkpoint_of(told.log.head)
    proof = parse_proof(text)
    assert format_proof(proof) == text
    bare = TlogProof(0, (), checkpoint_of(told.log.head))
    assert parse_proof(format_proof(bare)) == bare
    assert format_proof(bare).startswith("c2sp.org/tlog-proof@v1\nindex 0\n\nseal.test/log\n")


TEXT = tell(5, 0, 0).receipt()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no empty line"),
        (TEXT[: TEXT.index("\n\n")], "no empty line"),
        (TEXT.replace("@v1", "@v2", 1), "does not begin with"),
        ("\n" + TEXT, "does not begin with"),
        (TEXT.replace("\n", "\r\n"), "no empty line"),
        (TEXT.replace("extra ", "extra  ", 1), "extra line is not base64"),
        (TEXT.replace("extra ", "extra *", 1), "extra line is not base64"),
        (TEXT.replace("extra ", "Extra ", 1), "no index line"),
        (TEXT.replace("index 6", "index 06"), "no index line"),
        (TEXT.replace("index 6", "index -6"), "no index line"),
        (TEXT.replace("index 6", "index 9223372036854775808"), "no index line"),
        (TEXT.replace("index 6", "index " + "9" * 5000), "no index line"),
        (TEXT.replace("index 6", "index \N{ARABIC-INDIC DIGIT SIX}"), "no empty line"),
        (TEXT.replace("index 6\n", "", 1), "no index line"),
        (TEXT.replace("index 6\n", "index 6\nAAAA\n"), "hash of 32 octets"),
        (TEXT.replace("index 6\n", "index 6\n" + "A" * 43 + "=\n" * 2), "no empty line|hash|signature lines|control"),
        (TEXT.replace("index 6\n", "index 6\n" + "A" * 42 + "B=\n"), "hash of 32 octets"),
        (TEXT[:-1], "complete signature lines"),
        (TEXT + "\n", "signature line|no empty line"),
        (TEXT.replace("seal", "se\ud800l"), "UTF-8|no empty line"),
    ],
)
def test_what_is_no_proof(text: str, why: str) -> None:
    """Every departure is refused with one sentence; to a receipt's reader it is one that does not verify."""
    assert text != TEXT
    with pytest.raises(BadInput, match=why):
        parse_proof(text)
    with pytest.raises(VerificationFailed, match="cannot be read"):
        read_receipt(text, POLICY)


def test_limits() -> None:
    """1 MiB of extra data and 63 hashes are read; not one more."""
    note = checkpoint_of(grown([3]).head)
    most = TlogProof(0, (bytes(32),) * 63, note, bytes(MAX_EXTRA))
    assert parse_proof(format_proof(most)) == most
    with pytest.raises(TooLarge, match="64 hashes"):
        parse_proof(format_proof(TlogProof(0, (bytes(32),) * 64, note)))
    with pytest.raises(TooLarge, match="limit"):
        format_proof(TlogProof(0, (), note, bytes(MAX_EXTRA + 1)))
    line = "extra " + base64.b64encode(bytes(MAX_EXTRA + 1)).decode()
    with pytest.raises(TooLarge, match="extra data"):
        parse_proof(format_proof(TlogProof(0, (), note)).replace("index", line + "\nindex", 1))
    with pytest.raises(TooLarge, match="octets"):
        parse_proof(b"x" * 3_000_000)
