"""Inside a worker: what its module may not do, and what it left behind when it did what it should not."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.shim import CKA_EXTRACTABLE, CKA_LOCAL, CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED, CODES, Shim
from tests.softhsm import Server, SoftHsm, store
from tests.strongroom.signroom import SignRoom, refused, signed

from privyseal.errors import KeyStoreUnavailable, Misused, NotCompliant, PrivySealError
from privyseal.pki import certificates
from privyseal.terms.signatures import SCHEMES, ToBeSigned

P256, RSA = SCHEMES["ecdsa-p256"], SCHEMES["rsa-3072"]
TBS = ToBeSigned(b"hello", "sha256")
STRIDES = [pytest.param(7, id="some"), pytest.param(1, id="all", marks=[pytest.mark.nightly, pytest.mark.timeout(900)])]
"""Which of the codes are tried: starting a worker for each takes minutes on a busy machine."""
LIES = 40
"""Wrong signatures of each kind of key that must be caught, all of them."""


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    return SoftHsm(tmp_path_factory.mktemp("hsm"), "one")


@pytest.fixture
def shim(hsm: SoftHsm, tmp_path: Path) -> Iterator[Shim]:
    return Shim(hsm, tmp_path / "orders")


def _status(pid: int | None) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _parent(pid: int | None) -> int:
    return int(_status(pid)["PPid"])


def test_a_module_can_do_nothing_but_sign(shim: Shim, tmp_path: Path) -> None:
    """From within C_Sign it tries what an intruder would: each call is refused, and it signs all the same."""
    with store(tmp_path, shim.section("one")) as (keys, _, _):
        uri = keys.generate("demo/intruder", P256)
        shim.order("C_Sign", "intrude")
        certificates.verify(keys.public_key(uri), TBS, keys.sign(uri, [TBS])[0])
    tried = dict(line.rsplit("=", 1) for line in (shim.orders / "tried").read_text().splitlines())
    refusals = {errno.EPERM: "EPERM", errno.EACCES: "EACCES"}
    assert len(tried) == 11
    assert {what: refusals.get(int(code), code) for what, code in tried.items()} == dict.fromkeys(tried, "EPERM") | {
        "a file of the system": "EACCES",
        "the settings": "EACCES",
    }


@pytest.mark.parametrize("behind", ["a server", "nothing"])
def test_the_kernel_says_that_a_worker_is_shut_in(hsm: SoftHsm, tmp_path: Path, behind: str) -> None:
    """Both filters beside those of its nursery, no new privileges, locked memory; with SoftHSM and p11-kit's client."""
    server = Server(hsm, "one", tmp_path / "p11") if behind == "a server" else None
    section = hsm.section("one") if server is None else server.section(hsm, "one")
    with store(tmp_path, section) as (keys, (child,), _):
        uri = keys.generate(f"demo/{behind}", P256)
        certificates.verify(keys.public_key(uri), TBS, keys.sign(uri, [TBS])[0])
        worker, nursery = _status(child.pid), _status(_parent(child.pid))
        assert [status["Seccomp"] for status in (worker, nursery)] == ["2", "2"]
        assert [status["Seccomp_filters"] for status in (worker, nursery)] == ["3", "1"]
        assert [status["NoNewPrivs"] for status in (worker, nursery)] == ["1", "1"]
        assert all((status["VmLck"] != "0 kB") for status in (worker, nursery))
    if server is not None:
        server.close()


@pytest.mark.parametrize("scheme", [P256, RSA], ids=lambda scheme: scheme.name)
def test_a_wrong_signature_never_leaves_the_signer(shim: Shim, tmp_path: Path, scheme) -> None:
    """The module flips a bit of each: every one is caught before it is answered, and the next right one is given."""
    (tmp_path / "room").mkdir()
    with store(tmp_path, shim.section("one")) as (keys, _, _):
        room = SignRoom(tmp_path / "room")
        room.stores.clear()
        room.stores["pkcs11"] = keys
        pair = room.key(f"lies-{scheme.name}", scheme=scheme.name)
        own = room.rehearsal_ca.issue(pair.public_key)
        shim.order("C_Sign", "flip")
        before = shim.calls("C_Sign")
        for number in range(LIES):
            outcome = room.sign(pair, own, room.request(pair, own, number))
            refused(outcome, "key-store-unavailable", "does not verify under the key; it was thrown away")
        assert shim.calls("C_Sign") - before == LIES
        shim.withdraw("C_Sign")
        request = room.request(pair, own, LIES)
        signed(room.sign(pair, own, request), pair, own, request)
        room.close()


@pytest.mark.parametrize("stride", STRIDES)
def test_each_code_of_signing_is_one_sentence(shim: Shim, tmp_path: Path, stride: int) -> None:
    """It is told, the key is not used twice, and the next signature is right, of a fresh worker where it must be."""
    with store(tmp_path, shim.section("one")) as (keys, _, _):
        uri = keys.generate("demo/codes", P256)
        spki = keys.public_key(uri)
        for code, name in list(CODES.items())[::stride]:
            before = shim.calls("C_Sign")
            shim.order("C_Sign", f"{code:#x} once")
            with pytest.raises(PrivySealError) as told:
                keys.sign(uri, [TBS])
            assert shim.calls("C_Sign") == before + 1, name
            _is_a_sentence(told.value, name)
            certificates.verify(spki, TBS, keys.sign(uri, [TBS])[0])


@pytest.mark.parametrize("function", ["C_OpenSession", "C_Login"])
@pytest.mark.parametrize("stride", STRIDES)
def test_each_code_of_the_start_is_one_sentence(hsm: SoftHsm, tmp_path: Path, function: str, stride: int) -> None:
    """It is told, a PIN is given once while nobody knows what became of it, and the next worker is well again."""
    shims = {code: Shim(hsm, tmp_path / f"{code:x}") for code in list(CODES)[::stride]}
    with store(tmp_path, *(each.section("one") for each in shims.values())) as (_, children, notes):
        for (code, shim), child in zip(shims.items(), children, strict=True):
            for note in (tmp_path / "pins").iterdir():  # as an operator does who has looked
                note.unlink()
            shim.order(function, f"{code:#x} once")
            child.warm()
            assert child.pid is None and len(notes) == 1, CODES[code]
            said = notes.pop().removeprefix("token one: ")
            assert said.count("\n") == 0 and len(said) < 300, CODES[code]
            assert child.state().state in ("away", "pin" if function == "C_Login" else "refused")
            assert shim.calls("C_Login") == (1 if function == "C_Login" else 0)
            child._next_try = 0.0  # without the pause that spares a token
            child.warm()
            if function == "C_OpenSession":
                assert child.pid is not None and not notes, CODES[code]
            else:
                assert "is not tried again" in notes.pop(), CODES[code]
                assert shim.calls("C_Login") == 1
            child.close()


def _is_a_sentence(error: PrivySealError, code: str) -> None:
    assert isinstance(error, KeyStoreUnavailable | Misused) or error.code in ("not-found", "conflict"), code
    assert error.detail.endswith(".") and len(error.detail) < 200 and "\n" not in error.detail, code
    assert error.exit in (2, 8), code


@pytest.mark.parametrize(
    ("flag", "words"), [(CKF_USER_PIN_FINAL_TRY, "one more try of its PIN"), (CKF_USER_PIN_LOCKED, "PIN is locked")]
)
def test_a_pin_at_its_end_is_not_tried(shim: Shim, tmp_path: Path, flag: int, words: str) -> None:
    """The token says that one try is left, or none: C_Login is not called, however often we are asked."""
    shim.order("C_GetTokenInfo", f"flags {flag:#x}")
    with store(tmp_path, shim.section("one")) as (keys, _, _):
        for _ in range(3):
            with pytest.raises(Misused, match=words):
                keys.generate("demo/never", P256)
    assert shim.calls("C_Login") == 0


@pytest.mark.parametrize(
    ("claim", "name"),
    [((CKA_EXTRACTABLE, 1), "CKA_EXTRACTABLE"), ((CKA_LOCAL, 0), "CKA_LOCAL")],
    ids=["extractable", "not born inside"],
)
def test_a_key_that_reads_back_wrong_is_refused_and_destroyed(
    shim: Shim, hsm: SoftHsm, tmp_path: Path, claim: tuple[int, int], name: str
) -> None:
    """Both halves are destroyed in the token, as a stranger sees."""
    shim.order("C_GetAttributeValue", "claim {:x} {}".format(*claim))
    label = f"demo/{name.lower()}"
    with store(tmp_path, shim.section("one")) as (keys, _, _):
        with pytest.raises(NotCompliant, match=f"{name}.*the key was destroyed"):
            keys.generate(label, P256)
        assert shim.calls("C_DestroyObject") == 2
        assert label not in hsm.tool("one", "--list-objects")


def test_a_call_that_hangs_is_ended(shim: Shim, tmp_path: Path) -> None:
    """The watchdog ends the worker in the middle of C_Sign; the next call has a fresh one."""
    with store(tmp_path, shim.section("one", timeout=5.0)) as (keys, (child,), _):
        uri = keys.generate("demo/hangs", P256)
        spki, hung = keys.public_key(uri), child.pid
        shim.order("C_Sign", "hang")
        with pytest.raises(KeyStoreUnavailable, match="did not answer within 5 s"):
            keys.sign(uri, [TBS])
        shim.withdraw("C_Sign")
        certificates.verify(spki, TBS, keys.sign(uri, [TBS])[0])
        assert child.pid != hung
