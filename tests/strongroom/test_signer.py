"""The signer signs what is logged, approved and certified, and refuses each thing for its own reason.

Every refusal below is of a request that is signed as soon as the one thing is put right: most tests show that too.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.strongroom.logroom import KEY, ORIGIN, VERIFIER, intent
from tests.strongroom.signroom import SALT, START, Person, SignRoom, description

from privyseal.errors import BadInput, KeyStoreUnavailable, LogRolledBack, Misused, TooLarge, Unlogged
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.keystore.softfile import SoftFile
from privyseal.pki.certificates import verify
from privyseal.strongroom import logkey
from privyseal.strongroom.acts import Freeze, Unfreeze
from privyseal.strongroom.durable import Database
from privyseal.strongroom.messages import LogHealth, Refused, SignedBatch, SignedItem, Stale
from privyseal.strongroom.signer import MAX_ITEMS
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import KeyPair
from privyseal.terms.requests import SigningRequest
from privyseal.terms.signatures import ToBeSigned
from privyseal.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from privyseal.tlog.note import Signer as NoteSigner

ANNA, BORIS, CLARA = Person("anna"), Person("boris"), Person("clara")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[SignRoom]:
    room = SignRoom(tmp_path)
    yield room
    room.close()
    assert room.notes == []


@pytest.fixture
def pair(room: SignRoom) -> KeyPair:
    return room.key()


@pytest.fixture
def certificate(room: SignRoom, pair: KeyPair) -> bytes:
    return room.rehearsal_ca.issue(pair.public_key)


def refused(outcome: object, code: str, words: str = "") -> None:
    assert isinstance(outcome, Refused), outcome
    assert (outcome.code, words in f"{outcome.detail} {outcome.hint}") == (code, True), outcome


def signed(outcome: object, pair: KeyPair, certificate: bytes, request: SigningRequest) -> None:
    """The values verify over octets that the format builds, here, from the request."""
    assert isinstance(outcome, SignedItem), outcome
    octets: list[ToBeSigned] = []
    for described in request.described:
        code_format = catalogue.BY_NAME[described.format]
        octets += code_format.to_be_signed(described, Identity((certificate,), pair.scheme), request.options)
    assert len(octets) == len(outcome.values)
    for tbs, value in zip(octets, outcome.values, strict=True):
        verify(pair.public_key, tbs, value)


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


# -- the head ------------------------------------------------------------------------------------------------------
def test_a_head_by_another_key_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """A note of the same name and content that another key signed proves nothing."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    head = open_checkpoint(appended.checkpoint, VERIFIER)
    other = Ed25519PrivateKey.generate()
    forged = sign_checkpoint(head, NoteSigner(logkey.verifier(ORIGIN, other), other.sign))
    flipped = appended.checkpoint[:-10] + b"AAAA" + appended.checkpoint[-6:]
    for checkpoint in (forged, flipped, b"", b"x" * 100_000, head.body()):
        with pytest.raises(Unlogged, match="not one that the log signed"):
            room.send(appended, items, checkpoint=checkpoint)
    assert isinstance(room.send(appended, items), SignedBatch)


def test_a_head_of_another_log_by_the_same_key_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """The name is part of what the signer believes."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    head = open_checkpoint(appended.checkpoint, VERIFIER)
    other = sign_checkpoint(
        Checkpoint("log.example/other", head.size, head.root),
        NoteSigner(logkey.verifier("log.example/other", KEY), KEY.sign),
    )
    with pytest.raises(Unlogged):
        room.send(appended, room.items(appended, [canonical], certificate), checkpoint=other)


def forked(size: int) -> bytes:
    """A head that the log's own key signed over another tree."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, bytes(32)), NoteSigner(VERIFIER, KEY.sign))


def test_a_head_that_does_not_extend_the_mark_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """A log with two histories, both signed by its key, gets nowhere: the signer remembers which one it saw."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    for consistency in (appended.consistency, (), (bytes(32),) * 64, (*appended.consistency, bytes(32))):
        with pytest.raises(Unlogged, match="not proven to extend"):
            room.send(appended, items, checkpoint=forked(appended.size), consistency=consistency)
    with pytest.raises(Unlogged, match="not proven to extend"):
        room.send(appended, items, consistency=())
    assert isinstance(room.send(appended, items), SignedBatch)


def test_a_log_that_was_put_back_is_refused_with_both_sizes(room: SignRoom, pair: KeyPair, certificate: bytes):
    """A smaller head, and another root at the same size, are LogRolledBack, also after a restart."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    room.send(appended, items)
    for _ in range(2):
        with pytest.raises(LogRolledBack, match=f"shows 1 entries, and this signer has acted under {room.mark}"):
            room.send(appended, items, checkpoint=forked(1), since=room.mark, consistency=())
        with pytest.raises(LogRolledBack, match="another root"):
            room.send(appended, items, checkpoint=forked(room.mark), since=room.mark, consistency=())
        room.restart()


def test_a_proof_from_another_mark_is_stale_and_changes_nothing(room: SignRoom, pair: KeyPair, certificate: bytes):
    """The signer says where it stands; asked from there, the same items are signed."""
    canonical = room.request(pair, certificate).canonical()
    appended = room.logged(canonical, tag=pair.key_tag)
    items = room.items(appended, [canonical], certificate)
    for since in (0, room.mark + 1, 2**60, -1):
        answer = room.send(appended, items, since=since)
        assert answer == Stale(room.mark)
    assert isinstance(room.send(appended, items), SignedBatch)


# -- the intent ----------------------------------------------------------------------------------------------------
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
    refused(answer.results[1], "unlogged", "spent already")
    if restarted:
        room.restart()
    again = room.log.prove([appended.items[0].index], room.mark)
    answer = room.send(again, room.items(again, [canonical], certificate))
    assert isinstance(answer, SignedBatch)
    refused(answer.results[0], "unlogged", "spent already")


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


# -- the request ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"certificate"', b'{ "certificate"'),
        (b'"mode":"local"', b'"mode":"local","mode":"local"'),
        (b'"mode":"local"', b'"mode":"elsewhere"'),
        (b'"mode":"local"', b'"mode":"local","more":1'),
        (b'"mode":"local"', b'"mod\\u0065":"local"'),
        (b'"options":{}', b'"options":{"timestamp":true}'),
        (b"}]", b"}"),
        (b"sha256", b"sha1"),
    ],
    ids=str,
)
def test_octets_that_are_not_the_canonical_request_are_refused(
    room: SignRoom, pair: KeyPair, certificate: bytes, old: bytes, new: bytes
):
    """One meaning has one form: whatever else was logged and approved is not signed."""
    canonical = room.request(pair, certificate).canonical()
    spoilt = canonical.replace(old, new, 1)
    assert spoilt != canonical
    appended = room.logged(spoilt, tag=pair.key_tag)
    answer = room.send(appended, room.items(appended, [spoilt], certificate))
    assert isinstance(answer, SignedBatch)
    refused(answer.results[0], "bad-input")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"subscriber": "acme"}, "not-permitted"),
        ({"key": "other"}, "not-permitted"),
        ({"scheme": "rsa-3072"}, "not-permitted"),
        ({"key_id": "0" * 64}, "not-found"),
        ({"described": ()}, "bad-input"),
        ({"described": (msgspec.structs.replace(description(0), format="elf"),)}, "bad-input"),
        ({"described": (msgspec.structs.replace(description(0), digest=b"short"),)}, "bad-input"),
        ({"described": tuple(description(n) for n in range(65))}, "bad-input"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_request_that_contradicts_itself_is_refused(
    room: SignRoom, pair: KeyPair, certificate: bytes, changes: dict[str, Any], code: str
):
    """What people are shown, Subscriber, key name, scheme, format, is what the key is and what is signed."""
    request = room.request(pair, certificate, **changes)
    refused(room.sign(pair, certificate, request), code)


def test_several_pieces_of_code_are_several_uses(room: SignRoom, pair: KeyPair, certificate: bytes):
    """An intent names how many signatures are made; with the right number all are made."""
    request = room.request(pair, certificate, described=(description(1), description(2)))
    refused(room.sign(pair, certificate, request), "unlogged")
    canonical = request.canonical()
    appended = room.logged(canonical, tag=pair.key_tag, uses=2)
    answer = room.send(appended, room.items(appended, [canonical], certificate))
    assert isinstance(answer, SignedBatch)
    signed(answer.results[0], pair, certificate, request)


def test_an_expired_request_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """Good until its last second, refused after it."""
    request = room.request(pair, certificate)
    room.now = request.expires_at
    signed(room.sign(pair, certificate, request), pair, certificate, request)
    late = room.request(pair, certificate, 1)
    room.now = late.expires_at + timedelta(microseconds=1)
    refused(room.sign(pair, certificate, late), "denied", "expired")


def test_a_frozen_key_signs_nothing_until_it_is_unfrozen(room: SignRoom, pair: KeyPair, certificate: bytes):
    """Freeze stops the very next request, a restart does not thaw, Unfreeze does."""
    until = room.now + timedelta(hours=1)
    room.act(Freeze(key_id=pair.key_id, version=1, reason="suspected", expires_at=until))
    request = room.request(pair, certificate)
    refused(room.sign(pair, certificate, request), "denied", "frozen")
    room.restart()
    refused(room.sign(pair, certificate, room.request(pair, certificate, 1)), "denied", "frozen")
    room.act(Unfreeze(key_id=pair.key_id, version=2, reason="cleared", expires_at=until))
    request = room.request(pair, certificate, 2)
    signed(room.sign(pair, certificate, request), pair, certificate, request)


# -- the certificate -----------------------------------------------------------------------------------------------
def test_another_certificate_than_the_request_names_is_refused(room: SignRoom, pair: KeyPair, certificate: bytes):
    """Also one of the same key and CA: the request says which."""
    other = room.rehearsal_ca.issue(pair.public_key)
    request = room.request(pair, certificate)
    refused(room.sign(pair, certificate, request, chain=(other,)), "bad-input", "not the one that the request names")
    refused(room.sign(pair, certificate, room.request(pair, certificate, 1), chain=()), "bad-input", "chain of 0")
    refused(room.sign(pair, certificate, room.request(pair, certificate, 2), chain=(certificate,) * 17), "bad-input")


def test_a_certificate_for_another_key_is_refused(room: SignRoom, pair: KeyPair):
    """The certificate's public key is the key's, or nothing is signed under it."""
    other = room.key("other")
    certificate = room.rehearsal_ca.issue(other.public_key)
    refused(room.sign(pair, certificate, room.request(pair, certificate)), "not-permitted", "not for this key")


@pytest.mark.parametrize(("start", "days"), [(START + timedelta(seconds=1), 30), (START - timedelta(days=30), 29)])
def test_a_certificate_that_is_not_in_force_is_refused(room: SignRoom, pair: KeyPair, start: Any, days: int):
    """Neither before its time nor after."""
    certificate = room.rehearsal_ca.issue(pair.public_key, start, days)
    refused(room.sign(pair, certificate, room.request(pair, certificate)), "not-permitted", "not now")


def test_a_certificate_that_ends_within_the_second_is_still_good(room: SignRoom, pair: KeyPair):
    """Both ends of the validity period belong to it (RFC 5280 4.1.2.5)."""
    certificate = room.rehearsal_ca.issue(pair.public_key, START - timedelta(days=30), 30)
    request = room.request(pair, certificate)
    signed(room.sign(pair, certificate, request), pair, certificate, request)
    room.now += timedelta(seconds=1)
    refused(room.sign(pair, certificate, room.request(pair, certificate, 1)), "not-permitted", "not now")


@pytest.mark.parametrize("rehearsal", [True, False])
def test_a_software_key_never_signs_under_a_public_certificate(tmp_path: Path, rehearsal: bool):
    """An anchor that nobody pinned counts as public; the refusal names CSBR 6.2.7.3 and nothing overrides it."""
    room = SignRoom(tmp_path, operators=[ANNA], operator_quorum=1, rehearsal=False)
    pair = room.key(by=[ANNA], rehearsal=rehearsal, approvers=(BORIS.approver,), quorum=1)
    certificate = room.unknown_ca.issue(pair.public_key)
    request = room.request(pair, certificate)
    approvals = (BORIS.approves(request.digest()),)
    refused(room.sign(pair, certificate, request, approvals=approvals), "not-compliant", "6.2.7.3")
    for chain in ((certificate, room.unknown_ca.der), (certificate, room.private_ca.der), (certificate, b"junk")):
        refused(room.sign(pair, certificate, request, approvals=approvals, chain=chain), "not-compliant", "6.2.7.3")
    room.close()


def test_a_key_for_rehearsal_is_not_promoted_and_a_private_one_signs(tmp_path: Path):
    """Under a private certificate a key born in rehearsal signs nothing (PKfail 2024); one that was not does."""
    room = SignRoom(tmp_path, operators=[ANNA], operator_quorum=1, rehearsal=False)
    for rehearsal in (True, False):
        pair = room.key(f"r{rehearsal}".lower(), by=[ANNA], rehearsal=rehearsal, approvers=(BORIS.approver,), quorum=1)
        certificate = room.private_ca.issue(pair.public_key)
        request = room.request(pair, certificate)
        outcome = room.sign(pair, certificate, request, approvals=(BORIS.approves(request.digest()),))
        if rehearsal:
            refused(outcome, "not-permitted", "born in rehearsal")
        else:
            signed(outcome, pair, certificate, request)
    room.close()


# -- approvals -----------------------------------------------------------------------------------------------------
@pytest.fixture
def two_of_three(room: SignRoom) -> tuple[KeyPair, bytes]:
    pair = room.key("guarded", approvers=tuple(one.approver for one in (ANNA, BORIS, CLARA)), quorum=2)
    return pair, room.rehearsal_ca.issue(pair.public_key)


def test_enough_approvals_are_enough(room: SignRoom, two_of_three: tuple[KeyPair, bytes]):
    """Any two of three, in any order, with useless ones beside them."""
    pair, certificate = two_of_three
    for number, who in enumerate([(ANNA, BORIS), (CLARA, ANNA), (BORIS, CLARA), (ANNA, BORIS, CLARA)]):
        request = room.request(pair, certificate, number)
        approvals = (Person("eve").approves(request.digest()), *(one.approves(request.digest()) for one in who))
        signed(room.sign(pair, certificate, request, approvals=approvals), pair, certificate, request)


def false_approvals(digest: bytes) -> dict[str, Sequence[Any]]:
    """Anna's approval is true; what stands beside it is not."""
    anna, boris = ANNA.approves(digest), BORIS.approves(digest)
    return {
        "none": (),
        "one": (anna,),
        "the same twice": (anna, anna),
        "one person under two names": (anna, ANNA.approves(digest, as_name="boris")),
        "over another digest": (anna, BORIS.approves(bytes(32))),
        "says this digest, signs another": (anna, BORIS.approves(digest, over=bytes(32))),
        "signs this digest, says another": (anna, msgspec.structs.replace(boris, request_digest=bytes(32))),
        "a stranger": (anna, Person("eve").approves(digest)),
        "a stranger under a known name": (anna, Person("eve").approves(digest, as_name="boris")),
        "a known key under a strange name": (anna, BORIS.approves(digest, as_name="eve")),
        "somebody else's signature": (anna, msgspec.structs.replace(boris, signature=anna.signature)),
        "an empty signature": (anna, msgspec.structs.replace(boris, signature=b"")),
        "the bare digest signed": (anna, msgspec.structs.replace(boris, signature=BORIS.key.sign(digest))),
    }


@pytest.mark.parametrize("which", false_approvals(bytes(32)))
def test_not_enough_true_approvals_are_refused(room: SignRoom, two_of_three: tuple[KeyPair, bytes], which: str):
    """Each approval counts only if the charter's key for that name signed exactly this request, once a person."""
    pair, certificate = two_of_three
    request = room.request(pair, certificate)
    approvals = tuple(false_approvals(request.digest())[which])
    refused(room.sign(pair, certificate, request, approvals=approvals), "not-permitted", "must approve exactly this")
    good = tuple(one.approves(request.digest()) for one in (ANNA, BORIS))
    signed(room.sign(pair, certificate, request, approvals=good), pair, certificate, request)


def test_what_was_approved_is_signed_once(room: SignRoom, two_of_three: tuple[KeyPair, bytes]):
    """The same approvals do not give a second signature under a second intent, nor twice in one batch."""
    pair, certificate = two_of_three
    request = room.request(pair, certificate)
    canonical = request.canonical()
    approvals = tuple(one.approves(request.digest()) for one in (ANNA, BORIS))
    first = room.logged(canonical, tag=pair.key_tag)
    other_salt = bytes(32)
    room.logged(canonical, tag=pair.key_tag, salt=other_salt)
    both = room.log.prove([first.items[0].index, first.items[0].index + 1], room.mark)
    items = room.items(both, [canonical, canonical], certificate, approvals=approvals)
    items[1] = msgspec.structs.replace(items[1], salt=other_salt)
    answer = room.send(both, items)
    assert isinstance(answer, SignedBatch)
    signed(answer.results[0], pair, certificate, request)
    refused(answer.results[1], "denied", "one use")
    room.restart()
    refused(room.sign(pair, certificate, request, approvals=approvals, salt=SALT), "unlogged")


def test_too_many_approvals_are_not_read(room: SignRoom, two_of_three: tuple[KeyPair, bytes]):
    """The number is limited before any signature is checked."""
    pair, certificate = two_of_three
    request = room.request(pair, certificate)
    approvals = (ANNA.approves(request.digest()),) * 65
    refused(room.sign(pair, certificate, request, approvals=approvals), "bad-input", "65 approvals")


# -- the key store -------------------------------------------------------------------------------------------------
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


@pytest.mark.parametrize("scheme", ["ecdsa-p256", "rsa-3072"])
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
def test_a_wrong_signature_never_leaves(room: SignRoom, scheme: str, spoil: Any, code: str):
    """Whatever the key store gives, only what verifies under the public key is answered; neighbours are."""
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


# -- the rest ------------------------------------------------------------------------------------------------------
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
