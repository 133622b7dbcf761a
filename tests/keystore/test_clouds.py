"""What every key store of a cloud must do, over real workers and a stand-in that holds real keys."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.homes import CLOUDS, Cloud, store
from tests.strongroom.processes import wait_until
from tests.strongroom.signroom import SignRoom, refused, signed
from tests.stubs.server import Stub, private_key

from privyseal.errors import BadInput, Conflict, KeyStoreUnavailable, Misused, NotFound, Unavailable, from_code
from privyseal.keystore import clouds
from privyseal.keystore.away import Away
from privyseal.keystore.clouds import MAX_FAILURES, PAUSES, CloudUri
from privyseal.keystore.messages import (
    Born,
    Failure,
    Generate,
    Hashed,
    Look,
    Protection,
    PublicKey,
    Seen,
    Sign,
    encode,
)
from privyseal.keystore.wire import Reply, Wire
from privyseal.pki import certificates
from privyseal.strongroom.children import TokenChild
from privyseal.strongroom.messages import SignedBatch
from privyseal.terms.signatures import SCHEMES, ToBeSigned

P256 = SCHEMES["ecdsa-p256"]
TBS = ToBeSigned(b"hello", "sha256")
CLASSIC = [SCHEMES[name] for name in ("rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521")]
CANARY = "canary"
"""What every secret and every text of a stand-in has in it, and nothing of ours may show."""


class World:
    """One cloud, and a store that is open on it."""

    def __init__(self, cloud: Cloud, stub: Stub, opened: tuple[Away, list[TokenChild], list[str]]) -> None:
        self.cloud, self.stub = cloud, stub
        self.keys, (self.child,), self.notes = opened
        self.count = 0

    def born(self, scheme=P256) -> str:
        self.count += 1
        return self.keys.generate(f"demo/k{self.count}", scheme)

    def signs(self) -> int:
        return self.stub.signs  # type: ignore[attr-defined]


@pytest.fixture(scope="module", params=list(CLOUDS))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    cloud = CLOUDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    stub = cloud.stub(folder / "stub")
    for slow in ("rsa-3072", "rsa-4096"):
        private_key(slow)  # now, and not while its worker waits
    with store(folder, cloud.kind, cloud.section(stub)) as opened:
        yield World(cloud, stub, opened)
    stub.close()


@pytest.mark.parametrize("scheme", CLASSIC, ids=lambda scheme: scheme.name)
def test_every_scheme_is_born_signs_and_dies(world: World, scheme) -> None:
    """Each scheme with each digest and padding that it has; afterwards the key is gone, and destroying it is idle."""
    keys, label = world.keys, f"demo/{scheme.name}"
    if scheme.name in world.cloud.lacks:
        with pytest.raises(Misused, match="cannot generate a key of scheme"):
            keys.generate(label, scheme)
        return
    uri = keys.generate(label, scheme)
    assert uri.startswith(f"{world.cloud.kind.store}:home=prod;object=demo%2F{scheme.name};id=")
    spki = keys.public_key(uri)
    assert certificates.scheme_of(spki).name == scheme.name
    for digest in ("sha256", "sha384", "sha512"):
        for padding in ("pkcs1v15", "pss") if scheme.name.startswith("rsa") else ("pkcs1v15",):
            if padding in world.cloud.lacks:
                with pytest.raises(BadInput, match="PSS"):
                    keys.sign(uri, [ToBeSigned(b"x", digest, padding)])  # type: ignore[arg-type]
                continue
            tbs = [ToBeSigned(b"%d" % each, digest, padding) for each in range(2)]  # type: ignore[arg-type]
            for one, value in zip(tbs, keys.sign(uri, tbs), strict=True):
                certificates.verify(spki, one, value)
    with pytest.raises(Conflict, match="already"):
        keys.generate(label, scheme)
    keys.destroy(uri)
    keys.destroy(uri)
    for gone in (lambda: keys.sign(uri, [TBS]), lambda: keys.public_key(uri), lambda: keys.protection(uri)):
        with pytest.raises(NotFound):
            gone()


def test_what_cannot_be_asked_is_refused(world: World) -> None:
    """PSS of an elliptic key, a URI of nobody's, a home that the settings do not name."""
    uri = world.born()
    with pytest.raises(BadInput, match="PSS"):
        world.keys.sign(uri, [ToBeSigned(b"hello", "sha256", "pss")])
    with pytest.raises(NotFound, match="called 'other' is in this signer's settings"):
        world.keys.public_key(uri.replace("home=prod", "home=other"))
    with pytest.raises(NotFound):
        world.keys.public_key(uri + "ff")
    with pytest.raises(NotFound, match="names home, object and id"):
        world.keys.public_key(f"{world.cloud.kind.store}:home=prod")


def test_a_throttled_signature_is_asked_for_again(world: World) -> None:
    """Twice refused because there are too many: the third time it is made, once, and nobody notices."""
    uri, before, losses = world.born(), world.signs(), world.child.losses
    world.stub.order(world.cloud.sign, *[world.cloud.throttled] * 2)
    certificates.verify(world.keys.public_key(uri), TBS, world.keys.sign(uri, [TBS])[0])
    assert world.signs() - before == 1
    assert world.child.losses == losses


def test_who_is_throttled_for_too_long_is_told(world: World) -> None:
    """It is refused as safe to run again, no signature was made, and the worker is kept."""
    uri, before, pid = world.born(), world.signs(), world.child.pid
    world.stub.order(world.cloud.sign, *[world.cloud.throttled] * (len(PAUSES) + 1))
    with pytest.raises(KeyStoreUnavailable, match=r"throttle|too many") as told:
        world.keys.sign(uri, [TBS])
    assert (told.value.exit, told.value.retryable, CANARY in str(told.value)) == (8, True, False)
    assert (world.signs(), world.child.pid, world.stub.orders[world.cloud.sign]) == (before, pid, [])


@pytest.mark.parametrize("fault", ["drop before", "drop after", "unsure", "junk", "huge"])
def test_a_signature_whose_outcome_is_unknown_is_not_asked_for_again(world: World, fault: str) -> None:
    """The cloud breaks off, before or after it signed, fails inside, or answers nonsense: one call, whatever it did."""
    uri = world.born()
    spki, before = world.keys.public_key(uri), world.signs()
    world.keys.sign(uri, [TBS])
    calls = world.stub.calls.count(world.cloud.sign)
    world.stub.order(world.cloud.sign, world.cloud.unsure if fault == "unsure" else fault)
    with pytest.raises(KeyStoreUnavailable) as told:
        world.keys.sign(uri, [TBS])
    assert CANARY not in str(told.value) and "\n" not in str(told.value)
    assert world.stub.calls.count(world.cloud.sign) == calls + 1
    assert world.signs() - before == (2 if fault == "drop after" else 1)
    certificates.verify(spki, TBS, world.keys.sign(uri, [TBS])[0])  # a fresh worker goes on


def test_a_worker_in_which_nothing_works_is_replaced(world: World) -> None:
    """Three in a row in each of its two sessions: each is told, and a fresh worker signs."""
    uri, losses = world.born(), world.child.losses
    world.keys.sign(uri, [TBS])
    world.stub.order(world.cloud.sign, *[world.cloud.unsure] * 2 * MAX_FAILURES)
    while world.stub.orders[world.cloud.sign]:
        assert world.child.losses == losses
        with pytest.raises(KeyStoreUnavailable):
            world.keys.sign(uri, [TBS])
        if world.child.losses > losses:
            world.stub.orders[world.cloud.sign].clear()
    assert world.child.losses == losses + 1
    assert world.keys.sign(uri, [TBS])


def test_a_key_is_not_made_twice(world: World) -> None:
    """The cloud made it and the answer was lost: one call, and the operator is told; another name gets a key."""
    making = world.cloud.make
    calls = world.stub.calls.count(making)
    world.stub.order(making, "drop after")
    with pytest.raises(KeyStoreUnavailable):
        world.born()
    assert world.stub.calls.count(making) == calls + 1
    assert world.born()


def test_of_several_signatures_none_is_made_twice(world: World) -> None:
    """The third of five breaks off: what was made is lost with it, and nothing is made again."""
    uri, before = world.born(), world.signs()
    world.stub.order(world.cloud.sign, "", "", "drop before")
    with pytest.raises(KeyStoreUnavailable):
        world.keys.sign(uri, [TBS] * 5)
    assert world.signs() - before == 2


def test_a_connection_that_was_closed_meanwhile_is_made_anew(world: World) -> None:
    """Reading a public key may be asked twice, so a lost answer is nobody's business but the cloud's."""
    uri = world.born()
    spki = world.keys.public_key(uri)
    reading = next(name for name in reversed(world.stub.calls))
    world.stub.order(reading, "drop after")
    assert world.keys.public_key(uri) == spki


def test_a_cloud_that_hangs_is_given_up(world: World) -> None:
    """No answer for a third of the timeout: the caller is told, and the next signature is made."""
    uri = world.born()
    spki = world.keys.public_key(uri)
    world.stub.order(world.cloud.sign, "hang")
    with pytest.raises(KeyStoreUnavailable, match="did not answer"):
        world.keys.sign(uri, [TBS])
    world.stub.hold.set()
    certificates.verify(spki, TBS, world.keys.sign(uri, [TBS])[0])
    world.stub.hold.clear()


@pytest.mark.parametrize("name", list(CLOUDS))
def test_a_lying_cloud_is_caught_by_the_signer(name: str, tmp_path: Path) -> None:
    """A bit of the signature is flipped: it is thrown away, its intent is spent, and a fresh one is signed."""
    cloud = CLOUDS[name]
    stub = cloud.stub(tmp_path / "stub")
    (tmp_path / "room").mkdir()
    with store(tmp_path, cloud.kind, cloud.section(stub)) as (keys, _, _):
        room = SignRoom(tmp_path / "room")
        room.stores.clear()
        room.stores[name] = keys
        pair = room.key()
        own = room.rehearsal_ca.issue(pair.public_key)
        assert pair.protection.store == name
        stub.order(cloud.sign, "lie")
        outcome = room.sign(pair, own, room.request(pair, own, 1))
        refused(outcome, "key-store-unavailable", "does not verify under the key; it was thrown away")
        request = room.request(pair, own, 2)
        signed(room.sign(pair, own, request), pair, own, request)
        stub.order(cloud.sign, "drop after")
        lost = room.request(pair, own, 3)
        appended = room.logged(lost.canonical(), tag=pair.key_tag)
        answer = room.send(appended, room.items(appended, [lost.canonical()], own))
        assert isinstance(answer, SignedBatch)
        refused(answer.results[0], "key-store-unavailable", "broke off in the middle of a call")
        calls = stub.calls.count(cloud.sign)
        proven = room.log.prove([appended.items[0].index], room.mark)
        answer = room.send(proven, room.items(proven, [lost.canonical()], own))
        assert isinstance(answer, SignedBatch)
        refused(answer.results[0], "intent-spent", "spent already")
        assert stub.calls.count(cloud.sign) == calls
        room.close()
    stub.close()


def test_a_cloud_says_how_it_is_without_being_asked(world: World) -> None:
    """Usable, with how many keys; and a look uses no key."""
    uri, before = world.born(), world.signs()
    world.child.look()
    (mine, stranger) = world.keys.tokens([uri, uri, uri.replace("home=prod", "home=gone")])
    assert (mine.name, mine.state, mine.keys) == ("prod", "usable", 2)
    assert (stranger.name, stranger.state, stranger.keys) == ("gone", "missing", 1)
    assert world.signs() == before


@pytest.mark.parametrize("name", list(CLOUDS))
def test_a_cloud_that_cannot_be_reached_comes_back_by_itself(name: str, tmp_path: Path) -> None:
    """Nobody listens: away, with one sentence and exit 8. A certificate of a stranger: the same, and it says so."""
    cloud = CLOUDS[name]
    stub, stranger = cloud.stub(tmp_path / "stub"), cloud.stub(tmp_path / "stranger")
    stranger.ca_file.write_bytes((Path(__file__).parents[1] / "stubs" / "stranger.pem").read_bytes())
    deaf = cloud.section(stub, ca_file=str(stranger.ca_file))
    with store(tmp_path, cloud.kind, deaf) as (keys, (child,), _):
        with pytest.raises(KeyStoreUnavailable, match="certificate is not trusted"):
            keys.generate("demo/never", P256)
        assert child.state().state == "away"
    section = cloud.section(stub)
    stub.close()
    with store(tmp_path, cloud.kind, section) as (keys, (child,), _):
        with pytest.raises(KeyStoreUnavailable, match="cannot be reached") as told:
            keys.generate("demo/never", P256)
        assert told.value.exit == 8
    stranger.close()


@pytest.mark.parametrize("name", list(CLOUDS))
def test_a_credential_that_others_can_read_is_not_used(name: str, tmp_path: Path) -> None:
    """Refused before anybody is called, with what to do; put right, it is taken up without a restart."""
    cloud = CLOUDS[name]
    stub = cloud.stub(tmp_path / "stub")
    secret: Path = stub.credentials  # type: ignore[attr-defined]
    secret.chmod(0o644)
    with store(tmp_path, cloud.kind, cloud.section(stub)) as (keys, (child,), _):
        with pytest.raises(Misused, match=r"Others than its owner can read .* \(chmod 600"):
            keys.generate("demo/open", P256)
        assert stub.calls == [] and child.state().state == "refused"
        secret.write_bytes(b"")
        secret.chmod(0o600)
        child._next_try = 0.0
        with pytest.raises(Misused, match="does not hold a credential"):
            keys.generate("demo/open", P256)
        child._next_try = 0.0
        stub.write_credentials()  # type: ignore[attr-defined]
        assert keys.generate("demo/open", P256)
    stub.close()


def test_the_worker_of_a_cloud_is_shut_in(world: World) -> None:
    """Two filters of seccomp beside that of its nursery, no new privileges; it may call the ports of its section."""
    world.born()
    lines = Path(f"/proc/{world.child.pid}/status").read_text().splitlines()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert (status["Seccomp"], status["Seccomp_filters"], status["NoNewPrivs"]) == ("2", "3", "1")
    assert world.child.section.territory().ports == (world.stub.port,)  # type: ignore[attr-defined]
    assert not world.child.section.territory().network


@pytest.mark.parametrize(
    "uri",
    [
        "softfile:demo/release",
        "awskms:",
        "awskms:home=prod;object=demo%2Fa",
        "awskms:object=demo%2Fa;home=prod;id=1",
        "awskms:home=prod;object=demo%2Fa;id=",
        "awskms:home=PROD;object=demo%2Fa;id=1",
        "awskms:home=prod;object=demo%2fa;id=1",
        "awskms:home=prod;object=%FF;id=1",
        "awskms:home=prod;object=demo/a;id=1",
        "awskms:home=prod;object=demo%2Fa;id=1;pin=2",
        "awskms:home=prod;object=demo%2Fa;id=" + "1" * 2048,
    ],
)
def test_what_is_no_uri_of_ours_is_not_found(uri: str) -> None:
    """Others' schemes, fields missing, in another order, in another spelling, unknown, and too many octets."""
    with pytest.raises(NotFound):
        CloudUri.of("awskms", uri)


@pytest.mark.parametrize("key", [b"1234abcd-12ab", b"a/b;c=d:1", bytes(range(256))])
def test_a_uri_says_what_it_was_made_of(key: bytes) -> None:
    """Whatever the cloud knows the key by, what is read is what was written, in plain ASCII."""
    uri = CloudUri("awskms", "prod", "demo/a.2", key)
    assert str(uri).isascii() and CloudUri.of("awskms", str(uri)) == uri


def test_no_worker_outlives_its_store(tmp_path: Path) -> None:
    """Closing the store ends the worker of a cloud as that of a token."""
    cloud = CLOUDS["awskms"]
    stub = cloud.stub(tmp_path / "stub")
    with store(tmp_path, cloud.kind, cloud.section(stub)) as (keys, (child,), _):
        keys.generate("demo/ends", P256)
        pid = child.pid
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    stub.close()


@pytest.mark.parametrize("name", list(CLOUDS))
@pytest.mark.parametrize(
    "faults", [6, pytest.param(200, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])], ids=str
)
def test_a_cloud_fails_under_load_again_and_again(name: str, tmp_path: Path, faults: int) -> None:
    """Broken off before and after it signed, throttled, failing inside: nothing wrong, nothing signed twice."""
    cloud = CLOUDS[name]
    stub = cloud.stub(tmp_path / "stub")
    with store(tmp_path, cloud.kind, cloud.section(stub, sessions=4)) as (keys, (child,), _):
        uri = keys.generate("demo/load", P256)
        spki = keys.public_key(uri)
        ending, lock = threading.Event(), threading.Lock()
        tally = {"signed": 0, "refused": 0}
        wrong: list[BaseException] = []

        def load(number: int) -> None:
            count = 0
            while not ending.is_set():
                count += 1
                tbs = ToBeSigned(b"%d/%d" % (number, count), "sha256")
                try:
                    certificates.verify(spki, tbs, keys.sign(uri, [tbs])[0])
                    outcome = "signed"
                except Unavailable:
                    outcome = "refused"
                except BaseException as error:
                    wrong.append(error)
                    return
                with lock:
                    tally[outcome] += 1

        threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        slowest = 0.0
        kinds = ("drop after", cloud.throttled, cloud.unsure, "drop before")
        try:
            for number in range(faults):
                stub.order(cloud.sign, kinds[number % len(kinds)])
                wait_until(lambda: not stub.orders[cloud.sign] or wrong, 30)
                met, before = time.monotonic(), tally["signed"]
                wait_until(lambda before=before: tally["signed"] > before + 4 or wrong, 30)
                slowest = max(slowest, time.monotonic() - met)
        finally:
            ending.set()
            for each in threads:
                each.join(60)
        digests: list[bytes] = stub.digests  # type: ignore[attr-defined]
        assert wrong == []
        assert len(set(digests)) == len(digests)
        assert tally["signed"] <= len(digests) <= tally["signed"] + tally["refused"]
        print(f"{faults} faults, {tally}, {child.losses} workers lost, 0 twice, slowest recovery {slowest:.2f} s")
    stub.close()


# -- what a cloud may answer -------------------------------------------------------------------------------------------
def _garbled(random: Random, body: bytes) -> bytes:
    """Return an answer with a few octets changed, cut out or put in, or with a value of another kind."""
    if random.random() < 0.5:
        text = body.decode("utf-8", "replace")
        found = list(re.finditer(r'"[^"]*"|\d+|true|false|null', text))
        if found:
            one = random.choice(found)
            other = random.choice(["null", "[]", "{}", "-1", '""', '"\\ud800"', "1e999", '"a"', "[[[[[[]]]]]]", "true"])
            return (text[: one.start()] + other + text[one.end() :]).encode("utf-8", "surrogatepass")
    octets = bytearray(body)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(octets) + 1)
        octets[at : at + random.randint(0, 3)] = random.randbytes(random.randint(0, 3))
    return bytes(octets)


@pytest.mark.parametrize("name", list(CLOUDS))
@pytest.mark.parametrize("rounds", [40, pytest.param(3000, marks=pytest.mark.nightly)], ids=str)
def test_whatever_a_cloud_answers_is_one_sentence(
    name: str, rounds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbled answers to every call, some hundred: an error of ours or an answer, never another exception."""
    cloud = CLOUDS[name]
    stub, random = cloud.stub(tmp_path / "stub"), Random(7391)
    monkeypatch.setattr(clouds, "PAUSES", ())
    opening = cloud.section(stub).worker()(tmp_path, 1, lambda: datetime.now(UTC))
    opening.prepare()
    (desk,) = opening.open()
    born = desk.answer(Generate("demo/garbled", "ecdsa-p256"))
    assert isinstance(born, Born)
    key = cloud.kind.locate(born.uri).key
    told: Counter[str] = Counter()
    right, garbling = Wire.call, [True]

    def call(wire: Wire, *asked: Any) -> Reply:
        reply = right(wire, *asked)
        return reply._replace(body=_garbled(random, reply.body)) if garbling[0] and random.random() < 0.7 else reply

    monkeypatch.setattr(Wire, "call", call)
    for number in range(rounds):
        for question in (
            Look(),
            PublicKey("demo/garbled", key),
            Protection("demo/garbled", key),
            Sign("demo/garbled", key, (Hashed("sha256", bytes(32), "pkcs1v15"),)),
            Generate(f"demo/g{number}", "ecdsa-p256"),
        ):
            answer = desk.answer(question)
            told[type(answer).__name__] += 1
            if isinstance(answer, Failure):
                assert "could not be understood" not in answer.detail, answer.detail
                assert answer.detail.endswith(".") and "\n" not in answer.detail and len(answer.detail) < 300
                from_code(answer.code, answer.detail)
                encode(answer)
    garbling[0] = False
    assert isinstance(desk.answer(Look()), Seen)
    assert told["Failure"] > rounds
    desk._client.close()
    stub.close()
