"""Keys are born, amended, frozen and destroyed only when it was logged and agreed to by those who must."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.strongroom.signroom import TAG_KEY, Person, SignRoom

from privyseal.errors import BadInput, Conflict, Denied, KeyStoreUnavailable, NotFound, NotPermitted, Unlogged
from privyseal.keystore.softfile import SoftFile
from privyseal.pki.certificates import key_id
from privyseal.strongroom.acts import Amend, Destroy, Freeze, Generate, Unfreeze, act_digest
from privyseal.strongroom.durable import Database
from privyseal.strongroom.messages import Acted, Stale
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import Approver, Assurance, KeyPair
from privyseal.terms.parties import Role
from privyseal.terms.signatures import ToBeSigned
from privyseal.tlog.entry import key_tag

OLGA, OTTO, ODA = Person("olga"), Person("otto"), Person("oda")
ANNA, BORIS, CLARA = Person("anna"), Person("boris"), Person("clara")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[SignRoom]:
    """A signer with three operators, two of whom must agree."""
    room = SignRoom(tmp_path, operators=[OLGA, OTTO, ODA], operator_quorum=2, rehearsal=False)
    yield room
    room.close()


@pytest.fixture
def pair(room: SignRoom) -> KeyPair:
    return born(room)


def born(room: SignRoom, name: str = "release", **changes: Any) -> KeyPair:
    plain = {"approvers": (ANNA.approver, BORIS.approver), "quorum": 1, "rehearsal": False}
    return room.key(name, by=[OLGA, OTTO], **(plain | changes))


def until(room: SignRoom) -> Any:
    return room.now + timedelta(hours=1)


def test_a_key_is_born_under_its_charter(room: SignRoom, pair: KeyPair):
    """The Key Pair, the charter and the log's pseudonym say what was agreed to, also after a restart."""
    assert (pair.subscriber, pair.name, pair.scheme, pair.rehearsal) == ("demo", "release", "ecdsa-p256", False)
    assert pair.key_id == key_id(pair.public_key)
    assert pair.key_tag == key_tag(TAG_KEY, pair.public_key)
    assert pair.protection.assurance is Assurance.SOFTWARE
    assert pair.born == room.now
    for _ in range(2):
        read = room.client.charter(pair.key_id)
        assert read.key_pair == pair
        assert (read.charter.approvers, read.charter.quorum, read.charter.version) == (
            (ANNA.approver, BORIS.approver),
            1,
            1,
        )
        assert room.client.health().keys == 1
        room.restart()


def test_the_same_birth_again_is_the_same_key(room: SignRoom, pair: KeyPair):
    """An answer that was lost is asked for again, under a new intent; another birth of that name is Conflict."""
    same = {"approvers": (ANNA.approver, BORIS.approver), "quorum": 1, "rehearsal": False}
    assert room.key("release", by=[OLGA, OTTO], **same) == pair
    with pytest.raises(Conflict, match="There is or was"):
        born(room, quorum=2)
    assert room.client.health().keys == 1


@pytest.mark.parametrize("when", ["generated, not written", "not generated"])
def test_a_birth_that_was_cut_short_does_not_block_the_name(room: SignRoom, when: str, monkeypatch: pytest.MonkeyPatch):
    """Whether the key store had the key or not: the next birth of that name, with its own intent, succeeds."""
    with monkeypatch.context() as broken:
        if when == "not generated":

            def gone(*_: object) -> str:
                raise KeyStoreUnavailable("gone")

            broken.setattr(SoftFile, "generate", gone)
        else:

            def cut(self: SoftFile, uri: str) -> bytes:
                raise KeyStoreUnavailable("cut short after generate")

            broken.setattr(SoftFile, "public_key", cut)
        with pytest.raises(KeyStoreUnavailable):
            born(room)
    room.restart()
    room.mark = room.client.health().mark
    with pytest.raises(Unlogged, match="spent already"):
        born(room)
    room.now += timedelta(seconds=1)  # another act, and so another intent
    pair = born(room)
    assert room.client.charter(pair.key_id).key_pair == pair
    assert room.client.health().keys == 1


@pytest.mark.parametrize(
    "by",
    [[], [OLGA], [OLGA, OLGA], [OLGA, ANNA], [ANNA, BORIS]],
    ids=["nobody", "one", "one twice", "one and an approver", "approvers"],
)
def test_a_birth_needs_the_operators_quorum(room: SignRoom, by: Sequence[Person]):
    """Two distinct operators, and nobody else counts."""
    with pytest.raises(NotPermitted, match="must approve exactly this"):
        room.key("release", by=by, approvers=(ANNA.approver,), quorum=1, rehearsal=False)
    assert room.client.health().keys == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quorum": 0}, "asks for no approval"),
        ({"approvers": (), "quorum": 0}, "asks for no approval"),
        ({"quorum": 3}, "asks for 3 approvals"),
        ({"quorum": -1}, "asks for -1 approvals"),
        ({"approvers": (ANNA.approver, ANNA.approver)}, "twice"),
        ({"approvers": (ANNA.approver, Approver("anna2", ANNA.approver.public_key))}, "twice"),
        ({"approvers": (Approver("anna", b"short"),)}, "32 octets"),
        ({"approvers": (Approver("anna", ANNA.approver.public_key, Role.AUDITOR),)}, "role is another"),
        ({"approvers": tuple(Person(f"p{n}").approver for n in range(65))}, "at most 64"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_charter_that_could_not_be_kept_is_refused(
    room: SignRoom, pair: KeyPair, changes: dict[str, Any], words: str
):
    """Neither at birth nor by Amend."""
    with pytest.raises(NotPermitted, match=words):
        born(room, "other", **changes)
    plain: dict[str, Any] = {"approvers": (ANNA.approver,), "quorum": 1}
    act = Amend(key_id=pair.key_id, version=1, expires_at=until(room), **(plain | changes))
    with pytest.raises(NotPermitted, match=words):
        room.act(act, by=[OLGA, OTTO, ANNA])


def test_a_rehearsal_signer_gives_birth_for_rehearsal_only(tmp_path: Path):
    """Where no operator need agree, no key for anything else is born; and such a key may ask for nobody."""
    room = SignRoom(tmp_path)
    with pytest.raises(NotPermitted, match="rehearsal"):
        room.key(rehearsal=False, approvers=(ANNA.approver,), quorum=1)
    assert room.key().rehearsal
    room.close()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"salt": bytes(32)},
        {"salt": b""},
        {"key_seq": 5},
        {"index": 0},
        {"path": ()},
        {"tag_key": bytes(32)},
        {"tag_key": b""},
        {"payload": b"{}"},
        {"payload": b"nothing"},
        {"payload": canonical_json({"verb": "generate"})},
    ],
    ids=str,
)
def test_an_act_that_is_not_the_logged_one_is_refused(room: SignRoom, pair: KeyPair, spoilt: dict[str, Any]):
    """Another salt, place, tag key or payload than the intent in the log."""
    act = room.birth("other", approvers=(ANNA.approver,), quorum=1, rehearsal=False)
    with pytest.raises((BadInput, Unlogged)):
        room.act(act, by=[OLGA, OTTO], **spoilt)
    assert isinstance(room.act(act, by=[OLGA, OTTO]), Acted)


def test_a_tag_key_that_nobody_agreed_to_is_refused(room: SignRoom):
    """Even if the intent was logged under it: the act names by its hash the one that pseudonyms are made with."""
    act = room.birth(approvers=(ANNA.approver,), quorum=1, rehearsal=False)
    other = bytes(range(32))
    with pytest.raises(BadInput, match="not the one that the act names"):
        room.act(act, tag=key_tag(other, act.label.encode()), by=[OLGA, OTTO], tag_key=other)
    assert isinstance(room.act(act, by=[OLGA, OTTO]), Acted)


def test_an_act_logged_with_another_verb_or_tag_is_refused(room: SignRoom, pair: KeyPair):
    """An intent to freeze is no intent to destroy, and one key's is not another's."""
    other = born(room, "other")
    act = Freeze(key_id=pair.key_id, version=1, reason="", expires_at=until(room))
    with pytest.raises(Unlogged):
        room.act(act, tag=other.key_tag, by=[OLGA])
    digest = act_digest(canonical_json(act))
    assert digest != act_digest(canonical_json(msgspec.structs.replace(act, reason="x")))
    assert isinstance(room.act(act, by=[OLGA]), Acted)


def acts(room: SignRoom, pair: KeyPair, version: int = 1) -> dict[str, Any]:
    """One act of each kind on a key."""
    plain: dict[str, Any] = {"key_id": pair.key_id, "version": version, "expires_at": until(room)}
    return {
        "amend": Amend(approvers=(CLARA.approver,), quorum=1, **plain),
        "freeze": Freeze(reason="r", **plain),
        "unfreeze": Unfreeze(reason="r", **plain),
        "destroy": Destroy(reason="r", **plain),
    }


@pytest.mark.parametrize("which", ["amend", "unfreeze", "destroy"])
@pytest.mark.parametrize(
    "by",
    [[], [OLGA, OTTO], [ANNA], [OLGA, ANNA], [OLGA, OLGA, ANNA], [OLGA, OTTO, CLARA]],
    ids=["nobody", "operators", "approver", "one operator", "one operator twice", "a future approver"],
)
def test_changes_need_operators_and_the_key_s_own_approvers(
    room: SignRoom, pair: KeyPair, which: str, by: Sequence[Person]
):
    """Neither the platform's operators nor the Subscriber's approvers can act alone, nor who is to become one."""
    version = 1
    if which == "unfreeze":
        room.act(acts(room, pair)["freeze"], by=[OLGA])
        version = 2
    act = acts(room, pair, version)[which]
    with pytest.raises(NotPermitted):
        room.act(act, by=by)
    assert room.client.charter(pair.key_id).charter.version == version
    assert isinstance(room.act(act, by=[OLGA, OTTO, BORIS]), Acted)


@pytest.mark.parametrize("by", [[OLGA], [ANNA], [BORIS], [OTTO, ANNA]], ids=lambda by: "+".join(p.name for p in by))
def test_anyone_who_is_trusted_can_freeze(room: SignRoom, pair: KeyPair, by: Sequence[Person]):
    """One operator or one approver is enough; a stranger is not, nor is nobody."""
    act = acts(room, pair)["freeze"]
    for wrong in ([], [CLARA]):
        with pytest.raises(NotPermitted):
            room.act(act, by=wrong)
    answer = room.act(act, by=by)
    assert isinstance(answer, Acted) and answer.key_pair.frozen
    with pytest.raises(Conflict, match="frozen already"):
        room.act(acts(room, pair, 2)["freeze"], by=by)


def test_an_amended_charter_is_what_counts_from_then_on(room: SignRoom, pair: KeyPair):
    """The new approvers sign and agree, the old ones no longer do; the version counts up."""
    answer = room.act(acts(room, pair)["amend"], by=[OLGA, OTTO, ANNA])
    assert isinstance(answer, Acted) and answer.version == 2
    room.restart()
    certificate = room.private_ca.issue(pair.public_key)
    request = room.request(pair, certificate)
    outcomes = [
        type(room.sign(pair, certificate, request, approvals=(who.approves(request.digest()),))).__name__
        for who in (ANNA, CLARA)
    ]
    assert outcomes == ["Refused", "SignedItem"]
    with pytest.raises(NotPermitted):
        room.act(acts(room, pair, 2)["freeze"], by=[ANNA])
    assert isinstance(room.act(acts(room, pair, 2)["freeze"], by=[CLARA]), Acted)


def test_an_act_for_another_version_of_the_charter_is_refused(room: SignRoom, pair: KeyPair):
    """What was agreed to before a change is not carried out after it, so nothing can be played again."""
    freeze = acts(room, pair)["freeze"]
    room.act(freeze, by=[OLGA])
    room.act(acts(room, pair, 2)["unfreeze"], by=[OLGA, OTTO, ANNA])
    for version in (0, 1, 2, 4):
        with pytest.raises(Conflict, match=f"version {version}"):
            room.act(msgspec.structs.replace(freeze, version=version), by=[OLGA])
    assert isinstance(room.act(msgspec.structs.replace(freeze, version=3), by=[OLGA]), Acted)


def test_an_intent_of_an_act_is_good_for_one_act(room: SignRoom, pair: KeyPair):
    """A second act under the first one's intent is refused even if everything else fits."""
    certificate = room.private_ca.issue(pair.public_key)
    request = room.request(pair, certificate)
    frozen = room.act(acts(room, pair)["freeze"], by=[OLGA])
    assert isinstance(frozen, Acted)
    entries = room.log.health().size
    with pytest.raises(Conflict):  # the same submission has the same place in the log, and the charter moved on
        room.act(acts(room, pair)["freeze"], by=[OLGA])
    assert room.log.health().size == entries
    assert type(room.sign(pair, certificate, request)).__name__ == "Refused"


def test_an_act_expires(room: SignRoom, pair: KeyPair):
    """After its time it is not carried out, whoever agreed."""
    act = acts(room, pair)["freeze"]
    room.now += timedelta(hours=1, microseconds=1)
    with pytest.raises(Denied, match="expired"):
        room.act(act, by=[OLGA])


def test_an_act_under_another_mark_is_stale(room: SignRoom, pair: KeyPair):
    """The signer says where it stands and does nothing."""
    mark = room.mark
    assert room.act(acts(room, pair)["freeze"], by=[OLGA], since=0) == Stale(mark)
    assert isinstance(room.act(acts(room, pair)["freeze"], by=[OLGA]), Acted)


@pytest.mark.parametrize("cut", [False, True], ids=["at once", "after a crash in between"])
def test_a_destroyed_key_is_gone_for_good(room: SignRoom, pair: KeyPair, cut: bool, monkeypatch: pytest.MonkeyPatch):
    """Nothing is signed with it, its file holds no key, its name is not given again; a crash is made good."""
    certificate = room.private_ca.issue(pair.public_key)
    sealed = (room.directory / "keys/demo/release.key").read_bytes()
    act = acts(room, pair)["destroy"]
    if cut:

        def gone(*_: object) -> None:
            raise KeyStoreUnavailable("cut short")

        with monkeypatch.context() as broken:
            broken.setattr(SoftFile, "destroy", gone)
            with pytest.raises(KeyStoreUnavailable):
                room.act(act, by=[OLGA, OTTO, ANNA])
        assert (room.directory / "keys/demo/release.key").read_bytes() == sealed
        room.restart()
        room.mark = room.client.health().mark
    else:
        assert isinstance(room.act(act, by=[OLGA, OTTO, ANNA]), Acted)
    with pytest.raises(NotFound):
        room.keys.sign(pair.uri, [ToBeSigned(b"x", "sha256")])
    assert sealed[-200:] not in (room.directory / "keys/demo/release.key").read_bytes()
    request = room.request(pair, certificate)
    outcome = room.sign(pair, certificate, request, approvals=(ANNA.approves(request.digest()),))
    assert (type(outcome).__name__, getattr(outcome, "code", "")) == ("Refused", "not-found")
    with pytest.raises(NotFound):
        room.client.charter(pair.key_id)
    with pytest.raises(Conflict):
        born(room, quorum=2)
    assert room.client.health().keys == 0


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("which", ["amend", "freeze", "destroy"])
def test_a_commit_that_fails_leaves_a_charter_that_the_disk_says(
    room: SignRoom, pair: KeyPair, which: str, done: bool, monkeypatch: pytest.MonkeyPatch
):
    """An act is done or not done, never half; what is believed afterwards is what is on the disk."""
    commit: Callable[..., None] = Database.commit

    def failing(self: Database, connection: Any) -> None:
        if done:
            commit(self, connection)
        raise KeyStoreUnavailable("injected")

    with monkeypatch.context() as broken:
        broken.setattr(Database, "commit", failing)
        with pytest.raises(KeyStoreUnavailable):
            room.act(acts(room, pair)[which], by=[OLGA, OTTO, ANNA])
    if which == "destroy" and done:
        with pytest.raises(NotFound):
            room.client.charter(pair.key_id)
    else:
        assert room.client.charter(pair.key_id).charter.version == (2 if done else 1)


def test_the_birth_s_payload_does_not_show_the_tag_key(room: SignRoom):
    """Its receipt may be given to others; the key under which pseudonyms are made may not."""
    payload = canonical_json(room.birth())
    for shown in (TAG_KEY, TAG_KEY.hex().encode(), msgspec.json.encode(TAG_KEY)):
        assert shown not in payload
    assert isinstance(room.birth(), Generate)
