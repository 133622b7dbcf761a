"""The signer spends an intent once, uses the key after that, and answers only what verifies.

Every refusal is of a request that is signed as soon as the one thing is put right.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.strongroom.logroom import VERIFIER, intent
from tests.strongroom.signroom import SALT, SignRoom, description, refused, signed

from privyseal.errors import BadInput, KeyStoreUnavailable, Misused, TooLarge
from privyseal.formats import catalogue
from privyseal.keystore.softfile import SoftFile
from privyseal.strongroom import signer as signing
from privyseal.strongroom.durable import Database
from privyseal.strongroom.messages import LogHealth, Refused, SignedBatch, SignedItem
from privyseal.strongroom.signer import MANY, MAX_ITEMS
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import KeyPair
from privyseal.terms.signatures import ToBeSigned
from privyseal.tlog.entry import StatementSubmission, commit


@pytest.mark.parametrize("scheme", ["ecdsa-p256", "ecdsa-p384", "rsa-3072"])
def test_a_logged_request_is_signed(room: SignRoom, scheme: str):
    """What comes back is that key's signature over what the request describes, for short and long schemes."""
    pair = room.key("another", scheme=scheme)
    certificate = room.rehearsal_ca.issue(pair.public_key)
    request = room.request(pair, certificate)
    signed(room.sign(pair, certificate, request), pair, certificate, request)


def test_a_batch_is_signed_in_its_order_and_a_bad_item_is_refused_alone(room: SignRoom):
    """Short and long schemes, good and bad items mixed: each gets its own outcome, in its own place."""
    pairs = [room.key("short"), room.key("long", scheme="rsa-3072")]
    certificates = [room.rehearsal_ca.issue(pair.public_key) for pair in pairs]
    requests = [room.request(pairs[n % 2], certificates[n % 2], n) for n in range(12)]
    canonical = [request.canonical() for request in requests]
    canonical[4] = canonical[4].replace(b'"mode":"local"', b'"mode": "local"')
    appended = [room.logged(each, tag=pairs[n % 2].key_tag) for n, each in enumerate(canonical)]
    last = room.log.prove([one.items[0].index for one in appended], room.mark)
    items = [
        room.items(msgspec.structs.replace(last, items=(logged,)), [each], certificates[n % 2])[0]
        for n, (each, logged) in enumerate(zip(canonical, last.items, strict=True))
    ]
    answer = room.send(last, items)
    assert isinstance(answer, SignedBatch)
    for n, outcome in enumerate(answer.results):
        if n == 4:
            refused(outcome, "bad-input", "canonical")
        else:
            signed(outcome, pairs[n % 2], certificates[n % 2], requests[n])


def test_a_batch_costs_one_commit(room: SignRoom, pair: KeyPair, certificate: bytes, monkeypatch: pytest.MonkeyPatch):
    """However many items: intents and mark are made durable together, before any key is used."""
    happened: list[str] = []
    commit, use = Database.commit, SoftFile.sign
    monkeypatch.setattr(Database, "commit", lambda self, c: (happened.append("commit"), commit(self, c))[1])
    monkeypatch.setattr(SoftFile, "sign", lambda self, u, t: (happened.append("key"), use(self, u, t))[1])
    canonical = [room.request(pair, certificate, n).canonical() for n in range(64)]
    appended = room.logged(*canonical, tag=pair.key_tag)
    happened.clear()
    answer = room.send(appended, room.items(appended, canonical, certificate))
    assert isinstance(answer, SignedBatch) and all(isinstance(each, SignedItem) for each in answer.results)
    assert happened == ["commit"] + ["key"] * 64


# -- the intent ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "spoilt",
    [
        {"salt": bytes(32)},
        {"key_seq": 1},
        {"index": 0},
        {"index": 99},
        {"path": ()},
        {"path": (bytes(32),) * 64},
        {"path": (b"short",)},
    ],
    ids=str,
)
def test_a_proof_of_something_else_is_refused(
    room: SignRoom, pair: KeyPair, certificate: bytes, spoilt: dict[str, Any]
):
    """Another salt, sequence number, index or path does not prove this intent; the right ones do."""
    request = room.request(pair, certificate)
    canonical = request.canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    answer = room.send(appended, room.items(appended, [canonical], certificate, **spoilt))
    assert isinstance(answer, SignedBatch)
    refused(answer.results[0], "unlogged", "not proven that the intent")
    answer = room.send(appended, room.items(appended, [canonical], certificate))
    assert isinstance(answer, SignedBatch)
    signed(answer.results[0], pair, certificate, request)


@pytest.mark.parametrize("log", [{"uses": 2}, {"uses": 0}, {"verb": "amend"}, {"tag": "0" * 64}], ids=str)
def test_an_intent_for_something_else_is_refused(
    room: SignRoom, pair: KeyPair, certificate: bytes, log: dict[str, Any]
):
    """An intent for more or fewer uses, with another verb, or of another key does not cover this request."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, **({"tag": pair.key_tag} | log))
    answer = room.send(appended, room.items(appended, [canonical], certificate))
    assert isinstance(answer, SignedBatch)
    refused(answer.results[0], "unlogged")


@pytest.mark.parametrize("about", ["sign", "intent", "evidence"])
def test_a_statement_is_no_intent(room: SignRoom, pair: KeyPair, certificate: bytes, about: str):
    """Proven, of the same commitment, and about whatever it says it is: no key is used for a statement."""
    canonical = room.request(pair, certificate).canonical()
    said = StatementSubmission(about=about, commitment=commit(SALT, canonical))
    appended = room.log.append([said], room.mark)
    answer = room.send(appended, room.items(appended, [canonical], certificate))
    assert isinstance(answer, SignedBatch)
    refused(answer.results[0], "unlogged", "not proven that the intent")
    appended = room.logged(canonical, tag=pair.key_tag)
    answer = room.send(appended, room.items(appended, [canonical], certificate))
    assert isinstance(answer, SignedBatch)
    assert isinstance(answer.results[0], SignedItem)


def test_an_intent_for_another_request_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """One logged request cannot be exchanged for another, not even for the same one with a later expiry."""
    logged = room.request(pair, certificate, 1)
    appended = room.logged(logged.canonical(), tag=pair.key_tag)
    for other in (
        room.request(pair, certificate, 2),
        msgspec.structs.replace(logged, expires_at=logged.expires_at + timedelta(seconds=1)),
    ):
        answer = room.send(appended, room.items(appended, [other.canonical()], certificate))
        assert isinstance(answer, SignedBatch)
        refused(answer.results[0], "unlogged")


@pytest.mark.parametrize("restarted", [False, True])
def test_an_intent_is_good_for_one_use(room: SignRoom, pair: KeyPair, certificate: bytes, restarted: bool):
    """Played again, in the same batch, in a later one or after a restart, it is refused."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    answer = room.send(appended, items * 3)
    assert isinstance(answer, SignedBatch)
    assert [type(each) for each in answer.results] == [SignedItem, Refused, Refused]
    refused(answer.results[1], "intent-spent", "spent already")
    if restarted:
        room.restart()
    again = room.log.prove([appended.items[0].index], room.mark)
    answer = room.send(again, room.items(again, [canonical], certificate))
    assert isinstance(answer, SignedBatch)
    refused(answer.results[0], "intent-spent", "spent already")


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
def test_a_commit_that_fails_uses_no_key(
    room: SignRoom, pair: KeyPair, certificate: bytes, done: bool, monkeypatch: pytest.MonkeyPatch
):
    """Whether the intents were spent or not: no signature is made, and afterwards the disk is believed."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    commit = Database.commit

    def failing(self: Database, connection: Any) -> None:
        if done:
            commit(self, connection)
        raise KeyStoreUnavailable("injected")

    with monkeypatch.context() as broken:
        broken.setattr(Database, "commit", failing)
        broken.setattr(SoftFile, "sign", lambda *_: pytest.fail("a key was used"))
        with pytest.raises(KeyStoreUnavailable):
            room.send(appended, items)
    mark = room.client.health().mark
    again = room.log.prove([appended.items[0].index], mark)
    answer = room.send(again, room.items(again, [canonical], certificate))
    assert isinstance(answer, SignedBatch)
    assert isinstance(answer.results[0], Refused if done else SignedItem)


# -- the key store ---------------------------------------------------------------------------------------------------
class Faulty:
    """A key store whose signatures are not what they should be."""

    def __init__(self, inner: SoftFile, spoil: Any) -> None:
        self.inner, self.spoil = inner, spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def sign(self, uri: str, tbs: Sequence[ToBeSigned]) -> list[bytes]:
        return self.spoil(self.inner, uri, tbs)


def raising(error: Exception) -> Any:
    def spoil(*_: object) -> list[bytes]:
        raise error

    return spoil


@pytest.mark.parametrize(
    ("scheme", "many"), [("ecdsa-p256", MANY), ("ecdsa-p256", 1), ("rsa-3072", MANY)], ids=["short", "many", "long"]
)
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda inner, uri, tbs: inner.sign(uri, [ToBeSigned(b"else", "sha256")] * len(tbs)), "key-store-unavailable"),
        (lambda inner, uri, tbs: [bytes(384)] * len(tbs), "key-store-unavailable"),
        (lambda inner, uri, tbs: [], "key-store-unavailable"),
        (lambda inner, uri, tbs: inner.sign(uri, tbs) * 2, "key-store-unavailable"),
        (raising(KeyStoreUnavailable("the module is gone")), "key-store-unavailable"),
        (raising(RuntimeError("canary of a PIN")), "internal"),
    ],
    ids=["other octets", "zeros", "none", "too many", "gone", "a bug"],
)
def test_a_wrong_signature_never_leaves(
    room: SignRoom, monkeypatch: pytest.MonkeyPatch, scheme: str, many: int, spoil: Any, code: str
):
    """Whatever the key store gives, only what verifies under the public key is answered; neighbours are."""
    monkeypatch.setattr(signing, "MANY", many)
    pair = room.key("k", scheme=scheme)
    certificate = room.rehearsal_ca.issue(pair.public_key)
    room.stores["softfile"] = Faulty(room.keys, spoil)  # type: ignore[assignment]
    outcome = room.sign(pair, certificate, room.request(pair, certificate))
    refused(outcome, code)
    assert "canary" not in str(outcome) + "".join(room.notes)
    if code == "internal":
        assert "RuntimeError" in room.notes.pop()
    room.stores["softfile"] = room.keys
    request = room.request(pair, certificate, 1)
    signed(room.sign(pair, certificate, request), pair, certificate, request)


def test_a_bug_met_by_one_item_is_that_item_s(
    room: SignRoom, pair: KeyPair, certificate: bytes, monkeypatch: pytest.MonkeyPatch
):
    """An exception that nobody foresaw refuses the one item, in words that carry nothing of it."""
    code_format = catalogue.BY_NAME["pe"]
    real = code_format.to_be_signed

    def buggy(described: Any, *rest: Any) -> Any:
        if described == description(1):
            raise IndexError("canary")
        return real(described, *rest)

    monkeypatch.setattr(type(code_format), "to_be_signed", lambda self, *rest: buggy(*rest))
    canonical = [room.request(pair, certificate, n).canonical() for n in range(3)]
    appended = room.logged(*canonical, tag=pair.key_tag)
    answer = room.send(appended, room.items(appended, canonical, certificate))
    assert isinstance(answer, SignedBatch)
    assert [type(each) for each in answer.results] == [SignedItem, Refused, SignedItem]
    refused(answer.results[1], "internal", "IndexError")
    assert "canary" not in str(answer) + "".join(room.notes)
    room.notes.clear()


# -- the rest --------------------------------------------------------------------------------------------------------
def test_secrets_are_in_no_answer_and_on_no_disk_in_the_open(room: SignRoom, pair: KeyPair, certificate: bytes):
    """The tag key is used at birth and kept nowhere; the passphrase is in no file of the signer's."""
    from tests.strongroom.signroom import PASSPHRASE, TAG_KEY

    room.sign(pair, certificate, room.request(pair, certificate))
    written = b"".join(path.read_bytes() for path in room.directory.rglob("*") if path.is_file())
    for secret in (TAG_KEY, TAG_KEY.hex().encode(), PASSPHRASE.encode(), msgspec.json.encode(TAG_KEY).strip(b'"')):
        assert secret not in written
    assert "assphrase" not in repr(room.signer) + repr(room.keys) + str(room.client.health())


def test_the_signer_does_not_answer_other_questions(room: SignRoom):
    """A question for another process, and too much at once, are refused."""
    with pytest.raises(BadInput):
        room.signer.handle(LogHealth())
    appended = room.log.append([intent("x")], 0)
    with pytest.raises(TooLarge):
        room.send(appended, [None] * (MAX_ITEMS + 1))  # type: ignore[list-item]


def test_a_signer_must_know_its_log(tmp_path: Path):
    """A verifier key that is none, or a witness's, is a mistake in the settings."""
    for vkey in ("log.example+00000000+AAAA", "", VERIFIER.vkey[:-4]):
        (tmp_path / vkey[-4:]).mkdir(exist_ok=True)
        with pytest.raises(Misused):
            SignRoom(tmp_path / vkey[-4:], log=vkey)


def test_an_empty_batch_and_one_refused_whole_leave_the_mark(room: SignRoom, pair: KeyPair, certificate: bytes):
    """The mark rises only when something is signed under it."""
    before = room.mark
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    assert room.send(appended, []) == SignedBatch(before, ())
    room.send(appended, room.items(appended, [canonical], certificate, path=()))
    assert room.client.health().mark == before
    room.send(appended, room.items(appended, [canonical], certificate))
    assert room.client.health().mark == appended.size
    assert canonical_json(room.client.health()) == canonical_json(room.client.health())
