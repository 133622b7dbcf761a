"""A request is refused for each thing that is wrong with it, or with its certificate, or its approvals.

Every refusal below is of a request that is signed as soon as the one thing is put right.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.strongroom.signroom import SALT, START, Person, SignRoom, description, refused, signed

from privyseal.errors import NotCompliant
from privyseal.strongroom.acts import Freeze, Unfreeze
from privyseal.strongroom.messages import SignedBatch
from privyseal.terms.keys import Assurance, KeyPair

ANNA, BORIS, CLARA = Person("anna"), Person("boris"), Person("clara")


# -- the request -----------------------------------------------------------------------------------------------------
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
        ({"described": tuple(description(n) for n in range(129))}, "bad-input"),
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


# -- the certificate -------------------------------------------------------------------------------------------------
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


@pytest.mark.parametrize("scheme", ["ed25519", "ml-dsa-65", "ecdsa-p256"])
def test_a_scheme_that_no_public_certificate_may_be_for_does_not_sign_under_one(tmp_path: Path, scheme: str):
    """In hardware too (CSBR 6.1.5.2): of the key's module nothing is said here, for files have none of such keys."""
    room = SignRoom(tmp_path, operators=[ANNA], operator_quorum=1, rehearsal=False)
    pair = room.key(by=[ANNA], scheme=scheme, rehearsal=False, approvers=(BORIS.approver,), quorum=1)
    held = room.signer._charters.get(pair.key_id)
    hardware = msgspec.structs.replace(held.protection, assurance=Assurance.HARDWARE)
    held = msgspec.structs.replace(held, protection=hardware)
    for authority, public in ((room.unknown_ca, True), (room.private_ca, False)):
        chain = (authority.issue(pair.public_key),)
        if public and scheme != "ecdsa-p256":
            with pytest.raises(NotCompliant, match=rf"of scheme {scheme}; CSBR 6\.1\.5\.2"):
                room.signer._judge._check_certificate(held, chain, room.now)
        else:
            room.signer._judge._check_certificate(held, chain, room.now)
    own = room.rehearsal_ca.issue(pair.public_key)
    if scheme != "ecdsa-p256":
        request = room.request(pair, own)
        approvals = (BORIS.approves(request.digest()),)
        refused(room.sign(pair, own, request, approvals=approvals), "bad-input", "no Authenticode signature")
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


# -- approvals -------------------------------------------------------------------------------------------------------
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
    refused(room.sign(pair, certificate, request, approvals=approvals, salt=SALT), "intent-spent")


def test_too_many_approvals_are_not_read(room: SignRoom, two_of_three: tuple[KeyPair, bytes]):
    """The number is limited before any signature is checked."""
    pair, certificate = two_of_three
    request = room.request(pair, certificate)
    approvals = (ANNA.approves(request.digest()),) * 65
    refused(room.sign(pair, certificate, request, approvals=approvals), "bad-input", "65 approvals")


def test_a_charter_that_asks_for_nobody_is_not_believed_outside_rehearsal(tmp_path: Path):
    """Whoever wrote such a charter past the checks of birth and Amend has still opened nothing."""
    room = SignRoom(tmp_path, operators=[ANNA], operator_quorum=1, rehearsal=False)
    pair = room.key(by=[ANNA], rehearsal=False, approvers=(BORIS.approver,), quorum=1)
    held = room.signer._charters.get(pair.key_id)
    for quorum, outcome in ((0, "Refused"), (1, "SignedItem")):
        charter = msgspec.structs.replace(held.charter, quorum=quorum)
        with room.signer._journal.database.writing() as transaction:
            room.signer._charters.put(transaction, msgspec.structs.replace(held, charter=charter))
        certificate = room.private_ca.issue(pair.public_key)
        request = room.request(pair, certificate, quorum)
        approvals = (BORIS.approves(request.digest()),)
        assert type(room.sign(pair, certificate, request, approvals=approvals)).__name__ == outcome
    room.close()
