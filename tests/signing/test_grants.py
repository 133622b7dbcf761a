"""Grants in a whole service: proposed, agreed to, used until they are used up, revoked; and cut short anywhere."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import update
from tests.access import platform_tokens as tokens
from tests.signing.agreeing import ANN, BOB, PEOPLE, SID, Person, actor, guarded
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World, a_description
from tests.world import _Crash as Crash

from privyseal.access.platforms import GITHUB
from privyseal.access.trust import NewRule
from privyseal.errors import (
    BadInput,
    Conflict,
    Denied,
    Failed,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    PrivySealError,
    VerificationFailed,
)
from privyseal.records import deliveries, requests
from privyseal.records import grants as records
from privyseal.records.tables import grant_uses
from privyseal.records.tables import grants as table
from privyseal.signing import duties, forms_of_requests, granted, grants, machines, notices
from privyseal.signing.forms_of_requests import GrantShown, NewGrant, Revocation, UseAsked
from privyseal.signing.instance import Post
from privyseal.signing.issuers import Issuer, Issuers
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.signing.who_signed import who_signed
from privyseal.strongroom.acts import act_digest
from privyseal.terms.grants import audience, read_grant, used_octets
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State, approvals_digest
from privyseal.tlog.proof import Openings, parse_proof

AUDIENCE = "https://seal.example.org"
DEV = Actor(Member("M-dev", SUBSCRIBER, "dev", (Role.REQUESTER,)), (Factor.BEARER,))
ADMIN = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))


class Release:
    """A guarded key, a workflow that is trusted, and its machine."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pair = guarded(world)
        self.believe()
        rule = machines.add_rule(world.seal, ADMIN, SUBSCRIBER, NewRule(
            platform="github", name="acme/app", member="bot", conditions=tokens.RULES["github"]
        ))  # fmt: skip
        self.rule = rule.id
        self.bot = Actor(Member(rule.member, SUBSCRIBER, "bot", (Role.REQUESTER,), True), (Factor.WORKLOAD_TOKEN,))
        self.number = 0

    def believe(self) -> None:
        """Believe the platform; again after a crash."""
        known = Issuer(platform=GITHUB, issuer=GITHUB.issuer, audience=AUDIENCE, pinned=(tokens.public("RS256"),))
        self.world.seal.issuers = Issuers([known])

    def propose(self, **changes: Any) -> GrantShown:
        """Propose a grant for the workflow."""
        plain: dict[str, Any] = {"key": self.pair.name, "signatures": 3, "hours": 24, "rule": self.rule}
        return grants.propose(self.world.seal, DEV, NewGrant(**(plain | changes)))

    def agree(self, seen: GrantShown, people: tuple[Person, ...] = PEOPLE) -> GrantShown:
        """Have people agree, each in turn."""
        digest = bytes.fromhex(seen.digest)
        for person in people:
            first = [each for each in seen.approvals if each.stage == 0]
            stage = 0 if person is not SID else 1
            given = person.approves(digest, stage, approvals_digest(first) if stage else b"")
            seen = grants.agree(self.world.seal, actor(person.name), seen.id, given)
        return seen

    def agreed(self, **changes: Any) -> GrantShown:
        """Return a grant in force."""
        return self.agree(self.propose(**changes))

    def ask(self, **changes: Any) -> Dossier:
        """Ask for a signature, which waits for people."""
        self.number += 1
        plain = self.world.request(0, [a_description(self.number)], key=self.pair.name)
        request = msgspec.structs.replace(plain, **({"requester": self.bot.member.id} | changes))
        (found,) = submit(self.world.seal, [Submission(self.bot, f"n{self.number}", request)])
        assert isinstance(found, Dossier) and found.state is State.REQUESTED, found
        return found

    def token(self, dossier: Dossier, **changes: Any) -> bytes:
        """Return what the platform gives the job for this request."""
        return tokens.run(at=self.world.now, audience=audience(AUDIENCE, bytes.fromhex(dossier.digest)), **changes)

    def use(self, seen: GrantShown, dossier: Dossier, proof: bytes | None = None) -> Dossier:
        """Have a request come under a grant."""
        asked = UseAsked(grant=seen.id, proof=self.token(dossier) if proof is None else proof)
        return granted.use(self.world.seal, self.bot, dossier.id, asked)

    def sign(self, seen: GrantShown) -> Dossier | PrivySealError:
        """Ask, use, and take it to its end."""
        (outcome,) = advance(self.world.seal, [(SUBSCRIBER, self.use(seen, self.ask()).id)])
        return outcome

    def used(self, seen: GrantShown) -> int:
        """Return how many the records count."""
        with self.world.seal.records.reading(SUBSCRIBER) as tx:
            return records.get(tx, seen.id).used

    def counted(self) -> int:
        """Return how many the signer counts."""
        journal = self.world._rooms["signer"]._journal.database
        return int(journal.read("SELECT COALESCE(SUM(used), 0) FROM granted")[0][0])


@pytest.fixture
def release(world: World) -> Release:
    return Release(world)


def test_a_job_signs_under_a_grant_without_waiting_for_anybody(release: Release) -> None:
    """The record, the completion in the log and who-signed say granted; three times, and the fourth waits."""
    seen = release.agreed()
    assert (seen.state, seen.waiting_for) == ("agreed", ())
    first = release.sign(seen)
    assert isinstance(first, Dossier) and first.state is State.RELEASED and first.grant == seen.digest
    openings = msgspec.json.decode(parse_proof(first.receipt or "").extra or b"", type=Openings)
    assert f'"grant":"{seen.digest}"'.encode() in openings.completion.payload
    request = msgspec.json.decode(first.canonical, type=SigningRequest)
    approver = Actor(Member("M-x", SUBSCRIBER, "x", (Role.APPROVER,)), (Factor.BEARER,))
    (said,) = who_signed(release.world.seal, approver, request.described[0].digest.hex())
    assert said.grant == seen.id and set(said.approvers) == {"ann", "bob", "sid"}
    for _ in range(2):
        assert isinstance(release.sign(seen), Dossier)
    waits = release.ask()
    with pytest.raises(Denied, match="0 of 3 signatures are left, and 1"):
        release.use(seen, waits)
    with release.world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.get(tx, waits.id).state is State.REQUESTED
        assert granted.fitting(tx, waits.id, release.world.seal) == []
        assert grants.shown(tx, records.get(tx, seen.id), release.world.now).state == "used up"
    assert release.used(seen) == release.counted() == 3
    release.world.check()


def test_what_fits_is_offered_the_first_to_end_first(release: Release) -> None:
    """And what does not is not: another key's, another requester's, not agreed to, over."""
    later, sooner = release.agreed(hours=48), release.agreed(hours=2)
    release.propose()
    release.agreed(timestamp=False)
    release.agreed(publisher="Other")
    release.agreed(not_before=release.world.now + timedelta(hours=1))
    dossier = release.ask()
    with release.world.seal.records.reading(SUBSCRIBER) as tx:
        found = granted.fitting(tx, dossier.id, release.world.seal)
    assert [each.id for each in found] == [sooner.id, later.id]
    assert found[0].audience == audience(AUDIENCE, bytes.fromhex(dossier.digest))
    release.world.now += timedelta(hours=3)
    again = release.ask()
    with release.world.seal.records.reading(SUBSCRIBER) as tx:
        assert later.id in [each.id for each in granted.fitting(tx, again.id, release.world.seal)]
        assert sooner.id not in [each.id for each in granted.fitting(tx, again.id, release.world.seal)]


def test_a_bad_proof_leaves_the_request_waiting(release: Release) -> None:
    """People can still approve it; nothing is counted."""
    seen, dossier = release.agreed(), release.ask()
    other = release.ask()
    wrong = [
        (release.token(other), NotAuthenticated),
        (release.token(dossier, environment="beta"), NotPermitted),
        (tokens.run(at=release.world.now), NotAuthenticated),
        (b"", NotAuthenticated),
        (b"a.b.", NotAuthenticated),
    ]
    for proof, kind in wrong:
        with pytest.raises(kind):
            release.use(seen, dossier, proof)
    with pytest.raises(NotPermitted, match="by whoever asked"):
        granted.use(release.world.seal, DEV, dossier.id, UseAsked(grant=seen.id, proof=release.token(dossier)))
    with pytest.raises(NotFound):
        granted.use(release.world.seal, release.bot, dossier.id, UseAsked(grant="G-no", proof=b"x"))
    assert release.used(seen) == 0
    assert release.use(seen, dossier).state is State.APPROVED
    assert release.use(seen, dossier).state is State.APPROVED  # who lost the answer asks again
    assert release.used(seen) == 1
    with pytest.raises(Conflict, match="no longer waits"):
        release.use(release.agreed(), dossier)


def test_a_member_s_key_is_enough_where_people_agreed_to_it(release: Release) -> None:
    """The machine signs over grant and request with the key of its client certificate."""
    key = Ed25519PrivateKey.generate()
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    seen = release.agree(release.propose(rule="", public_key=spki, member=release.bot.member.id))
    dossier = release.ask()
    digests = bytes.fromhex(seen.digest), bytes.fromhex(dossier.digest)
    with pytest.raises(VerificationFailed):
        release.use(seen, dossier, key.sign(digests[1]))
    release.use(seen, dossier, key.sign(used_octets(*digests)))
    (outcome,) = advance(release.world.seal, [(SUBSCRIBER, dossier.id)])
    assert isinstance(outcome, Dossier) and outcome.state is State.RELEASED


def test_who_agrees_is_judged_before_it_is_written_down(release: Release) -> None:
    """The wrong digest, stage, person or key; the proposer; twice; after the last."""
    seen = release.propose()
    digest = bytes.fromhex(seen.digest)
    good = ANN.approves(digest)
    seal = release.world.seal
    wrong: list[tuple[str, Approval, type[PrivySealError]]] = [
        ("ann", ANN.approves(hashlib.sha256(b"other").digest()), VerificationFailed),
        ("ann", msgspec.structs.replace(good, signature=bytes(64)), VerificationFailed),
        ("ann", msgspec.structs.replace(good, approver="bob"), NotPermitted),
        ("bob", good, NotPermitted),
        ("sid", SID.approves(digest), NotPermitted),
        ("sid", SID.approves(digest, 1), Conflict),
    ]
    for name, approval, kind in wrong:
        with pytest.raises(kind):
            grants.agree(seal, actor(name), seen.id, approval)
    with pytest.raises(NotPermitted):
        grants.agree(seal, DEV, seen.id, good)
    for _ in range(2):
        assert grants.agree(seal, actor("ann"), seen.id, good).approvals == (good,)
    done = release.agree(grants.agree(seal, actor("bob"), seen.id, BOB.approves(digest)), (SID,))
    assert done.state == "agreed"
    with pytest.raises(Conflict, match="agreed to the grant already"):
        grants.agree(seal, actor("bob"), seen.id, BOB.approves(digest))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"key": "nothing"}, NotFound),
        ({"key": "release"}, NotPermitted),
        ({"rule": "T-none"}, NotFound),
        ({"formats": ("elf",)}, BadInput),
        ({"formats": ()}, BadInput),
        ({"rule": "", "public_key": b"x" * 44, "member": "bot"}, BadInput),
        ({"rule": "", "public_key": b"", "member": "bot"}, BadInput),
        ({"rule": "", "public_key": b"x" * 44, "member": "nobody"}, NotFound),
        ({"public_key": b"x" * 44}, BadInput),
        ({"where": {"ref": "refs/heads/*"}}, BadInput),
        ({"where": {"sub": "x"}}, BadInput),
    ],
)
def test_what_could_never_be_agreed_to_is_not_proposed(
    release: Release, changes: dict[str, Any], kind: type[PrivySealError]
) -> None:
    """One sentence, and nothing is written down."""
    with pytest.raises(kind):
        release.propose(**changes)
    with pytest.raises(BadInput):
        release.propose(not_before=release.world.now - timedelta(days=1))
    with pytest.raises(NotPermitted, match="by a person"):
        grants.propose(release.world.seal, release.bot, NewGrant(key="guarded", signatures=1, hours=1, rule="x"))
    with release.world.seal.records.reading(SUBSCRIBER) as tx:
        assert records.listed(tx) == []


def test_revoked_it_is_over_at_once_and_before_the_log(release: Release) -> None:
    """Also for a request that came under it and was not begun; the log then knows nothing of it."""
    seen = release.agreed()
    waits, begun = release.ask(), release.use(seen, release.ask())
    entries = len(release.world.entries())
    revoker = Actor(Member("M-r", SUBSCRIBER, "r", (Role.SECURITY_OFFICER,)), (Factor.BEARER,))
    for _ in range(2):
        after = grants.revoke(release.world.seal, revoker, seen.id, Revocation(reason="leak"))
        assert (after.state, after.revoked_by) == ("revoked", "M-r")
    with pytest.raises(Denied, match="was revoked"):
        release.use(seen, waits)
    with pytest.raises(Denied, match="revoked"):
        grants.agree(release.world.seal, actor("ann"), seen.id, ANN.approves(bytes(32)))
    (outcome,) = advance(release.world.seal, [(SUBSCRIBER, begun.id)])
    assert isinstance(outcome, Failed) and "was revoked" in outcome.detail
    duties.recover(release.world.seal)
    assert release.counted() == 0
    assert len(release.world.entries()) >= entries
    with pytest.raises(NotPermitted):
        grants.revoke(release.world.seal, DEV, seen.id, Revocation(reason="mine"))


def test_the_signer_is_told_by_an_approver_and_then_needs_no_records(release: Release) -> None:
    """Whoever puts the row back gets no signature out of it."""
    seen = release.agreed()
    begun = release.use(seen, release.ask())
    act = forms_of_requests.act_octets(release.pair.key_id, seen.digest, "leak", release.world.now + timedelta(hours=1))
    told = Revocation(reason="leak", act=act, approval=ANN.approves(act_digest(act)))
    wrong = forms_of_requests.act_octets(release.pair.key_id, "0" * 64, "leak", release.world.now + timedelta(hours=1))
    with pytest.raises(BadInput, match="not one that revokes this grant"):
        grants.revoke(release.world.seal, actor("ann"), seen.id, msgspec.structs.replace(told, act=wrong))
    grants.revoke(release.world.seal, actor("ann"), seen.id, told)
    with release.world.seal.records.writing(SUBSCRIBER) as tx:
        tx.connection.execute(update(table).values(revoked=None))
    (outcome,) = advance(release.world.seal, [(SUBSCRIBER, begun.id)])
    assert isinstance(outcome, PrivySealError) and "was revoked" in outcome.detail
    release.world.check()


def test_altered_rows_are_refused_by_the_signer(release: Release) -> None:
    """Whoever writes into the database signs nothing: more signatures, another time, other claims, another proof."""
    seen = release.agreed(signatures=1)
    grant = read_grant(seen.grant)
    changes: list[dict[str, Any]] = [
        {"signatures": 1000},
        {"until": grant.until + timedelta(days=1)},
        {"publisher": "Other"},
        {"requester": "M-else"},
        {"holder": msgspec.structs.replace(grant.holder, conditions=grant.holder.conditions[1:])},
    ]
    for change in changes:
        dossier = release.ask()
        altered = msgspec.structs.replace(grant, **change)
        with release.world.seal.records.writing(SUBSCRIBER) as tx:
            tx.connection.execute(update(table).values(canonical=altered.canonical()))
            locked = requests.locked(tx, dossier.id)
            under = records.use(tx, records.get(tx, seen.id), locked, release.token(dossier), 1, release.world.now)
            requests.move(tx, under, State.APPROVED)
        (outcome,) = advance(release.world.seal, [(SUBSCRIBER, dossier.id)])
        assert isinstance(outcome, PrivySealError), change
    with release.world.seal.records.writing(SUBSCRIBER) as tx:
        tx.connection.execute(update(table).values(canonical=grant.canonical()))
    dossier = release.ask()
    with release.world.seal.records.writing(SUBSCRIBER) as tx:  # a proof of another request
        under = records.use(
            tx, records.get(tx, seen.id), requests.locked(tx, dossier.id), b"x.y.z", 1, release.world.now
        )
        requests.move(tx, under, State.APPROVED)
    (outcome,) = advance(release.world.seal, [(SUBSCRIBER, dossier.id)])
    assert isinstance(outcome, PrivySealError)
    assert release.counted() == 0


def test_records_that_forget_uses_get_nothing_from_the_signer(release: Release) -> None:
    """The count that matters is the signer's."""
    seen = release.agreed(signatures=2)
    for _ in range(2):
        assert isinstance(release.sign(seen), Dossier)
    with release.world.seal.records.writing(SUBSCRIBER) as tx:
        tx.connection.execute(update(grant_uses).values(signatures=0))
    for _ in range(2):
        outcome = release.sign(seen)
        assert isinstance(outcome, PrivySealError) and "0 of 2 signatures are left" in outcome.detail
    assert release.counted() == 2


def test_a_token_that_ended_before_the_signer_was_there_is_refused(release: Release) -> None:
    """Then nothing is signed, and the job asks anew."""
    dossier = release.use(release.agreed(), release.ask())
    release.world.now += timedelta(minutes=20)
    (outcome,) = advance(release.world.seal, [(SUBSCRIBER, dossier.id)])
    assert isinstance(outcome, PrivySealError) and "expired" in outcome.detail
    assert release.counted() == 0


def test_ten_at_once_get_no_more_than_were_agreed_to(release: Release) -> None:
    """Ten jobs, seven signatures: seven come under it, three wait on."""
    seen = release.agreed(signatures=7)
    waiting = [release.ask() for _ in range(10)]
    outcomes: list[Dossier | PrivySealError] = []

    def one(dossier: Dossier) -> None:
        try:
            outcomes.append(release.use(seen, dossier))
        except PrivySealError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=one, args=(each,)) for each in waiting]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sum(isinstance(each, Dossier) for each in outcomes) == 7, outcomes
    assert sum(isinstance(each, Denied) for each in outcomes) == 3, outcomes
    done = advance(release.world.seal, [(SUBSCRIBER, each.id) for each in outcomes if isinstance(each, Dossier)])
    assert all(isinstance(each, Dossier) and each.state is State.RELEASED for each in done)
    assert release.used(seen) == release.counted() == 7
    release.world.check()


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_cut_short_around_the_count_it_is_signed_once_and_counted_once(
    release: Release, tmp_path: Path, way: Way, crash: bool
) -> None:
    """Each write around the count, of the signer and of the records, is lost or unreported, alive or dead of it."""
    seen, dossier = release.agreed(signatures=2), release.ask()
    copies = _copies(release, tmp_path)
    first = next(copies)
    first.use(seen, dossier)
    advance(first.world.seal, [(SUBSCRIBER, dossier.id)])
    steps = list(first.world.writes)
    first.world.discard()
    assert "signer's journal" in steps
    begins, ends = steps.index("signer: SignBatch") - 1, steps.index("signer: SignBatch") + 6
    for nth in [place for place in range(begins, ends) if not steps[place].startswith(("tile", "log's"))]:
        again = next(copies)
        world = again.world
        world.plan = Plan(nth, way, crash)
        for _ in range(3):
            with suppress(PrivySealError, Crash):
                again.use(seen, dossier)
                advance(world.seal, [(SUBSCRIBER, dossier.id)])
            if world.plan is not None and (crash or world._rooms["signer"].lost or world._rooms["logger"].lost):
                world.plan = None
                world.crash()
            world.plan = None
            world.now += timedelta(seconds=61)
            with suppress(PrivySealError):
                duties.recover(world.seal)
        with world.seal.records.reading(SUBSCRIBER) as tx:
            ended = requests.get(tx, dossier.id)
        assert ended.state in (State.RELEASED, State.FAILED), (steps[nth], ended.state)
        assert again.used(seen) == 1 and again.counted() <= 1 and world.key_uses <= 1, steps[nth]
        assert len(ended.signatures) == (1 if ended.state is State.RELEASED else 0)
        assert isinstance(again.sign(seen), Dossier)
        with pytest.raises(Denied, match="0 of 2"):
            again.use(seen, again.ask())
        assert again.counted() <= 2 and world.key_uses <= 2
        world.check()
        world.discard()


def _copies(release: Release, folder: Path) -> Iterator[Release]:
    """Stop a release's world and yield copies of it, each as it was."""
    world = release.world
    world.stop()
    if world.database is not None:
        (world.directory / "database").write_text(world.database.name)
    for number in itertools.count():
        copy = Release.__new__(Release)
        copy.__dict__ |= release.__dict__ | {"world": World(world.directory, folder / f"copy-{number}")}
        yield copy


def test_people_are_told_of_what_becomes_of_it(release: Release) -> None:
    """Proposed, in force, used up, a day before its end, revoked: once each."""
    seal = release.world.seal
    seal.post = Post(key=b"k" * 32)
    notifier = Actor(Member("M-n", SUBSCRIBER, "n", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
    with seal.records.writing(SUBSCRIBER) as tx:
        hook = deliveries.Webhook(
            id="W-1", url="https://hook.example", topics=tuple(notices.TOPICS), created=release.world.now
        )
        deliveries.add_webhook(tx, hook, 5)
    seen, long = release.agreed(signatures=1), release.agreed(hours=72)
    release.sign(seen)
    assert granted.tell_expiring(seal) == 0
    release.world.now += timedelta(hours=50)
    assert [granted.tell_expiring(seal) for _ in range(2)] == [1, 0]
    grants.revoke(seal, notifier, long.id, Revocation(reason="over"))
    while notices.make(seal):
        pass
    with seal.records.reading(SUBSCRIBER) as tx:
        told = [each.topic for each in deliveries.listed(tx, 100) if each.topic.startswith("grant")]
        assert not [each for each in deliveries.listed(tx, 100) if each.topic == "request.waiting"]
    assert sorted(told) == [
        "grant.agreed", "grant.agreed", "grant.expiring", "grant.proposed", "grant.proposed", "grant.revoked",
        "grant.used-up",
    ]  # fmt: skip


def test_another_subscriber_sees_no_grant(release: Release) -> None:
    """Neither by its id nor in a list."""
    seen = release.agreed()
    stranger = Actor(Member("M-s", "other", "s", tuple(Role)), (Factor.BEARER,))
    with pytest.raises(NotFound):
        grants.agree(release.world.seal, stranger, seen.id, ANN.approves(bytes.fromhex(seen.digest)))
    with release.world.seal.records.reading("other") as tx:
        assert records.listed(tx) == []
