"""The signer counts people in stages: by name or role, one stage upon the other, and never who asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.strongroom.authenticator import RP_ID, Authenticator
from tests.strongroom.signroom import Person, SignRoom, refused, signed

from privyseal.errors import NotPermitted
from privyseal.strongroom.acts import Amend, decode_act
from privyseal.strongroom.approvals import tally
from privyseal.strongroom.charters import Holding, check_charter
from privyseal.strongroom.messages import Acted
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import Approver, KeyPair, Passkey, Role, Stage
from privyseal.terms.requests import Approval, approvals_digest

ANNA, BORIS = Person("anna"), Person("boris")
KEY, TOUCH = Authenticator("kim"), Authenticator("sid", "ed25519", Role.SECURITY_OFFICER)
ALL = (ANNA.approver, BORIS.approver, KEY.approver, TOUCH.approver)
STAGES = (Stage(2, roles=(Role.APPROVER,)), Stage(1, names=("sid",)))


@pytest.fixture
def guarded(room: SignRoom) -> tuple[KeyPair, bytes]:
    """Return a key that asks for two approvers and then the security officer, and its certificate."""
    pair = room.key("guarded", approvers=ALL, quorum=3, stages=STAGES)
    return pair, room.rehearsal_ca.issue(pair.public_key)


def in_turn(digest: bytes, first: Sequence[Any] = (ANNA, KEY), last: Any = TOUCH) -> list[Approval]:
    """Have people agree, the last one upon those before."""
    given = [each.approves(digest) for each in first]
    return [*given, last.approves(digest, 1, approvals_digest(given))]


def test_stages_in_their_order_are_signed(room: SignRoom, guarded: tuple[KeyPair, bytes]) -> None:
    """Keys and passkeys mixed, handed in in any order: what counts is what each signed."""
    pair, certificate = guarded
    for number, first in enumerate([(ANNA, KEY), (BORIS, ANNA), (KEY, BORIS)]):
        request = room.request(pair, certificate, number)
        given = tuple(reversed(in_turn(request.digest(), first)))
        signed(room.sign(pair, certificate, request, approvals=given), pair, certificate, request)


def _wrong(digest: bytes, other: bytes) -> dict[str, list[Approval]]:
    good = in_turn(digest)
    early = TOUCH.approves(digest)
    return {
        "the officer alone": [good[2]],
        "one before, and the officer upon one": in_turn(digest, (ANNA,)),
        "one before, and the officer upon two": [good[0], good[2]],
        "the officer first": [*good[:2], early],
        "the officer first, said to be later": [*good[:2], msgspec.structs.replace(early, stage=1)],
        "upon other people": [BORIS.approves(digest), good[1], good[2]],
        "upon another request's approvals": [
            *good[:2],
            TOUCH.approves(digest, 1, approvals_digest(in_turn(other)[:2])),
        ],
        "of another request": in_turn(other),
        "three approvers and no officer": [each.approves(digest) for each in (ANNA, BORIS, KEY)],
        "an approver in the officer's place": in_turn(digest, (ANNA, KEY), KEY),
        "two stages further": [*good[:2], msgspec.structs.replace(good[2], stage=2)],
        "a stage before the first": [*good[:2], msgspec.structs.replace(good[2], stage=-1)],
        "the assertion taken away": [*good[:2], msgspec.structs.replace(good[2], assertion=None)],
        "an assertion beside a plain key": [msgspec.structs.replace(good[0], assertion=good[1].assertion), *good[1:]],
    }


@pytest.mark.parametrize("which", _wrong(bytes(32), bytes(31) + b"1"))
def test_whatever_is_not_in_order_is_refused(room: SignRoom, guarded: tuple[KeyPair, bytes], which: str) -> None:
    """Each would be signed if order, place or person did not matter."""
    pair, certificate = guarded
    request, other = (room.request(pair, certificate, number) for number in (0, 1))
    given = tuple(_wrong(request.digest(), other.digest())[which])
    refused(room.sign(pair, certificate, request, approvals=given), "not-permitted", "must approve exactly this")


def test_who_asked_is_not_counted(room: SignRoom, guarded: tuple[KeyPair, bytes]) -> None:
    """Neither under one key nor under another of the same member; and who asks must be said."""
    pair, certificate = guarded
    for asker, code in (("M-anna", "not-permitted"), ("M-kim", "not-permitted"), ("M-boris", "")):
        request = room.request(pair, certificate, requester=asker)
        outcome = room.sign(pair, certificate, request, approvals=tuple(in_turn(request.digest())))
        if code:
            refused(outcome, code, "must approve exactly this")
        else:
            signed(outcome, pair, certificate, request)
    nobody = room.request(pair, certificate, requester=msgspec.UNSET)
    outcome = room.sign(pair, certificate, nobody, approvals=tuple(in_turn(nobody.digest())))
    refused(outcome, "not-permitted", "does not say who asks")


def test_two_keys_of_one_person_are_one_person(room: SignRoom) -> None:
    """A spare key may be in the charter; it makes nobody two."""
    spare = msgspec.structs.replace(BORIS.approver, member="M-anna")
    pair = room.key("spare", approvers=(ANNA.approver, spare, KEY.approver), quorum=2)
    certificate = room.rehearsal_ca.issue(pair.public_key)
    request = room.request(pair, certificate)
    both = (ANNA.approves(request.digest()), BORIS.approves(request.digest()))
    refused(room.sign(pair, certificate, request, approvals=both), "not-permitted", "1 more of these must")
    more = (*both, KEY.approves(request.digest()))
    signed(room.sign(pair, certificate, request, approvals=more), pair, certificate, request)


def _passkey(**changes: Any) -> Approver:
    passkey = KEY.approver.passkey
    assert isinstance(passkey, Passkey)
    return msgspec.structs.replace(KEY.approver, passkey=msgspec.structs.replace(passkey, **changes))


@pytest.mark.parametrize(
    ("approvers", "quorum", "stages", "words"),
    [
        (ALL, 3, (Stage(3),) * 2, "another number"),
        (ALL, 6, (Stage(3),) * 2, "asks for 6"),
        (ALL, 4, (Stage(2, names=("sid",)), Stage(2)), "more different people"),
        (ALL, 2, (Stage(1, names=("sid",)), Stage(1, names=("sid",))), "more different people"),
        (ALL, 2, (Stage(1, names=("eve",)), Stage(1)), "'eve'"),
        (ALL, 1, (Stage(1, roles=(Role.CUSTODIAN,)),), "more different people"),
        (ALL, 1, (Stage(0), Stage(1)), "one or more"),
        (ALL, 4, (Stage(1),) * 9, "9 stages"),
        ((ANNA.approver, msgspec.structs.replace(BORIS.approver, member="M-anna")), 2, msgspec.UNSET, "more diff"),
        ((Approver("anna", ANNA.approver.public_key),), 1, msgspec.UNSET, "without its member"),
        ((_passkey(origins=("https://evil.example",)),), 1, msgspec.UNSET, "https origins"),
        ((_passkey(origins=("http://seal.example",)),), 1, msgspec.UNSET, "https origins"),
        ((_passkey(origins=(f"https://evil{RP_ID}",)),), 1, msgspec.UNSET, "https origins"),
        ((_passkey(origins=(f"https://{RP_ID}/x",)),), 1, msgspec.UNSET, "https origins"),
        ((_passkey(origins=()),), 1, msgspec.UNSET, "origins"),
        ((_passkey(rp_id=""),), 1, msgspec.UNSET, "relying party"),
        ((msgspec.structs.replace(KEY.approver, public_key=bytes(32)),), 1, msgspec.UNSET, "P-256, Ed25519 or RSA"),
        ((msgspec.structs.replace(ANNA.approver, role=Role.ADMINISTRATOR),), 1, msgspec.UNSET, "role is another"),
    ],
)  # fmt: skip
def test_a_charter_that_nobody_could_satisfy_is_refused(
    approvers: tuple[Approver, ...], quorum: int, stages: Any, words: str
) -> None:
    """When it is made, and not when the first release waits under it."""
    with pytest.raises(NotPermitted, match=words):
        check_charter(approvers, quorum, stages, rehearsal=False)


def test_charters_are_amended_in_the_stages_of_the_old_one(tmp_path: Path) -> None:
    """Operators agree as ever, the key's people in their order; new stages count from then on."""
    olga = Person("olga")
    room = SignRoom(tmp_path, operators=[olga], operator_quorum=1, rehearsal=False)
    pair = room.key(by=[olga], approvers=ALL, quorum=3, stages=STAGES, rehearsal=False)
    changes: dict[str, Any] = {"approvers": (ANNA.approver,), "quorum": 1, "stages": (Stage(1, names=("anna",)),)}
    act = Amend(key_id=pair.key_id, version=1, expires_at=room.birth().expires_at, **changes)
    digest = _act_digest(act)
    order = in_turn(digest)
    for given in ((), tuple(order[:2]), (order[0], order[2])):
        with pytest.raises(NotPermitted, match="must approve exactly this"):
            room.act(act, approvals=(olga.approves(digest), *given))
    done = room.act(act, approvals=(olga.approves(digest), *order))
    assert isinstance(done, Acted)
    assert done.key_pair.in_order == (Stage(1, names=("anna",)),)
    room.close()


def _act_digest(act: Amend) -> bytes:
    from privyseal.strongroom.acts import act_digest

    return act_digest(canonical_json(act))


def test_what_was_written_before_there_were_stages_reads_as_one(room: SignRoom) -> None:
    """Holdings and acts without stages, members and passkeys: one stage of anybody, and the very same octets again."""
    plain = (Approver("anna", ANNA.approver.public_key), Approver("boris", BORIS.approver.public_key))
    act = room.birth("old", approvers=plain, quorum=2)
    assert set(json.loads(canonical_json(act))["approvers"][0]) == {"name", "public_key", "role"}
    assert "stages" not in json.loads(canonical_json(act))
    assert decode_act(canonical_json(act)) == act
    pair = room.key("old", approvers=plain, quorum=2)
    (stored,) = room.signer._journal.database.read("SELECT holding FROM keys WHERE key_id = ?", (pair.key_id,))
    assert b"stages" not in stored[0] and b"member" not in stored[0]
    held = msgspec.json.decode(stored[0], type=Holding)
    assert held.charter.in_order == pair.in_order == (Stage(2),)
    certificate = room.rehearsal_ca.issue(pair.public_key)
    request = room.request(pair, certificate)
    given = tuple(each.approves(request.digest()) for each in (ANNA, BORIS))
    signed(room.sign(pair, certificate, request, approvals=given), pair, certificate, request)


def test_a_tally_says_upon_what_the_next_one_signs() -> None:
    """Empty in the first stage; then the digest of exactly those who counted."""
    digest = bytes(32)
    given = in_turn(digest)
    assert tally(given[:1], ALL, STAGES, digest).earlier == b""
    assert tally(given[:2], ALL, STAGES, digest).earlier == approvals_digest(given[:2])
    stranger = Person("eve").approves(digest, as_name="boris")
    assert tally([*given[:2], stranger], ALL, STAGES, digest).earlier == approvals_digest(reversed(given[:2]))
