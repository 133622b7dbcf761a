"""The same key store over two modules that have nothing in common: SoftHSM, and a TPM 2.0 by tpm2-pkcs11.

What a module cannot do is listed here with the sentence that says so, and is tested like all else.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.softhsm import MODULE, SoftHsm, store
from tests.strongroom.processes import wait_until
from tests.tpm import MODULE as TPM_MODULE
from tests.tpm import Tpm

from privyseal.errors import BadInput, Conflict, Misused, NotFound, PrivySealError
from privyseal.keystore.pkcs11 import Pkcs11, Pkcs11Section
from privyseal.pki import certificates
from privyseal.strongroom.children import TokenChild
from privyseal.terms.keys import Assurance
from privyseal.terms.signatures import SCHEMES, Family, ToBeSigned

P256 = SCHEMES["ecdsa-p256"]
TBS = ToBeSigned(b"hello", "sha256")
LATTICE = {
    name: f"cannot generate a key of scheme {name}" for name, one in SCHEMES.items() if one.family is Family.ML_DSA
}
CANNOT = {
    "softhsm": LATTICE,  # SoftHSM 2.6 knows no ML-DSA
    "tpm2": LATTICE
    | {
        "rsa-3072": "signs a digest with an RSA key by decrypting",  # tpm2-pkcs11 up to 1.9 at least
        "rsa-4096": "signs a digest with an RSA key by decrypting",
        "ecdsa-p521": "attributes that can be read; the key was destroyed",  # tpm2-pkcs11 1.9: its point is not DER
        "ed25519": "does not know this way of signing or generating",  # no TPM profile has Edwards curves
    },
}
"""For each module the schemes that it cannot, and what is said of it."""


class Module:
    """One module with a token in it, and a stranger's tool."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.cannot = CANNOT[kind]
        if kind == "softhsm":
            hsm = SoftHsm(folder / "hsm", "one")
            self.section: Callable[..., Pkcs11Section] = lambda **changes: hsm.section("one", **changes)
            self.tool: Callable[..., str] = lambda *more: hsm.tool("one", *more)
            self.close: Callable[[], None] = lambda: None
            self.pin_file, self.path = hsm.pin_file, MODULE
        else:
            tpm = Tpm(folder / "tpm")
            tpm.token("one")
            self.section = lambda **changes: tpm.section("one", **changes)
            self.tool = lambda *more: tpm.tool("one", *more)
            self.close, self.pin_file, self.path = tpm.close, tpm.pin_file, TPM_MODULE


@pytest.fixture(scope="module", params=["softhsm", "tpm2"])
def module(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Module]:
    made = Module(request.param, tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


@pytest.fixture(scope="module")
def opened(module: Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pkcs11, TokenChild]]:
    with store(tmp_path_factory.mktemp("store"), module.section()) as (keys, (child,), _):
        yield keys, child


@pytest.fixture
def keys(opened: tuple[Pkcs11, TokenChild]) -> Pkcs11:
    return opened[0]


def verifies(keys: Pkcs11, uri: str, tbs: ToBeSigned) -> None:
    """Raises if the signature is not one."""
    spki = keys.public_key(uri)
    certificates.verify(spki, tbs, keys.sign(uri, [tbs])[0])


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_born_signs_and_dies_or_is_refused(module: Module, keys: Pkcs11, name: str) -> None:
    """Each scheme with each digest and padding that it has; afterwards the key is gone, and destroying it is idle."""
    if name in module.cannot:
        with pytest.raises(PrivySealError, match=module.cannot[name]) as refusal:
            keys.generate(f"demo/{name}", SCHEMES[name])
        assert refusal.value.exit in (2, 5) and "\n" not in refusal.value.detail
        assert f"demo/{name}" not in module.tool("--list-objects")
        return
    uri = keys.generate(f"demo/{name}", SCHEMES[name])
    assert certificates.scheme_of(keys.public_key(uri)).name == name
    for digest in ("sha256", "sha384", "sha512"):
        for padding in ("pkcs1v15", "pss") if name.startswith("rsa") else ("pkcs1v15",):
            verifies(keys, uri, ToBeSigned(b"hello", digest, padding))  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="already"):
        keys.generate(f"demo/{name}", SCHEMES[name])
    keys.destroy(uri)
    keys.destroy(uri)
    for gone in (*[lambda: keys.sign(uri, [TBS])] * 4, lambda: keys.public_key(uri), lambda: keys.protection(uri)):
        with pytest.raises(NotFound):
            gone()


def test_what_the_module_says_of_a_key_is_read_back(module: Module, keys: Pkcs11) -> None:
    """Born inside, never extractable, signs and nothing else; and neither counts as hardware, for neither is."""
    found = keys.protection(keys.generate("demo/facts", P256))
    assert (found.store, found.assurance) == ("pkcs11", Assurance.SOFTWARE)
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert {"softhsm": "SoftHSM", "tpm2": "SW TPM"}[module.kind] in " ".join(found.module.split())
    assert set(found.attributes) == {
        "CKA_SENSITIVE=true",
        "CKA_ALWAYS_SENSITIVE=true",
        "CKA_NEVER_EXTRACTABLE=true",
        "CKA_EXTRACTABLE=false",
        "CKA_LOCAL=true",
        "CKA_DECRYPT=false",
        "CKA_UNWRAP=false",
        "CKA_KEY_GEN_MECHANISM=EC_KEY_PAIR_GEN",
    }


def test_a_stranger_finds_the_same_key_and_believes_its_signature(module: Module, keys: Pkcs11, tmp_path: Path) -> None:
    """OpenSC's pkcs11-tool sees the usage, and we verify what it signs with the key."""
    uri = keys.generate("demo/stranger", P256)
    said = module.tool("--list-objects", "--type", "privkey")
    ours = said[said.index("demo/stranger") :].split("Private Key Object")[0]
    assert "Usage:      sign\n" in ours
    assert "never extractable, local" in ours
    name = uri.split("id=")[1].split(";")[0].replace("%", "")
    data, theirs = tmp_path / "data", tmp_path / "theirs"
    data.write_bytes(hashlib.sha256(TBS.octets).digest())
    mechanism = ["--id", name, "--mechanism", "ECDSA", "--signature-format", "openssl"]
    module.tool("--sign", *mechanism, "--input-file", str(data), "--output-file", str(theirs))
    certificates.verify(keys.public_key(uri), TBS, theirs.read_bytes())


def test_threads_use_two_sessions_at_once(keys: Pkcs11) -> None:
    """Four threads hammer two sessions with two keys."""
    uris = [keys.generate("demo/hammer", P256), keys.generate("demo/anvil", P256)]
    spkis = [keys.public_key(uri) for uri in uris]
    wrong: list[BaseException] = []

    def hammer(number: int) -> None:
        try:
            many = [ToBeSigned(b"%d/%d" % (number, each), "sha256") for each in range(16)]
            for tbs, value in zip(many, keys.sign(uris[number % 2], many), strict=True):
                certificates.verify(spkis[number % 2], tbs, value)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert wrong == []


def test_a_worker_that_was_killed_is_replaced(opened: tuple[Pkcs11, TokenChild]) -> None:
    """kill -9 of an idle worker: keys are found again by a fresh one."""
    keys, child = opened
    uri = keys.generate("demo/killed", P256)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{first}/maps").exists() or not Path(f"/proc/{first}/maps").read_bytes())
    verifies(keys, uri, TBS)
    assert child.pid not in (None, first)


def test_what_cannot_be_asked_is_refused(keys: Pkcs11) -> None:
    """PSS of an elliptic key, and a key that is not there."""
    uri = keys.generate("demo/refusals", P256)
    with pytest.raises(BadInput, match="PSS"):
        keys.sign(uri, [ToBeSigned(b"hello", "sha256", "pss")])
    with pytest.raises(NotFound):
        keys.public_key(uri.replace("object=demo", "object=acme"))


def test_a_wrong_pin_is_tried_once(module: Module, tmp_path: Path) -> None:
    """It is told in a sentence without the PIN, and not tried again."""
    wrong: dict[str, Any] = {"pin_file": None, "pin": "wrong-0000"}
    for words in ("refused the PIN", "was refused by the token"):
        with store(tmp_path, module.section(**wrong)) as (keys, _, _):
            with pytest.raises(Misused, match=words) as refusal:
                keys.generate("demo/wrong", P256)
            assert "wrong-0000" not in str(refusal.value) + repr(refusal.value)
