"""Tokens of one pool: what one loses another goes on with, never twice and never wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.shim import Shim
from tests.softhsm import Server, SoftHsm, store
from tests.strongroom.processes import wait_until

from privyseal.cli.doctor_tokens import _keys_in
from privyseal.errors import KeyStoreUnavailable, NotFound, Unavailable
from privyseal.keystore.pkcs11 import Pkcs11, Pkcs11Section
from privyseal.pki import certificates
from privyseal.terms.keys import TokenKeys
from privyseal.terms.signatures import SCHEMES, ToBeSigned
from privyseal.web.readiness import _complaint

P256 = SCHEMES["ecdsa-p256"]
TBS = ToBeSigned(b"hello", "sha256")
ON_SECONDS = 5.0
"""Signing must go on in another token within this time."""
CKR_DEVICE_REMOVED = 0x32


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return SoftHsm(tmp_path / "hsm", "one")


@pytest.fixture
def twins(hsm: SoftHsm, tmp_path: Path) -> Iterator[tuple[Pkcs11Section, Pkcs11Section, str, Shim, Shim]]:
    """Two modules of the same keys, each behind a shim, and a key in both."""
    with store(tmp_path, hsm.section("one", pool="seal")) as (keys, _, _):
        uri = keys.generate("demo/pool", P256)
    first, second = Shim(hsm, tmp_path / "first"), Shim(hsm.cloned(tmp_path / "twin"), tmp_path / "second")
    sections = [each.section("one", pool="seal") for each in (first, second)]
    yield sections[0], sections[1], uri, first, second


def signs(keys: Pkcs11, uri: str) -> None:
    certificates.verify(keys.public_key(uri), TBS, keys.sign(uri, [TBS])[0])


def test_what_a_token_may_have_signed_is_not_asked_of_another(twins, tmp_path: Path) -> None:
    """The device goes in the middle of C_Sign: refused, and the other one was not asked; the next goes to the other."""
    one, two, uri, first, second = twins
    with store(tmp_path, one, two) as (keys, children, _):
        for child in children:
            child.warm()
        signs(keys, uri)
        assert (first.calls("C_Sign"), second.calls("C_Sign")) == (1, 0)
        first.order("C_Sign", f"{CKR_DEVICE_REMOVED:#x}")
        with pytest.raises(KeyStoreUnavailable):
            keys.sign(uri, [TBS])
        assert (first.calls("C_Sign"), second.calls("C_Sign")) == (2, 0)
        first.order("C_OpenSession", f"{CKR_DEVICE_REMOVED:#x}")  # nor does it come back
        signs(keys, uri)
        assert second.calls("C_Sign") == 1
        lost, well = keys.tokens([uri])
        assert (lost.state, lost.pool, well.state, well.keys) == ("away", "seal", "usable", 1)
        assert _complaint("signer", type("State", (), {"tokens": (lost, well)})) == ""
        assert "Token one" in _complaint("signer", type("State", (), {"tokens": (lost,)}))


def test_the_first_token_is_used_again_when_it_is_back(twins, tmp_path: Path) -> None:
    """Its worker is replaced in the background, and nobody waits for it meanwhile."""
    one, two, uri, first, second = twins
    with store(tmp_path, one, two) as (keys, children, _):
        for child in children:
            child.warm()
        first.order("C_Sign", f"{CKR_DEVICE_REMOVED:#x} once")
        with pytest.raises(KeyStoreUnavailable):
            keys.sign(uri, [TBS])
        signs(keys, uri)
        wait_until(lambda: children[0].usable or keys.sign(uri, [TBS]) == [])
        before = second.calls("C_Sign")
        signs(keys, uri)
        assert second.calls("C_Sign") == before


def test_a_key_that_was_not_cloned_is_waited_for_in_the_token_that_has_it(twins, tmp_path: Path) -> None:
    """The second token does not know the key: its refusal is not the pool's, unless the first one does not either."""
    one, two, uri, first, _ = twins
    with store(tmp_path, one, two) as (keys, children, _):
        for child in children:
            child.warm()
        fresh = keys.generate("demo/fresh", P256)
        signs(keys, fresh)
        first.order("C_Sign", f"{CKR_DEVICE_REMOVED:#x} once")
        with pytest.raises(KeyStoreUnavailable):
            keys.sign(fresh, [TBS])
        signs(keys, fresh)
        with pytest.raises(NotFound):
            keys.sign(fresh.replace("demo", "acme"), [TBS])
        here, there = keys.inventory([uri, fresh])
        assert (here, there) == (
            TokenKeys("one", 2, pool="seal"),
            TokenKeys("one", 1, missing=("demo/fresh",), pool="seal"),
        )
        assert (_keys_in(here).state, _keys_in(there).state) == ("good", "weak")


def test_a_key_is_destroyed_in_every_token_or_is_not_gone(twins, hsm: SoftHsm, tmp_path: Path) -> None:
    """While one is away the end of a key is refused, and asked again it is the end in both."""
    one, two, uri, _, second = twins
    with store(tmp_path, one, two) as (keys, children, _):
        second.order("C_OpenSession", f"{CKR_DEVICE_REMOVED:#x}")
        with pytest.raises(KeyStoreUnavailable):
            keys.destroy(uri)
        second.withdraw("C_OpenSession")
        children[1]._next_try = 0.0
        keys.destroy(uri)
        assert "demo/pool" not in hsm.tool("one", "--list-objects") + second.hsm.tool("one", "--list-objects")
        with pytest.raises(NotFound):
            keys.sign(uri, [TBS])


def test_none_left_is_told_with_each_token_s_reason(twins, tmp_path: Path) -> None:
    """Both are away: one sentence, and signing goes on when one is back."""
    one, two, uri, first, second = twins
    for shim in (first, second):
        shim.order("C_OpenSession", f"{CKR_DEVICE_REMOVED:#x}")
    with store(tmp_path, one, two) as (keys, _, _):
        with pytest.raises(KeyStoreUnavailable, match=r"No token of the pool can be asked: one: .*; one: "):
            keys.sign(uri, [TBS])
        second.withdraw("C_OpenSession")
        signs(keys, uri)
        assert first.calls("C_Sign") == 0


@pytest.mark.parametrize(
    "losses", [5, pytest.param(200, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])], ids=str
)
def test_signing_goes_on_in_the_other_token(hsm: SoftHsm, tmp_path: Path, losses: int) -> None:
    """Under load the token that is used is killed with its server: no wrong result, and the other is on in 5 s."""
    with store(tmp_path, hsm.section("one")) as (keys, _, _):
        uri = keys.generate("demo/load", P256)
        spki = keys.public_key(uri)
    hsms = [hsm, hsm.cloned(tmp_path / "twin")]
    servers = [Server(each, "one", tmp_path / f"p11-{number}") for number, each in enumerate(hsms)]
    sections = [each.section(mine, "one", pool="seal") for each, mine in zip(servers, hsms, strict=True)]
    with store(tmp_path, *sections) as (keys, children, _):
        for child in children:
            child.warm()
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
                wait_until(lambda: all(child.usable for child in children) or wrong, 30.0)
                was = children[0].losses
                wait_until(lambda: servers[0].children() or wrong)
                servers[0].lose()
                lost = time.monotonic()
                wait_until(lambda was=was: children[0].losses > was or wrong, ON_SECONDS)
                before = tally["signed"]
                wait_until(lambda before=before: tally["signed"] > before + 4 or wrong, ON_SECONDS)
                slowest = max(slowest, time.monotonic() - lost)
                assert not children[0].usable  # its server is gone, so it was the other one that went on
                servers[0] = Server(hsms[0], "one", servers[0].socket)
        finally:
            ending.set()
            for each in threads:
                each.join(30)
            for server in servers:
                server.lose()
        assert wrong == []
        assert children[0].losses >= losses
        print(f"{losses} losses, {tally}, 0 wrong, slowest {slowest:.2f} s")


def test_births_leave_a_session_and_a_busy_token_is_not_taken_for_a_lost_one(hsm: SoftHsm, tmp_path: Path) -> None:
    """Two slow births in a token with two sessions: one signs meanwhile. With one session a signature is refused."""
    shim = Shim(hsm, tmp_path / "orders")
    with store(tmp_path, shim.section("one")) as (keys, _, _):
        uri = keys.generate("demo/first", P256)
        shim.order("C_GenerateKeyPair", "slow 1")
        births = [threading.Thread(target=keys.generate, args=(f"demo/{name}", P256)) for name in "ab"]
        for birth in births:
            birth.start()
        wait_until(lambda: shim.calls("C_GenerateKeyPair") == 2)
        signs(keys, uri)
        assert any(birth.is_alive() for birth in births)
        for birth in births:
            birth.join()
    single = shim.section("one", sessions=1, timeout=0.7, generate_timeout=60.0)
    with store(tmp_path, single) as (keys, (child,), _):
        signs(keys, uri)
        shim.order("C_GenerateKeyPair", "slow 2")
        birth = threading.Thread(target=keys.generate, args=("demo/c", P256))
        birth.start()
        wait_until(lambda: shim.calls("C_GenerateKeyPair") == 4)
        with pytest.raises(KeyStoreUnavailable, match=r"Every session with token one was busy for 0\.7 s"):
            keys.sign(uri, [TBS])
        birth.join()
        assert child.losses == 0
        assert "demo/c" in hsm.tool("one", "--list-objects")


def test_generating_a_key_does_not_keep_others_from_signing(hsm: SoftHsm, tmp_path: Path) -> None:
    """C_GenerateKeyPair takes three seconds: signatures of the same token go on all that time."""
    shim = Shim(hsm, tmp_path / "orders")
    with store(tmp_path, shim.section("one")) as (keys, _, _):
        uri = keys.generate("demo/first", P256)
        spki = keys.public_key(uri)
        shim.order("C_GenerateKeyPair", "slow 3")
        born: list[str] = []
        birth = threading.Thread(target=lambda: born.append(keys.generate("demo/second", P256)))
        began = time.monotonic()
        birth.start()
        wait_until(lambda: shim.calls("C_GenerateKeyPair") == 2)
        slowest, count = 0.0, 0
        while birth.is_alive() and count < 100:
            asked = time.monotonic()
            certificates.verify(spki, TBS, keys.sign(uri, [TBS])[0])
            slowest, count = max(slowest, time.monotonic() - asked), count + 1
            time.sleep(0.02)
        birth.join()
        assert time.monotonic() - began >= 3.0
        assert count >= 20 and slowest < 2.0, (count, slowest)
        certificates.verify(keys.public_key(born[0]), TBS, keys.sign(born[0], [TBS])[0])
