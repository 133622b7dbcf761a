"""What was approved is what is signed: swaps after approval, altered approvals, replays, duplicates. 0 get through.

What came out of the key is compared, octet for octet, with what the approved requests' formats make: whatever else a
swap leads to, a refusal or a failure, is not looked at.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text, update
from tests.signing.agreeing import ANN, BOB, PEOPLE, SID, actor, agreed, guarded, waiting
from tests.world import SUBSCRIBER, World, found

from privyseal.errors import PrivySealError
from privyseal.formats import catalogue
from privyseal.formats.protocol import Identity
from privyseal.records import approvals, requests
from privyseal.records.tables import approvals as approval_rows
from privyseal.records.tables import certificates as certificate_rows
from privyseal.records.tables import requests as request_rows
from privyseal.signing.approve import approve
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.strongroom.client import LoggerClient, SignerClient
from privyseal.strongroom.messages import Append, Appended, Question, SignBatch, SignedBatch, SignItem
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import Dossier, SigningRequest, State
from privyseal.terms.signatures import ToBeSigned


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Found one rehearsal over SQLite: what is judged here is the signer's, and it does not know the database."""
    return found(tmp_path_factory.mktemp("founded") / "seal")


class Watched:
    """A world whose key's every use is kept, and whose doors can be tampered with."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.signed: list[bytes] = []
        self.batches: list[SignBatch] = []
        self.on_sign: Callable[[list[SignItem]], list[SignItem]] = list
        self.on_append: Callable[[Append], Append] = lambda asked: asked
        self.on_logged: Callable[[Appended], Appended] = lambda answer: answer
        signer, asked = world._asker("signer"), world._asker("logger")
        world.seal.signer = SignerClient(lambda question: signer(self._to_signer(question)))
        world.seal.logger = LoggerClient(lambda question: self._from_logger(asked, question))
        for store in world._rooms["signer"]._judge._stores.values():
            plain = store.sign
            store.sign = lambda uri, tbs, plain=plain: self._use(plain, uri, tbs)

    def calm(self) -> None:
        """Tamper with nothing from here on."""
        self.on_sign, self.on_append, self.on_logged = list, lambda asked: asked, lambda answer: answer

    def advance(self, dossiers: Sequence[Dossier]) -> list[Dossier | PrivySealError]:
        return advance(self.world.seal, [(SUBSCRIBER, each.id) for each in dossiers])

    def rows(self, *statements: Any) -> None:
        """Change rows as who owns the database can."""
        with self.world.seal.records.writing(SUBSCRIBER) as tx:
            for statement in statements:
                tx.connection.execute(statement)

    def _use(self, plain: Callable[..., list[bytes]], uri: str, tbs: Sequence[ToBeSigned]) -> list[bytes]:
        self.signed += [each.octets for each in tbs]
        return plain(uri, tbs)

    def _to_signer(self, question: Question) -> Question:
        if not isinstance(question, SignBatch):
            return question
        self.batches.append(question)
        return msgspec.structs.replace(question, items=tuple(self.on_sign(list(question.items))))

    def _from_logger(self, ask: Callable[[Question], Any], question: Question) -> Any:
        answer = ask(self.on_append(question) if isinstance(question, Append) else question)
        return self.on_logged(answer) if isinstance(answer, Appended) else answer


@pytest.fixture
def watched(world: World) -> Iterator[Watched]:
    """Return a world with the key ``guarded``, for which three people agree in two stages."""
    guarded(world)
    yield Watched(world)


def octets_of(world: World, dossier: Dossier) -> bytes:
    """Return what the format wants signed of a request as it was approved."""
    request = decode_canonical(dossier.canonical, SigningRequest)
    identity = Identity(world.pair("guarded")[1].chain, request.scheme)
    (tbs,) = catalogue.BY_NAME["pe"].to_be_signed(request.described[0], identity, request.options)
    return tbs.octets


# -- 1,000 races -----------------------------------------------------------------------------------------------------
AT_ONCE = 21
ITEM_FIELDS = ("request", "approvals", "chain", "salt", "index", "key_seq", "path")
ROW_FIELDS = ("canonical", "digest", "salt", "both")
HANDOVERS = (*ITEM_FIELDS, *ROW_FIELDS, "commitment", "logged", "certificate")


def _tamper(watched: Watched, handover: str, approved: list[Dossier], evil: list[Dossier], dice: random.Random) -> None:
    """Swap, after the approval, one thing that is handed over; ``evil`` are requests that nobody agreed to."""
    if handover in ITEM_FIELDS:
        watched.on_sign = lambda items: _swapped_items(items, handover, evil, dice)
    elif handover in ROW_FIELDS:
        for mine, other in zip(approved, dice.sample(evil, len(evil)), strict=True):
            columns = ("canonical", "digest", "salt") if handover == "both" else (handover,)
            values = {name: getattr(other, name) for name in columns}
            watched.rows(update(request_rows).where(request_rows.c.id == mine.id).values(values))
    elif handover == "commitment":

        def shuffled(asked: Append) -> Append:
            mixed = list(asked.submissions)
            dice.shuffle(mixed)
            return msgspec.structs.replace(asked, submissions=tuple(mixed))

        watched.on_append = shuffled
    elif handover == "logged":

        def exchanged(answer: Appended) -> Appended:
            mixed = list(answer.items)
            dice.shuffle(mixed)
            return msgspec.structs.replace(answer, items=tuple(mixed))

        watched.on_logged = exchanged
    else:
        other_chain = watched.world.pair("release")[1].chain
        packed = msgspec.msgpack.encode(other_chain)
        watched.rows(update(certificate_rows).values(chain=packed))


def _swapped_items(items: list[SignItem], name: str, evil: list[Dossier], dice: random.Random) -> list[SignItem]:
    """Give each item the field of another one; the request also of one that nobody agreed to, with its own salt."""
    values = [getattr(each, name) for each in items]
    dice.shuffle(values)
    if name == "request":
        values = [each.canonical for each in dice.sample(evil, len(items))]
    return [msgspec.structs.replace(each, **{name: value}) for each, value in zip(items, values, strict=True)]


def test_1000_swaps_after_approval_sign_nothing_else(watched: Watched) -> None:
    """At fourteen hand-overs between records, walk, logger and signer: what the key signed was approved, all of it."""
    dice, world, number, races = random.Random(26), watched.world, 0, 0
    right = set[bytes]()
    kept = world.seal.records
    while races < 1000:
        handover = HANDOVERS[races // AT_ONCE % len(HANDOVERS)]
        approved, evil = (waiting(world, range(number + n, number + n + AT_ONCE)) for n in (0, AT_ONCE))
        number += 2 * AT_ONCE
        agreed(world, approved)
        right |= {octets_of(world, each) for each in approved}
        with kept.reading(SUBSCRIBER) as tx:
            chains = tx.connection.execute(certificate_rows.select()).all()
        _tamper(watched, handover, approved, evil, dice)
        watched.advance(approved)
        watched.calm()
        for row in chains:
            mine = certificate_rows.c.fingerprint == row.fingerprint
            watched.rows(update(certificate_rows).where(mine).values(chain=row.chain))
        races += AT_ONCE
    assert set(watched.signed) <= right
    last = waiting(world, range(number, number + 5))
    agreed(world, last)
    done = watched.advance(last)
    assert all(isinstance(each, Dossier) and each.state is State.RELEASED for each in done), "the calm after the storm"


# -- 200 altered rows ------------------------------------------------------------------------------------------------
COLUMNS = ("approver", "public_key", "signature", "stage", "authenticator_data", "client_data", "subscriber", "request")


def _altered(column: str, row: Any, other: Any, dice: random.Random) -> Any:
    """Return another value of a column: of the same person's row of another request, or with one bit changed."""
    value = getattr(row, column)
    if column == "stage":
        return dice.choice([1 - value, 2, -1, 255, 256])
    if column == "subscriber":
        return "other"
    if column == "request":
        return other.request
    if column == "approver":
        return dice.choice([value + " ", value.upper(), "ann" if value != "ann" else "sid", ""])
    swapped = getattr(other, column)
    if swapped != value and dice.random() < 0.3:
        return swapped
    octets = bytearray(value)
    octets[dice.randrange(len(octets))] ^= 1 << dice.randrange(8)
    return bytes(octets)


def test_200_altered_rows_of_approvals_are_refused_by_the_signer(watched: Watched) -> None:
    """Each column of each person's row, with one bit or the value of another request: the signer refuses each."""
    world, dice = watched.world, random.Random(200)
    dossiers, control = waiting(world, range(200)), waiting(world, range(900, 910))
    agreed(world, [*dossiers, *control])
    spare = waiting(world, range(1000, 1200))
    with world.seal.records.reading(SUBSCRIBER) as tx:
        rows = {d.id: tx.connection.execute(approval_rows.select().where(approval_rows.c.request == d.id)).all()
                for d in dossiers}  # fmt: skip
    with world.seal.records.writing(SUBSCRIBER) as tx:
        columns = "display_name, tag_key, state"
        other = f"INSERT INTO subscribers (name, {columns}) SELECT 'other', {columns} FROM subscribers"
        tx.connection.execute(text(other))
        for number, dossier in enumerate(dossiers):
            column = COLUMNS[number % len(COLUMNS)]
            mine = [row for row in rows[dossier.id] if getattr(row, column) is not None]
            row = mine[dice.randrange(len(mine))]
            other = next(each for each in rows[dossiers[number - 1].id] if each.approver == row.approver)
            value = spare[number].id if column == "request" else _altered(column, row, other, dice)
            here = (approval_rows.c.request == row.request, approval_rows.c.public_key == row.public_key)
            tx.connection.execute(update(approval_rows).where(*here).values({column: value}))
    outcomes = [each for n in range(0, 200, 50) for each in watched.advance(dossiers[n : n + 50])]
    assert len(outcomes) == 200
    assert watched.signed == []
    with world.seal.records.reading(SUBSCRIBER) as tx:
        ends = {(d.state, d.failure_code) for d in (requests.get(tx, each.id) for each in dossiers)}
    assert ends == {(State.FAILED, "not-permitted")}
    assert all(isinstance(each, Dossier) and each.state is State.RELEASED for each in watched.advance(control))


# -- replays ---------------------------------------------------------------------------------------------------------
def test_300_replays_are_accepted_nowhere(watched: Watched) -> None:
    """Approvals and assertions for other requests and stages, signed batches sent again, requests asked for again."""
    world, dice = watched.world, random.Random(300)
    done, fresh = waiting(world, range(50)), waiting(world, range(50, 60))
    agreed(world, done)
    watched.advance(done)
    used = list(watched.signed)
    assert len(used) == 50
    with world.seal.records.reading(SUBSCRIBER) as tx:
        given = {each.id: approvals.approvals_of(tx, each.id) for each in done}
    replays = 0
    for old in done:  # 4 x 50: as it is, and with the digest or the stage put right
        for target in (fresh[replays % 10],):
            digest = bytes.fromhex(target.digest)
            one = dice.choice(given[old.id])
            forms = (
                one,
                msgspec.structs.replace(one, request_digest=digest),
                msgspec.structs.replace(one, request_digest=digest, stage=0),
                msgspec.structs.replace(one, request_digest=digest, stage=1),
            )
            for form in forms:
                with pytest.raises(PrivySealError):
                    approve(world.seal, actor(form.approver), target.id, form)
                replays += 1
    for batch in list(watched.batches):  # what the signer was sent, again, as who listens could
        answer = world.seal.signer.sign(batch)
        assert not isinstance(answer, SignedBatch) or not any(hasattr(each, "values") for each in answer.results)
    for number, old in enumerate(done):  # 50: the same request under a new key, with the approvals that it had
        request = decode_canonical(old.canonical, SigningRequest)
        (again,) = submit(world.seal, [Submission(world.actor, f"again {number}", request)])
        assert isinstance(again, Dossier)
        with world.seal.records.writing(SUBSCRIBER) as tx:
            for one in given[old.id]:
                approvals.add_approval(tx, again.id, one, world.now)
            requests.move(tx, again, State.APPROVED)
        assert not isinstance(watched.advance([again])[0], Dossier)
        replays += 1
    for old in done:  # 50: the same key again
        (same,) = submit(world.seal, [Submission(world.actor, old.idempotency_key, decode(old))])
        assert isinstance(same, Dossier) and same.id == old.id
        watched.advance([same])
        replays += 1
    assert replays == 300
    assert watched.signed == used
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert all(approvals.approvals_of(tx, each.id) == [] for each in fresh)


def decode(dossier: Dossier) -> SigningRequest:
    """Read a request again."""
    return decode_canonical(dossier.canonical, SigningRequest)


# -- duplicates ------------------------------------------------------------------------------------------------------
def test_100_idempotency_keys_asked_20_times_at_once_are_100_signatures(watched: Watched) -> None:
    """Twenty callers ask for the same hundred, three people agree to each, twenty have them signed: a hundred uses."""
    world = watched.world
    asked = [Submission(world.actor, f"key {n}", world.request(n, key="guarded")) for n in range(100)]
    answers = at_once(20, lambda: submit(world.seal, asked))
    ids = {tuple(each.id if isinstance(each, Dossier) else str(each) for each in answer) for answer in answers}
    assert len(ids) == 1
    dossiers = [each for each in answers[0] if isinstance(each, Dossier)]
    agreed(world, dossiers, PEOPLE)
    at_once(20, lambda: watched.advance(dossiers))
    world.seal.records.tell = lambda changed: None
    last = watched.advance(dossiers)
    assert all(isinstance(each, Dossier) and each.state is State.RELEASED for each in last), last[:3]
    assert (len(watched.signed), len(set(watched.signed))) == (100, 100)
    world.check()


def at_once(callers: int, work: Callable[[], Any]) -> list[Any]:
    """Do the same in so many threads that begin together, and return what each got."""
    start, got = threading.Barrier(callers), []

    def call() -> None:
        start.wait()
        got.append(work())

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)
    assert len(got) == callers
    return got


def test_the_three_agree_by_three_kinds_of_proof() -> None:
    """An Ed25519 key, a passkey on P-256 and one on Ed25519: what is spoilt above is spoilt for each."""
    assert [type(each.approver.passkey).__name__ for each in (ANN, BOB, SID)] == ["UnsetType", "Passkey", "Passkey"]
