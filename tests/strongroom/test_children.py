"""Workers are lost, hung, killed and refused: the signer lives, nothing is signed twice, no token is locked."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.softhsm import CLIENT, PIN, Server, SoftHsm, store
from tests.strongroom.processes import wait_until
from tests.strongroom.signroom import SignRoom, refused, signed

from privyseal.errors import KeyStoreUnavailable, Misused, Unavailable
from privyseal.pki import certificates
from privyseal.strongroom.messages import SignedBatch
from privyseal.terms.signatures import SCHEMES, ToBeSigned

P256 = SCHEMES["ecdsa-p256"]
TBS = ToBeSigned(b"hello", "sha256")
BACK_SECONDS = 5.0
"""Signing must go on within this time after the token is back."""


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return SoftHsm(tmp_path / "hsm", "one")


@pytest.fixture
def server(hsm: SoftHsm, tmp_path: Path) -> Iterator[Server]:
    """Serve the token as a network module is served; its children are what can be lost."""
    running = Server(hsm, "one", tmp_path / "p11")
    yield running
    running.signal(signal.SIGKILL)
    running.close()


def test_a_worker_that_was_killed_is_replaced_before_anybody_notices(hsm: SoftHsm, tmp_path: Path) -> None:
    """kill -9 of an idle worker: the next question goes to a fresh one, because no key was used by the last."""
    with store(tmp_path, hsm.section("one")) as (keys, (child,), notes):
        uri = keys.generate("demo/killed", P256)
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{first}/maps").exists() or not Path(f"/proc/{first}/maps").read_bytes())
        certificates.verify(keys.public_key(uri), TBS, keys.sign(uri, [TBS])[0])
        assert child.pid not in (None, first)
        assert child.losses == 1 and "is replaced" in notes[0]


def test_a_wrong_pin_is_tried_once_and_the_token_is_not_locked(hsm: SoftHsm, tmp_path: Path) -> None:
    """Many calls and a restart make one try between them; the right PIN, put in later, works without a restart."""
    section = hsm.section("one")
    hsm.pin_file.write_text("wrong-0000")
    for words in ("The token refused the PIN", "was refused by the token", "was refused by the token"):
        with store(tmp_path, section) as (keys, (child,), _):
            for _ in range(5):
                with pytest.raises(Misused, match=words) as refusal:
                    keys.generate("demo/wrong", P256)
                assert "wrong-0000" not in str(refusal.value) + repr(refusal.value)
            assert child.pid is None
    assert "user PIN count low" in hsm.flags("one")  # SoftHSM says so after one wrong try
    hsm.pin_file.write_text(PIN)
    with store(tmp_path, section) as (keys, _, _):
        assert keys.generate("demo/right", P256)
    assert "count low" not in hsm.flags("one") and "locked" not in hsm.flags("one")


def test_a_module_that_hangs_is_ended_by_the_watchdog(hsm: SoftHsm, server: Server, tmp_path: Path) -> None:
    """The token's server is stopped in the middle: callers are told in time, and signing goes on by itself."""
    with store(tmp_path, server.section(hsm, "one", timeout=1.0)) as (keys, (child,), _):
        uri = keys.generate("demo/hangs", P256)
        spki, hung = keys.public_key(uri), child.pid
        keys.sign(uri, [TBS])
        assert server.signal(signal.SIGSTOP) == 1
        with pytest.raises(KeyStoreUnavailable, match="did not answer within 1 s"):
            keys.sign(uri, [TBS])
        certificates.verify(spki, TBS, keys.sign(uri, [TBS])[0])
        assert child.pid != hung


def test_a_module_that_hangs_at_the_start_is_ended_too(hsm: SoftHsm, tmp_path: Path) -> None:
    """Its initialisation never returns: each attempt ends with the watchdog, and other tokens are not held up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "deaf"))
    listener.listen(8)
    address = {"P11_KIT_SERVER_ADDRESS": f"unix:path={tmp_path / 'deaf'}"}
    deaf = hsm.section("one", module=CLIENT, environment=address, timeout=0.5, subscribers=("acme",))
    with store(tmp_path, deaf, hsm.section("one")) as (keys, _, _):
        with pytest.raises(KeyStoreUnavailable, match=r"was started and did not answer within 0\.5 s"):
            keys.generate("acme/deaf", P256)
        assert keys.generate("demo/well", P256)
    listener.close()


def test_no_worker_outlives_its_signer(hsm: SoftHsm, tmp_path: Path) -> None:
    """Closing the store, as a signer does at its end however it ends, ends nursery and workers."""
    with store(tmp_path, hsm.section("one")) as (keys, (child,), _):
        keys.generate("demo/ends", P256)
        pid = child.pid
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_lost_nursery_makes_the_signer_start_again(hsm: SoftHsm, tmp_path: Path) -> None:
    """The nursery is killed: its workers die with it, callers are refused, and the store says that it is lost."""
    with store(tmp_path, hsm.section("one")) as (keys, (child,), _):
        uri = keys.generate("demo/orphan", P256)
        pid = child.pid
        assert not keys.lost
        child._nursery._process.kill()
        child._nursery._process.wait(10)
        wait_until(lambda: not Path(f"/proc/{pid}").exists())
        with pytest.raises(KeyStoreUnavailable, match="the signer must start again"):
            keys.sign(uri, [TBS])
        assert keys.lost


def test_an_intent_whose_answer_was_lost_is_not_signed_again(hsm: SoftHsm, server: Server, tmp_path: Path) -> None:
    """The token hangs over a signature: refused as safe to run again, the same intent is spent, a fresh one signs."""
    (tmp_path / "room").mkdir()
    with store(tmp_path, server.section(hsm, "one", timeout=1.0)) as (keys, _, _):
        room = SignRoom(tmp_path / "room")
        room.stores.clear()
        room.stores["pkcs11"] = keys
        pair = room.key()
        own = room.rehearsal_ca.issue(pair.public_key)
        request = room.request(pair, own)
        signed(room.sign(pair, own, request), pair, own, request)
        assert pair.protection.store == "pkcs11" and pair.protection.never_extractable
        again = room.request(pair, own, 1)
        appended = room.logged(again.canonical(), tag=pair.key_tag)
        server.signal(signal.SIGSTOP)
        answer = room.send(appended, room.items(appended, [again.canonical()], own))
        assert isinstance(answer, SignedBatch)
        refused(answer.results[0], "key-store-unavailable", "did not answer within 1 s")
        proven = room.log.prove([appended.items[0].index], room.mark)
        answer = room.send(proven, room.items(proven, [again.canonical()], own))
        assert isinstance(answer, SignedBatch)
        refused(answer.results[0], "intent-spent", "spent already")
        anew = room.request(pair, own, 2)
        signed(room.sign(pair, own, anew), pair, own, anew)
        room.close()


@pytest.mark.parametrize(
    "losses", [5, pytest.param(200, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])], ids=str
)
def test_a_token_is_lost_under_load_again_and_again(hsm: SoftHsm, server: Server, tmp_path: Path, losses: int) -> None:
    """The token's connection is killed under load: no wrong result, and signing goes on within five seconds."""
    with store(tmp_path, server.section(hsm, "one", timeout=3.0)) as (keys, (child,), _):
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
        try:
            for _ in range(losses):
                before = tally["signed"]
                wait_until(lambda before=before: tally["signed"] >= before + 20 or wrong, BACK_SECONDS)
                wait_until(lambda: server.signal(signal.SIGKILL) > 0)
                lost, was = time.monotonic(), child.losses
                wait_until(lambda was=was: child.losses > was or wrong, BACK_SECONDS)
                before = tally["signed"]
                wait_until(lambda before=before: tally["signed"] > before or wrong, BACK_SECONDS)
                slowest = max(slowest, time.monotonic() - lost)
        finally:
            ending.set()
            for each in threads:
                each.join(30)
        assert wrong == []
        assert child.losses >= losses
        print(f"{losses} losses, {tally}, 0 wrong, slowest recovery {slowest:.2f} s")


def test_a_token_says_how_it_is_without_being_asked(hsm: SoftHsm, tmp_path: Path) -> None:
    """Usable, with how many keys; missing where no settings name it; usable again when its watch has had a worker."""
    with store(tmp_path, hsm.section("one")) as (keys, (child,), notes):
        uri = keys.generate("demo/state", P256)
        other = uri.replace("token=one", "token=two")
        mine, stranger = keys.tokens([uri, uri, other])
        assert (mine.name, mine.state, mine.why, mine.keys, mine.losses) == ("one", "usable", "", 2, 0)
        assert (stranger.name, stranger.state, stranger.keys) == ("two", "missing", 1)
        child.look()
        assert child.losses == 0 and notes == []
        pid = child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}/maps").exists() or not Path(f"/proc/{pid}/maps").read_bytes())
        child.look()  # as its watch does; nobody had asked anything
        assert child.pid not in (None, pid)
        assert [(each.state, each.losses) for each in keys.tokens([])] == [("usable", 1)]


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"token": "nobody"}, "missing", "no token called 'nobody'"),
        ({"pin_file": "/nonexistent/pin"}, "pin", "PIN file"),
        ({"pin_file": None, "pin": "wrong-0000"}, "pin", "refused the PIN"),
        ({"module": "/nonexistent/module.so"}, "refused", "no PKCS#11 module"),
    ],
    ids=["no token", "no PIN", "wrong PIN", "no module"],
)
def test_a_token_that_cannot_be_had_says_why(
    hsm: SoftHsm, tmp_path: Path, changes: dict[str, object], state: str, words: str
) -> None:
    """In one word for a program and one sentence for a person; looking often tries no PIN a second time."""
    with store(tmp_path, hsm.section("one", **changes)) as (keys, (child,), _):
        for again in range(3):
            child._next_try = 0.0  # without the pause that spares a token
            child.look()
            (found,) = keys.tokens([])
            assert found.state == state
            assert words in found.why or (again and "is not tried again" in found.why)
    if changes.get("pin"):
        assert "user PIN count low" in hsm.flags("one")


def test_nobody_waits_for_a_token_that_hangs_to_hear_how_it_is(hsm: SoftHsm, server: Server, tmp_path: Path) -> None:
    """Its watch finds that out, and meanwhile and afterwards the state is told at once, from what is known."""
    with store(tmp_path, server.section(hsm, "one", timeout=5.0)) as (keys, (child,), _):
        keys.generate("demo/hung", P256)
        server.signal(signal.SIGSTOP)
        os.kill(server.process.pid, signal.SIGSTOP)  # nor does it take new connections
        looking = threading.Thread(target=child.look)
        looking.start()
        said = set()
        while looking.is_alive():
            said.add(keys.tokens([])[0].state)
        looking.join()
        (found,) = keys.tokens([])
        assert said == {"usable", "away"}
        assert found.state == "away" and "did not answer within 5 s" in found.why
        os.kill(server.process.pid, signal.SIGCONT)
        child._next_try = 0.0
        child.look()
        assert keys.tokens([])[0].state == "usable"
