"""Entries: one way to write each, nothing about what was signed, and none that could not be read back."""

from __future__ import annotations

import hashlib
import hmac
import json

import msgspec
import pytest

from privyseal.errors import BadInput, TooLarge
from privyseal.terms.canonical import canonical_json
from privyseal.tlog.entry import (
    Completed,
    Completion,
    CompletionSubmission,
    Intent,
    IntentSubmission,
    Statement,
    StatementSubmission,
    commit,
    decode,
    decode_completed,
    encode,
    key_tag,
)

TAG = "ab" * 32
INTENT = Intent(verb="sign", key_tag=TAG, key_seq=7, uses=1, commitment=bytes(32))
COMPLETION = Completion(key_tag=TAG, intent=41, outcome="signed", commitment=b"\xff" * 32)
STATEMENT = Statement(about="evidence", commitment=b"\1" * 32)


def test_the_octets_are_fixed() -> None:
    """These very octets stand in logs; a change here is a change of format."""
    assert encode(INTENT) == (
        b'{"commitment":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","key_seq":7,"key_tag":"' + TAG.encode() + b'",'
        b'"type":"intent","uses":1,"v":1,"verb":"sign"}'
    )
    assert encode(COMPLETION) == (
        b'{"commitment":"//////////////////////////////////////////8=","intent":41,"key_tag":"' + TAG.encode() + b'",'
        b'"outcome":"signed","type":"completion","v":1}'
    )
    assert encode(STATEMENT) == (
        b'{"about":"evidence","commitment":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","type":"statement","v":1}'
    )
    for entry in (INTENT, COMPLETION, STATEMENT):
        assert decode(encode(entry)) == entry


def test_commitments_and_tags_are_fixed() -> None:
    """Both are what the documentation says, computed here with nothing but hashlib."""
    salt, payload = bytes(range(32)), b"canonical octets"
    assert commit(salt, payload) == hashlib.sha256(b"privyseal/v1\0" + salt + payload).digest()
    assert key_tag(salt, b"spki") == hmac.new(salt, b"spki", "sha256").hexdigest()
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(BadInput, match="32 octets"):
            commit(wrong, payload)
        with pytest.raises(BadInput, match="32 octets"):
            key_tag(wrong, b"spki")


def test_a_submission_becomes_an_entry() -> None:
    """The logger adds the place in the sequence and nothing else."""
    intent = IntentSubmission(verb="sign", key_tag=TAG, uses=1, commitment=bytes(32))
    completion = CompletionSubmission(key_tag=TAG, intent=41, outcome="signed", commitment=b"\xff" * 32)
    assert intent.entry(7) == INTENT
    assert completion.entry() == COMPLETION
    ids = {intent.submission_id(), completion.submission_id()}
    for field, value in (("verb", "destroy"), ("key_tag", "cd" * 32), ("uses", 2), ("commitment", b"\1" * 32)):
        ids.add(msgspec.structs.replace(intent, **{field: value}).submission_id())
    for field, value in (("intent", 42), ("outcome", "aborted"), ("commitment", bytes(32))):
        ids.add(msgspec.structs.replace(completion, **{field: value}).submission_id())
    statement = StatementSubmission(about="evidence", commitment=bytes(32))
    assert msgspec.structs.replace(statement, commitment=b"\1" * 32).entry() == STATEMENT
    ids.add(statement.submission_id())
    for field, value in (("about", "finding"), ("commitment", b"\1" * 32)):
        ids.add(msgspec.structs.replace(statement, **{field: value}).submission_id())
    assert len(ids) == 12
    assert {len(each) for each in ids} == {32}
    assert (
        intent.submission_id()
        == IntentSubmission(verb="sign", key_tag=TAG, uses=1, commitment=bytes(32)).submission_id()
    )


@pytest.mark.parametrize("changes", [
    {"v": 2}, {"v": "1"}, {"v": None}, {"type": "completion"}, {"type": "other"}, {"type": None}, {"extra": 1},
    {"verb": ""}, {"verb": "Sign"}, {"verb": "sign\n"}, {"verb": "s" * 33}, {"verb": "sïgn"},
    {"key_tag": TAG.upper()}, {"key_tag": TAG[:-1]}, {"key_tag": TAG + "\n"}, {"key_tag": 5},
    {"key_seq": -1}, {"key_seq": 2**53}, {"key_seq": 1.0}, {"key_seq": True}, {"key_seq": "7"}, {"uses": -1},
    {"commitment": ""}, {"commitment": "A" * 43}, {"commitment": "A" * 42 + "B="}, {"commitment": "A" * 44},
])  # fmt: skip
def test_what_is_no_entry(changes: dict[str, object]) -> None:
    """Every departure is refused, by whatever field."""
    value = json.loads(encode(INTENT)) | changes
    octets = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(BadInput):
        decode(octets)


@pytest.mark.parametrize("octets", [
    b"", b"{}", b"null", b"[]", b"\xff", b"[" * 60_000, encode(INTENT) + b" ", b" " + encode(INTENT),
    encode(INTENT).replace(b",", b", ", 1), encode(INTENT).replace(b'"v":1', b'"v":1,"v":1'),
    encode(INTENT).replace(b'"uses":1', b'"uses":1e0'), encode(INTENT).replace(b'"sign"', b'"s\\u0069gn"'),
    encode(INTENT).replace(b'"verb":"sign"', b'"verb":"sign","verb":"sign"'),
])  # fmt: skip
def test_what_is_not_written_so(octets: bytes) -> None:
    """An entry in another spelling is no entry."""
    with pytest.raises(BadInput):
        decode(octets)


def test_too_long() -> None:
    """More than 65,535 octets are not even looked at."""
    with pytest.raises(TooLarge, match="65536"):
        decode(bytes(65_536))


@pytest.mark.parametrize("wrong", [
    msgspec.structs.replace(INTENT, key_seq=-1),
    msgspec.structs.replace(INTENT, commitment=b"short"),
    msgspec.structs.replace(INTENT, verb="SIGN"),
    msgspec.structs.replace(COMPLETION, intent=-1),
    msgspec.structs.replace(STATEMENT, about="Evidence"),
    msgspec.structs.replace(STATEMENT, about=""),
    msgspec.structs.replace(STATEMENT, commitment=b"short"),
])  # fmt: skip
def test_nothing_enters_that_could_not_be_read(wrong: Intent | Completion | Statement) -> None:
    """What was put together in memory without being checked is checked before it is logged."""
    with pytest.raises(BadInput):
        encode(wrong)


def test_what_a_completion_commits_to() -> None:
    """A reason and an abortion go together; the octets are read strictly."""
    done = Completed(intent=3, request=TAG, signatures=(TAG,), blobs=(TAG,), tokens=())
    octets = canonical_json(done)
    assert octets == (
        b'{"blobs":["' + TAG.encode() + b'"],"intent":3,"reason":null,"request":"' + TAG.encode() + b'",'
        b'"signatures":["' + TAG.encode() + b'"],"tokens":[],"v":1}'
    )
    assert decode_completed(octets) == done
    assert done.outcome == "signed"
    assert msgspec.structs.replace(done, reason="the key store is gone").outcome == "aborted"
    for wrong in (octets.replace(b'"v":1', b'"v":2'), octets.replace(b',"v":1', b""), octets[:-1], b"{}"):
        with pytest.raises(BadInput):
            decode_completed(wrong)


@pytest.mark.parametrize("member", ["key_tag", "key_seq", "uses", "verb", "intent", "outcome", "request"])
def test_a_statement_has_nothing_of_a_key(member: str) -> None:
    """It can carry no member of an intent or a completion, so no reader takes one for the other."""
    value = json.loads(encode(STATEMENT)) | {member: json.loads(encode(INTENT)).get(member, 0)}
    with pytest.raises(BadInput):
        decode(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
