"""Keys in a real token (SoftHSM): born so that they cannot leave, used and destroyed, with a stranger looking on."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.softhsm import CLIENT, MODULE, SoftHsm, store

from privyseal.errors import BadInput, KeyStoreUnavailable, Misused, NotFound
from privyseal.keystore.pkcs11 import Pkcs11, Pkcs11Section
from privyseal.pki import certificates
from privyseal.terms.signatures import SCHEMES, ToBeSigned

P256 = SCHEMES["ecdsa-p256"]
TBS = ToBeSigned(b"hello", "sha256")


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    return SoftHsm(tmp_path_factory.mktemp("hsm"), "one", "two")


@pytest.fixture(scope="module")
def keys(hsm: SoftHsm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pkcs11]:
    """Two tokens in one store; what is born for ``acme`` is born in the second."""
    folder = tmp_path_factory.mktemp("store")
    with store(folder, hsm.section("one"), hsm.section("two", subscribers=("acme",))) as (opened, _, _):
        yield opened


def verifies(keys: Pkcs11, uri: str, tbs: ToBeSigned) -> None:
    """Raises if the signature is not one."""
    (value,) = keys.sign(uri, [tbs])
    certificates.verify(keys.public_key(uri), tbs, value)


def test_a_stranger_verifies_an_edwards_signature(keys: Pkcs11, tmp_path: Path) -> None:
    """OpenSSL verifies what the token signed over the octets themselves; the URI says that it signs no digest."""
    uri = keys.generate("demo/edwards", SCHEMES["ed25519"])
    assert uri.endswith(";x-scheme=ed25519")
    (tmp_path / "spki").write_bytes(keys.public_key(uri))
    (tmp_path / "octets").write_bytes(TBS.octets)
    (tmp_path / "value").write_bytes(keys.sign(uri, [TBS])[0])
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-keyform",
        "DER",
        "-inkey",
        "spki",
        "-rawin",
        "-in",
        "octets",
    ]
    outcome = subprocess.run([*command, "-sigfile", "value"], cwd=tmp_path, capture_output=True, check=False)
    assert outcome.stdout == b"Signature Verified Successfully\n", outcome.stderr
    with pytest.raises(BadInput, match="only an RSA key"):
        keys.sign(uri, [ToBeSigned(b"hello", "sha512", "pss")])
    found = keys.protection(uri)
    assert found.generated_inside and found.never_extractable
    assert "CKA_KEY_GEN_MECHANISM=EC_EDWARDS_KEY_PAIR_GEN" in found.attributes


def test_a_stranger_finds_the_same_key_and_believes_its_signature(keys: Pkcs11, hsm: SoftHsm, tmp_path: Path) -> None:
    """OpenSC's pkcs11-tool sees the attributes, verifies what we signed, and we verify what it signs with the key."""
    uri = keys.generate("demo/stranger", SCHEMES["rsa-3072"])
    said = hsm.tool("one", "--list-objects", "--type", "privkey")
    ours = said[said.index("demo/stranger") :].split("Private Key Object")[0]
    assert "Usage:      sign\n" in ours
    assert "sensitive, always sensitive, never extractable, local" in ours
    name = uri.split("id=")[1].split(";")[0].replace("%", "")
    data, signature, theirs = tmp_path / "data", tmp_path / "signature", tmp_path / "theirs"
    data.write_bytes(TBS.octets)
    signature.write_bytes(keys.sign(uri, [TBS])[0])
    mechanism = ["--id", name, "--mechanism", "SHA256-RSA-PKCS", "--input-file", str(data)]
    said = hsm.tool("one", "--verify", *mechanism, "--signature-file", str(signature))
    assert "Signature is valid" in said
    hsm.tool("one", "--sign", *mechanism, "--output-file", str(theirs))
    certificates.verify(keys.public_key(uri), TBS, theirs.read_bytes())


def test_each_subscriber_has_its_token_and_its_keys_are_found_there(keys: Pkcs11, hsm: SoftHsm) -> None:
    """A URI names token, serial, label and id; several keys in several tokens do not get in each other's way."""
    here, there = keys.generate("demo/several", P256), keys.generate("acme/several", P256)
    more = keys.generate("acme/more", P256)
    assert here.startswith("pkcs11:token=one;serial=") and there.startswith("pkcs11:token=two;serial=")
    assert len({keys.public_key(each) for each in (here, there, more)}) == 3
    for each in (here, there, more):
        verifies(keys, each, TBS)
    assert "acme/more" in hsm.tool("two", "--list-objects") and "acme" not in hsm.tool("one", "--list-objects")


def test_threads_use_two_sessions_at_once(keys: Pkcs11) -> None:
    """Eight threads hammer two sessions with two keys; single-threaded initialisation crashes here."""
    uris = [keys.generate("demo/hammer", P256), keys.generate("demo/anvil", P256)]
    spkis = [keys.public_key(uri) for uri in uris]
    wrong: list[BaseException] = []

    def hammer(number: int) -> None:
        try:
            for count in range(10):
                many = [ToBeSigned(b"%d/%d/%d" % (number, count, each), "sha256") for each in range(64)]
                for tbs, value in zip(many, keys.sign(uris[number % 2], many), strict=True):
                    certificates.verify(spkis[number % 2], tbs, value)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert wrong == []


def test_what_cannot_be_asked_is_refused(keys: Pkcs11) -> None:
    """PSS of an elliptic key, a URI of nobody's, a token that the settings do not name."""
    uri = keys.generate("demo/refusals", P256)
    with pytest.raises(BadInput, match="PSS"):
        keys.sign(uri, [ToBeSigned(b"hello", "sha256", "pss")])
    with pytest.raises(NotFound, match="No token called 'three'"):
        keys.public_key(uri.replace("token=one", "token=three"))
    with pytest.raises(NotFound):
        keys.public_key(uri.replace("object=demo", "object=acme"))
    with pytest.raises(NotFound, match="names token, serial"):
        keys.public_key("pkcs11:token=one")


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"module": "/nonexistent/module.so"}, Misused, "no PKCS#11 module at"),
        ({"module": __file__}, Misused, "cannot be loaded"),
        ({"token": "nobody"}, KeyStoreUnavailable, "no token called 'nobody'"),
        (
            {"module": CLIENT, "environment": {"P11_KIT_SERVER_ADDRESS": "unix:path=/nonexistent"}},
            KeyStoreUnavailable,
            "no token called 'one'",
        ),
        ({"pin_file": "/nonexistent/pin"}, Misused, "PIN file"),
        ({"writable": ()}, KeyStoreUnavailable, "cannot be initialised|no token"),
    ],
    ids=["no module", "not a module", "no token", "no server", "no PIN", "not allowed"],
)
def test_a_token_that_cannot_be_had_is_told_in_a_sentence(
    hsm: SoftHsm, tmp_path: Path, changes: dict[str, object], kind: type[Exception], words: str
) -> None:
    """Whose turn it is, in words; the last one shows that a worker is really kept to what the settings allow."""
    with store(tmp_path, hsm.section("one", **changes)) as (keys, _, _), pytest.raises(kind, match=words):
        keys.generate("demo/never", P256)


@pytest.mark.parametrize(
    "changes",
    [
        {"token": None},
        {"pin": "1234"},
        {"pin_file": None},
        {"sessions": 0},
        {"sessions": 65},
        {"timeout": 0.0},
        {"timeout": 200.0},
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, object]) -> None:
    """Neither label nor serial, two PINs or none, limits that are none; and no PIN shows in a repr."""
    plain: dict[str, object] = {"module": MODULE, "token": "one", "pin_file": "pin"}
    assert "1234" not in repr(Pkcs11Section(module=MODULE, token="one", pin="1234"))
    with pytest.raises(ValueError):
        Pkcs11Section(**(plain | changes))  # type: ignore[arg-type]


def test_a_token_is_found_by_its_serial(hsm: SoftHsm, keys: Pkcs11, tmp_path: Path) -> None:
    """Labels need not be unique; a serial number is."""
    uri = keys.generate("acme/by-serial", P256)
    serial = uri.split("serial=")[1].split(";")[0]
    with store(tmp_path, hsm.section("one", token=None, serial=serial)) as (other, _, _):
        assert hashlib.sha256(other.public_key(uri)).digest() == hashlib.sha256(keys.public_key(uri)).digest()
