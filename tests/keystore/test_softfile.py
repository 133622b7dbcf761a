"""Sealed keys in files: born inside, used inside, destroyed for good, and never in the open."""

import itertools
import os
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from privyseal.errors import BadInput, Conflict, KeyStoreUnavailable, Misused, NotFound
from privyseal.keystore.catalogue import KEY_STORES, store_name
from privyseal.keystore.softfile import SoftFile
from privyseal.pki.certificates import verify
from privyseal.terms.keys import Assurance
from privyseal.terms.signatures import SCHEMES, ToBeSigned

PASSPHRASE = b"the passphrase is a canary too"


def clock() -> datetime:
    return datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> SoftFile:
    return SoftFile.create(tmp_path / "keys", PASSPHRASE, clock)


@pytest.fixture(scope="module")
def every_scheme(tmp_path_factory: pytest.TempPathFactory) -> tuple[SoftFile, dict[str, str], Path]:
    directory = tmp_path_factory.mktemp("room") / "keys"
    store = SoftFile.create(directory, PASSPHRASE, clock)
    return store, {name: store.generate(f"demo/{name}", scheme) for name, scheme in SCHEMES.items()}, directory


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_every_scheme_signs_with_every_digest(every_scheme, name: str, digest: str):
    """What each key signs verifies under its public half, before and after the store is opened anew."""
    store, uris, directory = every_scheme
    paddings = ("pkcs1v15", "pss") if name.startswith("rsa") else ("pkcs1v15",)
    tbs = [ToBeSigned(b"octets %d" % n, digest, way) for n in range(2) for way in paddings]
    reopened = SoftFile.open(directory, PASSPHRASE, clock)
    assert reopened.public_key(uris[name]) == store.public_key(uris[name])
    for each in (store, reopened):
        values = each.sign(uris[name], tbs)
        assert len(values) == len(tbs)
        for one, value in zip(tbs, values, strict=True):
            verify(store.public_key(uris[name]), one, value)
            assert len(value) <= SCHEMES[name].largest_signature


@pytest.mark.parametrize("name", ["rsa-3072", "ecdsa-p384"])
def test_openssl_accepts_the_signatures(every_scheme, tmp_path: Path, name: str):
    """Somebody else's tool verifies them: ``openssl dgst -verify``."""
    store, uris, _ = every_scheme
    (tmp_path / "spki").write_bytes(store.public_key(uris[name]))
    (tmp_path / "octets").write_bytes(b"to be signed")
    (tmp_path / "value").write_bytes(store.sign(uris[name], [ToBeSigned(b"to be signed", "sha384")])[0])
    command = ["openssl", "dgst", "-sha384", "-keyform", "DER", "-verify", "spki", "-signature", "value", "octets"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert outcome.stdout == b"Verified OK\n", outcome.stderr


def test_openssl_accepts_an_edwards_signature(every_scheme, tmp_path: Path):
    """Somebody else's tool verifies pure Ed25519 over the octets (RFC 8032), whatever digest was named."""
    store, uris, _ = every_scheme
    (tmp_path / "spki").write_bytes(store.public_key(uris["ed25519"]))
    (tmp_path / "octets").write_bytes(b"to be signed")
    (tmp_path / "value").write_bytes(store.sign(uris["ed25519"], [ToBeSigned(b"to be signed", "sha384")])[0])
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


def test_elliptic_nonces_do_not_repeat_across_messages(every_scheme):
    """RFC 6979: the same octets give the same signature, two octets never the same r."""
    store, uris, _ = every_scheme
    values = store.sign(uris["ecdsa-p256"], [ToBeSigned(b"%d" % n, "sha256") for n in range(500)])
    assert values == store.sign(uris["ecdsa-p256"], [ToBeSigned(b"%d" % n, "sha256") for n in range(500)])
    assert len({value[4 : 4 + value[3]] for value in values}) == 500


def test_it_says_it_is_software(every_scheme):
    """No file proves more of a key than that this software made it."""
    store, uris, _ = every_scheme
    protection = store.protection(uris["rsa-3072"])
    assert protection.assurance is Assurance.SOFTWARE
    assert protection.never_extractable is False


def test_neither_passphrase_nor_key_is_on_the_disk(every_scheme):
    """The octets of the Private Keys and the passphrase are in no file of the store."""
    store, _, directory = every_scheme
    written = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert PASSPHRASE not in written
    for private in store._opened.values():
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        assert not any(der[at : at + 24] in written for at in range(60, len(der) - 24, 8) if len(der) > 200)
        if hasattr(private, "private_numbers"):
            numbers = private.private_numbers()
            secret = numbers.d if hasattr(numbers, "d") else numbers.private_value
            octets = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
        else:
            octets = private.private_bytes_raw()
        assert octets[:24] not in written


def test_files_are_for_their_owner_only(every_scheme):
    """Directories are 0700 and files 0600, whatever the umask."""
    _, _, directory = every_scheme
    for path in [directory, *directory.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("loose", ["keys", "keys/store.json", "keys/demo/release.key"])
def test_a_file_others_can_read_is_refused(store: SoftFile, tmp_path: Path, loose: str):
    """A store that others can enter or read is not used."""
    uri = store.generate("demo/release", SCHEMES["ecdsa-p256"])
    (tmp_path / loose).chmod((tmp_path / loose).stat().st_mode | 0o040)
    with pytest.raises(Misused, match="Others than its owner"):
        SoftFile.open(tmp_path / "keys", PASSPHRASE, clock).public_key(uri)


def test_a_wrong_passphrase_is_told_at_once(store: SoftFile, tmp_path: Path):
    """It is refused when the store is opened, not when a key is first needed, and is not repeated in the sentence."""
    with pytest.raises(Misused, match="does not open the key store") as refusal:
        SoftFile.open(tmp_path / "keys", b"wrong canary", clock)
    assert "wrong canary" not in str(refusal.value)


def test_a_store_is_created_once(store: SoftFile, tmp_path: Path):
    """Creating over an existing store would lose its salt and so every key: Conflict."""
    with pytest.raises(Conflict):
        SoftFile.create(tmp_path / "keys", PASSPHRASE, clock)
    with pytest.raises(Misused, match="no key store"):
        SoftFile.open(tmp_path, PASSPHRASE, clock)


def test_a_label_is_given_once_even_to_twenty_at_the_same_time(store: SoftFile):
    """Of many threads that generate one label exactly one succeeds; after destruction the label stays used."""
    made: list[str] = []
    refused: list[Conflict] = []

    def generate() -> None:
        try:
            made.append(store.generate("demo/release", SCHEMES["ecdsa-p256"]))
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=generate) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 19)
    verify(store.public_key(made[0]), tbs := ToBeSigned(b"x", "sha256"), store.sign(made[0], [tbs])[0])
    store.destroy(made[0])
    with pytest.raises(Conflict):
        store.generate("demo/release", SCHEMES["ecdsa-p256"])


def test_a_destroyed_key_is_gone(store: SoftFile, tmp_path: Path):
    """It signs no more, its sealed octets are not in its file, and destroying it again does nothing."""
    uri = store.generate("demo/release", SCHEMES["ecdsa-p256"])
    path = tmp_path / "keys/demo/release.key"
    sealed = path.read_bytes()
    store.destroy(uri)
    store.destroy(uri)
    for use in (store.public_key, store.protection, lambda uri: store.sign(uri, [ToBeSigned(b"x", "sha256")])):
        with pytest.raises(NotFound):
            use(uri)
    assert sealed[-100:] not in path.read_bytes()
    with pytest.raises(NotFound):
        SoftFile.open(tmp_path / "keys", PASSPHRASE, clock).sign(uri, [ToBeSigned(b"x", "sha256")])


def test_an_unreadable_key_can_still_be_destroyed(store: SoftFile, tmp_path: Path):
    """Destruction does not need a whole envelope: a crash may have come between overwriting and tombstone."""
    uri = store.generate("demo/release", SCHEMES["ecdsa-p256"])
    (tmp_path / "keys/demo/release.key").write_bytes(bytes(900))
    store.destroy(uri)
    with pytest.raises(NotFound):
        store.public_key(uri)


def test_every_exchange_of_two_files_is_refused(store: SoftFile, tmp_path: Path):
    """A sealed file is good only under the name and Subscriber it was sealed for."""
    labels = ["demo/a", "demo/b", "acme/a", "acme/b"]
    uris = {label: store.generate(label, SCHEMES["ecdsa-p256"]) for label in labels}
    stored = {label: (tmp_path / f"keys/{label}.key").read_bytes() for label in labels}
    for mine, other in itertools.permutations(labels, 2):
        (tmp_path / f"keys/{mine}.key").write_bytes(stored[other])
        fresh = SoftFile.open(tmp_path / "keys", PASSPHRASE, clock)
        with pytest.raises(KeyStoreUnavailable):
            fresh.sign(uris[mine], [ToBeSigned(b"x", "sha256")])
        (tmp_path / f"keys/{mine}.key").write_bytes(stored[mine])


@pytest.mark.parametrize(
    "label", ["", "release", "demo/", "demo/../x", "demo/a/b", "Demo/x", "demo/.x", "d\0/x", "a/b\n"]
)
def test_a_label_cannot_leave_the_directory(store: SoftFile, label: str):
    """Only subscriber/name in letters, digits and dashes is a label; a URI is not a way around it."""
    with pytest.raises(Misused):
        store.generate(label, SCHEMES["ecdsa-p256"])
    with pytest.raises(Misused):
        store.public_key("softfile:" + label)


def test_a_link_in_a_key_s_place_is_not_followed(store: SoftFile, tmp_path: Path):
    """Someone who may write names but not read files gains nothing by a symbolic link."""
    uri = store.generate("demo/release", SCHEMES["ecdsa-p256"])
    path = tmp_path / "keys/demo/release.key"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyStoreUnavailable):
        store.public_key(uri)


def test_pss_is_not_asked_of_an_elliptic_curve(every_scheme):
    """A padding that the key cannot have is refused in words."""
    store, uris, _ = every_scheme
    for name in ("ecdsa-p256", "ed25519", "ml-dsa-65"):
        with pytest.raises(BadInput, match="only an RSA key"):
            store.sign(uris[name], [ToBeSigned(b"x", "sha256", "pss")])


def test_a_failed_generation_leaves_nothing(store: SoftFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A full disk while writing is KeyStoreUnavailable; no half-written file stays and the label is still free."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(KeyStoreUnavailable, match="No space left"):
            store.generate("demo/release", SCHEMES["ecdsa-p256"])
    assert not list((tmp_path / "keys/demo").iterdir())
    store.generate("demo/release", SCHEMES["ecdsa-p256"])


def test_the_catalogue_names_the_store_of_a_uri(every_scheme):
    """A URI leads to the store that gave it out, and an unknown one to nobody."""
    _, uris, _ = every_scheme
    assert KEY_STORES[store_name(uris["rsa-3072"])] is SoftFile
    with pytest.raises(NotFound):
        store_name("cloud:key=x")
